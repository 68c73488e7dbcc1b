//! The engine of Millstream as sans-IO state machines. Time and bytes are arguments; nothing here opens a socket or
//! a file, starts a thread, or reads a clock.

pub mod bridge;
pub mod catalog;
pub mod engine;
pub mod filter;
pub mod history;
mod id_map;
pub mod limits;
pub mod metrics;
pub mod position;
pub mod records;
pub mod source;
pub mod tables;
