//! What the tests share: real servers on loopback, and the SQL scripts that are run on them.
//!
//! Nothing imports this package. It starts no container and needs no root: the servers come out of the
//! cache folder that `make servers` fills, and a server that is not there makes a test say so, not fail.

#![forbid(unsafe_code)]

pub mod compare;
pub mod ddl;
pub mod harness;
pub mod load;
pub mod variants;
pub mod ways;
