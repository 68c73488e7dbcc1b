//! Where the log and the known schema of a table disagree.

/// Names both sides. The table must be quarantined: its rows would be read with shifted or wrong columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    #[error(
        "table {table}: the binlog has {in_log} columns, the known schema {known} ({known_names}); \
         the table was altered where the binlog does not show it, or the schema is of another time"
    )]
    ColumnCount {
        /// `database.table`
        table: String,
        in_log: usize,
        known: usize,
        known_names: String,
    },

    #[error(
        "table {table}: {column} is {in_log} in the binlog, but {known} in the known schema; \
         the table was altered where the binlog does not show it, or the schema is of another time"
    )]
    ColumnType {
        table: String,
        /// Place (from 1) and name: column 2 `price`
        column: String,
        in_log: String,
        known: String,
    },

    #[error(
        "table {table}: column `{name}` has fractional seconds in MariaDB's old temporal format, which its binlog does \
         not describe; run ALTER TABLE {table} FORCE with mysql56_temporal_format=ON"
    )]
    OldTemporalFormat { table: String, name: String },
}
