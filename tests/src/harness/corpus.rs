//! The corpus: SQL scripts, and beside each what its rows are known to be.
//!
//! `NAME.sql` is an [`SqlScript`]; `NAME.expected.jsonl` holds one JSON object a line: a value for each row
//! of the scripts about types ([`TypeCase`]), a change a line for the scripts about transactions ([`RowEvent`]).
//! `tests/corpus/README.md` describes both.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

use super::condition::Condition;
use super::flavour::{Kind, Version};
use super::sqlscript::SqlScript;
use super::tools::repository;

/// A script and what is known of its rows.
#[derive(Clone, Debug)]
pub struct CorpusScript {
    /// File name without its ending: `numeric`.
    pub name: String,
    /// The project's own, whose answers are known for every table; others may write rows that they do not state.
    pub own: bool,
    pub script: SqlScript,
    pub answers: Answers,
}

#[derive(Clone, Debug)]
pub enum Answers {
    Values(Vec<TypeCase>),
    Changes(Vec<RowEvent>),
}

/// One stored value: column `column` of the row `id` of `database.table`.
#[derive(Clone, Debug)]
pub struct TypeCase {
    pub name: String,
    pub database: String,
    pub table: String,
    pub id: i64,
    pub column: String,
    /// As the table definition writes it.
    pub sql_type: String,
    /// `null`, or `{"k": kind, ...}`.
    pub expect: Value,
    servers: Condition,
}

impl TypeCase {
    pub fn applies_to(&self, kind: Kind, version: Version) -> bool {
        self.servers.holds(kind, version)
    }
}

/// One row change, in the order of delivery.
#[derive(Clone, Debug)]
pub struct RowEvent {
    /// `insert`, `update` or `delete`.
    pub op: String,
    pub database: String,
    pub table: String,
    pub before: Option<Map<String, Value>>,
    pub after: Option<Map<String, Value>>,
    /// Changes of one transaction share it; it rises in commit order, with gaps.
    pub transaction: u64,
    /// Its place in the log among the changes of this script: not the order of delivery where a
    /// transaction was prepared by XA and decided later.
    pub log_order: u64,
    /// In the log, but rolled back by XA ROLLBACK: never delivered.
    pub rolled_back_xa: bool,
    servers: Condition,
}

impl RowEvent {
    pub fn applies_to(&self, kind: Kind, version: Version) -> bool {
        self.servers.holds(kind, version)
    }
}

/// All scripts of the project, and those of the folder that MILLSTREAM_CORPUS names, else of `shared/corpus` in or beside
/// the checkout where there is one.
///
/// # Errors
/// With file and line: what cannot be read or parsed.
pub fn load_corpus() -> anyhow::Result<Vec<CorpusScript>> {
    let root = repository();
    let mut scripts = load_folder(&root.join("tests/corpus"), true)?;
    let named = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from);
    let beside = [root.join("shared/corpus"), root.join("../shared/corpus")];
    for folder in named.iter().chain(&beside) {
        if folder.is_dir() {
            scripts.extend(load_folder(folder, false)?);
            break;
        }
    }
    Ok(scripts)
}

fn load_folder(folder: &Path, own: bool) -> anyhow::Result<Vec<CorpusScript>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|path| load_script(path, own)).collect()
}

fn load_script(path: &Path, own: bool) -> anyhow::Result<CorpusScript> {
    let script = SqlScript::load(path)?;
    let answers = path.with_extension("expected.jsonl");
    let content = std::fs::read_to_string(&answers).with_context(|| answers.display().to_string())?;
    let lines = content
        .lines()
        .enumerate()
        .map(|(index, line)| parse_line(line).with_context(|| format!("{}:{}", answers.display(), index + 1)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let answers = if lines.iter().all(|line| line.contains_key("case")) {
        Answers::Values(lines.iter().map(type_case).collect::<anyhow::Result<_>>()?)
    } else {
        Answers::Changes(lines.iter().map(row_event).collect::<anyhow::Result<_>>()?)
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(CorpusScript { name, own, script, answers })
}

fn parse_line(line: &str) -> anyhow::Result<Map<String, Value>> {
    match serde_json::from_str(line)? {
        Value::Object(object) => Ok(object),
        _ => anyhow::bail!("not an object"),
    }
}

fn type_case(line: &Map<String, Value>) -> anyhow::Result<TypeCase> {
    Ok(TypeCase {
        name: text(line, "case")?,
        database: text(line, "db")?,
        table: text(line, "table")?,
        id: line.get("id").and_then(Value::as_i64).context("no id")?,
        column: text(line, "col")?,
        sql_type: text(line, "type")?,
        expect: line.get("expect").cloned().context("no expect")?,
        servers: servers(line)?,
    })
}

fn row_event(line: &Map<String, Value>) -> anyhow::Result<RowEvent> {
    let number = |key: &str| line.get(key).and_then(Value::as_u64);
    let name = text(line, "table")?;
    let (database, table) = name.split_once('.').context("a table without its database")?;
    Ok(RowEvent {
        op: text(line, "op")?,
        database: database.to_owned(),
        table: table.to_owned(),
        before: line.get("before").and_then(Value::as_object).cloned(),
        after: line.get("after").and_then(Value::as_object).cloned(),
        transaction: number("tx").context("no tx")?,
        log_order: number("log_n").or(number("n")).context("no n")?,
        rolled_back_xa: line.get("rolled_back_xa").and_then(Value::as_bool).unwrap_or(false),
        servers: servers(line)?,
    })
}

fn text(line: &Map<String, Value>, key: &str) -> anyhow::Result<String> {
    Ok(line.get(key).and_then(Value::as_str).with_context(|| format!("no {key}"))?.to_owned())
}

fn servers(line: &Map<String, Value>) -> anyhow::Result<Condition> {
    line.get("servers").and_then(Value::as_str).unwrap_or_default().parse()
}
