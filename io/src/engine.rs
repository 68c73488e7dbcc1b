//! The cores: starts one executor for each, lays the rings between them, and waits until each says that it is up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use millstream_core::bridge::{CoreLink, Doorbell};
use millstream_core::engine::home::{Home, HomeConfig};
use millstream_core::engine::hub::HubLimits;
use millstream_core::engine::ring::{RingReceiver, RingSender, ring};
use millstream_core::engine::shard::Shard;
use millstream_core::engine::shared::Destination;
use millstream_core::limits;
use millstream_core::metrics::SharedCoreMetrics;
use millstream_core::source::config::SourceConfig;
use millstream_core::source::tracker::{QuarantinePolicies, StatementPolicy, TrackerConfig};

use crate::connection;
use crate::live::{self, Sink};
use crate::questions;
use crate::runtime::{Core, CoreOptions, Runtime, TcpListener, sleep};
use crate::tasks::spawn_vital;
use crate::worker::{HomeItem, LiveItem, PasswordCheck, Worker};

/// One destination's part of the configuration.
pub struct DestinationConfig {
    pub shared: Arc<Destination>,
    pub source: SourceConfig,
    pub hold_bytes_max: usize,
    pub event_bytes_max: usize,
    pub statement_dml: StatementPolicy,
    pub quarantine: Arc<QuarantinePolicies>,
}

impl DestinationConfig {
    pub fn tracker_config(&self, shards: u16, first_sequence: u64) -> TrackerConfig {
        TrackerConfig {
            shards,
            hold_bytes_max: self.hold_bytes_max,
            event_bytes_max: self.event_bytes_max,
            statement_dml: self.statement_dml,
            quarantine: self.quarantine.clone(),
            first_sequence,
        }
    }
}

pub struct EngineConfig {
    pub runtime: Runtime,
    /// The core that owns the source's sockets; `None`: the first worker does that too.
    pub source_core: Option<usize>,
    /// One worker for each; `None` is a core that the scheduler chooses.
    pub worker_cores: Vec<Option<usize>>,
    pub spin_before_sleep: Duration,
    pub listen: SocketAddr,
    pub server_id: String,
    pub connections_max: usize,
    pub authenticate: bool,
    pub check: PasswordCheck,
    pub hub: HubLimits,
    /// Readers of the source besides the live one, of one worker core.
    pub catchup_max: u64,
    pub ring_bytes_max: usize,
    pub destinations: Vec<Arc<DestinationConfig>>,
    /// One for each worker.
    pub links: Vec<CoreLink>,
    pub metrics: Vec<SharedCoreMetrics>,
    /// Set with `FromControl::Shutdown`: the source core looks at it now and then. When a core fails the engine sets it,
    /// and the workers look at it when their doorbell is rung.
    pub stopping: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot listen on {listen} (server.listen): {reason}")]
    Listen { listen: SocketAddr, reason: String },
    #[error("the executor '{name}' did not start: {reason}")]
    Executor { name: String, reason: String },
    #[error("the core '{name}' failed, and without it nothing is served any more: {reason}")]
    Failed { name: String, reason: String },
}

/// What the others get to end in after a core has failed: their clients are told first.
const END_MAX: Duration = Duration::from_millis(2 * limits::SHUTDOWN_MS);
/// From the moment that a core has let go of all to the moment that its thread is seen to have ended.
const JOIN_MAX: Duration = Duration::from_millis(100);
/// Of a thread that only waits for another's end.
const WATCH_STACK_BYTES: usize = 128 << 10;

/// The running cores; `join` waits until all have ended.
pub struct Engine {
    names: Vec<String>,
    /// How each core ended, from the thread that waits for it.
    ended: mpsc::Receiver<Ended>,
    tell_ended: mpsc::Sender<Ended>,
    stopping: Arc<AtomicBool>,
    doorbells: Vec<Doorbell>,
}

/// A core, and why it did not go on to its task's end.
type Ended = (String, Result<(), String>);

/// The rings of one worker, for one destination.
struct WorkerRings {
    from_source: RingReceiver<LiveItem>,
    to_homes: Vec<RingSender<HomeItem>>,
    from_shards: Vec<RingReceiver<HomeItem>>,
}

impl Engine {
    /// # Errors
    /// The port is taken, or an executor did not come up (locked memory, CPU sets).
    pub fn start(mut config: EngineConfig) -> Result<Engine, EngineError> {
        // The kernel ends a killed process' io_uring, and the sockets in it, a moment after the process itself.
        let until = Instant::now() + Duration::from_millis(limits::PORT_FREE_MS);
        while is_served(config.listen) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(limits::STOP_POLL_MS));
        }
        if Instant::now() >= until {
            let reason = "the address is in use: another server answers there".to_owned();
            return Err(EngineError::Listen { listen: config.listen, reason });
        }
        let workers = config.worker_cores.len();
        let apart = config.source_core.is_some() || workers > 1;
        let (source_rings, worker_rings) = lay_rings(&config, apart);
        let (tell_ended, ended) = mpsc::channel();
        let mut engine = Engine {
            names: Vec::new(),
            ended,
            tell_ended,
            stopping: config.stopping.clone(),
            doorbells: config.links.iter().map(|link| link.doorbell.clone()).collect(),
        };
        let (up, came_up) = mpsc::channel::<Result<(), String>>();
        let links = std::mem::take(&mut config.links);
        let cores = config.worker_cores.clone();
        let config = Arc::new(config);
        for (((index, link), rings), core) in links.into_iter().enumerate().zip(worker_rings).zip(cores) {
            let name = format!("worker-{index}");
            let spin = config.spin_before_sleep;
            let part = WorkerPart { config: config.clone(), index, rings, apart, up: up.clone() };
            engine.spawn(config.runtime, name, core, spin, move || run_worker(part, link))?;
        }
        if apart {
            let (part, up) = (config.clone(), up.clone());
            engine.spawn(
                config.runtime,
                "source".to_owned(),
                config.source_core,
                config.spin_before_sleep,
                move || run_source(part, source_rings, up),
            )?;
        }
        drop(up);
        let deadline = Instant::now() + Duration::from_millis(limits::EXECUTOR_START_MS);
        for _ in &engine.names {
            let left = deadline.saturating_duration_since(Instant::now());
            match came_up.recv_timeout(left) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => return Err(EngineError::Executor { name: "worker".into(), reason }),
                Err(_) => return Err(engine.why_not_up()),
            }
        }
        Ok(engine)
    }

    fn spawn<F>(
        &mut self,
        runtime: Runtime,
        name: String,
        core: Option<usize>,
        spin: Duration,
        task: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), EngineError>
    where
        F: Future<Output = ()> + 'static,
    {
        let failed = |error: std::io::Error| EngineError::Executor { name: name.clone(), reason: error.to_string() };
        let options = CoreOptions { runtime, name: name.clone(), core, spin_before_sleep: spin };
        let core = Core::start(options, task).map_err(failed)?;
        let (tell, own) = (self.tell_ended.clone(), name.clone());
        // A core may end at any time, and its end is seen by joining it only.
        thread::Builder::new()
            .name(format!("watch-{name}"))
            .stack_size(WATCH_STACK_BYTES)
            .spawn(move || drop(tell.send((own, core.join()))))
            .map_err(failed)?;
        self.names.push(name);
        Ok(())
    }

    fn why_not_up(self) -> EngineError {
        let ends = std::iter::from_fn(|| self.ended.recv_timeout(JOIN_MAX).ok());
        let failed = ends.filter_map(|(name, result)| result.err().map(|reason| (name, reason))).next();
        if let Some((name, reason)) = failed {
            return EngineError::Executor { name, reason };
        }
        let seconds = limits::EXECUTOR_START_MS / 1000;
        EngineError::Executor {
            name: self.names.join(", "),
            reason: format!(
                "no answer within {seconds} s; io_uring needs locked memory: raise `ulimit -l` (LimitMEMLOCK= in \
                 systemd) to at least 8 MiB, and the cores in [engine] must exist"
            ),
        }
    }

    /// Waits until every core has ended. None goes on without another: when one fails, all are told to end.
    ///
    /// # Errors
    /// [`EngineError::Failed`] names the first core that failed in the middle of its work.
    pub fn join(self) -> Result<(), EngineError> {
        let Engine { names, ended, tell_ended, stopping, doorbells } = self;
        drop(tell_ended);
        let mut failed: Option<(EngineError, Instant)> = None;
        for _ in &names {
            let end = match &failed {
                None => ended.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                // One that does not answer any more does not keep the process.
                Some((_, until)) => ended.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            let Ok((name, result)) = end else { break };
            let Err(reason) = result else { continue };
            tracing::error!(core = name, reason, "a core failed: the process ends");
            if failed.is_none() {
                failed = Some((EngineError::Failed { name, reason }, Instant::now() + END_MAX));
                stopping.store(true, Ordering::Release);
                doorbells.iter().for_each(|doorbell| doorbell.wake());
            }
        }
        failed.map_or(Ok(()), |(error, _)| Err(error))
    }
}

/// Workers share the port (SO_REUSEPORT), so that a second server on it would go unnoticed: this one asks. To bind it once
/// without sharing would not do: that fails for a minute after every end, while the connections of then time out.
fn is_served(listen: SocketAddr) -> bool {
    const ANSWER_MAX: Duration = Duration::from_millis(500);
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    std::net::TcpStream::connect_timeout(&SocketAddr::new(ip, listen.port()), ANSWER_MAX).is_ok()
}

type SourceRings = Vec<Vec<RingSender<LiveItem>>>;

/// Rings from the source to each worker, and from each worker's shard to each worker's home, for every destination.
fn lay_rings(config: &EngineConfig, apart: bool) -> (SourceRings, Vec<Vec<WorkerRings>>) {
    let workers = config.worker_cores.len();
    let mut source = Vec::new();
    let mut by_worker: Vec<Vec<WorkerRings>> = (0..workers).map(|_| Vec::new()).collect();
    if !apart {
        return (source, by_worker);
    }
    // The bound is for all rings together: one from the source and `workers` between the workers, for each worker.
    let rings = config.destinations.len().max(1) * workers * (workers + 1);
    let bytes_max = (config.ring_bytes_max / rings).max(limits::RING_BYTES_MIN);
    for _ in &config.destinations {
        let mut senders = Vec::new();
        let mut mesh: Vec<WorkerRings> = Vec::new();
        for _ in 0..workers {
            let (sender, receiver) = ring(limits::RING_ITEMS, bytes_max);
            senders.push(sender);
            mesh.push(WorkerRings { from_source: receiver, to_homes: Vec::new(), from_shards: Vec::new() });
        }
        for shard in 0..workers {
            for home in 0..workers {
                let (sender, receiver) = ring(limits::RING_ITEMS, bytes_max);
                if let Some(rings) = mesh.get_mut(shard) {
                    rings.to_homes.push(sender);
                }
                if let Some(rings) = mesh.get_mut(home) {
                    rings.from_shards.push(receiver);
                }
            }
        }
        source.push(senders);
        for (worker, rings) in by_worker.iter_mut().zip(mesh) {
            worker.push(rings);
        }
    }
    (source, by_worker)
}

struct WorkerPart {
    config: Arc<EngineConfig>,
    index: usize,
    rings: Vec<WorkerRings>,
    /// The source has a core of its own.
    apart: bool,
    up: mpsc::Sender<Result<(), String>>,
}

async fn run_worker(part: WorkerPart, link: CoreLink) {
    let WorkerPart { config, index, rings, apart, up } = part;
    let listener = match TcpListener::bind(config.listen) {
        Ok(listener) => listener,
        Err(error) => {
            let _ = up.send(Err(format!("cannot listen on {}: {error}", config.listen)));
            return;
        }
    };
    let workers = u16::try_from(config.worker_cores.len()).unwrap_or(u16::MAX);
    let core = u16::try_from(index).unwrap_or(u16::MAX);
    let home_config = HomeConfig {
        core,
        server_id: config.server_id.clone(),
        connections_max: config.connections_max,
        authenticate: config.authenticate,
        hub: config.hub.clone(),
    };
    let shared: Vec<Arc<Destination>> = config.destinations.iter().map(|config| config.shared.clone()).collect();
    let metrics = config.metrics.get(index).cloned().unwrap_or_default();
    let home = Home::new(home_config, shared, metrics, link.doorbell.clone());
    let worker = Worker::new(
        home,
        config.destinations.clone(),
        link,
        config.check.clone(),
        config.catchup_max,
        config.stopping.clone(),
    );
    for (destination, part) in config.destinations.iter().enumerate() {
        if !apart {
            let shard = Box::new(Shard::new(0, 1, part.shared.tables.clone()));
            let sink = Sink::Here { worker: worker.clone(), destination, shard };
            spawn_vital("live", live::run(part.clone(), 1, sink));
            spawn_vital("questions", questions::run(part.clone()));
        }
    }
    for ((destination, part), rings) in config.destinations.iter().enumerate().zip(rings) {
        let shard = Shard::new(core, workers, part.shared.tables.clone());
        spawn_vital("encode", worker.clone().encode_loop(destination, shard, rings.from_source, rings.to_homes));
        spawn_vital("merge", worker.clone().merge_loop(destination, rings.from_shards));
    }
    spawn_vital("accept", connection::accept(worker.clone(), listener));
    spawn_vital("control", worker.clone().listen_to_control());
    spawn_vital("tick", worker.clone().tick());
    let _ = up.send(Ok(()));
    worker.until_shutdown().await;
    // Clients are told; what is queued for them gets a moment to leave.
    let until = Instant::now() + Duration::from_millis(limits::SHUTDOWN_MS);
    while worker.connection_count() > 0 && Instant::now() < until {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn run_source(config: Arc<EngineConfig>, rings: SourceRings, up: mpsc::Sender<Result<(), String>>) {
    let workers = u16::try_from(config.worker_cores.len()).unwrap_or(u16::MAX);
    for (part, rings) in config.destinations.iter().zip(rings) {
        spawn_vital("live", live::run(part.clone(), workers, Sink::Rings(rings)));
        spawn_vital("questions", questions::run(part.clone()));
    }
    let _ = up.send(Ok(()));
    while !config.stopping.load(Ordering::Acquire) {
        sleep(Duration::from_millis(limits::STOP_POLL_MS)).await;
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
