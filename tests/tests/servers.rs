//! The private servers behave as the other tests take for granted.

use millstream_tests::harness::{Flavour, Kind, MysqlServer, Session};

fn on_every_server(check: impl Fn(&mut MysqlServer)) {
    let mut started = 0;
    for flavour in Flavour::ALL {
        if let Some(mut server) = MysqlServer::start(flavour, &[]).unwrap() {
            check(&mut server);
            started += 1;
        }
    }
    assert!(started > 0, "no server is here: make servers");
}

#[test]
fn a_server_has_the_account_the_log_and_the_settings_of_a_source() {
    on_every_server(|server| {
        let name = server.name();
        let tcp = Session::open_with(server.tcp_options()).unwrap();
        assert_eq!(tcp.query("SELECT CURRENT_USER()").unwrap().text(0, 0).unwrap(), "cdc@%", "{name}");
        assert!(tcp.query("SELECT VERSION()").unwrap().text(0, 0).unwrap().starts_with(&server.version.to_string()));
        assert_eq!(server.gtids().unwrap(), "", "{name}: a new server has an empty history");
        assert_eq!(server.value("SELECT @@GLOBAL.binlog_format").unwrap().unwrap(), "ROW");
        if server.flavour != Flavour::Mysql57 && server.flavour != Flavour::Mysql56 {
            assert_eq!(server.value("SELECT @@GLOBAL.binlog_row_metadata").unwrap().unwrap(), "FULL");
        }
        let before = server.binlog_end().unwrap();
        tcp.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO d.t VALUES (1, 'é😀')")
            .unwrap();
        let after = server.binlog_end().unwrap();
        assert!(after > before, "{name}: the log grows");
        let files = server.binlog_files().unwrap();
        assert_eq!(files.len(), 1, "{name}");
        assert_eq!(
            std::fs::metadata(&files[0]).unwrap().len(),
            after.1,
            "{name}: the log is on disk when COMMIT answers"
        );
        assert_eq!(server.value("SELECT v FROM d.t").unwrap().unwrap(), "é😀");
        assert_ne!(server.gtids().unwrap(), "");
    });
}

#[test]
fn committed_rows_outlive_a_crash_and_a_restart_on_the_same_port() {
    on_every_server(|server| {
        let (name, port) = (server.name(), server.port);
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1), (2)")
            .unwrap();
        let gtids = server.gtids().unwrap();
        server.kill9().unwrap();
        assert!(server.session().is_err(), "{name} is down");
        server.start_again().unwrap();
        assert_eq!(
            (server.port, server.value("SELECT COUNT(*) FROM d.t").unwrap().unwrap().as_str()),
            (port, "2"),
            "{name}"
        );
        assert_eq!(server.gtids().unwrap(), gtids, "{name}");
        server.restart_with(&["--binlog-row-image=MINIMAL"]).unwrap();
        assert_eq!(server.value("SELECT @@GLOBAL.binlog_row_image").unwrap().unwrap(), "MINIMAL", "{name}");
        assert_eq!(server.port, port);
    });
}

#[test]
fn servers_of_one_kind_are_different_servers() {
    let identity = |server: &MysqlServer| match server.kind() {
        Kind::Mysql => server.value("SELECT @@GLOBAL.server_uuid").unwrap(),
        Kind::Mariadb => server.value("SELECT @@GLOBAL.server_id").unwrap(),
    };
    for flavour in [Flavour::Mysql97, Flavour::Mariadb118] {
        let (Some(one), Some(two)) =
            (MysqlServer::start(flavour, &[]).unwrap(), MysqlServer::start(flavour, &[]).unwrap())
        else {
            continue;
        };
        assert_ne!(identity(&one), identity(&two), "{flavour}");
        assert_ne!(one.port, two.port);
    }
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_folder() {
    let Some(server) = MysqlServer::start(Flavour::Mariadb118, &[]).unwrap() else {
        return;
    };
    let folder = server.datadir().parent().unwrap().to_path_buf();
    // Its port may be another server's by then: each process of this one names its folder.
    let processes = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let name = folder.to_string_lossy();
        lines.filter(|line| String::from_utf8_lossy(line).contains(&*name)).count()
    };
    assert!(processes() > 0);
    drop(server);
    assert!(!folder.exists());
    // The guard that would have ended it looks once a second.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while processes() > 0 {
        assert!(std::time::Instant::now() < until, "{} processes are left", processes());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
