//! Which servers there are to test against, and which of them this machine has.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::tools::servers_folder;

/// The family of a server: what differs in protocol and SQL follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Mysql,
    Mariadb,
}

/// A server that `scripts/servers.sh` knows how to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    Mysql97,
    Mysql57,
    Mysql56,
    Mariadb118,
    Mariadb1011,
    Mariadb105,
}

impl Flavour {
    pub const ALL: [Flavour; 6] =
        [Self::Mysql97, Self::Mariadb118, Self::Mariadb1011, Self::Mysql57, Self::Mysql56, Self::Mariadb105];

    /// Its name in `scripts/servers.sh` and in the cache folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql97 => "mysql97",
            Self::Mysql57 => "mysql57",
            Self::Mysql56 => "mysql56",
            Self::Mariadb118 => "mariadb118",
            Self::Mariadb1011 => "mariadb1011",
            Self::Mariadb105 => "mariadb105",
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::Mysql97 | Self::Mysql57 | Self::Mysql56 => Kind::Mysql,
            Self::Mariadb118 | Self::Mariadb1011 | Self::Mariadb105 => Kind::Mariadb,
        }
    }

    pub(super) fn ordinal(self) -> usize {
        Self::ALL.iter().position(|flavour| *flavour == self).expect("ALL names every flavour")
    }

    pub(super) fn folder(self) -> PathBuf {
        servers_folder().join(self.name())
    }

    /// The version in the cache; `None` when this server is not there.
    pub fn version(self) -> Option<Version> {
        std::fs::read_to_string(self.folder().join("VERSION")).ok()?.trim().parse().ok()
    }

    pub fn is_available(self) -> bool {
        self.version().is_some()
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `major.minor.patch`; parts that are not written are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = [0u32; 3];
        for (count, part) in text.split('.').enumerate() {
            anyhow::ensure!(count < 3, "more than three parts in the version {text:?}");
            parts[count] = part.parse().map_err(|_| anyhow::anyhow!("not a version: {text:?}"))?;
        }
        Ok(Version(parts[0], parts[1], parts[2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        let check = |smaller: &str, greater: &str| {
            let (smaller, greater): (Version, Version) = (smaller.parse().unwrap(), greater.parse().unwrap());
            assert!(smaller < greater, "{smaller} < {greater}");
        };
        check("9.7.4", "10.5");
        check("5.7.7", "5.7.29");
        check("8", "8.0.1");
        assert!("8.0.x".parse::<Version>().is_err());
        assert!("1.2.3.4".parse::<Version>().is_err());
    }
}
