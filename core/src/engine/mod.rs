//! The engine behind the source: tables, shards, views, subscriptions, connections.

pub mod batch;
pub mod compiled;
mod gtid_text;
pub mod home;
pub mod hub;
pub mod interest;
pub mod questions;
pub mod ring;
mod row_counts;
pub mod shard;
pub mod shared;
pub mod slab;
pub mod subscription;
pub mod table;
pub mod view;
