//! Bytes to values and back: MySQL's replication protocol, and Millstream's Cap'n Proto wire format.
//!
//! This crate never opens a socket or a file, and never asks for the time.

pub mod chunks;
#[cfg(feature = "mysql")]
pub mod mysql;
/// Without the feature: only what clients keep positions with.
#[cfg(not(feature = "mysql"))]
pub mod mysql {
    pub mod error;
    pub mod event {
        pub mod varlen;
    }
    pub mod gtid;
    pub mod position;
    pub mod reader;
}
pub mod wire;

/// Types generated from `schema/millstream.capnp`.
#[allow(unsafe_code, clippy::all, missing_docs)]
pub mod millstream_capnp {
    include!(concat!(env!("OUT_DIR"), "/millstream_capnp.rs"));
}
