//! What the engine counts. Each core writes its own block with plain loads and stores; the control thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use hdrhistogram::Histogram;

/// A number with one writer and any readers.
#[derive(Debug, Default)]
pub struct Slot(AtomicU64);

impl Slot {
    /// Only the owning core calls it: no read-modify-write is needed.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! slots {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$field_meta])* pub $field: Slot,)* }
    };
}

slots! {
    /// Of one destination's source reader.
    SourceMetrics {
        received_bytes,
        events,
        transactions,
        /// Rows events that no subscription wanted.
        unwanted_events,
        quarantined_events,
        schema_doubts,
        reconnects,
        /// 1 while the stream is up.
        connected,
        /// 1 after an error that needs a person.
        halted,
        quarantined_tables,
        /// Source's clock at the newest event, microseconds since the Unix epoch.
        source_time_us,
        /// When it was received.
        received_time_us,
        /// Times that a full ring stopped the socket read.
        ring_full,
        statement_dml_skipped,
        xa_unresolved,
        /// Whatever else was logged as a notice.
        other_notices,
        registry_commits,
    }
}

slots! {
    /// Of one worker core, all destinations together.
    CoreMetrics {
        encoded_rows,
        encoded_bytes,
        sent_bytes,
        sent_batches,
        sent_rows,
        sent_transactions,
        acks,
        rollbacks,
        connections,
        connections_refused,
        protocol_errors,
        subscriptions,
        catchups,
        catchups_started,
        /// Bytes that view logs hold now, and their bound.
        view_log_bytes,
        view_log_bytes_max,
        send_buffer_bytes,
        ring_bytes,
        ring_bytes_max,
    }
}

pub type SharedSourceMetrics = std::sync::Arc<CachePadded<SourceMetrics>>;
pub type SharedCoreMetrics = std::sync::Arc<CachePadded<CoreMetrics>>;

/// A stage of a row's way; latencies are recorded per batch of the stage, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Commit on the source (its clock, before its fsync) to receive here.
    CommitToReceive,
    ReceiveToEncode,
    EncodeToSent,
    SentToAcked,
}

impl Stage {
    pub const ALL: [Stage; 4] =
        [Stage::CommitToReceive, Stage::ReceiveToEncode, Stage::EncodeToSent, Stage::SentToAcked];

    pub fn name(self) -> &'static str {
        match self {
            Stage::CommitToReceive => "commit_to_receive",
            Stage::ReceiveToEncode => "receive_to_encode",
            Stage::EncodeToSent => "encode_to_sent",
            Stage::SentToAcked => "sent_to_acked",
        }
    }
}

/// Highest latency that is told apart: one hour, in microseconds.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;

/// One core's histograms; handed to the control thread and begun anew about once a second. Each takes 184 KiB, so that a
/// stage has none until something is recorded.
#[derive(Debug, Clone, Default)]
pub struct StageHistograms {
    stages: [Option<Histogram<u64>>; 4],
}

fn empty() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("constant bounds are valid");
    histogram.auto(false);
    histogram
}

impl StageHistograms {
    /// Negative latencies (clocks of two machines) count as the smallest one.
    pub fn record(&mut self, stage: Stage, latency_us: i64, count: u64) {
        let value = u64::try_from(latency_us).unwrap_or(0).max(1);
        self.stages[stage as usize].get_or_insert_with(empty).saturating_record_n(value, count);
    }

    /// `None` where nothing was recorded.
    pub fn stage(&self, stage: Stage) -> Option<&Histogram<u64>> {
        self.stages[stage as usize].as_ref()
    }

    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(Option::is_none)
    }

    /// Takes over what the other has.
    pub fn merge(&mut self, other: StageHistograms) {
        for (own, other) in self.stages.iter_mut().zip(other.stages) {
            match (own, other) {
                // Both have the same constant bounds, so adding cannot fail.
                (Some(own), Some(other)) => drop(own.add(other)),
                (own @ None, other) => *own = other,
                (Some(_), None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_merged_and_take_nothing_while_nothing_is_recorded() {
        let mut all = StageHistograms::default();
        all.merge(StageHistograms::default());
        assert!(all.is_empty());
        for latency_us in [500, -7] {
            let mut core = StageHistograms::default();
            core.record(Stage::EncodeToSent, latency_us, 2);
            assert!(!core.is_empty());
            all.merge(core);
        }
        let of = |stage| all.stage(stage).map(|histogram| (histogram.len(), histogram.min(), histogram.max()));
        assert_eq!(of(Stage::EncodeToSent), Some((4, 1, 500)));
        assert_eq!(of(Stage::SentToAcked), None);
    }
}
