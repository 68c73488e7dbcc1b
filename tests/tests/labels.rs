//! ENUM and SET with as many labels as each server takes, from wherever their names are known: the log, a snapshot, or a
//! statement of the log.
//!
//! MySQL 8 takes 65,535 labels, as documented. A table's definition of all other servers must fit 64 KiB (the .frm file
//! of old): 18,437 of the shortest labels that there are, and no table with more.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use millstream_tests::compare::RowLine;
use millstream_tests::harness::{Flavour, Millstreamd, MysqlServer, Options, Session};
use millstream_tests::ways::{decode_with_warnings, rows_of_tail, tail, write_last_row};
use serde_json::{Value, json};

const DATABASE: &str = "labels";
/// Of the servers that keep a table in 64 KiB; the SET needs its part.
const LABELS_OF_64_KIB: usize = 18_000;
/// A debug build has them many times over: in each schema that was seen, in the history, in the layout.
const RESIDENT_BYTES_MAX: u64 = 512 << 20;

/// The shortest labels of printable ASCII, by number from 1.
fn label(prefix: &str, mut number: usize) -> String {
    let digits: Vec<char> = ('!'..='~').filter(|digit| !matches!(digit, '\'' | '\\')).collect();
    let mut reversed = Vec::new();
    while number > 0 {
        number -= 1;
        reversed.push(digits[number % digits.len()]);
        number /= digits.len();
    }
    prefix.chars().chain(reversed.into_iter().rev()).collect()
}

struct Scene {
    count: usize,
    prefix: &'static str,
    expected: Vec<Value>,
}

impl Scene {
    fn create(&self) -> String {
        let mut statement = format!("CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY, e ENUM(");
        for number in 1..=self.count {
            let separator = if number == 1 { "" } else { "," };
            let _ = write!(statement, "{separator}'{}'", label(self.prefix, number));
        }
        let of_set: Vec<String> = (0..64).map(|number| format!("'s{number}'")).collect();
        statement + &format!("), s SET({})) COLLATE latin1_bin", of_set.join(","))
    }

    /// Rows with the labels that lie at the ends of what their numbers are stored in.
    fn insert(&mut self, session: &Session, others: &[(&str, Value)]) {
        let all: Vec<String> = (0..64).map(|number| format!("s{number}")).collect();
        let (first, last) = (label(self.prefix, 1), label(self.prefix, self.count));
        let at_256 = label(self.prefix, 256);
        let rows = [
            (format!("'{first}', ''"), json!(first), json!("")),
            (format!("'{}', 's0'", label(self.prefix, 255)), json!(label(self.prefix, 255)), json!("s0")),
            (format!("'{at_256}', 's63,s31'"), json!(at_256), json!("s31,s63")),
            (format!("'{last}', '{}'", all.join(",")), json!(last), json!(all.join(","))),
            ("'no such label', 1 << 63".to_owned(), json!(""), json!("s63")),
            ("NULL, NULL".to_owned(), Value::Null, Value::Null),
        ];
        for (values, e, s) in rows {
            let id = self.expected.len() + 1;
            let names: String = others.iter().map(|(name, _)| format!(", {name}")).collect();
            let more: String = others.iter().map(|(_, value)| format!(", {value}")).collect();
            session
                .query(&format!("INSERT INTO {DATABASE}.t (id, e, s{names}) VALUES ({id}, {values}{more})"))
                .unwrap();
            let mut row = json!({"id": id, "e": e, "s": s});
            for (name, value) in others {
                row[*name] = value.clone();
            }
            self.expected.push(row);
        }
    }

    fn check(&self, way: &str, rows: &[RowLine]) {
        let came: Vec<Value> = rows
            .iter()
            .filter(|row| row.database == DATABASE)
            .map(|row| Value::Object(row.after.clone().unwrap_or_default()))
            .collect();
        assert_eq!(came, self.expected, "{way}");
    }
}

/// `metadata`: the values of `binlog_row_metadata` under which rows are written, the first from the start on; none where
/// there is no such thing.
fn labels_on(flavour: Flavour, count: usize, prefix: &'static str, metadata: &[&str]) {
    let option = metadata.first().map(|first| format!("--binlog-row-metadata={first}"));
    let options: Vec<&str> = option.as_deref().into_iter().collect();
    let Some(server) = MysqlServer::start(flavour, &options).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE}")).unwrap();
    let mut scene = Scene { count, prefix, expected: Vec::new() };
    let log_with = |metadata: &str| server.sql(&format!("SET GLOBAL binlog_row_metadata = {metadata}")).unwrap();
    // One that reads the statement in the log, one that reads `information_schema`.
    let early = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let tail_early = tail(&early, &format!("{file}:{offset}")).unwrap();
    let session = server.session().unwrap();
    session.run("SET NAMES utf8mb4, sql_mode = ''").unwrap();
    let begin = Instant::now();
    session.query(&scene.create()).unwrap();
    println!("{flavour}: {count} labels, created in {:.1} s", begin.elapsed().as_secs_f64());
    let late = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let tail_late = tail(&late, &format!("{file}:{offset}")).unwrap();

    let begin = Instant::now();
    match metadata {
        [] => scene.insert(&session, &[]),
        settings => settings.iter().for_each(|setting| {
            log_with(setting);
            scene.insert(&session, &[]);
        }),
    }
    // Another version of the table, whose statement does not repeat the labels. The server compares all with all again,
    // which of so many takes it ten seconds.
    if count < usize::from(u16::MAX) {
        session.query(&format!("ALTER TABLE {DATABASE}.t ADD COLUMN n INT FIRST")).unwrap();
        scene.insert(&session, &[("n", json!(7))]);
    }
    write_last_row(&server).unwrap();
    println!("{flavour}: {} rows written in {:.1} s", scene.expected.len(), begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    for (way, daemon, tail) in [("by the statement", &early, tail_early), ("by the snapshot", &late, tail_late)] {
        scene.check(way, &rows_of_tail(tail).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log())));
        let resident = daemon.resident_bytes().unwrap();
        println!("{flavour}: {way} in {:.1} s, {} MiB", begin.elapsed().as_secs_f64(), resident >> 20);
        assert!(resident < RESIDENT_BYTES_MAX);
        assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    }
    let begin = Instant::now();
    let decoded = decode_with_warnings(&server.binlog_files().unwrap()).unwrap();
    println!("{flavour}: from files in {:.1} s", begin.elapsed().as_secs_f64());
    assert!(decoded.warnings.is_empty(), "{:?}", decoded.warnings);
    scene.check("from files", &decoded.rows);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn all_65535_labels_arrive_from_mysql97() {
    // Each table map has more than 500 KB of labels.
    labels_on(Flavour::Mysql97, 65_535, "label-", &["MINIMAL", "FULL"]);
}

#[test]
fn as_many_labels_as_it_takes_arrive_from_mysql57() {
    labels_on(Flavour::Mysql57, LABELS_OF_64_KIB, "", &[]);
}

#[test]
fn as_many_labels_as_it_takes_arrive_from_mariadb118() {
    labels_on(Flavour::Mariadb118, LABELS_OF_64_KIB, "", &["NO_LOG", "FULL"]);
}
