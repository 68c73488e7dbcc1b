//! One file for each target.

pub mod compression;
pub mod events;
pub mod files;
pub mod gtids;
pub mod json_diff;
pub mod jsonb;
pub mod login;
pub mod packets;
pub mod registry;
pub mod rows;
mod rows_peer;
pub mod statements;
pub mod wire;
