//! Why rows could not be encoded. Each names the table, the column and the place; each quarantines that one table.

use crate::mysql::value::ValueError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("{table}: {layout} columns in the layout, {schema} in the schema, {formats} in the table map")]
    Counts { table: String, layout: usize, schema: usize, formats: usize },
    #[error("column {column:?} of {table}: type code {type_code} in the table map does not hold {kind}")]
    Format { table: String, column: String, type_code: u8, kind: String },
    #[error("column {column:?} of {table}: {reason}")]
    Column { table: String, column: String, reason: ValueError },
    #[error("column {column:?} of {table}: character set {charset:?} is not known")]
    Charset { table: String, column: String, charset: String },
    #[error(
        "column {column:?} of {table}: {digits} fractional digits in MariaDB's old temporal format, whose bytes depend \
         on what the table map does not tell; set mysql56_temporal_format=ON and rebuild the table"
    )]
    OldTemporal { table: String, column: String, digits: u8 },
    #[error("{table}: the event has {event} columns, the layout {layout}")]
    ColumnCount { table: String, event: usize, layout: usize },
    #[error("{table}: the event's rows are still compressed")]
    Compressed { table: String },
    /// `offset` is where the value begins, with its length.
    #[error("column {column:?} of {table}, at byte {offset} of {rows_bytes} bytes of rows: {reason}")]
    Value { table: String, column: String, offset: usize, rows_bytes: usize, reason: ValueError },
    #[error("{table}: the row at byte {offset} of {rows_bytes} bytes of rows ends inside its header")]
    Header { table: String, offset: usize, rows_bytes: usize },
    #[error(
        "{table}: the row at byte {offset} of {rows_bytes} bytes of rows has no byte, so that rows would never end"
    )]
    EmptyRow { table: String, offset: usize, rows_bytes: usize },
    #[error("{table}: one row takes {bytes} bytes; Cap'n Proto's pointers reach {bytes_max}")]
    RowTooLarge { table: String, bytes: usize, bytes_max: usize },
    #[error("{table}: {rows_bytes} bytes of rows become more than {bytes_max} bytes")]
    EventTooLarge { table: String, rows_bytes: usize, bytes_max: usize },
}
