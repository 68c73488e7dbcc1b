mod client;
mod log;

mod boundaries;
mod parts;
mod properties;
mod routing;
mod schemas;
mod xa;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millstream_codec::mysql::gtid::ExecutedGtids;

use super::*;
use crate::engine::interest::{ViewId, ViewInterest};
use crate::filter::{Filter, FilterSpec};
use client::Client;
use log::{FILE, Log};

const HOLD_ALL: usize = 1 << 30;

fn interest(version: u64, include: &[&str]) -> Arc<InterestSet> {
    let spec = FilterSpec { include: include.iter().map(ToString::to_string).collect(), ..FilterSpec::default() };
    let filter = Arc::new(Filter::compile(&spec).unwrap());
    Arc::new(InterestSet { version, views: vec![ViewInterest { view: ViewId(1), filter }] })
}

fn config(hold_bytes_max: usize) -> TrackerConfig {
    TrackerConfig {
        shards: 1,
        hold_bytes_max,
        event_bytes_max: 1 << 20,
        statement_dml: StatementPolicy::Halt,
        quarantine: Arc::default(),
        first_sequence: 1,
    }
}

fn tables() -> Arc<Mutex<Tables>> {
    Arc::new(Mutex::new(Tables::in_memory("main")))
}

fn start() -> Position {
    Position { incarnation: "one".into(), file: FILE.into(), offset: 4, ..Position::default() }
}

fn tracker_at(start: Position, config: TrackerConfig) -> Tracker {
    let mut tracker = Tracker::new(config, start.clone(), tables(), interest(1, &["d.*"]));
    tracker.connected(&connection(&start));
    tracker
}

fn connection(at: &Position) -> Connected {
    Connected {
        flavour: Flavour::Mysql,
        incarnation: at.incarnation.clone(),
        file: at.file.clone(),
        offset: at.offset,
        checksum: Checksum::Crc32,
        facts: Default::default(),
    }
}

/// Events as one chunk.
fn chunk(events: &[Vec<u8>]) -> (Bytes, Vec<Range<usize>>) {
    let mut bytes = Vec::new();
    let mut ranges = Vec::new();
    for event in events {
        let from = bytes.len();
        bytes.extend(event);
        ranges.push(from..bytes.len());
    }
    (bytes.into(), ranges)
}

fn feed(tracker: &mut Tracker, events: &[Vec<u8>]) {
    let (bytes, ranges) = chunk(events);
    tracker.events(bytes, &ranges, 1);
}

/// All of a log in one chunk, through a fresh tracker.
fn read(log: &Log) -> (Client, Tracker) {
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    client.drain(&mut tracker).unwrap();
    (client, tracker)
}

/// As [`read`], up to the error that it ends in.
fn read_to_error(log: &Log) -> (Client, Tracker, SourceError) {
    let (mut client, mut tracker) = (Client::default(), tracker_at(start(), config(HOLD_ALL)));
    feed(&mut tracker, &log.events);
    let error = client.drain(&mut tracker).unwrap_err();
    assert!(tracker.poll().unwrap().is_none(), "nothing goes on behind an error");
    (client, tracker, error)
}

fn check(log: &Log, expected: &[&str]) {
    let (client, tracker) = read(log);
    assert_eq!(client.rows(), expected);
    assert_eq!(client.notices, []);
    assert_eq!(client.open, None);
    assert_eq!((&*tracker.position().file, tracker.position().offset), (log.file.as_str(), log.offset));
}

fn executed(text: &str) -> ExecutedGtids {
    text.parse().unwrap()
}
