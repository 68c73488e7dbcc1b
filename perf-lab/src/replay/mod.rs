//! The server side of the replication protocol, from recorded files: what is measured is then not MySQL's dump thread.
//!
//! A replayer stands before a real MySQL. Logins and queries pass through to it, so that every peer finds the variables and
//! schemas that it asks for; only the request for the binlog is answered here, from memory. The real server stands where
//! the recording began, so that "from now on" is the beginning of the recording.

mod packets;
mod server;

pub use packets::Log;
pub use server::{Offered, Pace, Replayer};
