//! One file for each target.

pub mod events;
pub mod files;
pub mod rows;
