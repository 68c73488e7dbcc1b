//! From "where to begin" to one exact position: asks the server, proves that nothing between is lost, and says how to dump.
//!
//! A sans-IO script: [`Resolver::next`] gives the next question and takes the answer to the one before. Questions are SQL
//! (a few rows each) or probes (the first events of a file over a side connection, see [`crate::source::probe`]).
//!
//! Invariants: a start whose data is gone never begins anywhere else; a position of another incarnation goes on only
//! when GTIDs prove that this server has all that we have, and still has all that comes next.

use std::sync::Arc;

use millstream_codec::mysql::gtid::{ExecutedGtids, GtidSet, MariadbGtidState};
use millstream_codec::mysql::position::{FIRST_EVENT_OFFSET, file_number};

use crate::position::{FilePosition, Position};
use crate::source::error::SourceError;
use crate::source::information_schema::{Cell, quoted};
use crate::source::probe::{ProbeRequest, ProbeResult, ProbeUntil};
use crate::source::session::server::{Flavour, ServerInfo};

/// Where to begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// With what is committed from now on.
    Latest,
    /// With the oldest file that the server still has.
    Earliest,
    File(FilePosition),
    /// Behind these transactions.
    Gtids(ExecutedGtids),
    /// With the first transaction committed at or after this moment, microseconds since the Unix epoch.
    Timestamp(i64),
    /// Where a reader stood before.
    Position(Position),
}

/// How to ask for the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Dump {
    File(FilePosition),
    Gtids(ExecutedGtids),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub position: Position,
    pub dump: Dump,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    Query(String),
    Probe(ProbeRequest),
}

#[derive(Debug)]
pub enum Answer {
    Rows(Vec<Vec<Cell>>),
    Probe(ProbeResult),
}

#[derive(Debug)]
pub enum Step {
    Ask(Question),
    Done(Resolved),
}

/// A file of SHOW BINARY LOGS.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogFile {
    name: Arc<str>,
    size_bytes: u64,
}

#[derive(Debug)]
enum Phase {
    Begin,
    /// SHOW BINARY LOG STATUS was asked.
    Status,
    /// SHOW BINARY LOGS was asked.
    Files,
    /// BINLOG_GTID_POS at the place where the dump is to begin.
    GtidsAt(FilePosition),
    /// MariaDB: BINLOG_GTID_POS at the oldest file's start, to tell what is gone.
    OldestGtids,
    /// MariaDB: BINLOG_GTID_POS at our own file and offset must be our own GTIDs.
    Proof,
    /// Bisecting: the first file may be at `low`, is not at or behind `high`.
    Bisect {
        low: usize,
        high: usize,
        middle: usize,
    },
    /// Reading one file up to the place.
    Seek,
    Done,
}

/// See the module's page.
#[derive(Debug)]
pub struct Resolver {
    start: Start,
    flavour: Flavour,
    incarnation: Arc<str>,
    gtid: bool,
    executed: ExecutedGtids,
    purged: ExecutedGtids,
    status_query: &'static str,
    phase: Phase,
    files: Vec<LogFile>,
}

const FILES_QUERY: &str = "SHOW BINARY LOGS";

impl Resolver {
    pub fn new(start: Start, server: &ServerInfo) -> Self {
        Self {
            start,
            flavour: server.flavour,
            incarnation: server.incarnation.clone(),
            gtid: server.gtid,
            executed: server.executed.clone(),
            purged: server.purged.clone(),
            status_query: server.status_query(),
            phase: Phase::Begin,
            files: Vec::new(),
        }
    }

    /// The next question, or the result. `answer` belongs to the question before; `None` at the first call.
    ///
    /// # Errors
    /// Why the stream cannot begin there, with the choices that are left.
    pub fn next(&mut self, answer: Option<Answer>) -> Result<Step, SourceError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        match (phase, answer) {
            (Phase::Begin, None) => self.begin(),
            (Phase::Status, Some(Answer::Rows(rows))) => self.status(&rows),
            (Phase::Files, Some(Answer::Rows(rows))) => self.have_files(&rows),
            (Phase::GtidsAt(at), Some(Answer::Rows(rows))) => {
                let gtids = self.gtid_cell(&rows)?.unwrap_or_else(|| self.no_gtids());
                Ok(self.at_file(at, gtids))
            }
            (Phase::OldestGtids, Some(Answer::Rows(rows))) => {
                let oldest = self.gtid_cell(&rows)?.unwrap_or_else(|| self.no_gtids());
                self.prove_mariadb_gtids(&oldest)
            }
            (Phase::Proof, Some(Answer::Rows(rows))) => self.proven(&rows),
            (Phase::Bisect { low, high, middle }, Some(Answer::Probe(result))) => {
                self.bisected(low, high, middle, &result)
            }
            (Phase::Seek, Some(Answer::Probe(result))) => self.sought(result),
            (phase, _) => {
                Err(SourceError::Protocol(format!("the start script has no use for this answer in {phase:?}")))
            }
        }
    }

    fn ask(&mut self, phase: Phase, query: impl Into<String>) -> Result<Step, SourceError> {
        self.phase = phase;
        Ok(Step::Ask(Question::Query(query.into())))
    }

    fn probe(&mut self, phase: Phase, file: Arc<str>, until: ProbeUntil) -> Result<Step, SourceError> {
        self.phase = phase;
        Ok(Step::Ask(Question::Probe(ProbeRequest { file, until })))
    }

    fn begin(&mut self) -> Result<Step, SourceError> {
        match &self.start {
            Start::Latest => self.ask(Phase::Status, self.status_query),
            Start::Earliest | Start::File(_) | Start::Timestamp(_) => self.ask(Phase::Files, FILES_QUERY),
            Start::Gtids(gtids) => {
                let gtids = gtids.clone();
                self.check_kind(&gtids)?;
                if !self.gtid {
                    return Err(SourceError::BadPosition {
                        position: gtids.to_string(),
                        reason: "this server does not write GTIDs (gtid_mode is not ON). Start from FILE:OFFSET, a \
                                 timestamp, \"earliest\" or \"latest\", or turn GTIDs on"
                            .to_owned(),
                    });
                }
                self.begin_with_gtids(&gtids)
            }
            Start::Position(position) => {
                let position = position.clone();
                self.check_kind(&position.gtids)?;
                let same = position.incarnation == self.incarnation;
                if same && !position.file.is_empty() {
                    if self.gtid {
                        self.check_not_ahead(&position.gtids)?;
                    }
                    return self.ask(Phase::Files, FILES_QUERY);
                }
                self.begin_elsewhere(&position)
            }
        }
    }

    /// The position is of another server or another life of this one: only GTIDs can tell where it lies here.
    fn begin_elsewhere(&mut self, position: &Position) -> Result<Step, SourceError> {
        let refuse = |reason: &str| {
            Err(SourceError::Incarnation {
                expected: format!("{} ({}:{})", position.incarnation, position.file, position.offset),
                found: self.incarnation.to_string(),
                reason: reason.to_owned(),
            })
        };
        if !self.gtid {
            return refuse("this server has no GTIDs (gtid_mode is not ON) that would tell where it lies here");
        }
        if position.gtids.is_empty() {
            return refuse("it has no GTIDs that would tell where it lies here");
        }
        let gtids = position.gtids.clone();
        self.begin_with_gtids(&gtids)
    }

    fn begin_with_gtids(&mut self, gtids: &ExecutedGtids) -> Result<Step, SourceError> {
        self.check_not_ahead(gtids)?;
        match self.flavour {
            Flavour::Mysql => {
                self.check_not_purged(gtids)?;
                Ok(self.behind_gtids(gtids.clone()))
            }
            Flavour::Mariadb => self.ask(Phase::Files, FILES_QUERY),
        }
    }

    fn status(&mut self, rows: &[Vec<Cell>]) -> Result<Step, SourceError> {
        let row = rows.first().ok_or_else(|| {
            SourceError::Requirements(vec![crate::source::error::Finding {
                problem: "the server has no binary log".to_owned(),
                mend: "start it with log_bin and server_id set".to_owned(),
            }])
        })?;
        let at = FilePosition { file: cell_text(row, 0)?.into(), offset: cell_number(row, 1)? };
        match self.flavour {
            // The set is read before the place, so it never has more than what lies before the place.
            Flavour::Mysql => {
                let gtids = match row.get(4).and_then(|cell| cell.as_deref()) {
                    Some(text) => self.parse(text)?,
                    None => self.no_gtids(),
                };
                Ok(self.at_file(at, gtids))
            }
            Flavour::Mariadb => self.ask_gtids_at(at),
        }
    }

    fn ask_gtids_at(&mut self, at: FilePosition) -> Result<Step, SourceError> {
        let query = gtid_pos_query(&at);
        self.ask(Phase::GtidsAt(at), query)
    }

    fn have_files(&mut self, rows: &[Vec<Cell>]) -> Result<Step, SourceError> {
        self.files = rows
            .iter()
            .map(|row| Ok(LogFile { name: cell_text(row, 0)?.into(), size_bytes: cell_number(row, 1)? }))
            .collect::<Result<_, SourceError>>()?;
        let oldest = self
            .files
            .first()
            .ok_or_else(|| SourceError::Protocol("SHOW BINARY LOGS gave no file".to_owned()))?
            .name
            .clone();
        let start_of = |file: Arc<str>| FilePosition { file, offset: FIRST_EVENT_OFFSET };
        match self.start.clone() {
            Start::Latest => Err(SourceError::Protocol("the start script asked for files without need".to_owned())),
            Start::Earliest => match self.flavour {
                Flavour::Mysql => Ok(self.at_file(start_of(oldest), self.purged.clone())),
                Flavour::Mariadb => self.ask_gtids_at(start_of(oldest)),
            },
            Start::File(at) => {
                let at = FilePosition { offset: at.offset.max(FIRST_EVENT_OFFSET), ..at };
                self.check_file(&at)?;
                self.probe(Phase::Seek, at.file, ProbeUntil::Offset(at.offset))
            }
            Start::Timestamp(time_us) => self.bisect(0, self.files.len(), time_us),
            // MariaDB: the oldest file tells what is gone.
            Start::Gtids(_) => {
                let query = gtid_pos_query(&start_of(oldest));
                self.ask(Phase::OldestGtids, query)
            }
            Start::Position(position) => {
                let at = FilePosition { file: position.file.clone(), offset: position.offset.max(FIRST_EVENT_OFFSET) };
                if position.incarnation != self.incarnation || at.file.is_empty() {
                    let query = gtid_pos_query(&start_of(oldest));
                    return self.ask(Phase::OldestGtids, query);
                }
                match self.check_file(&at) {
                    Ok(()) if self.flavour == Flavour::Mariadb => {
                        let query = gtid_pos_query(&at);
                        self.ask(Phase::Proof, query)
                    }
                    Ok(()) => Ok(self.done(position, Dump::File(at))),
                    // The file is gone, and yet nothing that we need may be: GTIDs tell.
                    Err(_) if self.gtid && !position.gtids.is_empty() => match self.flavour {
                        Flavour::Mysql => {
                            self.check_not_purged(&position.gtids)?;
                            Ok(self.behind_gtids(position.gtids))
                        }
                        Flavour::Mariadb => {
                            let query = gtid_pos_query(&start_of(oldest));
                            self.ask(Phase::OldestGtids, query)
                        }
                    },
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// MariaDB: at our file and offset this server has exactly our GTIDs, or they must be proven otherwise.
    fn proven(&mut self, rows: &[Vec<Cell>]) -> Result<Step, SourceError> {
        let Start::Position(position) = self.start.clone() else {
            return Err(SourceError::Protocol("a proof without a position".to_owned()));
        };
        let found = self.gtid_cell(rows)?;
        if position.gtids.is_empty() || found.as_ref() == Some(&position.gtids) {
            let at = FilePosition { file: position.file.clone(), offset: position.offset.max(FIRST_EVENT_OFFSET) };
            return Ok(self.done(position, Dump::File(at)));
        }
        let Some(oldest) = self.files.first().map(|file| file.name.clone()) else {
            return Err(SourceError::Protocol("SHOW BINARY LOGS gave no file".to_owned()));
        };
        let query = gtid_pos_query(&FilePosition { file: oldest, offset: FIRST_EVENT_OFFSET });
        self.ask(Phase::OldestGtids, query)
    }

    fn prove_mariadb_gtids(&mut self, oldest: &ExecutedGtids) -> Result<Step, SourceError> {
        let gtids = match &self.start {
            Start::Gtids(gtids) => gtids.clone(),
            Start::Position(position) => position.gtids.clone(),
            _ => return Err(SourceError::Protocol("the start script asked for GTIDs without need".to_owned())),
        };
        let none = MariadbGtidState::new();
        let ours = gtids.as_mariadb().unwrap_or(&none);
        let missing: Vec<String> = oldest
            .as_mariadb()
            .into_iter()
            .flat_map(MariadbGtidState::iter)
            .filter(|gone| !ours.contains(gone))
            .map(|gone| match ours.last_in_domain(gone.domain) {
                Some(last) => format!("{}-*-{} to {gone}", gone.domain, last.sequence.saturating_add(1)),
                None => format!("domain {} up to {gone}", gone.domain),
            })
            .collect();
        if !missing.is_empty() {
            return Err(SourceError::Purged { missing: missing.join(", "), oldest: self.oldest() });
        }
        Ok(self.behind_gtids(gtids))
    }

    /// Searches the last file that was certainly begun at or before the moment.
    fn bisect(&mut self, low: usize, high: usize, time_us: i64) -> Result<Step, SourceError> {
        if low < high {
            let middle = low + (high - low) / 2;
            if let Some(file) = self.files.get(middle) {
                let name = file.name.clone();
                return self.probe(Phase::Bisect { low, high, middle }, name, ProbeUntil::Created);
            }
        }
        // `low` is the first file that may have been begun after the moment; the moment lies behind the begin of the one before.
        let index = match low.checked_sub(1) {
            Some(index) => index,
            // Nothing older was ever there: the history begins after the moment.
            None if self.files.first().and_then(|file| file_number(&file.name)) == Some(1) => 0,
            None => {
                return Err(SourceError::Purged {
                    missing: format!("what was committed from {time_us} us since 1970 on"),
                    oldest: self.oldest(),
                });
            }
        };
        let Some(file) = self.files.get(index).map(|file| file.name.clone()) else {
            return Err(SourceError::Protocol("SHOW BINARY LOGS gave no file".to_owned()));
        };
        self.probe(Phase::Seek, file, ProbeUntil::Time(time_us))
    }

    fn bisected(&mut self, low: usize, high: usize, middle: usize, probe: &ProbeResult) -> Result<Step, SourceError> {
        let Start::Timestamp(time_us) = self.start else {
            return Err(SourceError::Protocol("a bisection without a moment".to_owned()));
        };
        // A file's head has whole seconds: it may have been begun at the second's end, and what was committed in that second
        // before may lie in earlier files.
        match probe.created_us.saturating_add(999_999) <= time_us {
            true => self.bisect(middle + 1, high, time_us),
            false => self.bisect(low, middle, time_us),
        }
    }

    fn sought(&mut self, probe: ProbeResult) -> Result<Step, SourceError> {
        if let Start::File(at) = &self.start {
            let offset = at.offset.max(FIRST_EVENT_OFFSET);
            if probe.at.offset != offset {
                return Err(SourceError::BadPosition {
                    position: at.to_string(),
                    reason: format!(
                        "it lies inside a transaction; the one around it begins at {}. Start there",
                        probe.at.offset
                    ),
                });
            }
        }
        Ok(self.at_file(probe.at, probe.gtids))
    }

    // ---- what must hold ------------------------------------------------------------------------------

    fn check_kind(&self, gtids: &ExecutedGtids) -> Result<(), SourceError> {
        let fits = match gtids {
            ExecutedGtids::None => true,
            ExecutedGtids::Mysql(_) => self.flavour == Flavour::Mysql,
            ExecutedGtids::Mariadb(_) => self.flavour == Flavour::Mariadb,
        };
        match fits {
            true => Ok(()),
            false => Err(SourceError::BadPosition {
                position: gtids.to_string(),
                reason: format!("the server is a {}, whose GTIDs have another form", self.flavour),
            }),
        }
    }

    /// The server has all that we have.
    fn check_not_ahead(&self, ours: &ExecutedGtids) -> Result<(), SourceError> {
        if ours.is_subset(&self.executed) {
            return Ok(());
        }
        let extra = match (ours, &self.executed) {
            (ExecutedGtids::Mysql(ours), theirs) => {
                let mut extra = ours.clone();
                if let Some(theirs) = theirs.as_mysql() {
                    extra.subtract(theirs);
                }
                extra.to_string()
            }
            (ExecutedGtids::Mariadb(ours), theirs) => {
                let ahead = |gtid: &&_| !theirs.as_mariadb().is_some_and(|theirs| theirs.contains(gtid));
                ours.iter().filter(ahead).map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            (ExecutedGtids::None, _) => String::new(),
        };
        Err(SourceError::AheadOfSource { extra })
    }

    /// MySQL: the server still has all that we lack.
    fn check_not_purged(&self, ours: &ExecutedGtids) -> Result<(), SourceError> {
        let mut missing = match &self.purged {
            ExecutedGtids::Mysql(purged) => purged.clone(),
            _ => GtidSet::new(),
        };
        if let Some(ours) = ours.as_mysql() {
            missing.subtract(ours);
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(SourceError::Purged {
                missing: missing.to_string(),
                oldest: format!("what follows gtid_purged = {}", self.purged),
            }),
        }
    }

    fn check_file(&self, at: &FilePosition) -> Result<(), SourceError> {
        match self.files.iter().find(|file| file.name == at.file) {
            Some(file) if at.offset <= file.size_bytes => Ok(()),
            Some(file) => Err(SourceError::BadPosition {
                position: at.to_string(),
                reason: format!(
                    "the file has only {} bytes: it was cut by a crash, or is another file of the same name",
                    file.size_bytes
                ),
            }),
            None => {
                let oldest = self.files.first().and_then(|file| file_number(&file.name));
                match (file_number(&at.file), oldest) {
                    (Some(asked), Some(oldest)) if asked < oldest => {
                        Err(SourceError::Purged { missing: format!("file {}", at.file), oldest: self.oldest() })
                    }
                    _ => Err(SourceError::BadPosition {
                        position: at.to_string(),
                        reason: format!(
                            "there is no such file; the server has {} to {}",
                            self.oldest(),
                            self.files.last().map_or("none", |file| &file.name)
                        ),
                    }),
                }
            }
        }
    }

    fn oldest(&self) -> String {
        self.files.first().map_or_else(|| "none".to_owned(), |file| format!("file {}", file.name))
    }

    // ---- results -------------------------------------------------------------------------------------

    fn at_file(&self, at: FilePosition, gtids: ExecutedGtids) -> Step {
        let position = Position {
            incarnation: self.incarnation.clone(),
            file: at.file.clone(),
            offset: at.offset,
            gtids,
            open_xa: Arc::new([]),
        };
        self.done(position, Dump::File(at))
    }

    /// The file is told by the stream's first ROTATE.
    fn behind_gtids(&self, gtids: ExecutedGtids) -> Step {
        let open_xa = match &self.start {
            Start::Position(position) => position.open_xa.clone(),
            _ => Arc::new([]),
        };
        let position = Position {
            incarnation: self.incarnation.clone(),
            file: "".into(),
            offset: FIRST_EVENT_OFFSET,
            gtids: gtids.clone(),
            open_xa,
        };
        self.done(position, Dump::Gtids(gtids))
    }

    fn done(&self, position: Position, dump: Dump) -> Step {
        let dump = match dump {
            // COM_BINLOG_DUMP has 32 bits for the offset; the GTIDs before it say the same.
            Dump::File(at) if at.offset > u64::from(u32::MAX) && self.gtid && !position.gtids.is_empty() => {
                Dump::Gtids(position.gtids.clone())
            }
            dump => dump,
        };
        Step::Done(Resolved { position, dump })
    }

    fn no_gtids(&self) -> ExecutedGtids {
        match self.flavour {
            Flavour::Mysql => ExecutedGtids::Mysql(GtidSet::new()),
            Flavour::Mariadb => ExecutedGtids::Mariadb(MariadbGtidState::new()),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<ExecutedGtids, SourceError> {
        let text = String::from_utf8_lossy(text);
        let parsed = match self.flavour {
            Flavour::Mysql => text.parse().map(ExecutedGtids::Mysql),
            Flavour::Mariadb => text.parse().map(ExecutedGtids::Mariadb),
        };
        parsed.map_err(|error| SourceError::Protocol(format!("the server's GTID state cannot be read: {error}")))
    }

    /// The one cell of BINLOG_GTID_POS; NULL where the server does not know the place.
    fn gtid_cell(&self, rows: &[Vec<Cell>]) -> Result<Option<ExecutedGtids>, SourceError> {
        match rows.first().and_then(|row| row.first()) {
            Some(Some(text)) => self.parse(text).map(Some),
            _ => Ok(None),
        }
    }
}

fn gtid_pos_query(at: &FilePosition) -> String {
    format!("SELECT BINLOG_GTID_POS({}, {})", quoted(&at.file), at.offset)
}

fn cell_text(row: &[Cell], index: usize) -> Result<&str, SourceError> {
    row.get(index)
        .and_then(|cell| cell.as_deref())
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .ok_or_else(|| SourceError::Protocol(format!("a row of the server's answer has no text in column {index}")))
}

fn cell_number(row: &[Cell], index: usize) -> Result<u64, SourceError> {
    cell_text(row, index)?
        .parse()
        .map_err(|_| SourceError::Protocol(format!("a row of the server's answer has no number in column {index}")))
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
