//! The tables of the workload. Every row names its last writer and that writer's transaction, and no id is used twice.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    Orders,
    Items,
    Accounts,
    Notes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    /// As the JSON lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|op| op.name() == name)
    }
}

/// What a committed transaction did to one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowChange {
    pub table: Table,
    pub op: Op,
    pub id: u64,
}

impl Table {
    pub const ALL: [Table; 4] = [Self::Orders, Self::Items, Self::Accounts, Self::Notes];

    pub fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Items => "items",
            Self::Accounts => "accounts",
            Self::Notes => "notes",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The columns behind `id`, `writer` and `txn`.
    fn columns(self) -> &'static str {
        match self {
            Self::Orders => {
                "customer VARCHAR(64) NOT NULL, total DECIMAL(12,2) NOT NULL, \
                 status ENUM('new','paid','shipped','cancelled') NOT NULL, details JSON, \
                 created_at DATETIME(6) NOT NULL, updated_at TIMESTAMP(6) NULL"
            }
            Self::Items => {
                "order_id BIGINT UNSIGNED NOT NULL, sku VARCHAR(32) NOT NULL, quantity INT UNSIGNED NOT NULL, \
                 price DECIMAL(10,2) NOT NULL, discount FLOAT NULL"
            }
            Self::Accounts => {
                "balance BIGINT NOT NULL, rating DOUBLE NOT NULL, flags SET('vip','blocked','audited') NOT NULL, \
                 opened DATE NOT NULL, bits BIT(12) NOT NULL"
            }
            Self::Notes => {
                "body TEXT NOT NULL, tags VARCHAR(255) NULL, size SMALLINT NOT NULL, took TIME(3) NULL, year YEAR NULL"
            }
        }
    }

    pub fn create_statement(self, database: &str) -> String {
        format!(
            "CREATE TABLE {database}.{} (id BIGINT UNSIGNED PRIMARY KEY, writer INT UNSIGNED NOT NULL, \
             txn BIGINT UNSIGNED NOT NULL, {}) ENGINE=InnoDB",
            self.name(),
            self.columns()
        )
    }

    /// An expression that prints the column as a JSON line has it.
    pub fn select_form(column: &str) -> String {
        match column {
            "bits" => "CAST(bits AS UNSIGNED)".to_owned(),
            // FLOAT prints six digits only
            "discount" => "discount * 1e0".to_owned(),
            _ => format!("`{column}`"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
