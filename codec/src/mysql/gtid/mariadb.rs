//! MariaDB's GTID: `DOMAIN-SERVER-SEQUENCE`. A position is the last one of each domain.

use std::fmt;
use std::str::FromStr;

use super::{InvalidGtid, excerpt};

/// One MariaDB transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MariadbGtid {
    pub domain: u32,
    pub server_id: u32,
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

impl FromStr for MariadbGtid {
    type Err = InvalidGtid;

    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        fn number<T: FromStr>(part: &str) -> Option<T> {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        }
        let parse = || {
            let mut parts = text.trim().split('-');
            let gtid = Self {
                domain: number(parts.next()?)?,
                server_id: number(parts.next()?)?,
                sequence: number(parts.next()?)?,
            };
            parts.next().is_none().then_some(gtid)
        };
        parse().ok_or_else(|| InvalidGtid::Mariadb(excerpt(text)))
    }
}

/// The last transaction of every domain, as in `gtid_binlog_pos`.
///
/// Unlike a [`GtidSet`](super::GtidSet) it has no holes: within a domain the binlog's order is the order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MariadbGtidState {
    /// By domain, ascending, each domain once.
    last: Vec<MariadbGtid>,
}

impl MariadbGtidState {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// The last transaction of each domain, by domain.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &MariadbGtid> {
        self.last.iter()
    }

    pub fn last_in_domain(&self, domain: u32) -> Option<&MariadbGtid> {
        self.place(domain).ok().and_then(|index| self.last.get(index))
    }

    /// Makes this the last transaction of its domain. The binlog's order counts, not the sequence number:
    /// with `gtid_strict_mode=OFF` a number may be lower than the one before.
    pub fn add(&mut self, gtid: MariadbGtid) {
        match self.place(gtid.domain) {
            Ok(index) => {
                if let Some(slot) = self.last.get_mut(index) {
                    *slot = gtid;
                }
            }
            Err(index) => self.last.insert(index, gtid),
        }
    }

    /// Is this transaction at or before the position, by its sequence number?
    pub fn contains(&self, gtid: &MariadbGtid) -> bool {
        self.last_in_domain(gtid.domain).is_some_and(|last| last.sequence >= gtid.sequence)
    }

    /// True when every domain here stands at or behind the same domain of `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.last.iter().all(|gtid| other.contains(gtid))
    }

    /// The later one of each domain.
    pub fn merge(&mut self, other: &Self) {
        for gtid in &other.last {
            if !self.contains(gtid) {
                self.add(*gtid);
            }
        }
    }

    fn place(&self, domain: u32) -> Result<usize, usize> {
        self.last.binary_search_by_key(&domain, |gtid| gtid.domain)
    }
}

impl fmt::Display for MariadbGtidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.last.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            gtid.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for MariadbGtidState {
    type Err = InvalidGtid;

    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        let mut state = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid: MariadbGtid = part.parse()?;
            if state.last_in_domain(gtid.domain).is_some() {
                return Err(InvalidGtid::DuplicateDomain(gtid.domain));
            }
            state.add(gtid);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_goes_both_ways() {
        for (input, expected) in [
            ("0-1-42", "0-1-42"),
            ("", ""),
            (" 7-2-1 ,\n 0-1-42,", "0-1-42,7-2-1"),
            ("4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"),
        ] {
            assert_eq!(input.parse::<MariadbGtidState>().unwrap().to_string(), expected);
        }
        for wrong in ["1", "0-1", "0-1-2-3", "0-1-+2", "0-1-x", "4294967296-1-1", "0-1-5,0-2-6"] {
            assert!(wrong.parse::<MariadbGtidState>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_later_transaction_replaces_the_one_before_of_its_domain() {
        let mut state: MariadbGtidState = "0-1-42,5-9-7".parse().unwrap();
        state.add("0-2-43".parse().unwrap());
        state.add("3-1-1".parse().unwrap());
        assert_eq!(state.to_string(), "0-2-43,3-1-1,5-9-7");
        assert!(state.contains(&"5-1-7".parse().unwrap()));
        assert!(!state.contains(&"5-1-8".parse().unwrap()));
        assert!(!state.contains(&"4-1-1".parse().unwrap()));
    }

    #[test]
    fn merge_takes_the_later_of_each_domain() {
        let mut state: MariadbGtidState = "0-1-42,5-9-7".parse().unwrap();
        let other: MariadbGtidState = "0-1-40,5-9-9,6-1-1".parse().unwrap();
        assert!(!other.is_subset(&state));
        state.merge(&other);
        assert_eq!(state.to_string(), "0-1-42,5-9-9,6-1-1");
        assert!(other.is_subset(&state));
    }
}
