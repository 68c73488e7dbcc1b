//! Global transaction ids of MySQL (with tags) and MariaDB, one at a time and in sets.
//!
//! The text forms are the servers' own; each is read back to the same value.

mod binary;
mod executed;
mod mariadb;
mod mysql;
mod set;

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "mysql")]
pub(super) use binary::read_tag;
pub use executed::ExecutedGtids;
pub use mariadb::{MariadbGtid, MariadbGtidState};
pub use mysql::{GNO_MAX, MysqlGtid, ServerUuid, Tag, Tsid};
pub use set::{GtidSet, Interval};

/// One transaction's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gtid {
    Mysql(MysqlGtid),
    Mariadb(MariadbGtid),
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(gtid) => gtid.fmt(f),
            Self::Mariadb(gtid) => gtid.fmt(f),
        }
    }
}

impl FromStr for Gtid {
    type Err = InvalidGtid;

    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        // A MySQL GTID always has a colon, a MariaDB one never.
        if text.contains(':') { text.parse().map(Self::Mysql) } else { text.parse().map(Self::Mariadb) }
    }
}

/// Text that is not a GTID or a set of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGtid {
    #[error("'{0}' is not a server uuid (8-4-4-4-12 hexadecimal digits)")]
    Uuid(String),
    #[error("'{0}' is not a GTID tag (a letter or underscore, then letters, digits, underscores; at most 32)")]
    Tag(String),
    #[error("'{0}' is not a transaction number or an interval of them (1 to 9223372036854775806, as N or N-M)")]
    Interval(String),
    #[error("'{0}' is not a MySQL GTID (UUID:NUMBER or UUID:TAG:NUMBER)")]
    Mysql(String),
    #[error("'{0}' is not a MariaDB GTID (DOMAIN-SERVER-SEQUENCE, for example 0-1-42)")]
    Mariadb(String),
    #[error("domain {0} stands twice in a MariaDB position")]
    DuplicateDomain(u32),
}

/// At most this much of a wrong text is repeated in an error.
fn excerpt(text: &str) -> String {
    const EXCERPT_CHARS: usize = 80;
    text.chars().take(EXCERPT_CHARS).collect()
}
