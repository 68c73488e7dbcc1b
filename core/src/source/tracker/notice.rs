//! What a tracker has to tell besides rows: to be logged and counted, never to be passed over in silence.

use crate::position::FilePosition;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// A row change that was logged as a statement, passed over because the configuration says so.
    #[error(
        "a change was logged as a statement at {position} (database {database:?}) and is not delivered \
         (statement_dml = \"skip\"): {statement}"
    )]
    StatementSkipped { position: FilePosition, database: String, statement: String },

    #[error(
        "XA transaction {xid} was committed at {position}, but it was prepared before this reader began: its rows are \
         not delivered. Start from a position before its XA PREPARE to have them"
    )]
    XaUnresolved { xid: String, position: FilePosition },

    #[error("table {database}.{table} is quarantined at {position}, its rows are not delivered: {reason}")]
    TableQuarantined { database: String, table: String, position: FilePosition, reason: String },

    #[error("table {database}.{table} can be delivered again from {position} on")]
    TableReleased { database: String, table: String, position: FilePosition },

    /// A statement was not understood, or did not fit what was known of a table.
    #[error(
        "the columns of {database}.{table} are in doubt at {position} and are read again from the server: {reason}"
    )]
    SchemaDoubtful { database: String, table: String, position: FilePosition, reason: String },

    /// The schema history begins later than the reader.
    #[error(
        "table {database}.{table} at {position}: the schema history does not reach back so far. The columns are those of \
         later, and fit the log in number and types; their names may have been others"
    )]
    SchemaAssumed { database: String, table: String, position: FilePosition },

    /// MariaDB's binlog cannot tell UUID, INET6, INET4 and VECTOR from binary strings, and nothing else was known.
    #[error(
        "table {database}.{table}: its binary columns may be UUID, INET6, INET4 or VECTOR, which the log cannot tell, and \
         no schema of that moment is known: they are delivered as binary at {position}"
    )]
    UncertainTypes { database: String, table: String, position: FilePosition },

    /// Only when files are decoded.
    #[error(
        "table {database}.{table}: the file has no column names (binlog_row_metadata is not FULL); columns are called \
         @1, @2 ..., what looks like text is shown as text, and integers without a sign bit known are shown as signed"
    )]
    NamesUnknown { database: String, table: String },

    #[error("an event of the unknown type {type_code} at {position} was skipped, as its flags allow")]
    UnknownEventSkipped { position: FilePosition, type_code: u8 },

    #[error("a statement at {position} is not known and was taken for DDL: {statement}")]
    StatementUnknown { position: FilePosition, statement: String },

    #[error(
        "the transaction that begins at {position} has no end ({reason}): it never committed, nothing of it is delivered"
    )]
    Incomplete { position: FilePosition, reason: &'static str },
}
