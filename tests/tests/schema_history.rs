//! Columns that the log does not name: every row is read by the columns of its moment, live, caught up with, after a
//! crash, and from the files; and where nobody can tell, that is said and nothing is guessed.

use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use millstream_client::blocking::Client;
use millstream_client::{Change, ClientConfig, Start};
use millstream_codec::wire::layout::Layout;
use millstream_tests::compare::{Line, parse_lines};
use millstream_tests::harness::{
    Flavour, Millstreamd, MysqlServer, Options, Program, Session, bound_command, workspace_program,
};

const DATABASE: &str = "history";

/// Statements, and the row that the last one of each step brings as `table: column=value, ...`, in the table's order.
const STEPS: [(&str, &str); 14] = [
    (
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(20)); INSERT INTO t VALUES (1, 10, 'x')",
        "t: id=1 a=10 b=x",
    ),
    ("ALTER TABLE t ADD COLUMN c INT AFTER id; INSERT INTO t VALUES (2, 20, 21, 'y')", "t: id=2 c=20 a=21 b=y"),
    // The same types in the same places: only the names tell.
    ("ALTER TABLE t CHANGE a d INT; INSERT INTO t VALUES (3, 30, 31, 'z')", "t: id=3 c=30 d=31 b=z"),
    ("ALTER TABLE t MODIFY d INT AFTER id; INSERT INTO t VALUES (4, 40, 41, 'z')", "t: id=4 d=40 c=41 b=z"),
    ("ALTER TABLE t CHANGE c d INT, CHANGE d c INT; INSERT INTO t VALUES (5, 50, 51, 'v')", "t: id=5 c=50 d=51 b=v"),
    ("ALTER TABLE t DROP COLUMN c; INSERT INTO t VALUES (6, 60, 'w')", "t: id=6 d=60 b=w"),
    ("ALTER TABLE t CONVERT TO CHARACTER SET latin1; INSERT INTO t VALUES (7, 70, 'é')", "t: id=7 d=70 b=é"),
    // What gh-ost and pt-online-schema-change do at their end.
    (
        "CREATE TABLE _t_gho LIKE t; ALTER TABLE _t_gho CHANGE d e INT; RENAME TABLE t TO _t_del, _t_gho TO t; \
         INSERT INTO t VALUES (8, 80, 'g')",
        "t: id=8 e=80 b=g",
    ),
    ("INSERT INTO _t_del VALUES (80, 9, 'o')", "_t_del: id=80 d=9 b=o"),
    (
        "DROP TABLE t; CREATE TABLE t (n INT UNSIGNED, m TINYINT UNSIGNED, PRIMARY KEY (m)); \
         INSERT INTO t VALUES (4294967295, 255)",
        "t: n=4294967295 m=255",
    ),
    (
        "ALTER TABLE t ADD (f1 DATETIME(3), f2 ENUM('u','v')); INSERT INTO t VALUES (1, 2, '2024-05-06 07:08:09.123', 'v')",
        "t: n=1 m=2 f1=2024-05-06 07:08:09.123 f2=v",
    ),
    ("ALTER TABLE t MODIFY f2 ENUM('v','u') FIRST; INSERT INTO t VALUES ('v', 3, 4, NULL)", "t: f2=v n=3 m=4 f1=null"),
    (
        "CREATE TABLE `odd ``name``` (`a b` INT, `select` INT); ALTER TABLE `odd ``name``` RENAME TO other; \
         INSERT INTO other VALUES (1, 2)",
        "other: a b=1 select=2",
    ),
    (
        "TRUNCATE TABLE t; CREATE INDEX i ON t (n); ALTER TABLE t ENGINE=InnoDB, COMMENT='c'; \
         INSERT INTO t VALUES ('u', 5, 6, NULL)",
        "t: f2=u n=5 m=6 f1=null",
    ),
];

fn expected() -> Vec<String> {
    STEPS.iter().map(|(_, row)| (*row).to_owned()).collect()
}

fn tail(daemon: &Millstreamd, arguments: &[&str]) -> Program {
    let mut command = bound_command(&workspace_program("millstream").unwrap());
    command.args(["tail", "--server", &daemon.listen.to_string(), "--format", "jsonl"]).args(arguments);
    Program::start(command).unwrap()
}

fn shown(line: &Line) -> Option<String> {
    let Line::Row(row) = line else { return None };
    let after = row.after.as_ref()?;
    let values = after.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    Some(format!("{}: {}", row.table, values.collect::<Vec<_>>().join(" ")))
}

/// So many rows.
fn rows(tail: &mut Program, count: usize) -> anyhow::Result<Vec<String>> {
    let mut rows = Vec::new();
    while rows.len() < count {
        let Some(line) = tail.line_bytes()? else { bail!("ended after {rows:?}: {:?}", tail.end()?) };
        rows.extend(parse_lines(&line)?.iter().filter_map(shown));
    }
    Ok(rows)
}

/// How the struct of each row lies in memory: the same for every reader, or clients with generated code would read other
/// columns after a restart.
fn layouts(daemon: &Millstreamd, file: &str, offset: u64) -> Vec<String> {
    let start = Start::File { file: file.to_owned(), offset };
    let config = ClientConfig::new([daemon.listen.to_string()], "main").start(start).include(format!("{DATABASE}.*"));
    let mut client = Client::connect(config).unwrap();
    let mut layouts = Vec::new();
    while layouts.len() < STEPS.len() {
        let Some(transaction) = client.next_within(Duration::from_secs(20)).unwrap() else {
            panic!("{} rows\n{}", layouts.len(), daemon.log());
        };
        for change in transaction.changes() {
            if let Change::Rows(rows) = change.unwrap() {
                let mut layout = Layout::clone(rows.layout());
                layout.id = 0;
                layouts.push(format!("{layout:?}"));
            }
        }
    }
    layouts
}

fn every_moment_on(flavour: Flavour, options: &[&str]) {
    let Some(server) = MysqlServer::start(flavour, options).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE} CHARACTER SET utf8")).unwrap();
    let mut daemon = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let begin = format!("{file}:{offset}");
    let mut live = tail(&daemon, &["--from", &begin]);
    let session = server.session().unwrap();
    session.run(&format!("USE {DATABASE}")).unwrap();
    let mut places = Vec::new();
    for (statements, _) in STEPS {
        session.run(statements).unwrap();
        places.push(server.binlog_end().unwrap());
    }
    let followed = rows(&mut live, STEPS.len()).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
    assert_eq!(followed, expected(), "followed on {}\n{}", server.name(), daemon.log());
    // A catch-up from the beginning, and, after a crash, from every place in between.
    let caught_up = rows(&mut tail(&daemon, &["--from", &begin]), STEPS.len());
    let caught_up = caught_up.unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
    assert_eq!(caught_up, expected(), "caught up on {}", server.name());
    let before = layouts(&daemon, &file, offset);
    daemon.kill9().unwrap();
    daemon.start_again().unwrap();
    assert_eq!(layouts(&daemon, &file, offset), before, "on {}", server.name());
    for (index, (file, offset)) in places.iter().enumerate().take(STEPS.len() - 1) {
        let mut tail = tail(&daemon, &["--from", &format!("{file}:{offset}"), "--max-rows", "3"]);
        let left = (STEPS.len() - 1 - index).min(3);
        let resumed = rows(&mut tail, left).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
        assert_eq!(
            resumed,
            expected()[index + 1..][..left],
            "from step {index} on {}\n{}",
            server.name(),
            daemon.log()
        );
    }
    assert!(!daemon.log().contains("quarantined"), "{}", daemon.log());
    // The files hold the DDL too.
    let output = Command::new(workspace_program("millstream").unwrap())
        .args(["decode", "--format", "jsonl", "--filter", &format!("{DATABASE}.*")])
        .args(server.binlog_files().unwrap())
        .output()
        .unwrap();
    let decoded: Vec<String> = parse_lines(&output.stdout).unwrap().iter().filter_map(shown).collect();
    assert_eq!(decoded, expected(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_moment_has_its_columns_on_mysql57() {
    every_moment_on(Flavour::Mysql57, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
}

#[test]
fn every_moment_has_its_columns_on_mysql56() {
    every_moment_on(Flavour::Mysql56, &[]);
}

#[test]
fn every_moment_has_its_columns_on_mysql97_without_metadata() {
    every_moment_on(Flavour::Mysql97, &["--binlog-row-metadata=MINIMAL"]);
}

#[test]
fn every_moment_has_its_columns_on_mariadb118_without_metadata() {
    every_moment_on(Flavour::Mariadb118, &["--binlog-row-metadata=NO_LOG"]);
}

#[test]
fn every_moment_has_its_columns_on_mariadb1011_without_metadata() {
    every_moment_on(Flavour::Mariadb1011, &["--binlog-row-metadata=NO_LOG"]);
}

/// The names of the statements and those of the log differ in case.
#[test]
fn names_are_compared_as_the_server_compares_them() {
    let Some(server) = MysqlServer::start(Flavour::Mysql57, &["--lower-case-table-names=1"]).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.Old (Id INT)")).unwrap();
    let daemon = Millstreamd::start(&server, Options::default()).unwrap();
    let (file, offset) = server.binlog_end().unwrap();
    let session = server.session().unwrap();
    session
        .run(&format!(
            "USE {DATABASE}; ALTER TABLE OLD CHANGE id Number INT, ADD x INT FIRST; INSERT INTO oLd VALUES (1, 2);
             CREATE TABLE New LIKE OLD; RENAME TABLE nEW TO Other; ALTER TABLE {}.OTHER DROP X; INSERT INTO other VALUES (3)",
            DATABASE.to_uppercase()
        ))
        .unwrap();
    let mut tail = tail(&daemon, &["--from", &format!("{file}:{offset}")]);
    let expected = ["old: x=1 Number=2", "other: Number=3"];
    assert_eq!(rows(&mut tail, 2).unwrap(), expected, "{}", daemon.log());
}

/// Two tables, one of which is altered where the log does not show it.
struct Traceless {
    daemon: Millstreamd,
    session: Session,
    begin: String,
    _server: MysqlServer,
}

impl Traceless {
    fn start(options: Options) -> Option<Self> {
        let server = MysqlServer::start(Flavour::Mysql57, &[]).unwrap()?;
        server
            .sql(&format!(
                "CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY, v INT);
                 CREATE TABLE {DATABASE}.u (id INT PRIMARY KEY)"
            ))
            .unwrap();
        let daemon = Millstreamd::start(&server, options).unwrap();
        let (file, offset) = server.binlog_end().unwrap();
        let session = server.session().unwrap();
        session
            .run(&format!(
                "USE {DATABASE}; INSERT INTO t VALUES (1, 1); SET sql_log_bin = 0; ALTER TABLE t ADD COLUMN w INT;
                 SET sql_log_bin = 1; INSERT INTO t VALUES (2, 2, 2); INSERT INTO u VALUES (3)"
            ))
            .unwrap();
        Some(Self { daemon, session, begin: format!("{file}:{offset}"), _server: server })
    }

    fn repair(&self) -> String {
        let admin = self.daemon.admin.to_string();
        let repair = Command::new(workspace_program("millstream").unwrap())
            .args(["schema", "repair", &format!("{DATABASE}.t"), "--admin", &admin])
            .output()
            .unwrap();
        assert!(repair.status.success(), "{}", String::from_utf8_lossy(&repair.stderr));
        String::from_utf8(repair.stdout).unwrap()
    }
}

#[test]
fn a_change_without_a_trace_takes_out_its_table_alone_until_it_is_repaired() {
    let Some(scene) = Traceless::start(Options::default()) else { return };
    let daemon = &scene.daemon;
    let mut follower = tail(daemon, &["--from", &scene.begin, "--subscription", "all"]);
    assert_eq!(rows(&mut follower, 2).unwrap(), ["t: id=1 v=1", "u: id=3"], "{}", daemon.log());
    daemon.wait_for_log("is quarantined", Duration::from_secs(20)).unwrap();
    let status = daemon.status().unwrap();
    let quarantined = &status["destinations"][0]["quarantined"][0];
    assert_eq!(quarantined["table"], format!("{DATABASE}.t"));
    let reason = quarantined["reason"].as_str().unwrap();
    for part in ["3 columns", "id, v", "millstream schema repair history.t --destination main"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(scene.repair().contains("history.t was read again: 3 columns"));
    scene.session.run("INSERT INTO t VALUES (4, 4, 4)").unwrap();
    assert_eq!(rows(&mut follower, 1).unwrap(), ["t: id=4 v=4 w=4"], "{}", daemon.log());
    // What was passed over then can be read by who comes now.
    let mut anew = tail(daemon, &["--from", &scene.begin]);
    assert_eq!(rows(&mut anew, 4).unwrap(), ["t: id=1 v=1", "t: id=2 v=2 w=2", "u: id=3", "t: id=4 v=4 w=4"]);
    assert!(daemon.status().unwrap()["destinations"][0]["quarantined"].as_array().unwrap().is_empty());
}

#[test]
fn a_held_table_stops_those_who_want_it_and_loses_nothing() {
    let hold = format!("[{{ tables = [\"{DATABASE}.t\"], policy = \"hold\" }}]");
    let Some(scene) = Traceless::start(Options::default().destination("quarantine", &hold)) else { return };
    let daemon = &scene.daemon;
    let mut other = tail(daemon, &["--from", &scene.begin, "--filter", "history.u"]);
    assert_eq!(rows(&mut other, 1).unwrap(), ["u: id=3"]);
    let mut held = tail(daemon, &["--from", &scene.begin, "--subscription", "all"]);
    assert_eq!(rows(&mut held, 1).unwrap(), ["t: id=1 v=1"]);
    assert_eq!(held.line_bytes().unwrap(), None);
    let (_, said) = held.end().unwrap();
    assert!(said.contains("millstream schema repair history.t") && said.contains("hold"), "{said}");
    // A follower of the live stream is stopped too, and those of other tables are not.
    let mut live = tail(daemon, &["--filter", "history.*"]);
    daemon.wait_for_page("/readyz", 200, Duration::from_secs(20)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    scene.session.run("INSERT INTO u VALUES (5); INSERT INTO t VALUES (6, 6, 6); INSERT INTO u VALUES (7)").unwrap();
    assert_eq!(rows(&mut live, 1).unwrap(), ["u: id=5"], "{}", daemon.log());
    assert_eq!(live.line_bytes().unwrap(), None);
    assert_eq!(rows(&mut other, 2).unwrap(), ["u: id=5", "u: id=7"]);
    scene.repair();
    let mut resumed = tail(daemon, &["--from", "resume", "--subscription", "all"]);
    let expected = ["t: id=2 v=2 w=2", "u: id=3", "u: id=5", "t: id=6 v=6 w=6", "u: id=7"];
    assert_eq!(rows(&mut resumed, 5).unwrap(), expected, "{}", daemon.log());
}

#[test]
fn a_table_that_must_not_fail_stops_the_destination_until_it_is_repaired() {
    let fail = format!("[{{ tables = [\"{DATABASE}.t\"], policy = \"fail\" }}]");
    let Some(scene) = Traceless::start(Options::default().destination("quarantine", &fail)) else { return };
    let daemon = &scene.daemon;
    let mut follower = tail(daemon, &["--from", "latest", "--subscription", "all", "--filter", "history.*"]);
    // No row of the table was wanted so far; one before it has the old columns.
    daemon.wait_for_subscription("all", Duration::from_secs(20)).unwrap();
    scene.session.run("INSERT INTO u VALUES (5); INSERT INTO t VALUES (6, 6, 6); INSERT INTO u VALUES (7)").unwrap();
    assert_eq!(rows(&mut follower, 1).unwrap(), ["u: id=5"], "{}", daemon.log());
    let reason = daemon.wait_for_page("/readyz", 503, Duration::from_secs(20)).unwrap();
    let parts = ["history.t", "binlog.", "3 columns", "id, v", "millstream schema repair history.t --destination main"];
    let names_all = |text: &str| parts.iter().all(|part| text.contains(part));
    assert!(names_all(&reason), "{reason}");
    let status = daemon.status().unwrap();
    assert_eq!(status["destinations"][0]["state"], "halted");
    assert!(names_all(status["destinations"][0]["error"].as_str().unwrap()), "{status}");
    let shown = Command::new(workspace_program("millstream").unwrap())
        .args(["status", "--admin", &daemon.admin.to_string()])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("halted") && names_all(&shown), "{shown}");
    // Nobody is served past it, whatever they want; it is tried again, and found the same.
    let mut late = tail(daemon, &["--from", &scene.begin, "--filter", "history.*"]);
    assert_eq!(rows(&mut late, 1).unwrap(), ["t: id=1 v=1"]);
    assert_eq!(late.line_bytes().unwrap(), None);
    let (_, said) = late.end().unwrap();
    assert!(names_all(&said), "{said}");
    assert!(scene.repair().contains("history.t was read again: 3 columns"));
    daemon.wait_for_page("/readyz", 200, Duration::from_secs(20)).unwrap();
    // The one that followed goes on, at once or when it comes back.
    drop(follower);
    scene.session.run("INSERT INTO t VALUES (8, 8, 8)").unwrap();
    let mut resumed = tail(daemon, &["--from", "resume", "--subscription", "all", "--filter", "history.*"]);
    let came = rows(&mut resumed, 3).unwrap_or_else(|error| panic!("{error:#}\n{}", daemon.log()));
    let came = if came[0] == "u: id=5" { [&came[1..], &rows(&mut resumed, 1).unwrap()].concat() } else { came };
    assert_eq!(came, ["t: id=6 v=6 w=6", "u: id=7", "t: id=8 v=8 w=8"], "{}", daemon.log());
    // Those from before count as they were.
    let mut anew = tail(daemon, &["--from", &scene.begin, "--max-rows", "3"]);
    assert_eq!(rows(&mut anew, 3).unwrap(), ["t: id=1 v=1", "t: id=2 v=2 w=2", "u: id=3"], "{}", daemon.log());
}

#[test]
fn a_damaged_history_takes_out_what_needs_it_until_a_repair_begins_a_new_one() {
    let Some(mut scene) = Traceless::start(Options::default()) else { return };
    scene.daemon.kill9().unwrap();
    let file = scene.daemon.data_path().join("main/schema-history");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    scene.daemon.start_again().unwrap();
    let mut follower = tail(&scene.daemon, &["--filter", "history.*"]);
    std::thread::sleep(Duration::from_millis(500));
    scene.session.run("INSERT INTO u VALUES (5)").unwrap();
    scene.daemon.wait_for_log("the schema history cannot be used: damaged at byte", Duration::from_secs(20)).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "left alone");
    assert!(scene.repair().contains("schema-history.damaged-1"));
    assert_eq!(std::fs::read(file.with_file_name("schema-history.damaged-1")).unwrap(), bytes);
    scene.session.run("INSERT INTO u VALUES (6); INSERT INTO t VALUES (7, 7, 7)").unwrap();
    let came = rows(&mut follower, 2).unwrap();
    assert_eq!(came, ["u: id=6", "t: id=7 v=7 w=7"], "{}", scene.daemon.log());
}

#[test]
fn a_pattern_that_matches_nothing_is_told() {
    let Some(scene) = Traceless::start(Options::default()) else { return };
    let arguments = ["--from", &scene.begin, "--filter", "histori.*", "--filter", "history.u", "--idle-timeout", "5"];
    let mut follower = tail(&scene.daemon, &arguments);
    assert_eq!(rows(&mut follower, 1).unwrap(), ["u: id=3"]);
    while follower.line_bytes().unwrap().is_some() {}
    let (_, said) = follower.end().unwrap();
    assert!(said.contains("no table of the source matches 'histori.*'") && !said.contains("'history.u'"), "{said}");
}
