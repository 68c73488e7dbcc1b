//! Can this server and this account do change data capture? A pure check of what the server says of itself.
//!
//! Ask for [`VARIABLES`] (`SHOW GLOBAL VARIABLES WHERE Variable_name IN (...)`) and `SHOW GRANTS`, and hand both to
//! [`check`].

mod grants;

use std::collections::BTreeMap;

use grants::Grants;

use super::server::ServerKind;

/// The global variables that [`check`] looks at. No server has all of them.
pub const VARIABLES: &[&str] = &[
    "binlog_checksum",
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "expire_logs_days",
    "gtid_mode",
    "gtid_strict_mode",
    "log_bin",
    "log_replica_updates",
    "log_slave_updates",
    "mysql56_temporal_format",
    "server_id",
    "sync_binlog",
];

/// The statement that asks for them.
pub fn variables_query() -> String {
    format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{}')", VARIABLES.join("', '"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It works, with a loss that is named.
    Warning,
    /// Worth knowing.
    Info,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub what: String,
    /// The statement, or the line of configuration, that mends it.
    pub fix: String,
}

/// Less than this and a reader that is down over a night may find its position purged.
const EXPIRY_MIN_S: u64 = 24 * 3600;
const DAY_S: f64 = 86_400.0;

/// What a server says of itself.
struct Server<'a> {
    variables: &'a BTreeMap<String, String>,
    is_mariadb: bool,
    version: (u32, u32),
    findings: Vec<Finding>,
}

/// Findings, the worst first. `version` is that of the greeting or of `SELECT VERSION()`; names of variables in lower
/// case.
pub fn check(variables: &BTreeMap<String, String>, grants: &[String], version: &str) -> Vec<Finding> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    let version_numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let is_mariadb = ServerKind::of_version(version) == ServerKind::Mariadb;
    let mut server = Server { variables, is_mariadb, version: version_numbers, findings: Vec::new() };
    server.check_binlog();
    server.check_rows();
    server.check_gtids();
    server.check_retention();
    server.check_grants(&Grants::parse(grants));
    server.findings.sort_by_key(|finding| finding.severity);
    server.findings
}

impl Server<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn is(&self, name: &str, expected: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case(expected))
    }

    fn is_on(&self, name: &str) -> bool {
        self.is(name, "ON") || self.is(name, "1")
    }

    /// Statement that sets it now, and for the next start where the server can do both at once.
    fn set(&self, name: &str, value: &str) -> String {
        if !self.is_mariadb && self.version.0 >= 8 {
            format!("SET PERSIST {name} = {value};")
        } else {
            format!(
                "SET GLOBAL {name} = {value}; and '{name} = {}' under [mysqld] in its configuration",
                value.trim_matches('\'')
            )
        }
    }

    fn find(&mut self, severity: Severity, what: impl Into<String>, fix: impl Into<String>) {
        self.findings.push(Finding { severity, what: what.into(), fix: fix.into() });
    }

    fn check_binlog(&mut self) {
        if !self.is_on("log_bin") {
            let fix = "add 'log_bin = binlog' and a 'server_id' under [mysqld] in its configuration and restart it";
            self.find(Severity::Error, "the server writes no binary log (log_bin = OFF)", fix);
        }
        if self.is("server_id", "0") {
            let fix = self.set("server_id", "1");
            self.find(Severity::Error, "server_id = 0: the server refuses every replica", fix);
        }
        if let Some(format) = self.value("binlog_format").filter(|format| !format.eq_ignore_ascii_case("ROW")) {
            let what = format!(
                "binlog_format = {format}: changes are logged as statements; sessions that are open keep their format \
                 until they reconnect"
            );
            let fix = self.set("binlog_format", "'ROW'");
            self.find(Severity::Error, what, fix);
        }
        if self.is("binlog_checksum", "NONE") {
            let fix = self.set("binlog_checksum", "'CRC32'");
            self.find(Severity::Warning, "binlog_checksum = NONE: damaged events are not noticed", fix);
        }
        if self.value("sync_binlog").is_some_and(|value| value != "1") {
            let what = "sync_binlog is not 1: after a crash of its machine the server may have lost what was delivered";
            let fix = self.set("sync_binlog", "1");
            self.find(Severity::Info, what, fix);
        }
        if self.is("log_slave_updates", "OFF") || self.is("log_replica_updates", "OFF") {
            let what =
                "log_replica_updates = OFF: if this server is a replica, what it replicates is not in its binlog";
            let fix = "add 'log_slave_updates = ON' under [mysqld] in its configuration and restart it";
            self.find(Severity::Info, what, fix);
        }
    }

    fn check_rows(&mut self) {
        if let Some(image) = self.value("binlog_row_image").filter(|image| !image.eq_ignore_ascii_case("FULL")) {
            let what = format!("binlog_row_image = {image}: rows lack the columns that did not change");
            let fix = self.set("binlog_row_image", "'FULL'");
            self.find(Severity::Warning, what, fix);
        }
        match self.value("binlog_row_metadata") {
            Some(metadata) if !metadata.eq_ignore_ascii_case("FULL") => {
                let what = format!(
                    "binlog_row_metadata = {metadata}: column names come from information_schema as it is now, which is \
                     wrong for rows from before an ALTER TABLE"
                );
                let fix = self.set("binlog_row_metadata", "'FULL'");
                self.find(Severity::Warning, what, fix);
            }
            Some(_) => {}
            None => {
                let what = "this server's binlog has no column names (MySQL 8.0.1 and MariaDB 10.5 are the first to have \
                            them): they come from information_schema as it is now";
                self.find(
                    Severity::Info,
                    what,
                    "upgrade the server; until then avoid reading from before an ALTER TABLE",
                );
            }
        }
        if self
            .value("binlog_row_value_options")
            .is_some_and(|value| value.to_ascii_uppercase().contains("PARTIAL_JSON"))
        {
            let what = "binlog_row_value_options = PARTIAL_JSON: a JSON document that is updated in part is rebuilt from \
                        the row's before image";
            self.find(Severity::Info, what, self.set("binlog_row_value_options", "''"));
        }
        if self.is("mysql56_temporal_format", "OFF") {
            let what = "mysql56_temporal_format = OFF: new tables get temporal columns whose fraction the binlog does not \
                        describe; such tables cannot be read";
            let fix = self.set("mysql56_temporal_format", "ON");
            self.find(Severity::Warning, what, fix);
        }
    }

    fn check_gtids(&mut self) {
        if let Some(mode) = self.value("gtid_mode").filter(|mode| !mode.eq_ignore_ascii_case("ON")) {
            let what =
                format!("gtid_mode = {mode}: after a failover the position on the new server is not known exactly");
            let fix = "SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; \
                       SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON; one after the other on every \
                       server, and both under [mysqld] in its configuration";
            self.find(Severity::Warning, what, fix);
        }
        if self.is_mariadb && self.is("gtid_strict_mode", "OFF") {
            let what =
                "gtid_strict_mode = OFF: sequence numbers may go backwards, so that a GTID names no exact position";
            let fix = self.set("gtid_strict_mode", "ON");
            self.find(Severity::Info, what, fix);
        }
    }

    fn check_retention(&mut self) {
        let seconds: Option<f64> = self.value("binlog_expire_logs_seconds").and_then(|value| value.parse().ok());
        let days: Option<f64> = self.value("expire_logs_days").and_then(|value| value.parse().ok());
        // Where there are both, MySQL heeds the seconds unless they are 0; MariaDB keeps them equal.
        let expiry = seconds.filter(|seconds| *seconds > 0.0).or(days.map(|days| days * DAY_S)).unwrap_or(0.0);
        if expiry > 0.0 && expiry < EXPIRY_MIN_S as f64 {
            let what =
                format!("binary logs are deleted after {expiry} s: a reader that is down for longer cannot go on");
            let fix = match seconds {
                Some(_) => self.set("binlog_expire_logs_seconds", "604800"),
                None => self.set("expire_logs_days", "7"),
            };
            self.find(Severity::Warning, what, fix);
        }
    }

    fn check_grants(&mut self, grants: &Grants) {
        // A privilege may come with a role, whose content SHOW GRANTS does not show.
        let missing = if grants.has_roles { Severity::Warning } else { Severity::Error };
        let unless = if grants.has_roles { " (unless one of its roles has it)" } else { "" };
        let account = &grants.account;
        if !grants.has_global(&["REPLICATION SLAVE", "REPLICATION REPLICA"]) {
            let what = format!("{account} may not read the binary log: REPLICATION SLAVE is missing{unless}");
            self.find(missing, what, format!("GRANT REPLICATION SLAVE ON *.* TO {account};"));
        }
        let is_renamed = self.is_mariadb && self.version >= (10, 5);
        let monitor = if is_renamed { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
        if !grants.has_global(&["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]) {
            let what = format!("{account} may not ask for the binary log's position: {monitor} is missing{unless}");
            self.find(missing, what, format!("GRANT {monitor} ON *.* TO {account};"));
        }
        if !grants.has_anywhere("SELECT") {
            // With names in the binlog information_schema is a help, without them it is the only source.
            let has_names = self.is("binlog_row_metadata", "FULL");
            let severity = if has_names { Severity::Warning } else { missing };
            let what = format!("{account} sees no table in information_schema: SELECT is missing{unless}");
            self.find(severity, what, format!("GRANT SELECT ON *.* TO {account}; or on the databases that are read"));
        }
    }
}

#[cfg(test)]
mod tests;
