//! What the history's file says: each frame a JSON array of entries, so that a person can read it too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{TableAt, TableName};
use crate::catalog::TableDefinition;
use crate::tables::LogPoint;

/// Of the first entry of a file.
pub const FORMAT: u16 = 1;

/// Where knowledge of a table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// All tables were read at one place.
    Snapshot,
    /// A statement of the log.
    Ddl,
    /// Read again behind a statement that was not understood, or for a table that was not known.
    Reread,
    /// A person asked for it.
    Repair,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Known(Arc<TableDefinition>),
    Absent,
    Doubtful(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// First in every file.
    Begin { format: u16, destination: String },
    /// The default character set of a database from a place on.
    Database { point: LogPoint, name: String, charset: Arc<str> },
    /// A table from a place on.
    Table {
        point: LogPoint,
        origin: Origin,
        database: String,
        table: String,
        outcome: Outcome,
        /// The beginning of the statement that made it so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        statement: String,
    },
}

impl Entry {
    pub fn table(point: LogPoint, origin: Origin, name: TableName, state: TableAt, statement: String) -> Self {
        let outcome = match state {
            TableAt::Known(definition) => Outcome::Known(definition),
            TableAt::Absent => Outcome::Absent,
            TableAt::Doubtful(reason) => Outcome::Doubtful(reason),
        };
        let (database, table) = name;
        Self::Table { point, origin, database, table, outcome, statement }
    }
}
