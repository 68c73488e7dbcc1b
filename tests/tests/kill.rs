//! `kill -9` of the server and of its client, at random moments, under load: no row is lost, the order is kept, what
//! comes again begins behind the last ack that was known to be durable, and has the same row ids.
//!
//! `MILLSTREAM_KILL_ROUNDS` (default 50) kills; `MILLSTREAM_SEED` repeats a run.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::harness::{
    DESTINATION, Flavour, Millstreamd, MysqlServer, Options, bound_command, spawn_bound, workspace_program,
};
use millstream_tests::load::{Checker, Delivery, Load, LoadOptions, Random};
use serde_json::Value;

const DATABASE: &str = "killed";
const SOON: Duration = Duration::from_secs(30);

/// A client process, and what has been read of its file.
struct Follower {
    child: Child,
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Follower {
    fn start(daemon: &Millstreamd, number: u32, ack_every: u64) -> Self {
        let path = daemon.folder().join(format!("follower-{number}"));
        let mut command = bound_command(&workspace_program("follower").unwrap());
        command
            .args([&daemon.listen.to_string(), DESTINATION, "killed", &format!("{DATABASE}.*")])
            .arg(&path)
            .arg(ack_every.to_string())
            .stdin(Stdio::null());
        Self { child: spawn_bound(command).unwrap(), path, offset: 0, partial: Vec::new() }
    }

    fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Hands what the file has more by now to the checker. A line that was cut by the kill was never acknowledged.
    fn read(&mut self, checker: &mut Checker) {
        let Ok(mut file) = File::open(&self.path) else { return };
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        let mut bytes = Vec::new();
        self.offset += file.read_to_end(&mut bytes).unwrap() as u64;
        self.partial.extend_from_slice(&bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.partial.split_off(end + 1);
        for line in self.partial.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut line: Value = serde_json::from_slice(line).unwrap();
            if let Some(delivery) = line.get_mut("received") {
                let delivery: Delivery = serde_json::from_value(delivery.take()).unwrap();
                checker.deliver(&delivery);
            } else if let Some(sequence) = line["durable"].as_u64() {
                checker.durable(sequence);
            } else if line.get("connected").is_some() {
                checker.connected();
            } else {
                panic!("an unknown line: {line}");
            }
        }
        self.partial = rest;
    }

    /// Reads until the checker has so many transactions.
    fn wait_for(&mut self, checker: &mut Checker, what: &str, reached: impl Fn(&Checker) -> bool) {
        let until = Instant::now() + SOON;
        loop {
            self.read(checker);
            if reached(checker) {
                return;
            }
            let status = self.child.try_wait().unwrap();
            assert!(status.is_none(), "{what}: the client ended with {status:?}");
            assert!(Instant::now() < until, "{what}: nothing more comes; {:?}", checker.report());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn killing_the_server_and_the_client_at_any_moment_loses_nothing() {
    let rounds = std::env::var("MILLSTREAM_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(50);
    kill(Flavour::Mysql97, rounds, Options::default());
}

#[test]
fn killing_loses_nothing_of_mariadb_with_two_workers_either() {
    let rounds = std::env::var("MILLSTREAM_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    kill(Flavour::Mariadb118, rounds, Options::default().engine("worker_cores", "[0, 1]"));
}

fn kill(flavour: Flavour, rounds: u32, options: Options) {
    let Some(server) = MysqlServer::start(flavour, &[]).unwrap() else { return };
    let seed = Random::seed_of_test("kill");
    let mut random = Random::new(seed);
    let mut daemon = Millstreamd::start(&server, options).unwrap();
    Load::prepare(&server, DATABASE).unwrap();

    // the subscription exists before the first row
    let mut followers = 0;
    let mut start_follower = |daemon: &Millstreamd, random: &mut Random| {
        followers += 1;
        Follower::start(daemon, followers, 1 + random.below(20))
    };
    let mut follower = start_follower(&daemon, &mut random);
    let until = Instant::now() + SOON;
    while !std::fs::read_to_string(&follower.path).unwrap_or_default().contains("connected") {
        assert!(Instant::now() < until, "the client does not connect:\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let options = LoadOptions { large_every: 150, ddl_every: 400, ..LoadOptions::new(DATABASE, seed).rate(250) };
    let load = Load::start_prepared(&server, options).unwrap();
    let mut checker = Checker::new(load.ledger(), DATABASE);

    let begun = Instant::now();
    let (mut server_kills, mut client_kills) = (0, 0);
    for round in 0..rounds {
        // something new arrives, so that every kill hits a stream that flows; then any moment will do
        let came = checker.report().transactions;
        let what = format!("round {round}, seed {seed}");
        follower.wait_for(&mut checker, &what, |checker| checker.report().transactions > came);
        std::thread::sleep(Duration::from_micros(random.below(700_000)));
        let target = random.below(10);
        if target < 6 {
            daemon.kill9().unwrap();
            server_kills += 1;
        }
        if target >= 5 {
            follower.kill9();
            client_kills += 1;
            follower.read(&mut checker);
            follower = start_follower(&daemon, &mut random);
        }
        if target < 6 {
            daemon.start_again().unwrap();
        }
        assert_eq!(checker.report().complaints, [""; 0], "{what}");
    }
    load.stop().unwrap();
    follower.wait_for(&mut checker, "at the end", Checker::is_complete);
    std::thread::sleep(Duration::from_millis(200));
    follower.read(&mut checker);
    let report = checker.finish(&server).unwrap();
    println!(
        "{rounds} rounds in {:?}: {server_kills} kills of the server, {client_kills} of the client; {} transactions, {} rows, \
         {} transactions again, {} connections",
        begun.elapsed(),
        report.transactions,
        report.rows,
        report.redelivered,
        report.connections
    );
    report.ensure_clean().unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", daemon.log()));
    assert!(rounds < 10 || report.redelivered > 0, "no kill hit between delivery and ack: {report:?}");
}
