//! The source: how a MySQL or MariaDB server is followed as a replica would follow it.

pub mod config;
pub mod error;
pub mod file;
pub mod information_schema;
pub mod probe;
pub mod session;
pub mod start;
pub mod statement;
pub mod tracker;
pub mod xa;
