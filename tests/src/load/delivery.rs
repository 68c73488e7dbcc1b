//! A transaction as it came out of a client, in the form of the JSON lines.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema::{Op, RowChange, Table};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub epoch: u64,
    pub sequence: u64,
    /// The GTID; the end position where the source has none.
    pub id: String,
    /// Empty: a statement that changed the schema.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub table: String,
    pub op: String,
    /// Ordinal among the rows of its table in the transaction.
    pub row: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
}

impl Delivery {
    /// Equal for equal row ids and values.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for change in &self.changes {
            (&change.table, &change.op, change.row).hash(&mut hasher);
            for image in [&change.before, &change.after] {
                // the maps keep the order of their keys
                image.as_ref().map(|image| Value::Object(image.clone()).to_string()).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

impl Change {
    pub fn id(&self) -> Option<u64> {
        self.after.as_ref().or(self.before.as_ref())?.get("id")?.as_u64()
    }

    /// What the ledger calls it; `None` for a table that is not of the workload.
    pub fn row_change(&self) -> Option<RowChange> {
        Some(RowChange { table: Table::named(&self.table)?, op: Op::named(&self.op)?, id: self.id()? })
    }
}
