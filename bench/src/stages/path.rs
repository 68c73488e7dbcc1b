//! The whole way of a row on one core, but for the sockets: from the bytes that were received to the message that is
//! sent, and its ack.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millstream_core::engine::hub::Hub;
use millstream_core::engine::shard::Shard;
use millstream_core::filter::Filter;
use millstream_core::source::tracker::Tracker;
use millstream_core::tables::Tables;

use super::engine::{FanOut, filter, nothing};
use super::receive::{batches, tables, tracker};
use super::{Entry, Sink, Size, Stage};
use crate::log;

pub(super) const ENTRIES: &[Entry] = &[Entry { name: "path.single_row", units: "transactions", make: SingleRow::make }];

/// Transactions of one row each, as many at a time as fill a chunk.
struct SingleRow {
    filters: [Arc<Filter>; 1],
    tables: Arc<Mutex<Tables>>,
    chunks: Vec<(Bytes, Vec<Range<usize>>)>,
    tracker: Tracker,
    shard: Shard,
    hub: Hub,
}

impl SingleRow {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let count = match size {
            Size::Smoke => 1_000,
            Size::Full => 20_000,
        };
        let filters = [filter("bench.*")];
        let tables = tables();
        let hub = FanOut::hub(&filters, &tables);
        let tracker = tracker(tables.clone(), hub.destination.interest());
        let shard = Shard::new(0, 1, tables.clone());
        let chunks = log::single_rows(count).chunks();
        (count as u64, Box::new(Self { filters, tables, chunks, tracker, shard, hub }))
    }
}

impl Stage for SingleRow {
    fn prepare(&mut self) {
        self.hub = FanOut::hub(&self.filters, &self.tables);
        let interest = self.hub.destination.interest();
        self.tracker = tracker(self.tables.clone(), interest.clone());
        self.hub.live_batch(&[&nothing(interest)], 1);
        self.hub.seal(1);
        self.hub.take_effects();
    }

    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let Self { chunks, tracker, shard, hub, .. } = self;
        let mut sent = 0;
        for (bytes, ranges) in chunks {
            tracker.events(bytes.clone(), ranges, 1);
            batches(tracker, |batch| {
                hub.live_batch(&[&shard.encode(Arc::new(batch))], 1);
                hub.seal(1);
                drop(hub.take_effects());
                while let Some(entry) = hub.next_entry(0) {
                    hub.sent(0, &entry, entry.bytes.len(), 1);
                    sent += entry.rows;
                    sink(&entry.bytes);
                }
                let subscription = hub.subscription(0).expect("it is subscribed");
                subscription.ack(subscription.sent_sequence, |_, _| {}).expect("it was sent");
            });
        }
        sent
    }
}
