//! Delivered rows, as JSON lines, against what is known of them.
//!
//! Three witnesses: the values that the corpus states ([`corpus_outcome`]), the changes that it states, in their order
//! ([`change_complaint`]), and the server itself, asked by SELECT for the content that all the changes together must give
//! ([`SelectedTables`]). [`RandomTable`] makes tables that nobody thought of.
//!
//! Nothing here starts anything or reads a binlog: lines in, complaints out.

mod changes;
mod corpus;
mod fold;
mod line;
mod numbered;
mod outcome;
mod random_tables;
mod select;
mod values;

pub use changes::change_complaint;
pub use corpus::{corpus_complaints, rows_of};
pub use fold::Fold;
pub use line::{DdlLine, Line, RowLine, parse_lines};
pub use numbered::{KnownTables, Told};
pub use outcome::{LeftOut, Outcome, corpus_outcome};
pub use random_tables::{Dialect, RANDOM_SESSION, RandomTable, RandomTables};
pub use select::SelectedTables;

/// What the images of a log carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Every column, unless it is stated otherwise.
    Full,
    /// Fewer columns than stated, as the server chooses (MINIMAL, NOBLOB).
    Partial,
}
