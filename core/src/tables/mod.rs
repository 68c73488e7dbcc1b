//! The tables of one destination: which ordinal each column has for ever, and every version of each table that is in
//! use, ready to be decoded and encoded.
//!
//! Shared by the live reader, the catch-up readers and the shards behind one short lock; asked once per new table
//! map or projection, never per row. Invariants: an ordinal, once durable, means the same column for ever; the same
//! schema at the same place of the log gives the same ordinals, version and bytes to every reader, also after a
//! restart; what is new is durable ([`Tables::commit`]) before the first row that uses it is handed on.

mod hash;
mod record;
mod registry;
mod resolve;

pub use hash::table_hash;
pub use registry::{LogPoint, RegistryError};
pub use resolve::{TableError, Tables};
