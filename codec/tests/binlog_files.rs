//! Binlog files that real servers wrote (`data/README.md`), held against what the same servers said of them.
#![cfg(feature = "mysql")]

use std::collections::{BTreeMap, BTreeSet};

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{self, Event, EventData, EventType, FormatDescription, PayloadReader, QueryEvent};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid};
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::{ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{TableMap, table_id_and_name};

struct Recording {
    name: &'static str,
    binlog: &'static [u8],
    /// SHOW BINLOG EVENTS: position, type, end position.
    events: &'static str,
    /// information_schema: table, column, type, character set, key.
    columns: &'static str,
    /// gtid_executed or gtid_binlog_pos.
    gtids: &'static str,
    full_metadata: bool,
}

impl Recording {
    fn is_mariadb(&self) -> bool {
        self.name.starts_with("mariadb")
    }

    fn kind(&self) -> ServerKind {
        if self.is_mariadb() { ServerKind::Mariadb } else { ServerKind::Mysql }
    }
}

macro_rules! recording {
    ($name:literal, $full:literal) => {
        Recording {
            name: $name,
            binlog: include_bytes!(concat!("data/", $name, ".binlog")),
            events: include_str!(concat!("data/", $name, ".events.tsv")),
            columns: include_str!(concat!("data/", $name, ".columns.tsv")),
            gtids: include_str!(concat!("data/", $name, ".gtid.txt")),
            full_metadata: $full,
        }
    };
}

const RECORDINGS: [Recording; 6] = [
    recording!("mysql97", true),
    recording!("mysql57", false),
    recording!("mysql56", false),
    recording!("mariadb118", true),
    recording!("mariadb1011", true),
    recording!("mariadb105", true),
];

const EVENT_BYTES_MAX: usize = 1 << 20;

/// Every event of the file with its offset and its own checksum algorithm; those of a TRANSACTION_PAYLOAD behind it,
/// with the payload's offset.
fn all_events(recording: &Recording) -> Vec<(u64, Checksum, Vec<u8>)> {
    let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
    let mut payloads = PayloadReader::new(EVENT_BYTES_MAX).unwrap();
    let mut checksum = Checksum::None;
    let mut found = Vec::new();
    for piece in recording.binlog.chunks(1000) {
        reader.feed(piece);
        while let Some(file_event) = reader.next_event().unwrap() {
            let bytes = file_event.bytes;
            if bytes[4] == EventType::FORMAT_DESCRIPTION {
                let format = FormatDescription::parse(bytes).unwrap();
                assert_eq!((format.checksum, format.server_kind()), (Checksum::Crc32, recording.kind()));
                checksum = format.checksum;
            }
            found.push((file_event.offset, checksum, bytes.to_vec()));
            let event = parse(bytes, checksum);
            if let EventData::TransactionPayload(payload) = EventData::parse(&event, recording.kind()).unwrap() {
                payloads.begin(&payload).unwrap();
                while let Some(chunk) = payloads.next_chunk(payload.payload, 4096).unwrap() {
                    for range in event::transaction_payload::events(&chunk) {
                        found.push((file_event.offset, Checksum::None, chunk[range].to_vec()));
                    }
                }
            }
        }
    }
    reader.finish().unwrap();
    found
}

/// A FORMAT_DESCRIPTION keeps its checksum in the body.
fn parse(bytes: &[u8], checksum: Checksum) -> Event<'_> {
    let own = if bytes[4] == EventType::FORMAT_DESCRIPTION { Checksum::None } else { checksum };
    Event::parse(bytes, own).unwrap()
}

/// The name that SHOW BINLOG EVENTS has for a type.
fn shown_name(type_code: u8) -> &'static str {
    match type_code {
        EventType::FORMAT_DESCRIPTION => "Format_desc",
        EventType::PREVIOUS_GTIDS => "Previous_gtids",
        EventType::GTID | EventType::MARIADB_GTID => "Gtid",
        EventType::GTID_TAGGED => "Gtid_tagged_log_event",
        EventType::MARIADB_GTID_LIST => "Gtid_list",
        EventType::BINLOG_CHECKPOINT => "Binlog_checkpoint",
        EventType::QUERY => "Query",
        EventType::QUERY_COMPRESSED => "Query_compressed",
        EventType::INTVAR => "Intvar",
        EventType::XID => "Xid",
        EventType::ROWS_QUERY => "Rows_query",
        EventType::ANNOTATE_ROWS => "Annotate_rows",
        EventType::TABLE_MAP => "Table_map",
        EventType::WRITE_ROWS => "Write_rows",
        EventType::UPDATE_ROWS => "Update_rows",
        EventType::DELETE_ROWS => "Delete_rows",
        EventType::PARTIAL_UPDATE_ROWS => "Update_rows_partial",
        EventType::WRITE_ROWS_V1 => "Write_rows_v1",
        EventType::UPDATE_ROWS_V1 => "Update_rows_v1",
        EventType::DELETE_ROWS_V1 => "Delete_rows_v1",
        EventType::WRITE_ROWS_COMPRESSED_V1 => "Write_rows_compressed_v1",
        EventType::UPDATE_ROWS_COMPRESSED_V1 => "Update_rows_compressed_v1",
        EventType::DELETE_ROWS_COMPRESSED_V1 => "Delete_rows_compressed_v1",
        EventType::TRANSACTION_PAYLOAD => "Transaction_payload",
        EventType::XA_PREPARE => "XA_prepare",
        EventType::ROTATE => "Rotate",
        _ => "?",
    }
}

#[test]
fn events_are_those_that_the_server_shows() {
    for recording in &RECORDINGS {
        let shown: Vec<Vec<&str>> = recording.events.lines().map(|line| line.split('\t').collect()).collect();
        let found = all_events(recording);
        // The position of an event inside a payload is shown in more than one way.
        let top = |type_name: &str, offset: u64| format!("{type_name} at {offset}");
        let found: Vec<String> = found
            .iter()
            .map(|(offset, checksum, bytes)| {
                let inside = *checksum == Checksum::None;
                top(shown_name(bytes[4]), if inside { 0 } else { *offset })
            })
            .collect();
        let mut payload_end = None;
        let shown: Vec<String> = shown
            .iter()
            .map(|fields| {
                let offset: u64 = fields[0].parse().unwrap();
                let inside = payload_end == Some(fields[0]) && payload_end == Some(fields[2]);
                if fields[1] == "Transaction_payload" {
                    payload_end = Some(fields[2]);
                }
                top(fields[1], if inside { 0 } else { offset })
            })
            .collect();
        assert_eq!(found, shown, "{}", recording.name);
    }
}

#[test]
fn gtids_add_up_to_what_the_server_says() {
    for recording in &RECORDINGS {
        let mut executed = ExecutedGtids::None;
        let mut transactions = 0;
        for (_, checksum, bytes) in all_events(recording) {
            let event = parse(&bytes, checksum);
            let gtid = match EventData::parse(&event, recording.kind()).unwrap() {
                EventData::Gtid(event) => event.gtid.map(Gtid::Mysql),
                EventData::MariadbGtid(event) => Some(Gtid::Mariadb(event.gtid)),
                EventData::PreviousGtids(set) => {
                    executed.merge(&ExecutedGtids::Mysql(set)).unwrap();
                    None
                }
                EventData::MariadbGtidList(list) => {
                    executed.merge(&ExecutedGtids::Mariadb(list.state())).unwrap();
                    None
                }
                _ => None,
            };
            if let Some(gtid) = gtid {
                executed.add(&gtid).unwrap();
                transactions += 1;
            }
        }
        assert!(transactions > 10, "{}", recording.name);
        assert_eq!(executed.to_string(), recording.gtids.trim(), "{}", recording.name);
        assert_eq!(executed, recording.gtids.parse().unwrap());
    }
}

/// The schema that information_schema tells, by table.
fn told(recording: &Recording) -> BTreeMap<String, TableSchema> {
    let mut tables = BTreeMap::new();
    for line in recording.columns.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [table, name, column_type, charset, key] = fields[..] else { panic!("{line}") };
        let schema = tables.entry(table.to_owned()).or_insert_with(|| TableSchema {
            database: "shop".into(),
            table: table.into(),
            columns: Vec::new(),
        });
        // Only one table has a key of two columns: PRIMARY KEY (v(10), id).
        let primary_key = match (table, name, key) {
            ("texts", "id", _) => 2,
            (_, _, "PRI") => 1,
            _ => 0,
        };
        schema.columns.push(ColumnSchema {
            name: name.into(),
            column_type: told_type(column_type, charset),
            primary_key,
        });
    }
    tables
}

fn told_type(text: &str, charset: &str) -> ColumnType {
    let (name, rest) = text.split_once(['(', ' ']).unwrap_or((text, ""));
    let inner = rest.split(')').next().unwrap_or_default();
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let unsigned = text.contains("unsigned");
    let digits = number(inner) as u8;
    let labels = || rest.trim_end_matches(')').split(',').map(|label| label.trim_matches('\'').to_owned()).collect();
    let charset = if charset == "utf8" { "utf8mb3" } else { charset };
    let bytes_per_character = match charset {
        "utf8mb4" => 4,
        "utf8mb3" => 3,
        _ => 1,
    };
    let string = |length: u32| ColumnType::Text { charset: charset.into(), length };
    match name {
        "tinyint" => ColumnType::Integer { bytes: 1, unsigned },
        "smallint" => ColumnType::Integer { bytes: 2, unsigned },
        "mediumint" => ColumnType::Integer { bytes: 3, unsigned },
        "int" => ColumnType::Integer { bytes: 4, unsigned },
        "bigint" => ColumnType::Integer { bytes: 8, unsigned },
        "float" => ColumnType::Float,
        "double" => ColumnType::Double,
        "decimal" => {
            let (precision, scale) = inner.split_once(',').unwrap();
            ColumnType::Decimal { precision: number(precision) as u8, scale: number(scale) as u8 }
        }
        "bit" => ColumnType::Bit { bits: digits },
        "year" => ColumnType::Year,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time { digits },
        "datetime" => ColumnType::DateTime { digits },
        "timestamp" => ColumnType::Timestamp { digits },
        "char" | "varchar" => string(number(inner) * bytes_per_character),
        "tinytext" => string(255),
        "text" => string(65_535),
        "mediumtext" => string(16_777_215),
        "longtext" => string(u32::MAX),
        "binary" => ColumnType::Binary { fixed: Some(number(inner) as u16) },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnType::Binary { fixed: None },
        "enum" => ColumnType::Enum { labels: labels() },
        "set" => ColumnType::Set { labels: labels() },
        "json" => ColumnType::Json,
        "geometry" | "point" => ColumnType::Geometry,
        "vector" => ColumnType::Vector,
        "inet6" => ColumnType::Inet6,
        "inet4" => ColumnType::Inet4,
        "uuid" => ColumnType::Uuid,
        other => panic!("{other}"),
    }
}

/// What a log without help can know of MariaDB's own types.
fn as_logged(column_type: &ColumnType, is_mariadb: bool) -> ColumnType {
    match column_type {
        ColumnType::Uuid | ColumnType::Inet6 => ColumnType::Binary { fixed: Some(16) },
        ColumnType::Inet4 => ColumnType::Binary { fixed: Some(4) },
        ColumnType::Vector if is_mariadb => ColumnType::Binary { fixed: None },
        other => other.clone(),
    }
}

#[test]
fn table_maps_agree_with_information_schema() {
    for recording in &RECORDINGS {
        let told = told(recording);
        let mut seen = BTreeSet::new();
        for (_, checksum, bytes) in all_events(recording) {
            let event = parse(&bytes, checksum);
            if event.header.type_code != EventType::TABLE_MAP {
                continue;
            }
            let map = TableMap::parse(event.body, recording.kind()).unwrap();
            let name = table_id_and_name(event.body).unwrap();
            assert_eq!((name.table_id, name.table), (map.table_id, map.table.as_bytes()));
            let known = &told[&*map.table];
            seen.insert(map.table.to_string());
            let what = format!("{} {}", recording.name, map.table);
            let own = map.schema();
            assert_eq!(own.is_some(), recording.full_metadata, "{what}");
            if let Some(own) = own {
                let mut logged = known.clone();
                for column in &mut logged.columns {
                    column.column_type = as_logged(&column.column_type, recording.is_mariadb());
                }
                similar(&own, &logged, &what);
            }
            let merged = map.schema_with(known).unwrap_or_else(|error| panic!("{what}: {error}"));
            similar(&merged, known, &what);

            let mut shorter = known.clone();
            shorter.columns.pop();
            assert_eq!(map.schema_with(&shorter).is_ok(), recording.full_metadata, "{what}");
        }
        assert_eq!(seen, told.keys().cloned().collect(), "{}", recording.name);
    }
}

/// Column by column, so that a difference can be read.
fn similar(found: &TableSchema, expected: &TableSchema, what: &str) {
    for (found, expected) in found.columns.iter().zip(&expected.columns) {
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(found, expected, "{what}");
}

#[test]
fn rows_events_name_a_table_map_before_them() {
    for recording in &RECORDINGS {
        let mut tables = BTreeMap::new();
        let (mut rows_events, mut compressed, mut minimal) = (0, 0, 0);
        for (_, checksum, bytes) in all_events(recording) {
            let event = parse(&bytes, checksum);
            match EventData::parse(&event, recording.kind()).unwrap() {
                EventData::TableMap(map) => {
                    tables.insert(map.table_id, map.formats.len());
                }
                EventData::Rows(rows) => {
                    rows_events += 1;
                    assert_eq!(tables[&rows.table_id], rows.column_count);
                    assert_eq!(RowsEvent::table_id_and_flags(event.body).unwrap(), (rows.table_id, rows.flags));
                    compressed += usize::from(rows.is_compressed);
                    minimal += usize::from(!rows.has_full_images());
                    let mut scratch = Vec::new();
                    let plain = rows.decompress(&mut scratch, EVENT_BYTES_MAX).unwrap();
                    assert!(!plain.is_compressed && !plain.rows.is_empty());
                }
                _ => {}
            }
        }
        assert!(rows_events >= 10, "{}: {rows_events}", recording.name);
        assert_eq!(compressed, if recording.is_mariadb() { 4 } else { 0 }, "{}", recording.name);
        assert_eq!(minimal, 1, "{}", recording.name);
    }
}

/// The statements that end or decide a transaction, as each server writes them.
#[test]
fn statements_are_readable() {
    for recording in &RECORDINGS {
        let mut statements = Vec::new();
        let (mut prepared, mut xids) = (Vec::new(), 0);
        for (_, checksum, bytes) in all_events(recording) {
            let event = parse(&bytes, checksum);
            match EventData::parse(&event, recording.kind()).unwrap() {
                EventData::Query(query) => {
                    let text = String::from_utf8(query.statement(EVENT_BYTES_MAX).unwrap().into_owned()).unwrap();
                    assert!(query.sql_mode.is_some() && query.charset() == Some("utf8mb4"), "{text}");
                    let begins = QueryEvent::begins(event.header.type_code, event.body);
                    assert_eq!((query.error_code, begins), (0, text == "BEGIN"));
                    statements.push(text);
                }
                EventData::XaPrepare(prepare) => prepared.push((prepare.one_phase, prepare.xid.to_string())),
                EventData::Xid(_) => xids += 1,
                EventData::MariadbGtid(gtid) => assert_eq!(
                    gtid.xid.is_some(),
                    gtid.has(event::MariadbGtidEvent::PREPARED_XA | event::MariadbGtidEvent::COMPLETED_XA)
                ),
                _ => {}
            }
        }
        let name = recording.name;
        let has = |text: &str| statements.iter().any(|statement| statement == text);
        assert!(has("INSERT INTO orders (name) VALUES ('as a statement')"), "{name} {statements:#?}");
        assert!(statements.iter().any(|statement| statement.starts_with("SAVEPOINT ")), "{name}");
        assert!(xids >= 5, "{name}");
        if name == "mysql56" {
            // XA is logged as an ordinary transaction there.
            assert!(prepared.is_empty());
        } else {
            assert!(has("XA COMMIT X'616263',X'646566',7"), "{name} {statements:#?}");
            assert!(prepared.contains(&(false, "X'616263',X'646566',7".into())), "{name} {prepared:?}");
        }
    }
}

#[test]
fn commit_times_and_lengths_of_mysql_97_are_plausible() {
    let recording = &RECORDINGS[0];
    let events = all_events(recording);
    let mut lengths = 0;
    for (index, (offset, checksum, bytes)) in events.iter().enumerate() {
        let event = parse(bytes, *checksum);
        let EventData::Gtid(gtid) = EventData::parse(&event, recording.kind()).unwrap() else {
            continue;
        };
        let committed = gtid.immediate_commit_us.unwrap();
        assert_eq!(gtid.original_commit_us, Some(committed));
        assert_eq!(gtid.immediate_server_version, Some(90_704));
        let seconds = committed / 1_000_000;
        assert!(seconds.abs_diff(u64::from(event.header.timestamp)) <= 2, "{seconds}");
        // The next GTID, or the ROTATE at the end, begins where this transaction ends.
        let next = events[index + 1..]
            .iter()
            .find(|(_, _, bytes)| matches!(bytes[4], EventType::GTID | EventType::GTID_TAGGED | EventType::ROTATE));
        assert_eq!(next.unwrap().0, offset + gtid.transaction_bytes.unwrap());
        lengths += 1;
    }
    assert_eq!(lengths, 22);
}
