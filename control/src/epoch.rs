//! The number of a leadership. On local files: one more at each start of the server, durable before it is used.

use std::io;
use std::path::Path;

use crate::files;

/// The epoch of this start for the destination whose folder this is: higher than every earlier one.
///
/// # Errors
/// A file that is not a number is refused: guessing could give an epoch that clients have seen, and they would refuse
/// this server.
pub fn next(destination_folder: &Path) -> io::Result<u64> {
    let path = destination_folder.join("epoch");
    let last = match files::read_if_exists(&path)? {
        None => 0,
        Some(contents) => {
            let text = String::from_utf8_lossy(&contents);
            text.trim().parse::<u64>().map_err(|_| {
                let fix =
                    "write a number into it that is higher than any epoch before (clients name the one that they saw)";
                io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a number; {fix}", path.display()))
            })?
        }
    };
    let epoch = last.checked_add(1).ok_or_else(|| io::Error::other("epochs are used up"))?;
    files::replace(&path, format!("{epoch}\n").as_bytes(), || Ok(()))?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_has_a_higher_epoch() {
        let folder = tempfile::tempdir().unwrap();
        for expected in 1..=3 {
            assert_eq!(next(folder.path()).unwrap(), expected);
        }
        std::fs::write(folder.path().join("epoch"), "what").unwrap();
        let error = next(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(folder.path().join("epoch")).unwrap(), b"what");
    }
}
