use super::*;
use crate::source::session::server::ServerInfo;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const OTHER: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn gtids(text: &str) -> ExecutedGtids {
    text.parse().unwrap()
}

/// `numbers` as of [`UUID`].
fn ours(numbers: &str) -> ExecutedGtids {
    gtids(&format!("{UUID}:{numbers}"))
}

fn server(flavour: Flavour, executed: &str, purged: &str) -> ServerInfo {
    let version = if flavour == Flavour::Mysql { "9.7.0" } else { "11.8.2-MariaDB" };
    let variables = [("version", version), ("server_uuid", UUID), ("server_id", "1"), ("gtid_mode", "ON")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut info = ServerInfo::from_variables(version, 7, &variables).unwrap();
    info.set_gtids(&[vec![Some(executed.into()), Some(purged.into())]]).unwrap();
    info
}

fn mysql(executed: &str, purged: &str) -> ServerInfo {
    let set = |numbers: &str| if numbers.is_empty() { String::new() } else { format!("{UUID}:{numbers}") };
    server(Flavour::Mysql, &set(executed), &set(purged))
}

fn position(incarnation: &str, file: &str, offset: u64, gtids: ExecutedGtids) -> Position {
    Position { incarnation: incarnation.into(), file: file.into(), offset, gtids, open_xa: Arc::new([]) }
}

fn at(file: &str, offset: u64) -> FilePosition {
    FilePosition { file: file.into(), offset }
}

/// Answers by the beginning of the question.
fn resolve(start: Start, server: &ServerInfo, answers: &[(&str, &[&[&str]])]) -> Result<Resolved, SourceError> {
    let mut resolver = Resolver::new(start, server);
    let mut answer = None;
    loop {
        match resolver.next(answer.take())? {
            Step::Done(resolved) => return Ok(resolved),
            Step::Ask(Question::Query(query)) => {
                let (_, rows) = answers.iter().find(|(begin, _)| query.starts_with(begin)).expect(&query);
                let cell = |text: &&str| Some(text.as_bytes().to_vec());
                answer = Some(Answer::Rows(rows.iter().map(|row| row.iter().map(cell).collect()).collect()));
            }
            Step::Ask(Question::Probe(request)) => panic!("{request:?}"),
        }
    }
}

const FILES: (&str, &[&[&str]]) = ("SHOW BINARY LOGS", &[&["b.000003", "900"], &["b.000004", "500"]]);

#[test]
fn latest_stands_where_the_status_says() {
    let executed = format!("{UUID}:1-5");
    let rows: &[&[&str]] = &[&["b.000004", "500", "", "", &executed]];
    let resolved = resolve(Start::Latest, &mysql("1-5", ""), &[("SHOW BINARY LOG STATUS", rows)]).unwrap();
    assert_eq!(resolved.dump, Dump::File(at("b.000004", 500)));
    assert_eq!(resolved.position, position(UUID, "b.000004", 500, ours("1-5")));

    let mariadb = server(Flavour::Mariadb, "0-1-9", "");
    let status: (&str, &[&[&str]]) = ("SHOW MASTER STATUS", &[&["b.000004", "500", "", ""]]);
    let gtid_pos: (&str, &[&[&str]]) = ("SELECT BINLOG_GTID_POS('b.000004', 500)", &[&["0-1-9"]]);
    let resolved = resolve(Start::Latest, &mariadb, &[status, gtid_pos]).unwrap();
    assert_eq!(resolved.position, position("mariadb-1", "b.000004", 500, gtids("0-1-9")));
}

#[test]
fn earliest_has_the_purged_gtids_behind_it() {
    let resolved = resolve(Start::Earliest, &mysql("1-9", "1-4"), &[FILES]).unwrap();
    assert_eq!(resolved.position, position(UUID, "b.000003", 4, ours("1-4")));
}

#[test]
fn a_position_of_the_same_server_goes_on_in_its_file() {
    let stood = position(UUID, "b.000003", 300, ours("1-5"));
    let resolved = resolve(Start::Position(stood.clone()), &mysql("1-9", ""), &[FILES]).unwrap();
    assert_eq!(resolved, Resolved { position: stood, dump: Dump::File(at("b.000003", 300)) });
}

#[test]
fn without_its_file_a_position_goes_on_by_gtid_or_not_at_all() {
    let stood = position(UUID, "b.000002", 300, ours("1-5"));
    let resolved = resolve(Start::Position(stood.clone()), &mysql("1-9", "1-5"), &[FILES]).unwrap();
    assert_eq!(resolved.dump, Dump::Gtids(ours("1-5")));
    let error = resolve(Start::Position(stood), &mysql("1-9", "1-7"), &[FILES]).unwrap_err();
    assert!(matches!(&error, SourceError::Purged { missing, .. } if *missing == format!("{UUID}:6-7")), "{error}");
    let unnumbered = position(UUID, "b.000002", 300, ExecutedGtids::None);
    let error = resolve(Start::Position(unnumbered), &mysql("1-9", ""), &[FILES]).unwrap_err();
    assert!(matches!(error, SourceError::Purged { .. }), "{error}");
}

#[test]
fn another_incarnation_goes_on_only_by_proven_gtids() {
    let check = |gtids: ExecutedGtids, server: &ServerInfo, expected: &str| {
        let start = Start::Position(position(OTHER, "b.000003", 300, gtids));
        let found = match resolve(start, server, &[FILES]) {
            Ok(Resolved { dump: Dump::Gtids(_), .. }) => "gtids",
            Ok(Resolved { dump: Dump::File(_), .. }) => "file",
            Err(error) => error.code(),
        };
        assert_eq!(found, expected);
    };
    check(ours("1-5"), &mysql("1-9", "1-2"), "gtids");
    check(ours("1-5"), &mysql("1-4", ""), "ahead_of_source");
    check(ours("1-5"), &mysql("1-9", "1-6"), "position_purged");
    check(ExecutedGtids::None, &mysql("1-9", ""), "other_incarnation");
    check(gtids("0-1-5"), &mysql("1-9", ""), "bad_position");
    let unnumbered = ServerInfo { gtid: false, ..mysql("1-9", "") };
    check(ours("1-5"), &unnumbered, "other_incarnation");
}

#[test]
fn holes_in_a_gtid_set_are_kept() {
    let resolved = resolve(Start::Gtids(ours("1-3:5")), &mysql("1-9", "1-2"), &[]).unwrap();
    assert_eq!(resolved.dump, Dump::Gtids(ours("1-3:5")));
    let error = resolve(Start::Gtids(ours("1-3:5")), &mysql("1-9", "1-4"), &[]).unwrap_err();
    assert!(matches!(&error, SourceError::Purged { missing, .. } if missing.ends_with(":4")), "{error}");
}

#[test]
fn mariadb_is_proven_by_its_gtid_positions() {
    let mariadb = server(Flavour::Mariadb, "0-1-9,2-1-4", "");
    let oldest: (&str, &[&[&str]]) = ("SELECT BINLOG_GTID_POS('b.000003', 4)", &[&["0-1-3,2-1-1"]]);
    let check = |start: Start, answers: &[(&str, &[&[&str]])], expected: &str| {
        let found = match resolve(start, &mariadb, answers) {
            Ok(Resolved { dump: Dump::Gtids(_), .. }) => "gtids".to_owned(),
            Ok(Resolved { dump: Dump::File(_), .. }) => "file".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(found, expected);
    };
    check(Start::Gtids(gtids("0-1-5,2-1-1")), &[FILES, oldest], "gtids");
    check(Start::Gtids(gtids("0-1-2,2-1-1")), &[FILES, oldest], "position_purged");
    // A domain that we know nothing of must still be there from its beginning.
    check(Start::Gtids(gtids("0-1-5")), &[FILES, oldest], "position_purged");
    check(Start::Gtids(gtids("0-1-10")), &[FILES, oldest], "ahead_of_source");

    let stood = Start::Position(position("mariadb-1", "b.000003", 300, gtids("0-1-5,2-1-1")));
    let same: (&str, &[&[&str]]) = ("SELECT BINLOG_GTID_POS('b.000003', 300)", &[&["0-1-5,2-1-1"]]);
    let rebuilt: (&str, &[&[&str]]) = ("SELECT BINLOG_GTID_POS('b.000003', 300)", &[&["0-1-7"]]);
    check(stood.clone(), &[FILES, same], "file");
    // The file is another one of the same name: the GTIDs decide.
    check(stood, &[FILES, rebuilt, oldest], "gtids");
}

#[test]
fn places_outside_the_files_are_refused() {
    let check = |file: &str, offset: u64, expected: &str| {
        let error = resolve(Start::File(at(file, offset)), &mysql("1-9", ""), &[FILES]).unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
    };
    check("b.000002", 4, "position_purged");
    check("b.000005", 4, "bad_position");
    check("b.000003", 901, "bad_position");
    check("nonsense", 4, "bad_position");
}

#[test]
fn offsets_past_four_gigabytes_go_by_gtid() {
    let large: (&str, &[&[&str]]) = ("SHOW BINARY LOGS", &[&["b.000003", "9000000000"]]);
    let stood = position(UUID, "b.000003", 5_000_000_000, ours("1-5"));
    let resolved = resolve(Start::Position(stood.clone()), &mysql("1-9", ""), &[large]).unwrap();
    assert_eq!(resolved, Resolved { position: stood, dump: Dump::Gtids(ours("1-5")) });
}

/// File `n` of `count` was begun at second `n`.
fn bisect(count: usize, time_us: i64) -> (Vec<(String, ProbeUntil)>, Result<Resolved, SourceError>) {
    let mut resolver = Resolver::new(Start::Timestamp(time_us), &mysql("1-9", ""));
    let first = 5;
    let mut probes = Vec::new();
    let mut answer = None;
    loop {
        match resolver.next(answer.take()) {
            Err(error) => return (probes, Err(error)),
            Ok(Step::Done(resolved)) => return (probes, Ok(resolved)),
            Ok(Step::Ask(Question::Query(_))) => {
                let row = |n: usize| vec![Some(format!("b.{n:06}").into_bytes()), Some(b"900".to_vec())];
                answer = Some(Answer::Rows((first..first + count).map(row).collect()));
            }
            Ok(Step::Ask(Question::Probe(request))) => {
                probes.push((request.file.to_string(), request.until));
                let number = i64::try_from(file_number(&request.file).unwrap()).unwrap();
                let gtids = ExecutedGtids::None;
                answer = Some(Answer::Probe(ProbeResult {
                    at: FilePosition { file: request.file, offset: 77 },
                    gtids,
                    created_us: number * 1_000_000,
                }));
            }
        }
    }
}

#[test]
fn a_moment_is_bisected_over_the_files() {
    let (probes, resolved) = bisect(1000, 700_500_000);
    // File 700 was begun in that very second, before or behind the moment.
    assert_eq!(resolved.unwrap().dump, Dump::File(at("b.000699", 77)));
    assert!(probes.len() <= 11, "{} probes of 1000 files", probes.len());
    assert_eq!(probes.last().unwrap(), &("b.000699".to_owned(), ProbeUntil::Time(700_500_000)));

    assert_eq!(bisect(10, 7_000_000).0.last().unwrap().0, "b.000006");
    assert_eq!(bisect(10, 7_999_999).0.last().unwrap().0, "b.000007");
    assert_eq!(bisect(10, i64::MAX).0.last().unwrap().0, "b.000014");
    for moment in [4_999_999, 5_500_000] {
        let (_, refused) = bisect(10, moment);
        assert!(matches!(refused, Err(SourceError::Purged { .. })), "{moment}");
    }
}

#[test]
fn answers_of_another_shape_are_errors() {
    let none: &[&[&str]] = &[];
    let short: &[&[&str]] = &[&["b.000003"]];
    let no_number: &[&[&str]] = &[&["b.000003", "x"]];
    for rows in [none, short, no_number] {
        assert!(resolve(Start::Earliest, &mysql("", ""), &[("SHOW BINARY LOGS", rows)]).is_err());
        assert!(resolve(Start::Latest, &mysql("", ""), &[("SHOW BINARY LOG STATUS", rows)]).is_err());
    }
    let mut resolver = Resolver::new(Start::Latest, &mysql("", ""));
    assert!(resolver.next(Some(Answer::Rows(Vec::new()))).is_err());
}
