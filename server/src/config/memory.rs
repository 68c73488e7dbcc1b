//! What the bounds of a configuration add up to. The parts are named, so that one can see which to lower.

use std::fmt;

use millstream_core::limits;

use super::model::Config;
use super::reader::show_bytes;

/// Code, stacks, the executors' registered buffers, allocator slack, the control thread and its
/// histograms, one password hash being checked (19 MiB): what does not depend on load.
const CONSTANT_BYTES: u64 = 128 << 20;

/// While one row event is decoded, its bytes and what they become are there together: text grows at most threefold on
/// its way to UTF-8 (one byte of a cp1252 text becomes three), and a struct holds before and after.
pub const EVENT_EXPANSION: u64 = 4;

/// Of encoded rows and of messages, where all of them were as large as they may be.
const KEPT_BYTES: u64 = (limits::SLABS_KEPT_MAX * limits::SLAB_BYTES_KEPT_MAX
    + limits::BATCH_CHUNKS_KEPT_MAX * limits::BATCH_CHUNK_BYTES_KEPT_MAX) as u64;

/// A transaction that was sent and not yet acknowledged.
const MARK_BYTES: u64 = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryItem {
    pub name: &'static str,
    pub count: u64,
    pub each_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryBound {
    pub items: Vec<MemoryItem>,
}

impl MemoryBound {
    pub fn of(config: &Config) -> Self {
        let engine = &config.engine;
        let workers = engine.workers() as u64;
        let destinations = config.destinations.len().max(1) as u64;
        let event = engine.event_bytes_max.saturating_mul(EVENT_EXPANSION);
        let reader = engine.hold_bytes_max.saturating_add(event);
        let catchup = reader.saturating_add(limits::CATCHUP_LOG_BYTES_MAX as u64);
        let connection = (limits::CLIENT_MESSAGE_BYTES_MAX + limits::CONTROL_QUEUE_BYTES_MAX) as u64;
        let marks = engine.unacked_transactions_max.saturating_mul(MARK_BYTES);
        let connections = workers.saturating_mul(engine.connections_max);
        let item = |name, count, each_bytes| MemoryItem { name, count, each_bytes };
        MemoryBound {
            items: vec![
                item("ring_bytes_max", 1, engine.ring_bytes_max),
                item("workers x destinations, view_log_bytes_max", workers * destinations, engine.view_log_bytes_max),
                item("workers x destinations, memory kept to be used again", workers * destinations, KEPT_BYTES),
                item("destinations, hold_bytes_max + event_bytes_max x 4", destinations, reader),
                item("catchup_max, hold_bytes_max + event_bytes_max x 4 + 4 MiB", engine.catchup_max, catchup),
                item("workers x connections_max, requests and answers", connections, connection),
                item("workers x connections_max, unacked_transactions_max x 100 bytes", connections, marks),
                item("constant", 1, CONSTANT_BYTES),
            ],
        }
    }

    pub fn total_bytes(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.bytes()))
    }
}

impl MemoryItem {
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each_bytes)
    }
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            let arithmetic = format!("{} x {}", item.count, show_bytes(item.each_bytes));
            writeln!(f, "  {:<66} {:>20} = {}", item.name, arithmetic, show_bytes(item.bytes()))?;
        }
        write!(f, "  {:<66} {:>20}   {}", "together, at most", "", show_bytes(self.total_bytes()))
    }
}
