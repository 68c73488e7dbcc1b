//! A known workload, and the proof that a stream carries it: what was committed, in its order, nothing else.
//!
//! `workload` plans transactions from a seed, `writer` runs them against a server at a stated rate, `ledger` knows
//! what was committed, and `checker` holds a stream of deliveries against it, whatever brought them.

pub mod checker;
pub mod delivery;
pub mod follow;
pub mod ledger;
mod random;
pub mod schema;
mod workload;
pub mod writer;

pub use checker::{Checker, Report};
pub use delivery::{Change, Delivery};
pub use follow::Follow;
pub use ledger::Ledger;
pub use random::Random;
pub use schema::{Op, Table};
pub use writer::{Load, LoadOptions};
