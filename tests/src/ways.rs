//! The two ways by which rows come to a reader: followed through `millstreamd`, and decoded from files.
//!
//! Only the public programs are used. Both ways give the same lines; what they are worth is said by [`crate::compare`].

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::compare::{DdlLine, Line, RowLine, parse_lines};
use crate::harness::{Millstreamd, MysqlServer, Program, bound_command, workspace_program};

/// The row that ends a tail: written behind everything else, in a database of its own.
pub const LAST_DATABASE: &str = "zz_last";

/// What `millstream decode` made of some files.
#[derive(Debug, Default)]
pub struct Decoded {
    pub rows: Vec<RowLine>,
    pub ddl: Vec<DdlLine>,
    /// Lines of its standard error, but for those that only say what a file cannot tell: columns' names, MariaDB's addresses.
    pub warnings: Vec<String>,
}

/// Decodes the files in one go, whatever it has to warn of.
///
/// # Errors
/// When it does not run, ends otherwise than its warnings let expect, or prints what is no line.
pub fn decode_with_warnings(files: &[PathBuf]) -> anyhow::Result<Decoded> {
    let output = Command::new(workspace_program("millstream")?)
        .args(["decode", "--format", "jsonl", "--statement-dml", "warn"])
        .args(files)
        .stdin(Stdio::null())
        .output()
        .context("running millstream decode")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let untellable = ["the file has no column names", "its binary columns may be"];
    let told = |line: &&str| !line.trim().is_empty() && !untellable.iter().any(|part| line.contains(part));
    let warnings: Vec<String> = stderr.lines().filter(told).map(str::to_owned).collect();
    // with status 1 where something was left out
    let expected_status = if warnings.is_empty() { 0 } else { 1 };
    ensure!(output.status.code() == Some(expected_status), "millstream decode: {}: {stderr}", output.status);
    let mut decoded = Decoded { warnings, ..Decoded::default() };
    for line in parse_lines(&output.stdout)? {
        match line {
            Line::Row(row) => decoded.rows.push(row),
            Line::Ddl(ddl) => decoded.ddl.push(ddl),
        }
    }
    Ok(decoded)
}

/// The rows of these files; only the statements that the corpus has on purpose may be left out.
///
/// # Errors
/// As [`decode_with_warnings`], and where it warns of anything else.
pub fn decode(files: &[PathBuf]) -> anyhow::Result<Vec<RowLine>> {
    let decoded = decode_with_warnings(files)?;
    let others: Vec<_> =
        decoded.warnings.iter().filter(|line| !line.contains("a change was logged as a statement")).collect();
    ensure!(others.is_empty(), "millstream decode warns: {others:?}");
    Ok(decoded.rows)
}

/// A `millstream tail` of everything, from a place.
///
/// # Errors
/// When it cannot be started.
pub fn tail(daemon: &Millstreamd, from: &str) -> anyhow::Result<Program> {
    let mut command = bound_command(&workspace_program("millstream")?);
    command.args(["tail", "--server", &daemon.listen.to_string(), "--format", "jsonl", "--from", from]);
    Program::start(command)
}

/// Writes the row at which [`rows_of_tail`] ends.
///
/// # Errors
/// Those of the server.
pub fn write_last_row(server: &MysqlServer) -> anyhow::Result<()> {
    server.sql(&format!(
        "CREATE DATABASE {LAST_DATABASE}; CREATE TABLE {LAST_DATABASE}.t (id INT PRIMARY KEY);
         INSERT INTO {LAST_DATABASE}.t VALUES (1)"
    ))
}

/// Every row up to the last one.
///
/// # Errors
/// When the tail ends before.
pub fn rows_of_tail(mut tail: Program) -> anyhow::Result<Vec<RowLine>> {
    let mut rows = Vec::new();
    loop {
        let Some(line) = tail.line_bytes()? else {
            bail!("the tail ended after {} rows: {:?}", rows.len(), tail.end()?)
        };
        for line in parse_lines(&line)? {
            match line {
                Line::Row(row) if row.database == LAST_DATABASE => return Ok(rows),
                Line::Row(row) => rows.push(row),
                Line::Ddl(_) => {}
            }
        }
    }
}
