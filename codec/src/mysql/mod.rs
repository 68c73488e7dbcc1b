//! The MySQL and MariaDB side: packets, authentication, events, row images, GTIDs.
//!
//! Every parser here takes a slice and returns a value or an error that names what was wrong and where;
//! none panics on bytes from a peer, none sizes an allocation by a length that it has not checked.

pub mod checksum;
pub mod collation;
pub mod command;
pub mod compression;
pub mod error;
pub mod event;
pub mod file;
pub mod gtid;
pub mod handshake;
pub mod packet;
pub mod position;
pub mod reader;
pub mod requirements;
pub mod resultset;
pub mod rows;
pub mod schema;
pub mod server;
pub mod table_map;
pub mod value;
