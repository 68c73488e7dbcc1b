//! The configuration as values, and the one place of its defaults.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use millstream_core::limits;
pub use millstream_core::source::config::{SourceConfig, TlsConfig, TlsMode};
use millstream_core::source::tracker::QuarantinePolicy;
use millstream_io::runtime::Runtime;

use super::complaint::Complaint;
use super::memory::MemoryBound;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    pub server: ServerConfig,
    pub engine: EngineConfig,
    pub clients: ClientsConfig,
    pub destinations: Vec<DestinationConfig>,
    /// Allowed, but worth a line in the log.
    pub warnings: Vec<Complaint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    pub id: String,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Directives as `tracing_subscriber::EnvFilter` takes them.
    pub log: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        ServerConfig {
            id: "millstream".to_owned(),
            listen: loopback(7440),
            admin_listen: loopback(7441),
            data_dir: PathBuf::from("/var/lib/millstream"),
            log: "info".to_owned(),
        }
    }
}

/// Cores, and the bounds of every buffer. The keys are explained in `conf/millstreamd.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    pub runtime: Runtime,
    pub source_core: Option<usize>,
    /// Empty: one core does it all.
    pub worker_cores: Vec<usize>,
    pub spin_before_sleep_us: u64,
    pub ring_bytes_max: u64,
    pub view_log_bytes_max: u64,
    pub catchup_max: u64,
    pub hold_bytes_max: u64,
    pub event_bytes_max: u64,
    pub unacked_transactions_max: u64,
    pub batch_bytes_target: u64,
    pub connections_max: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            runtime: Runtime::default(),
            source_core: None,
            worker_cores: Vec::new(),
            spin_before_sleep_us: 0,
            ring_bytes_max: limits::RING_BYTES_MAX_DEFAULT as u64,
            view_log_bytes_max: limits::VIEW_LOG_BYTES_MAX_DEFAULT as u64,
            catchup_max: 16,
            hold_bytes_max: limits::HOLD_BYTES_MAX_DEFAULT as u64,
            // MySQL's default max_allowed_packet, which bounds what one statement can put into one value.
            event_bytes_max: 64 << 20,
            // Together with connections_max: 256 x 65,536 marks of 100 bytes are 1.6 GiB at the very worst.
            unacked_transactions_max: 1 << 16,
            batch_bytes_target: limits::BATCH_BYTES_TARGET_DEFAULT as u64,
            connections_max: 256,
        }
    }
}

impl EngineConfig {
    /// Worker threads: at least the one that does it all.
    pub fn workers(&self) -> usize {
        self.worker_cores.len().max(1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientsConfig {
    /// Take clients from other machines without asking for a password.
    pub allow_anonymous: bool,
    /// Empty: no password is asked.
    pub users: Vec<UserConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserConfig {
    pub name: String,
    /// In PHC form, `$argon2id$..`; made by `millstreamd --hash-password`.
    pub password_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    pub name: String,
    /// What may be read at all, whatever the clients ask for; empty: every table.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// With the password read, the server id derived, and the engine's `event_bytes_max` put in.
    pub source: SourceConfig,
    pub statement_dml: StatementDml,
    /// The first that matches a table counts; without one its rows are passed over and counted.
    pub quarantine: Vec<QuarantineRule>,
}

/// What becomes of tables whose rows cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRule {
    pub tables: Vec<String>,
    pub policy: QuarantinePolicy,
}

/// What happens at a row change that was logged as a statement: there are no rows to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementDml {
    /// The destination stops before it and says so.
    #[default]
    Halt,
    /// It is counted, logged, and passed over: subscribers miss that change.
    Skip,
}

impl Config {
    /// All that the bounds of this configuration add up to.
    pub fn memory_bound(&self) -> MemoryBound {
        MemoryBound::of(self)
    }
}

impl fmt::Display for StatementDml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StatementDml::Halt => "halt",
            StatementDml::Skip => "skip",
        })
    }
}
