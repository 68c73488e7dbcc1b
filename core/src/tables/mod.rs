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

/// Where the registry's records are kept.
pub trait RegistryStore {
    /// Everything that was appended so far.
    fn load(&mut self) -> std::io::Result<Vec<u8>>;

    /// Durable when it returns.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Cuts off what a crash left half-written behind the first `length_bytes`.
    fn truncate(&mut self, length_bytes: u64) -> std::io::Result<()>;
}

/// A store without durability: for tests, and for decoding files.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    pub bytes: Vec<u8>,
}

impl RegistryStore for MemoryStore {
    fn load(&mut self) -> std::io::Result<Vec<u8>> {
        Ok(self.bytes.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, length_bytes: u64) -> std::io::Result<()> {
        self.bytes.truncate(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        Ok(())
    }
}
