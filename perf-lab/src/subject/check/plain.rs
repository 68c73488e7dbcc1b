//! A value in the one form to which both sides are brought: what the client read, and what `mysql_common` decoded.

use std::borrow::Cow;

use anyhow::{Context, bail, ensure};
use millstream_client::Value as Ours;
use mysql_common::binlog::value::BinlogValue;
use mysql_common::constants::ColumnType;
use mysql_common::value::Value as Theirs;

const SECOND_US: i64 = 1_000_000;

#[derive(Debug, Clone, PartialEq)]
pub enum Plain<'a> {
    Null,
    /// Integers, YEAR; BIT and SET as their bits, ENUM as its index.
    Number(i128),
    /// The bits, so that -0 and NaN are told apart.
    Float(u32),
    Double(u64),
    /// Without zeros in front; with those at the end, which are the column's scale.
    Decimal(String),
    /// DATE, DATETIME, TIMESTAMP, TIME.
    Micros(i64),
    Bytes(Cow<'a, [u8]>),
    Json(serde_json::Value),
}

impl<'a> Plain<'a> {
    /// `None`: the image does not carry the column.
    ///
    /// # Errors
    /// A value of a kind that no recording has.
    pub fn of_ours(value: Ours<'a>) -> anyhow::Result<Option<Self>> {
        Ok(Some(match value {
            Ours::Null => Self::Null,
            Ours::Absent => return Ok(None),
            Ours::Int(value) => Self::Number(value.into()),
            Ours::UInt(value) | Ours::Bit(value) | Ours::Set(value) => Self::Number(value.into()),
            Ours::Enum(value) | Ours::Year(value) => Self::Number(value.into()),
            Ours::Float32(value) => Self::Float(value.to_bits()),
            Ours::Float64(value) => Self::Double(value.to_bits()),
            Ours::Decimal(text) => Self::Decimal(decimal(text)),
            Ours::Date(us) | Ours::DateTime(us) | Ours::Timestamp(us) | Ours::Time(us) => Self::Micros(us),
            Ours::Text(text) => Self::Bytes(text.as_bytes().into()),
            Ours::Bytes(bytes) | Ours::Geometry(bytes) => Self::Bytes(bytes.into()),
            Ours::Vector(vector) => Self::Bytes(vector.iter().flat_map(f32::to_le_bytes).collect()),
            Ours::Json(text) => Self::Json(serde_json::from_str(text).with_context(|| format!("JSON {text:?}"))?),
            other => bail!("{other:?} is nothing that a recording has"),
        }))
    }

    /// # Errors
    /// A value that is no date of the calendar, or JSON with parts that are none.
    pub fn of_theirs(kind: ColumnType, value: &'a BinlogValue<'_>) -> anyhow::Result<Self> {
        let value = match value {
            BinlogValue::Value(value) => value,
            BinlogValue::Jsonb(document) => {
                let document = serde_json::Value::try_from(document.clone())?;
                // By way of text: where its parser rounds the last digit of a number, it does so on both sides.
                return Ok(Self::Json(serde_json::from_str(&document.to_string())?));
            }
            BinlogValue::JsonDiff(_) => bail!("a partial update of JSON is nothing that a recording has"),
        };
        Ok(match value {
            Theirs::NULL => Self::Null,
            // Seconds: a TIMESTAMP without a fraction of before MySQL 5.6.
            Theirs::Int(value) if kind == ColumnType::MYSQL_TYPE_TIMESTAMP => Self::Micros(value * SECOND_US),
            Theirs::Int(value) => Self::Number((*value).into()),
            Theirs::UInt(value) => Self::Number((*value).into()),
            Theirs::Float(value) => Self::Float(value.to_bits()),
            Theirs::Double(value) => Self::Double(value.to_bits()),
            Theirs::Date(year, month, day, hour, minute, second, us) => {
                let days = days_since_1970(*year, *month, *day)?;
                Self::Micros(days * 86_400 * SECOND_US + clock(*hour, *minute, *second, *us))
            }
            Theirs::Time(is_negative, days, hour, minute, second, us) => {
                let size = i64::from(*days) * 86_400 * SECOND_US + clock(*hour, *minute, *second, *us);
                Self::Micros(if *is_negative { -size } else { size })
            }
            Theirs::Bytes(bytes) => of_bytes(kind, bytes)?,
        })
    }

    /// Cut to a length that an error message can hold.
    pub fn shown(&self) -> String {
        let text = match self {
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => format!("{text:?} ({} bytes)", bytes.len()),
                Err(_) => format!("{bytes:02x?} ({} bytes)", bytes.len()),
            },
            Self::Json(value) => value.to_string(),
            other => format!("{other:?}"),
        };
        text.chars().take(200).collect()
    }
}

/// What it leaves as bytes.
fn of_bytes(kind: ColumnType, bytes: &[u8]) -> anyhow::Result<Plain<'_>> {
    let text = || std::str::from_utf8(bytes).context("not text");
    Ok(match kind {
        ColumnType::MYSQL_TYPE_NEWDECIMAL => Plain::Decimal(decimal(text()?)),
        ColumnType::MYSQL_TYPE_YEAR => Plain::Number(text()?.parse()?),
        // Big-endian bits, and a little-endian mask.
        ColumnType::MYSQL_TYPE_BIT => Plain::Number(bytes.iter().fold(0, |bits, byte| bits << 8 | i128::from(*byte))),
        ColumnType::MYSQL_TYPE_SET => {
            Plain::Number(bytes.iter().rev().fold(0, |bits, byte| bits << 8 | i128::from(*byte)))
        }
        // "seconds" or "seconds.microseconds"
        ColumnType::MYSQL_TYPE_TIMESTAMP2 | ColumnType::MYSQL_TYPE_TIMESTAMP => {
            let (seconds, us) = text()?.split_once('.').unwrap_or((text()?, "0"));
            Plain::Micros(seconds.parse::<i64>()? * SECOND_US + us.parse::<i64>()?)
        }
        _ => Plain::Bytes(bytes.into()),
    })
}

fn decimal(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    let zero = if digits.is_empty() || digits.starts_with('.') { "0" } else { "" };
    format!("{sign}{zero}{digits}")
}

fn clock(hour: u8, minute: u8, second: u8, us: u32) -> i64 {
    (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * SECOND_US + i64::from(us)
}

/// Of the Gregorian calendar, counted without the codec's help: that one is what is checked.
fn days_since_1970(year: u16, month: u8, day: u8) -> anyhow::Result<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let months = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::from(month).checked_sub(1).and_then(|before| months.get(..before));
    let in_month = usize::from(month).checked_sub(1).and_then(|month| months.get(month));
    ensure!(in_month.is_some_and(|days| day > 0 && i64::from(day) <= *days), "{year}-{month}-{day} is no date");
    let past = i64::from(year) - 1;
    let years = if year == 0 { -366 } else { past * 365 + past / 4 - past / 100 + past / 400 };
    // 719162 days from 0001-01-01 to 1970-01-01
    Ok(years + before.unwrap_or_default().iter().sum::<i64>() + i64::from(day) - 1 - 719_162)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> BinlogValue<'static> {
        BinlogValue::Value(Theirs::Bytes(text.into()))
    }

    #[test]
    fn both_forms_of_a_value_are_one_and_other_values_are_not() {
        use ColumnType::{
            MYSQL_TYPE_BIT, MYSQL_TYPE_BLOB, MYSQL_TYPE_DATETIME2, MYSQL_TYPE_DOUBLE, MYSQL_TYPE_FLOAT,
            MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDATE, MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SET,
            MYSQL_TYPE_TIME2, MYSQL_TYPE_TIMESTAMP2, MYSQL_TYPE_VARCHAR, MYSQL_TYPE_YEAR,
        };
        let plain = BinlogValue::Value;
        let cases = [
            (MYSQL_TYPE_LONG, plain(Theirs::Int(-5)), Ours::Int(-5), Ours::Int(5)),
            (MYSQL_TYPE_LONGLONG, plain(Theirs::UInt(u64::MAX)), Ours::UInt(u64::MAX), Ours::Int(-1)),
            (MYSQL_TYPE_FLOAT, plain(Theirs::Float(0.1)), Ours::Float32(0.1), Ours::Float64(0.1)),
            (MYSQL_TYPE_DOUBLE, plain(Theirs::Double(0.0)), Ours::Float64(0.0), Ours::Float64(-0.0)),
            (MYSQL_TYPE_NEWDECIMAL, bytes("0000012.5000"), Ours::Decimal("12.5000"), Ours::Decimal("12.500")),
            (MYSQL_TYPE_NEWDECIMAL, bytes("-0.01"), Ours::Decimal("-0.01"), Ours::Decimal("0.01")),
            (MYSQL_TYPE_NEWDECIMAL, bytes("0"), Ours::Decimal("0"), Ours::Decimal("10")),
            (
                MYSQL_TYPE_DATETIME2,
                plain(Theirs::Date(2024, 2, 29, 1, 2, 3, 4)),
                Ours::DateTime(1_709_168_523_000_004),
                Ours::DateTime(1_709_168_523_000_005),
            ),
            (
                MYSQL_TYPE_NEWDATE,
                plain(Theirs::Date(1969, 12, 31, 0, 0, 0, 0)),
                Ours::Date(-86_400_000_000),
                Ours::Null,
            ),
            (MYSQL_TYPE_TIME2, plain(Theirs::Time(true, 1, 0, 0, 1, 5)), Ours::Time(-86_401_000_005), Ours::Time(0)),
            (MYSQL_TYPE_TIMESTAMP2, bytes("7"), Ours::Timestamp(7_000_000), Ours::Timestamp(7)),
            (MYSQL_TYPE_TIMESTAMP2, bytes("7.000080"), Ours::Timestamp(7_000_080), Ours::Timestamp(7_000_000)),
            (MYSQL_TYPE_VARCHAR, bytes("a\u{e9}"), Ours::Text("a\u{e9}"), Ours::Text("ae")),
            (MYSQL_TYPE_BLOB, bytes("\0b"), Ours::Bytes(b"\0b"), Ours::Bytes(b"\0b\0")),
            (MYSQL_TYPE_BIT, bytes("\x01\x02"), Ours::Bit(258), Ours::Bit(513)),
            (MYSQL_TYPE_SET, bytes("\x01\x02"), Ours::Set(513), Ours::Set(258)),
            (MYSQL_TYPE_YEAR, bytes("1999"), Ours::Year(1999), Ours::Year(99)),
            (MYSQL_TYPE_LONG, plain(Theirs::NULL), Ours::Null, Ours::Int(0)),
        ];
        for (kind, theirs, same, other) in cases {
            let expected = Plain::of_theirs(kind, &theirs).unwrap();
            assert_eq!(Plain::of_ours(same).unwrap().as_ref(), Some(&expected), "{kind:?}");
            assert_ne!(Plain::of_ours(other).unwrap().as_ref(), Some(&expected), "{kind:?} {other:?}");
        }
        assert_eq!(Plain::of_ours(Ours::Absent).unwrap(), None);
        assert!(days_since_1970(2023, 2, 29).is_err() && days_since_1970(2023, 13, 1).is_err());
        assert_eq!(days_since_1970(0, 1, 1).unwrap(), -719_528);
    }

    #[test]
    fn json_is_compared_by_what_it_says() {
        let of = |text| Plain::of_ours(Ours::Json(text)).unwrap();
        assert_eq!(of(r#"{"a": 1, "b": [true, 2.50]}"#), of(r#"{"b":[true,2.5],"a":1}"#));
        assert_ne!(of(r#"{"a": 1}"#), of(r#"{"a": 1.5}"#));
        assert_ne!(of(r#"{"a": "1"}"#), of(r#"{"a": 1}"#));
        assert!(Plain::of_ours(Ours::Json("{")).is_err());
    }
}
