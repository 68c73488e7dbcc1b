//! `conf/` says what the code does: every key is there, and every default is the code's.

use std::path::Path;

use super::destination::Surroundings;
use super::load::Loaded;
use super::model::{Config, DestinationConfig, SourceConfig, StatementDml};

const DOCUMENTED: &str = include_str!("../../../conf/millstreamd.toml");
const EXAMPLE_MARK: &str = "(example; unset by default)";

/// With the commented keys brought to life. Prose is behind "# ", keys are behind "#".
fn uncommented(text: &str, with_examples: bool) -> String {
    let line = |line: &str| -> String {
        let is_key =
            line.strip_prefix('#').is_some_and(|key| key.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        match line.strip_prefix('#') {
            Some(key) if is_key && (with_examples || !line.contains(EXAMPLE_MARK)) => key.to_owned(),
            _ => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn load(text: &str, folder: &Path) -> Loaded {
    let environment = |_: &str| Some("secret".to_owned());
    Loaded::parse(text, &Surroundings { folder, environment: &environment })
}

fn without_ids(mut config: Config) -> Config {
    config.warnings.clear();
    for destination in &mut config.destinations {
        assert!(destination.source.server_id > 1 << 31, "a derived number is in the upper half");
        destination.source.server_id = 0;
    }
    config
}

#[test]
fn documented_defaults_are_those_of_the_code() {
    let default = Config::default();
    let expected = Config {
        destinations: vec![DestinationConfig {
            name: "main".to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
            source: SourceConfig {
                server_id: 0,
                event_bytes_max: default.engine.event_bytes_max,
                ..SourceConfig::default()
            },
            statement_dml: StatementDml::default(),
            quarantine: Vec::new(),
        }],
        ..default
    };
    for (what, text) in [("as it is shipped", DOCUMENTED.to_owned()), ("uncommented", uncommented(DOCUMENTED, false))] {
        let loaded = load(&text, Path::new("/"));
        assert_eq!(loaded.complaints, [], "{what}");
        assert_eq!(without_ids(loaded.config), expected, "{what}");
    }
}

#[test]
fn every_key_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["source.password", "ca.pem", "client.pem", "client.key"] {
        std::fs::write(folder.path().join(file), "x\n").unwrap();
    }
    let loaded = load(&uncommented(DOCUMENTED, true), folder.path());
    assert_eq!(loaded.absent, Vec::<String>::new(), "keys of the code that conf/millstreamd.toml does not name");
    // Three ways to give the password are shown, of which one is to be used. Nothing else may be wrong, so no key of the
    // file is unknown to the code.
    let complaints: Vec<_> = loaded.complaints.iter().map(|complaint| complaint.key.as_str()).collect();
    assert_eq!(complaints, ["destination.source.password"], "{:?}", loaded.complaints);
}

#[test]
fn examples_are_good() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["ca.pem", "client.pem", "client.key", "source.password"] {
        std::fs::write(folder.path().join(file), "x\n").unwrap();
    }
    let installed = folder.path().display().to_string();
    for (name, text) in [
        ("single-core", include_str!("../../../conf/examples/single-core.toml")),
        ("latency", include_str!("../../../conf/examples/latency.toml")),
        ("many-cores", include_str!("../../../conf/examples/many-cores.toml")),
        ("tls", include_str!("../../../conf/examples/tls.toml")),
    ] {
        let loaded = load(&text.replace("/etc/millstream", &installed), folder.path());
        assert_eq!(loaded.complaints, [], "{name}");
        assert!(loaded.config.memory_bound().total_bytes() > 1 << 27, "{name}");
    }
}
