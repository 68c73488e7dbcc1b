//! The hands of the source: sockets to MySQL and MariaDB servers, and nothing that decides.

pub mod connection;
pub mod feed;
pub mod schema;
pub mod stream;
pub mod tls;

pub use feed::{FeedStats, LinkChange, SourceFeed};
