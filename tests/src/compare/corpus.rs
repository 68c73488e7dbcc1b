//! All that a corpus script says of delivered rows.

use anyhow::ensure;

use super::{Images, LeftOut, RowLine, corpus_outcome};
use crate::harness::{CorpusScript, MysqlServer};

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
    let outcome = corpus_outcome(server, script, rows, Images::Full, &LeftOut::new())?;
    ensure!(outcome.run > 0, "{}: nothing applies to {}", script.name, server.name());
    Ok(outcome.complaints)
}
