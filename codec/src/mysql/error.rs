//! What can be wrong with bytes that a server sent.

/// An event, or a structure inside one, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The structure ends before the field does.
    #[error("{what}: {field} at byte {offset} needs {needed} bytes, {left} left")]
    Truncated { what: &'static str, field: &'static str, offset: usize, needed: u64, left: usize },

    #[error("{what}: {field} at byte {offset} is invalid: {reason}")]
    Invalid { what: &'static str, field: &'static str, offset: usize, reason: String },

    /// The header's size and the number of bytes at hand differ.
    #[error("event of type {type_code}: its header says {stated} bytes, there are {found}")]
    Size { type_code: u8, stated: u32, found: usize },

    #[error(
        "event of type {type_code}: checksum {computed:08x}, the event says {stored:08x}: \
         the bytes were damaged on their way or on the server's disk"
    )]
    Checksum { type_code: u8, stored: u32, computed: u32 },

    /// A type that this program does not know: its length in a row image is unknown, so the rows cannot be read.
    #[error("table {database}.{table}: column {column} (counted from 1) has the unknown type code {type_code}")]
    UnknownColumnType { database: String, table: String, column: usize, type_code: u8 },

    #[error("{what} of {size} bytes is larger than {key} = {limit}; raise {key} to let it pass")]
    TooLarge { what: &'static str, size: u64, limit: u64, key: &'static str },

    #[error("{what}: cannot be decompressed: {reason}")]
    Decompression { what: &'static str, reason: String },

    /// The server writes this event in a layout that is not known here.
    #[error(
        "server {server_version} writes event type {type_code} with a post-header of {found} bytes, {known} are known"
    )]
    PostHeader { server_version: String, type_code: u8, found: u8, known: u8 },

    #[error("this binlog is encrypted ({scheme}); read it through the server instead of from its files")]
    Encrypted { scheme: &'static str },

    /// Sound as far as can be told, and of a server too old to be read.
    #[error("{what}: {reason}")]
    TooOld { what: &'static str, reason: String },
}

impl EventError {
    /// True where only one table is concerned: it can be quarantined and the rest of the stream flows on.
    pub fn concerns_one_table(&self) -> bool {
        match self {
            Self::UnknownColumnType { .. } => true,
            Self::Truncated { .. }
            | Self::Invalid { .. }
            | Self::Size { .. }
            | Self::Checksum { .. }
            | Self::TooLarge { .. }
            | Self::Decompression { .. }
            | Self::PostHeader { .. }
            | Self::Encrypted { .. }
            | Self::TooOld { .. } => false,
        }
    }

    /// True where the bytes are sound, and of a form that is not read: reading them again cannot help.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::PostHeader { .. } | Self::Encrypted { .. } | Self::TooOld { .. })
    }
}
