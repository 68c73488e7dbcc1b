//! Where transactions begin and end, and what never leaves.

use super::log::{Metadata, UUID, raw};
use super::*;
use crate::source::error::Disposition;
use millstream_codec::mysql::event::EventType as T;

fn both() -> [Log; 2] {
    [Log::mysql(), Log::mariadb()]
}

#[test]
fn a_transaction_ends_with_xid_or_commit() {
    for mut log in both() {
        log.transaction(1, "t", &[1, 2]);
        log.begin();
        log.rows(1, "t", &[3]);
        log.rows(2, "u", &[4]);
        log.end_by("COMMIT");
        log.begin();
        log.xid();
        check(&log, &["t:1,2", "t:3 u:4", ""]);
    }
}

#[test]
fn rolled_back_rows_are_never_delivered_and_the_position_passes_them() {
    for mut log in both() {
        log.begin();
        log.rows(1, "t", &[1]);
        log.end_by("ROLLBACK");
        log.transaction(1, "t", &[2]);
        check(&log, &["", "t:2"]);
    }
}

#[test]
fn savepoints_take_back_what_came_behind_them() {
    for mut log in both() {
        log.begin();
        log.rows(1, "t", &[1]);
        log.query("SAVEPOINT `a`");
        log.rows(1, "t", &[2]);
        log.query("SAVEPOINT `b`");
        log.rows(1, "t", &[3]);
        log.query("ROLLBACK TO `b`");
        log.rows(1, "t", &[4]);
        log.query("ROLLBACK TO `a`");
        log.rows(1, "t", &[5]);
        log.xid();
        check(&log, &["t:1 t:5"]);
        let (client, _) = read(&log);
        let indices: Vec<u32> = client.transactions[0].rows.iter().map(|(_, index, _)| *index).collect();
        assert_eq!(indices, [0, 4], "indices of what was taken back are not used again");
    }
}

#[test]
fn rolling_back_to_an_unknown_savepoint_is_an_error() {
    let mut log = Log::mysql();
    log.begin();
    log.query("ROLLBACK TO nowhere");
    let (_, _, error) = read_to_error(&log);
    assert!(error.to_string().contains("'nowhere'"), "{error}");
}

#[test]
fn servers_without_gtids_begin_with_begin() {
    let mut log = Log::mysql();
    log.query("BEGIN");
    log.rows(1, "t", &[1]);
    log.xid();
    log.query("CREATE TABLE x (id INT)");
    log.query("FLUSH TABLES");
    log.query("BEGIN");
    log.rows(1, "t", &[2]);
    log.end_by("COMMIT");
    check(&log, &["t:1", "<CREATE TABLE x (id INT)>", "", "t:2"]);
    let (client, _) = read(&log);
    let numbers: Vec<u64> = client.transactions.iter().map(|transaction| transaction.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(client.transactions[0].gtid, "");
}

#[test]
fn ddl_is_a_transaction_of_its_own() {
    for mut log in both() {
        log.statement("ALTER TABLE t ADD c INT");
        log.transaction(1, "t", &[1]);
        log.statement("GRANT ALL ON *.* TO x");
        check(&log, &["<ALTER TABLE t ADD c INT>", "t:1", ""]);
    }
}

#[test]
fn a_table_that_is_created_with_its_rows_is_one_transaction() {
    for mut log in both() {
        log.begin();
        log.query("CREATE TABLE `cs` (`id` int) START TRANSACTION");
        log.rows(1, "cs", &[1, 2]);
        log.xid();
        check(&log, &["cs:1,2 <CREATE TABLE `cs` (`id` int) START TRANSACTION>"]);
        let (client, _) = read(&log);
        assert_eq!(client.parts, 2, "the DDL has a part of its own, before the rows");
    }
}

#[test]
fn a_standalone_group_of_rows_ends_with_its_statement() {
    let mut log = Log::mariadb();
    log.gtid_with(1, None);
    log.rows(1, "seq", &[1000]);
    log.transaction(1, "t", &[1]);
    check(&log, &["seq:1000", "t:1"]);
}

#[test]
fn rows_without_any_beginning_are_a_transaction() {
    let mut log = Log::mysql();
    log.rows(1, "t", &[1]);
    log.transaction(1, "t", &[2]);
    check(&log, &["t:1", "t:2"]);
}

#[test]
fn a_statement_that_changes_rows_halts_before_the_position_passes_it() {
    for mut log in both() {
        log.transaction(1, "t", &[1]);
        let before = log.offset;
        log.begin();
        log.query("UPDATE t SET v = 'sécret' WHERE id = 1");
        log.xid();
        let (client, tracker, error) = read_to_error(&log);
        assert_eq!(client.rows(), ["t:1"]);
        assert_eq!(tracker.position().offset, before);
        let text = error.to_string();
        for part in ["UPDATE t SET", "binlog_format", "statement_dml", FILE] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn statements_that_change_rows_can_be_skipped_with_a_notice() {
    let mut log = Log::mysql();
    log.begin();
    log.query("DELETE FROM t");
    log.rows(1, "t", &[1]);
    log.xid();
    log.statement("CREATE TABLE c SELECT 1 AS a");
    let skip = TrackerConfig { statement_dml: StatementPolicy::Skip, ..config(HOLD_ALL) };
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), skip));
    feed(&mut tracker, &log.events);
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.rows(), ["t:1", "<CREATE TABLE c SELECT 1 AS a>"]);
    assert_eq!(tracker.stats().statements_skipped, 2);
    assert!(matches!(&client.notices[0], Notice::StatementSkipped { statement, .. } if statement == "DELETE FROM t"));
}

#[test]
fn events_that_mean_nothing_to_rows_are_passed() {
    let mut log = Log::mysql();
    log.begin();
    for type_code in [T::INTVAR, T::RAND, T::USER_VAR, T::ROWS_QUERY, T::IGNORABLE, T::VIEW_CHANGE, T::BEGIN_LOAD_QUERY]
    {
        log.event(type_code, 0, &[1, 2, 3]);
    }
    log.rows(1, "t", &[1]);
    log.xid();
    for type_code in [T::STOP, T::BINLOG_CHECKPOINT, T::TRANSACTION_CONTEXT] {
        log.event(type_code, 0, &[]);
    }
    log.query("# Dummy event replacing event type 160 that slave cannot handle.");
    log.transaction(1, "t", &[2]);
    check(&log, &["t:1", "t:2"]);
}

#[test]
fn unknown_events_stop_unless_they_may_be_ignored() {
    let mut log = Log::mysql();
    log.event(99, 0x80, &[1]);
    log.transaction(1, "t", &[1]);
    let (client, _) = read(&log);
    assert_eq!(client.rows(), ["t:1"]);
    assert!(matches!(client.notices[..], [Notice::UnknownEventSkipped { type_code: 99, .. }]), "{:?}", client.notices);
    log.event(98, 0, &[1]);
    let (client, tracker, error) = read_to_error(&log);
    assert_eq!(client.rows(), ["t:1"]);
    assert!(tracker.position().offset < log.offset);
    assert!(matches!(error, SourceError::UnknownEvent { type_code: 98, .. }), "{error}");
}

#[test]
fn files_of_old_servers_are_said_to_be_old() {
    let check = |type_code: u8, body: &[u8], expected: &str| {
        let mut log = Log::mysql();
        log.event(type_code, 0, body);
        let (_, _, error) = read_to_error(&log);
        assert!(matches!(error, SourceError::Unsupported { .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::Halt);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(T::START_V3, b"\x01\0", "binlog version 1 or 3");
    check(T::TABLE_MAP, b"\x10\0\0\0\0\0\x01\0\x01d\0\x01t\0\x01\x03", "before 5.1.18");
}

#[test]
fn what_a_start_did_not_count_is_found_in_the_next_file() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[0]);
    log.transaction(1, "t", &[1]);
    let (begin, offset) = (log.events.len(), log.offset);
    log.transaction(1, "t", &[2]);
    log.rotate("binlog.000002");
    log.previous_gtids(3);
    log.transaction(1, "t", &[9]);
    // The second transaction was written, and not yet counted as executed.
    let position = Position { gtids: executed(&format!("{UUID}:1")), offset, ..start() };
    let mut tracker = tracker_at(position, config(HOLD_ALL));
    let mut client = Client::default();
    feed(&mut tracker, &[&log.events[..2], &log.events[begin..]].concat());
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.rows(), ["t:2", "t:9"]);
    assert_eq!(tracker.position().gtids, executed(&format!("{UUID}:1-4")));
}

#[test]
fn an_incident_halts() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let before = log.offset;
    log.event(T::INCIDENT, 0, b"\x01\x00\x05hello");
    let (client, tracker, error) = read_to_error(&log);
    assert_eq!((client.rows(), tracker.position().offset), (vec!["t:1".to_owned()], before));
    assert!(error.to_string().contains("hello"), "{error}");
}

#[test]
fn damaged_events_are_never_believed() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let good = log.events.len();
    let before = log.offset;
    log.transaction(1, "t", &[2]);
    for event in good..log.events.len() {
        for place in [0, 5, 14, log.events[event].len() / 2, log.events[event].len() - 1] {
            let mut damaged = log.clone();
            damaged.events[event][place] ^= 4;
            let (client, tracker, error) = read_to_error(&damaged);
            assert_eq!(client.rows(), ["t:1"]);
            assert_eq!(tracker.position().offset, before);
            assert!(matches!(error, SourceError::Corrupt { .. }), "{error}");
        }
    }
}

#[test]
fn rows_without_a_table_map_are_an_error() {
    let mut log = Log::mysql();
    log.begin();
    log.insert(9, &[1]);
    let (_, _, error) = read_to_error(&log);
    assert!(error.to_string().contains("table id 9"), "{error}");
}

#[test]
fn a_heartbeat_moves_nothing() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let before = log.offset;
    log.events.push(raw(T::HEARTBEAT, 0, b"binlog.000009", 99_999, true));
    log.events.push(raw(
        T::HEARTBEAT_V2,
        0,
        &[1, 13, b'b', b'i', b'n', b'l', b'o', b'g', b'.', b'0', b'0', b'0', b'0', b'0', b'9', 2, 1, 77, 0],
        0,
        true,
    ));
    let (client, tracker) = read(&log);
    assert_eq!(client.batches, 1);
    assert_eq!((&*tracker.position().file, tracker.position().offset), (FILE, before));
}

#[test]
fn rotation_moves_the_position_and_an_empty_batch_tells_it() {
    for mut log in both() {
        log.transaction(1, "t", &[1]);
        log.rotate("binlog.000002");
        let (client, tracker) = read(&log);
        assert_eq!((&*tracker.position().file, tracker.position().offset), ("binlog.000002", 4));
        assert_eq!(client.rows(), ["t:1"]);
        log.transaction(1, "t", &[2]);
        check(&log, &["t:1", "t:2"]);
    }
}

#[test]
fn the_first_rotate_of_a_gtid_dump_does_not_move_the_position_back() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let (_, mut tracker) = read(&log);
    let position = tracker.position().clone();
    tracker.connected(&Connected { file: "".into(), offset: 4, ..connection(&position) });
    feed(&mut tracker, &log.events[..2]);
    let mut client = Client::default();
    client.drain(&mut tracker).unwrap();
    assert_eq!(*tracker.position(), position);
    // The file that follows ours may be the first that is read.
    let mut later = Log::mysql();
    later.events.clear();
    later.fake_rotate("binlog.000002", 4);
    feed(&mut tracker, &later.events);
    assert!(tracker.poll().unwrap().is_some());
    assert_eq!((&*tracker.position().file, tracker.position().offset), ("binlog.000002", 4));
}

#[test]
fn a_file_that_ends_inside_a_transaction_aborts_it() {
    for mut log in both() {
        log.begin();
        log.rows(1, "t", &[1]);
        // The primary died here.
        log.file = "binlog.000002".into();
        log.offset = 4;
        log.fake_rotate("binlog.000002", 4);
        log.format("9.7.4");
        log.transaction(1, "t", &[2]);
        let (client, _) = read(&log);
        assert_eq!(client.rows(), ["t:2"]);
        assert_eq!(client.transactions[0].sequence, 1, "what never committed counts no number");
        assert!(matches!(client.notices[..], [Notice::Incomplete { .. }]), "{:?}", client.notices);
    }
}

#[test]
fn checksums_may_change_with_the_file() {
    for (first, second) in [(true, false), (false, true), (false, false)] {
        let mut log = Log::mysql();
        (log.has_checksums, log.offset) = (first, 4);
        log.events.clear();
        log.fake_rotate(FILE, 4);
        log.format("9.7.4");
        log.transaction(1, "t", &[1]);
        let mut body = 4u64.to_le_bytes().to_vec();
        body.extend(b"binlog.000002");
        log.event(T::ROTATE, 0, &body);
        (log.file, log.offset) = ("binlog.000002".into(), 4);
        // The server sends its ROTATE in the manner of the file before; some in that of the file that follows.
        for manner in [first, second] {
            let mut log = log.clone();
            if manner != first && first {
                continue;
            }
            log.has_checksums = manner;
            log.fake_rotate("binlog.000002", 4);
            log.has_checksums = second;
            log.format("9.7.4");
            log.transaction(1, "t", &[2]);
            check(&log, &["t:1", "t:2"]);
        }
    }
}

#[test]
fn offsets_are_counted_past_4_gib() {
    for mut log in both() {
        log.offset = (4 << 30) - 150;
        log.fake_rotate(FILE, log.offset);
        log.transaction(1, "t", &[1]);
        log.transaction(1, "t", &[2]);
        log.transaction(1, "t", &[3]);
        assert!(log.offset > 4 << 30);
        check(&log, &["t:1", "t:2", "t:3"]);
    }
}

#[test]
fn gtids_are_executed_at_the_end_of_their_transaction() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    log.begin();
    log.rows(1, "t", &[2]);
    let (mut client, mut tracker) = (Client::default(), {
        let gtids = executed(&format!("{UUID}:100"));
        tracker_at(Position { gtids, ..start() }, config(HOLD_ALL))
    });
    feed(&mut tracker, &log.events);
    client.drain(&mut tracker).unwrap();
    assert_eq!(tracker.position().gtids, executed(&format!("{UUID}:1:100")));
    let read = log.events.len();
    log.end_by("ROLLBACK");
    feed(&mut tracker, &log.events[read..]);
    client.drain(&mut tracker).unwrap();
    assert_eq!(tracker.position().gtids, executed(&format!("{UUID}:1-2:100")));
    assert_eq!(client.transactions[1].gtid, format!("{UUID}:2"));
}

#[test]
fn an_unknown_executed_set_is_learned_at_the_start_of_a_file() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let (_, tracker) = read(&log);
    assert_eq!(tracker.position().gtids, ExecutedGtids::None, "one GTID alone would look like a whole history");
    log.rotate("binlog.000002");
    log.previous_gtids(41);
    let (_, tracker) = read(&log);
    assert_eq!(tracker.position().gtids, executed(&format!("{UUID}:1-41")));
    let mut empty = Log::mysql();
    empty.previous_gtids(0);
    empty.transaction(1, "t", &[1]);
    let (_, tracker) = read(&empty);
    assert_eq!(tracker.position().gtids, executed(&format!("{UUID}:1")));
}

#[test]
fn times_are_the_gtids_where_it_has_one() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let mut tracker = tracker_at(start(), config(HOLD_ALL));
    feed(&mut tracker, &log.events);
    let Some(TrackerOutput::Batch(batch)) = tracker.poll().unwrap() else { panic!("no batch") };
    let part = &batch.transactions[0];
    assert_eq!((part.commit_time_us, part.time_precision_us), (1_700_000_000_000_001, 1));
    let mut log = Log::mariadb();
    log.transaction(1, "t", &[1]);
    let mut tracker = tracker_at(start(), config(HOLD_ALL));
    feed(&mut tracker, &log.events);
    let Some(TrackerOutput::Batch(batch)) = tracker.poll().unwrap() else { panic!("no batch") };
    let part = &batch.transactions[0];
    assert_eq!((part.commit_time_us, part.time_precision_us), (1_700_000_000_000_000, 1_000_000));
    assert_eq!(batch.source_time_us, 1_700_000_000_000_000);
}

#[test]
fn payloads_are_read_like_what_they_hold() {
    let mut plain = Log::mysql();
    plain.transaction(1, "t", &[1]);
    plain.begin();
    let gtid = plain.events.len() - 1;
    for _ in 0..6 {
        plain.rows(1, "t", &(0..100_000).collect::<Vec<_>>());
    }
    for value in 0..2_000 {
        plain.rows(2 + value as u64 % 7, "u", &[value]);
    }
    plain.xid();
    plain.transaction(1, "t", &[3]);
    let mut packed = plain.clone();
    packed.events.truncate(packed.events.len() - 5);
    packed.pack(gtid);
    packed.transaction(1, "t", &[3]);
    let (expected, _) = read(&plain);
    let (client, tracker) = read(&packed);
    assert!(client.rows() == expected.rows());
    assert_eq!(tracker.position().offset, packed.offset);
    assert_eq!(client.transactions[2].place.1, packed.offset);
    assert_eq!(client.transactions[1].place.1, client.transactions[2].place.0);
    // In parts it is the same.
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(100_000)));
    feed(&mut tracker, &packed.events);
    client.drain(&mut tracker).unwrap();
    assert!(client.rows() == expected.rows());
    assert!(client.parts > 3, "{}", client.parts);
    // A damaged one is an error, behind what came before.
    let place = packed.events.len() - 6;
    let middle = packed.events[place].len() / 2;
    packed.events[place][middle] ^= 1;
    let (client, ..) = read_to_error(&packed);
    assert_eq!(client.rows(), ["t:1"]);
}

#[test]
fn tables_without_names_in_the_log_are_asked_for() {
    let mut log = Log::mysql();
    log.metadata = Metadata::None;
    log.transaction(1, "t", &[1]);
    let (client, tracker) = read(&log);
    assert_eq!(client.needs, [Need::Schema { database: "d".into(), table: "t".into() }]);
    assert_eq!(tracker.awaiting().as_ref(), client.needs.first());
}
