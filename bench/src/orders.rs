//! The table of most benchmarks: eight columns of common types, about 160 bytes a row.
//!
//! ```sql
//! CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT UNSIGNED, name VARCHAR(64), note VARCHAR(255),
//!   placed DATETIME(6), total DECIMAL(20,4), detail JSON, changed TIMESTAMP)
//! ```

use crate::Numbers;
use crate::binlog::Column;
use crate::jsonb::{Json, document};
use crate::rows::Rows;

pub const TABLE_ID: u64 = 108;
pub const DATABASE: &str = "shop";
pub const TABLE: &str = "orders";

pub fn columns() -> Vec<Column> {
    vec![
        Column::number("id", 8, &[], false),
        Column::number("customer", 3, &[], true),
        Column::text("name", 15, &[0x00, 0x01]),
        Column::text("note", 15, &[0xfc, 0x03]),
        Column::new("placed", 18, &[6]),
        Column::number("total", 246, &[20, 4], false),
        Column::new("detail", 245, &[4]),
        Column::new("changed", 17, &[0]),
    ]
}

pub fn orders(row_count: usize, seed: u64) -> Rows {
    let mut numbers = Numbers::new(seed);
    Rows::new(TABLE_ID, DATABASE, TABLE, columns(), (1..=row_count as u64).map(|id| row(id, &mut numbers)))
}

pub(crate) const WORDS: [&str; 16] = [
    "amber", "basalt", "cobalt", "drift", "ember", "fjord", "granite", "harbour", "indigo", "juniper", "kelp",
    "linden", "meadow", "nimbus", "ochre", "pebble",
];

pub(crate) fn words(numbers: &mut Numbers, count: u64) -> String {
    let mut text = String::new();
    for index in 0..count {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[numbers.between(0, 16) as usize]);
    }
    text
}

pub fn row(id: u64, numbers: &mut Numbers) -> Vec<u8> {
    let mut row = Vec::with_capacity(192);
    // One row in eight has no note.
    let has_note = numbers.between(0, 8) != 0;
    row.push(if has_note { 0 } else { 1 << 3 });
    row.extend_from_slice(&id.to_le_bytes());
    row.extend_from_slice(&(numbers.between(1, 4_000_000) as u32).to_le_bytes());
    text(&mut row, &words(numbers, 2));
    if has_note {
        let count = numbers.between(4, 9);
        text(&mut row, &words(numbers, count));
    }
    let (day, second) = (numbers.between(1, 29), numbers.between(0, 60));
    let whole = 1 << 39 | (2024 * 13 + 1 + id % 12) << 22 | day << 17 | numbers.between(0, 24) << 12 | 59 << 6 | second;
    row.extend_from_slice(&u64::to_be_bytes(whole)[3..]);
    row.extend_from_slice(&(numbers.between(0, 1_000_000) as u32).to_be_bytes()[1..]);
    // DECIMAL(20,4): 7 digits in four bytes, 9 in four, 4 in two.
    let (integer, fraction) = (numbers.between(0, 10_000_000_000), numbers.between(0, 10_000));
    let mut decimal = Vec::new();
    decimal.extend_from_slice(&((integer / 1_000_000_000) as u32).to_be_bytes());
    decimal.extend_from_slice(&((integer % 1_000_000_000) as u32).to_be_bytes());
    decimal.extend_from_slice(&(fraction as u16).to_be_bytes());
    decimal[0] ^= 0x80;
    if id.is_multiple_of(10) {
        decimal.iter_mut().for_each(|byte| *byte ^= 0xff);
    }
    row.extend_from_slice(&decimal);
    let sku = format!("{}-{:05}", WORDS[numbers.between(0, 16) as usize], numbers.between(0, 100_000));
    let detail = Json::Object(vec![
        ("qty", Json::Int(numbers.between(1, 40) as i32)),
        ("sku", Json::Text(&sku)),
        ("paid", Json::Bool(numbers.between(0, 2) == 1)),
        ("weight", Json::Double(numbers.between(1, 100_000) as f64 / 100.0)),
    ]);
    let detail = document(&detail);
    row.extend_from_slice(&(detail.len() as u32).to_le_bytes());
    row.extend_from_slice(&detail);
    row.extend_from_slice(&(1_700_000_000 + numbers.between(0, 50_000_000) as u32).to_be_bytes());
    row
}

pub(crate) fn text(row: &mut Vec<u8>, text: &str) {
    row.extend_from_slice(&(text.len() as u16).to_le_bytes());
    row.extend_from_slice(text.as_bytes());
}
