//! The statements between login and stream, as a machine: what to send next, given the answer to the one before.

use std::sync::Arc;

use crate::position::FilePosition;
use crate::source::config::SourceConfig;
use crate::source::error::SourceError;
use crate::source::information_schema::{Cell, quoted};
use crate::source::session::server::{Flavour, ServerInfo, VARIABLES_QUERY, gtid_query, variables};
use crate::source::start::{Answer, Dump, Question, Resolved, Resolver, Start, Step};
use millstream_codec::mysql::checksum::Checksum;

/// A year: what a server allows at most. A dump that our back-pressure holds must not be cut off.
const NET_WRITE_TIMEOUT_S: u32 = 31_536_000;

/// What a connection is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// Follow the source from there on.
    Follow(Start),
    /// Read from this place to the end of the log and no further, beside the live stream.
    Read(FilePosition),
    /// Ask questions with SQL.
    Query,
}

#[derive(Debug)]
pub enum Next {
    Query(String),
    /// COM_REGISTER_SLAVE.
    Register,
    /// Answer with [`Script::probed`].
    Probe(crate::source::probe::ProbeRequest),
    Dump(Box<Ready>),
    /// Goal::Query: the connection takes statements now.
    Idle,
}

/// Everything that the stream's reader has to know.
#[derive(Debug, Clone)]
pub struct Ready {
    pub server: ServerInfo,
    /// `None` with [`Goal::Query`].
    pub resolved: Option<Resolved>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begin,
    Settings,
    Variables,
    Gtids,
    Handshake,
    Checksum,
    Resolve,
    ConnectState,
    Registered,
    Done,
}

/// See the module's page.
#[derive(Debug)]
pub struct Script {
    goal: Goal,
    greeting_version: String,
    connection_id: u32,
    replica_uuid: String,
    heartbeat_ns: u64,
    phase: Phase,
    server: Option<ServerInfo>,
    resolver: Option<Resolver>,
    resolved: Option<Resolved>,
}

impl Script {
    pub fn new(config: &SourceConfig, goal: Goal, greeting_version: String, connection_id: u32) -> Self {
        let heartbeat_ns = u64::try_from(config.heartbeat_period.as_nanos()).unwrap_or(u64::MAX);
        let replica_uuid = match goal {
            Goal::Follow(_) => config.replica_uuid(),
            // Without a uuid and a server id no other dump is thrown out.
            Goal::Read(_) | Goal::Query => String::new(),
        };
        Self {
            goal,
            greeting_version,
            connection_id,
            replica_uuid,
            heartbeat_ns,
            phase: Phase::Begin,
            server: None,
            resolver: None,
            resolved: None,
        }
    }

    pub fn server(&self) -> Option<&ServerInfo> {
        self.server.as_ref()
    }

    /// The conversation is the caller's now.
    pub fn is_idle(&self) -> bool {
        self.goal == Goal::Query && self.phase == Phase::Done
    }

    /// What comes first.
    pub fn begin(&mut self) -> Next {
        self.phase = Phase::Settings;
        // Whatever the server's own sql_mode is, our quotes are quotes.
        let mut settings = "SET NAMES utf8mb4, SESSION sql_mode = ''".to_owned();
        if self.goal != Goal::Query {
            settings += &format!(", SESSION net_write_timeout = {NET_WRITE_TIMEOUT_S}");
        }
        Next::Query(settings)
    }

    /// The answer to the last query: its rows, none for a statement without.
    ///
    /// # Errors
    /// What the server lacks, or why the stream cannot begin.
    pub fn answered(&mut self, rows: Vec<Vec<Cell>>) -> Result<Next, SourceError> {
        match self.phase {
            Phase::Settings => {
                self.phase = Phase::Variables;
                Ok(Next::Query(VARIABLES_QUERY.to_owned()))
            }
            Phase::Variables => {
                let server = ServerInfo::from_variables(&self.greeting_version, self.connection_id, &variables(&rows))?;
                let flavour = server.flavour;
                self.server = Some(server);
                if self.goal == Goal::Query {
                    self.phase = Phase::Done;
                    return Ok(Next::Idle);
                }
                self.phase = Phase::Gtids;
                Ok(Next::Query(gtid_query(flavour).to_owned()))
            }
            Phase::Gtids => {
                self.known()?.set_gtids(&rows)?;
                self.phase = Phase::Handshake;
                let flavour = self.known()?.flavour;
                Ok(Next::Query(self.handshake(flavour)))
            }
            Phase::Handshake => {
                self.phase = Phase::Checksum;
                Ok(Next::Query("SELECT @master_binlog_checksum".to_owned()))
            }
            Phase::Checksum => {
                let is_crc32 = rows.first().and_then(|row| row.first()).is_some_and(|cell| {
                    cell.as_deref().is_some_and(|algorithm| algorithm.eq_ignore_ascii_case(b"CRC32"))
                });
                let server = self.known()?;
                server.checksum = if is_crc32 { Checksum::Crc32 } else { Checksum::None };
                match self.goal.clone() {
                    Goal::Follow(start) => {
                        let mut resolver = Resolver::new(start, self.known()?);
                        let step = resolver.next(None)?;
                        self.resolver = Some(resolver);
                        self.phase = Phase::Resolve;
                        self.step(step)
                    }
                    Goal::Read(at) => {
                        let server = self.known()?;
                        let position = crate::position::Position {
                            incarnation: server.incarnation.clone(),
                            file: at.file.clone(),
                            offset: at.offset,
                            gtids: Default::default(),
                            open_xa: Arc::new([]),
                        };
                        self.resolved = Some(Resolved { position, dump: Dump::File(at) });
                        self.dump()
                    }
                    Goal::Query => Ok(Next::Idle),
                }
            }
            Phase::Resolve => self.resolve(Answer::Rows(rows)),
            Phase::ConnectState => {
                self.phase = Phase::Registered;
                Ok(Next::Register)
            }
            Phase::Registered => self.dump(),
            Phase::Begin | Phase::Done => {
                Err(SourceError::Protocol(format!("an answer without a question in {:?}", self.phase)))
            }
        }
    }

    /// # Errors
    /// As [`answered`](Self::answered).
    pub fn probed(&mut self, result: crate::source::probe::ProbeResult) -> Result<Next, SourceError> {
        self.resolve(Answer::Probe(result))
    }

    fn resolve(&mut self, answer: Answer) -> Result<Next, SourceError> {
        let resolver =
            self.resolver.as_mut().ok_or_else(|| SourceError::Protocol("an answer without a question".to_owned()))?;
        let step = resolver.next(Some(answer))?;
        self.step(step)
    }

    fn step(&mut self, step: Step) -> Result<Next, SourceError> {
        match step {
            Step::Ask(Question::Query(query)) => Ok(Next::Query(query)),
            Step::Ask(Question::Probe(request)) => Ok(Next::Probe(request)),
            Step::Done(resolved) => {
                let flavour = self.known()?.flavour;
                let connect_state = match (&resolved.dump, flavour) {
                    (Dump::Gtids(gtids), Flavour::Mariadb) => Some(gtids.to_string()),
                    _ => None,
                };
                self.resolved = Some(resolved);
                match connect_state {
                    Some(gtids) => {
                        self.phase = Phase::ConnectState;
                        Ok(Next::Query(format!("SET @slave_connect_state = {}", quoted(&gtids))))
                    }
                    None => {
                        self.phase = Phase::Registered;
                        Ok(Next::Register)
                    }
                }
            }
        }
    }

    fn dump(&mut self) -> Result<Next, SourceError> {
        self.phase = Phase::Done;
        let server = self.known()?.clone();
        Ok(Next::Dump(Box::new(Ready { server, resolved: self.resolved.take() })))
    }

    fn known(&mut self) -> Result<&mut ServerInfo, SourceError> {
        self.server.as_mut().ok_or_else(|| SourceError::Protocol("the server's variables are not known".to_owned()))
    }

    /// The user variables by which a replica tells what it understands. Old and new names both: a server reads its own.
    fn handshake(&self, flavour: Flavour) -> String {
        let ns = self.heartbeat_ns;
        let mut set = format!(
            "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum, \
             @master_heartbeat_period = {ns}, @source_heartbeat_period = {ns}"
        );
        if !self.replica_uuid.is_empty() {
            let uuid = quoted(&self.replica_uuid);
            set += &format!(", @slave_uuid = {uuid}, @replica_uuid = {uuid}");
        }
        if flavour == Flavour::Mariadb {
            // 4: we know GTIDs. Strict: our position must be found, not only something behind it.
            set += ", @mariadb_slave_capability = 4, @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0";
        }
        set
    }
}
