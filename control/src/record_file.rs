//! Durable records in a local file: `<data_dir>/<destination>/registry` (ordinals) and `.../schema-history`. What the
//! records mean is core's matter.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use millstream_core::records::RecordStore;

use crate::files;

/// Durable when a call returns. An append that fails leaves the file as it was before; if even that cannot be brought
/// about, every later call is refused, so that nothing ever stands behind half a record.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    file: File,
    length_bytes: u64,
    broken: bool,
}

impl RecordFile {
    /// Made if it is not there yet.
    pub fn open(destination_folder: &Path, name: &str) -> io::Result<Self> {
        let path = destination_folder.join(name);
        let file = Self::open_file(&path)?;
        let length_bytes = file.metadata()?.len();
        Ok(RecordFile { path, file, length_bytes, broken: false })
    }

    fn open_file(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)?;
        file.sync_all()?;
        files::sync_folder(path)?;
        Ok(file)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = Self::open_file(&self.path)?;
        self.length_bytes = self.file.metadata()?.len();
        self.broken = false;
        Ok(())
    }

    fn refuse_if_broken(&self) -> io::Result<()> {
        if self.broken {
            let reason =
                format!("{} could not be mended after a failed write; restart millstreamd", self.path.display());
            return Err(io::Error::other(reason));
        }
        Ok(())
    }

    fn write_behind(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length_bytes))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    fn cut(&mut self, length_bytes: u64) -> io::Result<()> {
        self.file.set_len(length_bytes)?;
        self.file.sync_data()
    }
}

impl RecordStore for RecordFile {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut contents)?;
        Ok(contents)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.refuse_if_broken()?;
        if let Err(error) = self.write_behind(bytes) {
            self.broken = self.cut(self.length_bytes).is_err();
            return Err(error);
        }
        self.length_bytes += bytes.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, length_bytes: u64) -> io::Result<()> {
        self.refuse_if_broken()?;
        let length_bytes = length_bytes.min(self.length_bytes);
        self.cut(length_bytes)?;
        self.length_bytes = length_bytes;
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        files::replace(&self.path, bytes, || Ok(()))?;
        self.reopen()
    }

    fn set_aside(&mut self) -> io::Result<String> {
        // The first name that is free: nothing that was set aside before is lost.
        let aside = (1..)
            .map(|number: u32| files::with_suffix(&self.path, &format!(".damaged-{number}")))
            .find(|path| !path.exists())
            .ok_or_else(|| io::Error::other("no name is free to set it aside"))?;
        std::fs::rename(&self.path, &aside)?;
        files::sync_folder(&self.path)?;
        self.reopen()?;
        Ok(aside.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_in_order_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3_u8 {
            let mut store = RecordFile::open(folder.path(), "registry").unwrap();
            assert_eq!(store.load().unwrap().len(), usize::from(round) * 4);
            store.append(&[round; 2]).unwrap();
            store.append(&[round; 2]).unwrap();
        }
        let mut store = RecordFile::open(folder.path(), "registry").unwrap();
        assert_eq!(store.load().unwrap(), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn a_torn_tail_can_be_cut_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("registry"), b"whole|to").unwrap();
        let mut store = RecordFile::open(folder.path(), "registry").unwrap();
        assert_eq!(store.load().unwrap(), b"whole|to");
        store.truncate(6).unwrap();
        store.append(b"next|").unwrap();
        assert_eq!(RecordFile::open(folder.path(), "registry").unwrap().load().unwrap(), b"whole|next|");
        // Never longer than it is.
        store.truncate(1000).unwrap();
        store.append(b"x").unwrap();
        assert_eq!(store.load().unwrap(), b"whole|next|x");
    }

    #[test]
    fn the_whole_can_be_replaced_and_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = RecordFile::open(folder.path(), "schema-history").unwrap();
        store.append(b"old").unwrap();
        store.replace(b"new").unwrap();
        store.append(b"er").unwrap();
        assert_eq!(store.load().unwrap(), b"newer");
        for number in 1..=2 {
            let aside = store.set_aside().unwrap();
            assert!(aside.ends_with(&format!("schema-history.damaged-{number}")), "{aside}");
            assert_eq!(store.load().unwrap(), b"");
            store.append(b"again").unwrap();
        }
        assert_eq!(RecordFile::open(folder.path(), "schema-history").unwrap().load().unwrap(), b"again");
        assert_eq!(std::fs::read(folder.path().join("schema-history.damaged-1")).unwrap(), b"newer");
    }
}
