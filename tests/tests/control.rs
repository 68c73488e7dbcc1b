//! What operators see of a running millstreamd: metrics, health, status, complaints, and a clean end.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use millstream_codec::wire::messages::{ClientMessage, Filter, ServerMessage, Subscribe};
use millstream_tests::harness::{
    Flavour, Millstreamd, MysqlServer, Options, RawClient, Received, free_address, promtool, subscribe,
    workspace_program,
};

const SOON: Duration = Duration::from_secs(20);

fn of(pattern: &str) -> Filter {
    // statements that name no table are for everyone: other tests make databases on the same server
    Filter { include: vec![pattern.to_owned()], ddl: false, ..Filter::default() }
}

#[test]
fn metrics_health_and_status_tell_what_runs() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    server.sql("CREATE DATABASE seen; CREATE TABLE seen.t (id INT PRIMARY KEY, v VARCHAR(20))").unwrap();
    let daemon = Millstreamd::start(server, Options::default()).unwrap();
    let request = Subscribe { filter: of("seen.*"), ..subscribe("billing") };
    let (mut client, begin) = RawClient::subscribe(daemon.listen, request).unwrap().unwrap();
    for id in 1..=10 {
        server.sql(&format!("INSERT INTO seen.t VALUES ({id}, 'x'), ({}, 'y')", id + 100)).unwrap();
    }
    let mut last = 0;
    let mut rows = 0;
    while rows < 20 {
        for delivery in client.transactions(SOON).unwrap() {
            rows += delivery.changes.len();
            last = delivery.sequence;
        }
    }
    client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: last }).unwrap();
    loop {
        match client.receive(SOON).unwrap() {
            Received::Message(ServerMessage::Acked { sequence, .. }) if sequence == last => break,
            Received::Message(_) => {}
            other => panic!("no durable ack: {other:?}"),
        }
    }

    assert_eq!(daemon.http("/healthz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(daemon.http("/readyz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(daemon.http("/nothing").unwrap().0, 404);

    // histograms and statuses travel to the control thread once a second
    std::thread::sleep(Duration::from_millis(2500));
    let metrics = daemon.metrics().unwrap();
    let destination = [("destination", "main")];
    assert_eq!(metrics.sum("millstream_source_connected", &destination), 1.0);
    assert!(metrics.sum("millstream_source_received_bytes_total", &destination) > 500.0);
    assert!(metrics.sum("millstream_source_transactions_total", &destination) >= 10.0);
    assert_eq!(metrics.sum("millstream_sent_rows_total", &[]), 20.0);
    assert_eq!(metrics.sum("millstream_subscriptions", &[]), 1.0);
    assert_eq!(metrics.sum("millstream_acks_total", &[]), 1.0);
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 1e6);
    for stage in ["commit_to_receive", "receive_to_encode", "encode_to_sent", "sent_to_acked"] {
        let labels = [("stage", stage)];
        assert!(metrics.sum("millstream_stage_latency_seconds_count", &labels) >= 10.0, "{stage}");
        let median = metrics.sum("millstream_stage_latency_seconds", &[("stage", stage), ("quantile", "0.5")]);
        assert!((0.0..30.0).contains(&median), "{stage}: {median}");
    }

    let status = daemon.status().unwrap();
    assert_eq!(status["ready"], true);
    let main = &status["destinations"][0];
    assert_eq!((main["name"].as_str(), main["state"].as_str()), (Some("main"), Some("streaming")));
    assert!(main["version"].as_str().unwrap().starts_with(&server.version.to_string()), "{main}");
    let subscription = &main["subscriptions"][0];
    assert_eq!(subscription["name"], "billing");
    assert_eq!(subscription["unacked_transactions"], 0);
    assert!(subscription["position"]["file"].as_str().unwrap().starts_with("binlog."), "{subscription}");

    let (code, tables) = daemon.http("/api/v1/destinations/main/tables").unwrap();
    assert!(code == 200 && tables.contains("seen"), "{tables}");
    let (code, text) = daemon.http("/api/v1/destinations/main/tables/seen/t/schema.capnp").unwrap();
    assert!(code == 200 && text.starts_with("@0x"), "{text}");

    drop(client);
    let until = Instant::now() + SOON;
    loop {
        let main = &daemon.status().unwrap()["destinations"][0];
        if main["disconnected"][0]["name"] == "billing" {
            break;
        }
        assert!(Instant::now() < until, "the cursor of a gone client is not listed: {main}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_metrics_text_passes_prometheus_own_check() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    let Some(promtool) = promtool() else {
        eprintln!("not run: promtool is not here (scripts/setup.sh test)");
        return;
    };
    let daemon = Millstreamd::start(server, Options::default()).unwrap();
    let _client = RawClient::subscribe(daemon.listen, subscribe("a \"strange\" name")).unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let (_, text) = daemon.http("/metrics").unwrap();
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

#[test]
fn sigterm_tells_the_clients_and_keeps_what_they_acknowledged() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    server.sql("CREATE DATABASE ended; CREATE TABLE ended.t (id INT PRIMARY KEY)").unwrap();
    let mut daemon = Millstreamd::start(server, Options::default()).unwrap();
    let request = Subscribe { filter: of("ended.*"), ..subscribe("ended") };
    let (mut client, begin) = RawClient::subscribe(daemon.listen, request.clone()).unwrap().unwrap();
    server.sql("INSERT INTO ended.t VALUES (1)").unwrap();
    server.sql("INSERT INTO ended.t VALUES (2)").unwrap();
    let mut deliveries = Vec::new();
    while deliveries.len() < 2 {
        deliveries.extend(client.transactions(SOON).unwrap());
    }
    // acknowledged, and ended at once: the ack counts
    client.send(&ClientMessage::Ack { epoch: begin.epoch, sequence: deliveries[0].sequence }).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    let asked = Instant::now();
    let status = daemon.terminate().unwrap();
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to end", asked.elapsed());
    let error = client.refusal(SOON).unwrap().expect("a reason");
    assert_eq!((error.code.as_str(), error.retry), ("shutting_down", true));
    assert!(daemon.log().contains("has ended"), "{}", daemon.log());

    server.sql("INSERT INTO ended.t VALUES (3)").unwrap();
    daemon.start_again().unwrap();
    let (mut client, again) = RawClient::subscribe(daemon.listen, request).unwrap().unwrap();
    assert!(again.epoch > begin.epoch, "a new life is a new epoch: {} after {}", again.epoch, begin.epoch);
    let changes = client.changes(2, SOON).unwrap();
    assert_eq!(changes.iter().map(|change| change.id().unwrap()).collect::<Vec<_>>(), [2, 3]);
}

/// Runs millstreamd until it ends by itself.
fn run(arguments: &[&str], config: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millstreamd.toml");
    std::fs::write(&path, config).unwrap();
    let output = Command::new(workspace_program("millstreamd").unwrap())
        .args(arguments)
        .arg("--config")
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_port() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    let daemon = Millstreamd::start(server, Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (free, other) = (free_address(), free_address());
    for (listen, admin, key) in [(daemon.listen, free, "listen"), (other, daemon.admin, "admin_listen")] {
        let config = Options::default().text(listen, admin, &folder.path().join("data"), &server.address());
        let (output, said) = run(&[], &config);
        assert_eq!(output.status.code(), Some(1), "{key}: {said}");
        let taken = if key == "listen" { daemon.listen } else { daemon.admin };
        assert!(said.contains(&taken.to_string()) && said.contains(key) && said.contains("in use"), "{key}: {said}");
    }
}

#[test]
fn one_data_folder_serves_one_server() {
    let Some(server) = MysqlServer::shared(Flavour::Mysql97) else { return };
    let daemon = Millstreamd::start(server, Options::default()).unwrap();
    let config = Options::default().text(free_address(), free_address(), &daemon.data_path(), &server.address());
    let (output, said) = run(&[], &config);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&daemon.data_path().display().to_string()), "{said}");
}

#[test]
fn every_complaint_about_a_configuration_comes_at_once_with_its_line() {
    let good = "[[destination]]\nname = \"main\"\n[destination.source]\nservers = [\"127.0.0.1:3306\"]\n";
    let (output, said) = run(&["--check-config"], good);
    assert!(output.status.success() && said.contains("OK") && said.contains("memory"), "{said}");

    let bad = "[server]\nlisten = \"here\"\n[engine]\nring_byte_max = \"1 MiB\"\nview_log_bytes_max = \"2 apples\"\n\
               [[destination]]\nname = \"a b\"\ninclude = [\"/(/\"]\n[destination.source]\nservers = []\n";
    for arguments in [&["--check-config"][..], &[]] {
        let (output, said) = run(arguments, bad);
        assert_eq!(output.status.code(), Some(78), "{said}");
        for expected in [
            ":2: server.listen",
            ":4: engine.ring_byte_max: is not a known key; did you mean 'ring_bytes_max'?",
            ":5: engine.view_log_bytes_max",
            ":7: destination.name",
            ":8: destination.include",
            ":10: destination.source.servers",
        ] {
            assert!(said.contains(expected), "no {expected:?} in\n{said}");
        }
    }
    let (output, said) = run(&["--check-config"], "[server\n");
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains(":1: "), "{said}");
}
