//! What holds wherever the stream is cut and however it is read.

use super::log::UUID;
use super::*;

/// A log with every kind of group.
fn long_log(mut log: Log) -> Log {
    log.previous_gtids(0);
    log.transaction(1, "t", &[1]);
    log.begin();
    log.rows(1, "t", &[2]);
    log.query("SAVEPOINT a");
    log.rows(1, "t", &[3]);
    log.rows(2, "u", &[4]);
    log.query("ROLLBACK TO a");
    log.rows(2, "u", &[5]);
    log.xid();
    log.begin();
    log.rows(1, "t", &[6]);
    log.rows(1, "t", &[7]);
    log.end_by("ROLLBACK");
    log.statement("CREATE TABLE v (id INT)");
    log.begin();
    log.query("CREATE TABLE `w` (`id` int) START TRANSACTION");
    log.rows(3, "w", &[8]);
    log.xid();
    log.prepared("x1", |log| log.rows(1, "t", &[9]));
    log.prepared("x2", |log| log.rows(1, "t", &[10]));
    log.decide("ROLLBACK", "x2");
    log.rotate("binlog.000002");
    log.transaction(1, "t", &[11]);
    log.decide("COMMIT", "x1");
    log.statement("DROP TABLE v");
    log.transaction(2, "u", &[12]);
    log
}

const EXPECTED: [&str; 12] = [
    "t:1",
    "t:2 u:5",
    "",
    "<CREATE TABLE v (id INT)>",
    "w:8 <CREATE TABLE `w` (`id` int) START TRANSACTION>",
    "",
    "",
    "",
    "t:11",
    "t:9",
    "<DROP TABLE v>",
    "u:12",
];

/// The events that a dump would send from this position on, with its artificial beginning.
fn dump(log: &Log, position: &Position) -> Vec<Vec<u8>> {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let mut formats = Vec::new();
    let (mut file, mut offset) = (FILE.to_owned(), 4u64);
    for event in &log.events {
        let artificial = event[17] & 0x20 != 0;
        if artificial && event[4] == 4 {
            file = String::from_utf8(event[27..event.len() - 4].to_vec()).unwrap();
            offset = 4;
        }
        if event[4] == 15 {
            formats.push((file.clone(), event.clone()));
        }
        let reached = file.as_str() > &*position.file || file == *position.file && offset >= position.offset;
        if reached {
            behind.push(event.clone())
        } else {
            before.push(event.clone())
        }
        if !artificial {
            offset += event.len() as u64;
        }
    }
    if position.offset == 4 && *position.file == *FILE {
        return log.events.clone();
    }
    let mut begin = Log::mysql();
    begin.events.clear();
    begin.fake_rotate(&position.file, position.offset);
    let (_, mut format) = formats.iter().find(|(of, _)| **of == *position.file).unwrap().clone();
    if position.offset > 4 {
        // As servers do: a description that lies nowhere.
        format[13..17].fill(0);
        let end = format.len() - 4;
        let crc = crc32fast::hash(&format[..end]).to_le_bytes();
        format[end..].copy_from_slice(&crc);
        begin.events.push(format);
    } else {
        // The ROTATE of the file is the one just made.
        behind.retain(|event| {
            event[4] != 4 || event[17] & 0x20 == 0 || event[27..event.len() - 4] != *position.file.as_bytes()
        });
    }
    begin.events.extend(behind);
    begin.events
}

#[test]
fn whatever_is_open_at_a_cut_comes_again_and_nothing_else() {
    for log in [long_log(Log::mysql()), long_log(Log::mariadb())] {
        for hold in [HOLD_ALL, 1] {
            let (whole, _) = {
                let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(hold)));
                for event in &log.events {
                    feed(&mut tracker, std::slice::from_ref(event));
                    client.drain(&mut tracker).unwrap();
                }
                (client, tracker)
            };
            assert_eq!(whole.rows(), EXPECTED);
            for cut in 0..=log.events.len() {
                let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(hold)));
                for event in &log.events[..cut] {
                    feed(&mut tracker, std::slice::from_ref(event));
                    client.drain(&mut tracker).unwrap();
                }
                let position = tracker.position().clone();
                tracker.connected(&connection(&position));
                client.drain(&mut tracker).unwrap();
                assert_eq!(client.open, None, "cut {cut}");
                feed(&mut tracker, &dump(&log, &position));
                client.drain(&mut tracker).unwrap();
                assert_eq!(client.transactions, whole.transactions, "cut {cut}, hold {hold}");
                assert_eq!(tracker.position().offset, log.offset);
            }
        }
    }
}

#[test]
fn two_readers_count_alike_wherever_they_begin() {
    for log in [long_log(Log::mysql()), long_log(Log::mariadb())] {
        let (whole, end) = read(&log);
        for cut in 0..log.events.len() {
            let (_, half) = read(&log.up_to(cut));
            let position = half.position().clone();
            let done = half.stats().transactions;
            let again = TrackerConfig { first_sequence: done + 1, hold_bytes_max: 1, ..config(1) };
            // Another filter, other parts: the same numbers and places.
            let mut tracker = Tracker::new(again, position.clone(), tables(), interest(1, &["d.nothing"]));
            tracker.connected(&connection(&position));
            let mut client = Client::default();
            for event in dump(&log, &position) {
                feed(&mut tracker, &[event]);
                client.drain(&mut tracker).unwrap();
            }
            if let Some(Need::Refetch(_)) = tracker.awaiting() {
                // The prepare lies behind this reader's beginning; its rows are of no interest here.
                continue;
            }
            let of = |client: &Client| -> Vec<_> {
                client.transactions.iter().map(|one| (one.sequence, one.gtid.clone(), one.place)).collect()
            };
            assert_eq!(of(&client), of(&whole)[usize::try_from(done).unwrap()..], "cut {cut}");
            assert_eq!(tracker.position().gtids, end.position().gtids);
        }
        let gtids = if log.is_mariadb { executed("0-1-12") } else { executed(&format!("{UUID}:1-12")) };
        assert_eq!(end.position().gtids, gtids);
    }
}

#[test]
fn parts_and_chunks_change_nothing() {
    for log in [long_log(Log::mysql()), long_log(Log::mariadb())] {
        let (whole, _) = read(&log);
        for step in 1..log.events.len() {
            for hold in [1, 150, HOLD_ALL] {
                let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(hold)));
                for events in log.events.chunks(step) {
                    feed(&mut tracker, events);
                    client.drain(&mut tracker).unwrap();
                }
                assert_eq!(client.transactions, whole.transactions, "step {step}, hold {hold}");
            }
        }
    }
}

#[test]
fn provisional_parts_are_aborted_and_truncated() {
    let mut log = Log::mysql();
    log.begin();
    log.rows(1, "t", &[1]);
    log.query("SAVEPOINT a");
    log.rows(1, "t", &[2]);
    log.query("ROLLBACK TO a");
    log.rows(1, "t", &[3]);
    log.xid();
    log.begin();
    log.rows(1, "t", &[4]);
    log.end_by("ROLLBACK");
    log.begin();
    log.rows(1, "t", &[5]);
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(1)));
    for event in &log.events {
        feed(&mut tracker, std::slice::from_ref(event));
        client.drain(&mut tracker).unwrap();
    }
    assert_eq!(client.rows(), ["t:1 t:3", ""]);
    assert_eq!((client.truncates, client.aborts), (1, 1));
    assert_eq!(client.open.as_ref().map(|open| open.sequence), Some(3));
    let position = tracker.position().clone();
    tracker.connected(&connection(&position));
    client.drain(&mut tracker).unwrap();
    assert_eq!((client.open.clone(), client.aborts), (None, 2));
    assert_eq!(*tracker.position(), position, "an abort moves nothing");
}

#[test]
fn no_bytes_make_it_panic() {
    let log = long_log(Log::mysql());
    let mut seed = 7u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    for _ in 0..3_000 {
        let mut events = log.events.clone();
        let event = 2 + next() % (events.len() - 2);
        let bytes = &mut events[event];
        for _ in 0..1 + next() % 3 {
            let place = 4 + next() % (bytes.len() - 4);
            bytes[place] = next() as u8;
        }
        if next() % 4 == 0 {
            let length = 19 + next() % (bytes.len() - 19);
            bytes.truncate(length);
        }
        // With a size and checksum that are right, so that the parsers see what is inside.
        if bytes.len() >= 23 {
            let size = (bytes.len() as u32).to_le_bytes();
            bytes[9..13].copy_from_slice(&size);
            let end = bytes.len() - 4;
            let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
            bytes[end..].copy_from_slice(&crc);
        }
        let mut tracker = tracker_at(start(), config(HOLD_ALL));
        feed(&mut tracker, &events);
        while let Ok(Some(output)) = tracker.poll() {
            if let TrackerOutput::Need(Need::Schema { .. }) = output {
                tracker.provide_schema(None);
            }
        }
    }
}
