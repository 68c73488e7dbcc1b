//! Events as MySQL 8 writes them, without checksums.

pub const TABLE_MAP: u8 = 19;
pub const WRITE_ROWS: u8 = 30;
pub const HEADER_BYTES: usize = 19;

/// A whole event of server 1.
pub fn event(type_code: u8, body: &[u8]) -> Vec<u8> {
    let size = (HEADER_BYTES + body.len()) as u32;
    let mut event = Vec::with_capacity(size as usize);
    event.extend_from_slice(&1_700_000_000_u32.to_le_bytes());
    event.push(type_code);
    event.extend_from_slice(&1_u32.to_le_bytes());
    event.extend_from_slice(&size.to_le_bytes());
    event.extend_from_slice(&0_u32.to_le_bytes());
    event.extend_from_slice(&0_u16.to_le_bytes());
    event.extend_from_slice(body);
    event
}

pub fn lenenc(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => out.push(number as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(number as u16).to_le_bytes());
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// utf8mb4_0900_ai_ci: what a text column has unless it says otherwise.
const DEFAULT_COLLATION: u64 = 255;

/// One column of a TABLE_MAP.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub type_code: u8,
    pub metadata: &'static [u8],
    /// `None` where the type has no sign.
    pub unsigned: Option<bool>,
    /// `None` where the type has none.
    pub collation: Option<u64>,
    /// Of ENUM and SET.
    pub labels: &'static [&'static str],
}

impl Column {
    pub fn new(name: impl Into<String>, type_code: u8, metadata: &'static [u8]) -> Self {
        Self { name: name.into(), type_code, metadata, unsigned: None, collation: None, labels: &[] }
    }

    pub fn number(name: impl Into<String>, type_code: u8, metadata: &'static [u8], unsigned: bool) -> Self {
        Self { unsigned: Some(unsigned), ..Self::new(name, type_code, metadata) }
    }

    pub fn text(name: impl Into<String>, type_code: u8, metadata: &'static [u8]) -> Self {
        Self::collated(name, type_code, metadata, DEFAULT_COLLATION)
    }

    pub fn collated(name: impl Into<String>, type_code: u8, metadata: &'static [u8], collation: u64) -> Self {
        Self { collation: Some(collation), ..Self::new(name, type_code, metadata) }
    }

    /// ENUM or SET of one byte.
    pub fn labelled(name: impl Into<String>, metadata: &'static [u8], labels: &'static [&'static str]) -> Self {
        Self { labels, ..Self::new(name, STRING, metadata) }
    }
}

const STRING: u8 = 254;
pub const ENUM: u8 = 247;
pub const SET: u8 = 248;

/// The body of a TABLE_MAP with all its optional metadata; the first column is the primary key.
pub fn table_map_body(table_id: u64, database: &str, table: &str, columns: &[Column]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&table_id.to_le_bytes()[..6]);
    body.extend_from_slice(&1_u16.to_le_bytes());
    for name in [database, table] {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
    }
    lenenc(&mut body, columns.len() as u64);
    body.extend(columns.iter().map(|column| column.type_code));
    let metadata: Vec<u8> = columns.iter().flat_map(|column| column.metadata).copied().collect();
    lenenc(&mut body, metadata.len() as u64);
    body.extend_from_slice(&metadata);
    // All but the first may be NULL.
    body.extend((0..columns.len().div_ceil(8)).map(|byte| if byte == 0 { 0xfe } else { 0xff }));

    let mut field = |kind: u8, content: &[u8]| {
        body.push(kind);
        lenenc(&mut body, content.len() as u64);
        body.extend_from_slice(content);
    };
    let signs: Vec<bool> = columns.iter().filter_map(|column| column.unsigned).collect();
    let mut bits = vec![0_u8; signs.len().div_ceil(8)];
    for (index, _) in signs.iter().enumerate().filter(|(_, unsigned)| **unsigned) {
        bits[index / 8] |= 0x80 >> (index % 8);
    }
    field(1, &bits);
    let mut charsets = Vec::new();
    lenenc(&mut charsets, DEFAULT_COLLATION);
    for (place, collation) in columns.iter().filter_map(|column| column.collation).enumerate() {
        if collation != DEFAULT_COLLATION {
            lenenc(&mut charsets, place as u64);
            lenenc(&mut charsets, collation);
        }
    }
    field(2, &charsets);
    let mut names = Vec::new();
    for column in columns {
        lenenc(&mut names, column.name.len() as u64);
        names.extend_from_slice(column.name.as_bytes());
    }
    field(4, &names);
    for (kind, real_type) in [(5, SET), (6, ENUM)] {
        let mut labels = Vec::new();
        for column in columns.iter().filter(|column| column.metadata.first() == Some(&real_type)) {
            lenenc(&mut labels, column.labels.len() as u64);
            for label in column.labels {
                lenenc(&mut labels, label.len() as u64);
                labels.extend_from_slice(label.as_bytes());
            }
        }
        if !labels.is_empty() {
            field(kind, &labels);
        }
    }
    field(8, &[0]);
    if columns.iter().any(|column| !column.labels.is_empty()) {
        let mut charset = Vec::new();
        lenenc(&mut charset, DEFAULT_COLLATION);
        field(10, &charset);
    }
    body
}

/// The whole event.
pub fn table_map(table_id: u64, database: &str, table: &str, columns: &[Column]) -> Vec<u8> {
    event(TABLE_MAP, &table_map_body(table_id, database, table, columns))
}

/// A WRITE_ROWS event (version 2) of full images.
pub fn write_rows(table_id: u64, columns: usize, rows: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&table_id.to_le_bytes()[..6]);
    body.extend_from_slice(&1_u16.to_le_bytes());
    body.extend_from_slice(&2_u16.to_le_bytes());
    lenenc(&mut body, columns as u64);
    body.extend((0..columns.div_ceil(8)).map(|_| 0xff));
    body.extend_from_slice(rows);
    event(WRITE_ROWS, &body)
}
