//! The two families of servers, where their binlogs differ.

/// Told by the greeting's version and by FORMAT_DESCRIPTION's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    Mysql,
    Mariadb,
}

impl ServerKind {
    /// MariaDB has its name in its version; everything else (MySQL, Percona) is MySQL here.
    pub fn of_version(version: &str) -> Self {
        if version.contains("MariaDB") { Self::Mariadb } else { Self::Mysql }
    }
}
