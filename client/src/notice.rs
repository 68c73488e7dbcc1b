//! What happens to a connection, for logs and for people who watch.

use std::fmt;
use std::time::Duration;

/// Passed to the observer of `ClientConfig::on_notice`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    Connected {
        address: String,
        server_version: String,
    },
    /// Rows follow from here on.
    Subscribed {
        address: String,
        epoch: u64,
    },
    /// Another connection has the subscription; this one stands by.
    Waiting {
        address: String,
    },
    /// The server named others to ask instead.
    Redirected {
        servers: Vec<String>,
    },
    /// The server has something to tell that ends nothing: a pattern that matches no table.
    FromServer {
        /// Stable: docs/protocol.md lists them.
        code: String,
        message: String,
    },
    /// Tried again after the pause.
    Retrying {
        reason: String,
        pause: Duration,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { address, server_version } => {
                write!(formatter, "connected to {address} (millstreamd {server_version})")
            }
            Self::Subscribed { address, epoch } => write!(formatter, "subscribed at {address}, epoch {epoch}"),
            Self::Waiting { address } => {
                write!(formatter, "another client has this subscription; standing by at {address}")
            }
            Self::Redirected { servers } => write!(formatter, "redirected to {}", servers.join(", ")),
            Self::FromServer { message, .. } => formatter.write_str(message),
            Self::Retrying { reason, pause } => {
                write!(formatter, "{reason}; next attempt in {} ms", pause.as_millis())
            }
        }
    }
}
