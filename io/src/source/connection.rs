//! One connection: core's session driven over a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use millstream_codec::mysql::packet::{Framer, FramerLimits, Frames, PacketError};
use millstream_core::position::FilePosition;
use millstream_core::source::config::{HostPort, SourceConfig};
use millstream_core::source::error::SourceError;
use millstream_core::source::information_schema::Cell;
use millstream_core::source::probe::{Probe, ProbeRequest, ProbeResult};
use millstream_core::source::session::{Goal, Output, Ready, Session, StreamPacket, stream_packet};
use rustls::ClientConfig;

use super::stream::Stream;
use crate::runtime::yield_if_needed;

/// What every connection to a source needs.
#[derive(Clone)]
pub struct Connector {
    pub config: Arc<SourceConfig>,
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// # Errors
    /// Everything that is wrong in the configuration, and PEM files that cannot be read.
    pub fn new(config: SourceConfig) -> Result<Self, SourceError> {
        let complaints = config.check();
        if !complaints.is_empty() {
            return Err(SourceError::Config(complaints.join("; ")));
        }
        let tls = super::tls::client_config(&config)?;
        Ok(Self { config: Arc::new(config), tls })
    }

    /// Connects, logs in and brings the session to its goal.
    ///
    /// # Errors
    /// See [`SourceError`]; the disposition tells whether to try again.
    pub async fn open(&self, server: &HostPort, goal: Goal) -> Result<(Connection, Ready), SourceError> {
        let mut connection = self.connect(server, goal).await?;
        loop {
            match connection.step(self).await? {
                Output::Streaming(ready) => return Ok((connection, *ready)),
                Output::Idle => {
                    let Some(info) = connection.session.server().cloned() else {
                        return Err(SourceError::Protocol("idle before the server is known".to_owned()));
                    };
                    return Ok((connection, Ready { server: info, resolved: None }));
                }
                Output::Rows(_) => return Err(SourceError::Protocol("rows that nobody asked for".to_owned())),
                Output::Send(_) | Output::StartTls | Output::Probe(_) => {}
            }
        }
    }

    async fn connect(&self, server: &HostPort, goal: Goal) -> Result<Connection, SourceError> {
        let stream = Stream::connect(server, self.config.connect_timeout).await?;
        let payload_bytes_max = usize::try_from(self.config.event_bytes_max).unwrap_or(usize::MAX).saturating_add(1);
        let mut connection = Connection {
            server: server.clone(),
            stream: Some(stream),
            framer: Framer::new(FramerLimits { payload_bytes_max, key: "event_bytes_max" }),
            session: Session::new(SourceConfig::clone(&self.config), goal),
            is_patient: false,
            silence: None,
        };
        // Greeting and login are quick, or the server is stuck.
        connection.set_read_timeout(self.config.connect_timeout)?;
        Ok(connection)
    }

    /// Answers one question of the start script over a connection of its own.
    async fn probe(&self, server: &HostPort, request: ProbeRequest) -> Result<ProbeResult, SourceError> {
        let at = FilePosition { file: request.file.clone(), offset: 4 };
        let (mut connection, _) = Box::pin(self.open(server, Goal::Read(at))).await?;
        let mut probe = Probe::new(request);
        loop {
            let frames = connection.frames().await?;
            for payload in frames.payloads() {
                match stream_packet(payload)? {
                    StreamPacket::Event => {
                        if let Some(result) = probe.event(payload.get(1..).unwrap_or_default())? {
                            return Ok(result);
                        }
                    }
                    StreamPacket::End => return probe.end(),
                }
            }
            yield_if_needed().await;
        }
    }
}

pub struct Connection {
    pub server: HostPort,
    /// `None` only while TLS is being started, and after that has failed.
    stream: Option<Stream>,
    framer: Framer,
    session: Session,
    /// Answers may take `response_timeout` from here on.
    is_patient: bool,
    /// (longest silence, heartbeat period) in milliseconds, once the stream flows.
    silence: Option<(u64, u64)>,
}

impl Connection {
    /// Does what the session wants next; reads for it where it wants nothing.
    async fn step(&mut self, connector: &Connector) -> Result<Output, SourceError> {
        loop {
            match self.session.poll() {
                Some(Output::Send(bytes)) => {
                    let stream = self.stream.as_mut().ok_or_else(closed)?;
                    stream.write_all(&bytes).await.map_err(|error| self.io(&error))?;
                    self.framer.expect_sequence(self.session.next_sequence());
                }
                Some(Output::StartTls) => {
                    let config = connector.tls.clone().ok_or_else(closed)?;
                    let stream = self.stream.take().ok_or_else(closed)?;
                    let mode = connector.config.tls.mode;
                    self.stream = Some(stream.start_tls(config, &self.server, mode).await?);
                    self.session.secured()?;
                }
                Some(Output::Probe(request)) => {
                    let result = connector.probe(&self.server, request).await?;
                    self.session.probed(result)?;
                }
                Some(output) => return Ok(output),
                None => {
                    if !self.is_patient && self.session.is_logged_in() {
                        self.is_patient = true;
                        self.set_read_timeout(connector.config.response_timeout)?;
                    }
                    let frames = self.frames().await?;
                    let last = self.framer.sequence().wrapping_sub(1);
                    for payload in frames.payloads() {
                        self.session.packet(last, payload)?;
                    }
                }
            }
        }
    }

    /// Asks one statement; for connections opened with [`Goal::Query`].
    ///
    /// # Errors
    /// The server's refusal or a lost connection: this connection is done then.
    pub async fn query(&mut self, connector: &Connector, statement: &str) -> Result<Vec<Vec<Cell>>, SourceError> {
        self.session.query(statement);
        match self.step(connector).await? {
            Output::Rows(rows) => Ok(rows),
            other => Err(SourceError::Protocol(format!("{other:?} instead of rows"))),
        }
    }

    /// The next complete packets. Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// A lost connection, a packet that is too large, a stream out of step.
    pub async fn frames(&mut self) -> Result<Frames, SourceError> {
        loop {
            if let Some(frames) = self.framer.take().map_err(packet_error)? {
                return Ok(frames);
            }
            let stream = self.stream.as_mut().ok_or_else(closed)?;
            let space = self.framer.space().map_err(packet_error)?;
            match stream.read(space).await {
                Ok(0) => {
                    let reason = match self.framer.is_inside_packet() {
                        true => "the server closed the connection inside a packet",
                        false => "the server closed the connection",
                    };
                    return Err(SourceError::io(self.server.to_string(), reason));
                }
                Ok(count) => self.framer.filled(count).map_err(packet_error)?,
                Err(error) => return Err(self.io(&error)),
            }
        }
    }

    /// From here on the server owes us heartbeats: a longer silence is an error.
    pub fn watch_silence(&mut self, config: &SourceConfig) -> Result<(), SourceError> {
        let silence = config.silence_max();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.silence = Some((ms(silence), ms(config.heartbeat_period)));
        self.set_read_timeout(silence)
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> Result<(), SourceError> {
        match &mut self.stream {
            Some(stream) => stream.set_read_timeout(timeout).map_err(|error| self.io(&error)),
            None => Err(closed()),
        }
    }

    fn io(&self, error: &io::Error) -> SourceError {
        match (error.kind(), self.silence) {
            (io::ErrorKind::TimedOut, Some((silent_ms, period_ms))) => {
                SourceError::HeartbeatTimeout { server: self.server.to_string(), silent_ms, period_ms }
            }
            (io::ErrorKind::TimedOut, None) => SourceError::io(
                self.server.to_string(),
                match self.is_patient {
                    true => "no answer came in time (response_timeout)",
                    false => "no greeting or no answer to the login came in time (connect_timeout)",
                },
            ),
            _ => SourceError::io(self.server.to_string(), error),
        }
    }
}

fn closed() -> SourceError {
    SourceError::Protocol("the connection is no longer open".to_owned())
}

fn packet_error(error: PacketError) -> SourceError {
    match error {
        PacketError::TooLarge { size, limit, .. } => SourceError::EventTooLarge {
            position: FilePosition { file: "behind the last transaction".into(), offset: 0 },
            size_bytes: size,
            limit_bytes: limit,
        },
        error => SourceError::Protocol(error.to_string()),
    }
}
