//! One event: its header, and a body of any type, of either kind of server.
//!
//! ```text
//! u8 type   u8 mode: bit 0 MariaDB   rest: the body
//! ```
//! Holds: what is kept of a body is no longer than it; a GTID set and a GTID are printed and read back alike; and
//! `mysql_common` finds the same in every body that it reads too.

use std::sync::LazyLock;

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{
    Event, EventData, EventHeader, EventType, FormatDescription, HEADER_BYTES, QueryEvent,
};
use millstream_codec::mysql::gtid::{Gtid, GtidSet, MysqlGtid, ServerUuid, Tag, Tsid};
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::binlog::events::{
    BinlogEventFooter, Event as TheirEvent, EventData as Theirs, FormatDescriptionEvent, GtidEvent,
};

use crate::binlog::push_event;
use crate::input::Input;
use crate::peer;

/// Most bytes that a compressed body may become.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;
const MARIADB: u8 = 1;

pub fn target(data: &[u8]) {
    let _ = EventHeader::parse(data);
    let _ = Event::parse_before_format(data);
    let _ = FormatDescription::parse(data);
    let mut input = Input::new(data);
    let (type_code, mode) = (input.u8(), input.u8());
    let body = input.rest();
    let kind = if mode & MARIADB != 0 { ServerKind::Mariadb } else { ServerKind::Mysql };

    let mut bytes = Vec::new();
    push_event(&mut bytes, type_code, 0, body, false);
    let event = Event::parse(&bytes, Checksum::None).expect("size and checksum are right");
    assert_eq!(event.body, body);
    let Ok(ours) = EventData::parse(&event, kind) else { return };
    check(&ours, body, kind);
    if kind == ServerKind::Mysql {
        compare_with_peer(&ours, &bytes);
    }
}

fn check(ours: &EventData<'_>, body: &[u8], kind: ServerKind) {
    match ours {
        EventData::TableMap(map) => {
            assert_eq!(map.kind, kind);
            assert!(map.formats.len() <= body.len());
            if let Some(schema) = map.schema() {
                assert_eq!(schema.columns.len(), map.formats.len());
                let again = map.schema_with(&schema).expect("a map agrees with its own schema");
                assert_eq!(again.columns.len(), schema.columns.len());
            }
        }
        EventData::Rows(rows) => {
            assert!(rows.rows.len() <= body.len());
            let _ = rows.has_full_images();
            assert_eq!(RowsEvent::table_id_and_flags(body).ok(), Some((rows.table_id, rows.flags)));
        }
        EventData::Query(query) => {
            if let Ok(statement) = query.statement(DECOMPRESSED_BYTES_MAX) {
                assert!(statement.len() <= DECOMPRESSED_BYTES_MAX.max(body.len()));
            }
            let _ = query.charset();
            if QueryEvent::begins(EventType::QUERY, body) {
                let whole = QueryEvent::parse(EventType::QUERY, body).expect("it was read");
                assert_eq!(whole.statement(DECOMPRESSED_BYTES_MAX).ok().as_deref(), Some(&b"BEGIN"[..]));
            }
        }
        EventData::Gtid(event) => {
            if let Some(gtid) = event.gtid {
                assert_eq!(Gtid::Mysql(gtid).to_string().parse::<Gtid>().ok(), Some(Gtid::Mysql(gtid)));
            }
        }
        EventData::PreviousGtids(set) => {
            assert_eq!(GtidSet::decode(&set.encode()).as_ref(), Ok(set));
            assert_eq!(set.to_string().parse::<GtidSet>().as_ref(), Ok(set));
        }
        _ => {}
    }
}

/// As a MySQL 9.7 begins its files, but that the events have no checksum.
pub static THEIR_FORMAT: LazyLock<FormatDescriptionEvent<'static>> = LazyLock::new(|| {
    let file = include_bytes!("../../../../codec/tests/data/mysql97.binlog");
    let start = FormatDescriptionEvent::new(mysql_common::binlog::consts::BinlogVersion::Version4);
    let event = TheirEvent::read(&start, &file[4..]).expect("a recorded file");
    let format: FormatDescriptionEvent<'_> = event.read_event().expect("a FORMAT_DESCRIPTION");
    let footer = BinlogEventFooter::new(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_OFF);
    format.into_owned().with_footer(footer)
});

/// Types whose bodies mean the same to both.
fn is_compared(type_code: u8) -> bool {
    use EventType as T;
    matches!(
        type_code,
        T::QUERY | T::ROTATE | T::XID | T::TABLE_MAP | T::ROWS_QUERY | T::GTID | T::ANONYMOUS_GTID | T::PREVIOUS_GTIDS
    ) || matches!(type_code, T::WRITE_ROWS_V1..=T::DELETE_ROWS_V1 | T::WRITE_ROWS..=T::DELETE_ROWS)
        || matches!(type_code, T::PARTIAL_UPDATE_ROWS | T::TRANSACTION_PAYLOAD | T::GTID_TAGGED)
}

fn compare_with_peer(ours: &EventData<'_>, bytes: &[u8]) {
    let type_code = bytes[4];
    if !is_compared(type_code) {
        return;
    }
    let format = &*THEIR_FORMAT;
    let Some(event) = peer::ask(|| TheirEvent::read(format, bytes).ok()) else { return };
    let Some(theirs) = peer::ask(|| event.read_data().ok().flatten()) else { return };
    compare(ours, &theirs, bytes.len() - HEADER_BYTES);
}

fn compare(ours: &EventData<'_>, theirs: &Theirs<'_>, body_bytes: usize) {
    match (ours, theirs) {
        (EventData::Query(ours), Theirs::QueryEvent(theirs)) => {
            let statement = ours.statement(body_bytes).expect("not compressed");
            assert_eq!(statement, theirs.query_raw());
            assert_eq!(ours.database, String::from_utf8_lossy(theirs.schema_raw()));
            assert_eq!((ours.connection_id, ours.error_code), (theirs.thread_id(), theirs.error_code()));
        }
        (EventData::Xid(ours), Theirs::XidEvent(theirs)) => assert_eq!(*ours, theirs.xid),
        (EventData::Rotate(ours), Theirs::RotateEvent(theirs)) => {
            assert_eq!(ours.position, theirs.position());
            // Ours ends at a zero byte, which some servers write behind it.
            let name = theirs.name_raw().split(|byte| *byte == 0).next().unwrap_or_default();
            assert_eq!(ours.file, String::from_utf8_lossy(name));
        }
        (EventData::RowsQuery(ours), Theirs::RowsQueryEvent(theirs)) => assert_eq!(*ours, theirs.query_raw()),
        (EventData::TransactionPayload(ours), Theirs::TransactionPayloadEvent(theirs)) => {
            assert_eq!(ours.payload, theirs.payload_raw());
        }
        (EventData::Gtid(ours), Theirs::GtidEvent(theirs)) => {
            let tag = theirs.tag().and_then(|tag| Tag::new(tag.as_str()).ok());
            if let Some(gtid) = ours.gtid {
                assert_eq!(
                    gtid,
                    MysqlGtid { tsid: Tsid { uuid: ServerUuid(theirs.sid()), tag }, number: theirs.gno() }
                );
            }
            compare_gtids(ours, theirs);
        }
        (EventData::PreviousGtids(ours), Theirs::PreviousGtidsEvent(theirs)) => {
            let mut expected = GtidSet::new();
            for sid in theirs.sids() {
                let tag = sid.tag().and_then(|tag| Tag::new(tag.as_str()).ok());
                let tsid = Tsid { uuid: ServerUuid(sid.uuid()), tag };
                for interval in sid.intervals() {
                    expected.add_interval(&tsid, interval.start(), interval.end());
                }
            }
            assert_eq!(*ours, expected);
        }
        (EventData::TableMap(ours), Theirs::TableMapEvent(theirs)) => compare_maps(ours, theirs),
        (EventData::Rows(ours), Theirs::RowsEvent(theirs)) => {
            assert_eq!((ours.table_id, ours.column_count as u64), (theirs.table_id(), theirs.num_columns()));
            assert_eq!(ours.rows, theirs.rows_data());
            if ours.column_count > 0 {
                assert_eq!(ours.before_bitmap.is_empty(), theirs.columns_before_image().is_none());
                assert_eq!(ours.after_bitmap.is_empty(), theirs.columns_after_image().is_none());
            }
        }
        // Anonymous ones are a type of their own there, without what is compared.
        (EventData::Gtid(_), Theirs::AnonymousGtidEvent(_)) => {}
        (ours, theirs) => panic!("{ours:?} and {theirs:?}"),
    }
}

fn compare_gtids(ours: &millstream_codec::mysql::event::GtidEvent, theirs: &GtidEvent) {
    assert_eq!(ours.flags, theirs.flags_raw());
    assert_eq!((ours.last_committed, ours.sequence_number), (theirs.last_committed(), theirs.sequence_number()));
}

fn compare_maps(ours: &TableMap<'_>, theirs: &mysql_common::binlog::events::TableMapEvent<'_>) {
    assert_eq!((ours.table_id, ours.formats.len() as u64), (theirs.table_id(), theirs.columns_count()));
    assert_eq!(ours.database, String::from_utf8_lossy(theirs.database_name_raw()));
    assert_eq!(ours.table, String::from_utf8_lossy(theirs.table_name_raw()));
    let nulls = peer::ask(|| Some(theirs.null_bitmask().iter().map(|bit| *bit).collect::<Vec<_>>()));
    for (index, null) in nulls.iter().flatten().enumerate().take(ours.formats.len()) {
        assert_eq!(ours.is_nullable(index), *null);
    }
}
