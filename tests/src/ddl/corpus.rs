//! DDL statements by theme: `tests/corpus/ddl.jsonl`, one object a line: `{"n", "theme", "only", "sql"}`. Without `only`,
//! every server takes it. Lines of the theme `session` set what the statements after them are written with.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::harness::{Condition, Kind, Version, repository};

#[derive(Clone, Debug)]
pub struct DdlCase {
    pub n: u64,
    pub theme: String,
    pub sql: String,
    only: Condition,
}

impl DdlCase {
    pub fn applies_to(&self, kind: Kind, version: Version) -> bool {
        self.only.holds(kind, version)
    }
}

/// The project's own.
///
/// # Errors
/// With its line: what cannot be read.
pub fn load_ddl_cases() -> anyhow::Result<Vec<DdlCase>> {
    load(&repository().join("tests/corpus/ddl.jsonl"))
}

/// Those of the folder that MILLSTREAM_CORPUS names, where there are any.
///
/// # Errors
/// With its line: what cannot be read.
pub fn shared_ddl_cases() -> anyhow::Result<Vec<DdlCase>> {
    match std::env::var_os("MILLSTREAM_CORPUS") {
        Some(folder) => load(&Path::new(&folder).join("ddl-forms.jsonl")),
        None => Ok(Vec::new()),
    }
}

/// Those of the file that MILLSTREAM_DDL_FILE names.
///
/// # Errors
/// With its line: what cannot be read.
pub fn sequence_ddl_cases() -> anyhow::Result<Vec<DdlCase>> {
    match std::env::var_os("MILLSTREAM_DDL_FILE") {
        Some(file) => load(Path::new(&file)),
        None => Ok(Vec::new()),
    }
}

fn load(path: &Path) -> anyhow::Result<Vec<DdlCase>> {
    let content = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parse = |line: &str| -> anyhow::Result<DdlCase> {
        let line: Value = serde_json::from_str(line)?;
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let only = text("only").filter(|only| *only != "both").unwrap_or_default();
        Ok(DdlCase {
            n: line.get("n").and_then(Value::as_u64).context("no n")?,
            theme: text("theme").context("no theme")?.to_owned(),
            sql: text("sql").context("no sql")?.to_owned(),
            only: only.parse()?,
        })
    };
    content
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| parse(line).with_context(|| format!("{}:{}", path.display(), index + 1)))
        .collect()
}
