//! Rows from files without column names: given names, and what the file alone could not tell.
//!
//! Such a file has numbers for names, and depending on the server neither signs, labels nor character sets. What a
//! definition adds to a value without a doubt is added; a value of which something was lost is taken away.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::line::RowLine;
use crate::harness::MysqlServer;

/// What a file without column names says of their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The formats of values alone.
    Formats,
    /// Signs and character sets too, as MINIMAL metadata does.
    SignsAndCharsets,
}

/// The definitions of base tables, as they are now.
pub struct KnownTables {
    told: Told,
    tables: BTreeMap<(String, String), Vec<Known>>,
}

struct Known {
    name: String,
    data_type: String,
    /// As the definition writes it: `int(10) unsigned`, `enum('a','b')`.
    sql_type: String,
    charset: Option<String>,
    /// Of BINARY(n).
    bytes: usize,
}

impl KnownTables {
    /// # Errors
    /// Those of the server.
    pub fn read(server: &MysqlServer, told: Told) -> anyhow::Result<Self> {
        let session = server.session()?;
        session.run("SET NAMES utf8mb4")?;
        let set = session.query(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, \
             CHARACTER_OCTET_LENGTH FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
             ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
        )?;
        let mut tables: BTreeMap<_, Vec<Known>> = BTreeMap::new();
        for row in 0..set.rows.len() {
            let text = |column| set.text(row, column).unwrap_or_default();
            tables.entry((text(0), text(1))).or_default().push(Known {
                name: text(2),
                data_type: text(3).to_lowercase(),
                sql_type: text(4),
                charset: set.text(row, 5),
                bytes: text(6).parse().unwrap_or(0),
            });
        }
        Ok(Self { told, tables })
    }

    /// Gives the columns of a row their names and their values; one that has its names already stays as it is.
    pub fn complete(&self, row: &mut RowLine) {
        let Some(columns) = self.tables.get(&(row.database.clone(), row.table.clone())) else { return };
        for image in [&mut row.before, &mut row.after].into_iter().flatten() {
            if image.keys().all(|name| number_of(name).is_some()) {
                let named = std::mem::take(image).into_iter().filter_map(|(name, value)| {
                    let column = columns.get(number_of(&name)?.checked_sub(1)?)?;
                    Some((column.name.clone(), column.value(value, self.told)?))
                });
                *image = named.collect::<Map<_, _>>();
            }
        }
    }
}

fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

impl Known {
    /// `None` where the file has lost something of it.
    fn value(&self, value: Value, told: Told) -> Option<Value> {
        Some(match (self.data_type.as_str(), &value) {
            (_, Value::Null) => value,
            ("tinyint", Value::Number(_)) => self.signed(value, 8),
            ("smallint", Value::Number(_)) => self.signed(value, 16),
            ("mediumint", Value::Number(_)) => self.signed(value, 24),
            ("int", Value::Number(_)) => self.signed(value, 32),
            ("bigint", Value::Number(_)) => self.signed(value, 64),
            ("enum", Value::Number(number)) => {
                let labels = labels(&self.sql_type);
                labels.get(usize::try_from(number.as_u64()?).ok()?.checked_sub(1)?)?.clone().into()
            }
            ("set", Value::Number(bits)) => {
                let (labels, bits) = (labels(&self.sql_type), bits.as_u64()?);
                let set = labels.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
                set.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(",").into()
            }
            ("binary" | "varbinary" | "vector" | "inet4" | "inet6" | "uuid", Value::String(text)) => {
                let is_form = text.parse::<std::net::IpAddr>().is_ok() || text.len() == 36;
                if is_form && matches!(self.data_type.as_str(), "inet4" | "inet6" | "uuid") {
                    return Some(value);
                }
                // zeros at the end of a fixed length are not in the log
                let bytes_min = match self.data_type.as_str() {
                    "binary" => self.bytes,
                    "inet4" => 4,
                    "inet6" | "uuid" => 16,
                    _ => 0,
                };
                let zeros = bytes_min.saturating_sub(text.len());
                lossless(text)?;
                let hex = text.bytes().chain(std::iter::repeat_n(0, zeros)).map(|byte| format!("{byte:02x}"));
                json!({"hex": hex.collect::<String>()})
            }
            (_, Value::String(text))
                if self.charset.is_some() && !matches!(self.data_type.as_str(), "enum" | "set") =>
            {
                match (text.is_ascii(), self.is_unicode()) {
                    _ if told == Told::SignsAndCharsets => value,
                    (_, true) => lossless(text).map(|()| value)?,
                    (true, _) if self.is_ascii_superset() => value,
                    _ => return None,
                }
            }
            (_, Value::Object(object)) if self.charset.is_some() && self.is_unicode() && object.contains_key("hex") => {
                text_of_hex(object["hex"].as_str()?)?.into()
            }
            (_, Value::Object(object)) if self.charset.is_some() && object.contains_key("hex") => return None,
            _ => value,
        })
    }

    fn signed(&self, value: Value, bits: u32) -> Value {
        match value.as_i64() {
            Some(number) if number < 0 && self.sql_type.contains("unsigned") => {
                Value::from((number as i128 + (1i128 << bits)) as u64)
            }
            _ => value,
        }
    }

    fn is_unicode(&self) -> bool {
        self.charset.as_deref().is_some_and(|name| name.starts_with("utf8"))
    }

    fn is_ascii_superset(&self) -> bool {
        let others = ["swe7", "ucs2", "utf16", "utf16le", "utf32"];
        self.charset.as_deref().is_some_and(|name| !others.contains(&name))
    }
}

fn lossless(text: &str) -> Option<()> {
    (!text.contains('\u{fffd}')).then_some(())
}

fn text_of_hex(hex: &str) -> Option<String> {
    let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// Of `enum('a','it''s')`.
fn labels(sql_type: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut chars = sql_type.chars().peekable();
    while let Some(c) = chars.next() {
        match (&mut label, c) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(text), '\'') if chars.peek() == Some(&'\'') => text.extend(chars.next()),
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(text), '\\') => text.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            }),
            (Some(text), c) => text.push(c),
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(data_type: &str, sql_type: &str, charset: Option<&str>, bytes: usize) -> Known {
        let text = str::to_owned;
        Known {
            name: "v".into(),
            data_type: text(data_type),
            sql_type: text(sql_type),
            charset: charset.map(text),
            bytes,
        }
    }

    #[test]
    fn a_definition_completes_what_a_file_tells() {
        let check = |known: &Known, value: Value, expected: Option<Value>| {
            assert_eq!(known.value(value.clone(), Told::Formats), expected, "{} {value}", known.sql_type);
        };
        let unsigned = known("mediumint", "mediumint unsigned", None, 0);
        check(&unsigned, json!(-1), Some(json!(0xff_ffff)));
        check(&unsigned, json!(5), Some(json!(5)));
        check(&known("bigint", "bigint unsigned", None, 0), json!(-1), Some(json!(u64::MAX)));
        check(&known("int", "int", None, 0), json!(-1), Some(json!(-1)));
        let label = known("enum", r"enum('a','it''s','x\\y')", Some("latin1"), 0);
        check(&label, json!(2), Some(json!("it's")));
        check(&label, json!(""), Some(json!("")));
        check(&label, json!(3), Some(json!(r"x\y")));
        check(&label, json!(4), None);
        check(&known("set", "set('a','b','c')", Some("latin1"), 0), json!(5), Some(json!("a,c")));
        check(&known("binary", "binary(4)", None, 4), json!("ab"), Some(json!({"hex": "61620000"})));
        check(&known("varbinary", "varbinary(4)", None, 4), json!("\u{fffd}"), None);
        check(&known("text", "text", Some("utf8mb4"), 0), json!({"hex": "c3a9"}), Some(json!("é")));
        check(&known("text", "text", Some("latin1"), 0), json!({"hex": "e9"}), None);
        check(&known("char", "char(3)", Some("latin1"), 0), json!("abc"), Some(json!("abc")));
        check(&known("char", "char(3)", Some("ucs2"), 0), json!("abc"), None);
        check(&known("blob", "blob", None, 0), json!({"hex": "e9"}), Some(json!({"hex": "e9"})));
    }
}
