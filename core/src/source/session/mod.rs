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
pub mod packet;
pub mod script;
pub mod server;

use std::collections::VecDeque;

use millstream_codec::mysql::packet::write_packet;

use crate::source::config::SourceConfig;
use crate::source::error::SourceError;
use crate::source::information_schema::Cell;
use crate::source::probe::{ProbeRequest, ProbeResult};
use crate::source::session::login::{Login, LoginStep};
use crate::source::session::packet::{EOF_BYTES_MAX, ResultSet, server_error};
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
    Login,
    /// A statement's answer is awaited.
    Answer(ResultSet),
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
    login: Login,
    script: Option<Script>,
    phase: Phase,
    /// Of the packet that is sent next.
    sequence: u8,
    outputs: VecDeque<Output>,
}

impl Session {
    pub fn new(config: SourceConfig, goal: Goal) -> Self {
        let login = Login::new(&config);
        Self { config, goal, login, script: None, phase: Phase::Login, sequence: 0, outputs: VecDeque::new() }
    }

    /// What is to be done now, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
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
        match &mut self.phase {
            Phase::Login => {
                let step = self.login.packet(payload)?;
                self.login_step(step)
            }
            Phase::Answer(answer) => match answer.packet(payload)? {
                Some(rows) => self.answered(rows),
                None => Ok(()),
            },
            Phase::Registering => match payload.first() {
                Some(0xff) => Err(server_error(payload)),
                _ => self.answered(Vec::new()),
            },
            Phase::Probing | Phase::Idle | Phase::Streaming => {
                Err(SourceError::Protocol("the server spoke without being asked".to_owned()))
            }
        }
    }

    /// The connection is a TLS one now.
    pub fn secured(&mut self) -> Result<(), SourceError> {
        let step = self.login.secured()?;
        self.login_step(step)
    }

    pub fn probed(&mut self, result: ProbeResult) -> Result<(), SourceError> {
        let script = self.script.as_mut().ok_or_else(unasked)?;
        let next = script.probed(result)?;
        self.next(next)
    }

    /// With [`Goal::Query`], after [`Output::Idle`] or [`Output::Rows`].
    pub fn query(&mut self, statement: &str) {
        self.command(&packet::query(statement));
        self.phase = Phase::Answer(ResultSet::default());
    }

    fn login_step(&mut self, step: LoginStep) -> Result<(), SourceError> {
        match step {
            LoginStep::Send(payload) => self.send(&payload),
            LoginStep::SendThenTls(payload) => {
                self.send(&payload);
                self.outputs.push_back(Output::StartTls);
            }
            LoginStep::Wait => {}
            LoginStep::Done => {
                let greeting = self.login.greeting().ok_or_else(unasked)?;
                let (version, id) = (greeting.version.clone(), greeting.connection_id);
                let mut script = Script::new(&self.config, self.goal.clone(), version, id);
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
                self.command(&packet::register(&self.config));
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
        let (server_id, wait) = match self.goal {
            Goal::Follow(_) => (self.config.server_id, true),
            Goal::Read(_) | Goal::Query => (0, false),
        };
        match &resolved.dump {
            Dump::File(at) if ready.server.flavour == Flavour::Mysql && at.offset > u64::from(u32::MAX) => {
                Ok(packet::dump_file_64(at, server_id, wait))
            }
            Dump::File(at) => packet::dump_file(ready.server.flavour, at, server_id, wait),
            Dump::Gtids(gtids) => match gtids.as_mysql() {
                Some(set) => Ok(packet::dump_gtids(set, server_id)),
                // MariaDB was told by @slave_connect_state; file and offset are not looked at.
                None if ready.server.flavour == Flavour::Mariadb => {
                    let at = crate::position::FilePosition { file: "".into(), offset: 4 };
                    packet::dump_file(Flavour::Mariadb, &at, server_id, wait)
                }
                None => Ok(packet::dump_gtids(&Default::default(), server_id)),
            },
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
        Some(0xfe) if payload.len() < EOF_BYTES_MAX => Ok(StreamPacket::End),
        Some(0xff) => Err(stream_error(server_error(payload))),
        other => Err(SourceError::Protocol(format!("the stream has a packet that begins with {other:02x?}"))),
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
