//! The content of tables by SELECT, against the content that the delivered changes give.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, ensure};
use serde_json::{Map, Value};

use super::line::RowLine;
use super::values::is_address_or_uuid;
use super::{Images, LeftOut};
use crate::harness::{Kind, MysqlServer, Session, Version};

/// What a server answers about all base tables of some databases, as it is now.
pub struct SelectedTables {
    tables: Vec<SelectedTable>,
}

struct SelectedTable {
    database: String,
    name: String,
    columns: Vec<SelectedColumn>,
    rows: Vec<Vec<Option<String>>>,
}

struct SelectedColumn {
    name: String,
    sql_type: String,
    form: Form,
}

/// How a value is asked for, and how it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As the server prints it.
    Printed,
    /// As a whole number of 64 bits: without the zeros of ZEROFILL and of the year 0000, and BIT.
    Unsigned,
    /// Plus 0: a DECIMAL without the zeros of ZEROFILL.
    Decimal,
    /// Multiplied by 1e0, for FLOAT alone is printed with six digits.
    Float32,
    Float64,
    /// HEX(): strings of bytes, and geometry.
    Hex,
    /// HEX() too, of the numbers' bytes.
    Vector,
    /// MySQL 5.7 prints a DOUBLE in a document without its `.0`.
    OldJson,
    /// As the server prints it; the log alone tells no more than its bytes.
    Address,
}

impl Form {
    fn of(data_type: &str, sql_type: &str) -> Self {
        match data_type {
            "bit" | "year" => Self::Unsigned,
            "float" => Self::Float32,
            "double" => Self::Float64,
            "vector" => Self::Vector,
            "inet4" | "inet6" | "uuid" => Self::Address,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Hex,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Hex,
            "decimal" if sql_type.contains("zerofill") => Self::Decimal,
            _ if sql_type.contains("zerofill") && data_type.contains("int") => Self::Unsigned,
            _ => Self::Printed,
        }
    }

    fn expression(self, name: &str) -> String {
        let column = quoted(name);
        match self {
            Self::Printed | Self::OldJson | Self::Address => column,
            Self::Decimal => format!("{column} + 0"),
            Self::Unsigned => format!("CAST({column} AS UNSIGNED)"),
            Self::Float32 | Self::Float64 => format!("{column} * 1e0"),
            Self::Hex | Self::Vector => format!("LOWER(HEX({column}))"),
        }
    }

    /// Whether a delivered value is the selected one.
    fn agrees(self, selected: Option<&str>, value: &Value) -> bool {
        let Some(selected) = selected else { return value.is_null() };
        let hex = || value.get("hex").and_then(Value::as_str);
        match self {
            Self::Printed | Self::Decimal => match value {
                // bytes that are no character are U+FFFD here, and there question marks or, for the surrogates that UCS-2
                // may hold, three bytes that are none in UTF-8
                Value::String(text) => {
                    text == selected
                        || text.replace('\u{fffd}', "?") == selected
                        || *text == selected.replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}")
                }
                Value::Number(number) => number.to_string() == selected,
                _ => false,
            },
            Self::OldJson => {
                value.as_str().is_some_and(|text| text == selected || without_point_zero(text) == selected)
            }
            Self::Unsigned => value.as_number().is_some_and(|number| number.to_string() == selected),
            Self::Float32 => selected.parse::<f64>().is_ok_and(|selected| {
                // the shortest digits at the width of a float
                let shortest = (selected as f32).to_string().parse::<f64>();
                let same = |value: f64| shortest.is_ok_and(|shortest| shortest.to_bits() == value.to_bits());
                // MariaDB 10 loses the sign of a zero when it multiplies
                value.as_f64().is_some_and(|value| same(value) || selected == 0.0 && value == 0.0)
            }),
            Self::Float64 => selected
                .parse::<f64>()
                .is_ok_and(|selected| value.as_f64().is_some_and(|value| value.to_bits() == selected.to_bits())),
            Self::Hex => hex() == Some(selected),
            Self::Address => {
                value == selected || hex().is_some_and(|hex| is_address_or_uuid(&Value::from(selected), hex))
            }
            Self::Vector => hex() == Some(selected) || vector_hex(value).as_deref() == Some(selected),
        }
    }
}

impl SelectedColumn {
    fn agrees(&self, selected: Option<&str>, value: &Value) -> bool {
        self.form.agrees(selected, value) || selected.is_some_and(|selected| self.is_beyond_its_labels(selected, value))
    }

    /// A SET that an ALTER made of another type may hold bits that have no label: the server prints the others, and a line has
    /// the number.
    fn is_beyond_its_labels(&self, selected: &str, value: &Value) -> bool {
        let list = self.sql_type.strip_prefix("set('").and_then(|rest| rest.strip_suffix("')"));
        let (Some(list), Some(bits)) = (list, value.as_u64()) else { return false };
        let labels: Vec<String> = list.split("','").map(|label| label.replace("''", "'")).collect();
        let with_label = |(index, label)| (bits >> index & 1 == 1).then_some(label);
        let printed: Vec<&String> = labels.iter().enumerate().filter_map(with_label).collect();
        let is_beyond = labels.len() < 64 && bits >> labels.len() != 0;
        is_beyond && printed.into_iter().map(String::as_str).collect::<Vec<_>>().join(",") == selected
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A document whose whole DOUBLEs are printed as integers are.
fn without_point_zero(document: &str) -> String {
    let (mut text, mut in_string, mut escaped) = (String::new(), false, false);
    for (at, char) in document.char_indices() {
        in_string ^= char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        text.push(char);
        let behind = document.get(at + char.len_utf8()..).unwrap_or_default();
        let is_end = !behind.starts_with(|next: char| next.is_ascii_digit() || next == 'e');
        if !in_string && text.ends_with(".0") && is_end {
            text.truncate(text.len() - 2);
        }
    }
    text
}

fn vector_hex(value: &Value) -> Option<String> {
    let mut hex = String::new();
    for element in value.as_array()? {
        for byte in (element.as_f64()? as f32).to_le_bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
    }
    Some(hex)
}

impl SelectedTables {
    /// # Errors
    /// Those of the server.
    pub fn read(server: &MysqlServer, databases: &[&str]) -> anyhow::Result<Self> {
        let session = server.session()?;
        session.run("SET NAMES utf8mb4; SET time_zone = '+00:00'")?;
        let names: Vec<String> = databases.iter().map(|name| format!("'{name}'")).collect();
        let set = session.query(&format!(
            "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE \
             FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
             WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA IN ({}) \
             ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION",
            names.join(", ")
        ))?;
        let prints_short_doubles = server.kind() == Kind::Mysql && server.version < Version(8, 0, 0);
        let mut columns: BTreeMap<(String, String), Vec<SelectedColumn>> = BTreeMap::new();
        for row in 0..set.rows.len() {
            let text = |column| set.text(row, column).unwrap_or_default();
            let (data_type, sql_type) = (text(3).to_lowercase(), text(4).to_lowercase());
            columns.entry((text(0), text(1))).or_default().push(SelectedColumn {
                name: text(2),
                form: match Form::of(&data_type, &sql_type) {
                    Form::Printed if data_type == "json" && prints_short_doubles => Form::OldJson,
                    form => form,
                },
                sql_type,
            });
        }
        let read = |((database, name), columns)| SelectedTable::read(&session, database, name, columns);
        Ok(Self { tables: columns.into_iter().map(read).collect::<anyhow::Result<_>>()? })
    }

    /// What differs, a few lines a table at most; nothing where every row of every table came, and no other.
    ///
    /// # Errors
    /// When a change names a row that is not there.
    pub fn complaints(&self, rows: &[RowLine]) -> anyhow::Result<Vec<String>> {
        Ok(self.complaints_of(replay(rows)?, Images::Full))
    }

    /// As [`Self::complaints`], of rows to which the changes have been applied.
    pub(super) fn complaints_of<'a>(&'a self, mut replayed: Replayed<'a>, images: Images) -> Vec<String> {
        let mut complaints = Vec::new();
        for table in &self.tables {
            let key = (table.database.as_str(), table.name.as_str());
            complaints.extend(table.complaints(replayed.remove(&key).unwrap_or_default(), images));
        }
        complaints
    }

    /// Forgets these tables.
    pub fn leave_out(&mut self, tables: &LeftOut) {
        self.tables.retain(|table| !tables.contains(&(table.database.clone(), table.name.clone())));
    }

    /// Whether this is the value of the row whose `id` it is; `None` where there is no such row or column.
    pub(super) fn agrees(&self, database: &str, table: &str, id: i64, column: &str, value: &Value) -> Option<bool> {
        let table = self.tables.iter().find(|known| known.database == database && known.name == table)?;
        let place = |name: &str| table.columns.iter().position(|column| column.name == name);
        let (key, at, id) = (place("id")?, place(column)?, id.to_string());
        let row = table.rows.iter().find(|row| row[key].as_deref() == Some(id.as_str()))?;
        Some(table.columns[at].agrees(row[at].as_deref(), value))
    }

    /// Rows over all tables.
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(|table| table.rows.len()).sum()
    }
}

/// Rows by (database, table).
pub(super) type Replayed<'a> = BTreeMap<(&'a str, &'a str), Vec<Map<String, Value>>>;

/// Applies the changes to nothing. What a JSON document is after a difference alone is not known.
pub(super) fn replay(rows: &[RowLine]) -> anyhow::Result<Replayed<'_>> {
    let mut tables = Replayed::new();
    for line in rows {
        let table = tables.entry((&line.database, &line.table)).or_default();
        let at = line.before.as_ref().map(|before| {
            let found = table
                .iter()
                .position(|row| before.iter().all(|(name, value)| row.get(name).is_none_or(|known| known == value)));
            found.with_context(|| format!("{} of {} at {}: {}", line.op, line.table, line.pos, nearest(table, before)))
        });
        match (at.transpose()?, &line.after) {
            (None, Some(after)) => table.push(after.clone()),
            (Some(at), Some(after)) => {
                table[at].extend(after.clone());
                table[at].retain(|_, value| value.get("json_diff").is_none());
            }
            (Some(at), None) => drop(table.swap_remove(at)),
            (None, None) => {}
        }
    }
    Ok(tables)
}

/// What the row that a change names has otherwise.
fn nearest(table: &[Map<String, Value>], before: &Map<String, Value>) -> String {
    let differing = |row: &Map<String, Value>| -> Vec<String> {
        let differs = before.iter().filter(|(name, value)| row.get(*name).is_some_and(|known| known != *value));
        differs.map(|(name, value)| format!("{name}: {value}, known as {}", row[name])).collect()
    };
    let nearest = table.iter().map(differing).min_by_key(Vec::len);
    format!("no row is like it; the nearest differs in {nearest:?}")
}

impl SelectedTable {
    fn read(session: &Session, database: String, name: String, columns: Vec<SelectedColumn>) -> anyhow::Result<Self> {
        let expressions: Vec<String> = columns.iter().map(|column| column.form.expression(&column.name)).collect();
        let set = session.query(&format!(
            "SELECT {} FROM {}.{}",
            expressions.join(", "),
            quoted(&database),
            quoted(&name)
        ))?;
        let texts = |row| (0..columns.len()).map(|column| set.text(row, column)).collect();
        let rows: Vec<Vec<Option<String>>> = (0..set.rows.len()).map(texts).collect();
        ensure!(rows.iter().all(|row| row.len() == columns.len()), "{database}.{name}: a short row");
        Ok(Self { database, name, columns, rows })
    }

    fn complaints(&self, mut replayed: Vec<Map<String, Value>>, images: Images) -> Vec<String> {
        let table = format!("{}.{}", self.database, self.name);
        let mut complaints = Vec::new();
        if self.rows.len() != replayed.len() {
            complaints.push(format!("{table}: {} rows, of which {} came", self.rows.len(), replayed.len()));
        }
        for selected in &self.rows {
            let differing = |row: &Map<String, Value>| {
                self.columns
                    .iter()
                    .zip(selected)
                    .filter(|(column, text)| {
                        let value = row.get(&column.name);
                        // what no image carried is not known
                        let agrees = value.map(|value| column.agrees(text.as_deref(), value));
                        !agrees.unwrap_or(images == Images::Partial)
                    })
                    .map(|(column, text)| (column, text.clone(), row.get(&column.name).cloned()))
                    .collect::<Vec<_>>()
            };
            match replayed.iter().position(|row| differing(row).is_empty()) {
                Some(at) => drop(replayed.swap_remove(at)),
                None => {
                    let nearest = replayed.iter().map(differing).min_by_key(Vec::len).unwrap_or_default();
                    for (column, selected, came) in nearest.iter().take(5) {
                        let came = came.as_ref().map_or("nothing".to_owned(), Value::to_string);
                        complaints.push(format!(
                            "{table}.{} ({}): SELECT gives {selected:?}, got {came}",
                            column.name, column.sql_type
                        ));
                    }
                }
            }
            if complaints.len() > 20 {
                complaints.push(format!("{table}: and more"));
                break;
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delivered_value_agrees_with_what_select_prints() {
        let check = |form: Form, selected: Option<&str>, value: Value, expected: bool| {
            assert_eq!(form.agrees(selected, &value), expected, "{form:?} {selected:?} {value}");
        };
        check(Form::Printed, Some("18446744073709551615"), json!(u64::MAX), true);
        check(Form::Printed, Some("1.50"), json!("1.50"), true);
        check(Form::Printed, Some("1.50"), json!(1.5), false);
        check(Form::Printed, None, json!(null), true);
        check(Form::Printed, Some(""), json!(null), false);
        check(Form::Printed, None, json!(""), false);
        check(
            Form::OldJson,
            Some(r#"[1, "é\"2.0", {"a": -3}, 1.05]"#),
            json!(r#"[1.0, "é\"2.0", {"a": -3.0}, 1.05]"#),
            true,
        );
        check(Form::OldJson, Some("1"), json!("1.1"), false);
        check(Form::Float32, Some("0.10000000149011612"), json!(0.1), true);
        check(Form::Float64, Some("0.1"), json!(0.1), true);
        check(Form::Float64, Some("-0"), json!(-0.0), true);
        check(Form::Float64, Some("-0"), json!(0), false);
        check(Form::Hex, Some("00ff"), json!({"hex": "00ff"}), true);
        check(Form::Hex, Some("00ff"), json!("00ff"), false);
        check(Form::Vector, Some("0000803f"), json!([1]), true);
        check(Form::Vector, Some("0000803f"), json!([2]), false);
    }
}
