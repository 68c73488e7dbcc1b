//! The state of tables that follows from the changes alone, by primary key.
//!
//! A change may come again: applied a second time, with all that followed it, it gives the same state.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Images;
use super::line::{DdlLine, RowLine};
use super::select::{Replayed, SelectedTables};

/// Rows by table and by the value of `id`, which every table has as its key.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    tables: BTreeMap<(String, String), BTreeMap<String, Map<String, Value>>>,
    /// What a change said of a row that is not as the change has it, or not there at all.
    pub contradictions: Vec<String>,
}

impl Fold {
    /// A change with full images.
    pub fn apply(&mut self, row: &RowLine) {
        let key = (row.database.clone(), row.table.clone());
        let rows = self.tables.entry(key).or_default();
        let id = |image: &Map<String, Value>| image.get("id").map(Value::to_string).unwrap_or_default();
        if let Some(before) = &row.before {
            match rows.remove(&id(before)) {
                // an ALTER may have added, removed or converted what is not the key
                Some(_) => {}
                None => self
                    .contradictions
                    .push(format!("{} of no row: {}.{} at {}", row.op, row.database, row.table, row.pos)),
            }
        }
        if let Some(after) = &row.after
            && rows.insert(id(after), after.clone()).is_some()
        {
            self.contradictions.push(format!("{} over a row: {}.{} at {}", row.op, row.database, row.table, row.pos));
        }
    }

    /// Statements that take rows away without naming them.
    pub fn apply_ddl(&mut self, ddl: &DdlLine) {
        if matches!(ddl.kind.as_str(), "truncate_table" | "drop_table") {
            for name in ddl.tables.iter().filter_map(|name| name.split_once('.')) {
                self.tables.remove(&(name.0.to_owned(), name.1.to_owned()));
            }
        }
    }

    /// What SELECT gave otherwise.
    pub fn complaints(&self, selected: &SelectedTables) -> Vec<String> {
        let tables = self.tables.iter().map(|((database, table), rows)| {
            ((database.as_str(), table.as_str()), rows.values().cloned().collect::<Vec<_>>())
        });
        selected.complaints_of(tables.collect::<Replayed<'_>>(), Images::Full)
    }
}
