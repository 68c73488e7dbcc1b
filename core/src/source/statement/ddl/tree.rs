//! What a DDL statement says, as far as it matters to columns, keys, names and character sets.

use crate::catalog::{DefinedType, LobSize};

/// Database and table; the database is empty where the statement means the session's, and there is none.
pub type TableName = (String, String);

/// What one statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    CreateTable(CreateTable),
    AlterTable(AlterTable),
    DropTables(Vec<TableName>),
    /// One after the other, from the left.
    RenameTables {
        pairs: Vec<(TableName, TableName)>,
        if_exists: bool,
    },
    Truncate(TableName),
    /// CREATE INDEX and DROP INDEX.
    Index {
        table: TableName,
        index: IndexChange,
    },
    CreateSequence {
        name: TableName,
        if_not_exists: bool,
        /// AS type (MariaDB 11.5).
        value: Option<DefinedType>,
    },
    AlterSequence {
        name: TableName,
        value: Option<DefinedType>,
    },
    CreateView(TableName),
    AlterView(TableName),
    DropViews(Vec<TableName>),
    DropSequences(Vec<TableName>),
    CreateDatabase {
        name: String,
        or_replace: bool,
        if_not_exists: bool,
        charset: CharsetClause,
    },
    AlterDatabase {
        name: String,
        charset: CharsetClause,
    },
    DropDatabase(String),
    /// About what is not a table.
    Harmless,
    /// Not understood.
    Unknown(Unknown),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChange {
    Add,
    AddUnique(UniqueKey),
    Drop,
    DropPrimaryKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    pub kind: &'static str,
    /// Those that were found.
    pub tables: Vec<TableName>,
    /// Others may be concerned too.
    pub others: bool,
    pub carries_rows: bool,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    pub name: TableName,
    pub if_not_exists: bool,
    pub body: CreateBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateBody {
    Like(TableName),
    Elements {
        elements: Elements,
        options: TableOptions,
        /// Columns, and rows, come from a query.
        selects: bool,
    },
}

/// What stands in the parentheses of CREATE TABLE, or of ADD (...).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elements {
    pub columns: Vec<ColumnSpec>,
    pub primary_key: Option<Vec<KeyPart>>,
    /// Of MariaDB only, where a long one brings a hidden column.
    pub unique_keys: Vec<UniqueKey>,
    pub periods: Vec<Period>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    pub name: String,
    /// MariaDB: it is a period's name, of which both columns are meant.
    pub without_overlaps: bool,
}

/// UNIQUE, as far as it tells whether MariaDB hashes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UniqueKey {
    pub uses_hash: bool,
    /// IF NOT EXISTS and OR REPLACE: whether it is made, or another one goes, hangs on the names of keys.
    pub hangs_on_names: bool,
    /// Columns, and how many characters of them count, where not all do.
    pub parts: Vec<(String, Option<u64>)>,
}

/// MariaDB: PERIOD FOR name (start, end)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    pub name: String,
    pub start: String,
    pub end: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    pub charset: CharsetClause,
    /// MariaDB: WITH SYSTEM VERSIONING
    pub system_versioning: bool,
    pub engine: Option<String>,
}

/// CHARACTER SET and COLLATE, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CharsetClause {
    pub charset: Option<CharsetWord>,
    pub collation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CharsetWord {
    /// CHARACTER SET DEFAULT, COLLATE DEFAULT
    Default,
    Named(String),
}

impl CharsetClause {
    pub fn named(name: &str) -> Self {
        Self { charset: Some(CharsetWord::Named(name.to_owned())), collation: None }
    }

    pub fn is_given(&self) -> bool {
        self.charset.is_some() || self.collation.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    pub name: String,
    pub type_spec: TypeSpec,
    /// PRIMARY KEY behind its type.
    pub primary_key: bool,
    /// UNIQUE behind its type.
    pub unique: bool,
    /// MariaDB: GENERATED ALWAYS AS ROW START or END.
    pub row_bound: Option<RowBound>,
    /// MariaDB: WITH SYSTEM VERSIONING behind its type, which makes the whole table versioned.
    pub system_versioning: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowBound {
    Start,
    End,
}

/// A type as it is written: what character set it has depends on the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeSpec {
    /// Without a character set.
    Plain(DefinedType),
    Characters {
        shape: TextShape,
        charset: CharsetClause,
    },
    Labels {
        is_set: bool,
        labels: Vec<Label>,
        charset: CharsetClause,
    },
}

/// Lengths in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextShape {
    Char(u64),
    Varchar(u64),
    Text(LobSize),
    /// TEXT(n): the smallest that holds so many characters.
    SizedText(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Text(String),
    /// It was not sent as UTF-8, and is not ASCII: in a binary column its bytes are others.
    Recoded(String),
    /// A hexadecimal or binary literal: bytes in the column's character set.
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    pub table: TableName,
    pub if_exists: bool,
    pub clauses: Vec<AlterClause>,
}

impl AlterTable {
    pub fn of(table: &TableName, clause: AlterClause) -> Self {
        Self { table: table.clone(), if_exists: false, clauses: vec![clause] }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Where it is, or behind all others if it is new.
    Unsaid,
    First,
    After(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterClause {
    AddColumn {
        column: ColumnSpec,
        if_not_exists: bool,
        place: Place,
    },
    /// CHANGE, and MODIFY (where `from` is the column's own name).
    ChangeColumn {
        from: String,
        if_exists: bool,
        column: ColumnSpec,
        place: Place,
    },
    RenameColumn {
        from: String,
        to: String,
        if_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    AddPrimaryKey {
        parts: Vec<KeyPart>,
        if_not_exists: bool,
    },
    DropPrimaryKey {
        if_exists: bool,
    },
    /// Of MariaDB only.
    AddUnique(UniqueKey),
    /// A key, constraint or index that is not the primary key.
    DropKey,
    AddPeriod(Period),
    ConvertCharset(CharsetClause),
    DefaultCharset(CharsetClause),
    RenameTo(TableName),
    /// MariaDB: the table becomes a partition.
    ConvertTable(TableName),
    /// MariaDB: a partition becomes this table.
    ConvertPartition(TableName),
    /// Its columns stay what they are, and so do those of this other table.
    ExchangePartition(TableName),
    AddSystemVersioning,
    DropSystemVersioning,
    /// Of MariaDB only: what the table's keys may be.
    Engine(String),
    Harmless,
    Unknown(String),
}
