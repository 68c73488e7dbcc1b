//! What a client asks for: where, as whom, which rows, from which position on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cursor::Token;
use crate::error::ClientError;
use crate::notice::Notice;

use millstream_codec::wire::messages::Start as WireStart;
pub use millstream_codec::wire::messages::{ColumnFilter, CompiledField, Filter, Op, Order};

/// The port that `millstreamd` listens on for clients unless its configuration says otherwise.
pub const DEFAULT_PORT: u16 = 7440;

/// Where the first connection starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// At the durable cursor of the subscription; where there is none yet, at the latest position.
    #[default]
    Resume,
    /// Behind the transaction that the token was taken from; overrides the durable cursor.
    Token(Token),
    /// The oldest position that the server still has.
    Earliest,
    Latest,
    /// Executed so far: a MySQL GTID set, or a MariaDB GTID position.
    GtidSet(String),
    File {
        file: String,
        offset: u64,
    },
    /// The first transaction committed at or after it; microseconds since the Unix epoch.
    TimestampUs(i64),
}

impl Start {
    pub(crate) fn to_wire(&self) -> WireStart {
        match self {
            Self::Resume => WireStart::Resume,
            Self::Token(token) => WireStart::Token(token.as_bytes().to_vec()),
            Self::Earliest => WireStart::Earliest,
            Self::Latest => WireStart::Latest,
            Self::GtidSet(set) => WireStart::GtidSet(set.clone()),
            Self::File { file, offset } => WireStart::File { file: file.clone(), offset: *offset },
            Self::TimestampUs(timestamp_us) => WireStart::TimestampUs(*timestamp_us),
        }
    }
}

/// What to do where another connection already has the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenTaken {
    #[default]
    Fail,
    /// Stand by, and take over when the other one goes.
    Wait,
}

pub(crate) type Observer = Arc<dyn Fn(&Notice) + Send + Sync>;

/// All that a client needs to know. Every setter returns the configuration, so that calls can be chained.
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) servers: Vec<String>,
    pub(crate) destination: String,
    pub(crate) subscription: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) client_name: String,
    pub(crate) filter: Filter,
    pub(crate) start: Start,
    pub(crate) order: Order,
    pub(crate) when_taken: WhenTaken,
    pub(crate) compiled: Vec<CompiledField>,
    pub(crate) credit_bytes: u64,
    pub(crate) message_bytes_max: usize,
    pub(crate) transaction_bytes_max: u64,
    pub(crate) connect_timeout: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) reconnect: Option<Backoff>,
    pub(crate) observer: Option<Observer>,
}

/// How long to wait between two attempts: the pause doubles from `min` to `max`, each time shortened by a random
/// part of up to a half, so that many clients do not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl ClientConfig {
    /// `servers` are tried in turn: `host:port`, or `host` for port 7440.
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>, destination: impl Into<String>) -> Self {
        Self {
            servers: servers.into_iter().map(|server| with_port(server.into())).collect(),
            destination: destination.into(),
            subscription: String::new(),
            user: String::new(),
            password: String::new(),
            client_name: concat!("millstream-client ", env!("CARGO_PKG_VERSION")).to_owned(),
            filter: Filter::default(),
            start: Start::default(),
            order: Order::Commit,
            when_taken: WhenTaken::default(),
            compiled: Vec::new(),
            credit_bytes: 16 << 20,
            // One row may hold a value of 1 GiB (max_allowed_packet's own limit), and more than one value.
            message_bytes_max: (1 << 30) + (64 << 20),
            transaction_bytes_max: 2 << 30,
            connect_timeout: Duration::from_secs(5),
            silence_max: Duration::from_secs(30),
            reconnect: Some(Backoff { min: Duration::from_millis(10), max: Duration::from_secs(2) }),
            observer: None,
        }
    }

    /// Name of the durable cursor. Without it the subscription is gone with its connection, and a reconnect goes on
    /// from the last transaction that was handed over.
    pub fn subscription(mut self, name: impl Into<String>) -> Self {
        self.subscription = name.into();
        self
    }

    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = user.into();
        self.password = password.into();
        self
    }

    /// Shown in the server's status and logs.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Adds a table pattern: `db.table` with `*`, or `/regex/`.
    pub fn include(mut self, pattern: impl Into<String>) -> Self {
        self.filter.include.push(pattern.into());
        self
    }

    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.filter.exclude.push(pattern.into());
        self
    }

    /// Only these columns of the tables that `tables` matches; the others read as NULL.
    /// Primary keys are always sent.
    pub fn columns<S: Into<String>>(mut self, tables: impl Into<String>, columns: impl IntoIterator<Item = S>) -> Self {
        self.filter
            .columns
            .push(ColumnFilter { tables: tables.into(), columns: columns.into_iter().map(Into::into).collect() });
        self
    }

    /// Only rows of these kinds.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = Op>) -> Self {
        self.filter.kinds.extend(kinds);
        self
    }

    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Commit order over all tables (the default), or ordered within each table only.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    pub fn when_taken(mut self, when_taken: WhenTaken) -> Self {
        self.when_taken = when_taken;
        self
    }

    /// Declares a field that generated code was compiled for: (`db.table`, field, ordinal, Cap'n Proto type as the
    /// `.capnp` text has it). The server refuses the subscription, or ends it with a schema break, when the table no
    /// longer has it; without it a dropped column reads as NULL from then on.
    pub fn compiled_field(mut self, field: CompiledField) -> Self {
        self.compiled.push(field);
        self
    }

    /// How many bytes the server may send ahead of what was handed over (one message may overdraw it). More: fewer
    /// stalls on long links. Less: less memory here. Default 16 MiB.
    pub fn credit_bytes(mut self, bytes: u64) -> Self {
        self.credit_bytes = bytes;
        self
    }

    /// The largest message to accept. Default 1 GiB and 64 MiB: a row may hold a value of 1 GiB.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// The largest transaction to hold until its commit. Default 2 GiB.
    pub fn transaction_bytes_max(mut self, bytes: u64) -> Self {
        self.transaction_bytes_max = bytes;
        self
    }

    /// For each address. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// A connection on which nothing came for so long is given up; at half of it the server is asked with a ping.
    /// Default 30 s.
    pub fn silence_max(mut self, silence: Duration) -> Self {
        self.silence_max = silence;
        self
    }

    /// Pauses between attempts to reconnect. Default 10 ms to 2 s.
    pub fn reconnect_backoff(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect = Some(Backoff { min, max });
        self
    }

    /// A lost connection is an error, instead of being made again.
    pub fn without_reconnect(mut self) -> Self {
        self.reconnect = None;
        self
    }

    /// Called with what happens to the connection, on the thread that drives the client; it must not block.
    pub fn on_notice(mut self, observer: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    pub(crate) fn notify(&self, notice: Notice) {
        if let Some(observer) = &self.observer {
            observer(&notice);
        }
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let complaint = if self.servers.is_empty() {
            "no server address given: name at least one `host:port`"
        } else if self.servers.iter().any(|server| server.starts_with(':')) {
            "a server address has no host: write `host:port`"
        } else if self.destination.is_empty() {
            "no destination given: `millstream status` lists those of a server"
        } else if self.credit_bytes == 0 {
            "credit_bytes is 0: the server could never send a row"
        } else if self.message_bytes_max < 4096 {
            "message_bytes_max is below 4096: not even a layout would fit"
        } else if self.silence_max < Duration::from_millis(10) {
            "silence_max is below 10 ms: every connection would be given up at once"
        } else if self.reconnect.is_some_and(|backoff| backoff.max < backoff.min) {
            "the longest reconnect pause is shorter than the shortest"
        } else {
            return Ok(());
        };
        Err(ClientError::Config(complaint.to_owned()))
    }
}

impl fmt::Debug for ClientConfig {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientConfig")
            .field("servers", &self.servers)
            .field("destination", &self.destination)
            .field("subscription", &self.subscription)
            .field("user", &self.user)
            .field("filter", &self.filter)
            .field("start", &self.start)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// `host` and `[v6]` get the default port; `host:port` stays; a bare IPv6 address is bracketed.
fn with_port(server: String) -> String {
    let server = server.trim();
    if server.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{server}]:{DEFAULT_PORT}");
    }
    let host_end = server.rfind(']').map_or(0, |bracket| bracket + 1);
    if server.get(host_end..).is_some_and(|rest| rest.contains(':')) || server.is_empty() {
        server.to_owned()
    } else {
        format!("{server}:{DEFAULT_PORT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_port_get_the_default_one() {
        let check = |input: &str, expected: &str| assert_eq!(with_port(input.to_owned()), expected, "{input}");
        check("db1", "db1:7440");
        check("db1:9000", "db1:9000");
        check(" 127.0.0.1 ", "127.0.0.1:7440");
        check("::1", "[::1]:7440");
        check("[::1]", "[::1]:7440");
        check("[::1]:9000", "[::1]:9000");
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        let check = |config: ClientConfig, word: &str| {
            let error = config.check().map_err(|error| error.to_string()).expect_err(word);
            assert!(error.contains(word), "{error}");
        };
        let good = || ClientConfig::new(["a:1"], "main");
        assert!(good().check().is_ok());
        check(ClientConfig::new(Vec::<String>::new(), "main"), "no server");
        check(ClientConfig::new([":7440"], "main"), "no host");
        check(ClientConfig::new(["a:1"], ""), "no destination");
        check(good().credit_bytes(0), "credit_bytes");
        check(good().reconnect_backoff(Duration::from_secs(2), Duration::from_secs(1)), "shorter");
    }

    #[test]
    fn debug_output_holds_no_password() {
        let config = ClientConfig::new(["a:1"], "main").credentials("reader", "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
