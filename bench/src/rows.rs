//! A table's rows as a server logs them: the TABLE_MAP and the rows events.

use crate::binlog::{self, Column};

/// Rows in events of at most so many bytes, as MySQL cuts them (`binlog_row_event_max_size`, 8192).
pub const EVENT_BYTES_MAX: usize = 8192;

pub struct Rows {
    pub table_id: u64,
    pub columns: Vec<Column>,
    pub table_map: Vec<u8>,
    pub events: Vec<Vec<u8>>,
    pub row_count: usize,
    /// Bytes of the rows events.
    pub bytes: usize,
}

impl Rows {
    /// `images` are the rows: null bitmap, then the values.
    pub fn new(
        table_id: u64,
        database: &str,
        table: &str,
        columns: Vec<Column>,
        images: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        Self::in_events_of(EVENT_BYTES_MAX, table_id, database, table, columns, images)
    }

    /// The same with an event for each row, as single-row transactions log them.
    pub fn one_by_one(
        table_id: u64,
        database: &str,
        table: &str,
        columns: Vec<Column>,
        images: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        Self::in_events_of(0, table_id, database, table, columns, images)
    }

    /// An event has one row, and more up to so many bytes.
    fn in_events_of(
        bytes_max: usize,
        table_id: u64,
        database: &str,
        table: &str,
        columns: Vec<Column>,
        images: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let mut events = Vec::new();
        let mut rows: Vec<u8> = Vec::new();
        let mut row_count = 0;
        for image in images {
            if !rows.is_empty() && rows.len() + image.len() + 64 > bytes_max {
                events.push(binlog::write_rows(table_id, columns.len(), &rows));
                rows.clear();
            }
            rows.extend_from_slice(&image);
            row_count += 1;
        }
        events.push(binlog::write_rows(table_id, columns.len(), &rows));
        let table_map = binlog::table_map(table_id, database, table, &columns);
        Self { table_id, table_map, bytes: events.iter().map(Vec::len).sum(), events, row_count, columns }
    }
}
