//! From a path to a checked configuration, or to every complaint about it.

use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::destination::{Surroundings, destinations};
use super::model::{Config, TlsMode};
use super::reader::{Reader, Section};
use super::sections;

/// A configuration file is small; more than this is some other file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the text of a file turned into.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub complaints: Vec<Complaint>,
    /// Keys that the file leaves at their defaults.
    #[cfg_attr(not(test), expect(dead_code))]
    pub absent: Vec<String>,
}

impl Config {
    /// # Errors
    /// Every complaint about the file, in the order of its lines.
    pub fn load(path: &Path) -> Result<Config, Vec<Complaint>> {
        let text = read(path).map_err(|complaint| vec![complaint])?;
        // An empty parent means the current folder; made absolute so that a later change of folder does no harm.
        let folder = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
        let folder: PathBuf = folder.unwrap_or_default();
        let environment = |name: &str| std::env::var(name).ok();
        let mut loaded = Loaded::parse(&text, &Surroundings { folder: &folder, environment: &environment });
        if !loaded.complaints.is_empty() {
            return Err(loaded.complaints);
        }
        loaded.config.warnings.extend(permissions_warning(path, &text));
        Ok(loaded.config)
    }
}

impl Loaded {
    pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Loaded {
        let (reader, tree) = Reader::parse(text);
        let mut root = Section::root(&reader, tree);
        let (server, listen_line) = sections::server(root.section("server"), surroundings.folder);
        let engine = sections::engine(root.section("engine"));
        let clients = sections::clients(root.section("clients"), &server, listen_line);
        let streams = root.sections("destination");
        if streams.is_empty() && !root.has_complaints_about("destination") {
            root.missing("destination", "add a [[destination]] with name and [destination.source]");
        }
        let destinations = destinations(streams, &server, &engine, surroundings);
        root.finish();
        let (complaints, warnings, absent) = reader.into_parts();
        Loaded { config: Config { server, engine, clients, destinations, warnings }, complaints, absent }
    }
}

fn read(path: &Path) -> Result<String, Complaint> {
    let cannot = |error: &dyn std::fmt::Display| {
        let fix = "name a readable file: millstreamd --config FILE (conf/millstreamd.toml is one to start from)";
        Complaint::of_file(format!("cannot be read: {error}"), fix)
    };
    let size_bytes = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
    if size_bytes > FILE_BYTES_MAX {
        return Err(cannot(&format!("{size_bytes} bytes is no configuration file")));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot(&error))?;
    String::from_utf8(bytes)
        .map_err(|error| cannot(&format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to())))
}

/// A password in a file that everyone can read is no secret.
fn permissions_warning(path: &Path, text: &str) -> Option<Complaint> {
    use std::os::unix::fs::PermissionsExt;
    let holds_password =
        |line: &&str| line.trim_start().starts_with("password ") || line.trim_start().starts_with("password=");
    let line = text.lines().position(|line| holds_password(&line))? + 1;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| Complaint {
        line,
        key: "destination.source.password".to_owned(),
        what: format!("every account of this machine can read it (mode {:03o})", mode & 0o777),
        fix: format!("chmod 640 {} (and give it to the group of millstreamd), or use password_file", path.display()),
    })
}

/// `--check-config`: prints a summary and returns true, or prints every complaint.
pub fn check(path: &Path) -> bool {
    match Config::load(path) {
        Err(complaints) => {
            for complaint in &complaints {
                eprintln!("{}", complaint.show(path));
            }
            let plural = if complaints.len() == 1 { "" } else { "s" };
            eprintln!("{}: {} complaint{plural}, nothing was started", path.display(), complaints.len());
            false
        }
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("{}", warning.show(path).replacen(": ", ": warning: ", 1));
            }
            print!("{}", summary(&config));
            println!("{}: OK", path.display());
            true
        }
    }
}

fn summary(config: &Config) -> String {
    let engine = &config.engine;
    let cores = match (engine.source_core, engine.worker_cores.as_slice()) {
        (None, []) => "one core does it all, not pinned".to_owned(),
        (Some(core), []) => format!("core {core} does it all"),
        (None, workers) => format!("source not pinned, workers on {workers:?}"),
        (Some(core), workers) => format!("source on core {core}, workers on {workers:?}"),
    };
    let users = match config.clients.users.len() {
        0 => "no password asked".to_owned(),
        count => format!("{count} users"),
    };
    let mut text = format!(
        "clients  {} ({users})\nadmin    http://{}/\ndata     {}\ncores    {cores}\n",
        config.server.listen,
        config.server.admin_listen,
        config.server.data_dir.display(),
    );
    for destination in &config.destinations {
        let source = &destination.source;
        let servers: Vec<_> = source.servers.iter().map(ToString::to_string).collect();
        let tls = match source.tls.mode {
            TlsMode::Disabled => "no TLS".to_owned(),
            mode => format!("TLS {mode}"),
        };
        text += &format!(
            "stream   {}: {}@{}, server id {}, {tls}\n",
            destination.name,
            source.user,
            servers.join(","),
            source.server_id
        );
    }
    text + &format!("memory\n{}\n", config.memory_bound())
}
