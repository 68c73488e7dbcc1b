//! What a server tells of itself before the stream begins, and whether it can be followed at all.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::gtid::{ExecutedGtids, GtidSet, MariadbGtidState};
use millstream_codec::mysql::server::ServerKind;

use crate::catalog::ServerFacts;
use crate::source::error::{Finding, SourceError};
use crate::source::information_schema::Cell;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    Mysql,
    Mariadb,
}

impl std::fmt::Display for Flavour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

/// Major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// `8.0.36-0ubuntu0`, `10.11.6-MariaDB-log`, and MariaDB's disguise `5.5.5-10.11.6-MariaDB`.
    pub fn parse(text: &str) -> (Flavour, Self) {
        let is_mariadb = text.to_ascii_lowercase().contains("mariadb");
        let text = if is_mariadb { text.strip_prefix("5.5.5-").unwrap_or(text) } else { text };
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u16>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let version = Self(next(), next(), next());
        (if is_mariadb { Flavour::Mariadb } else { Flavour::Mysql }, version)
    }

    /// 80036 for 8.0.36, 101106 for 10.11.6: as versioned comments count.
    pub fn as_number(self) -> u32 {
        let Self(major, minor, patch) = self;
        u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch)
    }
}

/// One server at the moment of connecting.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    pub flavour: Flavour,
    /// As the server writes it.
    pub version: String,
    pub version_number: Version,
    /// MySQL only.
    pub server_uuid: Option<String>,
    pub server_id: u32,
    /// One life of one server's binlog: server_uuid, or `mariadb-<server_id>`.
    ///
    /// The latter does not change when a MariaDB is built anew or forgets its binlog; what tells is its GTID state,
    /// which every start is proven by.
    pub incarnation: Arc<str>,
    /// Transactions have GTIDs that one can start from.
    pub gtid: bool,
    /// What the server writes now; the stream's own FORMAT_DESCRIPTION has the last word.
    pub checksum: Checksum,
    /// TABLE_MAP carries names, labels, key.
    pub row_metadata_full: bool,
    /// FULL, MINIMAL, NOBLOB, FULL_NODUP.
    pub row_image: String,
    pub binlog_format: String,
    /// What the meaning of DDL depends on.
    pub facts: ServerFacts,
    pub executed: ExecutedGtids,
    /// MySQL: no longer in any file.
    pub purged: ExecutedGtids,
    /// The number of our connection there, as KILL takes it.
    pub connection_id: u32,
}

/// The variables that are asked for. What a version does not have is absent from the answer.
pub const VARIABLES_QUERY: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'server_uuid', 'server_id', \
     'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_metadata', 'binlog_checksum', 'gtid_mode', \
     'lower_case_table_names', 'character_set_server')";

/// The GTID state: SHOW VARIABLES cuts values at 1,024 characters, SELECT does not.
pub fn gtid_query(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged",
        Flavour::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos, ''",
    }
}

/// Two columns of text as a map with keys in lower case.
pub fn variables(rows: &[Vec<Cell>]) -> HashMap<String, String> {
    let text = |cell: Option<&Cell>| {
        cell.and_then(|cell| cell.as_deref())
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    };
    rows.iter().map(|row| (text(row.first()).to_ascii_lowercase(), text(row.get(1)))).collect()
}

impl ServerInfo {
    /// # Errors
    /// [`SourceError::Requirements`] with everything that is missing, each with the statement that mends it.
    pub fn from_variables(
        greeting_version: &str,
        connection_id: u32,
        variables: &HashMap<String, String>,
    ) -> Result<Self, SourceError> {
        let value = |name: &str| variables.get(name).map(String::as_str);
        // The greeting may come from a proxy; the server's own word counts.
        let version = value("version").filter(|text| !text.is_empty()).unwrap_or(greeting_version).to_owned();
        let (flavour, version_number) = Version::parse(&version);
        let findings = findings(flavour, &value);
        if !findings.is_empty() {
            return Err(SourceError::Requirements(findings));
        }
        let server_id = value("server_id").and_then(|text| text.parse().ok()).unwrap_or(0);
        let server_uuid =
            value("server_uuid").filter(|uuid| !uuid.is_empty() && flavour == Flavour::Mysql).map(str::to_owned);
        let incarnation = match &server_uuid {
            Some(uuid) => uuid.as_str().into(),
            None => format!("{}-{server_id}", flavour.to_string().to_ascii_lowercase()).into(),
        };
        let gtid = match flavour {
            Flavour::Mariadb => true,
            // OFF_PERMISSIVE and ON_PERMISSIVE have anonymous transactions beside those with a GTID.
            Flavour::Mysql => value("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ON")),
        };
        let is = |name: &str, expected: &str| value(name).is_some_and(|text| text.eq_ignore_ascii_case(expected));
        Ok(Self {
            flavour,
            version,
            version_number,
            server_uuid,
            server_id,
            incarnation,
            gtid,
            checksum: if is("binlog_checksum", "CRC32") { Checksum::Crc32 } else { Checksum::None },
            row_metadata_full: is("binlog_row_metadata", "FULL"),
            row_image: value("binlog_row_image").unwrap_or("FULL").to_ascii_uppercase(),
            binlog_format: value("binlog_format").unwrap_or("ROW").to_ascii_uppercase(),
            facts: ServerFacts {
                kind: if flavour == Flavour::Mariadb { ServerKind::Mariadb } else { ServerKind::Mysql },
                version: version_number.as_number(),
                lower_case_table_names: value("lower_case_table_names").and_then(|text| text.parse().ok()).unwrap_or(0),
                charset: value("character_set_server").unwrap_or("utf8mb4").into(),
            },
            executed: ExecutedGtids::None,
            purged: ExecutedGtids::None,
            connection_id,
        })
    }

    /// Takes the answer to [`gtid_query`].
    ///
    /// # Errors
    /// A GTID set that cannot be read.
    pub fn set_gtids(&mut self, rows: &[Vec<Cell>]) -> Result<(), SourceError> {
        let cell = |index: usize| rows.first().and_then(|row| row.get(index)).and_then(|cell| cell.as_deref());
        self.executed = self.parse_gtids(cell(0).unwrap_or_default())?;
        self.purged = self.parse_gtids(cell(1).unwrap_or_default())?;
        Ok(())
    }

    /// The text of a GTID set of this server; blank is an empty set of its flavour.
    pub fn parse_gtids(&self, text: &[u8]) -> Result<ExecutedGtids, SourceError> {
        let text = String::from_utf8_lossy(text);
        let parsed = match self.flavour {
            Flavour::Mysql => text.parse::<GtidSet>().map(ExecutedGtids::Mysql),
            Flavour::Mariadb => text.parse::<MariadbGtidState>().map(ExecutedGtids::Mariadb),
        };
        parsed.map_err(|error| SourceError::Protocol(format!("the server's GTID state cannot be read: {error}")))
    }

    /// The statement for the end of the binlog: renamed in 8.2, the old name gone in 8.4.
    pub fn status_query(&self) -> &'static str {
        match self.flavour {
            Flavour::Mysql if self.version_number >= Version(8, 2, 0) => "SHOW BINARY LOG STATUS",
            _ => "SHOW MASTER STATUS",
        }
    }
}

fn findings<'a>(flavour: Flavour, value: &impl Fn(&str) -> Option<&'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if value("log_bin").is_some_and(|text| text.eq_ignore_ascii_case("OFF")) {
        let option = match flavour {
            Flavour::Mysql => "start the server without skip-log-bin, and with log_bin and server_id set",
            Flavour::Mariadb => "start the server with log_bin and server_id set",
        };
        findings.push(Finding { problem: "the binary log is off (log_bin = OFF)".to_owned(), mend: option.to_owned() });
    }
    if let Some(format) = value("binlog_format").filter(|format| !format.eq_ignore_ascii_case("ROW")) {
        findings.push(Finding {
            problem: format!("binlog_format is {format}: changes are written as statements, not as rows"),
            mend: "SET GLOBAL binlog_format = ROW (and in the server's option file), then end the sessions that began \
                   before it"
                .to_owned(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_flavours_are_told_apart() {
        let check = |text: &str, flavour, version| assert_eq!(Version::parse(text), (flavour, version), "{text}");
        check("9.7.0", Flavour::Mysql, Version(9, 7, 0));
        check("5.7.44-log", Flavour::Mysql, Version(5, 7, 44));
        check("8.0.36-0ubuntu0.22.04.1", Flavour::Mysql, Version(8, 0, 36));
        check("5.5.5-10.11.6-MariaDB-1:10.11.6+maria~deb12", Flavour::Mariadb, Version(10, 11, 6));
        check("11.8.2-MariaDB-log", Flavour::Mariadb, Version(11, 8, 2));
        check("", Flavour::Mysql, Version(0, 0, 0));
    }

    fn info(pairs: &[(&str, &str)]) -> Result<ServerInfo, SourceError> {
        let variables = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        ServerInfo::from_variables("8.0.30", 7, &variables)
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let error = info(&[("log_bin", "OFF"), ("binlog_format", "MIXED")]).unwrap_err();
        let SourceError::Requirements(findings) = error else { panic!("{error}") };
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_server_without_the_newer_variables_is_read() {
        let old = info(&[("log_bin", "ON"), ("server_id", "3"), ("version", "5.6.51"), ("server_uuid", "u")]).unwrap();
        assert!(!old.gtid && !old.row_metadata_full);
        assert_eq!((old.row_image.as_str(), &*old.incarnation, old.checksum), ("FULL", "u", Checksum::None));
        let maria = info(&[("version", "10.11.6-MariaDB"), ("server_id", "3"), ("server_uuid", "u")]).unwrap();
        assert_eq!(&*maria.incarnation, "mariadb-3");
        assert!(maria.gtid);
    }
}
