//! Bytes of the socket to whole transactions: packets are framed, checksums verified, events tracked.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::packet::Framer;
use millstream_core::engine::batch::{PartEnd, SourceBatch};
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::filter::{Filter, FilterSpec};
use millstream_core::limits::HOLD_BYTES_MAX_DEFAULT;
use millstream_core::position::Position;
use millstream_core::source::session::server::Flavour;
use millstream_core::source::tracker::{Connected, StatementPolicy, Tracker, TrackerConfig, TrackerOutput};
use millstream_core::tables::Tables;

use super::{Entry, Sink, Size, Stage};
use crate::log::{self, EVENTS_PER_TRANSACTION, Log, START};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "frame", units: "packets", make: |size| Frame::make(&log(size)) },
    Entry { name: "crc", units: "events", make: |size| Crc::make(log(size)) },
    Entry { name: "track", units: "transactions", make: |size| Track::make(&log(size)) },
];

fn log(size: Size) -> Log {
    log::transactions(match size {
        Size::Smoke => 500,
        Size::Full => 10_000,
    })
}

struct Frame {
    framer: Framer,
    packets: Vec<u8>,
}

impl Frame {
    fn make(log: &Log) -> (u64, Box<dyn Stage>) {
        let stage = Self { framer: log::framer(), packets: log.packets() };
        (log.events.len() as u64, Box::new(stage))
    }
}

impl Stage for Frame {
    fn prepare(&mut self) {
        self.framer.expect_sequence(1);
    }

    /// The copy stands for the socket's.
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let (mut rest, mut packets) = (&self.packets[..], 0);
        while !rest.is_empty() {
            let space = self.framer.space().expect("packets are well formed");
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            self.framer.filled(count).expect("packets are well formed");
            while let Some(frames) = self.framer.take().expect("packets are well formed") {
                packets += frames.ranges().count() as u64;
                sink(frames.chunk());
            }
        }
        packets
    }
}

struct Crc {
    events: Vec<Vec<u8>>,
}

impl Crc {
    fn make(log: Log) -> (u64, Box<dyn Stage>) {
        (log.events.len() as u64, Box::new(Self { events: log.events }))
    }
}

impl Stage for Crc {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut bytes = 0;
        for event in &self.events {
            bytes += Checksum::Crc32.verify(event).expect("the checksum is right").len() as u64;
        }
        sink(&bytes.to_le_bytes());
        self.events.len() as u64
    }
}

/// One view that wants these tables.
pub(super) fn interest(include: &str) -> Arc<InterestSet> {
    let spec = FilterSpec { include: vec![include.to_owned()], ..FilterSpec::default() };
    let filter = Arc::new(Filter::compile(&spec).expect("a filter"));
    Arc::new(InterestSet { version: 1, views: vec![ViewInterest { view: ViewId(1), filter }] })
}

pub(super) fn tables() -> Arc<Mutex<Tables>> {
    Arc::new(Mutex::new(Tables::in_memory("bench")))
}

/// Where the log begins.
pub(super) fn start() -> Position {
    Position { incarnation: "bench".into(), file: log::FILE.into(), offset: START, ..Position::default() }
}

/// A tracker at the beginning of the log.
pub(super) fn tracker(tables: Arc<Mutex<Tables>>, interest: Arc<InterestSet>) -> Tracker {
    let config = TrackerConfig {
        shards: 1,
        hold_bytes_max: HOLD_BYTES_MAX_DEFAULT,
        event_bytes_max: 1 << 24,
        statement_dml: StatementPolicy::Halt,
        quarantine: Arc::default(),
        first_sequence: 1,
    };
    let start = start();
    let mut tracker = Tracker::new(config, start.clone(), tables, interest);
    tracker.connected(&Connected {
        flavour: Flavour::Mysql,
        incarnation: start.incarnation,
        file: start.file,
        offset: start.offset,
        checksum: Checksum::Crc32,
        facts: Default::default(),
    });
    tracker
}

/// All that the tracker has for now.
pub(super) fn batches(tracker: &mut Tracker, mut each: impl FnMut(SourceBatch)) {
    while let Some(output) = tracker.poll().expect("the log is sound") {
        match output {
            TrackerOutput::Batch(batch) => each(batch),
            other => panic!("full metadata, and no surprise: {other:?}"),
        }
    }
}

struct Track {
    /// What is before the first transaction, and that one: tables are resolved there.
    head: (Bytes, Vec<Range<usize>>),
    chunks: Vec<(Bytes, Vec<Range<usize>>)>,
    tracker: Tracker,
}

/// ROTATE, FORMAT_DESCRIPTION, a transaction.
const HEAD_EVENTS: usize = 2 + EVENTS_PER_TRANSACTION;

impl Track {
    fn make(log: &Log) -> (u64, Box<dyn Stage>) {
        let mut chunks = log.chunks();
        let (bytes, ranges) = chunks.first_mut().expect("a chunk");
        let head = (bytes.clone(), ranges.drain(..HEAD_EVENTS).collect());
        let stage = Self { head, chunks, tracker: tracker(tables(), interest("shop.*")) };
        (log.transactions as u64 - 1, Box::new(stage))
    }
}

impl Stage for Track {
    fn prepare(&mut self) {
        self.tracker = tracker(tables(), interest("shop.*"));
        self.tracker.events(self.head.0.clone(), &self.head.1, 1);
        let mut transactions = 0;
        batches(&mut self.tracker, |batch| transactions += batch.transactions.len());
        assert_eq!(transactions, 1, "the head is one transaction");
    }

    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut transactions = 0;
        for (bytes, ranges) in &self.chunks {
            self.tracker.events(bytes.clone(), ranges, 1);
            batches(&mut self.tracker, |batch| {
                transactions += batch.transactions.iter().filter(|part| part.end == PartEnd::Commit).count() as u64;
                let places = batch.events.iter().map(|event| u64::from(event.end) << 8 | u64::from(event.index));
                sink(&places.fold(batch.tail.offset, u64::wrapping_add).to_le_bytes());
            });
        }
        transactions
    }
}
