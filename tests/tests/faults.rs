//! Faults at the source: connections cut everywhere, servers that crash, stall or forget, and settings that leave
//! nothing to deliver. Whatever happens, no row is lost, none comes in a wrong order, and what cannot go on says why.

use std::time::{Duration, Instant};

use millstream_codec::wire::messages::{Filter, Start, Subscribe};
use millstream_tests::harness::{
    Flavour, Millstreamd, MysqlServer, Options, Proxy, RawClient, Session, signal, subscribe,
};
use millstream_tests::load::{Follow, Load, LoadOptions, Random};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);
const DATABASE: &str = "fault";

fn of_load(name: &str) -> Subscribe {
    let filter = Filter { include: vec![format!("{DATABASE}.*")], ..Filter::default() };
    Subscribe { filter, ..subscribe(name) }
}

/// Notices a dead peer in about a second, and tries again soon.
fn impatient() -> Options {
    // A question, or the request for the stream, may be swallowed too: nothing but this ends the wait for its answer.
    Options::default()
        .source("heartbeat_ms", "200")
        .source("connect_timeout_ms", "500")
        .source("response_timeout_ms", "3000")
        .source("backoff_max_ms", "200")
}

/// A workload, a proxy before its server, and a subscriber that checks everything.
struct Scene {
    server: MysqlServer,
    proxy: Proxy,
    daemon: Millstreamd,
    load: Load,
    follow: Follow,
    random: Random,
}

impl Scene {
    fn start(name: &str, options: Options, load: impl FnOnce(LoadOptions) -> LoadOptions) -> Option<Self> {
        let server = MysqlServer::start(Flavour::Mysql97, &[]).unwrap()?;
        let proxy = Proxy::start(server.address().parse().unwrap()).unwrap();
        let daemon = Millstreamd::start_at(&proxy.address.to_string(), options).unwrap();
        let seed = Random::seed_of_test(name);
        Load::prepare(&server, DATABASE).unwrap();
        let request = of_load(name);
        // the subscription stands before the first row is written
        drop(RawClient::subscribe(daemon.listen, request.clone()).unwrap().unwrap());
        let load = Load::start_prepared(&server, load(LoadOptions::new(DATABASE, seed))).unwrap();
        let follow = until_free(&daemon, request, &load);
        Some(Self { server, proxy, daemon, load, follow, random: Random::new(seed) })
    }

    /// Everything arrives after all, exactly as it should.
    fn finish(self) {
        let errors = self.load.errors();
        self.load.stop().unwrap();
        let report = self.follow.finish(&self.server, SOON).unwrap();
        println!(
            "{} transactions, {} rows, {} connections; the writers got over {errors} errors",
            report.transactions, report.rows, report.connections
        );
        report.ensure_clean().unwrap_or_else(|error| panic!("{error:#}\n{}", self.daemon.log()));
    }

    fn transactions(&self) -> u64 {
        self.follow.checker().report().transactions
    }

    /// Rows flow again: so many more transactions come.
    fn flows(&self, transactions: u64) {
        self.follow.wait_for(self.transactions() + transactions, SOON).unwrap_or_else(|error| {
            let committed = self.load.ledger().committed();
            panic!("{error:#}; {committed} committed; {:?}\n{}", self.daemon.status(), self.daemon.log());
        });
    }

    fn reconnects(&self) -> f64 {
        self.daemon.metrics().unwrap().sum("millstream_source_reconnects_total", &[])
    }
}

fn until_free(daemon: &Millstreamd, request: Subscribe, load: &Load) -> Follow {
    let until = Instant::now() + SOON;
    loop {
        match Follow::start(daemon.listen, request.clone(), load.ledger(), DATABASE) {
            Ok(follow) => return follow,
            Err(error) => assert!(Instant::now() < until, "{error:#}"),
        }
    }
}

#[test]
fn dump_connections_killed_at_the_server_lose_nothing() {
    let Some(mut scene) = Scene::start("killed_dumps", impatient(), |load| load) else { return };
    let before = scene.reconnects();
    let mut killed = 0;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(50 + scene.random.below(150)));
        let session = scene.server.session().unwrap();
        let all = session.query("SHOW PROCESSLIST").unwrap();
        let command = all.columns.iter().position(|name| name == "Command").unwrap();
        for row in 0..all.rows.len() {
            if all.text(row, command).unwrap().starts_with("Binlog Dump") {
                // it may have ended by itself since
                killed += u32::from(session.query(&format!("KILL {}", all.text(row, 0).unwrap())).is_ok());
            }
        }
    }
    scene.flows(50);
    assert!(killed >= 5 && scene.reconnects() > before, "{killed} killed, {} reconnects", scene.reconnects());
    scene.finish();
}

#[test]
fn connections_cut_at_any_byte_lose_nothing() {
    let Some(mut scene) = Scene::start("cut_anywhere", impatient(), |load| LoadOptions { large_every: 80, ..load })
    else {
        return;
    };
    let before = scene.proxy.accepted();
    for _ in 0..6 {
        // what comes now is cut at these bytes, again and again
        scene.proxy.cut_at(4_000 + scene.random.below(60_000));
        scene.proxy.cut();
        std::thread::sleep(Duration::from_millis(500));
    }
    scene.proxy.cut_at(u64::MAX);
    scene.proxy.cut();
    scene.flows(50);
    assert!(scene.proxy.accepted() > before + 10, "{} connections", scene.proxy.accepted() - before);
    scene.finish();
}

#[test]
fn a_server_that_crashes_and_comes_back_loses_nothing() {
    let Some(mut scene) = Scene::start("crashed_server", impatient(), |load| load) else { return };
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300 + scene.random.below(700)));
        // one more transaction is open, and stays so
        let open = Session::open_with(scene.server.tcp_options()).unwrap();
        open.run(&format!(
            "BEGIN; INSERT INTO {DATABASE}.accounts (id, writer, txn, balance, rating, flags, opened, bits) \
             VALUES (1, 99, 99, 1, 1, 'vip', '2024-01-01', 1)"
        ))
        .unwrap();
        scene.server.kill9().unwrap();
        std::thread::sleep(Duration::from_millis(scene.random.below(500)));
        scene.server.start_again().unwrap();
        scene.flows(50);
    }
    scene.finish();
}

#[test]
fn a_server_that_stops_answering_is_noticed_by_its_silence() {
    let Some(scene) = Scene::start("half_open", impatient(), |load| load) else { return };
    scene.flows(50);
    // bytes vanish, connections stay: no end is ever told
    scene.proxy.swallow(true);
    let reason = scene.daemon.wait_for_page("/readyz", 503, SOON).unwrap();
    assert!(reason.contains("nothing was heard"), "{reason}");
    assert_eq!(scene.daemon.metrics().unwrap().sum("millstream_source_connected", &[]), 0.0);
    scene.proxy.swallow(false);
    scene.flows(50);
    assert_eq!(scene.daemon.http("/readyz").unwrap().0, 200);

    // the same with a server whose process is stopped
    let pid = std::fs::read_to_string(scene.server.datadir().parent().unwrap().join("run/pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    signal(pid, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    signal(pid, Signal::CONT).unwrap();
    scene.flows(50);
    scene.finish();
}

#[test]
fn faults_on_top_of_faults_lose_nothing() {
    let Some(mut scene) =
        Scene::start("on_top", impatient(), |load| LoadOptions { large_every: 120, ddl_every: 300, ..load })
    else {
        return;
    };
    let rounds: u32 = std::env::var("MILLSTREAM_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for round in 0..rounds {
        std::thread::sleep(Duration::from_micros(scene.random.below(400_000)));
        for _ in 0..1 + scene.random.below(2) {
            match scene.random.below(5) {
                0 => scene.proxy.cut(),
                1 => {
                    scene.server.kill9().unwrap();
                    scene.server.start_again().unwrap();
                }
                2 => {
                    scene.daemon.kill9().unwrap();
                    scene.daemon.start_again().unwrap();
                }
                3 => scene.server.sql("FLUSH BINARY LOGS").unwrap(),
                _ => {
                    scene.proxy.swallow(true);
                    std::thread::sleep(Duration::from_millis(scene.random.below(1_000)));
                    scene.proxy.swallow(false);
                }
            }
        }
        // every third time it may settle first
        if round % 3 == 2 {
            scene.flows(20);
        }
    }
    scene.flows(20);
    scene.finish();
}

#[test]
fn a_storm_of_log_rotations_loses_nothing() {
    let Some(scene) = Scene::start("rotations", impatient(), |load| load.rate(200)) else { return };
    let session = scene.server.session().unwrap();
    for _ in 0..150 {
        session.query("FLUSH BINARY LOGS").unwrap();
    }
    scene.flows(50);
    // and for one who reads it all again
    let mut again = RawClient::subscribe(scene.daemon.listen, Subscribe { start: Start::Earliest, ..of_load("again") })
        .unwrap()
        .unwrap()
        .0;
    let wanted = scene.transactions();
    let mut came = 0;
    while came < wanted {
        let transactions = again.transactions(SOON).unwrap();
        assert!(!transactions.is_empty(), "{came} of {wanted}");
        came += transactions.iter().filter(|delivery| !delivery.changes.is_empty()).count() as u64;
    }
    scene.finish();
}

/// A server keeps files that a dump thread still has open, also for a moment after its reader is gone.
fn purge_to(server: &MysqlServer, file: &str) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        server.sql(&format!("PURGE BINARY LOGS TO '{file}'")).unwrap();
        let first = server.binlog_files().unwrap().into_iter().next().unwrap();
        if first.ends_with(file) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{first:?} is not purged");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_cursor_whose_log_is_purged_is_refused_and_never_jumps() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY)")).unwrap();
    let mut daemon = Millstreamd::start(&server, impatient()).unwrap();
    drop(RawClient::subscribe(daemon.listen, of_load("old")).unwrap().unwrap());
    let first_file = server.binlog_end().unwrap().0;
    daemon.terminate().unwrap();
    server
        .sql(&format!("INSERT INTO {DATABASE}.t VALUES (1); FLUSH BINARY LOGS; INSERT INTO {DATABASE}.t VALUES (2)"))
        .unwrap();
    let last_file = server.binlog_end().unwrap().0;
    purge_to(&server, &last_file);
    daemon.start_again().unwrap();
    let check = |what: &str, request: Subscribe| {
        let (said, retry) = match RawClient::subscribe(daemon.listen, request).unwrap() {
            Err(error) => (format!("{}: {}", error.code, error.message), error.retry),
            Ok((mut client, _)) => {
                let error = client.refusal(SOON).unwrap().expect("a reason");
                (format!("{}: {}", error.code, error.message), error.retry)
            }
        };
        assert!(!retry, "{what}: trying again cannot help: {said}");
        assert!(said.contains("purged"), "{what}: {said}");
        said
    };
    let said = check("the cursor", of_load("old"));
    assert!(said.contains(&first_file) || said.contains(&server.gtids().unwrap()[..36]), "{said}");
    check("a file", Subscribe { start: Start::File { file: first_file.clone(), offset: 4 }, ..of_load("file") });
    // asked once more, it is still the old cursor
    check("the cursor again", of_load("old"));
    // another subscription is unaffected
    let mut other = RawClient::subscribe(daemon.listen, of_load("new")).unwrap().unwrap().0;
    server.sql(&format!("INSERT INTO {DATABASE}.t VALUES (3)")).unwrap();
    assert_eq!(other.changes(1, SOON).unwrap()[0].id(), Some(3));
}

#[test]
fn a_source_whose_history_was_reset_halts_and_is_not_blended() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY)")).unwrap();
    let proxy = Proxy::start(server.address().parse().unwrap()).unwrap();
    let daemon = Millstreamd::start_at(&proxy.address.to_string(), impatient()).unwrap();
    let mut client = RawClient::subscribe(daemon.listen, of_load("reset")).unwrap().unwrap().0;
    for id in 1..=20 {
        server.sql(&format!("INSERT INTO {DATABASE}.t VALUES ({id})")).unwrap();
    }
    client.changes(20, SOON).unwrap();
    proxy.refuse(true);
    proxy.cut();
    server.sql(&format!("RESET BINARY LOGS AND GTIDS; INSERT INTO {DATABASE}.t VALUES (100)")).unwrap();
    proxy.refuse(false);
    let until = Instant::now() + SOON;
    loop {
        match client.transactions(Duration::from_millis(200)) {
            Ok(transactions) => assert_eq!(transactions, [], "rows of another history"),
            Err(error) => {
                println!("the client was told: {error:#}");
                break;
            }
        }
        assert!(Instant::now() < until, "nobody noticed:\n{}", daemon.log());
    }
    let reason = daemon.wait_for_page("/readyz", 503, SOON).unwrap();
    assert!(reason.contains("main"), "{reason}");
    assert_eq!(daemon.metrics().unwrap().sum("millstream_source_halted", &[]), 1.0, "{reason}");
}

#[test]
fn a_source_that_cannot_be_read_is_named_with_the_remedy_and_read_once_it_can() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    server
        .sql(
            "CREATE USER weak@'%' IDENTIFIED BY 'pw'; CREATE DATABASE fault; CREATE TABLE fault.t (id INT PRIMARY KEY)",
        )
        .unwrap();
    let check = |options: Options, words: &[&str]| {
        let daemon = Millstreamd::start(&server, options.without_waiting_for_the_source()).unwrap();
        let until = Instant::now() + SOON;
        loop {
            let (status, reason) = daemon.http("/readyz").unwrap();
            assert_eq!(status, 503, "{words:?}: {reason}");
            if words.iter().all(|word| reason.contains(word)) {
                return daemon;
            }
            assert!(Instant::now() < until, "{words:?} not in: {reason}\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    drop(check(impatient().source("password", "\"wrong\""), &["cdc", "password"]));
    let weak = impatient().source("user", "\"weak\"").source("password", "\"pw\"");
    let daemon = check(weak, &["REPLICATION SLAVE", "GRANT"]);
    // a client is told too, and may try again: what is wrong is mended at the source
    server.sql("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO weak@'%'").unwrap();
    daemon.wait_for_page("/readyz", 200, SOON).unwrap();
    let mut client = RawClient::subscribe(daemon.listen, of_load("weak")).unwrap().unwrap().0;
    server.sql("INSERT INTO fault.t VALUES (1)").unwrap();
    assert_eq!(client.changes(1, SOON).unwrap()[0].id(), Some(1));
}

#[test]
fn a_source_without_a_row_log_is_refused_with_the_setting_that_mends_it() {
    for (option, words) in [("--skip-log-bin", "log_bin"), ("--binlog-format=STATEMENT", "binlog_format")] {
        let Some(server) = MysqlServer::start(Flavour::Mysql97, &[option]).unwrap() else { return };
        let daemon = Millstreamd::start(&server, impatient().without_waiting_for_the_source()).unwrap();
        let until = Instant::now() + SOON;
        loop {
            let (status, reason) = daemon.http("/readyz").unwrap();
            assert_eq!(status, 503, "{option}: {reason}");
            if reason.contains(words) {
                break;
            }
            assert!(Instant::now() < until, "{option}: {reason}\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_change_logged_as_a_statement_halts_the_stream_before_it_unless_told_to_skip() {
    let Some(server) = MysqlServer::start(Flavour::Mysql97, &[]).unwrap() else { return };
    server.sql(&format!("CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY)")).unwrap();
    let halting = Millstreamd::start(&server, impatient()).unwrap();
    let skipping = Millstreamd::start(&server, impatient().destination("statement_dml", "\"skip\"")).unwrap();
    let mut halted = RawClient::subscribe(halting.listen, of_load("a")).unwrap().unwrap().0;
    let mut skipped = RawClient::subscribe(skipping.listen, of_load("a")).unwrap().unwrap().0;
    server
        .sql(&format!(
            "INSERT INTO {DATABASE}.t VALUES (1); SET SESSION binlog_format = STATEMENT;
             INSERT INTO {DATABASE}.t VALUES (2); SET SESSION binlog_format = ROW; INSERT INTO {DATABASE}.t VALUES (3)"
        ))
        .unwrap();
    assert_eq!(halted.changes(1, SOON).unwrap()[0].id(), Some(1));
    let error = halted.transactions(SOON).unwrap_err().to_string();
    assert!(error.contains("source_halted") && error.to_lowercase().contains("statement"), "{error}");
    let reason = halting.wait_for_page("/readyz", 503, SOON).unwrap();
    assert!(reason.to_lowercase().contains("statement") && reason.contains("statement_dml"), "{reason}");

    let changes = skipped.changes(2, SOON).unwrap();
    assert_eq!(changes.iter().map(|change| change.id().unwrap()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(skipping.metrics().unwrap().sum("millstream_source_statement_changes_skipped_total", &[]), 1.0);
}
