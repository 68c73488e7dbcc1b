//! One connection to a source, from the greeting to the stream: the protocol without the socket.
//!
//! ```text
//! greeting -> (TLS) -> authentication -> settings -> variables, GTIDs -> start resolved -> registered -> dump
//! ```
//! Bytes come in as packets ([`Session::packet`]), what is to be done comes out of [`Session::poll`]. Once
//! [`Output::Streaming`] has been given, the packets are the stream's: [`stream_packet`] tells what each one is.
//!
//! Never opens a socket, never reads a clock, never retries: an error ends the session.

pub mod login;
pub mod script;
pub mod server;

use std::collections::VecDeque;

use millstream_codec::mysql::command;
use millstream_codec::mysql::handshake::{Channel, Greeting, Login, LoginStep};
use millstream_codec::mysql::packet::write_packet;
use millstream_codec::mysql::resultset::{Progress, ResultError, ResultSetReader, ServerError, is_eof};

use crate::source::config::SourceConfig;
use crate::source::error::SourceError;
use crate::source::information_schema::Cell;
use crate::source::probe::{ProbeRequest, ProbeResult};
use crate::source::session::login::{login_error, server_error};
pub use crate::source::session::script::{Goal, Ready};
use crate::source::session::script::{Next, Script};
pub use crate::source::session::server::{Flavour, ServerInfo, Version};
use crate::source::start::Dump;

#[derive(Debug)]
pub enum Output {
    /// Packets with their headers, to be written as they are.
    Send(Vec<u8>),
    /// Make the connection a TLS one, then call [`Session::secured`].
    StartTls,
    /// Read the beginning of a file over another connection, then call [`Session::probed`].
    Probe(ProbeRequest),
    /// The dump was asked for: all further packets are the stream's.
    Streaming(Box<Ready>),
    /// With [`Goal::Query`]: statements may be asked now.
    Idle,
    /// The answer to [`Session::query`].
    Rows(Vec<Vec<Cell>>),
}

#[derive(Debug)]
enum Phase {
    Greeting,
    /// TLS was asked for and is not up yet.
    Securing(Login),
    Login(Login),
    /// A statement's answer is awaited.
    Answer(ResultSetReader),
    Registering,
    Probing,
    Idle,
    Streaming,
}

/// See the module's page.
#[derive(Debug)]
pub struct Session {
    config: SourceConfig,
    goal: Goal,
    /// Of the greeting.
    version: String,
    connection_id: u32,
    script: Option<Script>,
    phase: Phase,
    /// Of the packet that is sent next.
    sequence: u8,
    outputs: VecDeque<Output>,
}

impl Session {
    pub fn new(config: SourceConfig, goal: Goal) -> Self {
        Self {
            config,
            goal,
            version: String::new(),
            connection_id: 0,
            script: None,
            phase: Phase::Greeting,
            sequence: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done now, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn is_logged_in(&self) -> bool {
        self.script.is_some()
    }

    /// The sequence number of the server's next packet.
    pub fn next_sequence(&self) -> u8 {
        self.sequence
    }

    pub fn server(&self) -> Option<&ServerInfo> {
        self.script.as_ref().and_then(Script::server)
    }

    /// The payload of the next packet from the server, and the sequence number of the last one received.
    ///
    /// # Errors
    /// Whatever ends this session, with what to do about it.
    pub fn packet(&mut self, sequence: u8, payload: &[u8]) -> Result<(), SourceError> {
        self.sequence = sequence.wrapping_add(1);
        self.take(payload).map_err(|error| error.for_account(&self.config.user))
    }

    fn take(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        match &mut self.phase {
            Phase::Greeting => self.greeted(payload),
            Phase::Login(login) => {
                let step = login.packet(payload).map_err(|error| login_error(&self.config, error))?;
                self.login_step(step)
            }
            Phase::Answer(answer) => match answer.packet(payload).map_err(result_error)? {
                Progress::More => Ok(()),
                Progress::Ok { .. } => self.answered(Vec::new()),
                Progress::Rows(result) => self.answered(result.rows),
            },
            Phase::Registering => match ServerError::parse(payload) {
                Some(error) => Err(server_error(error)),
                None => self.answered(Vec::new()),
            },
            Phase::Securing(_) | Phase::Probing | Phase::Idle | Phase::Streaming => {
                Err(SourceError::Protocol("the server spoke without being asked".to_owned()))
            }
        }
    }

    fn greeted(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        let greeting = Greeting::parse(payload).map_err(|error| login_error(&self.config, error))?;
        let channel = login::channel(&self.config, &greeting)?;
        let login = login::begin(&self.config, &greeting, channel)?;
        self.connection_id = greeting.connection_id;
        self.version = greeting.server_version;
        if channel == Channel::Tls {
            let request = login.ssl_request();
            self.send(&request);
            self.outputs.push_back(Output::StartTls);
            self.phase = Phase::Securing(login);
            return Ok(());
        }
        self.respond(login)
    }

    /// The connection is a TLS one now.
    ///
    /// # Errors
    /// An authentication that we do not have.
    pub fn secured(&mut self) -> Result<(), SourceError> {
        match std::mem::replace(&mut self.phase, Phase::Greeting) {
            Phase::Securing(login) => self.respond(login),
            _ => Err(unasked()),
        }
    }

    fn respond(&mut self, login: Login) -> Result<(), SourceError> {
        let response = login.response().map_err(|error| login_error(&self.config, error))?;
        self.send(&response);
        self.phase = Phase::Login(login);
        Ok(())
    }

    pub fn probed(&mut self, result: ProbeResult) -> Result<(), SourceError> {
        let script = self.script.as_mut().ok_or_else(unasked)?;
        let next = script.probed(result)?;
        self.next(next)
    }

    /// With [`Goal::Query`], after [`Output::Idle`] or [`Output::Rows`].
    pub fn query(&mut self, statement: &str) {
        self.command(&command::query(statement));
        self.phase = Phase::Answer(ResultSetReader::default());
    }

    fn login_step(&mut self, step: LoginStep) -> Result<(), SourceError> {
        match step {
            LoginStep::Send(payload) => self.send(&payload),
            LoginStep::Wait => {}
            LoginStep::Done => {
                let version = self.version.clone();
                let mut script = Script::new(&self.config, self.goal.clone(), version, self.connection_id);
                let next = script.begin();
                self.script = Some(script);
                return self.next(next);
            }
        }
        Ok(())
    }

    fn answered(&mut self, rows: Vec<Vec<Cell>>) -> Result<(), SourceError> {
        let script = self.script.as_mut().ok_or_else(unasked)?;
        if script.is_idle() {
            self.phase = Phase::Idle;
            self.outputs.push_back(Output::Rows(rows));
            return Ok(());
        }
        let next = script.answered(rows)?;
        self.next(next)
    }

    fn next(&mut self, next: Next) -> Result<(), SourceError> {
        match next {
            Next::Query(statement) => self.query(&statement),
            Next::Register => {
                // The name is for display only, and names no host of ours.
                self.command(&command::register_replica(self.config.server_id, "millstream", 0));
                self.phase = Phase::Registering;
            }
            Next::Probe(request) => {
                self.phase = Phase::Probing;
                self.outputs.push_back(Output::Probe(request));
            }
            Next::Idle => {
                self.phase = Phase::Idle;
                self.outputs.push_back(Output::Idle);
            }
            Next::Dump(ready) => {
                let command = self.dump_command(&ready)?;
                self.command(&command);
                self.phase = Phase::Streaming;
                self.outputs.push_back(Output::Streaming(ready));
            }
        }
        Ok(())
    }

    fn dump_command(&self, ready: &Ready) -> Result<Vec<u8>, SourceError> {
        let Some(resolved) = &ready.resolved else { return Err(unasked()) };
        // Server id 0 marks a reader that throws no other out and wants an end.
        let (server_id, end) = match self.goal {
            Goal::Follow(_) => (self.config.server_id, 0),
            Goal::Read(_) | Goal::Query => (0, command::DUMP_NON_BLOCK),
        };
        // MariaDB leaves ANNOTATE_ROWS out unless asked: then offsets could not be counted.
        let everything = match ready.server.flavour {
            Flavour::Mysql => 0,
            Flavour::Mariadb => command::DUMP_SEND_ANNOTATE_ROWS,
        };
        let flags = end | everything;
        let dump_file = |file: &str, offset: u64| {
            command::binlog_dump(file, offset, server_id, flags).map_err(|error| SourceError::BadPosition {
                position: format!("{file}:{offset}"),
                reason: error.to_string(),
            })
        };
        match (&resolved.dump, ready.server.flavour) {
            (Dump::File(at), _) => dump_file(&at.file, at.offset),
            // It was told by @slave_connect_state; file and offset are not looked at.
            (Dump::Gtids(_), Flavour::Mariadb) => dump_file("", 4),
            (Dump::Gtids(gtids), Flavour::Mysql) => {
                let none = Default::default();
                Ok(command::binlog_dump_gtid(gtids.as_mysql().unwrap_or(&none), server_id, flags))
            }
        }
    }

    /// Begins a command: its packets are numbered anew.
    fn command(&mut self, payload: &[u8]) {
        self.sequence = 0;
        self.send(payload);
    }

    fn send(&mut self, payload: &[u8]) {
        let mut out = Vec::with_capacity(payload.len() + 4);
        write_packet(&mut out, &mut self.sequence, payload);
        self.outputs.push_back(Output::Send(out));
    }
}

fn result_error(error: ResultError) -> SourceError {
    match error {
        ResultError::Server(error) => server_error(error),
        error => SourceError::Protocol(error.to_string()),
    }
}

fn unasked() -> SourceError {
    SourceError::Protocol("an answer without a question".to_owned())
}

/// What a packet of the stream is.
#[derive(Debug)]
pub enum StreamPacket {
    /// An event, behind the packet's first byte.
    Event,
    /// The server has nothing more: the end of a dump that does not wait.
    End,
}

/// # Errors
/// The server's refusal: a position that it does not have, a shutdown, a replica that took our place.
#[inline]
pub fn stream_packet(payload: &[u8]) -> Result<StreamPacket, SourceError> {
    match payload.first() {
        Some(0x00) => Ok(StreamPacket::Event),
        _ if is_eof(payload) => Ok(StreamPacket::End),
        first => Err(match ServerError::parse(payload) {
            Some(error) => stream_error(server_error(error)),
            None => SourceError::Protocol(format!("the stream has a packet that begins with {first:02x?}")),
        }),
    }
}

/// Error 1236 says many things: its text tells which.
fn stream_error(error: SourceError) -> SourceError {
    let SourceError::Server { code: 1236, message, state } = error else { return error };
    let lower = message.to_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("purged") {
        return SourceError::Purged { missing: message, oldest: "told by SHOW BINARY LOGS".to_owned() };
    }
    if has("more gtids than") || has("not in the master's binlog") || has("not in the primary's binlog") {
        return SourceError::AheadOfSource { extra: message };
    }
    if has("could not find first log file") {
        return SourceError::Purged { missing: message, oldest: "told by SHOW BINARY LOGS".to_owned() };
    }
    if has("impossible position") || has("bogus data") || has("corrupted") || has("past the end") {
        return SourceError::BadPosition { position: "asked for".to_owned(), reason: message };
    }
    SourceError::Server { code: 1236, state, message }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
