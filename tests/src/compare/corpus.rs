//! All that a corpus script says of delivered rows.

use anyhow::ensure;

use super::{RowLine, SelectedTables, change_complaint, value_complaints};
use crate::harness::{Answers, CorpusScript, MysqlServer, RowEvent, TypeCase};

/// The rows of these databases.
pub fn rows_of(rows: &[RowLine], databases: &[&str]) -> Vec<RowLine> {
    rows.iter().filter(|row| databases.contains(&row.database.as_str())).cloned().collect()
}

/// What differs between the rows that were delivered after the script ran on this server, and what it states. Where it
/// states values, the rest of its tables' content is held against SELECT.
///
/// # Errors
/// Those of the server, or when the script states nothing for it.
pub fn corpus_complaints(server: &MysqlServer, script: &CorpusScript, rows: &[RowLine]) -> anyhow::Result<Vec<String>> {
    let applies = |databases: &mut Vec<&str>| {
        databases.sort_unstable();
        databases.dedup();
        ensure!(!databases.is_empty(), "{}: nothing applies to {}", script.name, server.name());
        Ok(rows_of(rows, databases))
    };
    let complaints = match &script.answers {
        Answers::Values(cases) => {
            let cases: Vec<&TypeCase> =
                cases.iter().filter(|case| case.applies_to(server.kind(), server.version)).collect();
            let mut databases = cases.iter().map(|case| case.database.as_str()).collect();
            let rows = applies(&mut databases)?;
            let mut complaints = value_complaints(cases, &rows);
            complaints.extend(SelectedTables::read(server, &databases)?.complaints(&rows)?);
            complaints
        }
        Answers::Changes(changes) => {
            let changes: Vec<&RowEvent> =
                changes.iter().filter(|change| change.applies_to(server.kind(), server.version)).collect();
            let mut databases = changes.iter().map(|change| change.database.as_str()).collect();
            let rows = applies(&mut databases)?;
            change_complaint(&changes, &rows).into_iter().collect()
        }
    };
    let shown = |complaint: String| format!("{}: {}", script.name, complaint.chars().take(700).collect::<String>());
    Ok(complaints.into_iter().map(shown).collect())
}
