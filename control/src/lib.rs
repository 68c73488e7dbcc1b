//! The control plane: one tokio thread beside the worker cores. It makes cursors durable, answers HTTP, takes
//! signals, and checks passwords on a thread of its own.
//!
//! It never touches a row, and no worker core ever waits for it: what passes between them are the messages of
//! [`millstream_core::bridge`] and counters that are only read here.

pub mod affinity;
pub mod auth;
mod control;
pub mod cursors;
pub mod epoch;
pub mod files;
pub mod http;
pub mod metrics;
pub mod record_file;
pub mod state;
mod waking;

pub use control::{Control, ControlConfig, ControlError, ControlHandle};
pub use cursors::{CursorBook, CursorError, CursorStorage, FileCursors};
pub use files::{DataDir, DataDirError};
pub use record_file::RecordFile;
pub use state::{DestinationView, ServerInfo, SharedState};
