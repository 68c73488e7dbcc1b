//! TIMESTAMP is delivered in UTC and DATETIME as it was written, in whatever time zones the server and its sessions are, and
//! wherever the columns are known from.

use millstream_tests::compare::{Fold, RowLine, SelectedTables};
use millstream_tests::harness::{Flavour, Kind, Millstreamd, MysqlServer, Options, Session};
use millstream_tests::ways::{decode_with_warnings, rows_of_tail, tail, write_last_row};

const DATABASE: &str = "zones";

/// Central European time of three years, as `mysql_tzinfo_to_sql` would load it. Not in the log.
fn load_zone(session: &Session) {
    // where summer begins and ends, at 01:00 UTC
    let summers = [(1_679_792_400, 1_698_541_200), (1_711_846_800, 1_729_990_800), (1_743_296_400, 1_761_440_400)];
    let transitions = summers.map(|(begin, end)| format!("(@zone, {begin}, 1), (@zone, {end}, 0)"));
    session
        .run(&format!(
            "SET sql_log_bin = 0;
             INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N'); SET @zone = LAST_INSERT_ID();
             INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Europe/Berlin', @zone);
             INSERT INTO mysql.time_zone_transition_type
                 (Time_zone_id, Transition_type_id, `Offset`, Is_DST, Abbreviation)
                 VALUES (@zone, 0, 3600, 0, 'CET'), (@zone, 1, 7200, 1, 'CEST');
             INSERT INTO mysql.time_zone_transition (Time_zone_id, Transition_time, Transition_type_id) VALUES {};
             SET sql_log_bin = 1",
            transitions.join(", ")
        ))
        .unwrap();
}

/// In summer, in winter, in the hour that is twice and in the one that is not, with fractions, from defaults.
fn insert(session: &Session, next_id: &mut u32) {
    let moments = [
        "2024-07-01 12:00:00.25",
        "2024-01-01 12:00:00.999999",
        "2024-10-27 02:30:00",
        "2024-03-31 02:30:00",
        "2024-03-31 23:59:59.5",
        "0000-00-00 00:00:00",
    ];
    for moment in moments {
        *next_id += 1;
        let values = ["dt", "ts", "tf"].map(|column| format!("{column} = '{moment}'")).join(", ");
        session.query(&format!("INSERT INTO t SET id = {next_id}, {values}, d = DATE('{moment}')")).unwrap();
    }
    *next_id += 1;
    session.run(&format!("SET timestamp = 1729989000.5; INSERT INTO t (id) VALUES ({next_id})")).unwrap();
    session.run("UPDATE t SET d = '2024-02-29' WHERE id % 3 = 0; SET timestamp = DEFAULT").unwrap();
}

fn zones_on(flavour: Flavour, options: &[&str]) {
    let options: Vec<&str> = options.iter().copied().chain(["--default-time-zone=+05:30"]).collect();
    let Some(server) = MysqlServer::start(flavour, &options).unwrap() else { return };
    let session = server.session().unwrap();
    load_zone(&session);
    session.run(&format!("CREATE DATABASE {DATABASE}; USE {DATABASE}; SET sql_mode = ''")).unwrap();
    let early = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let begin = format!("{file}:{offset}");
    let tail_early = tail(&early, &begin).unwrap();
    session
        .run(
            "SET time_zone = 'Europe/Berlin';
             CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP NULL DEFAULT '2024-07-01 12:00:00',
                 tf TIMESTAMP(6) NOT NULL DEFAULT '2024-01-01 12:00:00.5', dt DATETIME(3) DEFAULT '2024-07-01 12:00:00',
                 cr TIMESTAMP(2) NOT NULL DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2),
                 dn DATETIME DEFAULT CURRENT_TIMESTAMP, d DATE)",
        )
        .unwrap();
    // It reads the defaults as its session's zone shows them.
    let late = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let tail_late = tail(&late, &format!("{file}:{offset}")).unwrap();
    let mut next_id = 0;
    for zone in ["'Europe/Berlin'", "DEFAULT", "'-12:00'", "'SYSTEM'", "'+00:00'"] {
        session.query(&format!("SET time_zone = {zone}")).unwrap();
        insert(&session, &mut next_id);
    }
    session
        .run(
            "SET time_zone = 'Europe/Berlin';
             ALTER TABLE t ADD COLUMN added TIMESTAMP NOT NULL DEFAULT '2024-07-01 12:00:00' AFTER id,
                 MODIFY tf TIMESTAMP(3) NOT NULL DEFAULT '2024-10-27 02:30:00';
             SET time_zone = DEFAULT; UPDATE t SET d = '2024-12-31'; DELETE FROM t WHERE id % 5 = 0",
        )
        .unwrap();
    insert(&session, &mut next_id);
    write_last_row(&server).unwrap();

    let selected = SelectedTables::read(&server, &[DATABASE]).unwrap();
    let check = |way: &str, rows: &[RowLine], log: &str| {
        let rows: Vec<RowLine> = rows.iter().filter(|row| row.database == DATABASE).cloned().collect();
        assert!(rows.len() > 60, "{way}: {} rows", rows.len());
        // The first was written in summer in Berlin.
        let after = rows[0].after.as_ref().unwrap();
        assert_eq!(after["ts"], "2024-07-01 10:00:00", "{way}");
        assert_eq!(after["dt"], "2024-07-01 12:00:00.250", "{way}");
        assert!(rows.iter().any(|row| {
            row.after
                .as_ref()
                .is_some_and(|after| after.get("added").is_some_and(|added| added == "2024-07-01 10:00:00"))
        }));
        let complaints = fold(&rows, &selected);
        assert!(complaints.is_empty(), "{way}:\n{}\n{log}", complaints.join("\n"));
    };
    for (way, daemon, tail) in [("by statements", &early, tail_early), ("by a snapshot", &late, tail_late)] {
        let rows = rows_of_tail(tail).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
        assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
        check(way, &rows, &daemon.log());
    }
    let decoded = decode_with_warnings(&server.binlog_files().unwrap()).unwrap();
    assert!(decoded.warnings.is_empty() || flavour.kind() == Kind::Mariadb, "{:?}", decoded.warnings);
    check("from files", &decoded.rows, "");
}

fn fold(rows: &[RowLine], selected: &SelectedTables) -> Vec<String> {
    let mut fold = Fold::default();
    rows.iter().for_each(|row| fold.apply(row));
    let complaints = fold.complaints(selected);
    fold.contradictions.into_iter().chain(complaints).collect()
}

#[test]
fn moments_are_what_they_are_in_every_zone_on_mysql97() {
    zones_on(Flavour::Mysql97, &[]);
}

#[test]
fn moments_are_what_they_are_in_every_zone_on_mysql97_without_metadata() {
    zones_on(Flavour::Mysql97, &["--binlog-row-metadata=MINIMAL"]);
}

#[test]
fn moments_are_what_they_are_in_every_zone_on_mysql57() {
    zones_on(Flavour::Mysql57, &[]);
}

#[test]
fn moments_are_what_they_are_in_every_zone_on_mysql56() {
    zones_on(Flavour::Mysql56, &[]);
}

#[test]
fn moments_are_what_they_are_in_every_zone_on_mariadb118_without_metadata() {
    zones_on(Flavour::Mariadb118, &["--binlog-row-metadata=NO_LOG"]);
}
