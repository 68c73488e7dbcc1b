//! The numbers of event types and header flags, of MySQL (`Log_event_type`) and MariaDB (`log_event.h`).

/// `EventHeader::type_code`.
pub struct EventType;

impl EventType {
    pub const UNKNOWN: u8 = 0;
    pub const START_V3: u8 = 1;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V0: u8 = 20;
    pub const UPDATE_ROWS_V0: u8 = 21;
    pub const DELETE_ROWS_V0: u8 = 22;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    // MariaDB
    pub const ANNOTATE_ROWS: u8 = 160;
    pub const BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const START_ENCRYPTION: u8 = 164;
    pub const QUERY_COMPRESSED: u8 = 165;
    pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const DELETE_ROWS_COMPRESSED: u8 = 171;

    /// For people: the name that `SHOW BINLOG EVENTS` prints, as near as matters; `UNKNOWN` for other numbers.
    pub fn name(type_code: u8) -> &'static str {
        match type_code {
            Self::START_V3 => "START_V3",
            Self::QUERY => "QUERY",
            Self::STOP => "STOP",
            Self::ROTATE => "ROTATE",
            Self::INTVAR => "INTVAR",
            Self::APPEND_BLOCK => "APPEND_BLOCK",
            Self::DELETE_FILE => "DELETE_FILE",
            Self::RAND => "RAND",
            Self::USER_VAR => "USER_VAR",
            Self::FORMAT_DESCRIPTION => "FORMAT_DESCRIPTION",
            Self::XID => "XID",
            Self::BEGIN_LOAD_QUERY => "BEGIN_LOAD_QUERY",
            Self::EXECUTE_LOAD_QUERY => "EXECUTE_LOAD_QUERY",
            Self::TABLE_MAP => "TABLE_MAP",
            Self::WRITE_ROWS_V0 => "WRITE_ROWS_V0",
            Self::UPDATE_ROWS_V0 => "UPDATE_ROWS_V0",
            Self::DELETE_ROWS_V0 => "DELETE_ROWS_V0",
            Self::WRITE_ROWS_V1 => "WRITE_ROWS_V1",
            Self::UPDATE_ROWS_V1 => "UPDATE_ROWS_V1",
            Self::DELETE_ROWS_V1 => "DELETE_ROWS_V1",
            Self::INCIDENT => "INCIDENT",
            Self::HEARTBEAT => "HEARTBEAT",
            Self::IGNORABLE => "IGNORABLE",
            Self::ROWS_QUERY => "ROWS_QUERY",
            Self::WRITE_ROWS => "WRITE_ROWS",
            Self::UPDATE_ROWS => "UPDATE_ROWS",
            Self::DELETE_ROWS => "DELETE_ROWS",
            Self::GTID => "GTID",
            Self::ANONYMOUS_GTID => "ANONYMOUS_GTID",
            Self::PREVIOUS_GTIDS => "PREVIOUS_GTIDS",
            Self::TRANSACTION_CONTEXT => "TRANSACTION_CONTEXT",
            Self::VIEW_CHANGE => "VIEW_CHANGE",
            Self::XA_PREPARE => "XA_PREPARE",
            Self::PARTIAL_UPDATE_ROWS => "PARTIAL_UPDATE_ROWS",
            Self::TRANSACTION_PAYLOAD => "TRANSACTION_PAYLOAD",
            Self::HEARTBEAT_V2 => "HEARTBEAT_V2",
            Self::GTID_TAGGED => "GTID_TAGGED",
            Self::ANNOTATE_ROWS => "ANNOTATE_ROWS",
            Self::BINLOG_CHECKPOINT => "BINLOG_CHECKPOINT",
            Self::MARIADB_GTID => "MARIADB_GTID",
            Self::MARIADB_GTID_LIST => "MARIADB_GTID_LIST",
            Self::START_ENCRYPTION => "START_ENCRYPTION",
            Self::QUERY_COMPRESSED => "QUERY_COMPRESSED",
            Self::WRITE_ROWS_COMPRESSED_V1 => "WRITE_ROWS_COMPRESSED_V1",
            Self::UPDATE_ROWS_COMPRESSED_V1 => "UPDATE_ROWS_COMPRESSED_V1",
            Self::DELETE_ROWS_COMPRESSED_V1 => "DELETE_ROWS_COMPRESSED_V1",
            Self::WRITE_ROWS_COMPRESSED => "WRITE_ROWS_COMPRESSED",
            Self::UPDATE_ROWS_COMPRESSED => "UPDATE_ROWS_COMPRESSED",
            Self::DELETE_ROWS_COMPRESSED => "DELETE_ROWS_COMPRESSED",
            _ => "UNKNOWN",
        }
    }
}

/// Bits of `EventHeader::flags`.
pub struct EventFlags;

impl EventFlags {
    /// In FORMAT_DESCRIPTION: the file is still being written, or its server died. Set and cleared in place
    /// without a new checksum.
    pub const BINLOG_IN_USE: u16 = 0x0001;
    pub const THREAD_SPECIFIC: u16 = 0x0004;
    pub const SUPPRESS_USE: u16 = 0x0008;
    pub const ARTIFICIAL: u16 = 0x0020;
    pub const RELAY_LOG: u16 = 0x0040;
    pub const IGNORABLE: u16 = 0x0080;
    pub const NO_FILTER: u16 = 0x0100;
    /// MariaDB: written with `skip_replication`.
    pub const SKIP_REPLICATION: u16 = 0x8000;
}
