//! Real servers on loopback, SQL scripts, and the corpus of known answers.
//!
//! What it never does: start a container, listen on anything but 127.0.0.1, or signal a process that it
//! did not start. Every server has its own folder and port, so tests may run side by side; a server whose
//! test program is killed is killed with it (`scripts/servers.sh start --owner`).
//!
//! A server that is not in the cache makes `start` answer `None`; the test then says so and ends.

mod condition;
mod corpus;
mod flavour;
mod millstream;
mod mysql;
mod process;
mod program;
mod proxy;
mod raw_client;
mod session;
mod sqlscript;
mod tools;

pub use condition::Condition;
pub use corpus::{Answers, CorpusScript, RowEvent, TypeCase, load_corpus};
pub use flavour::{Flavour, Kind, Version};
pub use millstream::{DESTINATION, Metrics, Millstreamd, Options, free_address};
pub use mysql::MysqlServer;
pub use process::{bound_command, resident_bytes, signal, spawn_bound, workspace_program};
pub use program::Program;
pub use proxy::Proxy;
pub use raw_client::{RawClient, Received, Subscribed, subscribe};
pub use session::{ResultSet, Session};
pub use sqlscript::{RunReport, SqlScript};
pub use tools::{cache_folder, mysqlbinlog, promtool, python, repository};
