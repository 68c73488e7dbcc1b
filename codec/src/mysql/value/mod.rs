//! The values of a row image: how many bytes each takes, and what they mean.
//!
//! Nothing here allocates per value but [`json_diff`] and [`charset`]; texts are written to a [`buffer::TextBuffer`]
//! that the caller keeps. Bytes are a peer's: no function panics on any.

pub mod bits;
pub mod buffer;
pub mod cell;
pub mod charset;
mod charset_multi;
mod charset_single;
pub mod compressed;
pub mod decimal;
pub mod digits;
mod double;
mod error;
pub mod json;
pub mod json_diff;
pub mod net;
pub mod temporal;

pub use error::ValueError;
