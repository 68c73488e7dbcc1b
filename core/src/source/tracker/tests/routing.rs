//! Tables: wanted or not, known or not, at this time or another.

use super::log::{Metadata, insert_body, table_map_body};
use super::*;
use crate::catalog::DefinedType;
use millstream_codec::mysql::event::EventType as T;

fn schema(table: &str, columns: &[&str]) -> TableDefinition {
    TableDefinition::of_integers(table, true, columns)
}

/// Answers every need from what `known` says, counting the questions.
fn drain(client: &mut Client, tracker: &mut Tracker, known: impl Fn(&str) -> Option<TableDefinition>) -> usize {
    let mut questions = 0;
    loop {
        client.drain(tracker).unwrap();
        let Some(Need::Schema { table, .. }) = tracker.awaiting() else { return questions };
        questions += 1;
        tracker.provide_schema(known(&table));
    }
}

#[test]
fn unwanted_tables_are_dropped_and_still_counted() {
    let mut log = Log::mysql();
    log.begin();
    log.rows(1, "other", &[1]);
    log.rows(2, "t", &[2]);
    log.rows(1, "other", &[3]);
    log.rows(2, "t", &[4]);
    log.xid();
    log.transaction(1, "other", &[5]);
    let mut tracker = Tracker::new(config(HOLD_ALL), start(), tables(), interest(1, &["d.t"]));
    tracker.connected(&connection(&start()));
    let mut client = Client::default();
    feed(&mut tracker, &log.events);
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.rows(), ["t:2 t:4", ""]);
    let indices: Vec<u32> = client.transactions[0].rows.iter().map(|(_, index, _)| *index).collect();
    assert_eq!(indices, [1, 3], "the same for every filter");
    assert_eq!(tracker.stats().unwanted_events, 3);
}

#[test]
fn a_new_interest_waits_for_the_open_transaction() {
    let mut log = Log::mysql();
    log.begin();
    log.rows(1, "u", &[1]);
    let half = log.events.len();
    log.rows(1, "u", &[2]);
    log.xid();
    log.transaction(1, "u", &[3]);
    let mut tracker = Tracker::new(config(HOLD_ALL), start(), tables(), interest(1, &["d.t"]));
    tracker.connected(&connection(&start()));
    let mut client = Client::default();
    feed(&mut tracker, &log.events[..half]);
    client.drain(&mut tracker).unwrap();
    tracker.set_interest(interest(2, &["d.*"]));
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.batches, 0, "half a transaction has been passed over");
    feed(&mut tracker, &log.events[half..]);
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.rows(), ["", "u:3"]);
    assert_eq!(client.interest, 2);
    // Between transactions it is in force at once, with an empty batch.
    let batches = client.batches;
    tracker.set_interest(interest(3, &["d.t"]));
    client.drain(&mut tracker).unwrap();
    assert_eq!((client.batches, client.interest), (batches + 1, 3));
}

#[test]
fn a_table_map_of_the_same_bytes_is_routed_anew_when_the_interest_changes() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let first = log.events.len();
    log.transaction(1, "t", &[2]);
    let mut tracker = Tracker::new(config(HOLD_ALL), start(), tables(), interest(1, &["d.other"]));
    tracker.connected(&connection(&start()));
    let mut client = Client::default();
    feed(&mut tracker, &log.events[..first]);
    tracker.set_interest(interest(2, &["d.t"]));
    // Set before anything was read, so in force from the first transaction on.
    client.drain(&mut tracker).unwrap();
    tracker.set_interest(interest(3, &["d.other"]));
    feed(&mut tracker, &log.events[first..]);
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.rows(), ["t:1", ""]);
}

#[test]
fn schemas_are_asked_for_once_and_again_after_ddl_that_is_not_understood() {
    let mut log = Log::mysql();
    log.metadata = Metadata::None;
    for value in 0..3 {
        log.transaction(1, "t", &[value]);
    }
    log.transaction(2, "u", &[9]);
    log.statement("ALTER TABLE t COMMENT 'x'");
    // A new map of the same table, and one of a table that the DDL did not touch.
    log.transaction(3, "t", &[3]);
    log.transaction(4, "u", &[4]);
    log.statement("ALTER TABLE t FROBNICATE id");
    log.transaction(5, "t", &[5]);
    log.transaction(6, "u", &[6]);
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    let questions = drain(&mut client, &mut tracker, |table| Some(schema(table, &["id"])));
    assert_eq!(questions, 3);
    let (harmless, doubtful) = ("<ALTER TABLE t COMMENT 'x'>", "<ALTER TABLE t FROBNICATE id>");
    assert_eq!(client.rows(), ["t:0", "t:1", "t:2", "u:9", harmless, "t:3", "u:4", doubtful, "t:5", "u:6"]);
    assert!(matches!(&client.notices[..], [Notice::SchemaDoubtful { .. }]), "{:?}", client.notices);
    assert_eq!(tracker.position().offset, log.offset);
}

#[test]
fn a_table_that_does_not_fit_is_quarantined_and_the_others_flow() {
    let mut log = Log::mysql();
    log.metadata = Metadata::None;
    for value in 0..100 {
        log.transaction(1, "gone", &[value]);
        log.transaction(2, "wide", &[value]);
        log.transaction(3, "t", &[value]);
    }
    let known = |table: &str| match table {
        "gone" => None,
        "wide" => Some(schema(table, &["id", "n"])),
        _ => Some(schema(table, &["id"])),
    };
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    let questions = drain(&mut client, &mut tracker, known);
    assert_eq!(questions, 3, "not one for each row");
    assert_eq!(client.rows().iter().filter(|rows| !rows.is_empty()).count(), 100);
    assert_eq!((tracker.stats().quarantined_tables, tracker.stats().quarantined_events), (2, 200));
    let text: Vec<String> = client.notices.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].contains("d.gone") && text[0].contains("no such table"), "{}", text[0]);
    assert!(text[1].contains("d.wide") && text[1].contains("1 columns") && text[1].contains('2'), "{}", text[1]);
    // Once the log shows the table as it is now, it flows again.
    log.statement("ALTER TABLE wide ADD n INT");
    log.gtid_with(0, None);
    log.query("BEGIN");
    log.event(T::TABLE_MAP, 0, &table_map_body(7, "wide", &["id", "n"], Metadata::None));
    let mut body = insert_body(7, &[], 1);
    body[10] = 2;
    body[11] = 3;
    log.event(T::WRITE_ROWS, 0, &body);
    log.xid();
    let read = client.transactions.len() * 5 + 2;
    feed(&mut tracker, &log.events[read..]);
    drain(&mut client, &mut tracker, known);
    assert!(matches!(client.notices.last(), Some(Notice::TableReleased { .. })), "{:?}", client.notices.last());
    assert_eq!(tracker.stats().quarantined_tables, 1);
}

#[test]
fn a_stale_schema_is_read_again_before_it_is_doubted() {
    let mut log = Log::mysql();
    log.metadata = Metadata::None;
    log.transaction(1, "t", &[1]);
    // Altered where the log does not show it: another map of another id.
    log.begin();
    log.event(T::TABLE_MAP, 0, &table_map_body(2, "t", &["id", "n"], Metadata::None));
    log.xid();
    let asked = std::cell::Cell::new(0);
    let known = |table: &str| {
        asked.set(asked.get() + 1);
        Some(schema(table, if asked.get() == 1 { &["id"] } else { &["id", "n"] }))
    };
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    assert_eq!(drain(&mut client, &mut tracker, known), 2);
    assert_eq!(client.notices, []);
    assert_eq!(tracker.stats().quarantined_tables, 0);
}

#[test]
fn an_unknown_column_type_quarantines_its_table_alone() {
    let mut log = Log::mysql();
    log.begin();
    let mut body = table_map_body(1, "odd", &["id"], Metadata::Full);
    let at = body.iter().position(|byte| *byte == 3).unwrap();
    body[at + 3] = 199;
    let types = body.windows(2).position(|pair| pair == [1, 3]).map(|place| place + 1).unwrap_or(at);
    let mut body = table_map_body(1, "odd", &["id"], Metadata::Full);
    body[types] = 199;
    log.event(T::TABLE_MAP, 0, &body);
    log.insert(1, &[1]);
    log.rows(2, "t", &[2]);
    log.xid();
    let (client, _) = read(&log);
    assert_eq!(client.rows(), ["t:2"]);
    assert!(client.notices[0].to_string().contains("199"), "{}", client.notices[0]);
}

#[test]
fn mariadbs_binary_columns_are_asked_for() {
    // BINARY(16) with full metadata: STRING, real type and length, collation 63.
    let mut body = table_map_body(1, "t", &[], Metadata::None);
    body.truncate(body.len() - 2);
    body.extend([1, 254, 2, 254, 16, 0]);
    body.extend([2, 1, 63]);
    body.extend([4, 2, 1, b'u']);
    let log = |mut log: Log| {
        log.begin();
        log.event(T::TABLE_MAP, 0, &body);
        log.xid();
        log
    };
    let (client, _) = read(&log(Log::mysql()));
    assert_eq!(client.needs, []);
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log(Log::mariadb()).events);
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.needs, [Need::Schema { database: "d".into(), table: "t".into() }]);
    let mut uuid = schema("t", &["u"]);
    uuid.columns[0].defined_type = DefinedType::Uuid;
    tracker.provide_schema(Some(uuid));
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.notices, []);
    let column = tracker.lock_tables().layout_of("d", "t").unwrap().schema.columns[0].column_type.clone();
    assert_eq!(column, millstream_codec::mysql::schema::ColumnType::Uuid);
    // A table that is gone is delivered as what the log shows, with an alarm.
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log(Log::mariadb()).events);
    client.drain(&mut tracker).unwrap();
    tracker.provide_schema(None);
    client.drain(&mut tracker).unwrap();
    assert!(matches!(client.notices[..], [Notice::UncertainTypes { .. }]), "{:?}", client.notices);
}

#[test]
fn a_renamed_column_keeps_its_ordinal() {
    let mut log = Log::mysql();
    let with = |log: &mut Log, id: u64, columns: &[&str]| {
        log.begin();
        log.event(T::TABLE_MAP, 0, &table_map_body(id, "t", columns, Metadata::Full));
        log.xid();
    };
    with(&mut log, 1, &["a", "b"]);
    log.statement("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a");
    with(&mut log, 2, &["b", "a"]);
    let (_, tracker) = read(&log);
    let version = tracker.lock_tables().layout_of("d", "t").unwrap();
    assert_eq!(version.ordinals, [0, 2]);
    assert_eq!(version.layout.columns[0].name, "b");
    // A second reader comes by the same statement: nothing changes.
    let shared = tracker.tables.clone();
    let mut second = Tracker::new(config(HOLD_ALL), start(), shared, interest(1, &["d.*"]));
    second.connected(&connection(&start()));
    feed(&mut second, &log.events);
    Client::default().drain(&mut second).unwrap();
    assert_eq!(second.lock_tables().layout_of("d", "t").unwrap().ordinals, [0, 2]);
}

#[test]
fn memory_for_table_maps_is_bounded() {
    let mut log = Log::mysql();
    for id in 0..20_000 {
        log.begin();
        log.event(T::TABLE_MAP, 0, &table_map_body(id, "t", &["id"], Metadata::Full));
        log.xid();
    }
    let (client, _) = read(&log);
    assert_eq!(client.transactions.len(), 20_000);
}
