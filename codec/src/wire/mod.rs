//! The wire format: layouts of tables as Cap'n Proto structs, batches of rows, and their readers.

pub mod batch;
#[cfg(feature = "mysql")]
pub mod encode;
pub mod encoded;
pub mod frame;
pub mod hash;
pub mod json;
pub mod layout;
pub mod layout_message;
pub mod messages;
pub mod names;
#[cfg(feature = "mysql")]
mod nodes;
pub mod position;
pub mod read;
pub mod slots;
pub mod temporal;
#[cfg(feature = "mysql")]
mod text;
pub mod view;
pub mod words;
