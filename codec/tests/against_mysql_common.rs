//! The recorded binlogs of MySQL, read here and by `mysql_common`: both must find the same.
//! (It does not read MariaDB's own events.)
#![cfg(feature = "mysql")]

use std::collections::BTreeMap;

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventData, EventType};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::gtid::{GtidSet, Interval, MysqlGtid, ServerUuid, Tag, Tsid};
use millstream_codec::mysql::server::ServerKind;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{EventData as Theirs, GtidEvent, RowsEventData};
use mysql_common::binlog::{BinlogFile, events};

const FILES: [(&str, &[u8]); 3] = [
    ("mysql97", include_bytes!("data/mysql97.binlog")),
    ("mysql57", include_bytes!("data/mysql57.binlog")),
    ("mysql56", include_bytes!("data/mysql56.binlog")),
];

fn our_gtid(theirs: &GtidEvent) -> MysqlGtid {
    let tag = theirs.tag().map(|tag| Tag::new(tag.as_str()).unwrap());
    MysqlGtid { tsid: Tsid { uuid: ServerUuid(theirs.sid()), tag }, number: theirs.gno() }
}

#[test]
fn every_event_is_read_alike() {
    let mut compared = BTreeMap::new();
    for (name, bytes) in FILES {
        let mut ours = BinlogFileReader::new(1 << 20);
        ours.feed(bytes);
        for theirs in BinlogFile::new(BinlogVersion::Version4, bytes).unwrap() {
            let theirs = theirs.unwrap();
            let our_bytes = ours.next_event().unwrap().unwrap().bytes;
            let event = Event::parse_before_format(our_bytes).unwrap();
            let (header, their_header) = (event.header, theirs.header());
            assert_eq!(header.timestamp, their_header.timestamp());
            assert_eq!(header.type_code, their_header.event_type_raw());
            assert_eq!(header.server_id, their_header.server_id());
            assert_eq!(header.size, their_header.event_size());
            assert_eq!(header.end_position, their_header.log_pos());
            assert_eq!(header.flags, their_header.flags_raw());
            if header.type_code == EventType::FORMAT_DESCRIPTION {
                continue;
            }
            let event = Event::parse(our_bytes, Checksum::Crc32).unwrap();
            let data = EventData::parse(&event, ServerKind::Mysql).unwrap();
            let Some(theirs) = theirs.read_data().unwrap() else {
                continue;
            };
            let what = format!("{name} {}", EventType::name(header.type_code));
            compare(&data, &theirs, &what);
            *compared.entry(EventType::name(header.type_code)).or_insert(0) += 1;
        }
        assert!(ours.next_event().unwrap().is_none(), "{name}");
    }
    for (type_name, count_min) in [
        ("TABLE_MAP", 25),
        ("GTID", 40),
        ("GTID_TAGGED", 1),
        ("QUERY", 50),
        ("WRITE_ROWS", 15),
        ("PARTIAL_UPDATE_ROWS", 1),
    ] {
        assert!(compared.get(type_name) >= Some(&count_min), "{type_name}: {compared:?}");
    }
}

fn compare(ours: &EventData<'_>, theirs: &Theirs<'_>, what: &str) {
    match (ours, theirs) {
        (EventData::Query(ours), Theirs::QueryEvent(theirs)) => {
            assert_eq!(ours.statement(1 << 20).unwrap(), theirs.query_raw(), "{what}");
            assert_eq!(ours.database.as_bytes(), theirs.schema_raw(), "{what}");
            assert_eq!(ours.connection_id, theirs.thread_id(), "{what}");
            assert_eq!(ours.error_code, theirs.error_code(), "{what}");
        }
        (EventData::Xid(ours), Theirs::XidEvent(theirs)) => assert_eq!(*ours, theirs.xid, "{what}"),
        (EventData::Gtid(ours), Theirs::GtidEvent(theirs)) => {
            assert_eq!(ours.gtid, Some(our_gtid(theirs)), "{what}");
            assert_eq!(ours.flags, theirs.flags_raw(), "{what}");
            assert_eq!(ours.last_committed, theirs.last_committed(), "{what}");
            assert_eq!(ours.sequence_number, theirs.sequence_number(), "{what}");
            assert_eq!(ours.immediate_commit_us.unwrap_or(0), theirs.immediate_commit_timestamp(), "{what}");
            assert_eq!(ours.original_commit_us.unwrap_or(0), theirs.original_commit_timestamp(), "{what}");
            assert_eq!(ours.transaction_bytes.unwrap_or(0), theirs.tx_length(), "{what}");
            let undefined = GtidEvent::UNDEFINED_SERVER_VERSION;
            assert_eq!(ours.immediate_server_version.unwrap_or(undefined), theirs.immediate_server_version(), "{what}");
            assert_eq!(ours.original_server_version.unwrap_or(undefined), theirs.original_server_version(), "{what}");
        }
        (EventData::PreviousGtids(ours), Theirs::PreviousGtidsEvent(theirs)) => {
            let mut expected = GtidSet::new();
            for sid in theirs.sids() {
                let tsid =
                    Tsid { uuid: ServerUuid(sid.uuid()), tag: sid.tag().map(|tag| Tag::new(tag.as_str()).unwrap()) };
                for interval in sid.intervals() {
                    let Interval { start, end } = Interval { start: interval.start(), end: interval.end() };
                    expected.add_interval(&tsid, start, end);
                }
            }
            assert_eq!(*ours, expected, "{what}");
        }
        (EventData::Rotate(ours), Theirs::RotateEvent(theirs)) => {
            assert_eq!((ours.position, ours.file.as_bytes()), (theirs.position(), theirs.name_raw()), "{what}");
        }
        (EventData::RowsQuery(ours), Theirs::RowsQueryEvent(theirs)) => {
            assert_eq!(*ours, theirs.query_raw(), "{what}")
        }
        (EventData::TransactionPayload(ours), Theirs::TransactionPayloadEvent(theirs)) => {
            assert_eq!(ours.payload, theirs.payload_raw(), "{what}");
            assert_eq!(ours.uncompressed_bytes, theirs.uncompressed_size(), "{what}");
        }
        (EventData::TableMap(ours), Theirs::TableMapEvent(theirs)) => compare_table_maps(ours, theirs, what),
        (EventData::Rows(ours), Theirs::RowsEvent(theirs)) => compare_rows(ours, theirs, what),
        (EventData::StatementContext, Theirs::IntvarEvent(_)) => {}
        // It keeps the bytes of XA_PREPARE without reading them.
        (EventData::XaPrepare(_), _) => {}
        (ours, theirs) => panic!("{what}: {ours:?} and {theirs:?}"),
    }
}

fn compare_table_maps(
    ours: &millstream_codec::mysql::table_map::TableMap<'_>,
    theirs: &events::TableMapEvent<'_>,
    what: &str,
) {
    assert_eq!(ours.table_id, theirs.table_id(), "{what}");
    assert_eq!((&*ours.database, &*ours.table), (&*theirs.database_name(), &*theirs.table_name()), "{what}");
    assert_eq!(ours.formats.len() as u64, theirs.columns_count(), "{what}");
    for (index, format) in ours.formats.iter().enumerate() {
        let their_type = theirs.get_column_type(index).unwrap().unwrap() as u8;
        // It reads DATE as NEWDATE.
        let our_type = if format.type_code == 10 { 14 } else { format.type_code };
        assert_eq!(our_type, their_type, "{what} {index}");
        let raw = theirs.get_column_metadata(index).unwrap();
        let expected = match (format.type_code, raw) {
            (247 | 248, [_, size]) => u16::from(*size),
            // The two bits of the length that are hidden in the type.
            (254, [real_type, low]) => u16::from(*low) | u16::from(real_type & 0x30 ^ 0x30) << 4,
            (_, []) => 0,
            (_, [one]) => u16::from(*one),
            (_, [low, high, ..]) => u16::from_le_bytes([*low, *high]),
        };
        assert_eq!(format.meta, expected, "{what} {index}");
        assert_eq!(ours.is_nullable(index), theirs.null_bitmask()[index], "{what} {index}");
    }
}

fn compare_rows(ours: &millstream_codec::mysql::rows::RowsEvent<'_>, theirs: &RowsEventData<'_>, what: &str) {
    assert_eq!(ours.table_id, theirs.table_id(), "{what}");
    assert_eq!(ours.column_count as u64, theirs.num_columns(), "{what}");
    assert_eq!(ours.rows, theirs.rows_data(), "{what}");
    let bits = |bitmap: &[u8]| -> Vec<bool> {
        (0..ours.column_count).map(|index| millstream_codec::mysql::rows::bit(bitmap, index)).collect()
    };
    for (ours, theirs) in
        [(ours.before_bitmap, theirs.columns_before_image()), (ours.after_bitmap, theirs.columns_after_image())]
    {
        assert_eq!(ours.is_empty(), theirs.is_none(), "{what}");
        if let Some(theirs) = theirs {
            assert_eq!(bits(ours), theirs.iter().map(|bit| *bit).collect::<Vec<_>>(), "{what}");
        }
    }
}
