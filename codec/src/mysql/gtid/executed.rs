//! What has been executed, in the terms of whichever server it is.

use std::fmt;
use std::str::FromStr;

use super::{Gtid, GtidSet, InvalidGtid, MariadbGtidState};

/// The GTIDs that a reader has behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum ExecutedGtids {
    /// The server writes none, or nothing has been executed yet.
    #[default]
    None,
    Mysql(GtidSet),
    Mariadb(MariadbGtidState),
}

/// A GTID of one kind of server, a position of the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the position '{position}' and '{other}' belong to different kinds of servers (MySQL and MariaDB)")]
pub struct FlavorMismatch {
    pub position: String,
    pub other: String,
}

impl ExecutedGtids {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::Mysql(set) => set.is_empty(),
            Self::Mariadb(state) => state.is_empty(),
        }
    }

    /// Counts one more transaction as executed.
    ///
    /// # Errors
    /// [`FlavorMismatch`] for a MariaDB GTID on a MySQL position, or the reverse.
    pub fn add(&mut self, gtid: &Gtid) -> Result<(), FlavorMismatch> {
        match (&mut *self, gtid) {
            (Self::Mysql(set), Gtid::Mysql(gtid)) => {
                set.add(gtid);
            }
            (Self::Mariadb(state), Gtid::Mariadb(gtid)) => state.add(*gtid),
            (Self::None, Gtid::Mysql(gtid)) => {
                let mut set = GtidSet::new();
                set.add(gtid);
                *self = Self::Mysql(set);
            }
            (Self::None, Gtid::Mariadb(gtid)) => {
                let mut state = MariadbGtidState::new();
                state.add(*gtid);
                *self = Self::Mariadb(state);
            }
            (Self::Mysql(_), Gtid::Mariadb(_)) | (Self::Mariadb(_), Gtid::Mysql(_)) => {
                return Err(FlavorMismatch { position: self.to_string(), other: gtid.to_string() });
            }
        }
        Ok(())
    }

    /// Everything that either has. See [`GtidSet::union`] and [`MariadbGtidState::merge`].
    ///
    /// # Errors
    /// [`FlavorMismatch`] when both are of different kinds.
    pub fn merge(&mut self, other: &Self) -> Result<(), FlavorMismatch> {
        match (&mut *self, other) {
            (_, Self::None) => {}
            (Self::None, _) => *self = other.clone(),
            (Self::Mysql(set), Self::Mysql(other)) => set.union(other),
            (Self::Mariadb(state), Self::Mariadb(other)) => state.merge(other),
            (Self::Mysql(_), Self::Mariadb(_)) | (Self::Mariadb(_), Self::Mysql(_)) => {
                return Err(FlavorMismatch { position: self.to_string(), other: other.to_string() });
            }
        }
        Ok(())
    }

    /// False also where the kinds differ.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::Mysql(set), Gtid::Mysql(gtid)) => set.contains(gtid),
            (Self::Mariadb(state), Gtid::Mariadb(gtid)) => state.contains(gtid),
            _ => false,
        }
    }

    /// Is all of this in `other` too?
    pub fn is_subset(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mysql(set), Self::Mysql(other)) => set.is_subset(other),
            (Self::Mariadb(state), Self::Mariadb(other)) => state.is_subset(other),
            _ => self.is_empty(),
        }
    }

    pub fn as_mysql(&self) -> Option<&GtidSet> {
        match self {
            Self::Mysql(set) => Some(set),
            _ => None,
        }
    }

    pub fn as_mariadb(&self) -> Option<&MariadbGtidState> {
        match self {
            Self::Mariadb(state) => Some(state),
            _ => None,
        }
    }
}

impl fmt::Display for ExecutedGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(state) => state.fmt(f),
        }
    }
}

impl FromStr for ExecutedGtids {
    type Err = InvalidGtid;

    /// The two forms cannot be confused: MySQL's has colons, MariaDB's has none. Text that names no transaction (blank,
    /// commas, MySQL's `uuid:5-3`) is [`None`](Self::None).
    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        let executed = if text.contains(':') {
            Self::Mysql(text.parse()?)
        } else if text.trim().is_empty() {
            Self::None
        } else {
            Self::Mariadb(text.parse()?)
        };
        Ok(if executed.is_empty() { Self::None } else { executed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn the_first_gtid_decides_the_kind() {
        let mut executed = ExecutedGtids::default();
        executed.add(&format!("{UUID}:1").parse().unwrap()).unwrap();
        executed.add(&format!("{UUID}:2").parse().unwrap()).unwrap();
        assert_eq!(executed.to_string(), format!("{UUID}:1-2"));
        let error = executed.add(&"0-1-5".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("0-1-5"), "{error}");
        assert_eq!(executed.to_string(), format!("{UUID}:1-2"));

        let mut executed: ExecutedGtids = " \n".parse().unwrap();
        assert_eq!(executed, ExecutedGtids::None);
        executed.add(&"0-1-5".parse().unwrap()).unwrap();
        assert_eq!(executed, "0-1-5".parse().unwrap());
        assert!(executed.merge(&format!("{UUID}:1").parse().unwrap()).is_err());
        executed.merge(&ExecutedGtids::None).unwrap();
        assert_eq!(executed.to_string(), "0-1-5");
    }

    #[test]
    fn text_without_a_transaction_is_nothing() {
        for text in ["", " \n", ",", " , ,", &format!("{UUID}:5-3")] {
            assert_eq!(text.parse(), Ok(ExecutedGtids::None), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_part_of_everything() {
        assert!(ExecutedGtids::None.is_subset(&"0-1-5".parse().unwrap()));
        assert!(!"0-1-5".parse::<ExecutedGtids>().unwrap().is_subset(&ExecutedGtids::None));
    }
}
