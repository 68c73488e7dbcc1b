//! XA: rows leave at XA COMMIT only, from memory or read again.

use super::log::hex;
use super::*;
use crate::limits::XA_KEPT_BYTES_MAX;

fn both() -> [Log; 2] {
    [Log::mysql(), Log::mariadb()]
}

#[test]
fn rows_leave_at_xa_commit_in_its_transaction() {
    for mut log in both() {
        let begin = log.offset;
        log.prepared("x1", |log| {
            log.rows(1, "t", &[1]);
            log.rows(2, "u", &[2]);
        });
        log.transaction(1, "t", &[3]);
        log.decide("COMMIT", "x1");
        log.transaction(1, "t", &[4]);
        check(&log, &["", "t:3", "t:1 u:2", "t:4"]);
        let (client, tracker) = read(&log);
        let open = |transaction: usize| client.transactions[transaction].open_xa.clone();
        assert_eq!(open(0), Some(vec![format!("{}@{begin}", hex("x1"))]));
        assert_eq!((open(1), open(2)), (None, Some(vec![])));
        let gtid = client.transactions[2].gtid.clone();
        assert!(gtid.ends_with('3'), "that of the XA COMMIT: {gtid}");
        assert!(tracker.position().open_xa.is_empty());
    }
}

#[test]
fn rolled_back_xa_is_never_delivered() {
    for mut log in both() {
        log.prepared("x1", |log| log.rows(1, "t", &[1]));
        log.decide("ROLLBACK", "x1");
        log.decide("ROLLBACK", "unknown");
        check(&log, &["", "", ""]);
        let (client, _) = read(&log);
        assert_eq!(client.transactions[1].open_xa, Some(vec![]));
    }
}

#[test]
fn one_phase_is_an_ordinary_transaction() {
    let mut log = Log::mysql();
    log.xa_rows("x1", |log| log.rows(1, "t", &[1]));
    log.xa_prepare("x1", true);
    check(&log, &["t:1"]);
}

#[test]
fn savepoints_work_inside_xa() {
    for mut log in both() {
        log.prepared("x1", |log| {
            log.rows(1, "t", &[1]);
            log.query("SAVEPOINT a");
            log.rows(1, "t", &[2]);
            log.query("ROLLBACK TO a");
        });
        log.decide("COMMIT", "x1");
        check(&log, &["", "t:1"]);
    }
}

#[test]
fn an_xa_commit_without_its_prepare_is_told() {
    for mut log in both() {
        log.decide("COMMIT", "x9");
        let (client, tracker) = read(&log);
        assert_eq!(client.rows(), [""]);
        assert!(matches!(&client.notices[..], [Notice::XaUnresolved { xid, .. }] if *xid == hex("x9")));
        assert_eq!(tracker.stats().xa_unresolved, 1);
        assert_eq!(tracker.position().offset, log.offset);
    }
}

/// Feeds the events from `offset` on as the side connection would: with its own beginning.
fn reread(tracker: &mut Tracker, log: &Log, offset: u64, step: usize, client: &mut Client) {
    let mut events = Log::mysql().events;
    if log.is_mariadb {
        events = Log::mariadb().events;
    }
    let mut place = 4;
    for event in &log.events {
        if place >= offset && event[17] & 0x20 == 0 {
            events.push(event.clone());
        }
        if event[17] & 0x20 == 0 {
            place += event.len() as u64;
        }
    }
    for events in events.chunks(step) {
        if !matches!(tracker.awaiting(), Some(Need::Refetch(_))) {
            return;
        }
        let (bytes, ranges) = chunk(events);
        tracker.provide_refetch(bytes, &ranges);
        client.drain(tracker).unwrap();
    }
}

#[test]
fn what_was_not_kept_is_read_again() {
    for mut log in both() {
        let begin = log.offset;
        log.prepared("x1", |log| {
            log.rows(1, "t", &[1]);
            log.query("SAVEPOINT a");
            log.rows(1, "t", &[2]);
            log.query("ROLLBACK TO a");
            log.rows(1, "t", &[3]);
        });
        let prepared = log.events.len();
        log.transaction(1, "t", &[4]);
        log.decide("COMMIT", "x1");
        log.transaction(1, "t", &[5]);
        let (_, first) = read(&log.up_to(prepared));
        // Another process goes on from the cursor: it has no rows, only the place.
        let position = first.position().clone();
        assert_eq!(position.open_xa.len(), 1);
        for step in [1, 100] {
            let (mut client, mut tracker) = (Client::default(), tracker_at(position.clone(), config(HOLD_ALL)));
            let mut events = log.events[..2].to_vec();
            // The dump goes on at the position.
            let mut begin_of_dump = Log::mysql();
            begin_of_dump.events.clear();
            begin_of_dump.fake_rotate(FILE, position.offset);
            events[0] = begin_of_dump.events[0].clone();
            events[1][13..17].fill(0);
            let end = events[1].len() - 4;
            let crc = crc32fast::hash(&events[1][..end]).to_le_bytes();
            events[1][end..].copy_from_slice(&crc);
            events.extend_from_slice(&log.events[prepared..]);
            feed(&mut tracker, &events);
            client.drain(&mut tracker).unwrap();
            assert_eq!(client.rows(), ["t:4"], "what comes later waits");
            let Some(Need::Refetch(open)) = tracker.awaiting() else { panic!("nothing asked for") };
            assert_eq!((open.offset, &*open.file), (begin, FILE));
            reread(&mut tracker, &log, open.offset, step, &mut client);
            assert_eq!(tracker.awaiting(), None);
            assert_eq!(client.rows(), ["t:4", "t:1 t:3", "t:5"]);
            let indices: Vec<u32> = client.transactions[1].rows.iter().map(|(_, index, _)| *index).collect();
            assert_eq!(indices, [0, 2]);
            assert_eq!(tracker.position().offset, log.offset);
        }
    }
}

#[test]
fn large_prepared_transactions_are_not_held() {
    for one_phase in [false, true] {
        let mut log = Log::mysql();
        let begin = log.offset;
        let values: Vec<i32> = (0..100_000).collect();
        log.xa_rows("big", |log| {
            for _ in 0..XA_KEPT_BYTES_MAX / 500_000 + 2 {
                log.rows(1, "t", &values);
            }
        });
        log.xa_prepare("big", one_phase);
        if !one_phase {
            log.decide("COMMIT", "big");
        }
        let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
        for event in &log.events {
            feed(&mut tracker, std::slice::from_ref(event));
            client.drain(&mut tracker).unwrap();
        }
        let Some(Need::Refetch(open)) = tracker.awaiting() else { panic!("nothing asked for, one phase {one_phase}") };
        assert_eq!(open.offset, begin);
        tracker.config.hold_bytes_max = 1_000_000;
        reread(&mut tracker, &log, begin, 1, &mut client);
        assert_eq!(tracker.awaiting(), None);
        let last = client.transactions.last().unwrap();
        assert_eq!(last.rows.len(), XA_KEPT_BYTES_MAX / 500_000 + 2);
        assert!(client.parts > 10, "known to be committed, it leaves in parts");
        assert_eq!(tracker.position().offset, log.offset);
    }
}

#[test]
fn a_lost_prepare_halts_before_the_position_passes_the_commit() {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    let before = log.offset;
    log.decide("COMMIT", "x1");
    let open = OpenXa { xid: hex("x1"), gtid: String::new(), file: "binlog.000000".into(), offset: 77 };
    let (mut client, mut tracker) =
        (Client::default(), tracker_at(Position { open_xa: [open].into(), ..start() }, config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    client.drain(&mut tracker).unwrap();
    tracker.refetch_failed("purged");
    let error = client.drain(&mut tracker).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("binlog.000000:77") && text.contains("purged") && text.contains(&hex("x1")), "{text}");
    assert_eq!(tracker.position().offset, before);
    assert_eq!(client.rows(), ["t:1"]);
}

#[test]
fn someone_who_joined_since_the_prepare_gets_the_rows() {
    for (later, asks) in [(&["d.t", "d.u"], true), (&["d.t", "d.v"], false)] {
        let mut log = Log::mysql();
        log.prepared("x1", |log| {
            log.rows(1, "t", &[1]);
            log.rows(2, "u", &[2]);
        });
        let prepared = log.events.len();
        log.decide("COMMIT", "x1");
        let mut tracker = Tracker::new(config(HOLD_ALL), start(), tables(), interest(1, &["d.t"]));
        tracker.connected(&connection(&start()));
        let mut client = Client::default();
        feed(&mut tracker, &log.events[..prepared]);
        client.drain(&mut tracker).unwrap();
        tracker.set_interest(interest(2, later));
        feed(&mut tracker, &log.events[prepared..]);
        client.drain(&mut tracker).unwrap();
        assert_eq!(tracker.awaiting().is_some(), asks);
        if let Some(Need::Refetch(open)) = tracker.awaiting() {
            reread(&mut tracker, &log, open.offset, 2, &mut client);
        }
        assert_eq!(client.rows(), ["", if asks { "t:1 u:2" } else { "t:1" }]);
    }
}
