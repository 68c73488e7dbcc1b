//! Durable cursors: how far each subscription's client has acknowledged, on disk.
//!
//! A cursor is answered for (`CursorSaved`) only once it would survive a crash. Cursors of all subscriptions are
//! written together, at most every [`COMMIT_INTERVAL`]. What holds them is behind [`CursorStorage`].

mod book;
mod commits;
mod file;
mod format;

use std::time::Duration;

use millstream_core::bridge::Cursor;

pub use book::CursorBook;
pub use commits::{CursorCommits, Finished, Job, JobResult};
pub use file::FileCursors;

/// Between the starts of two writes: at most so long an ack waits before it is on its way to the disk. 20 writes a
/// second are easy for any disk; an fsync takes 1 to 10 ms on most.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(50);
/// After a write that failed.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Cursors of one destination; names come from clients. At about 200 bytes a line without GTIDs the file is 2 MB then.
pub const CURSORS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("cursors in {place}: {reason}")]
    Io { place: String, reason: String },
    /// Never mended silently: to start from the latest position would lose what lies between.
    #[error("cursors in {place}, line {line}: {reason}. {choice}")]
    Corrupt { place: String, line: usize, reason: String, choice: String },
    #[error("cursors in {place} are written in version {found}, this server reads {known}: run the newer millstreamd")]
    Version { place: String, found: u32, known: u32 },
    #[error("cursors in {place} carry epoch {found}, and this server has {own}: another one has taken over")]
    Epoch { place: String, found: u64, own: u64 },
}

/// Keeps the cursors of one destination. Local files are one kind; a coordination service can be another.
pub trait CursorStorage: Send + 'static {
    /// What was saved last; empty where nothing ever was.
    ///
    /// # Errors
    /// What is there but cannot be believed.
    fn load(&mut self) -> Result<Vec<Cursor>, CursorError>;

    /// Replaces all of them at once. Durable when it returns.
    ///
    /// # Errors
    /// What was saved before is still there then.
    fn save(&mut self, cursors: &[Cursor]) -> Result<(), CursorError>;
}
