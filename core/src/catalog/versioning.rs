//! MariaDB's WITH SYSTEM VERSIONING: two columns more, which a statement may name or leave to the server, and the end of
//! a row's time in the primary key.

use super::hashing::is_hash;
use super::{ColumnDefinition, DefinedType, TableDefinition, TableKind};

pub(super) enum Versioned<'a> {
    /// The server adds `row_start` and `row_end`, which `information_schema` does not show.
    Implicitly,
    /// This column is the end of the row's time.
    ByColumn(&'a str),
}

pub(super) fn add(definition: &mut TableDefinition, versioned: Versioned<'_>) -> Result<(), String> {
    definition.kind = TableKind::SystemVersioned;
    let end = match versioned {
        Versioned::ByColumn(name) => name,
        Versioned::Implicitly => {
            for name in ["row_start", "row_end"] {
                if definition.columns.iter().any(|column| super::alter::same_name(&column.name, name)) {
                    return Err(format!("a versioned table that has a column {name} of its own"));
                }
                let column = ColumnDefinition {
                    name: name.to_owned(),
                    defined_type: DefinedType::Timestamp { digits: 6 },
                    primary_key: 0,
                    hidden: true,
                };
                let index = definition.columns.iter().position(is_hash).unwrap_or(definition.columns.len());
                definition.columns.insert(index, column);
            }
            "row_end"
        }
    };
    add_to_key(definition, end);
    Ok(())
}

/// The end of a row's time is the last part of the primary key, if there is one.
fn add_to_key(definition: &mut TableDefinition, end: &str) {
    let place = definition.columns.iter().map(|column| column.primary_key).max().unwrap_or(0);
    if place == 0 {
        return;
    }
    for column in &mut definition.columns {
        if column.primary_key == 0 && super::alter::same_name(&column.name, end) {
            column.primary_key = place + 1;
        }
    }
}

/// After a change of the primary key: the hidden end is its last part again.
///
/// # Errors
/// For a table whose versioning columns are not hidden: which of them is the end is not kept.
pub(super) fn restore_key(definition: &mut TableDefinition) -> Result<(), String> {
    if definition.kind != TableKind::SystemVersioned {
        return Ok(());
    }
    if !has_hidden(definition) {
        return Err("the primary key of a table was changed that names its versioning columns".to_owned());
    }
    add_to_key(definition, "row_end");
    Ok(())
}

fn has_hidden(definition: &TableDefinition) -> bool {
    definition.columns.iter().any(|column| column.hidden && !is_hash(column))
}

pub(super) fn remove(definition: &mut TableDefinition) -> Result<(), String> {
    if definition.kind == TableKind::SystemVersioned && !has_hidden(definition) {
        return Err("system versioning was dropped from a table that names its versioning columns".to_owned());
    }
    definition.kind = TableKind::Table;
    definition.columns.retain(|column| !column.hidden || is_hash(column));
    Ok(())
}

impl TableDefinition {
    /// The two columns that the server adds to a versioned table that names none, and their part of the key.
    ///
    /// # Errors
    /// Where the table has columns of these names of its own.
    pub fn add_hidden_versioning(&mut self) -> Result<(), String> {
        add(self, Versioned::Implicitly)
    }
}
