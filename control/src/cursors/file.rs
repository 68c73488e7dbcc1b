//! Cursors in one local file per destination: `<data_dir>/<destination>/cursors`.
//!
//! A write goes to `cursors.new`, is synced, and takes the place of `cursors` by rename; the version before it stays
//! as `cursors.previous`. So after a crash at any moment `cursors` is one complete version. If a disk damages it all
//! the same, the server does not start and says so: going back to `cursors.previous` only delivers some rows twice,
//! and that is for a person to decide.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use millstream_core::bridge::Cursor;

use super::format::{self, CursorFile, FormatError};
use super::{CursorError, CursorStorage};
use crate::files;

#[derive(Debug)]
pub struct FileCursors {
    destination: String,
    path: PathBuf,
    /// Of this server; written into each version.
    epoch: u64,
    generation: u64,
}

impl FileCursors {
    pub fn new(destination: &str, folder: &Path, epoch: u64) -> Self {
        FileCursors { destination: destination.to_owned(), path: folder.join("cursors"), epoch, generation: 0 }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn previous(&self) -> PathBuf {
        files::with_suffix(&self.path, ".previous")
    }

    fn io_error(&self, error: &io::Error) -> CursorError {
        CursorError::Io { place: self.place(), reason: error.to_string() }
    }

    /// What a person can do: depends on whether the version before is good.
    fn choice(&self) -> String {
        let (current, previous) = (self.place(), self.previous().display().to_string());
        let good = files::read_if_exists(&self.previous()).ok().flatten();
        let good = good.and_then(|contents| format::read(&self.destination, &contents).ok());
        match good {
            Some(file) => format!(
                "Nothing was changed. To go back to the version before (generation {}; some rows are then delivered \
                 again, none is lost): cp {previous} {current}",
                file.generation
            ),
            None => format!(
                "Nothing was changed. Restore {current} from a backup (rows are then delivered again), or delete it to \
                 start every subscription anew from where its client asks"
            ),
        }
    }

    /// Keeps what is there as the version before.
    fn keep_previous(&self) -> io::Result<()> {
        let previous = self.previous();
        match fs::remove_file(&previous) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::hard_link(&self.path, &previous) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl CursorStorage for FileCursors {
    fn load(&mut self) -> Result<Vec<Cursor>, CursorError> {
        let Some(contents) = files::read_if_exists(&self.path).map_err(|error| self.io_error(&error))? else {
            if self.previous().exists() {
                return Err(CursorError::Corrupt {
                    place: self.place(),
                    line: 0,
                    reason: "the file is gone, and the version before it is still there".to_owned(),
                    choice: self.choice(),
                });
            }
            return Ok(Vec::new());
        };
        let file = format::read(&self.destination, &contents).map_err(|error| match error {
            FormatError::Version(found) => CursorError::Version { place: self.place(), found, known: format::VERSION },
            FormatError::Corrupt { line, reason } => {
                CursorError::Corrupt { place: self.place(), line, reason, choice: self.choice() }
            }
        })?;
        if file.epoch > self.epoch {
            return Err(CursorError::Epoch { place: self.place(), found: file.epoch, own: self.epoch });
        }
        self.generation = file.generation;
        Ok(file.cursors)
    }

    fn save(&mut self, cursors: &[Cursor]) -> Result<(), CursorError> {
        let file = CursorFile { epoch: self.epoch, generation: self.generation + 1, cursors: cursors.to_vec() };
        let contents = format::write(&self.destination, &file);
        files::replace(&self.path, &contents, || self.keep_previous()).map_err(|error| self.io_error(&error))?;
        self.generation += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::cursor;
    use super::*;
    use millstream_codec::mysql::gtid::ExecutedGtids;

    fn cursors(offset: u64) -> Vec<Cursor> {
        vec![cursor("a", offset, ExecutedGtids::None), cursor("b", offset + 1, ExecutedGtids::None)]
    }

    fn open(folder: &Path) -> FileCursors {
        FileCursors::new("orders", folder, 1)
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path());
        assert_eq!(storage.load().unwrap(), []);
        for offset in [10, 20, 30] {
            storage.save(&cursors(offset)).unwrap();
            assert_eq!(open(folder.path()).load().unwrap(), cursors(offset));
        }
    }

    #[test]
    fn a_crash_between_any_two_steps_leaves_a_whole_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursors");
        let mut storage = open(folder.path());
        storage.save(&cursors(10)).unwrap();
        storage.save(&cursors(20)).unwrap();

        // While the next version was being written.
        fs::write(files::with_suffix(&path, ".new"), b"millstream-curs").unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(20));
        // Between dropping the version before and keeping this one.
        fs::remove_file(files::with_suffix(&path, ".previous")).unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(20));
        // Before the rename: both names are one file.
        fs::hard_link(&path, files::with_suffix(&path, ".previous")).unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(20));

        // And the next start writes on from there.
        let mut storage = open(folder.path());
        storage.load().unwrap();
        storage.save(&cursors(30)).unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(30));
    }

    #[test]
    fn damage_is_refused_and_names_the_way_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursors");
        let mut storage = open(folder.path());
        storage.save(&cursors(10)).unwrap();
        storage.save(&cursors(20)).unwrap();
        let good = fs::read(&path).unwrap();

        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let error = open(folder.path()).load().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, CursorError::Corrupt { .. }));
        assert!(text.contains("generation 1") && text.contains("cursors.previous"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), &good[..good.len() / 2], "nothing may be changed");
        // The named way works.
        fs::copy(files::with_suffix(&path, ".previous"), &path).unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(10));

        fs::remove_file(&path).unwrap();
        assert!(open(folder.path()).load().unwrap_err().to_string().contains("gone"));
    }

    #[test]
    fn a_newer_epoch_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        FileCursors::new("orders", folder.path(), 9).save(&cursors(10)).unwrap();
        let error = open(folder.path()).load().unwrap_err();
        assert!(matches!(error, CursorError::Epoch { found: 9, own: 1, .. }), "{error}");

        fs::write(folder.path().join("cursors"), b"millstream-cursors 2\nwhat comes then\n").unwrap();
        let error = open(folder.path()).load().unwrap_err();
        assert!(matches!(error, CursorError::Version { found: 2, .. }), "{error}");
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path());
        storage.save(&cursors(10)).unwrap();
        // A folder where the new version is to be written: no account may write over it.
        fs::create_dir(folder.path().join("cursors.new")).unwrap();
        assert!(matches!(storage.save(&cursors(20)), Err(CursorError::Io { .. })));
        assert_eq!(open(folder.path()).load().unwrap(), cursors(10));
        fs::remove_dir(folder.path().join("cursors.new")).unwrap();
        storage.save(&cursors(20)).unwrap();
        assert_eq!(open(folder.path()).load().unwrap(), cursors(20));
    }
}
