//! The blocking face: one thread, one socket at a time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use millstream_codec::wire::position::Position;

use crate::config::ClientConfig;
use crate::cursor::Token;
use crate::error::ClientError;
use crate::protocol::Durable;
use crate::session::{Session, Step};
use crate::transaction::Transaction;

/// How long `close` waits for the server to make the last acks durable.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What the client says is small; a server that does not take it for so long is gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// See the crate's page.
pub struct Client {
    session: Session,
    stream: Option<TcpStream>,
    read_timeout: Option<Duration>,
}

// Moved from call to call, one at a time: a box would cost an allocation a transaction.
#[allow(clippy::large_enum_variant)]
enum Progress {
    Transaction(Transaction),
    /// Something happened, but no transaction came of it.
    Other,
    TimedOut,
}

impl Client {
    /// Connects to the first of the servers that answers, and subscribes.
    ///
    /// # Errors
    /// None answered, or one refused for good. Once a subscription has stood, lost connections are made again for ever.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let session = Session::new(config, Instant::now(), crate::session::seed())?;
        let mut client = Self { session, stream: None, read_timeout: None };
        while !client.session.is_settled() {
            client.advance(None)?;
        }
        Ok(client)
    }

    /// The next committed transaction, whenever it comes. `None` only after `close`.
    ///
    /// # Errors
    /// What the client cannot mend by itself: the server refused, a schema break, ..
    pub fn next_transaction(&mut self) -> Result<Option<Transaction>, ClientError> {
        loop {
            if let Some(transaction) = self.session.ready()? {
                return Ok(Some(transaction));
            }
            match self.advance(None) {
                Ok(Progress::Transaction(transaction)) => return Ok(Some(transaction)),
                Ok(_) => {}
                Err(ClientError::Closed) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next transaction, or `None` where none has come within `wait`.
    ///
    /// # Errors
    /// As `next_transaction`; after `close`, that.
    pub fn next_within(&mut self, wait: Duration) -> Result<Option<Transaction>, ClientError> {
        if let Some(transaction) = self.session.ready()? {
            return Ok(Some(transaction));
        }
        let deadline = Instant::now() + wait;
        loop {
            match self.advance(Some(deadline))? {
                Progress::Transaction(transaction) => return Ok(Some(transaction)),
                Progress::TimedOut => return Ok(None),
                Progress::Other => {}
            }
        }
    }

    /// Whole transactions that have come and are not yet handed over: `next_transaction` gives them without waiting.
    pub fn queued_transactions(&self) -> usize {
        self.session.queued_transactions()
    }

    /// Acknowledges a transaction and all before it. Of a named subscription only: others acknowledge by themselves.
    /// The server stops sending when too many are unacknowledged (65,536 by default).
    ///
    /// An ack may wait up to 5 ms for the next one while further transactions are at hand. A transaction of an earlier
    /// connection is left alone: it comes again.
    ///
    /// # Errors
    /// After `close`.
    pub fn ack(&mut self, transaction: &Transaction) -> Result<(), ClientError> {
        self.session.ack(transaction, Instant::now())?;
        self.write();
        Ok(())
    }

    /// Acknowledges everything up to and with a sequence of the current connection.
    ///
    /// # Errors
    /// A sequence that was not handed over.
    pub fn ack_through(&mut self, sequence: u64) -> Result<(), ClientError> {
        self.session.ack_through(sequence, Instant::now())?;
        self.write();
        Ok(())
    }

    /// Has everything behind the last durable ack delivered again.
    ///
    /// # Errors
    /// Of a subscription without a name.
    pub fn rollback(&mut self) -> Result<(), ClientError> {
        self.session.rollback(Instant::now())?;
        self.write();
        Ok(())
    }

    /// Stands behind the last transaction that was handed over; moves on while a filter drops everything.
    pub fn token(&self) -> Option<Token> {
        self.session.token()
    }

    /// Where the source stood behind the last transaction that was handed over.
    pub fn position(&self) -> Option<Position> {
        self.session.cursor().map(|cursor| cursor.to_position())
    }

    /// The last ack that the server has told to be durable.
    pub fn durable(&self) -> Option<&Durable> {
        self.session.durable()
    }

    /// Ends the subscription's connection; the durable cursor stays. Waits up to 2 s for the last acks to be durable.
    ///
    /// # Errors
    /// None at present: a connection that fails now has nothing left to lose.
    pub fn close(&mut self) -> Result<(), ClientError> {
        self.session.flush_ack(Instant::now());
        let deadline = Instant::now() + CLOSE_WAIT_MAX;
        while self.stream.is_some() && !self.session.all_acks_durable() {
            if !self.transfer(deadline) || Instant::now() >= deadline || self.session.has_ended() {
                break;
            }
        }
        self.session.unsubscribe(Instant::now());
        self.write();
        self.session.close();
        self.stream = None;
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ inside

    fn advance(&mut self, deadline: Option<Instant>) -> Result<Progress, ClientError> {
        let now = Instant::now();
        match self.session.step(now)? {
            Step::Transaction(transaction) => return Ok(Progress::Transaction(transaction)),
            Step::Settled => {}
            Step::Connect { address, timeout } => {
                self.stream = None;
                match connect(&address, timeout) {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        self.read_timeout = None;
                        self.session.connected();
                    }
                    Err(error) => self.session.connect_failed(error, Instant::now())?,
                }
            }
            Step::Wait { until } => {
                let end = deadline.map_or(until, |deadline| deadline.min(until));
                thread::sleep(end.saturating_duration_since(now));
            }
            Step::Transfer { until } => {
                let end = deadline.map_or(until, |deadline| deadline.min(until));
                if self.transfer(end) {
                    return Ok(Progress::Other);
                }
            }
        }
        match deadline {
            Some(deadline) if Instant::now() >= deadline => Ok(Progress::TimedOut),
            _ => Ok(Progress::Other),
        }
    }

    /// Writes what is to be said and reads once. False where nothing came in time.
    fn transfer(&mut self, until: Instant) -> bool {
        self.write();
        let Some(stream) = &mut self.stream else {
            self.session.lost("there is no connection");
            return true;
        };
        // Zero would mean for ever.
        let wait = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let read = match self.read_timeout == Some(wait) {
            true => Ok(()),
            false => stream.set_read_timeout(Some(wait)),
        };
        self.read_timeout = Some(wait);
        match read.and_then(|()| stream.read(self.session.space())) {
            Ok(bytes) => self.session.received(bytes),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return false,
                io::ErrorKind::Interrupted => {}
                _ => self.session.lost(error),
            },
        }
        true
    }

    /// A failure to write is noticed by the next read.
    fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let outgoing = self.session.outgoing();
        if outgoing.is_empty() {
            return;
        }
        match stream.write_all(outgoing) {
            Ok(()) => {
                let bytes = outgoing.len();
                self.session.sent(bytes);
            }
            Err(error) => self.session.lost(error),
        }
    }
}

impl Iterator for Client {
    type Item = Result<Transaction, ClientError>;

    /// Ends after `close`, and after an error.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_transaction().transpose()
    }
}

impl Drop for Client {
    /// Acks that wait for the next one are sent; nothing is waited for.
    fn drop(&mut self) {
        self.session.flush_ack(Instant::now());
        self.write();
    }
}

/// The first of the host's addresses that answers within the time.
fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failed = None;
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_WAIT_MAX))?;
                return Ok(stream);
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}
