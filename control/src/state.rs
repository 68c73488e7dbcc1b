//! What the HTTP side shows: handles that the server fills in at start, and what the worker cores have told since.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_codec::wire::layout::Layout;
use millstream_core::bridge::{CoreStatus, SourceStatus};
use millstream_core::engine::shared::Destination;
use millstream_core::history::TableName;
use millstream_core::metrics::{SharedCoreMetrics, SourceMetrics, StageHistograms};
use millstream_core::position::Position;

/// Cores tell their status about once a second. One that says nothing for so long is stuck.
pub const CORE_SILENT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct ServerInfo {
    pub id: String,
    pub version: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What the configured bounds add up to.
    pub memory_bound_bytes: u64,
}

/// One destination, as far as it is shown.
pub trait DestinationView: Send + Sync {
    fn name(&self) -> &str;
    fn status(&self) -> SourceStatus;
    fn metrics(&self) -> &SourceMetrics;
    /// Durable cursors by subscription, of those not connected too.
    fn cursors(&self) -> Vec<(Arc<str>, Arc<Position>)>;
    /// (database, table) of every table that has ordinals, sorted.
    fn tables(&self) -> Vec<(String, String)>;
    /// The newest layout, with all columns; `None` until a change of the table has passed.
    fn layout(&self, database: &str, table: &str) -> Option<Arc<Layout>>;
    /// Asks for the layout of a table of which no change has passed; `take_preview` has the answer soon.
    fn ask_preview(&self, table: &TableName);
    fn take_preview(&self, table: &TableName) -> Option<Result<Arc<Layout>, String>>;
    /// Asks for the table's columns to be read again from the source; `take_repair` tells what came of it.
    fn ask_repair(&self, table: &TableName);
    fn take_repair(&self, table: &TableName) -> Option<Result<String, String>>;
    /// What the schema history knows of a table: a line for each place where it changed.
    fn history(&self, table: &TableName) -> Vec<String>;
}

impl DestinationView for Destination {
    fn name(&self) -> &str {
        &self.name
    }

    fn status(&self) -> SourceStatus {
        lock(&self.status).clone()
    }

    fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    fn cursors(&self) -> Vec<(Arc<str>, Arc<Position>)> {
        Destination::cursors(self)
    }

    fn tables(&self) -> Vec<(String, String)> {
        lock(&self.tables).registered()
    }

    fn layout(&self, database: &str, table: &str) -> Option<Arc<Layout>> {
        lock(&self.tables).layout_of(database, table).map(|version| version.layout.clone())
    }

    fn ask_preview(&self, table: &TableName) {
        self.ask(&self.previews, table.clone());
    }

    fn take_preview(&self, table: &TableName) -> Option<Result<Arc<Layout>, String>> {
        self.previews.take(table)
    }

    fn ask_repair(&self, table: &TableName) {
        self.ask(&self.repairs, table.clone());
    }

    fn take_repair(&self, table: &TableName) -> Option<Result<String, String>> {
        self.repairs.take(table)
    }

    fn history(&self, table: &TableName) -> Vec<String> {
        lock(&self.tables).history().describe(table)
    }
}

/// Everything that metrics and status are made from.
pub struct SharedState {
    pub server: ServerInfo,
    pub destinations: Vec<Arc<dyn DestinationView>>,
    pub cores: Vec<(u16, SharedCoreMetrics)>,
    started: Instant,
    started_at: SystemTime,
    told: Mutex<Told>,
}

/// What came in messages.
#[derive(Default)]
pub(crate) struct Told {
    /// Of all cores, since the start.
    pub histograms: StageHistograms,
    pub cores: BTreeMap<u16, (Instant, CoreStatus)>,
    pub cursors: CursorCounts,
    pub shutting_down: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CursorCounts {
    pub saved: u64,
    pub writes: u64,
    pub failures: u64,
    pub write_seconds: f64,
    /// Not durable at their newest.
    pub dirty: u64,
}

impl SharedState {
    pub fn new(
        server: ServerInfo,
        destinations: Vec<Arc<dyn DestinationView>>,
        cores: Vec<(u16, SharedCoreMetrics)>,
    ) -> Arc<Self> {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        Arc::new(SharedState { server, destinations, cores, started, started_at, told: Mutex::default() })
    }

    pub fn destination(&self, name: &str) -> Option<&Arc<dyn DestinationView>> {
        self.destinations.iter().find(|destination| destination.name() == name)
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    pub(crate) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    pub(crate) fn started_unix_seconds(&self) -> f64 {
        self.started_at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }

    /// Why clients would not be served all that is configured; empty: ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.told().shutting_down {
            reasons.push("the server is shutting down".to_owned());
        }
        for destination in &self.destinations {
            let status = destination.status();
            if status.state != "streaming" {
                let why = status.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                let state = if status.state.is_empty() { "starting" } else { &status.state };
                reasons.push(format!("destination {} is {state}{why}", destination.name()));
            }
        }
        reasons
    }

    /// What a restart would mend; empty: healthy.
    pub fn unhealthy(&self, now: Instant) -> Vec<String> {
        let told = self.told();
        let mut reasons = Vec::new();
        for (core, _) in &self.cores {
            let last = told.cores.get(core).map_or(self.started, |(when, _)| *when);
            let silent = now.saturating_duration_since(last);
            if silent > CORE_SILENT_MAX {
                reasons.push(format!("core {core} has said nothing for {} s", silent.as_secs()));
            }
        }
        reasons
    }
}

/// What is behind these locks is replaced as a whole, so that a panic elsewhere leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use millstream_codec::mysql::gtid::ExecutedGtids;
    use millstream_core::bridge::SubscriptionStatus;
    use millstream_core::position::Position;

    /// A destination "orders" that does what the test says.
    #[derive(Default)]
    pub struct FakeDestination {
        pub status: Mutex<SourceStatus>,
        pub metrics: SourceMetrics,
        pub layouts: Vec<Arc<Layout>>,
        pub cursors: Vec<(Arc<str>, Arc<Position>)>,
    }

    impl DestinationView for FakeDestination {
        fn name(&self) -> &str {
            "orders"
        }
        fn status(&self) -> SourceStatus {
            lock(&self.status).clone()
        }
        fn metrics(&self) -> &SourceMetrics {
            &self.metrics
        }
        fn cursors(&self) -> Vec<(Arc<str>, Arc<Position>)> {
            self.cursors.clone()
        }
        fn tables(&self) -> Vec<(String, String)> {
            let met = self.layouts.iter().map(|layout| (layout.database.clone(), layout.table.clone()));
            met.chain([("shop".to_owned(), "unmet".to_owned())]).collect()
        }
        fn ask_preview(&self, _table: &TableName) {}

        fn take_preview(&self, (database, table): &TableName) -> Option<Result<Arc<Layout>, String>> {
            Some(Err(format!("there is no table {database}.{table} on the source")))
        }

        fn ask_repair(&self, _table: &TableName) {}

        fn take_repair(&self, (database, table): &TableName) -> Option<Result<String, String>> {
            Some(match table.as_str() {
                "unmet" => Err(format!("there is no table {database}.{table} on the source")),
                _ => Ok(format!("{database}.{table} was read again: 1 column")),
            })
        }

        fn history(&self, _table: &TableName) -> Vec<String> {
            vec!["binlog.000042:4  Snapshot 1 column".to_owned()]
        }

        fn layout(&self, database: &str, table: &str) -> Option<Arc<Layout>> {
            self.layouts.iter().find(|layout| layout.database == database && layout.table == table).cloned()
        }
    }

    /// One core, and one destination.
    pub fn shared_state(destination: &Arc<FakeDestination>) -> Arc<SharedState> {
        let server = ServerInfo {
            id: "test".to_owned(),
            version: "0.1.0".to_owned(),
            listen: "127.0.0.1:7440".parse().unwrap(),
            memory_bound_bytes: 1 << 30,
        };
        SharedState::new(server, vec![destination.clone()], vec![(0, SharedCoreMetrics::default())])
    }

    pub fn position() -> Arc<Position> {
        Arc::new(Position {
            incarnation: "4f6a".into(),
            file: "binlog.000042".into(),
            offset: 1234,
            gtids: ExecutedGtids::None,
            open_xa: Arc::new([]),
        })
    }

    pub fn subscription(name: &str, state: &'static str, unacked_transactions: u64) -> SubscriptionStatus {
        SubscriptionStatus {
            destination: "orders".into(),
            subscription: name.into(),
            client: "test".to_owned(),
            peer: "127.0.0.1:1".to_owned(),
            state,
            sent_sequence: 9,
            acked_sequence: 9 - unacked_transactions,
            position: position(),
            unacked_transactions,
            credit_bytes: 1 << 20,
            filter: "*.*".to_owned(),
        }
    }

    #[test]
    fn readiness_names_each_destination_that_does_not_stream() {
        let destination = Arc::new(FakeDestination::default());
        let state = shared_state(&destination);
        assert_eq!(state.not_ready(), ["destination orders is starting"]);
        {
            let mut status = lock(&destination.status);
            status.state = "halted".to_owned();
            status.error = Some("purged".to_owned());
        }
        assert_eq!(state.not_ready(), ["destination orders is halted: purged"]);
        lock(&destination.status).state = "streaming".to_owned();
        assert!(state.not_ready().is_empty());
        state.told().shutting_down = true;
        assert_eq!(state.not_ready(), ["the server is shutting down"]);
    }

    #[test]
    fn a_silent_core_is_unhealthy() {
        let state = shared_state(&Arc::default());
        let now = Instant::now();
        assert!(state.unhealthy(now).is_empty());
        let later = now + CORE_SILENT_MAX + Duration::from_secs(1);
        assert_eq!(state.unhealthy(later).len(), 1);
        state.told().cores.insert(0, (later, CoreStatus::default()));
        assert!(state.unhealthy(later).is_empty());
    }
}
