//! The tokio face: the same verbs, on any tokio runtime with I/O and time enabled.

use std::io;
use std::time::{Duration, Instant};

use millstream_codec::wire::position::Position;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::config::ClientConfig;
use crate::cursor::Token;
use crate::error::ClientError;
use crate::protocol::Durable;
use crate::session::{Session, Step};
use crate::transaction::Transaction;

/// How long `close` waits for the server to make the last acks durable.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// See the crate's page. Every future may be dropped before it is ready without a loss.
pub struct Client {
    session: Session,
    stream: Option<TcpStream>,
}

impl Client {
    /// Connects to the first of the servers that answers, and subscribes.
    ///
    /// # Errors
    /// None answered, or one refused for good. Once a subscription has stood, lost connections are made again for ever.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let session = Session::new(config, Instant::now(), crate::session::seed())?;
        let mut client = Self { session, stream: None };
        while !client.session.is_settled() {
            client.advance().await?;
        }
        Ok(client)
    }

    /// The next committed transaction, whenever it comes. `None` only after `close`.
    ///
    /// # Errors
    /// What the client cannot mend by itself: the server refused, a schema break, ..
    pub async fn next_transaction(&mut self) -> Result<Option<Transaction>, ClientError> {
        loop {
            if let Some(transaction) = self.session.ready()? {
                return Ok(Some(transaction));
            }
            match self.advance().await {
                Ok(Some(transaction)) => return Ok(Some(transaction)),
                Ok(None) => {}
                Err(ClientError::Closed) => return Ok(None),
                Err(error) => return Err(error),
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
    pub async fn ack(&mut self, transaction: &Transaction) -> Result<(), ClientError> {
        self.session.ack(transaction, Instant::now())?;
        self.write().await;
        Ok(())
    }

    /// Acknowledges everything up to and with a sequence of the current connection.
    ///
    /// # Errors
    /// A sequence that was not handed over.
    pub async fn ack_through(&mut self, sequence: u64) -> Result<(), ClientError> {
        self.session.ack_through(sequence, Instant::now())?;
        self.write().await;
        Ok(())
    }

    /// Has everything behind the last durable ack delivered again.
    ///
    /// # Errors
    /// Of a subscription without a name.
    pub async fn rollback(&mut self) -> Result<(), ClientError> {
        self.session.rollback(Instant::now())?;
        self.write().await;
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
    pub async fn close(&mut self) -> Result<(), ClientError> {
        self.session.flush_ack(Instant::now());
        let deadline = Instant::now() + CLOSE_WAIT_MAX;
        while self.stream.is_some() && !self.session.all_acks_durable() && Instant::now() < deadline {
            self.transfer(deadline).await;
            if self.session.has_ended() {
                break;
            }
        }
        self.session.unsubscribe(Instant::now());
        self.write().await;
        self.session.close();
        self.stream = None;
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ inside

    async fn advance(&mut self) -> Result<Option<Transaction>, ClientError> {
        match self.session.step(Instant::now())? {
            Step::Transaction(transaction) => return Ok(Some(transaction)),
            Step::Settled => {}
            Step::Connect { address, timeout: wait } => {
                self.stream = None;
                match connect(&address, wait).await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        self.session.connected();
                    }
                    Err(error) => self.session.connect_failed(error, Instant::now())?,
                }
            }
            Step::Wait { until } => sleep_until(until.into()).await,
            Step::Transfer { until } => self.transfer(until).await,
        }
        Ok(None)
    }

    /// Writes what is to be said and reads once.
    async fn transfer(&mut self, until: Instant) {
        self.write().await;
        let Some(stream) = &mut self.stream else {
            self.session.lost("there is no connection");
            return;
        };
        match timeout_at(until.into(), stream.read(self.session.space())).await {
            Ok(Ok(bytes)) => self.session.received(bytes),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => self.session.lost(error),
            Err(_) => {}
        }
    }

    /// `write` is asked again for what it did not take, so that a dropped future loses and repeats nothing.
    async fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.session.outgoing().is_empty() {
            match stream.write(self.session.outgoing()).await {
                Ok(0) => return self.session.lost("the server takes no more bytes"),
                Ok(bytes) => self.session.sent(bytes),
                Err(error) => return self.session.lost(error),
            }
        }
    }
}

impl Drop for Client {
    /// Acks that wait for the next one are sent, as far as the socket takes them at once.
    fn drop(&mut self) {
        self.session.flush_ack(Instant::now());
        if let Some(stream) = &self.stream {
            // Best effort: what is not acknowledged comes again.
            let _ = stream.try_write(self.session.outgoing());
        }
    }
}

async fn connect(address: &str, wait: Duration) -> io::Result<TcpStream> {
    match timeout(wait, TcpStream::connect(address)).await {
        Ok(stream) => {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", wait.as_millis()))),
    }
}
