//! The sections `[[destination]]`: one named stream of one source each.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use millstream_core::filter::{Filter, FilterSpec};
use millstream_core::source::config::{HEARTBEAT_PERIOD_MS_MAX, HEARTBEAT_PERIOD_MS_MIN, HostPort, TlsMode};
use millstream_core::source::tracker::QuarantinePolicy;

use super::model::{
    DestinationConfig, EngineConfig, QuarantineRule, ServerConfig, SourceConfig, StatementDml, TlsConfig,
};
use super::reader::{At, Section};
use super::sections::{NAME_FIX, is_name, resolve};

/// What is read beside the file: the environment, and files that it names.
pub struct Surroundings<'a> {
    /// Folder of the configuration file.
    pub folder: &'a Path,
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Catch-up readers take the numbers behind a destination's own, so that derived ones are this far apart.
const SERVER_ID_SPACING: u32 = 2048;

pub fn destinations(
    sections: Vec<Section<'_, '_>>,
    server: &ServerConfig,
    engine: &EngineConfig,
    surroundings: &Surroundings<'_>,
) -> Vec<DestinationConfig> {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut servers: BTreeMap<(String, u32), String> = BTreeMap::new();
    let mut destinations = Vec::new();
    for mut section in sections {
        let mut name = String::new();
        match section.text("name", &mut name) {
            None => section.missing("name", "name the stream; clients subscribe to this name"),
            Some(at) if !is_name(&at.value) => {
                section.complain(at.line, "name", format!("\"{}\" is not a name", at.value), NAME_FIX);
            }
            Some(at) => {
                if let Some(line) = lines.insert(at.value.clone(), at.line) {
                    section.complain(
                        at.line,
                        "name",
                        format!("\"{name}\" is the name in line {line} too"),
                        "choose another",
                    );
                }
            }
        }
        let patterns = |list: Option<At<Vec<At<String>>>>| {
            list.map_or_else(Vec::new, |list| list.value.into_iter().map(|at| at.value).collect())
        };
        let include = section.texts("include");
        let exclude = section.texts("exclude");
        check_patterns(&section, "include", include.as_ref());
        check_patterns(&section, "exclude", exclude.as_ref());
        let mut statement_dml = StatementDml::default();
        let words = [("halt", StatementDml::Halt), ("skip", StatementDml::Skip)];
        section.choice("statement_dml", &words, &mut statement_dml);

        let quarantine = section.sections("quarantine").into_iter().filter_map(quarantine_rule).collect();

        let mut source_section = section.section("source");
        let mut source = source(&mut source_section, surroundings);
        source.event_bytes_max = engine.event_bytes_max;
        if source.server_id == 0 {
            source.server_id = derived_server_id(&server.id, &name);
        }
        for address in &source.servers {
            let key = (address.to_string(), source.server_id);
            if let Some(other) = servers.insert(key, name.clone()).filter(|other| *other != name) {
                let what = format!("{} is the one that destination \"{other}\" uses at {address}", source.server_id);
                source_section.complain(
                    source_section.line,
                    "server_id",
                    what,
                    "choose another: they would throw each other out",
                );
            }
        }
        source_section.finish();
        section.finish();
        destinations.push(DestinationConfig {
            name,
            include: patterns(include),
            exclude: patterns(exclude),
            source,
            statement_dml,
            quarantine,
        });
    }
    destinations
}

/// One `[[destination.quarantine]]`.
fn quarantine_rule(mut section: Section<'_, '_>) -> Option<QuarantineRule> {
    let tables = section.texts("tables");
    check_patterns(&section, "tables", tables.as_ref());
    let mut policy = QuarantinePolicy::default();
    let words = [("skip", QuarantinePolicy::Skip), ("hold", QuarantinePolicy::Hold), ("fail", QuarantinePolicy::Fail)];
    if section.choice("policy", &words, &mut policy).is_none() && !section.has_complaints_about("policy") {
        section.missing("policy", "write \"skip\", \"hold\" or \"fail\"");
    }
    let rule = match tables {
        Some(list) if !list.value.is_empty() => {
            Some(QuarantineRule { tables: list.value.into_iter().map(|at| at.value).collect(), policy })
        }
        Some(list) => {
            section.complain(list.line, "tables", "is empty", "name at least one pattern: tables = [\"shop.*\"]");
            None
        }
        None => {
            section.missing("tables", "name the tables that it is for: tables = [\"shop.*\"]");
            None
        }
    };
    section.finish();
    rule
}

/// The same after every restart, different for each server and destination with all likelihood. In the upper half of
/// the range, where hand-made numbers are rare.
fn derived_server_id(server_id: &str, destination: &str) -> u32 {
    let hash = crc32fast::hash(format!("{server_id}/{destination}").as_bytes());
    (hash | 1 << 31) / SERVER_ID_SPACING * SERVER_ID_SPACING
}

/// Each by itself, so that each complaint has its line.
fn check_patterns(section: &Section<'_, '_>, key: &str, patterns: Option<&At<Vec<At<String>>>>) {
    for pattern in patterns.iter().flat_map(|list| &list.value) {
        let spec = FilterSpec { include: vec![pattern.value.clone()], ..FilterSpec::default() };
        if let Err(error) = Filter::compile(&spec) {
            let fix = "write DATABASE.TABLE with * inside either part, or /REGEX/ for the whole DATABASE.TABLE";
            section.complain(pattern.line, key, error.complaints.join("; "), fix);
        }
    }
}

fn source(section: &mut Section<'_, '_>, surroundings: &Surroundings<'_>) -> SourceConfig {
    let mut source = SourceConfig { servers: Vec::new(), server_id: 0, ..SourceConfig::default() };

    match section.texts("servers") {
        None => section.missing("servers", "name the MySQL or MariaDB server: servers = [\"127.0.0.1:3306\"]"),
        Some(list) if list.value.is_empty() => {
            section.complain(list.line, "servers", "is empty", "name at least one HOST:PORT");
        }
        Some(list) => {
            for address in list.value {
                match address.value.parse::<HostPort>() {
                    Ok(address) => source.servers.push(address),
                    Err(what) => {
                        section.complain(address.line, "servers", what, "the port is 3306 if it is left out");
                    }
                }
            }
        }
    }
    if let Some(at) = section.text("user", &mut source.user)
        && at.value.is_empty()
    {
        section.complain(at.line, "user", "is empty", "name an account with REPLICATION SLAVE");
    }
    source.password = password(section, surroundings).unwrap_or_default();

    let mut server_id = 0;
    section.integer("server_id", "", 0..=u64::from(u32::MAX), &mut server_id);
    source.server_id = u32::try_from(server_id).unwrap_or_default();

    let milliseconds = |section: &mut Section<'_, '_>, key, range, target: &mut Duration| {
        let mut ms = u64::try_from(target.as_millis()).unwrap_or(u64::MAX);
        section.integer(key, "milliseconds", range, &mut ms);
        *target = Duration::from_millis(ms);
    };
    let heartbeat_range = HEARTBEAT_PERIOD_MS_MIN..=HEARTBEAT_PERIOD_MS_MAX;
    milliseconds(section, "heartbeat_ms", heartbeat_range, &mut source.heartbeat_period);
    milliseconds(section, "connect_timeout_ms", 1..=600_000, &mut source.connect_timeout);
    milliseconds(section, "response_timeout_ms", 1..=3_600_000, &mut source.response_timeout);
    milliseconds(section, "backoff_max_ms", 1..=600_000, &mut source.backoff_max);

    let mut tls_section = section.section("tls");
    source.tls = tls(&mut tls_section, surroundings.folder);
    tls_section.finish();
    source
}

fn password(section: &mut Section<'_, '_>, surroundings: &Surroundings<'_>) -> Option<String> {
    let (mut text, mut variable, mut file) = (String::new(), String::new(), String::new());
    let inline = section.text("password", &mut text);
    let from_environment = section.text("password_env", &mut variable);
    let from_file = section.text("password_file", &mut file);
    let mut set: Vec<usize> =
        [&inline, &from_environment, &from_file].into_iter().flatten().map(|at| at.line).collect();
    set.sort_unstable();
    if set.len() > 1 {
        let what = "is set in more than one way";
        section.complain(set[set.len() - 1], "password", what, "keep one of password, password_env and password_file");
        return None;
    }
    if let Some(at) = from_environment {
        let value = (surroundings.environment)(&variable);
        if value.is_none() {
            let what = format!("the environment has no variable {variable}");
            section.complain(at.line, "password_env", what, "set it before millstreamd starts");
        }
        return value;
    }
    if let Some(at) = from_file {
        let path = resolve(surroundings.folder, &file);
        return match std::fs::read_to_string(&path) {
            // An editor's newline at the end is not part of the password.
            Ok(text) => Some(text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned()),
            Err(error) => {
                let what = format!("{} cannot be read: {error}", path.display());
                section.complain(
                    at.line,
                    "password_file",
                    what,
                    "name a file that the account of millstreamd may read",
                );
                None
            }
        };
    }
    inline.map(|at| at.value)
}

fn tls(section: &mut Section<'_, '_>, folder: &Path) -> TlsConfig {
    let mut tls = TlsConfig::default();
    let modes = [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity];
    let names = modes.map(|mode| mode.to_string());
    let words: Vec<(&str, TlsMode)> = names.iter().map(String::as_str).zip(modes).collect();
    section.choice("mode", &words, &mut tls.mode);
    let mut file = |key: &'static str, holds: &str| {
        let mut text = String::new();
        let at = section.text(key, &mut text)?;
        let path = resolve(folder, &text);
        if let Err(error) = std::fs::File::open(&path) {
            let what = format!("{} cannot be read: {error}", path.display());
            section.complain(at.line, key, what, format!("name a PEM file with {holds}"));
        }
        Some((path, at.line))
    };
    let ca = file("ca", "the authorities to trust");
    let certificate = file("cert", "the client's certificate chain");
    let key = file("key", "the key of the client's certificate");
    match (&certificate, &key) {
        (Some((_, line)), None) => section.complain(*line, "cert", "is set without key", "set both or none"),
        (None, Some((_, line))) => section.complain(*line, "key", "is set without cert", "set both or none"),
        _ => {}
    }
    let checked = matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
    if let Some((_, line)) = &ca
        && !checked
    {
        let what = format!("is set, and mode \"{}\" does not look at certificates", tls.mode);
        section.warn(*line, "ca", what, "set mode = \"verify_identity\"");
    }
    tls.ca = ca.map(|(path, _)| path);
    tls.certificate = certificate.map(|(path, _)| path);
    tls.key = key.map(|(path, _)| path);
    tls
}
