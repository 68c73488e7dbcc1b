//! Files that survive a crash: written beside, synced, renamed, the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Cursors and registries are nobody else's business.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// Replaces a file as a whole: after a crash it is the old one or the new one. What `beside` holds after a crash in
/// between is overwritten by the next call.
///
/// `before_rename` runs once the new contents are on the disk.
pub fn replace(path: &Path, contents: &[u8], before_rename: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let beside = with_suffix(path, ".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    before_rename()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `None` where there is no such file.
pub fn read_if_exists(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("server.data_dir {path}: {error}; name a folder that the account of millstreamd may write to")]
    Io { path: String, error: io::Error },
    #[error("server.data_dir {path} is in use by another millstreamd; stop it, or give this one a folder of its own")]
    InUse { path: String },
}

/// The folder of all durable state, locked against a second server for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Made if it is not there yet.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let shown = || path.display().to_string();
        let failed = |error| DataDirError::Io { path: shown(), error };
        make_folder(path).map_err(failed)?;
        let lock = path.join("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(lock).map_err(failed)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataDir { path: path.to_path_buf(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse { path: shown() }),
            Err(error) => Err(failed(error.into())),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of one destination; made if it is not there yet. The name has been checked by the configuration.
    pub fn destination(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let folder = self.path.join(name);
        let failed = |error| DataDirError::Io { path: folder.display().to_string(), error };
        make_folder(&folder).map_err(failed)?;
        sync_folder(&folder).map_err(failed)?;
        Ok(folder)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read_if_exists(&path).unwrap(), None);
        replace(&path, b"one", || Ok(())).unwrap();
        // A crash before the rename: the old contents stay, and the left-over does no harm.
        let crash = replace(&path, b"two, longer", || Err(io::Error::other("crash")));
        assert!(crash.is_err());
        assert_eq!(read_if_exists(&path).unwrap().as_deref(), Some(&b"one"[..]));
        replace(&path, b"3", || Ok(())).unwrap();
        assert_eq!(read_if_exists(&path).unwrap().as_deref(), Some(&b"3"[..]));
    }

    #[test]
    fn a_data_dir_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })));
        assert!(first.destination("orders").unwrap().is_dir());
        drop(first);
        DataDir::open(&path).unwrap();
    }
}
