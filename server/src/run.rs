//! The wiring: from a checked configuration to running cores, and down again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossbeam::channel::unbounded;
use millstream_control::auth::{Authenticator, Login};
use millstream_control::cursors::{CursorCommits, CursorStorage};
use millstream_control::{
    Control, ControlConfig, DataDir, DestinationView, FileCursors, RecordFile, ServerInfo, SharedState, epoch,
};
use millstream_core::bridge::{ControlLink, CoreLink, Doorbell};
use millstream_core::engine::home::Verdict;
use millstream_core::engine::hub::HubLimits;
use millstream_core::engine::shared::Destination;
use millstream_core::filter::{Filter, FilterSpec};
use millstream_core::limits;
use millstream_core::metrics::SharedCoreMetrics;
use millstream_core::source::tracker::{QuarantinePolicies, StatementPolicy};
use millstream_core::tables::Tables;
use millstream_io::engine::{DestinationConfig, Engine, EngineConfig};
use millstream_io::worker::PasswordCheck;

use crate::config::{Config, StatementDml};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or the core that failed.
pub fn run(config: Config) -> anyhow::Result<()> {
    let data = DataDir::open(&config.server.data_dir)?;
    let mut storages: Vec<(String, Box<dyn CursorStorage>)> = Vec::new();
    let mut opened = Vec::new();
    for destination in &config.destinations {
        let folder = data.destination(&destination.name)?;
        let in_folder = || format!("the durable state of destination '{}' in {}", destination.name, folder.display());
        let epoch = epoch::next(&folder).with_context(in_folder)?;
        let registry = RecordFile::open(&folder, "registry").with_context(in_folder)?;
        let history = RecordFile::open(&folder, "schema-history").with_context(in_folder)?;
        let tables = Tables::open(&destination.name, Box::new(registry), Box::new(history))
            .map_err(|error| anyhow!(error))
            .with_context(in_folder)?;
        storages.push((destination.name.clone(), Box::new(FileCursors::new(&destination.name, &folder, epoch))));
        opened.push((destination, epoch, Arc::new(Mutex::new(tables))));
    }
    let commits = CursorCommits::open(storages)
        .map_err(|errors| anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let book = commits.book();

    let mut destinations = Vec::new();
    for (destination, epoch, tables) in opened {
        let allowed = FilterSpec {
            include: destination.include.clone(),
            exclude: destination.exclude.clone(),
            ..FilterSpec::default()
        };
        let allowed = Filter::compile(&allowed).with_context(|| format!("destination '{}'", destination.name))?;
        let mut quarantine = QuarantinePolicies::default();
        for rule in &destination.quarantine {
            let tables = FilterSpec { include: rule.tables.clone(), ..FilterSpec::default() };
            let tables = Filter::compile(&tables).with_context(|| format!("destination '{}'", destination.name))?;
            quarantine.rules.push((tables, rule.policy));
        }
        let cursors = book.of_destination(&destination.name);
        let shared = Destination::new(
            destination.name.as_str().into(),
            epoch,
            tables,
            Arc::default(),
            Arc::new(allowed),
            cursors.into_iter().map(|cursor| (cursor.subscription, cursor.position)),
        );
        destinations.push(Arc::new(DestinationConfig {
            shared: Arc::new(shared),
            source: destination.source.clone(),
            hold_bytes_max: bytes(config.engine.hold_bytes_max),
            event_bytes_max: bytes(config.engine.event_bytes_max),
            statement_dml: match destination.statement_dml {
                StatementDml::Halt => StatementPolicy::Halt,
                StatementDml::Skip => StatementPolicy::Skip,
            },
            quarantine: Arc::new(quarantine),
        }));
    }

    let workers = config.engine.workers();
    let (to_control, from_cores) = unbounded();
    let control_doorbell = Doorbell::default();
    let mut core_links = Vec::new();
    let mut control_links = Vec::new();
    let mut core_metrics: Vec<SharedCoreMetrics> = Vec::new();
    for core in 0..u16::try_from(workers)? {
        let (to_core, from_control) = unbounded();
        let doorbell = Doorbell::default();
        core_links.push(CoreLink {
            core,
            to_control: to_control.clone(),
            control_doorbell: control_doorbell.clone(),
            from_control,
            doorbell: doorbell.clone(),
        });
        control_links.push(ControlLink { core, to_core, doorbell });
        core_metrics.push(SharedCoreMetrics::default());
    }
    drop(to_control);

    let views = destinations.iter().map(|config| config.shared.clone() as Arc<dyn DestinationView>).collect();
    let info = ServerInfo {
        id: config.server.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listen: config.server.listen,
        memory_bound_bytes: config.memory_bound().total_bytes(),
    };
    let cores = (0..).zip(core_metrics.iter().cloned()).collect();
    let shared = SharedState::new(info, views, cores);
    let stopping = Arc::new(AtomicBool::new(false));
    let on_shutdown = {
        let stopping = stopping.clone();
        Box::new(move || stopping.store(true, Ordering::Release))
    };
    let avoid_cores = config.engine.worker_cores.iter().copied().chain(config.engine.source_core).collect();
    let control_config = ControlConfig { admin_listen: config.server.admin_listen, avoid_cores, on_shutdown };
    let control = Control::start(control_config, control_links, from_cores, control_doorbell, shared, commits)?;

    let (authenticate, check) = passwords(&config)?;
    let engine = Engine::start(EngineConfig {
        runtime: config.engine.runtime,
        source_core: config.engine.source_core,
        worker_cores: match config.engine.worker_cores.as_slice() {
            [] => vec![None],
            cores => cores.iter().map(|core| Some(*core)).collect(),
        },
        spin_before_sleep: Duration::from_micros(config.engine.spin_before_sleep_us),
        listen: config.server.listen,
        server_id: config.server.id.clone(),
        connections_max: usize::try_from(config.engine.connections_max).unwrap_or(usize::MAX),
        authenticate,
        check,
        hub: HubLimits {
            view_log_bytes_max: bytes(config.engine.view_log_bytes_max),
            catchup_log_bytes_max: limits::CATCHUP_LOG_BYTES_MAX.min(bytes(config.engine.view_log_bytes_max) / 2),
            batch_bytes_target: bytes(config.engine.batch_bytes_target),
            unacked_transactions_max: config.engine.unacked_transactions_max,
            pin_distance_bytes: limits::PIN_DISTANCE_BYTES.min(config.engine.view_log_bytes_max / 4),
        },
        catchup_max: config.engine.catchup_max,
        ring_bytes_max: bytes(config.engine.ring_bytes_max),
        destinations,
        links: core_links,
        metrics: core_metrics,
        stopping,
    })?;
    tracing::info!(listen = %config.server.listen, admin = %control.admin_address(), workers, "millstreamd is up");
    let ended = engine.join();
    // The cores are gone: what they acknowledged last becomes durable now.
    control.stop();
    drop(data);
    ended?;
    tracing::info!("millstreamd has ended");
    Ok(())
}

fn passwords(config: &Config) -> anyhow::Result<(bool, PasswordCheck)> {
    let users = config.clients.users.iter().map(|user| (user.name.clone(), user.password_hash.clone()));
    let authenticator = Authenticator::start(users).map_err(|reason| anyhow!("[clients]: {reason}"))?;
    let authenticate = authenticator.asks_for_passwords();
    let check: PasswordCheck = Arc::new(move |user, password| {
        let authenticator = authenticator.clone();
        Box::pin(async move {
            match authenticator.login(&user, password.as_bytes()).await {
                Login::Accepted => Verdict::Accepted,
                Login::Refused => Verdict::Refused,
                Login::Busy => Verdict::Busy,
            }
        })
    });
    Ok((authenticate, check))
}

fn bytes(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
