//! A running `millstreamd` of one test, with its own ports, folder and log.
//!
//! It reads from a real server (or from a [`super::Proxy`] before one) and is ended when dropped. Killed and started
//! again it keeps its ports and its data folder, as an operator's would.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::mysql::MysqlServer;
use super::process::{bound_command, resident_bytes, signal, spawn_bound, workspace_program};

/// From the start of the process until it has to stream; a debug build on a busy machine takes its time.
const READY_MAX: Duration = Duration::from_secs(30);
const END_MAX: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

/// The name of the one destination.
pub const DESTINATION: &str = "main";

/// What the configuration says beside the ports and the source. Values are TOML: `"\"2 MiB\""`, `"[1]"`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    engine: Vec<(String, String)>,
    destination: Vec<(String, String)>,
    source: Vec<(String, String)>,
    users: Vec<(String, String)>,
    ready: Ready,
}

/// What `start` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ready {
    /// Every destination streams.
    #[default]
    Streaming,
    /// The admin interface answers.
    Answering,
}

impl Options {
    /// A key of `[engine]`.
    pub fn engine(mut self, key: &str, value: &str) -> Self {
        self.engine.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A key of `[[destination]]`.
    pub fn destination(mut self, key: &str, value: &str) -> Self {
        self.destination.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A key of `[destination.source]`; replaces the one that the harness writes.
    pub fn source(mut self, key: &str, value: &str) -> Self {
        self.source.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A user of the clients' port, with the hash that `millstreamd --hash-password` made.
    pub fn user(mut self, name: &str, password_hash: &str) -> Self {
        self.users.push((name.to_owned(), password_hash.to_owned()));
        self
    }

    /// Do not wait for the source: it is not to be had, or the test is about that.
    pub fn without_waiting_for_the_source(mut self) -> Self {
        self.ready = Ready::Answering;
        self
    }

    /// The configuration file.
    pub fn text(&self, listen: SocketAddr, admin: SocketAddr, data: &Path, source: &str) -> String {
        let mut text = format!(
            // its replica number at the source follows from the id: several may read from one server
            "[server]\nid = \"test-{}\"\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\"\ndata_dir = \"{}\"\n\
             log = \"info\"\n\n[engine]\n",
            listen.port(),
            data.display()
        );
        let lines = |text: &mut String, keys: &[(String, String)]| {
            for (key, value) in keys {
                *text += &format!("{key} = {value}\n");
            }
        };
        // The same tests hold every runtime.
        if let Ok(runtime) = std::env::var("MILLSTREAM_RUNTIME") {
            text += &format!("runtime = \"{runtime}\"\n");
        }
        lines(&mut text, &self.engine);
        for (name, hash) in &self.users {
            text += &format!("\n[[clients.users]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\n");
        }
        text += &format!("\n[[destination]]\nname = \"{DESTINATION}\"\n");
        lines(&mut text, &self.destination);
        text += "\n[destination.source]\n";
        let own = [
            ("servers", format!("[\"{source}\"]")),
            ("user", "\"cdc\"".to_owned()),
            ("password", "\"cdc\"".to_owned()),
        ];
        for (key, value) in own {
            if self.source.iter().all(|(other, _)| other != key) {
                text += &format!("{key} = {value}\n");
            }
        }
        lines(&mut text, &self.source);
        text
    }
}

pub struct Millstreamd {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Metrics, health and status.
    pub admin: SocketAddr,
    ready: Ready,
    child: Option<Child>,
    folder: TempDir,
}

impl Millstreamd {
    /// Starts one that reads from `server`, and waits until it streams.
    ///
    /// # Errors
    /// When it does not start; the end of its log is in the error.
    pub fn start(server: &MysqlServer, options: Options) -> anyhow::Result<Self> {
        Self::start_at(&server.address(), options)
    }

    /// As [`Self::start`], for any address of a source.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_at(source: &str, options: Options) -> anyhow::Result<Self> {
        let (listen, admin) = (free_address(), free_address());
        let ready = options.ready;
        Self::start_with(listen, admin, ready, |data| options.text(listen, admin, data, source))
    }

    /// With the text of a configuration file; `config` is told the data folder to name in it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with_config(
        listen: SocketAddr,
        admin: SocketAddr,
        config: impl FnOnce(&Path) -> String,
    ) -> anyhow::Result<Self> {
        Self::start_with(listen, admin, Ready::Streaming, config)
    }

    fn start_with(
        listen: SocketAddr,
        admin: SocketAddr,
        ready: Ready,
        config: impl FnOnce(&Path) -> String,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("millstreamd-").tempdir().context("making a folder")?;
        let path = folder.path().join("millstreamd.toml");
        std::fs::write(&path, config(&folder.path().join("data")))?;
        // it holds a password, and millstreamd would say so
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let mut daemon = Self { listen, admin, ready, child: None, folder };
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Starts it after [`Self::kill9`] or [`Self::terminate`], on the same ports, with the same data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = bound_command(&workspace_program("millstreamd")?);
        command.arg("--config").arg(self.config_path());
        self.child = Some(spawn_logged(command, log)?);
        let until = Instant::now() + READY_MAX;
        let page = match self.ready {
            Ready::Streaming => "/readyz",
            Ready::Answering => "/healthz",
        };
        loop {
            if let Ok((200, _)) = self.http(page) {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok()).flatten() {
                self.child = None;
                bail!("millstreamd ended with {status}:\n{}", self.log_end());
            }
            if Instant::now() > until {
                let answer = self.http(page);
                bail!("millstreamd is not ready after {READY_MAX:?}: {answer:?}\n{}", self.log_end());
            }
            std::thread::sleep(POLL);
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("millstreamd.toml")
    }

    /// What it keeps durable.
    pub fn data_path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Everything that it wrote to its standard output and error since the first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("millstreamd runs").id()
    }

    /// As a crash would end it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("millstreamd does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// When it does not end in time: then it is killed.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("millstreamd does not run")?;
        signal(child.id(), Signal::TERM)?;
        let until = Instant::now() + END_MAX;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        child.kill()?;
        child.wait()?;
        bail!("millstreamd did not end within {END_MAX:?} of SIGTERM:\n{}", self.log_end())
    }

    /// Whether the process has ended by itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        })
    }

    /// # Errors
    /// When it does not run.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes(self.pid())
    }

    /// GET of the admin interface: status and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn http(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer).context("the answer is not text")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        let (status, body) = self.http("/metrics")?;
        ensure!(status == 200, "/metrics answers {status}");
        Ok(Metrics::parse(&body))
    }

    /// `/api/v1/status`.
    ///
    /// # Errors
    /// When it does not answer, or not with JSON.
    pub fn status(&self) -> anyhow::Result<serde_json::Value> {
        let (status, body) = self.http("/api/v1/status")?;
        ensure!(status == 200, "status answers {status}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Waits until the page answers with this status, and answers with its body.
    ///
    /// # Errors
    /// When it does not in `within`.
    pub fn wait_for_page(&self, path: &str, wanted: u16, within: Duration) -> anyhow::Result<String> {
        let until = Instant::now() + within;
        loop {
            let answer = self.http(path);
            match answer {
                Ok((status, body)) if status == wanted => return Ok(body),
                _ if Instant::now() > until => bail!("{path}: wanted {wanted}, got {answer:?}\n{}", self.log_end()),
                _ => std::thread::sleep(POLL),
            }
        }
    }

    /// Waits until this subscription follows the live stream.
    ///
    /// # Errors
    /// When it does not in `within`.
    pub fn wait_for_subscription(&self, name: &str, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            let status = self.status()?;
            let subscriptions = status["destinations"][0]["subscriptions"].as_array().cloned().unwrap_or_default();
            if subscriptions.iter().any(|subscription| subscription["name"] == name && subscription["state"] == "live")
            {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{name} is not live: {status}\n{}", self.log_end());
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the log has this text, since the first start.
    ///
    /// # Errors
    /// When it has not in `within`.
    pub fn wait_for_log(&self, text: &str, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while !self.log().contains(text) {
            ensure!(Instant::now() < until, "no {text:?} in the log:\n{}", self.log_end());
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Millstreamd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- the end of millstreamd's log ----\n{}", self.log_end());
        }
    }
}

fn spawn_logged(mut command: Command, log: File) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    spawn_bound(command).context("starting millstreamd")
}

/// Below the range from which the kernel and `scripts/servers.sh` give out ports. Each is given once by this process;
/// other processes begin elsewhere.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 13_000;
    const COUNT: u16 = 7_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let offset = (u32::from(begin) * 37 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A scrape of `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    /// Reads Prometheus text; lines that are none are left out.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_sample).collect() }
    }

    /// The sum of all samples of this name that have these labels.
    ///
    /// # Panics
    /// When there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self
            .samples
            .iter()
            .filter(|(other, _, _)| other == name)
            .filter(|(_, has, _)| labels.iter().all(|(key, value)| has.get(*key).is_some_and(|is| is == value)))
            .map(|(_, _, value)| value)
            .peekable();
        assert!(found.peek().is_some(), "no sample {name}{labels:?}");
        found.sum()
    }
}

/// `name{key="value",..} number`; the harness asks for no label whose value holds a quote or comma.
fn parse_sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (left, value) = line.rsplit_once(' ')?;
    let (name, labels) = left.split_once('{').unwrap_or((left, "}"));
    let labels = labels.strip_suffix('}')?;
    let labels = labels
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect();
    Some((name.to_owned(), labels, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_name_and_label() {
        let metrics = Metrics::parse(
            "# HELP a_total b\n# TYPE a_total counter\na_total{core=\"0\",x=\"y\"} 3\na_total{core=\"1\",x=\"y\"} 4.5\nb 7\n",
        );
        assert_eq!(metrics.sum("a_total", &[]), 7.5);
        assert_eq!(metrics.sum("a_total", &[("core", "1")]), 4.5);
        assert_eq!(metrics.sum("a_total", &[("x", "y"), ("core", "0")]), 3.0);
        assert_eq!(metrics.sum("b", &[]), 7.0);
    }
}
