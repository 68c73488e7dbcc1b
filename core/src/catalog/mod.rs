//! The tables of a source at one place of its log: a snapshot of `information_schema`, and every DDL statement after it.
//!
//! Invariants: nothing is guessed. A table whose definition can't be told for certain (an ALTER that is not understood, a
//! change of a column that is not there, columns from a SELECT) is [`TableState::Doubtful`] until it is read again
//! ([`Catalog::put`]). Applying the same statements to the same catalog gives the same catalog.
//!
//! Names are kept as `lower_case_table_names` of the server has them: with 1 and 2 they are compared in lower case.
//!
//! It never asks a server, and keeps no history: [`Catalog`] is a value of one moment.

mod alter;
mod apply;
pub mod charset;
mod definition;
mod hashing;
mod resolve;
mod versioning;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_codec::mysql::schema::CharsetName;
use millstream_codec::mysql::server::ServerKind;

use crate::source::statement::{DdlStatement, Session};

pub use definition::{ColumnDefinition, DefinedType, LobSize, TableDefinition, TableKind};

/// Database and table, in lower case where the server compares them so.
pub type TableKey = (String, String);

/// What the meaning of a statement depends on beside its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    pub kind: ServerKind,
    /// As 80036 for 8.0.36, 101106 for MariaDB 10.11.6; 0: not known.
    pub version: u32,
    /// 0: names as they are; 1: kept in lower case; 2: kept as given, compared in lower case.
    pub lower_case_table_names: u8,
    /// The character set of `collation_server`: of a database that says none, where the session is not known either.
    pub charset: CharsetName,
}

impl Default for ServerFacts {
    fn default() -> Self {
        Self { kind: ServerKind::Mysql, version: 0, lower_case_table_names: 0, charset: Arc::from("utf8mb4") }
    }
}

/// What is known of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableState<'a> {
    Known(&'a Arc<TableDefinition>),
    /// It must be read again, for this reason.
    Doubtful(&'a str),
    /// There is none, or it was never heard of.
    Absent,
}

/// How far a statement was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What it changes is known. (A table that was in doubt before an ALTER stays so, and is listed as changed.)
    Understood,
    /// It changes no table's columns, key, name or character set.
    Harmless,
    /// It may have changed tables in a way that is not known; those are in doubt now.
    Dangerous { reason: String },
}

/// What [`Catalog::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Tables whose state now differs, also those that are gone or in doubt.
    pub changed: Vec<TableKey>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Known(Arc<TableDefinition>),
    Doubtful(String),
}

/// All tables at one place of the log. Its memory is proportional to tables and columns; a clone shares the definitions.
#[derive(Debug, Clone)]
pub struct Catalog {
    server: ServerFacts,
    tables: BTreeMap<TableKey, Entry>,
    /// Default character sets.
    databases: BTreeMap<String, CharsetName>,
    views: BTreeSet<TableKey>,
}

impl Catalog {
    pub fn new(server: ServerFacts) -> Self {
        Self { server, tables: BTreeMap::new(), databases: BTreeMap::new(), views: BTreeSet::new() }
    }

    pub fn server(&self) -> &ServerFacts {
        &self.server
    }

    /// The server is another (or another version of it), or more of it was learnt.
    pub fn set_server(&mut self, server: ServerFacts) {
        let folded_before = self.server.lower_case_table_names != 0;
        self.server = server;
        if !folded_before && self.server.lower_case_table_names != 0 {
            self.tables = std::mem::take(&mut self.tables)
                .into_iter()
                .map(|((database, table), entry)| (self.key(&database, &table), entry))
                .collect();
            self.views =
                std::mem::take(&mut self.views).iter().map(|(database, view)| self.key(database, view)).collect();
            self.databases = std::mem::take(&mut self.databases)
                .into_iter()
                .map(|(database, charset)| (self.folded(&database), charset))
                .collect();
        }
    }

    /// Applies a statement that the server has executed.
    pub fn apply(&mut self, ddl: &DdlStatement, session: &Session<'_>) -> Effect {
        apply::apply(self, ddl, session)
    }

    pub fn table(&self, database: &str, table: &str) -> TableState<'_> {
        match self.tables.get(&self.key(database, table)) {
            Some(entry) => entry.state(),
            None => TableState::Absent,
        }
    }

    /// A table as `information_schema` tells it; ends a doubt.
    pub fn put(&mut self, definition: impl Into<Arc<TableDefinition>>) {
        let definition = definition.into();
        let key = self.key(&definition.database, &definition.table);
        self.views.remove(&key);
        self.tables.insert(key, Entry::Known(definition));
    }

    /// It must be read again before its rows can be understood.
    pub fn doubt(&mut self, database: &str, table: &str, reason: &str) {
        let key = self.key(database, table);
        self.tables.insert(key, Entry::Doubtful(reason.to_owned()));
    }

    /// It was read again, and is not there; ends a doubt.
    pub fn forget(&mut self, database: &str, table: &str) {
        let key = self.key(database, table);
        self.tables.remove(&key);
    }

    /// A database and its default character set.
    pub fn put_database(&mut self, name: &str, charset: CharsetName) {
        let name = self.folded(name);
        self.databases.insert(name, charset::canonical(&charset).unwrap_or(charset));
    }

    /// The default character set of a database, where it is known.
    pub fn database(&self, name: &str) -> Option<&CharsetName> {
        self.databases.get(&self.folded(name))
    }

    /// Databases and their default character sets.
    pub fn databases(&self) -> impl Iterator<Item = (&str, &CharsetName)> {
        self.databases.iter().map(|(name, charset)| (name.as_str(), charset))
    }

    /// A view: only its name counts, so that a RENAME of it is not taken for that of an unknown table.
    pub fn put_view(&mut self, database: &str, view: &str) {
        let key = self.key(database, view);
        self.tables.remove(&key);
        self.views.insert(key);
    }

    pub fn views(&self) -> impl Iterator<Item = &TableKey> {
        self.views.iter()
    }

    /// All tables that are known or in doubt, by name.
    pub fn tables(&self) -> impl Iterator<Item = (&TableKey, TableState<'_>)> {
        self.tables.iter().map(|(key, entry)| (key, entry.state()))
    }

    /// The names as they are compared.
    pub fn key(&self, database: &str, table: &str) -> TableKey {
        (self.folded(database), self.folded(table))
    }

    fn folded(&self, name: &str) -> String {
        if self.server.lower_case_table_names == 0 { name.to_owned() } else { name.to_lowercase() }
    }
}

impl Entry {
    fn state(&self) -> TableState<'_> {
        match self {
            Self::Known(definition) => TableState::Known(definition),
            Self::Doubtful(reason) => TableState::Doubtful(reason),
        }
    }
}

#[cfg(test)]
mod tests;
