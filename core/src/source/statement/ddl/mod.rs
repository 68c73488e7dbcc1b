//! DDL, as far as it says what columns, keys, names and character sets tables have. Everything else (expressions,
//! partitions, options of engines) is skipped with its parentheses; what is not known is said to be so.
//!
//! One parser makes the tree ([`Change`]); which tables a statement touches is read off it.

mod alter;
mod column;
mod create;
mod objects;
mod options;
mod parser;
mod tree;
mod types;

pub use tree::{
    AlterClause, AlterTable, Change, CharsetClause, CharsetWord, ColumnSpec, CreateBody, CreateTable, Elements,
    IndexChange, KeyPart, Label, Period, Place, RowBound, TableName, TableOptions, TextShape, TypeSpec, UniqueKey,
    Unknown,
};

use super::token::Tokens;
use super::{Session, Statement};
use parser::Parser;

/// Whose columns a statement may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touches {
    /// No table's.
    Nothing,
    /// Those of the tables that are listed.
    Listed,
    /// It does not say.
    Unknown,
}

/// Columns of one table that change their names, all at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRenames {
    pub database: String,
    pub table: String,
    pub columns: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlStatement {
    /// create_table, alter_table, drop_table, rename_table, truncate_table, other.
    pub kind: &'static str,
    /// (database, table); the database is empty where the statement means the session's, and there is none.
    pub tables: Vec<(String, String)>,
    pub touches: Touches,
    pub renames: Option<ColumnRenames>,
    /// It also fills the table, from a SELECT: rows that the log does not hold.
    pub carries_rows: bool,
    /// What it does to the tables' definitions.
    pub change: Change,
    /// The whole statement.
    pub text: String,
}

impl DdlStatement {
    /// For a statement that is not known at all.
    pub fn unknown(text: String) -> Self {
        let mut reason = "the statement is not known: ".to_owned();
        reason.extend(text.chars().take(crate::limits::STATEMENT_EXCERPT_CHARS));
        Self { text, ..Self::of(not_understood(reason)) }
    }

    pub(super) fn of(change: Change) -> Self {
        let (kind, mut tables) = tables_of(&change);
        let mut seen = Vec::with_capacity(tables.len());
        tables.retain(|table| {
            let is_new = !seen.contains(table);
            seen.push(table.clone());
            is_new
        });
        let touches = match &change {
            Change::Harmless | Change::AlterDatabase { .. } => Touches::Nothing,
            Change::CreateDatabase { or_replace, .. } if !or_replace => Touches::Nothing,
            // Every table of it.
            Change::DropDatabase(_) | Change::CreateDatabase { .. } => Touches::Unknown,
            Change::Unknown(unknown) if unknown.others => Touches::Unknown,
            _ => Touches::Listed,
        };
        let carries_rows = match &change {
            Change::CreateTable(CreateTable { body: CreateBody::Elements { selects, .. }, .. }) => *selects,
            Change::Unknown(unknown) => unknown.carries_rows,
            _ => false,
        };
        Self { kind, tables, touches, renames: renames_of(&change), carries_rows, change, text: String::new() }
    }

    /// It was not read to its end, or not for certain, so what it changes is not known.
    pub(super) fn doubted(self, reason: &str) -> Self {
        let unknown = Unknown {
            kind: self.kind,
            others: self.touches == Touches::Unknown || self.tables.is_empty(),
            tables: self.tables,
            carries_rows: self.carries_rows,
            reason: reason.to_owned(),
        };
        Self { renames: self.renames, text: self.text, ..Self::of(Change::Unknown(unknown)) }
    }
}

fn not_understood(reason: String) -> Change {
    Change::Unknown(Unknown { kind: "other", tables: Vec::new(), others: true, carries_rows: false, reason })
}

/// The statement's kind, and the tables that it names, some perhaps twice.
pub(crate) fn tables_of(change: &Change) -> (&'static str, Vec<TableName>) {
    match change {
        Change::CreateTable(create) => ("create_table", vec![create.name.clone()]),
        Change::AlterTable(alter) => {
            let others = alter.clauses.iter().filter_map(|clause| match clause {
                AlterClause::RenameTo(other)
                | AlterClause::ConvertTable(other)
                | AlterClause::ConvertPartition(other)
                | AlterClause::ExchangePartition(other) => Some(other.clone()),
                _ => None,
            });
            ("alter_table", std::iter::once(alter.table.clone()).chain(others).collect())
        }
        Change::DropTables(tables) => ("drop_table", tables.clone()),
        Change::RenameTables { pairs, .. } => {
            ("rename_table", pairs.iter().flat_map(|(from, to)| [from.clone(), to.clone()]).collect())
        }
        Change::Truncate(table) => ("truncate_table", vec![table.clone()]),
        Change::Index { table: name, .. }
        | Change::CreateSequence { name, .. }
        | Change::AlterSequence { name, .. }
        | Change::CreateView(name)
        | Change::AlterView(name) => ("other", vec![name.clone()]),
        Change::DropViews(names) | Change::DropSequences(names) => ("other", names.clone()),
        Change::CreateDatabase { .. } | Change::AlterDatabase { .. } | Change::DropDatabase(_) | Change::Harmless => {
            ("other", Vec::new())
        }
        Change::Unknown(unknown) => (unknown.kind, unknown.tables.clone()),
    }
}

fn renames_of(change: &Change) -> Option<ColumnRenames> {
    let Change::AlterTable(alter) = change else { return None };
    let columns: Vec<_> = alter
        .clauses
        .iter()
        .filter_map(|clause| match clause {
            AlterClause::RenameColumn { from, to, .. } => Some((from.clone(), to.clone())),
            AlterClause::ChangeColumn { from, column, .. } if *from != column.name => {
                Some((from.clone(), column.name.clone()))
            }
            _ => None,
        })
        .collect();
    let (database, table) = alter.table.clone();
    (!columns.is_empty()).then_some(ColumnRenames { database, table, columns })
}

/// Behind CREATE, ALTER, DROP, RENAME, TRUNCATE.
pub(super) fn parse(verb: &str, tokens: &mut Tokens<'_>, session: &Session<'_>) -> Statement {
    let mut parser = Parser { tokens, session };
    let change = match verb {
        "CREATE" => parser.create(),
        "ALTER" => parser.alter(),
        "DROP" => parser.drop_statement(),
        "RENAME" => parser.rename(),
        _ => {
            parser.word("TABLE");
            Some(parser.table_name().map_or_else(not_understood, Change::Truncate))
        }
    };
    change.map_or(Statement::Harmless, |change| Statement::Ddl(Box::new(DdlStatement::of(change))))
}

#[cfg(test)]
mod tests;
