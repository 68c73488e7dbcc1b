//! Complaints: each with its line and key, all at once.

use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::destination::Surroundings;
use super::load::Loaded;
use super::model::{Config, TlsMode};

fn load_in(text: &str, folder: &Path) -> Loaded {
    let environment = |name: &str| (name == "SOURCE_PASSWORD").then(|| "from the environment".to_owned());
    Loaded::parse(text, &Surroundings { folder, environment: &environment })
}

fn load(text: &str) -> Loaded {
    load_in(text, Path::new("/etc/millstream"))
}

const DESTINATION: &str = "[[destination]]\nname = \"d\"\n[destination.source]\nservers = [\"h\"]\n";

fn good(text: &str) -> Config {
    let loaded = load(&format!("{text}\n{DESTINATION}"));
    assert_eq!(loaded.complaints, [], "{text}");
    loaded.config
}

/// (line, key, a part of the text)
fn check(text: &str, expected: &[(usize, &str, &str)]) {
    let complaints = load(text).complaints;
    let shown: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert_eq!(complaints.len(), expected.len(), "{text}\n{shown:#?}");
    for (complaint, (line, key, part)) in complaints.iter().zip(expected) {
        assert_eq!((complaint.line, complaint.key.as_str()), (*line, *key), "{text}\n{shown:#?}");
        assert!(complaint.to_string().contains(part), "{part} is not in {shown:#?}");
    }
}

/// The same with a good destination behind, so that only the text's own complaints are left.
fn check_with_destination(text: &str, expected: &[(usize, &str, &str)]) {
    check(&format!("{text}\n{DESTINATION}"), expected);
}

#[test]
fn every_complaint_comes_at_once_with_its_line() {
    let text = r#"
[server]
id = ""
listen = "localhost"
port = 7440
log = "info,=,"

[engine]
source_core = "two"
runtime = "tokio"
worker_cores = [1, 1, -1]
ring_bytes_max = "64 MB"
catchup_max = 0
spin_before_sleep_us = 1.5

[clients]
alow_anonymous = true

[[destination]]
name = "a b"
include = ["shop"]
statement_dml = "ignore"
[destination.source]
servers = ["h:0", "ok"]
server_id = 4294967296
tls.mode = "on"
password = 7

[[destination]]
name = "x"

[sever]
"#;
    check(
        text,
        &[
            (3, "server.id", "is not a name"),
            (4, "server.listen", "write IP:PORT"),
            (5, "server.port", "is not a known key"),
            (6, "server.log", "not understood"),
            (9, "engine.source_core", "is a string; write a whole number from 0 to 4095"),
            (10, "engine.runtime", "use \"glommio\" or \"uring\""),
            (11, "engine.worker_cores", "-1 is out of range"),
            (11, "engine.worker_cores", "core 1 is named twice"),
            (12, "engine.ring_bytes_max", "is not a size"),
            (13, "engine.catchup_max", "0 is out of range; write a whole number of readers from 1 to 1024"),
            (14, "engine.spin_before_sleep_us", "is a float"),
            (17, "clients.alow_anonymous", "did you mean 'allow_anonymous'?"),
            (20, "destination.name", "is not a name"),
            (21, "destination.include", "shop"),
            (22, "destination.statement_dml", "use \"halt\" or \"skip\""),
            (24, "destination.source.servers", "'h:0' is not an address"),
            (25, "destination.source.server_id", "4294967296 is out of range"),
            (26, "destination.source.tls.mode", "\"verify_identity\""),
            (27, "destination.source.password", "is an integer; write text in quotes"),
            (29, "destination.source.servers", "is missing"),
            (32, "sever", "did you mean 'server'?"),
        ],
    );
}

#[test]
fn text_that_is_no_toml_is_told_by_line() {
    check_with_destination(
        "[server]\nid = \"a\"\nlog = \nlisten = 5\n",
        &[(3, "", "not valid TOML"), (4, "server.listen", "")],
    );
    check_with_destination("[server]\nid = \"a\"\nid = \"b\"\n", &[(3, "", "duplicate")]);
    // What is missing may only have been lost to the damage.
    let complaints = load("[[destination]\nname = \"d\"\n").complaints;
    assert!(complaints.iter().all(|complaint| !complaint.what.contains("missing")), "{complaints:?}");
}

#[test]
fn what_has_no_default_is_asked_for() {
    check("", &[(0, "destination", "add a [[destination]]")]);
    check("[destination]\nname = \"d\"\n", &[(1, "destination", "two brackets")]);
    check("destination = 5", &[(1, "destination", "two brackets")]);
    check(
        "[[destination]]\n",
        &[(1, "destination.name", "is missing"), (1, "destination.source.servers", "is missing")],
    );
    check_with_destination(
        "[[clients.users]]\nrole = 1\n",
        &[
            (1, "clients.users.name", "is missing"),
            (1, "clients.users.password_hash", "--hash-password"),
            (2, "clients.users.role", "known here: name, password_hash"),
        ],
    );
}

#[test]
fn values_must_fit_each_other() {
    check_with_destination(
        "[server]\nlisten = \"127.0.0.1:7441\"\n",
        &[(2, "server.admin_listen", "is the same address")],
    );
    check_with_destination(
        "[engine]\nsource_core = 1\nworker_cores = [1, 2]\n",
        &[(3, "engine.worker_cores", "core 1 is the source core")],
    );
    check_with_destination(
        "[engine]\nview_log_bytes_max = \"1 MiB\"\nbatch_bytes_target = \"1 MiB\"\n",
        &[(2, "engine.view_log_bytes_max", "at least twice batch_bytes_target, 2 MiB")],
    );
    let second = "[[destination]]\nname = \"d\"\n[destination.source]\nservers = [\"other\"]\n";
    check(&format!("{DESTINATION}{second}"), &[(6, "destination.name", "is the name in line 2 too")]);
    let numbered =
        |name: &str| format!("[[destination]]\nname = \"{name}\"\nsource.servers = [\"h\"]\nsource.server_id = 9\n");
    check(
        &format!("{}{}", numbered("a"), numbered("b")),
        &[(7, "destination.source.server_id", "9 is the one that destination \"a\" uses at h:3306")],
    );
}

#[test]
fn clients_from_other_machines_need_a_password_or_a_word() {
    let open = "[server]\nlisten = \"0.0.0.0:7440\"\n";
    check_with_destination(open, &[(2, "clients.users", "takes clients from other machines without a password")]);
    assert!(good(&format!("{open}[clients]\nallow_anonymous = true\n")).clients.allow_anonymous);
    let hash = millstream_control::auth::PasswordHash::of(b"x").unwrap();
    let user = format!("[[clients.users]]\nname = \"a\"\npassword_hash = \"{hash}\"\n");
    assert_eq!(good(&format!("{open}{user}")).clients.users.len(), 1);
    check_with_destination(&format!("{user}{user}"), &[(5, "clients.users.name", "is there twice")]);
    check_with_destination(
        "[[clients.users]]\nname = \"a\"\npassword_hash = \"secret\"\n",
        &[(3, "clients.users.password_hash", "run `millstreamd --hash-password`")],
    );
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = good("[server]\ndata_dir = \"state\"\n");
    assert_eq!(config.server.data_dir, PathBuf::from("/etc/millstream/state"));
    let config = good("[server]\ndata_dir = \"/srv/x\"\n");
    assert_eq!(config.server.data_dir, PathBuf::from("/srv/x"));
}

#[test]
fn passwords_come_from_one_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "from a file \n").unwrap();
    let password = |keys: &str| {
        let loaded = load_in(&format!("{DESTINATION}{keys}"), folder.path());
        assert_eq!(loaded.complaints, [], "{keys}");
        loaded.config.destinations[0].source.password.clone()
    };
    for (keys, expected) in [
        ("", ""),
        ("password = \"inline\"", "inline"),
        ("password_env = \"SOURCE_PASSWORD\"", "from the environment"),
        ("password_file = \"secret\"", "from a file "),
    ] {
        assert_eq!(password(keys), expected, "{keys}");
    }
    for (keys, key, part) in [
        ("password = \"a\"\npassword_env = \"B\"", "destination.source.password", "more than one way"),
        ("password_env = \"NOT_SET\"", "destination.source.password_env", "no variable NOT_SET"),
        ("password_file = \"none\"", "destination.source.password_file", "cannot be read"),
    ] {
        let line = 5 + keys.matches('\n').count();
        check(&format!("{DESTINATION}{keys}"), &[(line, key, part)]);
    }
}

#[test]
fn tls_files_must_be_there_and_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.pem"), "x").unwrap();
    let loaded = load_in(&format!("{DESTINATION}tls = {{ mode = \"verify_ca\", ca = \"a.pem\" }}"), folder.path());
    assert_eq!(loaded.complaints, []);
    let tls = &loaded.config.destinations[0].source.tls;
    assert_eq!((tls.mode, tls.ca.as_deref()), (TlsMode::VerifyCa, Some(folder.path().join("a.pem").as_path())));

    let loaded = load_in(&format!("{DESTINATION}tls.ca = \"a.pem\"\ntls.cert = \"a.pem\""), folder.path());
    assert_eq!(loaded.complaints.len(), 1, "{:?}", loaded.complaints);
    assert!(loaded.complaints[0].to_string().contains("set without key"));
    assert!(loaded.config.warnings.iter().any(|warning| warning.what.contains("does not look at certificates")));
    check(
        &format!("{DESTINATION}[destination.source.tls]\nca = \"none.pem\""),
        &[(6, "destination.source.tls.ca", "cannot be read")],
    );
}

#[test]
fn derived_server_ids_differ_and_leave_room() {
    let second = DESTINATION.replace("\"d\"", "\"e\"");
    let loaded = load(&format!("{DESTINATION}{second}"));
    assert_eq!(loaded.complaints, []);
    let ids: Vec<u32> = loaded.config.destinations.iter().map(|destination| destination.source.server_id).collect();
    assert!(ids[0].abs_diff(ids[1]) >= 2048, "{ids:?}");
    assert_eq!(load(DESTINATION).config.destinations[0].source.server_id, ids[0], "the same after a restart");
    assert_eq!(loaded.config.destinations[0].source.check(), Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_read_is_one_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let complaint = |path: &Path| Config::load(path).unwrap_err().remove(0).show(path);
    assert!(complaint(&path).contains("c.toml: cannot be read"), "{}", complaint(&path));
    std::fs::write(&path, b"[server]\nid = \"\xff\"\n").unwrap();
    assert!(complaint(&path).contains("not UTF-8 text at byte 15"), "{}", complaint(&path));
    std::fs::write(&path, "[engine]\ncatchup_max = 0\n").unwrap();
    assert_eq!(Config::load(&path).unwrap_err().len(), 2);
    assert!(complaint(&path).contains("c.toml:2: engine.catchup_max: 0 is out of range"), "{}", complaint(&path));
}

#[test]
fn a_readable_password_is_worth_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, format!("{DESTINATION}password = \"x\"\n")).unwrap();
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = Config::load(&path).unwrap().warnings;
        let about_password = warnings.iter().find(|warning| warning.key == "destination.source.password");
        assert_eq!(about_password.map(|warning| warning.line), warned.then_some(5), "{mode:o}");
    }
}

#[test]
fn the_bound_is_the_sum_of_its_parts() {
    let mut config = good("");
    let before = config.memory_bound().total_bytes();
    config.engine.view_log_bytes_max += 1000;
    assert_eq!(config.memory_bound().total_bytes(), before + 1000);
    config.engine.worker_cores = vec![1, 2, 3];
    let per_worker = config.engine.view_log_bytes_max;
    assert!(config.memory_bound().total_bytes() >= before + 1000 + 2 * per_worker);
    config.engine.event_bytes_max = u64::MAX;
    assert_eq!(config.memory_bound().total_bytes(), u64::MAX, "saturates");
}
