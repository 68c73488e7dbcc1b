//! A transaction as it came out of a client, in the form of the JSON lines.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::bail;
use millstream_client::Transaction;
use millstream_client::wire::encoded::Op as WireOp;
use millstream_client::wire::json::RowObject;
use millstream_client::wire::read::RowReader;
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

/// The columns of a row image, by name.
///
/// # Errors
/// Where the row is damaged.
pub fn row_object(image: RowReader<'_>) -> anyhow::Result<Map<String, Value>> {
    match serde_json::to_value(RowObject(image))? {
        Value::Object(object) => Ok(object),
        _ => bail!("a row that is no object"),
    }
}

impl Delivery {
    /// What the client library handed over.
    ///
    /// # Errors
    /// Where the message is damaged.
    pub fn of(transaction: &Transaction) -> anyhow::Result<Self> {
        let mut changes = Vec::new();
        for change in transaction.changes() {
            let millstream_client::Change::Rows(rows) = change? else { continue };
            for row in rows.iter() {
                let op = match row.op {
                    WireOp::Insert => Op::Insert,
                    WireOp::Update => Op::Update,
                    WireOp::Delete => Op::Delete,
                };
                changes.push(Change {
                    table: rows.table().to_owned(),
                    op: op.name().to_owned(),
                    row: u64::from(row.ordinal),
                    before: row.before.map(row_object).transpose()?,
                    after: row.after.map(row_object).transpose()?,
                });
            }
        }
        Ok(Self { epoch: transaction.epoch, sequence: transaction.sequence, id: transaction.id(), changes })
    }

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
