//! How many of the known answers of a script came, case by case.
//!
//! A case of a script about types agrees where the value is the stated one and the one that SELECT gives; a case of a
//! script about transactions is a change, and agrees where the image is the stated one and all before it agreed.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::changes::compare_changes;
use super::line::RowLine;
use super::select::{SelectedTables, replay};
use super::values::value_agrees;
use super::{Images, rows_of};
use crate::harness::{Answers, CorpusScript, MysqlServer, RowEvent, TypeCase};

/// The cases of some scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub run: usize,
    pub agreed: usize,
    /// Not counted in `run`: the log does not carry the value, or it was asked not to be looked at.
    pub untold: usize,
    /// A line each: what did not agree, and what else differs from SELECT.
    pub complaints: Vec<String>,
}

impl Outcome {
    pub fn add(&mut self, other: Outcome) {
        self.run += other.run;
        self.agreed += other.agreed;
        self.untold += other.untold;
        self.complaints.extend(other.complaints);
    }

    pub fn is_complete(&self) -> bool {
        self.run == self.agreed && self.complaints.is_empty()
    }
}

/// Tables that are left out, as (database, table).
pub type LeftOut = BTreeSet<(String, String)>;

/// The rows that came after the script ran on this server, against all that is known of them.
///
/// # Errors
/// Those of the server.
pub fn corpus_outcome(
    server: &MysqlServer,
    script: &CorpusScript,
    rows: &[RowLine],
    images: Images,
    left_out: &LeftOut,
) -> anyhow::Result<Outcome> {
    let mut outcome = match &script.answers {
        Answers::Values(cases) => values(server, cases, rows, images, left_out)?,
        Answers::Changes(changes) => changes_outcome(server, changes, rows, images, left_out),
    };
    for complaint in &mut outcome.complaints {
        *complaint = format!("{}: {}", script.name, complaint.chars().take(700).collect::<String>());
    }
    Ok(outcome)
}

fn databases_of<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_in(tables: &LeftOut, database: &str, table: &str) -> bool {
    // few, and asked seldom
    tables.iter().any(|(d, t)| d == database && t == table)
}

fn values(
    server: &MysqlServer,
    cases: &[TypeCase],
    rows: &[RowLine],
    images: Images,
    left_out: &LeftOut,
) -> anyhow::Result<Outcome> {
    let cases: Vec<&TypeCase> = cases.iter().filter(|case| case.applies_to(server.kind(), server.version)).collect();
    let databases = databases_of(cases.iter().map(|case| case.database.as_str()));
    let mut outcome = Outcome::default();
    if databases.is_empty() {
        return Ok(outcome);
    }
    let mut rows = rows_of(rows, &databases);
    rows.retain(|row| !is_in(left_out, &row.database, &row.table));
    let mut selected = SelectedTables::read(server, &databases)?;
    selected.leave_out(left_out);
    let replayed = match replay(&rows) {
        Ok(replayed) => replayed,
        // none of it can be believed then
        Err(error) => {
            outcome.run = cases.len();
            outcome.complaints.push(format!("{error:#}"));
            return Ok(outcome);
        }
    };
    let mut by_id: HashMap<(&str, &str, i64), &Map<String, Value>> = HashMap::new();
    for ((database, table), rows) in &replayed {
        let with_id = rows.iter().filter_map(|row| Some((row.get("id")?.as_i64()?, row)));
        by_id.extend(with_id.map(|(id, row)| ((*database, *table, id), row)));
    }
    for case in cases {
        if is_in(left_out, &case.database, &case.table) {
            outcome.untold += 1;
            continue;
        }
        let row = by_id.get(&(case.database.as_str(), case.table.as_str(), case.id));
        let value = row.and_then(|row| row.get(&case.column));
        match (row, value, images) {
            (Some(_), None, Images::Partial) => {
                outcome.untold += 1;
                continue;
            }
            (Some(_), Some(value), _) => {
                let stated = value_agrees(&case.expect, value);
                let select = selected.agrees(&case.database, &case.table, case.id, &case.column, value);
                if stated && select == Some(true) {
                    outcome.agreed += 1;
                } else {
                    outcome.complaints.push(format!(
                        "{} ({}): got {value}, stated {} ({stated}), SELECT {select:?}",
                        case.name, case.sql_type, case.expect
                    ));
                }
            }
            (row, ..) => {
                let what = if row.is_some() { "no such column came" } else { "the row did not come" };
                outcome.complaints.push(format!("{} ({}): {what}", case.name, case.sql_type));
            }
        }
        outcome.run += 1;
    }
    outcome.complaints.extend(selected.complaints_of(replayed, images));
    Ok(outcome)
}

fn changes_outcome(
    server: &MysqlServer,
    changes: &[RowEvent],
    rows: &[RowLine],
    images: Images,
    left_out: &LeftOut,
) -> Outcome {
    let all =
        changes.iter().filter(|change| change.applies_to(server.kind(), server.version) && !change.rolled_back_xa);
    let (kept, untold): (Vec<&RowEvent>, Vec<&RowEvent>) =
        all.partition(|change| !is_in(left_out, &change.database, &change.table));
    let mut rows = rows_of(rows, &databases_of(kept.iter().map(|change| change.database.as_str())));
    rows.retain(|row| !is_in(left_out, &row.database, &row.table));
    let (agreed, complaint) = compare_changes(&kept, &rows, images);
    Outcome { run: kept.len(), agreed, untold: untold.len(), complaints: complaint.into_iter().collect() }
}
