//! The sections `[server]`, `[engine]` and `[clients]`: which keys there are, their ranges, what must hold between
//! them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use millstream_core::limits;
use millstream_io::runtime::Runtime;

use super::model::{ClientsConfig, EngineConfig, ServerConfig, UserConfig};
use super::reader::{Section, show_bytes};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Readers in other languages refuse messages over 64 MiB, and a message stays under 8 MiB.
const BATCH_BYTES_TARGET_MAX: u64 = 4 * MIB;
const CORE_MAX: u64 = 4095;
/// Rows, connections and the like are counted in u32; this leaves room.
const COUNT_MAX: u64 = 1 << 30;

/// Names become folder names and metric labels.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= 64
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

pub const NAME_FIX: &str = "use 1 to 64 letters, digits, '_', '-' and '.', the first a letter or digit";

/// A relative path is relative to the folder of the configuration file.
pub fn resolve(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

/// Returns the line of `listen` too: what it allows depends on `[clients]`.
pub fn server(mut section: Section<'_, '_>, folder: &Path) -> (ServerConfig, usize) {
    let mut server = ServerConfig::default();
    if let Some(at) = section.text("id", &mut server.id)
        && !is_name(&at.value)
    {
        section.complain(at.line, "id", format!("\"{}\" is not a name", at.value), NAME_FIX);
    }
    let listen = address(&mut section, "listen", &mut server.listen);
    let admin = address(&mut section, "admin_listen", &mut server.admin_listen);
    if server.listen == server.admin_listen && server.listen.port() != 0 {
        let line = admin.or(listen).unwrap_or(section.line);
        section.complain(line, "admin_listen", "is the same address as server.listen", "choose another port");
    }
    let mut data_dir = String::new();
    if let Some(at) = section.text("data_dir", &mut data_dir) {
        if at.value.is_empty() {
            section.complain(at.line, "data_dir", "is empty", "name the folder that cursors are kept in");
        }
        server.data_dir = resolve(folder, &data_dir);
    }
    if let Some(at) = section.text("log", &mut server.log)
        && let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&at.value)
    {
        let fix = "write error, warn, info, debug or trace, or such as \"info,millstream_core=debug\"";
        section.complain(at.line, "log", format!("\"{}\" is not understood: {error}", at.value), fix);
    }
    let listen_line = listen.unwrap_or(section.line);
    section.finish();
    (server, listen_line)
}

/// Returns the line where it was set.
fn address(section: &mut Section<'_, '_>, key: &'static str, target: &mut SocketAddr) -> Option<usize> {
    let mut text = String::new();
    let at = section.text(key, &mut text)?;
    match text.parse() {
        Ok(address) => *target = address,
        Err(_) => section.complain(
            at.line,
            key,
            format!("\"{text}\" is not an address"),
            "write IP:PORT, such as \"127.0.0.1:7440\", \"0.0.0.0:7440\" or \"[::1]:7440\"",
        ),
    }
    Some(at.line)
}

pub fn engine(mut section: Section<'_, '_>) -> EngineConfig {
    let mut engine = EngineConfig::default();

    let runtimes = Runtime::ALL.map(|runtime| (runtime.name(), runtime));
    section.choice("runtime", &runtimes, &mut engine.runtime);

    let mut core = 0;
    let source_core = section.integer("source_core", "", 0..=CORE_MAX, &mut core);
    engine.source_core = source_core.map(|at| at.value as usize);
    if let Some(cores) = section.integers("worker_cores", "", 0..=CORE_MAX) {
        let mut seen = BTreeSet::new();
        for core in &cores.value {
            if !seen.insert(core.value) {
                section.complain(
                    core.line,
                    "worker_cores",
                    format!("core {} is named twice", core.value),
                    "name it once",
                );
            }
            if Some(core.value as usize) == engine.source_core {
                let fix = "take it out of worker_cores, or leave worker_cores empty so that one core does it all";
                section.complain(core.line, "worker_cores", format!("core {} is the source core", core.value), fix);
            }
        }
        engine.worker_cores = seen.into_iter().map(|core| core as usize).collect();
    }
    if let Ok(present) = std::thread::available_parallelism() {
        let named = engine.worker_cores.iter().chain(&engine.source_core);
        if let Some(highest) = named.max().filter(|highest| **highest >= present.get()) {
            let what = format!("core {highest} is named, and this machine offers {present} (from 0)");
            section.warn(section.line, "worker_cores", what, "name cores that exist here, or pinning fails at start");
        }
    }
    section.integer("spin_before_sleep_us", "microseconds", 0..=1_000_000, &mut engine.spin_before_sleep_us);

    section.bytes("ring_bytes_max", limits::RING_BYTES_MIN as u64..=64 * GIB, &mut engine.ring_bytes_max);
    let view_log = section.bytes("view_log_bytes_max", MIB..=256 * GIB, &mut engine.view_log_bytes_max);
    section.integer("catchup_max", "readers", 1..=1024, &mut engine.catchup_max);
    section.bytes("hold_bytes_max", 64 * KIB..=4 * GIB, &mut engine.hold_bytes_max);
    section.bytes("event_bytes_max", 64 * KIB..=4 * GIB - 1, &mut engine.event_bytes_max);
    section.integer("unacked_transactions_max", "transactions", 1..=COUNT_MAX, &mut engine.unacked_transactions_max);
    let batch = section.bytes("batch_bytes_target", KIB..=BATCH_BYTES_TARGET_MAX, &mut engine.batch_bytes_target);
    section.integer("connections_max", "connections", 1..=65_536, &mut engine.connections_max);

    // Between the values in force, wherever each comes from.
    if engine.view_log_bytes_max < 2 * engine.batch_bytes_target {
        let line = view_log.or(batch).map_or(section.line, |at| at.line);
        let what = format!("{} is less than two batches", show_bytes(engine.view_log_bytes_max));
        let fix = format!("set it to at least twice batch_bytes_target, {}", show_bytes(2 * engine.batch_bytes_target));
        section.complain(line, "view_log_bytes_max", what, fix);
    }
    section.finish();
    engine
}

pub fn clients(mut section: Section<'_, '_>, server: &ServerConfig, listen_line: usize) -> ClientsConfig {
    let mut clients = ClientsConfig::default();
    section.boolean("allow_anonymous", &mut clients.allow_anonymous);
    let mut names = BTreeSet::new();
    for mut user in section.sections("users") {
        let mut read = UserConfig { name: String::new(), password_hash: String::new() };
        match user.text("name", &mut read.name) {
            None => user.missing("name", "name the user that clients log in as"),
            Some(at) if at.value.is_empty() => user.complain(at.line, "name", "is empty", "name the user"),
            Some(at) if !names.insert(at.value.clone()) => {
                user.complain(at.line, "name", format!("\"{}\" is there twice", at.value), "keep one of them");
            }
            Some(_) => {}
        }
        const HASH_FIX: &str = "make one: run `millstreamd --hash-password` and paste what it prints";
        match user.text("password_hash", &mut read.password_hash) {
            None => user.missing("password_hash", HASH_FIX),
            Some(at) => {
                if let Err(reason) = millstream_control::auth::PasswordHash::parse(&at.value) {
                    user.complain(at.line, "password_hash", format!("is not a password hash ({reason})"), HASH_FIX);
                }
            }
        }
        user.finish();
        clients.users.push(read);
    }
    if clients.users.is_empty() && !clients.allow_anonymous && !server.listen.ip().is_loopback() {
        let what = format!(
            "is empty, and server.listen {} takes clients from other machines without a password",
            server.listen
        );
        let fix = "add [[clients.users]], listen on 127.0.0.1, or set clients.allow_anonymous = true";
        section.complain(listen_line, "users", what, fix);
    }
    section.finish();
    clients
}
