//! The known answers of the corpus, over the whole way: server, `millstreamd`, `millstream tail`. Once followed while the
//! scripts run, once caught up with from the beginning of the log.

use std::process::Command;

use anyhow::ensure;
use millstream_tests::compare::{Line, RandomTables, RowLine, corpus_complaints, parse_lines};
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, Options, load_corpus, workspace_program};
use millstream_tests::load::Random;
use millstream_tests::ways::{LAST_DATABASE, rows_of_tail, tail, write_last_row};
use serde_json::Value;

/// The rows that arrive while `run` runs, and those of a client that begins afterwards, at the beginning of the log.
fn rows_of_run(server: &MysqlServer, run: impl FnOnce()) -> (Vec<RowLine>, Vec<RowLine>) {
    let options = Options::default().destination("statement_dml", "\"skip\"");
    let daemon = Millstreamd::start(server, options).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let live = tail(&daemon, &format!("{file}:{offset}")).unwrap();
    run();
    write_last_row(server).unwrap();
    let live = rows_of_tail(live).unwrap_or_else(|error| panic!("followed: {error:#}\n{}", daemon.log()));
    let caught_up = tail(&daemon, "earliest").unwrap();
    let caught_up = rows_of_tail(caught_up).unwrap_or_else(|error| panic!("caught up: {error:#}\n{}", daemon.log()));
    same_rows(&live, &caught_up).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
    (live, caught_up)
}

fn assert_none(complaints: &[String], server: &MysqlServer) {
    let shown = complaints.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(complaints.is_empty(), "{} complaints on {}:\n{shown}", complaints.len(), server.name());
}

/// Answers with all rows.
fn corpus_over_the_wire(server: &MysqlServer) -> Vec<RowLine> {
    let corpus = load_corpus().unwrap();
    let (live, caught_up) = rows_of_run(server, || {
        for script in &corpus {
            server.run_script(&script.script).unwrap_or_else(|error| panic!("{}: {error:#}", script.name));
        }
    });
    let mut complaints = Vec::new();
    for script in &corpus {
        for (way, rows) in [("followed", &live), ("caught up", &caught_up)] {
            let found = corpus_complaints(server, script, rows).unwrap();
            complaints.extend(found.into_iter().map(|complaint| format!("{way}: {complaint}")));
        }
    }
    assert_none(&complaints, server);
    live
}

fn random_tables_over_the_wire(flavour: Flavour, options: &[&str]) {
    let Some(server) = MysqlServer::start(flavour, options).unwrap() else { return };
    let mut random = Random::new(Random::seed_of_test(flavour.name()));
    let mut tables = None;
    let (rows, _) =
        rows_of_run(&server, || tables = Some(RandomTables::fill(&server, &mut random, "chance", 16).unwrap()));
    assert_none(&tables.unwrap().complaints(&server, &rows).unwrap(), &server);
}

/// The same lines, but for the numbers of transactions, which are each reader's own.
fn same_rows(live: &[RowLine], caught_up: &[RowLine]) -> anyhow::Result<()> {
    for (live, caught_up) in live.iter().zip(caught_up) {
        let same = RowLine { tx: live.tx, ..caught_up.clone() };
        ensure!(same == *live, "followed: {live:?}\ncaught up: {caught_up:?}");
    }
    ensure!(live.len() == caught_up.len(), "{} rows followed, {} caught up with", live.len(), caught_up.len());
    Ok(())
}

#[test]
fn known_answers_arrive_from_mysql97_with_the_same_lines_as_from_its_files() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    let arrived = corpus_over_the_wire(&server);
    let output = Command::new(workspace_program("millstream").unwrap())
        .args(["decode", "--format", "jsonl", "--exclude", &format!("{LAST_DATABASE}.*")])
        .args(server.binlog_files().unwrap())
        .output()
        .unwrap();
    let lines = parse_lines(&output.stdout).unwrap();
    let row = |line| if let Line::Row(row) = line { Some(row) } else { None };
    same_rows(&arrived, &lines.into_iter().filter_map(row).collect::<Vec<_>>()).unwrap();
}

/// A file does not tell an address from a BINARY; a server does.
#[test]
fn known_answers_arrive_from_mariadb118_with_addresses_as_text() {
    let Some(server) = MysqlServer::start(Flavour::Mariadb118, &[]).unwrap() else { return };
    let arrived = corpus_over_the_wire(&server);
    let texts: Vec<&Value> = arrived
        .iter()
        .filter(|row| row.database == "ms_documents" && ["addresses", "identifiers"].contains(&row.table.as_str()))
        .flat_map(|row| row.after.iter().flatten())
        .filter_map(|(name, value)| (name != "id" && !value.is_null()).then_some(value))
        .collect();
    assert_eq!(texts.len(), 7);
    assert!(texts.iter().all(|value| value.is_string()), "{texts:?}");
}

/// No column names in the log: they come from the schema history, also for scripts that change a table between two rows.
#[test]
fn known_answers_arrive_from_mysql57() {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let Some(server) = MysqlServer::start(Flavour::Mysql57, &options).unwrap() else { return };
    corpus_over_the_wire(&server);
}

#[test]
fn known_answers_arrive_from_mysql56() {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let Some(server) = MysqlServer::start(Flavour::Mysql56, &options).unwrap() else { return };
    corpus_over_the_wire(&server);
}

#[test]
fn known_answers_arrive_from_mariadb1011_without_metadata() {
    let Some(server) = MysqlServer::start(Flavour::Mariadb1011, &["--binlog-row-metadata=NO_LOG"]).unwrap() else {
        return;
    };
    corpus_over_the_wire(&server);
}

#[test]
fn random_tables_arrive_from_mysql97_without_metadata_as_select_gives_them() {
    random_tables_over_the_wire(Flavour::Mysql97, &["--binlog-row-metadata=MINIMAL"]);
}

#[test]
fn random_tables_arrive_from_mariadb118_as_select_gives_them() {
    random_tables_over_the_wire(Flavour::Mariadb118, &[]);
}

#[test]
fn random_tables_arrive_from_mariadb1011_without_metadata_as_select_gives_them() {
    random_tables_over_the_wire(Flavour::Mariadb1011, &["--binlog-row-metadata=NO_LOG"]);
}

#[test]
fn random_tables_arrive_from_mysql57_as_select_gives_them() {
    random_tables_over_the_wire(Flavour::Mysql57, &[]);
}

#[test]
fn random_tables_arrive_from_mysql56_as_select_gives_them() {
    random_tables_over_the_wire(Flavour::Mysql56, &[]);
}
