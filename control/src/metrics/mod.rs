//! Metrics in the text format of Prometheus. docs/metrics.md explains each name.

mod process;
mod render;
mod text;

#[cfg(test)]
pub(crate) mod checker;

pub use process::Process;
pub(crate) use render::lag_us;
pub use render::render;
pub use text::{Exposition, Kind};
