//! What can go wrong between a client and its server, and who recovers from it.

use std::io;

/// Who recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same request may succeed later, or on another server. The client tries again by itself where it may.
    Retry,
    /// Somebody has to change something first.
    Halt,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The configuration cannot work; nothing was sent.
    #[error("{0}")]
    Config(String),

    #[error("cannot connect to {address}: {source}{}", connect_hint(source))]
    Connect { address: String, source: io::Error },

    /// The connection ended, or was given up because nothing came.
    #[error("connection to {address} lost: {reason}")]
    Lost { address: String, reason: String },

    /// The other side does not speak the protocol, or its bytes were damaged.
    #[error("{address} sent what is not Millstream's protocol: {reason}")]
    Protocol { address: String, reason: String },

    /// The server answered with an error of its own. `code` is stable; docs/protocol.md lists them.
    #[error("{message} ({code})")]
    Refused { code: String, message: String, retry: bool },

    /// A field that this client was compiled for is gone, or has another type: reading on would give silent zeros.
    #[error("{table}.{field} (ordinal {ordinal}) is no longer what this client was compiled for: {reason}")]
    SchemaBreak { table: String, field: String, ordinal: u16, reason: String },

    /// A former leader still answers. It is left alone; another server is asked.
    #[error("{address} leads with epoch {epoch}, but epoch {highest} has been seen: it is a former leader")]
    StaleEpoch { address: String, epoch: u64, highest: u64 },

    /// The library holds a transaction until it has committed; this one grew over the bound.
    #[error(
        "a transaction exceeds transaction_bytes_max: {bytes} of {bytes_max} bytes are held and it goes on; \
         raise the bound, or filter out the table that it fills"
    )]
    TransactionTooLarge { bytes: u64, bytes_max: u64 },

    /// An ack of a transaction that has not been handed over.
    #[error("transaction {sequence} cannot be acknowledged: {highest} is the last one that was handed over")]
    AckAhead { sequence: u64, highest: u64 },

    /// Bytes of a message that are not what its layout says.
    #[error("{table}: {reason}")]
    Unreadable { table: String, reason: String },

    /// A resume token that this library did not make, or that was damaged.
    #[error("not a resume token: {0}")]
    Token(String),

    /// `close` was called before.
    #[error("this client is closed")]
    Closed,
}

impl ClientError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Protocol { .. } | Self::StaleEpoch { .. } => {
                Disposition::Retry
            }
            Self::Refused { retry: true, .. } => Disposition::Retry,
            Self::Config(_)
            | Self::Refused { .. }
            | Self::SchemaBreak { .. }
            | Self::TransactionTooLarge { .. }
            | Self::AckAhead { .. }
            | Self::Unreadable { .. }
            | Self::Token(_)
            | Self::Closed => Disposition::Halt,
        }
    }
}

fn connect_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => " (is millstreamd running there, and is this its client port?)",
        io::ErrorKind::TimedOut => " (is the address right, and does a firewall let it through?)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disposition_tells_whether_trying_again_can_help() {
        let check = |error: ClientError, expected: Disposition| {
            assert_eq!(error.disposition(), expected, "{error}");
        };
        let address = || "a:1".to_owned();
        check(
            ClientError::Connect { address: address(), source: io::ErrorKind::ConnectionRefused.into() },
            Disposition::Retry,
        );
        check(ClientError::Lost { address: address(), reason: "end of stream".into() }, Disposition::Retry);
        check(
            ClientError::Refused { code: "starting".into(), message: "not yet".into(), retry: true },
            Disposition::Retry,
        );
        check(
            ClientError::Refused { code: "auth".into(), message: "wrong password".into(), retry: false },
            Disposition::Halt,
        );
        check(
            ClientError::SchemaBreak { table: "a.b".into(), field: "c".into(), ordinal: 1, reason: "dropped".into() },
            Disposition::Halt,
        );
        check(ClientError::AckAhead { sequence: 2, highest: 1 }, Disposition::Halt);
    }
}
