//! A private server of one test, or of one test program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};
use mysql_async::OptsBuilder;
use tempfile::TempDir;

use super::flavour::{Flavour, Kind, Version};
use super::session::{ResultSet, Session};
use super::sqlscript::{RunReport, SqlScript};
use super::tools::repository;

/// A running server on 127.0.0.1, with row-format binlog, GTIDs, full row metadata where there is such a
/// thing, and the account `cdc` with the password `cdc`. Ended and removed when dropped.
pub struct MysqlServer {
    pub flavour: Flavour,
    pub port: u16,
    pub version: Version,
    socket: PathBuf,
    options: Vec<String>,
    folder: TempDir,
}

impl MysqlServer {
    /// Starts one; `None`, and a line on stderr, when this machine does not have that server.
    ///
    /// # Errors
    /// When it is there and does not start; the end of its log is in the error.
    pub fn start(flavour: Flavour, options: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(version) = flavour.version() else {
            eprintln!("not run: {flavour} is not here (make servers)");
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("millstream-").tempdir().context("making a folder")?;
        let mut server = Self {
            flavour,
            port: 0,
            version,
            socket: PathBuf::new(),
            options: options.iter().map(ToString::to_string).collect(),
            folder,
        };
        server.launch()?;
        Ok(Some(server))
    }

    /// The server of this flavour that the tests of this program share, with no options of its own.
    /// It must not be stopped or reconfigured; databases are the tests' own.
    ///
    /// # Panics
    /// When the server is there and does not start.
    pub fn shared(flavour: Flavour) -> Option<&'static Self> {
        static SHARED: [OnceLock<Option<MysqlServer>>; Flavour::ALL.len()] =
            [const { OnceLock::new() }; Flavour::ALL.len()];
        SHARED[flavour.ordinal()]
            .get_or_init(|| Self::start(flavour, &[]).unwrap_or_else(|error| panic!("{error:#}")))
            .as_ref()
    }

    pub fn name(&self) -> &'static str {
        self.flavour.name()
    }

    pub fn kind(&self) -> Kind {
        self.flavour.kind()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Data directory: binlog files, and the certificates that MySQL 5.7 and later make (`ca.pem`).
    pub fn datadir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn error_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("run/err.log")).unwrap_or_default()
    }

    /// For a connection of the test's own: TCP, account `cdc`.
    pub fn tcp_options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some("cdc"))
            .pass(Some("cdc"))
    }

    /// A new connection, through the socket.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn session(&self) -> anyhow::Result<Session> {
        Session::open(self.socket.clone()).with_context(|| format!("on {}", self.name()))
    }

    /// Runs statements separated by `;` on a connection of their own.
    ///
    /// # Errors
    /// The first error of the server, with its statement.
    pub fn sql(&self, statements: &str) -> anyhow::Result<()> {
        self.session()?.run(statements).with_context(|| format!("on {}", self.name()))
    }

    /// Runs one statement on a connection of its own, and answers with its rows.
    ///
    /// # Errors
    /// The error of the server.
    pub fn query(&self, statement: &str) -> anyhow::Result<ResultSet> {
        self.session()?.query(statement).with_context(|| format!("on {}", self.name()))
    }

    /// The single value of a query; `None` is NULL.
    ///
    /// # Errors
    /// The error of the server, or when there is not exactly one row.
    pub fn value(&self, statement: &str) -> anyhow::Result<Option<String>> {
        let set = self.query(statement)?;
        anyhow::ensure!(set.rows.len() == 1, "{} rows for {statement}", set.rows.len());
        Ok(set.text(0, 0))
    }

    /// Runs a script with directives; see [`SqlScript`].
    ///
    /// # Errors
    /// The first statement that fails and may not.
    pub fn run_script(&self, script: &SqlScript) -> anyhow::Result<RunReport> {
        script.run(self)
    }

    /// The binlog files in order, oldest first.
    ///
    /// # Errors
    /// The error of the server.
    pub fn binlog_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let set = self.query("SHOW BINARY LOGS")?;
        Ok((0..set.rows.len()).filter_map(|row| set.text(row, 0)).map(|name| self.datadir().join(name)).collect())
    }

    /// Where the binlog ends: file name and offset.
    ///
    /// # Errors
    /// The error of the server.
    pub fn binlog_end(&self) -> anyhow::Result<(String, u64)> {
        let renamed = self.kind() == Kind::Mysql && self.version >= Version(8, 2, 0);
        let set = self.query(if renamed { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" })?;
        anyhow::ensure!(set.rows.len() == 1, "the binlog is off");
        let file = set.text(0, 0).context("no file name")?;
        let offset = set.text(0, 1).context("no offset")?.parse()?;
        Ok((file, offset))
    }

    /// All GTIDs in the log, in the server's own form.
    ///
    /// # Errors
    /// The error of the server.
    pub fn gtids(&self) -> anyhow::Result<String> {
        let variable = match self.kind() {
            Kind::Mysql => "SELECT @@GLOBAL.gtid_executed",
            Kind::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos",
        };
        Ok(self.value(variable)?.unwrap_or_default())
    }

    /// Ends it in order and starts it again on the same port.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Ends it in order and starts it again on the same port, with other options.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart_with(&mut self, options: &[&str]) -> anyhow::Result<()> {
        self.options = options.iter().map(ToString::to_string).collect();
        self.restart()
    }

    /// Ends it in order; [`Self::start_again`] goes on with the same data and port.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.script(&["stop"], &[]).map(drop)
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// When no server runs.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.script(&["kill9"], &[]).map(drop)
    }

    /// Starts it after [`Self::stop`] or [`Self::kill9`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.launch()
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let (port, owner) = (self.port.to_string(), std::process::id().to_string());
        let mut arguments = vec![port.as_str(), "--owner", owner.as_str()];
        arguments.extend(self.options.iter().map(String::as_str));
        let line = self.script(&["start", self.flavour.name()], &arguments)?;
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "port" => self.port = value.parse().context("the port of the server")?,
                "socket" => self.socket = value.into(),
                _ => {}
            }
        }
        anyhow::ensure!(self.port != 0, "the server told no port: {line}");
        Ok(())
    }

    /// `servers.sh BEFORE... FOLDER AFTER...`
    fn script(&self, before: &[&str], after: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(repository().join("scripts/servers.sh"))
            .args(before)
            .arg(self.folder.path())
            .args(after)
            .stdin(std::process::Stdio::null())
            .output()
            .context("running scripts/servers.sh")?;
        if !output.status.success() {
            bail!("servers.sh {}: {}", before.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for MysqlServer {
    fn drop(&mut self) {
        if let Err(error) = self.script(&["stop"], &["--wipe"]) {
            eprintln!("{error:#}");
        }
    }
}
