//! The client library of Millstream: committed row changes of MySQL and MariaDB, typed and in order.
//!
//! [`blocking::Client`] and [`asynchronous::Client`] are two faces of the same machine: they connect to one of several
//! servers, subscribe, reconnect by themselves, and hand over whole committed transactions. Rows are read from the bytes
//! that were received: by the names of their columns, or through code generated from `millstream schema export`.
//!
//! Delivery is at least once: what was not acknowledged durably comes again after a failure, with
//! [`Transaction::redelivered`] set and the same ids. For exactly once, store [`Transaction::token`] with the data and
//! start with it.
//!
//! ```no_run
//! use millstream_client::{Change, ClientConfig, blocking::Client};
//!
//! let config = ClientConfig::new(["127.0.0.1:7440"], "main").subscription("billing").include("shop.*");
//! let mut client = Client::connect(config)?;
//! while let Some(transaction) = client.next_transaction()? {
//!     for change in transaction.changes() {
//!         if let Change::Rows(rows) = change? {
//!             for row in rows.iter() {
//!                 println!("{:?} {}.{}: id {:?}", row.op, rows.database(), rows.table(), row.get("id")?);
//!             }
//!         }
//!     }
//!     client.ack(&transaction)?;
//! }
//! # Ok::<(), millstream_client::ClientError>(())
//! ```
//!
//! This crate never decodes a binlog and knows no MySQL type but those of the wire format; it runs wherever std and
//! tokio do.

pub mod asynchronous;
pub mod blocking;
mod compiled;
mod config;
mod cursor;
mod error;
mod notice;
#[doc(hidden)]
pub mod offline;
mod protocol;
mod receive;
mod session;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod transaction;

pub use capnp;
pub use config::{
    Backoff, ClientConfig, ColumnFilter, CompiledField, DEFAULT_PORT, Filter, Op, Order, Start, WhenTaken,
};
pub use cursor::Token;
pub use error::{ClientError, Disposition};
pub use millstream_codec::wire;
pub use millstream_codec::wire::layout::{ColumnKind, Layout, LayoutColumn};
pub use millstream_codec::wire::position::{OpenXa, Position};
pub use millstream_codec::wire::read::{RowReader, Value};
pub use notice::Notice;
pub use protocol::Durable;
pub use transaction::{Change, Changes, Ddl, FilePosition, Row, Rows, Transaction};
