//! The JSON lines of `tail` and `decode`, read back strictly: a key too many or too few is an error.

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    Row(RowLine),
    Ddl(DdlLine),
}

/// A row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowLine {
    pub op: String,
    #[serde(rename = "db")]
    pub database: String,
    pub table: String,
    pub gtid: Option<String>,
    /// `file:offset` of the row's event.
    pub pos: String,
    pub tx: u64,
    /// The ordinal of the row id.
    pub row: u64,
    pub ts_us: i64,
    #[serde(default)]
    pub before: Option<Map<String, Value>>,
    #[serde(default)]
    pub after: Option<Map<String, Value>>,
}

/// A statement that changed the schema.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdlLine {
    pub op: String,
    #[serde(rename = "db")]
    pub database: String,
    pub sql: String,
    pub kind: String,
    pub tables: Vec<String>,
    pub gtid: Option<String>,
    pub pos: String,
    pub tx: u64,
    pub ts_us: i64,
}

/// # Errors
/// With the number of the line: what is not such a line.
pub fn parse_lines(text: &[u8]) -> anyhow::Result<Vec<Line>> {
    let text = std::str::from_utf8(text).context("the lines are not UTF-8")?;
    ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            parse_line(line).with_context(|| {
                let begin: String = line.chars().take(400).collect();
                format!("line {}: {begin}", index + 1)
            })
        })
        .collect()
}

fn parse_line(line: &str) -> anyhow::Result<Line> {
    if line.starts_with(r#"{"op":"ddl","#) {
        return Ok(Line::Ddl(serde_json::from_str(line)?));
    }
    let row: RowLine = serde_json::from_str(line)?;
    let images = (row.before.is_some(), row.after.is_some());
    let expected = match row.op.as_str() {
        "insert" => (false, true),
        "update" => (true, true),
        "delete" => (true, false),
        other => anyhow::bail!("no operation is called {other:?}"),
    };
    ensure!(images == expected, "before and after do not fit the operation");
    let offset = row.pos.rsplit_once(':').and_then(|(file, offset)| Some((file, offset.parse::<u64>().ok()?)));
    ensure!(offset.is_some_and(|(file, offset)| !file.is_empty() && offset >= 4), "no position: {:?}", row.pos);
    ensure!(row.ts_us > 0, "no commit time");
    Ok(Line::Row(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: &str = r#"{"op":"insert","db":"d","table":"t","gtid":null,"pos":"b.000001:4","tx":1,"row":0,"ts_us":1,"after":{"id":1}}"#;

    #[test]
    fn a_line_that_is_not_what_it_should_be_is_refused() {
        assert!(
            matches!(&parse_lines(format!("{INSERT}\n").as_bytes()).unwrap()[..], [Line::Row(row)] if row.table == "t")
        );
        let refused = |from: &str, to: &str| {
            let line = INSERT.replacen(from, to, 1);
            assert_ne!(line, INSERT, "{from}");
            assert!(parse_lines(format!("{line}\n").as_bytes()).is_err(), "{line}");
        };
        refused("insert", "delete");
        refused("insert", "upsert");
        refused("\"tx\":1", "\"tx\":1,\"extra\":2");
        refused("\"tx\":1,", "");
        refused("b.000001:4", "b.000001");
        refused("b.000001:4", "b.000001:3");
        assert!(parse_lines(INSERT.as_bytes()).is_err(), "without its end");
    }
}
