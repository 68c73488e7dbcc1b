//! A large transaction: small parts to the shards, small messages to clients, and the same rows as in one piece.

use millstream_codec::chunks::SharedChunks;
use millstream_codec::millstream_capnp::{change, server_message};
use millstream_codec::wire::frame::MessageFramer;

use super::*;
use crate::engine::batch::{PartEnd, SourceBatch};
use crate::engine::interest::ViewId;
use crate::engine::shard::Shard;
use crate::engine::view::View;

const EVENTS: i32 = 300;
const BATCH_BYTES: usize = 4_000;
const FRAGMENT_BYTES: usize = 1_000;

/// A small one, a large one of two tables, a small one.
fn log() -> Log {
    let mut log = Log::mysql();
    log.transaction(1, "t", &[1]);
    log.begin();
    for event in 0..EVENTS {
        let (id, table) = if event % 3 == 0 { (2, "u") } else { (1, "t") };
        log.rows(id, table, &[event, event + 1, event + 2]);
    }
    log.xid();
    log.transaction(1, "t", &[2]);
    log
}

fn batches(tracker: &mut Tracker) -> Vec<SourceBatch> {
    std::iter::from_fn(|| tracker.poll().unwrap())
        .map(|output| match output {
            TrackerOutput::Batch(batch) => batch,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_large_transaction_leaves_in_small_batches_and_the_position_with_the_last() {
    let log = log();
    let (whole, _) = read(&log);
    let mut tracker = tracker_at(start(), config(BATCH_BYTES));
    feed(&mut tracker, &log.events);
    let mut client = Client::default();
    client.drain(&mut tracker).unwrap();
    assert_eq!(client.transactions, whole.transactions);
    assert!(client.parts > 3, "{}", client.parts);

    let mut tracker = tracker_at(start(), config(BATCH_BYTES));
    feed(&mut tracker, &log.events);
    let mut sequence = 0;
    for batch in batches(&mut tracker) {
        let bytes: usize = batch.events.iter().map(|event| event.bytes()).sum();
        assert!(bytes < BATCH_BYTES + 100, "{bytes}");
        assert!(batch.tables.len() <= 4, "{} tables in a batch", batch.tables.len());
        for part in &batch.transactions {
            assert_eq!(part.begin, part.sequence != sequence, "{part:?}");
            sequence = part.sequence;
        }
        // The tail is behind what is complete, and no farther.
        let done = batch.transactions.iter().rfind(|part| part.end == PartEnd::Commit);
        if let Some(done) = done {
            assert_eq!(batch.tail.offset, done.position.offset);
        }
        if batch.transactions.iter().any(|part| part.end == PartEnd::Open) {
            assert_eq!(batch.tail.offset, batch.transactions.last().unwrap().start.offset);
        }
    }
}

#[test]
fn messages_of_a_large_transaction_are_small_and_hold_all_its_rows_in_order() {
    let log = log();
    for hold in [HOLD_ALL, BATCH_BYTES] {
        let tables = tables();
        let mut tracker = Tracker::new(config(hold), start(), tables.clone(), interest(1, &["d.*"]));
        tracker.connected(&connection(&start()));
        feed(&mut tracker, &log.events);
        let mut shard = Shard::new(0, 1, tables);
        let filter = interest(1, &["d.*"]).views[0].filter.clone();
        let mut view = View::new(ViewId(1), filter, 7, SharedChunks::new(1, 1 << 20));
        view.start(Arc::new(start()), 0);
        for batch in batches(&mut tracker) {
            let output = shard.encode(Arc::new(batch));
            for part in &output.batch.transactions {
                for piece in output.pieces.iter().filter(|piece| part.events.contains(&piece.event)) {
                    view.push_rows(part, piece, &output, 0);
                    if view.building_bytes() >= FRAGMENT_BYTES {
                        view.cut(part, 0);
                    }
                }
                view.end_part(part);
            }
            view.seal(0);
        }
        assert!(view.may_join());
        let entries: Vec<_> = (0..view.next_index()).filter_map(|index| view.entry(index)).collect();
        assert!(entries.len() > 20, "{}", entries.len());
        let (mut open, mut events, mut rows, mut begun, mut ended) = (None, Vec::new(), 0, 0, 0);
        for entry in &entries {
            assert!(entry.bytes.len() < 2 * FRAGMENT_BYTES, "{}", entry.bytes.len());
            let mut framer = MessageFramer::new(4_096, 1 << 20);
            assert_eq!(framer.push(&entry.bytes), entry.bytes.len());
            let message = framer.message().unwrap().unwrap();
            let root: server_message::Reader = message.root().unwrap();
            let server_message::Which::Batch(batch) = root.which().unwrap() else { panic!("no batch") };
            for fragment in batch.unwrap().get_fragments().unwrap() {
                let sequence = fragment.get_sequence();
                assert_eq!(fragment.get_begin(), open.is_none(), "transaction {sequence}");
                assert_eq!(*open.get_or_insert(sequence), sequence);
                begun += u32::from(fragment.get_begin());
                for change in fragment.get_changes().unwrap() {
                    let change::Which::Rows(of_event) = change.which().unwrap() else { panic!("no rows") };
                    let of_event = of_event.unwrap();
                    rows += of_event.get_count();
                    events.push((sequence, of_event.get_event(), of_event.get_first_row()));
                    assert!(entry.layouts.iter().any(|layout| layout.id == of_event.get_layout()));
                }
                if fragment.get_commit() {
                    (open, ended) = (None, ended + 1);
                }
            }
            assert_eq!(entry.open, open);
        }
        assert_eq!((begun, ended, rows), (3, 3, 3 * EVENTS as u32 + 2));
        assert_eq!(entries.iter().map(|entry| entry.marks.len()).sum::<usize>(), 3);
        let large: Vec<_> = events.iter().filter(|(sequence, ..)| *sequence == 2).collect();
        assert_eq!(large.len(), EVENTS as usize);
        for (index, (_, event, first_row)) in large.iter().enumerate() {
            let of_table = if index % 3 == 0 { index / 3 } else { index - index / 3 - 1 };
            assert_eq!((*event, *first_row), (index as u32, 3 * of_table as u32));
        }
    }
}

#[test]
fn a_transaction_that_begins_anew_is_aborted_first() {
    let log = log();
    let tables = tables();
    let filter = interest(1, &["d.*"]).views[0].filter.clone();
    let mut view = View::new(ViewId(1), filter, 7, SharedChunks::new(1, 1 << 20));
    view.start(Arc::new(start()), 0);
    for up_to in [2, usize::MAX] {
        let mut tracker = Tracker::new(config(BATCH_BYTES), start(), tables.clone(), interest(1, &["d.*"]));
        tracker.connected(&connection(&start()));
        feed(&mut tracker, &log.events);
        let mut shard = Shard::new(0, 1, tables.clone());
        // The first transaction once, and the large one's beginning twice.
        for batch in batches(&mut tracker).into_iter().take(up_to) {
            let output = shard.encode(Arc::new(batch));
            for part in &output.batch.transactions {
                if part.sequence == 1 && up_to != 2 {
                    continue;
                }
                for piece in output.pieces.iter().filter(|piece| part.events.contains(&piece.event)) {
                    view.push_rows(part, piece, &output, 0);
                }
                view.end_part(part);
            }
            view.seal(0);
        }
        assert_eq!(view.may_join(), up_to != 2);
    }
    let (mut open, mut aborts, mut commits, mut rows) = (None, 0, 0, 0);
    for entry in (0..view.next_index()).filter_map(|index| view.entry(index)) {
        let mut framer = MessageFramer::new(1 << 20, 1 << 20);
        framer.push(&entry.bytes);
        let message = framer.message().unwrap().unwrap();
        let root: server_message::Reader = message.root().unwrap();
        let server_message::Which::Batch(batch) = root.which().unwrap() else { panic!("no batch") };
        for fragment in batch.unwrap().get_fragments().unwrap() {
            assert_eq!(fragment.get_begin(), open.is_none());
            let held = open.get_or_insert((fragment.get_sequence(), 0));
            assert_eq!(held.0, fragment.get_sequence());
            for change in fragment.get_changes().unwrap() {
                if let change::Which::Rows(of_event) = change.which().unwrap() {
                    held.1 += of_event.unwrap().get_count();
                }
            }
            if fragment.get_commit() {
                rows += held.1;
                commits += 1;
            }
            aborts += u32::from(fragment.get_abort());
            if fragment.get_commit() || fragment.get_abort() {
                open = None;
            }
        }
    }
    assert_eq!((aborts, commits, rows), (1, 3, 3 * EVENTS as u32 + 2));
}
