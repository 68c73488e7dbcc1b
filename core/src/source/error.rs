//! What can go wrong between a source and us, and who recovers.
//!
//! Every error says what to do. [`SourceError::disposition`] decides: `Retry` is mended by connecting anew, `Halt`
//! needs a person. What concerns one table only is no error here: see `tracker::QuarantinePolicy`. Nothing is ever
//! skipped silently.

use crate::position::FilePosition;

/// Who recovers from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Connecting anew from the last complete transaction mends it, sooner or later.
    Retry,
    /// Trying again cannot help: the text says what a person has to do.
    Halt,
}

/// One thing that a server or an account lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub problem: String,
    /// The statement or option that mends it.
    pub mend: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("connection to {server}: {reason}")]
    Io { server: String, reason: String },

    #[error("the server refused with error {code} ({state}): {message}{}", hint(*.code))]
    Server { code: u16, state: String, message: String },

    #[error("login as '{user}' failed: {reason}")]
    Auth { user: String, reason: String },

    #[error("TLS with {server}: {reason}")]
    Tls { server: String, reason: String },

    /// What we want to read next is no longer in any of the server's files.
    #[error(
        "the source has purged what comes next: missing {missing}; the oldest it has is {oldest}. Nothing was skipped. \
         Choose: restore a server that still has it, or start this destination anew from \"earliest\" or \"latest\" \
         and copy the gap by other means"
    )]
    Purged { missing: String, oldest: String },

    /// Our GTIDs are not the server's past: it is behind us, or it lacks transactions that we have delivered.
    #[error(
        "the source does not have {extra}, which this destination has already delivered: it is behind, or another \
         history. Wait until it has caught up, point to the server that has them, or start anew from \"earliest\" or \
         \"latest\""
    )]
    AheadOfSource { extra: String },

    #[error("this source cannot be followed:{}", list(.0))]
    Requirements(Vec<Finding>),

    #[error("position {position} is not in the source: {reason}")]
    BadPosition { position: String, reason: String },

    /// The server is not the one (or not in the life) that the position was taken from.
    #[error(
        "the source is now {found}, the position belongs to {expected}, and {reason}. Choose: point to the old server \
         or to a replica of it with GTIDs, or start this destination anew from \"earliest\", \"latest\" or a timestamp"
    )]
    Incarnation { expected: String, found: String, reason: String },

    #[error("corrupt data at {position}: {reason}")]
    Corrupt { position: FilePosition, reason: String },

    /// Still corrupt after it was read again.
    #[error(
        "corrupt data at {position}, also when read again: {reason}. The file is damaged on the server's disk: point to \
         a replica that has it whole, or start behind it"
    )]
    Damaged { position: FilePosition, reason: String },

    /// Another program uses our server id or uuid: each of us ends the other's stream.
    #[error(
        "another replica with server_id {server_id} (uuid {replica_uuid}) keeps taking our place at the source. Give \
         each reader a server_id of its own"
    )]
    DuplicateReplica { server_id: u32, replica_uuid: String },

    #[error(
        "unknown event type {type_code} at {position}, and it may not be ignored: this server is newer than what \
         Millstream reads; upgrade Millstream, or start behind it"
    )]
    UnknownEvent { position: FilePosition, type_code: u8 },

    /// Sound, and of a form that is not read.
    #[error("what begins at {position} is not supported: {reason}")]
    Unsupported { position: FilePosition, reason: String },

    /// A row change that was logged as a statement: there are no rows to deliver.
    #[error(
        "a change was logged as a statement at {position} (database {database:?}): {statement}. Rows cannot be had from \
         it. A session still uses binlog_format=STATEMENT or MIXED: SET GLOBAL binlog_format = ROW, end the old \
         sessions, copy the table again, and start behind this transaction, or set statement_dml = \"skip\""
    )]
    StatementDml { position: FilePosition, database: String, statement: String },

    #[error(
        "the source reports an incident at {position}: {message}. Its binlog lacks changes from here; copy the tables \
         again and start behind this position"
    )]
    Incident { position: FilePosition, message: String },

    /// One event needs more memory than the configuration allows.
    #[error("an event of {size_bytes} bytes at {position} is larger than event_bytes_max = {limit_bytes}: raise it")]
    EventTooLarge { position: FilePosition, size_bytes: u64, limit_bytes: u64 },

    /// The rows of a prepared XA transaction could not be read again.
    #[error("the rows of XA transaction {xid}, prepared at {position}, cannot be read again: {reason}")]
    XaLost { xid: String, position: FilePosition, reason: String },

    /// One table cannot be decoded, and its policy is to stop the destination.
    #[error(
        "table {database}.{table} cannot be read at {position}, and its policy is to stop here \
         ([[destination.quarantine]]): {reason}"
    )]
    Table { database: String, table: String, position: FilePosition, reason: String },

    /// The destination's own durable records (ordinals, schema history) cannot be read or written.
    #[error("the durable records of the destination: {0}")]
    Registry(String),

    #[error("nothing was heard from {server} for {silent_ms} ms (heartbeats are due every {period_ms} ms)")]
    HeartbeatTimeout { server: String, silent_ms: u64, period_ms: u64 },

    /// The peer said something that the protocol does not allow.
    #[error("protocol error: {0}")]
    Protocol(String),

    #[error("configuration of the source: {0}")]
    Config(String),
}

impl SourceError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Io { .. } | Self::HeartbeatTimeout { .. } | Self::Protocol(_) => Disposition::Retry,
            // A damaged byte on the way is mended by reading again; the feed halts when it comes back at the same place.
            Self::Corrupt { .. } => Disposition::Retry,
            Self::Server { code, message, .. } => server_disposition(*code, message),
            Self::Auth { .. }
            | Self::Tls { .. }
            | Self::Purged { .. }
            | Self::AheadOfSource { .. }
            | Self::Requirements(_)
            | Self::BadPosition { .. }
            | Self::Incarnation { .. }
            | Self::UnknownEvent { .. }
            | Self::Unsupported { .. }
            | Self::StatementDml { .. }
            | Self::Incident { .. }
            | Self::Damaged { .. }
            | Self::DuplicateReplica { .. }
            | Self::EventTooLarge { .. }
            | Self::XaLost { .. }
            | Self::Table { .. }
            | Self::Registry(_)
            | Self::Config(_) => Disposition::Halt,
        }
    }

    /// A stable word for programs, as the client protocol's errors carry it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Purged { .. } => "position_purged",
            Self::BadPosition { .. } => "bad_position",
            Self::AheadOfSource { .. } => "ahead_of_source",
            Self::Incarnation { .. } => "other_incarnation",
            Self::StatementDml { .. } => "statement_dml",
            Self::Incident { .. } => "incident",
            Self::EventTooLarge { .. } => "event_too_large",
            Self::XaLost { .. } => "xa_lost",
            Self::Corrupt { .. } | Self::Damaged { .. } => "corrupt_binlog",
            Self::DuplicateReplica { .. } => "duplicate_replica",
            Self::UnknownEvent { .. } | Self::Unsupported { .. } => "unknown_event",
            Self::Table { .. } => "table_quarantined",
            Self::Registry(_) => "registry_failed",
            Self::Requirements(_) | Self::Config(_) => "source_unsuitable",
            Self::Auth { .. } | Self::Tls { .. } => "source_refused",
            Self::Io { .. } | Self::HeartbeatTimeout { .. } | Self::Protocol(_) | Self::Server { .. } => {
                "source_unavailable"
            }
        }
    }

    /// A missing privilege with the account that lacks it, and the statement that mends it.
    #[must_use]
    pub fn for_account(self, user: &str) -> Self {
        match self {
            Self::Server { code: 1227 | 1142 | 1044, message, .. } => Self::Requirements(vec![Finding {
                problem: format!("the account '{user}' lacks a privilege: {message}"),
                mend: format!(
                    "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '{user}'@'HOST', with the host part of \
                     the account as SELECT CURRENT_USER() shows it"
                ),
            }]),
            error => error,
        }
    }

    pub fn io(server: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Io { server: server.into(), reason: reason.to_string() }
    }
}

/// Errors that end with the moment in which they happened: restart, overload, a killed connection.
fn server_disposition(code: u16, message: &str) -> Disposition {
    match code {
        // ER_CON_COUNT_ERROR, ER_SERVER_SHUTDOWN, ER_NET_*, ER_LOCK_WAIT_TIMEOUT, ER_QUERY_INTERRUPTED,
        // ER_CONNECTION_KILLED (1927), ER_CLIENT_INTERACTION_TIMEOUT (4031), ER_SERVER_OFFLINE_MODE (3032)
        1040
        | 1053
        | 1077
        | 1079
        | 1152
        | 1153
        | 1158..=1161
        | 1184
        | 1203
        | 1205
        | 1226
        | 1317
        | 1927
        | 3032
        | 4031 => Disposition::Retry,
        _ if is_duplicate_replica(message) => Disposition::Retry,
        _ => Disposition::Halt,
    }
}

/// Error 1236, MariaDB's 4052: another connection has registered as us.
pub fn is_duplicate_replica(message: &str) -> bool {
    message.contains("same server_uuid") || message.contains("same server_id")
}

/// What to do about an error of the server, where the number alone tells it.
fn hint(code: u16) -> &'static str {
    match code {
        1045 => ". Check user and password, and that the account may come from this host",
        1040 | 1203 => ". Raise max_connections or max_user_connections of the server",
        1129 => ". FLUSH HOSTS on the server",
        1130 => ". The account may not come from this host: CREATE USER with a host part that matches it",
        1820 | 1862 => ". ALTER USER the account with a new password",
        3118 => ". ALTER USER the account ACCOUNT UNLOCK",
        3159 => ". The server demands TLS: set tls.mode = \"required\" or stronger",
        1236 => ". The server cannot send the binlog from this position",
        _ => "",
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("\n  - {}; mend: {}", f.problem, f.mend)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_connection_is_retried_and_a_refused_login_is_not() {
        let server = |code, message: &str| SourceError::Server { code, state: "HY000".into(), message: message.into() };
        for (error, expected) in [
            (server(1053, "Server shutdown in progress"), Disposition::Retry),
            (server(1317, "Query execution was interrupted"), Disposition::Retry),
            (server(1236, "A replica with the same server_uuid as this replica has connected"), Disposition::Retry),
            (server(4052, "A slave with the same server_uuid/server_id is already connected"), Disposition::Retry),
            (server(1236, "Could not find first log file name in binary log index file"), Disposition::Halt),
            (server(1045, "Access denied"), Disposition::Halt),
            (SourceError::io("a:1", "reset"), Disposition::Retry),
            (SourceError::Auth { user: "cdc".into(), reason: "x".into() }, Disposition::Halt),
        ] {
            assert_eq!(error.disposition(), expected, "{error}");
        }
    }

    #[test]
    fn a_missing_privilege_names_its_account() {
        let message = "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation";
        let error =
            SourceError::Server { code: 1227, state: "42000".into(), message: message.into() }.for_account("cdc");
        assert_eq!(error.disposition(), Disposition::Halt);
        let text = error.to_string();
        assert!(text.contains("'cdc' lacks") && text.contains(message) && text.contains("TO 'cdc'@'HOST'"), "{text}");
    }

    #[test]
    fn every_finding_is_told_with_its_remedy() {
        let error = SourceError::Requirements(vec![
            Finding { problem: "log_bin is OFF".into(), mend: "start the server with --log-bin".into() },
            Finding { problem: "binlog_format is STATEMENT".into(), mend: "SET GLOBAL binlog_format = ROW".into() },
        ]);
        let text = error.to_string();
        assert!(text.contains("--log-bin") && text.contains("SET GLOBAL binlog_format = ROW"), "{text}");
    }
}
