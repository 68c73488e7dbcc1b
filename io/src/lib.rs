//! The hands of Millstream: the only code that knows a runtime, and of it only [`runtime`] knows which. One thin driver for
//! each machine of core.
//!
//! Nothing here decides anything about the protocol, the order of rows, or positions.

mod catchup;
pub mod clock;
mod connection;
pub mod engine;
mod live;
mod questions;
pub mod runtime;
pub mod source;
mod tasks;
pub mod worker;
