//! From counters, histograms and status to one document. Names and meanings: docs/metrics.md.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use millstream_core::metrics::{CoreMetrics, Slot, SourceMetrics, Stage};

use super::process::Process;
use super::text::{Exposition, Kind};
use crate::state::{SharedState, Told};

/// The last one is the maximum.
const QUANTILES: [(&str, f64); 5] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("0.999", 0.999), ("1", 1.0)];
const MICROSECONDS: f64 = 1e6;

/// The whole `/metrics` document. `now_us` is the wall clock in microseconds since the Unix epoch.
pub fn render(state: &SharedState, process: &Process, now: Instant, now_us: u64) -> String {
    let mut text = Exposition::default();
    let server = &state.server;
    text.family("millstream_build_info", Kind::Gauge, "Always 1; the labels tell which build runs.")
        .sample(&[("version", &server.version), ("server", &server.id)], 1);
    text.family("millstream_uptime_seconds", Kind::Gauge, "Since the start of the server.")
        .sample(&[], state.uptime(now).as_secs_f64());
    let ready = u8::from(state.not_ready().is_empty());
    text.family("millstream_ready", Kind::Gauge, "1 while every destination streams, as /readyz says.")
        .sample(&[], ready);

    sources(&mut text, state, now_us);
    cores(&mut text, state);
    let told = state.told();
    stages(&mut text, &told);
    subscriptions(&mut text, state, &told);
    cursors(&mut text, &told);
    drop(told);
    memory(&mut text, state, process);
    text.into_text()
}

struct SourceCounter {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    slot: fn(&SourceMetrics) -> &Slot,
}

macro_rules! counters {
    ($counter:ident, $(($name:literal, $kind:ident, $slot:ident, $help:literal),)*) => {
        [$($counter { name: $name, kind: Kind::$kind, help: $help, slot: |metrics| &metrics.$slot },)*]
    };
}

const SOURCE_COUNTERS: [SourceCounter; 14] = counters! { SourceCounter,
    ("millstream_source_connected", Gauge, connected, "1 while the binlog stream is up."),
    ("millstream_source_halted", Gauge, halted, "1 after an error that needs a person."),
    ("millstream_source_received_bytes_total", Counter, received_bytes, "Bytes of the binlog stream."),
    ("millstream_source_events_total", Counter, events, "Binlog events received."),
    ("millstream_source_transactions_total", Counter, transactions, "Transactions seen to their end."),
    ("millstream_source_unwanted_events_total", Counter, unwanted_events,
     "Rows events of tables that no subscription wanted."),
    ("millstream_source_quarantined_events_total", Counter, quarantined_events,
     "Rows events passed over because their table cannot be decoded, by every reader that came by."),
    ("millstream_source_schema_doubts_total", Counter, schema_doubts,
     "Statements that left a table's columns in doubt, until they were read again from the source."),
    ("millstream_source_reconnects_total", Counter, reconnects, "Connections made after the first."),
    ("millstream_source_quarantined_tables", Gauge, quarantined_tables, "Tables taken out because they cannot be decoded."),
    ("millstream_source_ring_full_total", Counter, ring_full, "Times that a full ring stopped the socket read."),
    ("millstream_source_statement_changes_skipped_total", Counter, statement_dml_skipped,
     "Row changes logged as statements and passed over, by statement_dml = skip."),
    ("millstream_source_xa_unresolved_total", Counter, xa_unresolved,
     "XA transactions whose prepare could not be read again."),
    ("millstream_source_registry_commits_total", Counter, registry_commits, "Writes of new column ordinals."),
};

struct CoreCounter {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    slot: fn(&CoreMetrics) -> &Slot,
}

const CORE_COUNTERS: [CoreCounter; 19] = counters! { CoreCounter,
    ("millstream_encoded_rows_total", Counter, encoded_rows, "Rows encoded, once for each projection."),
    ("millstream_encoded_bytes_total", Counter, encoded_bytes, "Bytes that they became."),
    ("millstream_sent_rows_total", Counter, sent_rows, "Rows sent, once for each subscription."),
    ("millstream_sent_bytes_total", Counter, sent_bytes, "Bytes sent to clients."),
    ("millstream_sent_batches_total", Counter, sent_batches, "Batch messages sent."),
    ("millstream_sent_transactions_total", Counter, sent_transactions, "Transactions sent, once for each subscription."),
    ("millstream_acks_total", Counter, acks, "Acks received."),
    ("millstream_rollbacks_total", Counter, rollbacks, "Rollbacks asked for by clients."),
    ("millstream_connections", Gauge, connections, "Client connections now."),
    ("millstream_connections_refused_total", Counter, connections_refused, "Connections refused: too many, or a bad login."),
    ("millstream_protocol_errors_total", Counter, protocol_errors, "Connections closed because of what they sent."),
    ("millstream_subscriptions", Gauge, subscriptions, "Subscriptions with a connected client now."),
    ("millstream_catchups", Gauge, catchups, "Catch-up readers now."),
    ("millstream_catchups_started_total", Counter, catchups_started, "Catch-up readers started."),
    ("millstream_view_log_bytes", Gauge, view_log_bytes, "Bytes that view logs hold."),
    ("millstream_view_log_max_bytes", Gauge, view_log_bytes_max, "Their bound."),
    ("millstream_send_buffer_bytes", Gauge, send_buffer_bytes, "Bytes that wait for clients' sockets."),
    ("millstream_ring_bytes", Gauge, ring_bytes, "Bytes of received chunks that rings pin."),
    ("millstream_ring_max_bytes", Gauge, ring_bytes_max, "Their bound."),
};

fn sources(text: &mut Exposition, state: &SharedState, now_us: u64) {
    for counter in &SOURCE_COUNTERS {
        let mut family = text.family(counter.name, counter.kind, counter.help);
        for destination in &state.destinations {
            let value = (counter.slot)(destination.metrics()).value();
            family.sample(&[("destination", destination.name())], value);
        }
    }
    let mut lag = text.family(
        "millstream_source_lag_seconds",
        Kind::Gauge,
        "From the source's clock at the newest event to its receipt here.",
    );
    for destination in &state.destinations {
        if let Some(lag_us) = lag_us(destination.metrics()) {
            lag.sample(&[("destination", destination.name())], lag_us as f64 / MICROSECONDS);
        }
    }
    let mut silence =
        text.family("millstream_source_silence_seconds", Kind::Gauge, "Since the newest event was received.");
    for destination in &state.destinations {
        let received_us = destination.metrics().received_time_us.value();
        if received_us > 0 {
            let silence_us = now_us.saturating_sub(received_us);
            silence.sample(&[("destination", destination.name())], silence_us as f64 / MICROSECONDS);
        }
    }
}

/// Unknown until the first event; clocks of two machines may run backwards against each other, which counts as 0.
pub(crate) fn lag_us(metrics: &SourceMetrics) -> Option<u64> {
    let (source_us, received_us) = (metrics.source_time_us.value(), metrics.received_time_us.value());
    (source_us > 0 && received_us > 0).then(|| received_us.saturating_sub(source_us))
}

fn cores(text: &mut Exposition, state: &SharedState) {
    for counter in &CORE_COUNTERS {
        let mut family = text.family(counter.name, counter.kind, counter.help);
        for (core, metrics) in &state.cores {
            family.sample(&[("core", &core.to_string())], (counter.slot)(metrics).value());
        }
    }
}

fn stages(text: &mut Exposition, told: &Told) {
    let mut family = text.family(
        "millstream_stage_latency_seconds",
        Kind::Summary,
        "Time in each stage of a row's way, since the start. commit_to_receive compares two machines' clocks.",
    );
    for stage in Stage::ALL {
        let histogram = told.histograms.stage(stage);
        // The commit's time is of the source's clock, taken before its fsync.
        let clock = if stage == Stage::CommitToReceive { "source_and_server" } else { "server" };
        let labels = [("stage", stage.name()), ("clock", clock)];
        for (label, quantile) in QUANTILES {
            let [stage, clock] = labels;
            family.sample(&[stage, clock, ("quantile", label)], seconds_at(histogram, quantile));
        }
        family.sample_of("_sum", &labels, histogram.map_or(0.0, sum_seconds));
        family.sample_of("_count", &labels, histogram.map_or(0, Histogram::len));
    }
}

/// NaN while nothing was recorded, as the format wants it.
fn seconds_at(histogram: Option<&Histogram<u64>>, quantile: f64) -> String {
    match histogram {
        Some(histogram) => (histogram.value_at_quantile(quantile) as f64 / MICROSECONDS).to_string(),
        None => "NaN".to_owned(),
    }
}

/// As exact as the histogram's buckets: three digits.
fn sum_seconds(histogram: &Histogram<u64>) -> f64 {
    let sum_us: f64 = histogram
        .iter_recorded()
        .map(|bucket| {
            histogram.median_equivalent(bucket.value_iterated_to()) as f64 * bucket.count_since_last_iteration() as f64
        })
        .sum();
    sum_us / MICROSECONDS
}

fn subscriptions(text: &mut Exposition, state: &SharedState, told: &Told) {
    let statuses: Vec<_> = told.cores.values().flat_map(|(_, status)| &status.subscriptions).collect();
    let mut connected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for destination in &state.destinations {
        for subscription_state in ["live", "catch_up", "waiting"] {
            connected.insert((destination.name(), subscription_state), 0);
        }
    }
    for status in &statuses {
        *connected.entry((&status.destination, status.state)).or_default() += 1;
    }
    let mut family =
        text.family("millstream_subscription_connections", Kind::Gauge, "Connected clients, by what they get.");
    for ((destination, subscription_state), count) in connected {
        family.sample(&[("destination", destination), ("state", subscription_state)], count);
    }
    // Named subscriptions only: nobody can follow an ephemeral one over time. The one that is served stands for those
    // that wait with the same name.
    let mut unacked: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for status in statuses.iter().filter(|status| !status.subscription.is_empty() && status.state != "waiting") {
        unacked.insert((&status.destination, &status.subscription), status.unacked_transactions);
    }
    let mut family = text.family(
        "millstream_subscription_unacked_transactions",
        Kind::Gauge,
        "Transactions sent and not yet acknowledged.",
    );
    for ((destination, subscription), count) in unacked {
        family.sample(&[("destination", destination), ("subscription", subscription)], count);
    }
}

fn cursors(text: &mut Exposition, told: &Told) {
    let counts = &told.cursors;
    text.family("millstream_cursors_saved_total", Kind::Counter, "Cursors made durable.").sample(&[], counts.saved);
    text.family("millstream_cursor_writes_total", Kind::Counter, "Group commits of cursors.")
        .sample(&[], counts.writes);
    text.family("millstream_cursor_write_failures_total", Kind::Counter, "Group commits that the disk refused.")
        .sample(&[], counts.failures);
    text.family("millstream_cursor_write_seconds_total", Kind::Counter, "Time spent in group commits.")
        .sample(&[], counts.write_seconds);
    text.family("millstream_cursors_dirty", Kind::Gauge, "Cursors that wait to become durable.")
        .sample(&[], counts.dirty);
}

fn memory(text: &mut Exposition, state: &SharedState, process: &Process) {
    text.family("millstream_memory_bound_bytes", Kind::Gauge, "What the configured bounds add up to.")
        .sample(&[], state.server.memory_bound_bytes);
    let optional = [
        ("process_resident_memory_bytes", process.resident_bytes, "Resident memory."),
        ("millstream_memory_resident_peak_bytes", process.resident_peak_bytes, "The highest resident memory so far."),
        ("process_virtual_memory_bytes", process.virtual_bytes, "Virtual memory."),
        ("process_open_fds", process.open_files, "Open files and sockets."),
        ("millstream_threads", process.threads, "Threads of this process."),
    ];
    for (name, value, help) in optional {
        if let Some(value) = value {
            text.family(name, Kind::Gauge, help).sample(&[], value);
        }
    }
    text.family("process_cpu_seconds_total", Kind::Counter, "Processor time used.").sample(&[], process.cpu_seconds);
    text.family("process_start_time_seconds", Kind::Gauge, "Start of this process, seconds since the Unix epoch.")
        .sample(&[], state.started_unix_seconds());
}

#[cfg(test)]
mod tests {
    use super::super::checker;
    use super::*;
    use crate::state::tests::{FakeDestination, shared_state, subscription};
    use millstream_core::bridge::CoreStatus;
    use std::sync::Arc;

    #[test]
    fn an_empty_server_and_a_busy_one_are_valid_documents() {
        let destination = Arc::new(FakeDestination::default());
        let state = shared_state(&destination);
        let document = render(&state, &Process::read(), Instant::now(), 0);
        assert_eq!(checker::complaints(&document), Vec::<String>::new(), "{document}");

        let metrics = &destination.metrics;
        metrics.received_bytes.add(1000);
        metrics.source_time_us.set(10_000_000);
        metrics.received_time_us.set(10_250_000);
        state.cores[0].1.sent_rows.add(7);
        {
            let mut told = state.told();
            for latency_us in 1..=1000 {
                told.histograms.record(Stage::EncodeToSent, latency_us, 1);
            }
            let status = CoreStatus {
                core: 0,
                subscriptions: vec![
                    subscription("billing \"x\"", "live", 3),
                    subscription("billing \"x\"", "waiting", 0),
                ],
            };
            told.cores.insert(0, (Instant::now(), status));
        }
        let document = render(&state, &Process::default(), Instant::now(), 12_250_000);
        assert_eq!(checker::complaints(&document), Vec::<String>::new(), "{document}");
        for expected in [
            "millstream_source_received_bytes_total{destination=\"orders\"} 1000\n",
            "millstream_source_lag_seconds{destination=\"orders\"} 0.25\n",
            "millstream_source_silence_seconds{destination=\"orders\"} 2\n",
            "millstream_sent_rows_total{core=\"0\"} 7\n",
            "millstream_stage_latency_seconds{stage=\"encode_to_sent\",clock=\"server\",quantile=\"0.5\"} 0.0005\n",
            "millstream_stage_latency_seconds{stage=\"encode_to_sent\",clock=\"server\",quantile=\"1\"} 0.001\n",
            "millstream_stage_latency_seconds_count{stage=\"encode_to_sent\",clock=\"server\"} 1000\n",
            "millstream_stage_latency_seconds_sum{stage=\"encode_to_sent\",clock=\"server\"} 0.5005\n",
            "stage=\"commit_to_receive\",clock=\"source_and_server\",quantile=\"0.5\"} NaN\n",
            "millstream_subscription_connections{destination=\"orders\",state=\"waiting\"} 1\n",
            "millstream_subscription_unacked_transactions{destination=\"orders\",subscription=\"billing \\\"x\\\"\"} 3\n",
        ] {
            assert!(document.contains(expected), "missing {expected} in\n{document}");
        }
    }

    #[test]
    fn every_name_is_documented() {
        let documentation = include_str!("../../../docs/metrics.md");
        let document = render(&shared_state(&Arc::default()), &Process::read(), Instant::now(), 0);
        let families = document.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let missing: Vec<_> = families.filter(|name| !documentation.contains(&format!("`{name}`"))).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }
}
