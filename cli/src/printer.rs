//! Rows as text: a JSON line for programs, a coloured line for people.
//!
//! `tail` and `decode` print through this one place, so that they cannot differ.

use millstream_client::wire::json::{DdlLine, JsonError, JsonValue, LineContext, write_ddl_line, write_row_line};
use millstream_client::wire::messages::Op;
use millstream_client::wire::read::{RowReader, RowsReader, Value};
use millstream_client::wire::temporal::format_timestamp;

use crate::arguments::Format;
use crate::style::{Colour, Style};

/// Longer values are cut where people read.
const VALUE_CHARS_MAX: usize = 80;

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    pub format: Format,
    pub style: Style,
}

impl Printer {
    /// Appends the line of one row (its place in `rows`).
    ///
    /// # Errors
    /// Where the row is damaged.
    pub fn row(
        &self,
        out: &mut Vec<u8>,
        context: &LineContext<'_>,
        rows: &RowsReader<'_>,
        row: u32,
    ) -> Result<(), JsonError> {
        match self.format {
            Format::Jsonl => write_row_line(out, context, rows, row),
            Format::Text => self.row_text(out, context, rows, row).map_err(|reason| JsonError {
                table: format!("{}.{}", rows.layout().database, rows.layout().table),
                row: rows.first_row().wrapping_add(row),
                reason,
            }),
        }
    }

    pub fn ddl(&self, out: &mut Vec<u8>, context: &LineContext<'_>, ddl: &DdlLine<'_>) {
        match self.format {
            Format::Jsonl => write_ddl_line(out, context, ddl),
            Format::Text => {
                self.head(out, context, Colour::Magenta, "DDL");
                let statement: String = ddl.statement.split_whitespace().collect::<Vec<_>>().join(" ");
                if !ddl.database.is_empty() {
                    self.style.paint(out, Colour::Bold, &printable(ddl.database));
                    out.push(b' ');
                }
                out.extend_from_slice(cut(&printable(&statement), 4 * VALUE_CHARS_MAX).as_bytes());
                out.push(b'\n');
            }
        }
    }

    fn head(&self, out: &mut Vec<u8>, context: &LineContext<'_>, colour: Colour, op: &str) {
        let time = format_timestamp(context.commit_time_us, 6);
        self.style.paint(out, Colour::Dim, time.as_str());
        out.push(b' ');
        self.style.paint(out, colour, &format!("{op:6}"));
        out.push(b' ');
    }

    fn row_text(
        &self,
        out: &mut Vec<u8>,
        context: &LineContext<'_>,
        rows: &RowsReader<'_>,
        row: u32,
    ) -> Result<(), String> {
        let (colour, op) = match rows.op() {
            Op::Insert => (Colour::Green, "INSERT"),
            Op::Update => (Colour::Yellow, "UPDATE"),
            Op::Delete => (Colour::Red, "DELETE"),
        };
        self.head(out, context, colour, op);
        let layout = rows.layout();
        self.style.paint(out, Colour::Bold, &printable(&format!("{}.{}", layout.database, layout.table)));
        match (rows.before(row), rows.after(row)) {
            (Some(before), Some(after)) => self.update(out, &before, &after)?,
            (Some(image), None) | (None, Some(image)) => {
                for (column, value) in image.values() {
                    let value = value.map_err(|error| error.to_string())?;
                    if !is_missing(&value) {
                        self.name(out, &column.name);
                        out.extend_from_slice(shown(&JsonValue { column, value })?.as_bytes());
                    }
                }
            }
            (None, None) => {}
        }
        out.push(b'\n');
        Ok(())
    }

    /// The primary key, and what changed.
    fn update(&self, out: &mut Vec<u8>, before: &RowReader<'_>, after: &RowReader<'_>) -> Result<(), String> {
        let has_key = after.layout().columns.iter().any(|column| column.primary_key > 0);
        for ((column, old), (_, new)) in before.values().zip(after.values()) {
            let old = old.map_err(|error| error.to_string())?;
            let new = new.map_err(|error| error.to_string())?;
            let old_text = match is_missing(&old) {
                true => None,
                false => Some(shown(&JsonValue { column, value: old })?),
            };
            let new_text = match is_missing(&new) {
                true => None,
                false => Some(shown(&JsonValue { column, value: new })?),
            };
            let is_key = column.primary_key > 0 || !has_key;
            match (old_text, new_text) {
                (None, None) => {}
                (old_text, new_text) if old_text == new_text || new_text.is_none() => {
                    if let (true, Some(text)) = (is_key, old_text) {
                        self.name(out, &column.name);
                        out.extend_from_slice(text.as_bytes());
                    }
                }
                (old_text, new_text) => {
                    self.name(out, &column.name);
                    if let Some(text) = old_text {
                        self.style.paint(out, Colour::Dim, &text);
                        out.extend_from_slice(" -> ".as_bytes());
                    }
                    out.extend_from_slice(new_text.unwrap_or_default().as_bytes());
                }
            }
        }
        Ok(())
    }

    fn name(&self, out: &mut Vec<u8>, name: &str) {
        out.extend_from_slice(b"  ");
        self.style.paint(out, Colour::Cyan, &printable(name));
        out.push(b'=');
    }
}

/// The image does not carry it, or a projection leaves it out.
fn is_missing(value: &Value<'_>) -> bool {
    matches!(value, Value::Absent | Value::Masked)
}

/// As in JSON, but without quotes where there is nothing to mistake; cut to what a terminal can show.
fn shown(value: &JsonValue<'_>) -> Result<String, String> {
    let json = || simd_json::to_string(value).map_err(|error| error.to_string());
    let text = match value.value {
        Value::Null => "NULL".to_owned(),
        Value::Decimal(text) | Value::Json(text) | Value::Inet6(text) | Value::Inet4(text) | Value::Uuid(text) => {
            text.to_owned()
        }
        Value::Date(_) | Value::DateTime(_) | Value::Timestamp(_) | Value::Time(_) | Value::Enum(_) | Value::Set(_) => {
            json()?.trim_matches('"').to_owned()
        }
        Value::Bytes(bytes) | Value::Geometry(bytes) => {
            let shown = bytes.iter().take(VALUE_CHARS_MAX).map(|byte| format!("{byte:02x}"));
            let hex = format!("0x{}", shown.collect::<String>());
            return Ok(match bytes.len() <= VALUE_CHARS_MAX / 2 {
                true => hex,
                false => format!("{}… ({} bytes)", hex.get(..VALUE_CHARS_MAX).unwrap_or(&hex), bytes.len()),
            });
        }
        _ => json()?,
    };
    Ok(cut(&printable(&text), VALUE_CHARS_MAX))
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… ({} bytes)", text.get(..at).unwrap_or_default(), text.len()),
    }
}

/// Data must not drive the terminal: control characters are shown, not sent.
pub fn printable(text: &str) -> String {
    match text.chars().any(char::is_control) {
        false => text.to_owned(),
        true => text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect(),
    }
}

#[cfg(test)]
#[path = "printer_tests.rs"]
mod tests;
