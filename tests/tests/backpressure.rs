//! A client that does not read costs a bounded amount of memory, holds up nobody else, and misses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream_codec::wire::messages::{ClientMessage, Filter, Subscribe};
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, Options, RawClient, subscribe};

/// What the process needs beside its configured bounds is part of `millstream_memory_bound_bytes` already; the
/// allocator may keep this much more than was ever asked of it.
const ALLOCATOR_SLACK_BYTES: u64 = 64 << 20;

const ROW_BYTES: usize = 100_000;
const ROWS: u64 = 20;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_client_that_stops_reading_costs_bounded_memory_and_gets_every_row_when_it_resumes() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    // the source throws out a reader that takes nothing for so long, as ours does while its client does not read
    server.sql("SET GLOBAL net_write_timeout = 2").unwrap();
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT, v LONGTEXT)").unwrap();
    let options = [
        ("ring_bytes_max", "\"4 MiB\""),
        ("view_log_bytes_max", "\"4 MiB\""),
        ("hold_bytes_max", "\"4 MiB\""),
        ("event_bytes_max", "\"4 MiB\""),
        ("catchup_max", "2"),
        ("connections_max", "8"),
        ("unacked_transactions_max", "1000"),
    ];
    let options = options.iter().fold(Options::default(), |options, (key, value)| options.engine(key, value));
    let daemon = Millstreamd::start(&server, options).unwrap();
    let bound_bytes = daemon.metrics().unwrap().sum("millstream_memory_bound_bytes", &[]) as u64;
    assert!(bound_bytes < 256 << 20, "the bounds of this test are small: {bound_bytes}");

    let request = |name: &str| Subscribe {
        filter: Filter { include: vec!["d.*".into()], ..Filter::default() },
        credit_bytes: 1 << 20,
        ..subscribe(name)
    };
    let (mut stopped, stopped_begin) = RawClient::subscribe(daemon.listen, request("stopped")).unwrap().unwrap();
    let (reader, reader_begin) = RawClient::subscribe(daemon.listen, request("reader")).unwrap().unwrap();

    let written = Arc::new(AtomicU64::new(0));
    let writing = Arc::new(AtomicBool::new(true));
    let other = follow(reader, reader_begin.epoch, written.clone(), writing.clone());

    // the stopped client reads nothing and gives no credit from here on
    let session = server.session().unwrap();
    let insert = |transaction: u64| {
        let rows = vec![format!("({transaction}, REPEAT('v', {ROW_BYTES}))"); ROWS as usize];
        session.query(&format!("INSERT INTO d.t (n, v) VALUES {}", rows.join(", "))).unwrap();
        written.store(transaction, Ordering::SeqCst);
    };
    let mut peak_bytes = 0;
    let begun = Instant::now();
    let mut transactions = 0;
    // more than all memory that is allowed, so that it cannot have been kept there
    while transactions * ROWS * ROW_BYTES as u64 <= bound_bytes + ALLOCATOR_SLACK_BYTES + (32 << 20) {
        transactions += 1;
        insert(transactions);
        peak_bytes = peak_bytes.max(daemon.resident_bytes().unwrap());
    }
    let written_bytes = transactions * ROWS * ROW_BYTES as u64;
    println!("{written_bytes} bytes in {:?}; resident {peak_bytes}, bound {bound_bytes}", begun.elapsed());
    assert!(peak_bytes <= bound_bytes + ALLOCATOR_SLACK_BYTES, "resident {peak_bytes}, bound {bound_bytes}");

    let metrics = daemon.metrics().unwrap();
    assert!(
        metrics.sum("millstream_catchups_started_total", &[]) >= 1.0,
        "the stopped client has left the live stream"
    );

    writing.store(false, Ordering::SeqCst);
    let longest_wait = other.join().unwrap();
    assert!(longest_wait < Duration::from_secs(3), "the other client waited {longest_wait:?}");

    // resumes, and gets every row in order
    let mut next = 1;
    while next <= transactions {
        let came = stopped.transactions(SOON).unwrap();
        assert!(!came.is_empty(), "nothing more after transaction {} of {transactions}", next - 1);
        for delivery in came {
            assert_eq!(delivery.changes.len() as u64, ROWS);
            for (row, change) in delivery.changes.iter().enumerate() {
                let after = change.after.as_ref().unwrap();
                assert_eq!((change.row, after["n"].as_u64()), (row as u64, Some(next)));
                assert_eq!(after["v"].as_str().map(str::len), Some(ROW_BYTES));
            }
            let ack = ClientMessage::Ack { epoch: stopped_begin.epoch, sequence: delivery.sequence };
            stopped.send(&ack).unwrap();
            next += 1;
        }
        peak_bytes = peak_bytes.max(daemon.resident_bytes().unwrap());
    }
    assert!(peak_bytes <= bound_bytes + ALLOCATOR_SLACK_BYTES, "resident {peak_bytes}, bound {bound_bytes}");
    // caught up: live again
    insert(transactions + 1);
    let came = stopped.transactions(SOON).unwrap();
    assert_eq!(came[0].changes[0].after.as_ref().unwrap()["n"].as_u64(), Some(transactions + 1));
}

/// A client that keeps up; ends when all that was written has come. Answers with the longest time that something
/// written had not arrived.
fn follow(
    mut client: RawClient,
    epoch: u64,
    written: Arc<AtomicU64>,
    writing: Arc<AtomicBool>,
) -> std::thread::JoinHandle<Duration> {
    std::thread::spawn(move || {
        let (mut received, mut longest) = (0, Duration::ZERO);
        let mut since = Instant::now();
        while writing.load(Ordering::SeqCst) || received < written.load(Ordering::SeqCst) {
            for delivery in client.transactions(Duration::from_millis(100)).unwrap() {
                received += 1;
                assert_eq!(delivery.changes[0].after.as_ref().unwrap()["n"].as_u64(), Some(received));
                client.send(&ClientMessage::Ack { epoch, sequence: delivery.sequence }).unwrap();
                since = Instant::now();
            }
            if received < written.load(Ordering::SeqCst) {
                longest = longest.max(since.elapsed());
            } else {
                since = Instant::now();
            }
        }
        longest
    })
}
