//! The delivered changes, folded by primary key, are the tables: at the end and at points in between, while rows and
//! definitions change at random, the server's dump connections are killed at random, and `millstreamd` where the log does
//! not name columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_tests::compare::{Dialect, Fold, Line, RANDOM_SESSION, RandomTable, SelectedTables, parse_lines};
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, Options, Program, Session};
use millstream_tests::load::Random;
use millstream_tests::ways::tail;

const DATABASE: &str = "folded";
const TABLES: u64 = 5;
/// Points at which the tables are compared.
const POINTS: u64 = 6;
/// Transactions between two of them.
const TRANSACTIONS: u64 = 25;
/// Rows move up by so much where a definition has changed, so that every one of them is written once more.
const STEP: u64 = 1_000_000;

/// Ends every connection that reads the log, again and again.
fn kill_dumps(server: &MysqlServer, mut random: Random, done: &AtomicBool, killed: &AtomicU64) -> anyhow::Result<()> {
    let session = server.session()?;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20 + random.below(300)));
        let list = session.query("SHOW PROCESSLIST")?;
        let column = |name: &str| list.columns.iter().position(|column| column == name).context("no such column");
        let (id, command) = (column("Id")?, column("Command")?);
        for row in 0..list.rows.len() {
            if list.text(row, command).is_some_and(|command| command.starts_with("Binlog Dump")) {
                let id = list.text(row, id).unwrap_or_default();
                // it may have gone by itself
                if session.query(&format!("KILL {id}")).is_ok() {
                    killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
    Ok(())
}

/// Random transactions, some rolled back, with statements in between that change definitions.
struct Writer<'a> {
    server: &'a MysqlServer,
    session: Session,
    random: Random,
    dialect: Dialect,
    tables: Vec<RandomTable>,
    next_id: u64,
    altered: u64,
}

impl<'a> Writer<'a> {
    fn new(server: &'a MysqlServer, mut random: Random) -> anyhow::Result<Self> {
        let dialect = Dialect::of(server)?;
        let session = server.session()?;
        session.run(&format!(
            "{RANDOM_SESSION}; CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.points (id INT PRIMARY KEY)"
        ))?;
        let mut tables: Vec<RandomTable> = Vec::new();
        while (tables.len() as u64) < TABLES {
            let table = RandomTable::new(&mut random, &dialect, &format!("t{}", tables.len()));
            if session.query(&table.create(&mut random, &dialect, DATABASE)).is_ok() {
                tables.push(table);
            }
        }
        Ok(Self { server, session, random, dialect, tables, next_id: 0, altered: 0 })
    }

    /// Some transactions and definitions.
    fn write(&mut self) -> anyhow::Result<()> {
        let mut altered = BTreeSet::new();
        for _ in 0..TRANSACTIONS {
            let at = self.random.below(self.tables.len() as u64) as usize;
            if self.random.below(4) == 0 {
                altered.extend(self.alter(at)?);
                continue;
            }
            self.session.query("BEGIN")?;
            for _ in 0..1 + self.random.below(4) {
                let at = self.random.below(self.tables.len() as u64) as usize;
                let statement = self.statement(at);
                // a server refuses some values even out of strict mode
                let _ = self.session.query(&statement);
            }
            let end = if self.random.below(5) == 0 { "ROLLBACK" } else { "COMMIT" };
            self.session.query(end)?;
        }
        for at in altered {
            let name = self.tables[at].name.clone();
            // what a column holds from before may be nothing that its type of now may hold
            if self.session.query(&format!("UPDATE {DATABASE}.{name} SET id = id + {STEP} ORDER BY id DESC")).is_err() {
                self.session.query(&format!("TRUNCATE TABLE {DATABASE}.{name}"))?;
            }
        }
        Ok(())
    }

    /// The table, where its definition is another one now.
    fn alter(&mut self, at: usize) -> anyhow::Result<Option<usize>> {
        if self.random.below(8) == 0 {
            self.session.query(&format!("TRUNCATE TABLE {DATABASE}.t{at}"))?;
            return Ok(None);
        }
        let before = self.count(at)?;
        let altered = self.tables[at].alter(&mut self.random, &self.dialect, DATABASE);
        if self.session.query(&altered.statement).is_err() {
            altered.undo();
            return Ok(None);
        }
        self.altered += 1;
        // MariaDB's ALTER IGNORE leaves out rows that break the new column's CHECK (JSON has one), and logs no more than the
        // statement.
        if self.count(at)? != before {
            self.session.query(&format!("TRUNCATE TABLE {DATABASE}.t{at}"))?;
        }
        Ok(Some(at))
    }

    fn count(&self, at: usize) -> anyhow::Result<Option<String>> {
        Ok(self.session.query(&format!("SELECT COUNT(*) FROM {DATABASE}.t{at}"))?.text(0, 0))
    }

    fn statement(&mut self, at: usize) -> String {
        let (table, random) = (&self.tables[at], &mut self.random);
        match random.below(6) {
            0..=2 => {
                let count = 1 + random.below(6);
                let ids = self.next_id..self.next_id + count;
                self.next_id += count;
                table.insert(random, DATABASE, ids)
            }
            3 | 4 => table.update(random, &self.dialect, DATABASE),
            _ => format!("DELETE FROM {DATABASE}.{} WHERE id % 7 = {}", table.name, random.below(7)),
        }
    }

    /// What the tables hold now, and a row that says so in the log.
    fn point(&self, number: u64) -> anyhow::Result<SelectedTables> {
        let selected = SelectedTables::read(self.server, &[DATABASE])?;
        self.session.query(&format!("INSERT INTO {DATABASE}.points VALUES ({number})"))?;
        Ok(selected)
    }
}

/// Folds up to the last point; at each the state is compared.
fn fold(mut tail: Program, points: &BTreeMap<u64, SelectedTables>) -> anyhow::Result<(Fold, u64)> {
    let (mut fold, mut count) = (Fold::default(), 0);
    let mut at_end = 0;
    while at_end < POINTS {
        let Some(line) = tail.line_bytes()? else { bail!("the tail ended: {:?}", tail.end()?) };
        for line in parse_lines(&line)? {
            match line {
                Line::Row(row) if row.database == DATABASE && row.table == "points" => {
                    at_end = row.after.as_ref().and_then(|after| after["id"].as_u64()).context("no id")?;
                    let complaints = fold.complaints(points.get(&at_end).context("no such point")?);
                    let complaints: Vec<_> =
                        complaints.into_iter().filter(|complaint| !complaint.contains(".points")).take(20).collect();
                    if !complaints.is_empty() {
                        bail!("at point {at_end}, {}:\n{}", row.pos, complaints.join("\n"));
                    }
                }
                Line::Row(row) => {
                    count += 1;
                    fold.apply(&row);
                }
                Line::Ddl(ddl) => fold.apply_ddl(&ddl),
            }
        }
    }
    Ok((fold, count))
}

/// What is killed beside the server's connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kills {
    Connections,
    /// `millstreamd` too, between points.
    Daemon,
}

fn folded_on(flavour: Flavour, options: &[&str], kills: Kills) {
    let Some(server) = MysqlServer::start(flavour, options).unwrap() else { return };
    let mut random = Random::new(Random::seed_of_test(flavour.name()));
    let mut daemon = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let tail = tail(&daemon, &format!("{file}:{offset}")).unwrap();
    // A client that was never served gives up where its server goes away.
    daemon.wait_for_subscription("", Duration::from_secs(20)).unwrap();
    let (done, killed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut points = BTreeMap::new();
    let killers = Random::new(random.next());
    let altered = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_dumps(&server, killers, &done, &killed));
        let written = (|| {
            let mut writer = Writer::new(&server, random)?;
            for number in 1..=POINTS {
                writer.write()?;
                points.insert(number, writer.point(number)?);
                if kills == Kills::Daemon && number % 2 == 1 {
                    daemon.kill9()?;
                    daemon.start_again()?;
                }
            }
            anyhow::Ok(writer.altered)
        })();
        done.store(true, Ordering::Relaxed);
        let killed = killer.join().unwrap();
        written.and_then(|altered| killed.map(|()| altered)).unwrap_or_else(|error| {
            let log = server.error_log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            panic!("{error:#}\nthe end of the server's log, last line first:\n{}", last.join("\n"))
        })
    });
    let (fold, count) = fold(tail, &points).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
    let killed = killed.into_inner();
    println!("{flavour}: {count} rows, {altered} definitions changed, {killed} connections killed");
    // What had come before a crash may come again.
    assert!(fold.contradictions.is_empty() || kills == Kills::Daemon, "{}", fold.contradictions.join("\n"));
    assert!(killed > 0 && count > 100 && altered > 0);
}

#[test]
fn folded_changes_are_the_tables_of_mysql97() {
    folded_on(Flavour::Mysql97, &[], Kills::Connections);
}

#[test]
fn folded_changes_are_the_tables_of_mariadb118() {
    folded_on(Flavour::Mariadb118, &[], Kills::Connections);
}

/// The log has no names: the columns are those of `information_schema`, and then what the statements make of them.
#[test]
fn folded_changes_are_the_tables_of_mysql57() {
    folded_on(Flavour::Mysql57, &[], Kills::Daemon);
}

#[test]
fn folded_changes_are_the_tables_of_mysql97_without_metadata() {
    folded_on(Flavour::Mysql97, &["--binlog-row-metadata=MINIMAL"], Kills::Daemon);
}

#[test]
fn folded_changes_are_the_tables_of_mariadb118_without_metadata() {
    folded_on(Flavour::Mariadb118, &["--binlog-row-metadata=NO_LOG"], Kills::Daemon);
}

#[test]
fn folded_changes_are_the_tables_of_mariadb105_without_metadata() {
    folded_on(Flavour::Mariadb105, &["--binlog-row-metadata=NO_LOG"], Kills::Daemon);
}
