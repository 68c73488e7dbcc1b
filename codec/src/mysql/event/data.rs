//! The body of an event of any type.

use super::*;
use crate::mysql::gtid::GtidSet;
use crate::mysql::rows::RowsEvent;
use crate::mysql::server::ServerKind;
use crate::mysql::table_map::TableMap;

/// A parsed body. What a hot path needs of single types it parses by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum EventData<'a> {
    FormatDescription(FormatDescription),
    Rotate(Rotate<'a>),
    Stop,
    Query(QueryEvent<'a>),
    Xid(u64),
    /// GTID, ANONYMOUS_GTID and GTID_TAGGED.
    Gtid(GtidEvent),
    PreviousGtids(GtidSet),
    TableMap(TableMap<'a>),
    Rows(RowsEvent<'a>),
    /// The statement behind the rows: ROWS_QUERY, ANNOTATE_ROWS.
    RowsQuery(&'a [u8]),
    TransactionPayload(TransactionPayload<'a>),
    Heartbeat(Heartbeat<'a>),
    XaPrepare(XaPrepare),
    Incident(Incident<'a>),
    MariadbGtid(MariadbGtidEvent),
    MariadbGtidList(MariadbGtidList),
    BinlogCheckpoint(BinlogCheckpoint<'a>),
    StartEncryption(StartEncryption),
    /// INTVAR, RAND, USER_VAR: context of a statement. Rows need none of it.
    StatementContext,
    /// BEGIN_LOAD_QUERY, APPEND_BLOCK, DELETE_FILE, EXECUTE_LOAD_QUERY: LOAD DATA logged as a statement.
    LoadStatement,
    /// Known, and without meaning to a reader of rows: IGNORABLE, TRANSACTION_CONTEXT, VIEW_CHANGE.
    Ignorable,
    /// A type that is not known here. Whether it may be skipped tells [`EventHeader::is_ignorable`].
    Unknown,
}

impl<'a> EventData<'a> {
    /// Reads the body by the type in the header. `kind` is that of the last FORMAT_DESCRIPTION.
    ///
    /// # Errors
    /// [`EventError`] of the single type.
    pub fn parse(event: &Event<'a>, kind: ServerKind) -> Result<Self, EventError> {
        use EventType as T;
        let body = event.body;
        Ok(match event.header.type_code {
            T::FORMAT_DESCRIPTION => Self::FormatDescription(FormatDescription::parse_body(body)?),
            T::ROTATE => Self::Rotate(Rotate::parse(body)?),
            T::STOP => Self::Stop,
            T::QUERY | T::QUERY_COMPRESSED => Self::Query(QueryEvent::parse(event.header.type_code, body)?),
            T::XID => Self::Xid(xid::parse(body)?),
            T::GTID | T::ANONYMOUS_GTID => Self::Gtid(GtidEvent::parse(event.header.type_code, body)?),
            T::GTID_TAGGED => Self::Gtid(gtid_tagged::parse(body)?),
            T::PREVIOUS_GTIDS => Self::PreviousGtids(previous_gtids::parse(body)?),
            T::TABLE_MAP => Self::TableMap(TableMap::parse(body, kind)?),
            code if RowsEvent::is_rows(code) => Self::Rows(RowsEvent::parse(code, body)?),
            T::ROWS_QUERY => Self::RowsQuery(rows_query::parse(body)?),
            T::ANNOTATE_ROWS => Self::RowsQuery(body),
            T::TRANSACTION_PAYLOAD => Self::TransactionPayload(TransactionPayload::parse(body)?),
            T::HEARTBEAT => Self::Heartbeat(Heartbeat::parse_v1(&event.header, body)?),
            T::HEARTBEAT_V2 => Self::Heartbeat(Heartbeat::parse_v2(body)?),
            T::XA_PREPARE => Self::XaPrepare(XaPrepare::parse(body)?),
            T::INCIDENT => Self::Incident(Incident::parse(body)?),
            T::MARIADB_GTID => Self::MariadbGtid(MariadbGtidEvent::parse(event.header.server_id, body)?),
            T::MARIADB_GTID_LIST => Self::MariadbGtidList(MariadbGtidList::parse(body)?),
            T::BINLOG_CHECKPOINT => Self::BinlogCheckpoint(BinlogCheckpoint::parse(body)?),
            T::START_ENCRYPTION => Self::StartEncryption(StartEncryption::parse(body)?),
            T::INTVAR | T::RAND | T::USER_VAR => Self::StatementContext,
            T::BEGIN_LOAD_QUERY | T::APPEND_BLOCK | T::DELETE_FILE | T::EXECUTE_LOAD_QUERY => Self::LoadStatement,
            T::IGNORABLE | T::TRANSACTION_CONTEXT | T::VIEW_CHANGE => Self::Ignorable,
            _ => Self::Unknown,
        })
    }
}
