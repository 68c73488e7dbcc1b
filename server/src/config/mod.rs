//! The configuration of `millstreamd`: one TOML file, read once at start.
//!
//! A file is either wholly good or refused with every complaint at once, each with its line and what to do about it.
//! The defaults live in [`model`] alone; `conf/millstreamd.toml` documents each key and is tested to say the same.
//! Nothing here opens a socket.

mod complaint;
mod destination;
mod hash_password;
mod load;
mod memory;
mod model;
mod reader;
mod sections;

#[cfg(test)]
mod documented_tests;
#[cfg(test)]
mod tests;

pub use hash_password::hash_password_command;
pub use load::check;
pub use model::{Config, StatementDml};
