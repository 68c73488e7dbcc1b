//! Clients against a running millstreamd: what each subscription gets, who gets it, and what is refused.

use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_codec::wire::messages::{
    ClientMessage, ColumnFilter, Filter, Hello, Op, PROTOCOL_VERSION, ServerMessage, Start, Subscribe,
};
use millstream_tests::harness::{
    Flavour, Kind, Millstreamd, MysqlServer, Options, RawClient, Received, subscribe, workspace_program,
};
use millstream_tests::load::{Change, Follow, Load, LoadOptions, Random};

/// Rows take a millisecond; a debug build on a busy machine may take seconds to begin.
const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(300);

fn start() -> Option<(&'static MysqlServer, Millstreamd)> {
    let server = MysqlServer::shared(Flavour::Mysql97)?;
    Some((server, Millstreamd::start(server, Options::default()).unwrap()))
}

fn connect(daemon: &Millstreamd, request: Subscribe) -> RawClient {
    RawClient::subscribe(daemon.listen, request).unwrap().unwrap().0
}

fn of(include: &[&str]) -> Filter {
    // statements that name no table are for everyone: other tests make databases on the same server
    Filter { include: include.iter().map(ToString::to_string).collect(), ddl: false, ..Filter::default() }
}

/// `table op id` of each.
fn shown(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| format!("{} {} {}", change.table, change.op, change.id().unwrap())).collect()
}

#[test]
fn every_subscription_gets_its_own_tables_columns_and_kinds() {
    let Some((server, daemon)) = start() else { return };
    server
        .sql(
            "CREATE DATABASE pick; CREATE DATABASE pick_other;
              CREATE TABLE pick.orders (id INT PRIMARY KEY, a INT, b VARCHAR(10));
              CREATE TABLE pick.items (id INT PRIMARY KEY, a INT);
              CREATE TABLE pick_other.orders (id INT PRIMARY KEY, a INT)",
        )
        .unwrap();
    let in_pick = |filter: Filter| Filter {
        include: if filter.include.is_empty() { vec!["pick*.*".into()] } else { filter.include },
        ddl: false,
        ..filter
    };
    let cases: Vec<(&str, Filter, &[&str])> = vec![
        (
            "all",
            Filter::default(),
            &["orders insert 1", "items insert 1", "orders insert 9", "orders update 1", "items delete 1"],
        ),
        ("a table", of(&["pick.orders"]), &["orders insert 1", "orders update 1"]),
        ("a star", of(&["pick*.o*"]), &["orders insert 1", "orders insert 9", "orders update 1"]),
        ("a regex", of(&["/pick\\.(items|none)/"]), &["items insert 1", "items delete 1"]),
        (
            "excluded",
            Filter { exclude: vec!["*.orders".into()], ..Filter::default() },
            &["items insert 1", "items delete 1"],
        ),
        (
            "kinds",
            Filter { kinds: vec![Op::Update, Op::Delete], ..Filter::default() },
            &["orders update 1", "items delete 1"],
        ),
        (
            "columns",
            Filter {
                columns: vec![ColumnFilter { tables: "pick.orders".into(), columns: vec!["b".into()] }],
                ..of(&["pick.orders"])
            },
            &["orders insert 1", "orders update 1"],
        ),
    ];
    let mut clients: Vec<_> = cases
        .iter()
        .map(|(name, filter, _)| connect(&daemon, Subscribe { filter: in_pick(filter.clone()), ..subscribe(name) }))
        .collect();
    server
        .sql(
            "INSERT INTO pick.orders VALUES (1, 10, 'x'); INSERT INTO pick.items VALUES (1, 11);
              INSERT INTO pick_other.orders VALUES (9, 12); UPDATE pick.orders SET a = 20, b = 'y';
              DELETE FROM pick.items",
        )
        .unwrap();
    for ((name, _, expected), client) in cases.iter().zip(&mut clients) {
        let changes = client.changes(expected.len(), SOON).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(shown(&changes), *expected, "{name}");
        let update = changes.iter().find(|change| change.op == "update" && change.table == "orders");
        if let Some(Change { before: Some(before), after: Some(after), .. }) = update {
            let other = if *name == "columns" { None } else { Some(20) };
            assert_eq!(after.get("a").and_then(|a| a.as_i64()), other, "{name}: {after:?}");
            assert_eq!((before["b"].as_str(), after["b"].as_str()), (Some("x"), Some("y")), "{name}");
        }
    }
    for ((name, ..), client) in cases.iter().zip(&mut clients) {
        assert_eq!(client.transactions(QUIET).unwrap(), [], "{name} gets nothing more");
    }
}

#[test]
fn many_subscriptions_each_get_every_row_and_keep_their_own_cursor() {
    let Some((server, mut daemon)) = start() else { return };
    server
        .sql("CREATE DATABASE many; CREATE TABLE many.a (id INT PRIMARY KEY); CREATE TABLE many.b (id INT PRIMARY KEY)")
        .unwrap();
    const CLIENTS: usize = 60;
    // a few filters among them, so that views are shared and not shared
    let filters = [of(&["many.*"]), of(&["many.a"]), of(&["many.b"])];
    let request =
        |number: usize| Subscribe { filter: filters[number % 3].clone(), ..subscribe(&format!("many-{number}")) };
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|number| RawClient::subscribe(daemon.listen, request(number)).unwrap().unwrap()).collect();
    for id in 0..50 {
        server.sql(&format!("INSERT INTO many.a VALUES ({id}); INSERT INTO many.b VALUES ({})", id + 100)).unwrap();
    }
    let expected = |number: usize| -> Vec<u64> {
        let all = (0..50).flat_map(|id| [id, id + 100]);
        all.filter(|id| number.is_multiple_of(3) || (*id < 100) == (number % 3 == 1)).collect()
    };
    for (number, (client, begin)) in clients.iter_mut().enumerate() {
        let expected = expected(number);
        let mut deliveries = Vec::new();
        while deliveries.len() < expected.len() {
            let came = client.transactions(SOON).unwrap();
            assert!(!came.is_empty(), "client {number} has {} of {}", deliveries.len(), expected.len());
            deliveries.extend(came);
        }
        let ids: Vec<u64> = deliveries.iter().map(|delivery| delivery.changes[0].id().unwrap()).collect();
        assert_eq!(ids, expected, "client {number}");
        // each acknowledges another one
        let sequence = deliveries[number % expected.len()].sequence;
        client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence }).unwrap();
        wait_durable(client, sequence);
    }
    drop(clients);
    daemon.kill9().unwrap();
    daemon.start_again().unwrap();
    for number in 0..CLIENTS {
        let mut client = connect(&daemon, request(number));
        let expected = &expected(number)[number % expected(number).len() + 1..];
        if let Some(first) = expected.first() {
            let changes = client.changes(1, SOON).unwrap();
            assert_eq!(changes[0].id(), Some(*first), "client {number} after the restart");
        }
    }
}

#[test]
fn a_standby_takes_over_behind_the_last_durable_ack() {
    let Some((server, daemon)) = start() else { return };
    server.sql("CREATE DATABASE standby; CREATE TABLE standby.t (id INT PRIMARY KEY)").unwrap();
    let request = Subscribe { filter: of(&["standby.*"]), ..subscribe("shared name") };
    let (mut first, begin) = RawClient::subscribe(daemon.listen, request.clone()).unwrap().unwrap();

    let refused = RawClient::subscribe(daemon.listen, request.clone()).unwrap().err().unwrap();
    assert_eq!((refused.code.as_str(), refused.retry), ("subscription_busy", true), "{}", refused.message);

    let mut second = RawClient::hello(daemon.listen, "", "").unwrap().unwrap();
    second.send(&ClientMessage::Subscribe(Box::new(Subscribe { standby: true, ..request }))).unwrap();
    let waits = second.receive(SOON).unwrap();
    assert!(matches!(waits, Received::Message(ServerMessage::Waiting)), "{waits:?}");

    for id in 1..=3 {
        server.sql(&format!("INSERT INTO standby.t VALUES ({id})")).unwrap();
    }
    let mut sequences = Vec::new();
    while sequences.len() < 3 {
        let came = first.transactions(SOON).unwrap();
        assert!(!came.is_empty());
        sequences.extend(came.iter().map(|delivery| delivery.sequence));
    }
    first.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: sequences[1] }).unwrap();
    wait_durable(&mut first, sequences[1]);
    assert!(matches!(second.receive(QUIET).unwrap(), Received::Nothing), "the standby gets nothing while it waits");
    drop(first);

    let taken = second.receive(SOON).unwrap();
    assert!(matches!(taken, Received::Message(ServerMessage::Subscribed { .. })), "{taken:?}");
    assert_eq!(shown(&second.changes(1, SOON).unwrap()), ["t insert 3"]);
    server.sql("INSERT INTO standby.t VALUES (4)").unwrap();
    assert_eq!(shown(&second.changes(1, SOON).unwrap()), ["t insert 4"]);
}

fn wait_durable(client: &mut RawClient, sequence: u64) {
    loop {
        match client.receive(SOON).unwrap() {
            Received::Message(ServerMessage::Acked { sequence: durable, .. }) if durable >= sequence => return,
            Received::Message(_) | Received::Transactions(_) => {}
            other => panic!("no durable ack of {sequence}: {other:?}"),
        }
    }
}

#[test]
fn rollback_delivers_again_from_the_durable_ack_on() {
    let Some((server, daemon)) = start() else { return };
    server.sql("CREATE DATABASE back; CREATE TABLE back.t (id INT PRIMARY KEY)").unwrap();
    let request = Subscribe { filter: of(&["back.*"]), ..subscribe("back") };
    let (mut client, begin) = RawClient::subscribe(daemon.listen, request).unwrap().unwrap();
    for id in 1..=4 {
        server.sql(&format!("INSERT INTO back.t VALUES ({id})")).unwrap();
    }
    let mut first = Vec::new();
    while first.len() < 4 {
        first.extend(client.transactions(SOON).unwrap());
    }
    client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: first[1].sequence }).unwrap();
    wait_durable(&mut client, first[1].sequence);
    for round in 0..2 {
        client.send(&ClientMessage::Rollback).unwrap();
        loop {
            match client.receive(SOON).unwrap() {
                Received::Message(ServerMessage::RolledBack(_)) => break,
                // of the old delivery
                Received::Message(_) | Received::Transactions(_) => {}
                other => panic!("round {round}: instead of RolledBack: {other:?}"),
            }
        }
        let mut again = Vec::new();
        while again.len() < 2 {
            let came = client.transactions(SOON).unwrap();
            assert!(!came.is_empty(), "round {round}: {again:?}");
            // Some only move the position.
            again.extend(came.into_iter().filter(|delivery| !delivery.changes.is_empty()));
        }
        let content = |deliveries: &[millstream_tests::load::Delivery]| -> Vec<_> {
            deliveries.iter().map(|delivery| (delivery.id.clone(), delivery.changes.clone())).collect()
        };
        assert_eq!(content(&again), content(&first[2..]), "round {round}");
    }
    server.sql("INSERT INTO back.t VALUES (5)").unwrap();
    assert_eq!(shown(&client.changes(1, SOON).unwrap()), ["t insert 5"]);
}

#[test]
fn an_ack_that_cannot_be_is_refused_and_moves_nothing() {
    let Some((server, daemon)) = start() else { return };
    server.sql("CREATE DATABASE acks; CREATE TABLE acks.t (id INT PRIMARY KEY)").unwrap();
    let request = Subscribe { filter: of(&["acks.*"]), ..subscribe("acks") };
    drop(connect(&daemon, request.clone()));
    server.sql("INSERT INTO acks.t VALUES (1), (2)").unwrap();
    let attempt = |epoch: u64, ahead: u64, code: &str| {
        let (mut client, begin) = subscribed_once_free(&daemon, &request);
        let came = client.transactions(SOON).unwrap();
        assert_eq!(shown(&came[0].changes), ["t insert 1", "t insert 2"], "before the ack of {code}");
        let ack = ClientMessage::Ack { epoch: begin.epoch + epoch, sequence: came[0].sequence + ahead };
        client.send(&ack).unwrap();
        let error = client.refusal(SOON).unwrap().unwrap();
        assert_eq!(error.code, code, "{}", error.message);
    };
    attempt(0, 1, "bad_ack");
    attempt(0, 1 << 50, "bad_ack");
    attempt(1, 0, "stale_epoch");
    // an ack twice, and one of what is acknowledged already, are in order
    let (mut client, begin) = subscribed_once_free(&daemon, &request);
    let came = client.transactions(SOON).unwrap();
    for _ in 0..2 {
        client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: came[0].sequence }).unwrap();
    }
    client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: came[0].sequence - 1 }).unwrap();
    server.sql("INSERT INTO acks.t VALUES (3)").unwrap();
    assert_eq!(shown(&client.changes(1, SOON).unwrap()), ["t insert 3"]);
}

/// The name is free again a moment after its last connection has ended.
fn subscribed_once_free(
    daemon: &Millstreamd,
    request: &Subscribe,
) -> (RawClient, millstream_tests::harness::Subscribed) {
    loop {
        match RawClient::subscribe(daemon.listen, request.clone()).unwrap() {
            Ok(subscribed) => return subscribed,
            Err(error) => assert_eq!(error.code, "subscription_busy", "{}", error.message),
        }
    }
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let Some((_, daemon)) = start() else { return };
    let hello = || ClientMessage::Hello(Hello { protocol_version: PROTOCOL_VERSION, ..Hello::default() });
    let asks = |request: Subscribe| vec![hello(), ClientMessage::Subscribe(Box::new(request))];
    let check = |messages: Vec<ClientMessage>, code: &str, words: &[&str]| {
        let mut client = RawClient::connect(daemon.listen).unwrap();
        for message in &messages {
            client.send(message).unwrap();
        }
        let error = client.refusal(SOON).unwrap().unwrap_or_else(|| panic!("{code}: closed without a reason"));
        assert_eq!(error.code, code, "{}", error.message);
        for word in words {
            assert!(error.message.contains(word), "{code}: no {word:?} in {:?}", error.message);
        }
    };
    check(asks(Subscribe { destination: "mian".into(), ..subscribe("a") }), "unknown_destination", &["mian", "main"]);
    check(asks(Subscribe { filter: of(&["/a(/"]), ..subscribe("a") }), "bad_filter", &["/a(/"]);
    check(asks(Subscribe { filter: of(&["no_dot"]), ..subscribe("a") }), "bad_filter", &["no_dot"]);
    check(asks(Subscribe { start: Start::Token(vec![1, 2, 3]), ..subscribe("a") }), "bad_start", &["token"]);
    check(asks(Subscribe { start: Start::GtidSet("x:y".into()), ..subscribe("a") }), "bad_start", &["x:y"]);
    check(asks(subscribe(&"n".repeat(200))), "bad_subscription", &["128"]);
    check(vec![ClientMessage::Hello(Hello { protocol_version: 99, ..Hello::default() })], "protocol_version", &["99"]);
    check(vec![ClientMessage::Rollback], "protocol_error", &["Hello"]);
    check(vec![hello(), ClientMessage::Ack { epoch: 1, sequence: 1 }], "protocol_error", &["Subscribe"]);
    check(vec![hello(), hello()], "protocol_error", &["Hello"]);
    check(
        asks(Subscribe { start: Start::File { file: "binlog.999999".into(), offset: 4 }, ..subscribe("a") }),
        "bad_position",
        &["binlog.999999"],
    );
}

#[test]
fn hostile_bytes_end_their_connection_and_nothing_else() {
    let Some((server, daemon)) = start() else { return };
    server.sql("CREATE DATABASE hostile; CREATE TABLE hostile.t (id INT PRIMARY KEY)").unwrap();
    let mut honest = connect(&daemon, Subscribe { filter: of(&["hostile.*"]), ..subscribe("honest") });
    let mut random = Random::new(Random::seed_of_test("hostile_bytes"));
    let whole = ClientMessage::Subscribe(Box::new(subscribe("x"))).encode();
    let attack = |random: &mut Random, round: u64| -> Vec<u8> {
        match round % 5 {
            // nothing of the protocol
            0 => (0..8 + random.below(4096)).map(|_| random.next() as u8).collect(),
            // one segment that claims to be 32 GiB
            1 => vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3],
            // just over the bound of a client's message, then as many bytes as fit
            2 => [&[0, 0, 0, 0, 1, 0, 2, 0][..], &[0x55; 64 << 10]].concat(),
            // a message of which a few bytes are others
            3 => {
                let mut bytes = whole.clone();
                for _ in 0..8 {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = random.next() as u8;
                }
                bytes
            }
            // cut short
            _ => whole[..random.below(whole.len() as u64) as usize].to_vec(),
        }
    };
    let rounds = |random: &mut Random, count: u64| {
        for round in 0..count {
            let Ok(mut client) = RawClient::connect(daemon.listen) else { panic!("it does not listen any more") };
            let _ = client.send_bytes(&attack(random, round));
            if round % 5 < 2 {
                // told why, or closed at once; never left open
                let _ = client.refusal(SOON).unwrap();
            }
        }
    };
    rounds(&mut random, 500);
    let before = daemon.resident_bytes().unwrap();
    rounds(&mut random, 3000);
    let after = daemon.resident_bytes().unwrap();
    assert!(after < before + (8 << 20), "resident memory grew from {before} to {after}");
    assert!(daemon.metrics().unwrap().sum("millstream_protocol_errors_total", &[]) > 1000.0);
    // one that says nothing, one that stops after Hello: both make room for others in time
    for mut client in
        [RawClient::connect(daemon.listen).unwrap(), RawClient::hello(daemon.listen, "", "").unwrap().unwrap()]
    {
        let error = client.refusal(SOON).unwrap().expect("a reason");
        assert_eq!((error.code.as_str(), error.retry), ("timeout", true));
    }
    // fifty that say half a message and wait
    let mut slow: Vec<RawClient> = (0..50).map(|_| RawClient::connect(daemon.listen).unwrap()).collect();
    for client in &mut slow {
        client.send_bytes(&whole[..whole.len() / 2]).unwrap();
    }
    server.sql("INSERT INTO hostile.t VALUES (1)").unwrap();
    assert_eq!(shown(&honest.changes(1, SOON).unwrap()), ["t insert 1"]);
}

#[test]
fn a_name_and_a_password_are_asked_for_where_users_are_configured() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    let hash = password_hash("correct horse");
    assert!(!hash.contains("correct"), "{hash}");
    let daemon = Millstreamd::start(server, Options::default().user("reader", &hash)).unwrap();
    for (user, password) in [("", ""), ("reader", ""), ("reader", "wrong"), ("other", "correct horse")] {
        let error = RawClient::hello(daemon.listen, user, password).unwrap().err().unwrap();
        assert_eq!(error.code, "access_denied", "{user}/{password}");
        assert!(!error.message.contains("horse"));
    }
    assert!(RawClient::hello(daemon.listen, "reader", "correct horse").unwrap().is_ok());
    assert!(!daemon.log().contains("horse"), "a password is in the log");
}

fn password_hash(password: &str) -> String {
    let mut child = Command::new(workspace_program("millstreamd").unwrap())
        .arg("--hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_subscription_can_start_anywhere_in_the_log() {
    for flavour in [Flavour::Mysql97, Flavour::Mariadb118, Flavour::Mysql57] {
        let Some(server) = MysqlServer::start(flavour, &[]).unwrap() else { continue };
        server.sql("CREATE DATABASE starts; CREATE TABLE starts.t (id INT PRIMARY KEY)").unwrap();
        let insert = |id: u32| server.sql(&format!("INSERT INTO starts.t VALUES ({id})")).unwrap();
        (1..=3).for_each(insert);
        let (file, offset) = server.binlog_end().unwrap();
        let gtids = server.gtids().unwrap();
        // timestamps of MySQL 5.7 and MariaDB are whole seconds
        std::thread::sleep(Duration::from_millis(2100));
        let timestamp_us = now_us() - 1_000_000;
        (4..=5).for_each(insert);
        server.sql("FLUSH BINARY LOGS").unwrap();
        (6..=8).for_each(insert);
        let daemon = Millstreamd::start(&server, Options::default()).unwrap();
        let starts = [
            ("earliest", Start::Earliest, 1),
            ("file", Start::File { file, offset }, 4),
            ("gtids", Start::GtidSet(gtids.replace('\n', "")), 4),
            ("timestamp", Start::TimestampUs(timestamp_us), 4),
            ("latest", Start::Latest, 9),
            ("resume of a new name", Start::Resume, 9),
        ];
        let mut clients = Vec::new();
        let mut token = None;
        for (name, start, first) in starts {
            let request = Subscribe { filter: of(&["starts.*"]), start, ..subscribe(name) };
            let (client, begin) = RawClient::subscribe(daemon.listen, request)
                .unwrap()
                .unwrap_or_else(|error| panic!("{flavour}, {name}: {}", error.message));
            if name == "file" {
                token = Some(begin.token);
            }
            clients.push((name, client, first));
        }
        let token = Start::Token(token.unwrap());
        let request = Subscribe { filter: of(&["starts.*"]), start: token, ..subscribe("") };
        clients.push(("token", connect(&daemon, request), 4));
        (9..=10).for_each(insert);
        for (name, client, first) in &mut clients {
            let expected: Vec<String> = (*first..=10).map(|id| format!("t insert {id}")).collect();
            let mut changes = Vec::new();
            while changes.len() < expected.len() {
                let came = client.transactions(SOON).unwrap_or_else(|error| panic!("{flavour}, {name}: {error:#}"));
                assert!(!came.is_empty(), "{flavour}, {name}: only {:?}", shown(&changes));
                changes.extend(came.into_iter().flat_map(|delivery| delivery.changes));
            }
            assert_eq!(shown(&changes), expected, "{flavour}, {name}");
        }
        if server.kind() == Kind::Mysql {
            // another history's position is no place in this one
            let request = Subscribe {
                start: Start::GtidSet("8f2c0000-0000-11ee-8000-000000000001:1-5".into()),
                ..subscribe("foreign")
            };
            let error = RawClient::subscribe(daemon.listen, request).unwrap().err().unwrap();
            assert!(error.message.contains("8f2c0000"), "{flavour}: {} {}", error.code, error.message);
        }
    }
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

#[test]
fn every_layout_of_the_cores_delivers_the_same_stream() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    let cores: [(&str, &[(&str, &str)]); 3] = [
        ("one", &[]),
        ("pinned_source", &[("source_core", "0"), ("worker_cores", "[1]")]),
        ("two_workers", &[("worker_cores", "[0, 1]"), ("spin_before_sleep_us", "20")]),
    ];
    for (name, keys) in cores {
        let options = keys.iter().fold(Options::default(), |options, (key, value)| options.engine(key, value));
        let daemon = Millstreamd::start(server, options).unwrap();
        let database = format!("cores_{name}");
        Load::prepare(server, &database).unwrap();
        let seed = Random::seed_of_test(name);
        let load_options = LoadOptions { large_every: 100, ddl_every: 60, ..LoadOptions::new(&database, seed) };
        let load = Load::start_prepared(server, load_options).unwrap();
        let filter = Filter { ddl: true, ..of(&[&format!("{database}.*")]) };
        let request = Subscribe { filter, ..subscribe(name) };
        // begins in the middle of the load
        std::thread::sleep(Duration::from_millis(300));
        let earliest = Subscribe { start: Start::Earliest, ..request };
        let follow = Follow::start(daemon.listen, earliest, load.ledger(), &database).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        load.stop().unwrap();
        let report = follow.finish(server, SOON).unwrap();
        report.ensure_clean().unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(report.transactions > 300 && report.ddl > 0, "{name}: {report:?}");
    }
}
