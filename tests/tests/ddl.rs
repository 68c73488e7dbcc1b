//! The catalog follows real servers through their DDL: after each statement its tables are what `information_schema` says.

use millstream_tests::ddl::{DdlCase, Follower, RandomDdl, load_ddl_cases, shared_ddl_cases};
use millstream_tests::harness::{Flavour, MysqlServer};
use millstream_tests::load::Random;

/// Random statements on each server; `MILLSTREAM_DDL_STATEMENTS` sets another number.
const RANDOM_STATEMENTS: usize = 200;

/// A server of this test's own: the log and the databases must be only ours.
fn server(flavour: Flavour) -> Option<MysqlServer> {
    MysqlServer::start(flavour, &[]).unwrap()
}

/// What the server refused, and what differed: number, statement, error.
#[derive(Default)]
struct Found {
    run: usize,
    refused: Vec<String>,
    different: Vec<String>,
}

fn run_cases(follower: &mut Follower<'_>, cases: &[DdlCase], server: &MysqlServer) -> Found {
    let mut found = Found::default();
    for case in cases.iter().filter(|case| case.applies_to(server.kind(), server.version)) {
        found.run += 1;
        match follower.run(&case.sql) {
            Ok(Some(_)) => {}
            Ok(None) => found.refused.push(format!("{}: {}", case.n, case.sql)),
            Err(error) => {
                found.different.push(format!("{}: {}\n  {error:#}", case.n, case.sql));
                follower.resync().unwrap();
            }
        }
    }
    found
}

fn check_corpus(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let mut follower = Follower::start(&server).unwrap();
    let found = run_cases(&mut follower, &load_ddl_cases().unwrap(), &server);
    let compared = follower.compare_all().unwrap();
    let maps = follower.compare_table_maps().unwrap();
    println!(
        "{flavour}: {} statements, {} dangerous; {compared} tables and {maps} table maps compared",
        found.run,
        follower.dangerous.len()
    );
    for (sql, reason) in &follower.dangerous {
        println!("  dangerous: {reason}: {sql}");
    }
    assert!(found.different.is_empty(), "{flavour}: {}", found.different.join("\n"));
    assert!(found.refused.is_empty(), "{flavour} refused:\n{}", found.refused.join("\n"));
    assert!(follower.dangerous.len() <= 12, "{flavour}: too many were not understood");
    check_shared(flavour, &server);
}

/// Statements of the folder that MILLSTREAM_CORPUS names; each on tables that were made for it.
fn check_shared(flavour: Flavour, server: &MysqlServer) {
    let cases = shared_ddl_cases().unwrap();
    if cases.is_empty() {
        return;
    }
    let setting = ["shop", "e1"].map(|name| format!("CREATE DATABASE IF NOT EXISTS {name}"));
    let mut follower = Follower::start(server).unwrap();
    for sql in setting {
        follower.run(&sql).unwrap();
    }
    follower.run("USE shop").unwrap();
    let found = run_cases(&mut follower, &cases, server);
    println!(
        "{flavour}: {} shared statements, {} refused, {} dangerous, {} different",
        found.run,
        found.refused.len(),
        follower.dangerous.len(),
        found.different.len()
    );
    for (sql, reason) in &follower.dangerous {
        println!("  dangerous: {reason}: {sql}");
    }
    assert!(found.different.is_empty(), "{flavour}: {}", found.different.join("\n"));
}

fn check_random(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let seed = Random::seed_of_test(flavour.name());
    let count = std::env::var("MILLSTREAM_DDL_STATEMENTS").ok().and_then(|text| text.parse().ok());
    let mut ddl = RandomDdl::new(Random::new(seed), server.kind(), server.version);
    server.sql("SET GLOBAL sql_mode = ''").unwrap();
    let mut follower = Follower::start(&server).unwrap();
    for sql in RandomDdl::beginning().split(';') {
        follower.run(sql.trim()).unwrap().expect("it is taken");
    }
    // Columns from a query; long unique keys; labels that CONVERT leaves in bytes; what failed halfway.
    let expected =
        ["query", "another character set", "in UTF-8", "hash", "CONVERT", "it failed at the server", "renamed twice"];
    let is_expected = |reason: &str| expected.iter().any(|known| reason.contains(known));
    let mut taken = 0;
    let mut history = Vec::new();
    let count = count.unwrap_or(RANDOM_STATEMENTS);
    // Most of what is drawn is refused; what counts is what the server did.
    for _ in 0..count * 20 {
        if taken == count {
            break;
        }
        let sql = ddl.statement();
        let known = follower.dangerous.len();
        let result = follower.run(&sql);
        history.push(sql);
        let unexpected = follower.dangerous[known..].iter().find(|(_, reason)| !is_expected(reason)).cloned();
        let complaint = match (&result, unexpected) {
            (Err(error), _) => Some(format!("{error:#}")),
            (_, Some((sql, reason))) => Some(format!("not understood: {reason}: {sql}")),
            _ => None,
        };
        if let Some(complaint) = complaint {
            let last = history.len().saturating_sub(40);
            panic!(
                "{flavour}, seed {seed}, after {taken} statements: {complaint}\nat the end of:\n{}",
                history[last..].join("\n")
            );
        }
        match result {
            Ok(Some(_)) => taken += 1,
            // Refused: it left no trace.
            _ => drop(history.pop()),
        }
    }
    let compared = follower.compare_all().unwrap();
    let maps = follower.compare_table_maps().unwrap();
    println!(
        "{flavour}: {taken} random statements, {} dangerous; {compared} tables, {maps} table maps",
        follower.dangerous.len()
    );
    assert!(taken > count / 2, "{flavour}: only {taken} statements were taken");
}

macro_rules! on_each_server {
    ($($name:ident: $flavour:ident),*) => {
        mod corpus_on {
            $(#[test] fn $name() { super::check_corpus(super::Flavour::$flavour); })*
        }
        mod random_on {
            $(#[test] fn $name() { super::check_random(super::Flavour::$flavour); })*
        }
    };
}

on_each_server!(
    mysql97: Mysql97,
    mysql57: Mysql57,
    mysql56: Mysql56,
    mariadb118: Mariadb118,
    mariadb1011: Mariadb1011,
    mariadb105: Mariadb105
);
