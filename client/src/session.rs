//! A subscription over as many connections as it takes: which server to ask, when, and from where on.
//!
//! Without sockets and clock like [`crate::protocol`]: the blocking and the tokio face do what [`Session::step`] asks
//! and report back. Time is an argument.
//!
//! Where a reconnect resumes:
//! - a start by token, and a subscription without a name: behind the last transaction that was handed over;
//! - a named subscription: at its durable cursor, which the server makes durable before it answers the first time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_codec::wire::messages::Start as WireStart;

use crate::config::{Backoff, ClientConfig, Start};
use crate::cursor::{Cursor, Token};
use crate::error::{ClientError, Disposition};
use crate::notice::Notice;
use crate::protocol::{Committed, Connection, Durable, Event};
use crate::transaction::{FilePosition, Transaction, text};

/// Redirects that are followed without a subscription in between.
const REDIRECTS_MAX: u32 = 8;

/// An ack waits so long for the next one, while transactions are at hand that will be acknowledged too.
const ACK_DELAY: Duration = Duration::from_millis(5);

/// A connection that streamed for so long was a good one: the next attempt begins with the shortest pause again.
const GOOD_CONNECTION: Duration = Duration::from_secs(1);

/// What the driver is to do next.
#[derive(Debug)]
pub(crate) enum Step {
    Transaction(Transaction),
    /// Rows will come, or another connection has the subscription and this one stands by.
    Settled,
    /// Open a connection, then call `connected` or `connect_failed`.
    Connect {
        address: String,
        timeout: Duration,
    },
    /// Nothing to do until then.
    Wait {
        until: Instant,
    },
    /// Write `outgoing`; read into `space` until bytes come (`received`) or it is `until` (then step again).
    Transfer {
        until: Instant,
    },
}

enum State {
    /// The next attempt is due at this time.
    Pausing(Instant),
    Connecting(String),
    Open(Box<Open>),
    Closed,
}

struct Open {
    connection: Connection,
    /// Since when nothing came although it was waited for.
    silent_since: Option<Instant>,
    strikes: Strikes,
    streaming_since: Option<Instant>,
    waiting: bool,
    /// Why there will be no more bytes.
    ended: Option<ClientError>,
}

/// Differs between clients and between starts; only spreads their pauses.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// A connection on which nothing comes is not given up before it was asked, and looked at once more: its owner may have
/// been busy for minutes, with the answer waiting in the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strikes {
    None,
    Pinged,
    LastLook,
}

pub(crate) struct Session {
    config: Arc<ClientConfig>,
    destination: Arc<str>,
    state: State,
    /// Index in the configured servers of the next one to ask.
    next_server: usize,
    redirects: VecDeque<String>,
    redirects_followed: u32,
    /// Attempts since the last good connection.
    attempts: u32,
    ever_settled: bool,
    ever_subscribed: bool,
    highest_epoch: u64,
    connection_number: u64,
    /// Behind the last transaction that was handed over.
    cursor: Option<Cursor>,
    /// The furthest that was handed over on earlier connections or before a rollback.
    handed_before: Option<Cursor>,
    durable: Option<Durable>,
    handed_sequence: u64,
    acked_sequence: u64,
    pending_ack: Option<u64>,
    ack_flushed_at: Option<Instant>,
    random: u64,
}

impl Session {
    /// # Errors
    /// A configuration that cannot work.
    pub fn new(config: ClientConfig, now: Instant, seed: u64) -> Result<Self, ClientError> {
        config.check()?;
        Ok(Self {
            destination: config.destination.as_str().into(),
            config: Arc::new(config),
            state: State::Pausing(now),
            next_server: 0,
            redirects: VecDeque::new(),
            redirects_followed: 0,
            attempts: 0,
            ever_settled: false,
            ever_subscribed: false,
            highest_epoch: 0,
            connection_number: 0,
            cursor: None,
            handed_before: None,
            durable: None,
            handed_sequence: 0,
            acked_sequence: 0,
            pending_ack: None,
            ack_flushed_at: None,
            random: seed | 1,
        })
    }

    // ------------------------------------------------------------------------------------------ what is known

    /// Rows come, or another connection has the subscription and this one stands by.
    pub fn is_settled(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.waiting || open.streaming_since.is_some())
    }

    pub fn queued_transactions(&self) -> usize {
        match &self.state {
            State::Open(open) => open.connection.queued_transactions(),
            _ => 0,
        }
    }

    pub fn durable(&self) -> Option<&Durable> {
        self.durable.as_ref()
    }

    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    pub fn token(&self) -> Option<Token> {
        self.cursor.as_ref().map(|cursor| cursor.to_token(&self.destination))
    }

    /// No more bytes will come on this connection.
    pub fn has_ended(&self) -> bool {
        !matches!(&self.state, State::Open(open) if open.ended.is_none())
    }

    /// Everything that was acknowledged on this connection is durable.
    pub fn all_acks_durable(&self) -> bool {
        let State::Open(open) = &self.state else { return true };
        self.config.subscription.is_empty()
            || self.acked_sequence == 0
            || open.connection.durable().is_some_and(|durable| durable.sequence >= self.acked_sequence)
    }

    // ------------------------------------------------------------------------------------------ the driver's side

    /// What to do next. After an error that says Halt the session is closed.
    ///
    /// # Errors
    /// What the client cannot mend by itself.
    pub fn step(&mut self, now: Instant) -> Result<Step, ClientError> {
        let stepped = self.try_step(now);
        if stepped.is_err() {
            self.state = State::Closed;
        }
        stepped
    }

    /// The next transaction where it is at hand, and nothing comes before it: without a look at the clock.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    #[inline]
    pub fn ready(&mut self) -> Result<Option<Transaction>, ClientError> {
        let State::Open(open) = &mut self.state else { return Ok(None) };
        let Some(committed) = open.connection.poll_transaction() else { return Ok(None) };
        let transaction = self.transaction(committed);
        if transaction.is_err() {
            self.state = State::Closed;
        }
        transaction.map(Some)
    }

    fn try_step(&mut self, now: Instant) -> Result<Step, ClientError> {
        loop {
            match &mut self.state {
                State::Closed => return Err(ClientError::Closed),
                State::Pausing(until) if now < *until => return Ok(Step::Wait { until: *until }),
                State::Pausing(_) => {
                    let address = self.next_address();
                    self.state = State::Connecting(address);
                }
                State::Connecting(address) => {
                    return Ok(Step::Connect { address: address.clone(), timeout: self.config.connect_timeout });
                }
                State::Open(open) => {
                    if let Some(event) = open.connection.poll() {
                        if let Some(step) = self.event(event, now)? {
                            return Ok(step);
                        }
                    } else if let Some(error) = open.ended.take() {
                        self.fail(error, now)?;
                    } else {
                        self.flush_ack(now);
                        if let Some(until) = self.listen(now) {
                            return Ok(Step::Transfer { until });
                        }
                    }
                }
            }
        }
    }

    /// Until when to wait for bytes; `None`: the connection is given up.
    fn listen(&mut self, now: Instant) -> Option<Instant> {
        let State::Open(open) = &mut self.state else { return None };
        let window = self.config.silence_max / 2;
        let until = *open.silent_since.get_or_insert(now) + window;
        if now < until {
            return Some(until);
        }
        match open.strikes {
            Strikes::None => {
                open.strikes = Strikes::Pinged;
                open.silent_since = Some(now);
                open.connection.ping(self.connection_number);
                Some(now + window)
            }
            Strikes::Pinged => {
                open.strikes = Strikes::LastLook;
                Some(now)
            }
            Strikes::LastLook => {
                self.lost(format!(
                    "nothing came for {} ms, not even the answer to a ping",
                    self.config.silence_max.as_millis()
                ));
                None
            }
        }
    }

    pub fn connected(&mut self) {
        let State::Connecting(address) = &self.state else { return };
        let connection = Connection::new(&self.config, address, &self.start(), self.highest_epoch);
        self.connection_number += 1;
        self.handed_sequence = 0;
        self.acked_sequence = 0;
        self.pending_ack = None;
        self.state = State::Open(Box::new(Open {
            connection,
            silent_since: None,
            strikes: Strikes::None,
            streaming_since: None,
            waiting: false,
            ended: None,
        }));
    }

    /// # Errors
    /// Where no further attempt is made.
    pub fn connect_failed(&mut self, source: io::Error, now: Instant) -> Result<(), ClientError> {
        let State::Connecting(address) = &self.state else { return Ok(()) };
        let address = address.clone();
        self.fail_or_close(ClientError::Connect { address, source }, now)
    }

    pub fn space(&mut self) -> &mut [u8] {
        match &mut self.state {
            State::Open(open) => open.connection.space(),
            _ => &mut [],
        }
    }

    /// So many bytes came into `space`; 0: the server closed the connection.
    pub fn received(&mut self, bytes: usize) {
        let State::Open(open) = &mut self.state else { return };
        open.silent_since = None;
        open.strikes = Strikes::None;
        if bytes == 0 {
            self.lost("the server closed it");
            return;
        }
        if let Err(error) = open.connection.filled(bytes) {
            // What came whole before it is handed over first.
            open.ended.get_or_insert(error);
        }
        if let Some(durable) = open.connection.durable() {
            self.durable = Some(durable.clone());
        }
        self.highest_epoch = self.highest_epoch.max(open.connection.epoch());
    }

    /// The connection failed.
    pub fn lost(&mut self, reason: impl ToString) {
        let State::Open(open) = &mut self.state else { return };
        let address = open.connection.address().to_owned();
        open.ended.get_or_insert(ClientError::Lost { address, reason: reason.to_string() });
    }

    pub fn outgoing(&self) -> &[u8] {
        match &self.state {
            State::Open(open) if open.ended.is_none() => open.connection.outgoing(),
            _ => &[],
        }
    }

    pub fn sent(&mut self, bytes: usize) {
        if let State::Open(open) = &mut self.state {
            open.connection.sent(bytes);
        }
    }

    // ------------------------------------------------------------------------------------------ verbs

    /// Acknowledges a transaction and all before it. One of an earlier connection comes again anyway: nothing is sent.
    pub fn ack(&mut self, transaction: &Transaction, now: Instant) -> Result<(), ClientError> {
        if transaction.connection != self.connection_number || transaction.sequence > self.handed_sequence {
            return Ok(());
        }
        self.ack_through(transaction.sequence, now)
    }

    /// # Errors
    /// A sequence that was not handed over.
    pub fn ack_through(&mut self, sequence: u64, now: Instant) -> Result<(), ClientError> {
        if matches!(self.state, State::Closed) {
            return Err(ClientError::Closed);
        }
        if sequence > self.handed_sequence {
            return Err(ClientError::AckAhead { sequence, highest: self.handed_sequence });
        }
        if sequence > self.acked_sequence {
            self.pending_ack = self.pending_ack.max(Some(sequence));
        }
        let due = self.ack_flushed_at.is_none_or(|flushed| now >= flushed + ACK_DELAY);
        if due || self.queued_transactions() == 0 {
            self.flush_ack(now);
        }
        Ok(())
    }

    /// Puts the pending ack into `outgoing`.
    pub fn flush_ack(&mut self, now: Instant) {
        if let (Some(sequence), State::Open(open)) = (self.pending_ack.take(), &mut self.state) {
            open.connection.ack(sequence);
            self.acked_sequence = sequence;
            self.ack_flushed_at = Some(now);
        }
    }

    /// # Errors
    /// Without a name there is no durable ack to go back to.
    pub fn rollback(&mut self, now: Instant) -> Result<(), ClientError> {
        if self.config.subscription.is_empty() {
            let reason = "rollback goes back to the last durable ack, which only a named subscription has";
            return Err(ClientError::Config(reason.to_owned()));
        }
        self.flush_ack(now);
        self.remember_handed();
        let State::Open(open) = &mut self.state else { return Ok(()) };
        if open.streaming_since.is_some() {
            open.connection.rollback();
            self.handed_sequence = 0;
        }
        Ok(())
    }

    /// The last words; the driver writes `outgoing` and closes.
    pub fn unsubscribe(&mut self, now: Instant) {
        self.flush_ack(now);
        if let State::Open(open) = &mut self.state {
            open.connection.unsubscribe();
        }
    }

    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    // ------------------------------------------------------------------------------------------ inside

    fn event(&mut self, event: Event, now: Instant) -> Result<Option<Step>, ClientError> {
        let event = match event {
            Event::Transaction(committed) => {
                return self.transaction(committed).map(|transaction| Some(Step::Transaction(transaction)));
            }
            other => other,
        };
        let State::Open(open) = &mut self.state else { return Ok(None) };
        let address = open.connection.address().to_owned();
        match event {
            Event::Transaction(_) => {}
            Event::Welcome { server_version } => self.config.notify(Notice::Connected { address, server_version }),
            Event::Waiting => {
                open.waiting = true;
                self.ever_settled = true;
                self.config.notify(Notice::Waiting { address });
                return Ok(Some(Step::Settled));
            }
            Event::Subscribed { epoch, position } => {
                open.waiting = false;
                open.streaming_since = Some(now);
                self.ever_settled = true;
                self.ever_subscribed = true;
                self.redirects_followed = 0;
                self.remember_handed();
                self.cursor = Some(self.cursor_at(&position, &address)?);
                self.config.notify(Notice::Subscribed { address, epoch });
                return Ok(Some(Step::Settled));
            }
            Event::RolledBack { position } | Event::Stands { position } => {
                self.cursor = Some(self.cursor_at(&position, &address)?);
            }
            Event::Redirect(servers) => {
                self.redirects_followed += 1;
                if self.redirects_followed > REDIRECTS_MAX || servers.is_empty() {
                    let reason = format!("{} redirects in a row lead nowhere", self.redirects_followed);
                    self.redirects_followed = 0;
                    self.fail(ClientError::Lost { address, reason }, now)?;
                } else {
                    self.redirects = servers.iter().cloned().collect();
                    self.state = State::Pausing(now);
                    self.config.notify(Notice::Redirected { servers });
                }
            }
            Event::Notice { code, message } => self.config.notify(Notice::FromServer { code, message }),
            Event::Failed(error) => self.fail(error, now)?,
        }
        Ok(None)
    }

    /// The frequent event: nothing is allocated here for it, and the clock is not asked.
    #[inline]
    fn transaction(&mut self, committed: Committed) -> Result<Transaction, ClientError> {
        let Some(cursor) = &mut self.cursor else {
            return Err(self.malformed("a transaction before 'subscribed'".to_owned()));
        };
        let Some(last) = committed.last.fragment() else {
            return Err(self.malformed("a transaction that is gone".to_owned()));
        };
        let (gtid, delta) = (last.gtid().unwrap_or_default(), last.gtid_delta().unwrap_or_default());
        let redelivered = self
            .handed_before
            .as_ref()
            .is_some_and(|handed| handed.covers(cursor.incarnation(), text(Some(gtid)), &committed.last.position()));
        let advanced = match (committed.last.file(), last.end_offset()) {
            (Some(file), Some(offset)) => cursor.advance(gtid, delta, file, offset),
            _ => {
                let FilePosition { file, offset } = committed.last.position();
                cursor.advance(gtid, delta, &file, offset)
            }
        };
        if let Err(reason) = advanced {
            return Err(self.malformed(reason));
        }
        let snapshot = cursor.snapshot();
        self.handed_sequence = committed.sequence;
        if let State::Open(open) = &mut self.state {
            open.silent_since = None;
        }
        if self.config.subscription.is_empty() {
            // Nobody else would: the server sends only so many transactions ahead of the last ack. Said before bytes
            // are waited for again: until then nothing is written anyway.
            self.pending_ack = Some(committed.sequence);
        }
        Ok(Transaction::new(committed, self.connection_number, snapshot, redelivered))
    }

    fn malformed(&self, reason: String) -> ClientError {
        let address = match &self.state {
            State::Open(open) => open.connection.address().to_owned(),
            _ => String::new(),
        };
        ClientError::Protocol { address, reason }
    }

    fn cursor_at(
        &self,
        position: &millstream_codec::wire::position::Position,
        address: &str,
    ) -> Result<Cursor, ClientError> {
        Cursor::new(position).map_err(|reason| ClientError::Protocol { address: address.to_owned(), reason })
    }

    /// What is handed over from here on may have been handed over before.
    fn remember_handed(&mut self) {
        let Some(cursor) = &self.cursor else { return };
        if self.handed_before.as_ref().is_none_or(|handed| handed.is_at_or_behind(cursor)) {
            self.handed_before = Some(cursor.clone());
        }
    }

    fn start(&self) -> WireStart {
        let own_token = || self.token().map(|token| WireStart::Token(token.into_bytes()));
        let named = !self.config.subscription.is_empty();
        let resumed = match &self.config.start {
            Start::Token(_) => own_token(),
            _ if !named => own_token(),
            Start::Resume => None,
            _ if self.ever_subscribed => Some(WireStart::Resume),
            _ => None,
        };
        resumed.unwrap_or_else(|| self.config.start.to_wire())
    }

    fn fail_or_close(&mut self, error: ClientError, now: Instant) -> Result<(), ClientError> {
        let failed = self.fail(error, now);
        if failed.is_err() {
            self.state = State::Closed;
        }
        failed
    }

    /// Tries again after a pause, or gives the error up.
    fn fail(&mut self, error: ClientError, now: Instant) -> Result<(), ClientError> {
        if let State::Open(open) = &self.state
            && open.streaming_since.is_some_and(|since| now >= since + GOOD_CONNECTION)
        {
            self.attempts = 0;
        }
        let Some(backoff) = self.config.reconnect else { return Err(error) };
        if error.disposition() == Disposition::Halt {
            return Err(error);
        }
        self.attempts = self.attempts.saturating_add(1);
        let servers = self.config.servers.len() as u32;
        if !self.ever_settled && self.redirects.is_empty() && self.attempts >= servers {
            // No server that was named has ever answered: more likely a mistake than a failure.
            return Err(error);
        }
        // Every server is asked once before the pause doubles.
        let pause = self.pause(backoff, (self.attempts - 1) / servers.max(1));
        self.state = State::Pausing(now + pause);
        self.config.notify(Notice::Retrying { reason: error.to_string(), pause });
        Ok(())
    }

    fn pause(&mut self, backoff: Backoff, doublings: u32) -> Duration {
        let full = backoff.min.saturating_mul(1 << doublings.min(20)).min(backoff.max);
        // xorshift64: enough to spread clients.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let fraction = (self.random >> 40) as f64 / (1_u64 << 24) as f64;
        full.mul_f64(1.0 - fraction / 2.0)
    }

    fn next_address(&mut self) -> String {
        if let Some(address) = self.redirects.pop_front() {
            return address;
        }
        let servers = &self.config.servers;
        let address = servers.get(self.next_server % servers.len().max(1)).cloned().unwrap_or_default();
        self.next_server = self.next_server.wrapping_add(1);
        address
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
