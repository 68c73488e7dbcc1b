//! ROWS_QUERY (29): the statement that changed the rows that follow (`binlog_rows_query_log_events`).
//!
//! ```text
//! u8   length of the statement, cut to a byte and therefore not used
//! rest statement
//! ```
//! MariaDB's ANNOTATE_ROWS (160) is the same without the length.

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

pub fn parse(body: &[u8]) -> Result<&[u8], EventError> {
    let mut reader = Reader::new("ROWS_QUERY", body);
    reader.u8("length")?;
    Ok(reader.rest())
}
