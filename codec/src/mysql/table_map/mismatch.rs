//! Where the log and the known schema of a table disagree.

/// Names both sides. The table must be quarantined: its rows would be read with shifted or wrong columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    #[error(
        "table {database}.{table}: the binlog has {in_log} columns, the known schema {known} ({known_names}); \
         the table was altered where the binlog does not show it, or the schema is of another time"
    )]
    ColumnCount { database: String, table: String, in_log: usize, known: usize, known_names: String },

    #[error(
        "table {database}.{table}: column {position} is {in_log} in the binlog, but `{name}` {known} in the known schema; \
         the table was altered where the binlog does not show it, or the schema is of another time"
    )]
    ColumnType { database: String, table: String, position: usize, name: String, in_log: String, known: String },

    #[error(
        "table {database}.{table}: column `{name}` has fractional seconds in MariaDB's old temporal format, \
         which its binlog does not describe; run ALTER TABLE {database}.{table} FORCE with mysql56_temporal_format=ON"
    )]
    OldTemporalFormat { database: String, table: String, name: String },
}
