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

/// One column of a TABLE_MAP.
pub struct Column {
    pub name: &'static str,
    pub type_code: u8,
    pub metadata: &'static [u8],
    /// `None` where the type has no sign.
    pub unsigned: Option<bool>,
}

/// A TABLE_MAP with all its optional metadata; text columns are utf8mb4, the first column is the primary key.
pub fn table_map(table_id: u64, database: &str, table: &str, columns: &[Column]) -> Vec<u8> {
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
    // utf8mb4_0900_ai_ci, for all of them.
    field(2, &[0xfc, 0xff, 0x00]);
    let mut names = Vec::new();
    for column in columns {
        lenenc(&mut names, column.name.len() as u64);
        names.extend_from_slice(column.name.as_bytes());
    }
    field(4, &names);
    field(8, &[0]);
    event(TABLE_MAP, &body)
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
