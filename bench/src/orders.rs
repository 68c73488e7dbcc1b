//! The table of the decode benchmarks: eight columns of common types, about 160 bytes a row.
//!
//! ```sql
//! CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT UNSIGNED, name VARCHAR(64), note VARCHAR(255),
//!   placed DATETIME(6), total DECIMAL(20,4), detail JSON, changed TIMESTAMP)
//! ```

use crate::Numbers;
use crate::binlog::{self, Column};
use crate::jsonb::{Json, document};

pub const TABLE_ID: u64 = 108;
pub const DATABASE: &str = "shop";
pub const TABLE: &str = "orders";

/// Rows in events of at most so many bytes, as MySQL cuts them (`binlog_row_event_max_size`, 8192).
pub struct Orders {
    pub table_map: Vec<u8>,
    pub events: Vec<Vec<u8>>,
    pub row_count: usize,
    /// Bytes of the rows events.
    pub bytes: usize,
}

pub const EVENT_BYTES_MAX: usize = 8192;

pub fn columns() -> [Column; 8] {
    let column = |name, type_code, metadata, unsigned| Column { name, type_code, metadata, unsigned };
    [
        column("id", 8, &[], Some(false)),
        column("customer", 3, &[], Some(true)),
        column("name", 15, &[0x00, 0x01], None),
        column("note", 15, &[0xfc, 0x03], None),
        column("placed", 18, &[6], None),
        column("total", 246, &[20, 4], Some(false)),
        column("detail", 245, &[4], None),
        column("changed", 17, &[0], None),
    ]
}

pub fn orders(row_count: usize, seed: u64) -> Orders {
    let columns = columns();
    let mut numbers = Numbers::new(seed);
    let mut events = Vec::new();
    let mut rows = Vec::new();
    for id in 0..row_count {
        let row = row(id as u64 + 1, &mut numbers);
        if rows.len() + row.len() + 64 > EVENT_BYTES_MAX {
            events.push(binlog::write_rows(TABLE_ID, columns.len(), &rows));
            rows.clear();
        }
        rows.extend_from_slice(&row);
    }
    events.push(binlog::write_rows(TABLE_ID, columns.len(), &rows));
    let table_map = binlog::table_map(TABLE_ID, DATABASE, TABLE, &columns);
    Orders { table_map, bytes: events.iter().map(Vec::len).sum(), events, row_count }
}

const WORDS: [&str; 16] = [
    "amber", "basalt", "cobalt", "drift", "ember", "fjord", "granite", "harbour", "indigo", "juniper", "kelp",
    "linden", "meadow", "nimbus", "ochre", "pebble",
];

fn words(numbers: &mut Numbers, count: u64) -> String {
    let mut text = String::new();
    for index in 0..count {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[numbers.between(0, 16) as usize]);
    }
    text
}

fn row(id: u64, numbers: &mut Numbers) -> Vec<u8> {
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

fn text(row: &mut Vec<u8>, text: &str) {
    row.extend_from_slice(&(text.len() as u16).to_le_bytes());
    row.extend_from_slice(text.as_bytes());
}
