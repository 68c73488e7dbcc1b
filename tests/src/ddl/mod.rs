//! The catalog beside a real server: statements are run there and read back from its binlog, and after each of them the
//! catalog's tables are compared with what `information_schema` says.

mod corpus;
mod follower;
mod random;

pub use corpus::{DdlCase, load_ddl_cases, sequence_ddl_cases, shared_ddl_cases};
pub use follower::{Follower, Step};
pub use random::RandomDdl;
