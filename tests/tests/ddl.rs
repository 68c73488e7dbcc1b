//! The catalog follows real servers through their DDL: after each statement its tables are what `information_schema` says.

use millstream_tests::ddl::{DdlCase, Follower, RandomDdl, load_ddl_cases, sequence_ddl_cases, shared_ddl_cases};
use millstream_tests::harness::{Flavour, MysqlServer};
use millstream_tests::load::Random;

/// Random statements on each server; `MILLSTREAM_DDL_STATEMENTS` sets another number.
const RANDOM_STATEMENTS: usize = 250;

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

/// Statements of the file that MILLSTREAM_DDL_FILE names, one after the other in one database.
fn check_sequence(flavour: Flavour, server: &MysqlServer) {
    let cases = sequence_ddl_cases().unwrap();
    if cases.is_empty() {
        return;
    }
    server.sql("SET GLOBAL sql_mode = ''").unwrap();
    let mut follower = Follower::start(server).unwrap();
    for sql in ["CREATE DATABASE sequence_of_others", "USE sequence_of_others"] {
        follower.run(sql).unwrap();
    }
    let found = run_cases(&mut follower, &cases, server);
    println!(
        "{flavour}: {} statements of others, {} refused, {} dangerous, {} different",
        found.run,
        found.refused.len(),
        follower.dangerous.len(),
        found.different.len()
    );
    for (sql, reason) in &follower.dangerous {
        println!("  dangerous: {reason}: {sql}");
    }
    for different in &found.different {
        println!("  different: {different}");
    }
    assert!(found.different.is_empty(), "{flavour}");
}

/// Before each statement of the shared corpus.
const BEGINNING: [&str; 3] = ["DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "USE shop"];

/// Tables that those statements are about, in several forms.
const SETTINGS: [&[&str]; 4] = [
    &[],
    &[
        "CREATE TABLE a1 (id INT NOT NULL)",
        "CREATE TABLE a2 (id INT PRIMARY KEY)",
        "CREATE TABLE a8 (p POINT NOT NULL)",
        "CREATE TABLE b4 (a INT, i VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x,', a, ')')) STORED)",
        "CREATE TABLE d1 (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
        "CREATE TABLE d4 (id INT PRIMARY KEY) PARTITION BY KEY () PARTITIONS 4",
        "CREATE TABLE e1 (id INT)",
        "CREATE TABLE e4 (a INT)",
        "CREATE TABLE m1 (id INT, y INT, z INT, p INT) PARTITION BY RANGE (id) (PARTITION p9 VALUES LESS THAN (5))",
        "CREATE TABLE m2 (id INT)",
        "CREATE TABLE px (id INT, y INT, z INT, p INT)",
        "CREATE TABLE a (i INT)",
        "CREATE TABLE b (j INT)",
    ],
    &[
        "CREATE TABLE a1 (id INT NOT NULL, x INT, y INT, z INT, a INT, b INT, t TEXT, KEY i1 (x), KEY i7 (y))",
        "CREATE TABLE a2 (id INT PRIMARY KEY)",
        "CREATE TABLE a3 (id INT PRIMARY KEY)",
        "CREATE TABLE m1 (x INT)",
        "CREATE VIEW v1 AS SELECT 7",
        "CREATE TABLE _a1_gho (id INT)",
        "CREATE DATABASE s2",
    ],
    &[
        "CREATE TABLE a2 (id INT PRIMARY KEY)",
        "CREATE TABLE a1 (id INT NOT NULL, x VARCHAR(30), y INT, CONSTRAINT ck8 CHECK (y > 0))",
        "CREATE TABLE m1 (id INT)",
    ],
];

/// Statements of the folder that MILLSTREAM_CORPUS names; each on tables that were made for it.
fn check_shared(flavour: Flavour, server: &MysqlServer) {
    check_sequence(flavour, server);
    let cases = shared_ddl_cases().unwrap();
    if cases.is_empty() {
        return;
    }
    let mut follower = Follower::start(server).unwrap();
    let mut found = Found::default();
    for case in cases.iter().filter(|case| case.applies_to(server.kind(), server.version)) {
        found.run += 1;
        // The first of the settings in which the server takes it.
        let taken = SETTINGS.iter().any(|setting| {
            for sql in BEGINNING.iter().chain(*setting) {
                follower.run(sql).unwrap();
            }
            match follower.run(&case.sql) {
                Ok(steps) => steps.is_some(),
                Err(error) => {
                    found.different.push(format!("{}: {}\n  {error:#}", case.n, case.sql));
                    follower.resync().unwrap();
                    true
                }
            }
        });
        // One of them begins an XA transaction.
        for sql in ["ROLLBACK", "XA END 'x',x'00',1", "XA ROLLBACK 'x',x'00',1"] {
            let _ = follower.session.query(sql);
        }
        if !taken {
            // What the server has no means for is parsed at least.
            if !follower.understands(&case.sql) {
                found.different.push(format!("{}: {}: not parsed", case.n, case.sql));
            }
            found.refused.push(format!("{}: {}", case.n, case.sql));
        }
    }
    for refused in &found.refused {
        println!("  refused: {refused}");
    }
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
    let count = std::env::var("MILLSTREAM_DDL_STATEMENTS").ok().and_then(|text| text.parse().ok());
    check_seed(flavour, Random::seed_of_test(flavour.name()), count.unwrap_or(RANDOM_STATEMENTS));
}

fn check_seed(flavour: Flavour, seed: u64, count: usize) {
    let Some(server) = server(flavour) else { return };
    let mut ddl = RandomDdl::new(Random::new(seed), server.kind(), server.version);
    server.sql("SET GLOBAL sql_mode = ''").unwrap();
    let mut follower = Follower::start(&server).unwrap();
    for sql in RandomDdl::beginning().split(';') {
        follower.run(sql.trim()).unwrap().expect("it is taken");
    }
    // Columns from a query; long unique keys; labels that CONVERT leaves in bytes; what failed halfway.
    let expected = [
        "query",
        "another character set",
        "in UTF-8",
        "hash",
        "CONVERT",
        "it failed at the server",
        "renamed twice",
        "dropped and added",
    ];
    let is_expected = |reason: &str| expected.iter().any(|known| reason.contains(known));
    let mut taken = 0;
    let mut history = Vec::new();
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
            let last = history.len().saturating_sub(60);
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
