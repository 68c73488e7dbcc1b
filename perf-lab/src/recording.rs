//! Recorded workloads: a MySQL as it stood before, and for each workload the binlog that it wrote then.
//!
//! Everything lies in `target/perf-lab` and is made when it is missing. All recordings begin at the same place, at which
//! the server stands that answers the queries of an experiment.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use millstream_tests::harness::{Flavour, MysqlServer, repository};
use serde::{Deserialize, Serialize};

use crate::experiment::Settings;
use crate::progress::say;
use crate::replay::Log;
use crate::source::{Place, SourceKind};
use crate::workload::{DATABASE, Size, WORKLOADS, Workload};

/// Raised when workloads or the server's options change: what was recorded before is made anew.
const VERSION: u32 = 3;
const WRITERS: usize = 4;
const OPTIONS: [&str; 7] = [
    "--sync-binlog=0",
    // As it is by default: the text of statements is not in the log.
    "--binlog-rows-query-log-events=OFF",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--max-binlog-size=1073741824",
    "--binlog-expire-logs-seconds=0",
    "--innodb-redo-log-capacity=256M",
];

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    file: String,
    start: u64,
    rows: u64,
    transactions: u64,
}

pub struct Recording {
    pub workload: &'static Workload,
    pub path: PathBuf,
    pub log: Arc<Log>,
    pub rows: u64,
    pub transactions: u64,
}

impl Recording {
    pub fn place(&self, studio: &Studio) -> Place {
        Place { file: self.log.name.clone(), offset: self.log.start(), gtids: studio.gtids.clone() }
    }
}

/// The server that stands where the recordings begin.
pub struct Studio {
    pub server: MysqlServer,
    /// Executed before the recordings begin.
    pub gtids: String,
    pub size: Size,
    pub source: SourceKind,
    folder: PathBuf,
    /// Another server, whose log holds a recording, and which.
    loaded: Mutex<Option<(&'static str, Arc<MysqlServer>)>>,
}

impl Studio {
    /// Records what is missing; then the server stands at the beginning of the recordings.
    ///
    /// # Errors
    /// There is no MySQL 9.7 (`make servers`), or it does not do as it should.
    pub fn open(settings: &Settings, wanted: &[&'static Workload]) -> anyhow::Result<Self> {
        let Settings { size, source, .. } = *settings;
        let name = if size == Size::Full { "full" } else { "quick" };
        let folder = target_folder().join(format!("perf-lab/recordings-{VERSION}/{name}"));
        std::fs::create_dir_all(&folder)?;
        let server = MysqlServer::start(Flavour::Mysql97, &OPTIONS)?
            .context("MySQL 9.7 is not here; fetch it with: make servers")?;
        let mut studio = Self { server, gtids: String::new(), size, source, folder, loaded: Mutex::default() };
        if !studio.folder.join("base").is_dir() {
            studio.make_base()?;
        }
        for workload in wanted {
            if studio.facts(workload).is_err() {
                studio.record(workload)?;
            }
        }
        studio.go_to_base()?;
        studio.gtids = studio.server.gtids()?.replace('\n', "");
        let (file, offset) = studio.server.binlog_end()?;
        for workload in wanted {
            let facts = studio.facts(workload)?;
            ensure!(
                (&facts.file, facts.start) == (&file, offset),
                "the recording {} begins at {}:{}, the server stands at {file}:{offset}; delete {}",
                workload.name,
                facts.file,
                facts.start,
                studio.folder.display()
            );
        }
        Ok(studio)
    }

    /// # Errors
    /// It was not asked for when the studio was opened.
    pub fn recording(&self, workload: &'static Workload) -> anyhow::Result<Recording> {
        let facts = self.facts(workload)?;
        let path = self.folder.join(workload.name).join(&facts.file);
        let log = Arc::new(Log::read(&path, facts.start)?);
        Ok(Recording { workload, path, log, rows: facts.rows, transactions: facts.transactions })
    }

    /// A server that has the recording as if it had written it: its data are those from before, and the recorded file is
    /// the next one of its log.
    ///
    /// # Errors
    /// It does not start.
    pub fn loaded(&self, recording: &Recording) -> anyhow::Result<Arc<MysqlServer>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let name = recording.workload.name;
        if let Some((_, server)) = loaded.as_ref().filter(|(other, _)| *other == name) {
            return Ok(server.clone());
        }
        *loaded = None;
        let mut server = MysqlServer::start(Flavour::Mysql97, &OPTIONS)?.context("MySQL 9.7 is not here")?;
        put(&mut server, &self.folder.join("base"), Some(&recording.path))?;
        let server = Arc::new(server);
        *loaded = Some((name, server.clone()));
        Ok(server)
    }

    fn facts(&self, workload: &Workload) -> anyhow::Result<Facts> {
        let text = std::fs::read_to_string(self.folder.join(workload.name).join("facts.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    fn make_base(&mut self) -> anyhow::Result<()> {
        say("making the tables that recordings begin with");
        self.server.sql(&format!("CREATE DATABASE {DATABASE}"))?;
        let session = self.server.session()?;
        for statement in WORKLOADS.iter().flat_map(|workload| workload.tables()) {
            session.query(&statement)?;
        }
        drop(session);
        self.server.stop()?;
        let copy = self.folder.join("base.new");
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&self.server.datadir(), &copy)?;
        std::fs::rename(copy, self.folder.join("base"))?;
        self.server.start_again()
    }

    fn go_to_base(&mut self) -> anyhow::Result<()> {
        put(&mut self.server, &self.folder.join("base"), None)
    }

    fn record(&mut self, workload: &'static Workload) -> anyhow::Result<()> {
        let (rows, transactions) = (workload.rows(self.size), workload.transactions(self.size));
        say(format_args!("recording {} ({rows} rows in {transactions} transactions)", workload.name));
        self.go_to_base()?;
        let (file, start) = self.server.binlog_end()?;
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let write = || -> anyhow::Result<()> {
                let session = self.server.session()?;
                loop {
                    let transaction = next.fetch_add(1, Ordering::Relaxed);
                    if transaction >= transactions {
                        return Ok(());
                    }
                    session.query(&workload.statement(transaction, self.size))?;
                }
            };
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
            let outcomes =
                writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| anyhow::bail!("a writer panicked")));
            outcomes.collect::<anyhow::Result<()>>()
        })?;
        let (end_file, _) = self.server.binlog_end()?;
        ensure!(end_file == file, "the recording went over the end of one binlog file");
        self.server.stop()?;
        let folder = self.folder.join(workload.name);
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(self.server.datadir().join(&file), folder.join(&file))?;
        let facts = Facts { file, start, rows, transactions };
        std::fs::write(folder.join("facts.json"), serde_json::to_string(&facts)?)?;
        self.server.start_again()
    }
}

/// Starts the server again with the data of `base`, and `next` as the file of its log behind those.
fn put(server: &mut MysqlServer, base: &Path, next: Option<&Path>) -> anyhow::Result<()> {
    server.stop()?;
    let data = server.datadir();
    std::fs::remove_dir_all(&data)?;
    copy_folder(base, &data)?;
    // The index names the files of the folder that the base was made in.
    let index = data.join("binlog.index");
    let named = std::fs::read_to_string(&index)?;
    let mut names: Vec<PathBuf> =
        named.lines().filter_map(|line| Some(data.join(Path::new(line).file_name()?))).collect();
    if let Some(next) = next {
        let file = data.join(next.file_name().context("a file name")?);
        std::fs::copy(next, &file).with_context(|| format!("copying {}", next.display()))?;
        names.push(file);
    }
    let lines: String = names.iter().map(|name| format!("{}\n", name.display())).collect();
    std::fs::write(&index, lines)?;
    server.start_again()
}

/// Where cargo builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}
