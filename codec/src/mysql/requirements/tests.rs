use super::*;

fn variables(version: &str) -> BTreeMap<String, String> {
    let mut all = vec![
        ("binlog_checksum", "CRC32"),
        ("binlog_expire_logs_seconds", "2592000"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("log_bin", "ON"),
        ("server_id", "1"),
        ("sync_binlog", "1"),
    ];
    if version.contains("MariaDB") {
        all.extend([("gtid_strict_mode", "ON"), ("mysql56_temporal_format", "ON"), ("log_slave_updates", "ON")]);
    } else {
        all.extend([("gtid_mode", "ON"), ("log_replica_updates", "ON"), ("binlog_row_value_options", "")]);
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const MYSQL: &str = "9.7.4";
const MARIADB: &str = "11.8.6-MariaDB-log";
const GOOD: &str = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `cdc`@`%`";

fn findings(version: &str, change: &[(&str, &str)], grants: &[&str]) -> Vec<(Severity, String, String)> {
    let mut variables = variables(version);
    for (name, value) in change {
        variables.insert((*name).to_owned(), (*value).to_owned());
    }
    let grants: Vec<String> = grants.iter().map(|line| (*line).to_owned()).collect();
    check(&variables, &grants, version).into_iter().map(|f| (f.severity, f.what, f.fix)).collect()
}

#[test]
fn a_server_that_is_right_has_no_findings() {
    assert_eq!(findings(MYSQL, &[], &[GOOD]), []);
    assert_eq!(findings(MARIADB, &[], &["GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `cdc`@`%`"]), []);
    assert_eq!(findings(MYSQL, &[], &["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]), []);
}

#[test]
fn each_setting_has_its_finding_and_its_remedy() {
    use Severity::{Error, Info, Warning};
    let check = |version: &str, name: &str, value: &str, severity: Severity, fix: &str| {
        let found = findings(version, &[(name, value)], &[GOOD]);
        let [(found_severity, what, found_fix)] = found.as_slice() else { panic!("{name} = {value}: {found:?}") };
        assert_eq!(*found_severity, severity, "{what}");
        assert!(found_fix.contains(fix), "{name} = {value}: {found_fix}");
    };
    check(MYSQL, "log_bin", "OFF", Error, "log_bin = binlog");
    check(MYSQL, "server_id", "0", Error, "SET PERSIST server_id = 1;");
    check(MYSQL, "binlog_format", "STATEMENT", Error, "SET PERSIST binlog_format = 'ROW';");
    check(
        MARIADB,
        "binlog_format",
        "MIXED",
        Error,
        "SET GLOBAL binlog_format = 'ROW'; and 'binlog_format = ROW' under",
    );
    check(MYSQL, "binlog_row_image", "MINIMAL", Warning, "SET PERSIST binlog_row_image = 'FULL';");
    check(MARIADB, "binlog_row_metadata", "NO_LOG", Warning, "SET GLOBAL binlog_row_metadata = 'FULL';");
    check(MYSQL, "binlog_checksum", "NONE", Warning, "'CRC32'");
    check(MYSQL, "gtid_mode", "OFF_PERMISSIVE", Warning, "SET GLOBAL gtid_mode = ON;");
    check(MARIADB, "gtid_strict_mode", "OFF", Info, "gtid_strict_mode = ON");
    check(MYSQL, "binlog_expire_logs_seconds", "3600", Warning, "604800");
    check(MYSQL, "binlog_row_value_options", "PARTIAL_JSON", Info, "''");
    check(MARIADB, "mysql56_temporal_format", "OFF", Warning, "= ON");
    check(MYSQL, "sync_binlog", "0", Info, "= 1");
    check(MYSQL, "log_replica_updates", "OFF", Info, "log_slave_updates = ON");
}

#[test]
fn expiry_in_days_counts_too() {
    let few = [("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0.5")];
    assert_eq!(findings(MARIADB, &few, &[GOOD]).len(), 1);
    let never = [("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0")];
    assert_eq!(findings(MARIADB, &never, &[GOOD]), []);
}

#[test]
fn missing_privileges_are_named_in_the_servers_own_words() {
    let check = |version: &str, grants: &[&str], expected: &[(Severity, &str)]| {
        let found = findings(version, &[], grants);
        let found: Vec<_> = found.iter().map(|(severity, _, fix)| (*severity, fix.as_str())).collect();
        assert_eq!(found, expected, "{grants:?}");
    };
    use Severity::{Error, Warning};
    check(
        MYSQL,
        &["GRANT USAGE ON *.* TO `c d`@`10.%`"],
        &[
            (Error, "GRANT REPLICATION SLAVE ON *.* TO `c d`@`10.%`;"),
            (Error, "GRANT REPLICATION CLIENT ON *.* TO `c d`@`10.%`;"),
            (Warning, "GRANT SELECT ON *.* TO `c d`@`10.%`; or on the databases that are read"),
        ],
    );
    check(
        MARIADB,
        &[
            "GRANT REPLICATION SLAVE ON *.* TO 'cdc'@'%' IDENTIFIED BY PASSWORD '*AB'",
            "GRANT SELECT ON `shop`.* TO 'cdc'@'%'",
        ],
        &[(Error, "GRANT BINLOG MONITOR ON *.* TO 'cdc'@'%';")],
    );
    // Column grants, and a database whose name is made to confuse.
    check(
        MYSQL,
        &[
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `cdc`@`%`",
            "GRANT SELECT (`a`, `b`), INSERT (`a`) ON `x ON *.* TO y`.`t` TO `cdc`@`%`",
        ],
        &[],
    );
    check(
        MYSQL,
        &["GRANT ALL PRIVILEGES ON `REPLICATION SLAVE`.* TO `cdc`@`%`"],
        &[
            (Error, "GRANT REPLICATION SLAVE ON *.* TO `cdc`@`%`;"),
            (Error, "GRANT REPLICATION CLIENT ON *.* TO `cdc`@`%`;"),
        ],
    );
    // A role may hold what is missing.
    check(
        MYSQL,
        &["GRANT SELECT ON *.* TO `cdc`@`%`", "GRANT `replication`@`%` TO `cdc`@`%`"],
        &[
            (Warning, "GRANT REPLICATION SLAVE ON *.* TO `cdc`@`%`;"),
            (Warning, "GRANT REPLICATION CLIENT ON *.* TO `cdc`@`%`;"),
        ],
    );
}

#[test]
fn the_worst_comes_first() {
    let found = findings(MYSQL, &[("sync_binlog", "0"), ("binlog_row_image", "NOBLOB"), ("log_bin", "OFF")], &[GOOD]);
    assert!(found.is_sorted_by_key(|(severity, ..)| *severity), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn the_query_names_every_variable() {
    assert!(variables_query().starts_with("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_checksum', '"));
}
