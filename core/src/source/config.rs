//! How to reach and follow a source. Every key has its unit, range, default, and what gets worse when it is moved.
//!
//! Only values: no file is read and nothing is connected here. [`SourceConfig::check`] tells every complaint at once.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub const DEFAULT_PORT: u16 = 3306;
/// Shown by SHOW REPLICAS; must differ from every server and replica of the topology. "mil" in ASCII.
pub const SERVER_ID_DEFAULT: u32 = 0x006d_696c;
pub const CONNECT_TIMEOUT_MS_DEFAULT: u64 = 3_000;
pub const RESPONSE_TIMEOUT_MS_DEFAULT: u64 = 60_000;
pub const HEARTBEAT_PERIOD_MS_DEFAULT: u64 = 1_000;
/// The range that servers take is 1 ms to 4,294,967 s; below 10 ms the heartbeats themselves become load.
pub const HEARTBEAT_PERIOD_MS_MIN: u64 = 10;
pub const HEARTBEAT_PERIOD_MS_MAX: u64 = 3_600_000;
/// A source is taken for dead after this many tenths of a heartbeat period without a byte: 2.5 periods allow
/// for one lost and one late heartbeat.
pub const SILENT_TENTHS_OF_PERIOD: u64 = 25;
pub const BACKOFF_MIN_MS_DEFAULT: u64 = 1;
pub const BACKOFF_MAX_MS_DEFAULT: u64 = 5_000;
/// MySQL's own ceiling for one packet (max_allowed_packet) is 1 GiB; with its packets' headers a row event of
/// that size is a little larger.
pub const EVENT_BYTES_MAX_DEFAULT: u64 = (1 << 30) + (1 << 20);
pub const EVENT_BYTES_MIN: u64 = 1 << 16;
/// A quarter of a 1 MiB L2 cache: framing in place was fastest there (5.9 GB/s; 4 MiB: 4.2).
pub const RECEIVE_CHUNK_BYTES_DEFAULT: usize = 256 << 10;
pub const RECEIVE_CHUNK_BYTES_MIN: usize = 16 << 10;
pub const RECEIVE_CHUNK_BYTES_MAX: usize = 16 << 20;

const _: () = assert!(RECEIVE_CHUNK_BYTES_MIN <= RECEIVE_CHUNK_BYTES_DEFAULT);
const _: () = assert!(RECEIVE_CHUNK_BYTES_DEFAULT <= RECEIVE_CHUNK_BYTES_MAX);
const _: () = assert!(BACKOFF_MIN_MS_DEFAULT <= BACKOFF_MAX_MS_DEFAULT);

/// `db1.example:3307`, `10.0.0.5`, `[::1]:3306`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let complaint = || format!("'{text}' is not an address; write it as HOST, HOST:PORT or [IPV6]:PORT");
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(complaint)?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(complaint()),
                }
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(complaint());
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(complaint)?,
            None => DEFAULT_PORT,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// As MySQL's own `--ssl-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    Disabled,
    /// TLS where the server offers it; its certificate is not checked. Keeps out listeners, not impostors.
    #[default]
    Preferred,
    /// TLS or nothing; the certificate is not checked.
    Required,
    /// The certificate must be signed by `ca`; the name in it may be another.
    VerifyCa,
    /// As `VerifyCa`, and the certificate is for the host that we connect to.
    VerifyIdentity,
}

impl FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" => Self::VerifyIdentity,
            _ => {
                return Err(format!(
                    "tls.mode is '{text}'; choose disabled, preferred, required, verify_ca or verify_identity"
                ));
            }
        })
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Preferred => "preferred",
            Self::Required => "required",
            Self::VerifyCa => "verify_ca",
            Self::VerifyIdentity => "verify_identity",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    pub mode: TlsMode,
    /// PEM file of the authorities to trust; without it the built-in list of public ones.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate chain and its key: both or none.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// The servers of one topology, in order of preference: the next is tried when one cannot be reached.
    pub servers: Vec<HostPort>,
    pub user: String,
    pub password: String,
    pub tls: TlsConfig,
    /// 1 to 4294967295; default 7170412. Two readers with the same number throw each other out.
    pub server_id: u32,
    /// How the server knows this replica; default: made from `server_id`, so that after a crash of ours the new
    /// connection ends the old one at once.
    pub replica_uuid: Option<String>,
    /// Default 3 s. Raised: a dead server is noticed later. Lowered: a far one is given up too soon.
    pub connect_timeout: Duration,
    /// For one answer of the server before the stream begins; default 60 s. SHOW BINARY LOGS and the search for a
    /// GTID read many files on a large server.
    pub response_timeout: Duration,
    /// 10 ms to 1 h; default 1 s. Sent by the server when it has nothing else. Raised: a dead peer is noticed
    /// later (after 2.5 periods). Lowered: more idle packets.
    pub heartbeat_period: Duration,
    /// First pause before connecting anew; doubled up to `backoff_max`. Defaults 1 ms and 5 s.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Largest single event, in bytes; default 1 GiB + 1 MiB. Memory for one event may reach this.
    pub event_bytes_max: u64,
    /// 16 KiB to 16 MiB; default 256 KiB. Larger than the L2 cache is slower.
    pub receive_chunk_bytes: usize,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            servers: vec![HostPort { host: "127.0.0.1".to_owned(), port: DEFAULT_PORT }],
            user: "millstream".to_owned(),
            password: String::new(),
            tls: TlsConfig::default(),
            server_id: SERVER_ID_DEFAULT,
            replica_uuid: None,
            connect_timeout: Duration::from_millis(CONNECT_TIMEOUT_MS_DEFAULT),
            response_timeout: Duration::from_millis(RESPONSE_TIMEOUT_MS_DEFAULT),
            heartbeat_period: Duration::from_millis(HEARTBEAT_PERIOD_MS_DEFAULT),
            backoff_min: Duration::from_millis(BACKOFF_MIN_MS_DEFAULT),
            backoff_max: Duration::from_millis(BACKOFF_MAX_MS_DEFAULT),
            event_bytes_max: EVENT_BYTES_MAX_DEFAULT,
            receive_chunk_bytes: RECEIVE_CHUNK_BYTES_DEFAULT,
        }
    }
}

/// Without the password.
impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceConfig")
            .field("servers", &self.servers)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

impl SourceConfig {
    /// Every complaint, in the order of the keys; empty: it can be used.
    pub fn check(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut check = |holds: bool, complaint: String| {
            if !holds {
                complaints.push(complaint);
            }
        };
        check(!self.servers.is_empty(), "servers is empty: name at least one HOST:PORT".to_owned());
        check(!self.user.is_empty(), "user is empty".to_owned());
        check(
            self.tls.certificate.is_some() == self.tls.key.is_some(),
            "tls.certificate and tls.key go together: set both or none".to_owned(),
        );
        check(self.server_id != 0, "server_id is 0: choose a number that no server or replica has".to_owned());
        if let Some(uuid) = &self.replica_uuid {
            check(is_uuid(uuid), format!("replica_uuid '{uuid}' is not a UUID"));
        }
        let period_ms = self.heartbeat_period.as_millis();
        check(
            (u128::from(HEARTBEAT_PERIOD_MS_MIN)..=u128::from(HEARTBEAT_PERIOD_MS_MAX)).contains(&period_ms),
            format!(
                "heartbeat_period is {period_ms} ms; the range is {HEARTBEAT_PERIOD_MS_MIN} to {HEARTBEAT_PERIOD_MS_MAX}"
            ),
        );
        check(!self.connect_timeout.is_zero(), "connect_timeout is 0".to_owned());
        check(!self.response_timeout.is_zero(), "response_timeout is 0".to_owned());
        check(
            !self.backoff_min.is_zero() && self.backoff_min <= self.backoff_max,
            "backoff_min must be above 0 and not above backoff_max".to_owned(),
        );
        check(
            self.event_bytes_max >= EVENT_BYTES_MIN,
            format!("event_bytes_max is {}; the least is {EVENT_BYTES_MIN}", self.event_bytes_max),
        );
        check(
            (RECEIVE_CHUNK_BYTES_MIN..=RECEIVE_CHUNK_BYTES_MAX).contains(&self.receive_chunk_bytes),
            format!(
                "receive_chunk_bytes is {}; the range is {RECEIVE_CHUNK_BYTES_MIN} to {RECEIVE_CHUNK_BYTES_MAX}",
                self.receive_chunk_bytes
            ),
        );
        complaints
    }

    /// The UUID that the server knows this replica by.
    pub fn replica_uuid(&self) -> String {
        match &self.replica_uuid {
            Some(uuid) => uuid.clone(),
            // "mill" "st" and the server id: the same after every restart.
            None => format!("6d696c6c-7374-4000-8000-{:012x}", self.server_id),
        }
    }

    /// The same source for a further reader beside the live one (`ordinal` from 1): with an identity of its own,
    /// because a server ends the older of two dumps of one replica.
    pub fn for_reader(&self, ordinal: u32) -> Self {
        Self { server_id: self.server_id.wrapping_add(ordinal).max(1), replica_uuid: None, ..self.clone() }
    }

    /// After this long without a byte a stream is dead.
    pub fn silence_max(&self) -> Duration {
        self.heartbeat_period.saturating_mul(SILENT_TENTHS_OF_PERIOD as u32) / 10
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(index, char)| match index {
            8 | 13 | 18 | 23 => char == '-',
            _ => char.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let found = text.parse::<HostPort>().ok();
            let expected = expected.map(|(host, port)| HostPort { host: host.to_owned(), port });
            assert_eq!(found, expected, "{text}");
            if let Some(address) = found {
                assert_eq!(address.to_string().parse::<HostPort>().unwrap(), address, "{text}");
            }
        };
        check("db1", Some(("db1", 3306)));
        check("db1:3307", Some(("db1", 3307)));
        check("10.0.0.5:1", Some(("10.0.0.5", 1)));
        check("::1", Some(("::1", 3306)));
        check("[::1]:3307", Some(("::1", 3307)));
        check("[::1]", Some(("::1", 3306)));
        for bad in ["", ":3306", "db1:", "db1:0", "db1:70000", "[::1", "[::1]x", "a b"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_defaults_are_without_complaint() {
        assert_eq!(SourceConfig::default().check(), Vec::<String>::new());
    }

    #[test]
    fn every_complaint_is_told_at_once() {
        let config = SourceConfig {
            servers: Vec::new(),
            user: String::new(),
            server_id: 0,
            replica_uuid: Some("x".to_owned()),
            heartbeat_period: Duration::from_millis(1),
            backoff_min: Duration::from_secs(9),
            event_bytes_max: 1,
            receive_chunk_bytes: 1,
            tls: TlsConfig { key: Some("k".into()), ..TlsConfig::default() },
            ..SourceConfig::default()
        };
        assert_eq!(config.check().len(), 9, "{:?}", config.check());
    }

    #[test]
    fn readers_beside_the_live_one_have_their_own_identity() {
        let live = SourceConfig::default();
        let other = live.for_reader(1);
        assert_ne!(live.replica_uuid(), other.replica_uuid());
        assert!(is_uuid(&other.replica_uuid()));
        assert_ne!(live.server_id, other.server_id);
    }
}
