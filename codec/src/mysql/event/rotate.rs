//! ROTATE (4): the next event lies in another file. In a dump stream it also comes first, artificial, to name the
//! file that is read.
//!
//! ```text
//! u64  position of the next event
//! rest name of the file
//! ```

use std::borrow::Cow;

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotate<'a> {
    pub position: u64,
    pub file: Cow<'a, str>,
}

/// A file's name with its path; the server's own bound (FN_REFLEN).
pub const FILE_NAME_BYTES_MAX: usize = 512;

impl<'a> Rotate<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("ROTATE", body);
        let position = reader.u64("position")?;
        let name = reader.rest();
        Ok(Self { position, file: file_name(&reader, name)? })
    }
}

/// A binlog's file name, without trailing zero bytes. Never empty.
pub(super) fn file_name<'a>(reader: &Reader<'_>, bytes: &'a [u8]) -> Result<Cow<'a, str>, EventError> {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX {
        return Err(reader.invalid("file name", format!("{} bytes", name.len())));
    }
    Ok(String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_file_and_position() {
        let rotate = Rotate::parse(b"\x04\0\0\0\0\0\0\0binlog.000002").unwrap();
        assert_eq!(rotate, Rotate { position: 4, file: "binlog.000002".into() });
        assert!(Rotate::parse(b"\x04\0\0\0\0\0\0\0").is_err());
        assert!(Rotate::parse(b"\x04\0\0\0").is_err());
        assert!(Rotate::parse(&[b'x'; 600]).is_err());
    }
}
