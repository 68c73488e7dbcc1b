//! How the program ends when things are wrong: code, and words that help.

use std::net::TcpListener;
use std::process::{Command, Stdio};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    for variable in
        ["MILLSTREAM_SERVER", "MILLSTREAM_ADMIN", "MILLSTREAM_SOURCE", "MILLSTREAM_USER", "MILLSTREAM_PASSWORD"]
    {
        command.env_remove(variable);
    }
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A port where nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").to_string()
}

#[test]
fn each_failure_has_its_code_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("text"), "no binlog at all").expect("write");
    std::fs::write(path("encrypted"), [0xfd, b'b', b'i', b'n', 0, 0, 0, 0]).expect("write");
    // A file that ends inside its first event.
    std::fs::write(path("binlog.000001"), [0xfe, b'b', b'i', b'n', 1, 2, 3]).expect("write");
    let closed = closed_port();
    let check = |arguments: &[&str], code: i32, words: &[&str]| {
        let (exit, _, stderr) = run(arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{arguments:?}: '{word}' is not in: {stderr}");
        }
    };
    check(&["decode", &path("text")], 5, &["text", "not a binlog"]);
    check(&["decode", &path("encrypted")], 5, &["encrypted"]);
    check(&["decode", &path("binlog.000001")], 5, &["binlog.000001", "ends at byte 7"]);
    check(&["decode", &path("missing"), &path("also-missing")], 5, &["missing", "also-missing"]);
    check(&["decode", &path("text"), "--filter", "nodot"], 2, &["nodot"]);
    check(&["decode"], 2, &["FILE"]);
    check(&["tail", "--from", "yesterday"], 2, &["yesterday", "FILE:OFFSET"]);
    check(&["tail", "--server", &closed], 3, &[&closed, "millstreamd"]);
    check(&["status", "--admin", &closed], 3, &[&closed, "--admin"]);
    check(&["schema", "export", "shop.orders", "--admin", &closed], 3, &[&closed]);
    check(&["schema", "export", "orders"], 2, &["DATABASE.TABLE"]);
    check(&["check", "--source", &format!("mysql://u:p@{closed}")], 3, &[&closed, "TCP"]);
    check(&["check", "--source", "not a url"], 2, &["mysql://"]);
}

#[test]
fn help_and_version_are_there() {
    for arguments in [&["--help"][..], &["tail", "--help"], &["decode", "--help"], &["check", "--help"], &["--version"]]
    {
        let (exit, stdout, stderr) = run(arguments);
        assert_eq!(exit, Some(0), "{arguments:?}: {stderr}");
        assert!(stdout.contains("millstream"), "{stdout}");
    }
}
