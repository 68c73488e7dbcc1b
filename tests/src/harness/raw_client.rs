//! A client that says exactly what a test wants, also what no sane client would: the protocol's messages over a plain
//! socket, without the client library.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millstream_codec::millstream_capnp::server_message;
use millstream_codec::wire::encoded::Op;
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{
    ClientMessage, ErrorMessage, Filter, Hello, Order, PROTOCOL_VERSION, ServerMessage, Start, Subscribe,
};
use millstream_codec::wire::position::Position;
use millstream_codec::wire::read::RowsReader;
use millstream_codec::wire::view;
use millstream_codec::wire::words::Segment;

use super::millstream::DESTINATION;
use crate::load::delivery::{Change, Delivery, row_object};

const MESSAGE_BYTES_MAX: usize = 64 << 20;

pub struct RawClient {
    stream: TcpStream,
    framer: MessageFramer,
    layouts: HashMap<u32, Layout>,
    /// Changes of transactions whose end has not come, with the event that each belongs to.
    open: HashMap<u64, Vec<(u32, Change)>>,
    /// Give back the credit of every batch that is received.
    pub refill: bool,
    pub batches: u64,
    pub bytes: u64,
}

/// What came.
#[derive(Debug)]
pub enum Received {
    Message(ServerMessage),
    /// The transactions that a batch completed.
    Transactions(Vec<Delivery>),
    /// Nothing in time.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// A request for everything, from the tail on; tests change what they are about.
pub fn subscribe(name: &str) -> Subscribe {
    Subscribe {
        destination: DESTINATION.to_owned(),
        subscription: name.to_owned(),
        filter: Filter::default(),
        start: Start::Resume,
        order: Order::Commit,
        credit_bytes: 4 << 20,
        compiled: Vec::new(),
        standby: false,
    }
}

impl RawClient {
    /// A connection on which nothing has been said yet.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect_timeout(&address, Duration::from_secs(5)).context("connecting to millstreamd")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            framer: MessageFramer::new(64 << 10, MESSAGE_BYTES_MAX),
            layouts: HashMap::new(),
            open: HashMap::new(),
            refill: true,
            batches: 0,
            bytes: 0,
        })
    }

    /// A connection that has been welcomed.
    ///
    /// # Errors
    /// When the server says something else.
    pub fn hello(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<Result<Self, ErrorMessage>> {
        let mut client = Self::connect(address)?;
        client.send(&ClientMessage::Hello(Hello {
            protocol_version: PROTOCOL_VERSION,
            client_name: "test".into(),
            user: user.into(),
            password: password.into(),
            highest_epoch: 0,
        }))?;
        match client.receive(Duration::from_secs(10))? {
            Received::Message(ServerMessage::Welcome { .. }) => Ok(Ok(client)),
            Received::Message(ServerMessage::Error(error)) => Ok(Err(error)),
            other => bail!("instead of Welcome: {other:?}"),
        }
    }

    /// A connection that has subscribed, with the position that it begins at; or the server's refusal.
    ///
    /// # Errors
    /// When the server says something else.
    pub fn subscribe(
        address: SocketAddr,
        request: Subscribe,
    ) -> anyhow::Result<Result<(Self, Subscribed), ErrorMessage>> {
        let mut client =
            Self::hello(address, "", "")?.map_err(|error| anyhow::anyhow!("refused: {}", error.message))?;
        client.send(&ClientMessage::Subscribe(Box::new(request)))?;
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            ensure!(Instant::now() < until, "no answer to Subscribe");
            match client.receive(Duration::from_secs(20))? {
                Received::Message(ServerMessage::Subscribed { epoch, position, token }) => {
                    return Ok(Ok((client, Subscribed { epoch, position, token })));
                }
                Received::Message(ServerMessage::Error(error)) => return Ok(Err(error)),
                Received::Message(_) => {}
                other => bail!("instead of Subscribed: {other:?}"),
            }
        }
    }

    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, message: &ClientMessage) -> anyhow::Result<()> {
        self.send_bytes(&message.encode())
    }

    /// # Errors
    /// When the connection has ended.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("sending")
    }

    /// The next thing that comes. Layouts are kept, not told.
    ///
    /// # Errors
    /// Bytes that are none of the protocol's.
    pub fn receive(&mut self, within: Duration) -> anyhow::Result<Received> {
        let until = Instant::now() + within;
        loop {
            if let Some(received) = self.take()? {
                if let (true, Received::Transactions(_)) = (self.refill, &received) {
                    // what it cost is known to the byte only by the server; a little more does no harm
                    let bytes = std::mem::take(&mut self.bytes);
                    let _ = self.send(&ClientMessage::Credit(bytes));
                }
                return Ok(received);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Received::Nothing);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(self.framer.space()) {
                Ok(0) => return Ok(Received::Closed),
                Ok(read) => self.framer.filled(read),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Received::Nothing);
                }
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Received::Closed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next batch's transactions, whatever else comes; empty when there is none in time.
    ///
    /// # Errors
    /// When the server ends the connection, with its reason.
    pub fn transactions(&mut self, within: Duration) -> anyhow::Result<Vec<Delivery>> {
        let until = Instant::now() + within;
        loop {
            match self.receive(until.saturating_duration_since(Instant::now()))? {
                Received::Transactions(transactions) if transactions.is_empty() => {}
                Received::Transactions(transactions) => return Ok(transactions),
                Received::Nothing => return Ok(Vec::new()),
                Received::Closed => bail!("the server closed the connection"),
                Received::Message(ServerMessage::Error(error)) => bail!("{}: {}", error.code, error.message),
                Received::Message(_) => {}
            }
        }
    }

    /// Row changes until there are `count`, in order.
    ///
    /// # Errors
    /// When they do not come in `within`.
    pub fn changes(&mut self, count: usize, within: Duration) -> anyhow::Result<Vec<Change>> {
        let until = Instant::now() + within;
        let mut changes = Vec::new();
        while changes.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            let came = self.transactions(left)?;
            ensure!(!came.is_empty(), "{} of {count} rows in {within:?}: {changes:?}", changes.len());
            changes.extend(came.into_iter().flat_map(|delivery| delivery.changes));
        }
        Ok(changes)
    }

    /// Waits for the server's reason to end the connection, and for the end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn refusal(&mut self, within: Duration) -> anyhow::Result<Option<ErrorMessage>> {
        let until = Instant::now() + within;
        let mut reason = None;
        loop {
            match self.receive(until.saturating_duration_since(Instant::now()))? {
                Received::Closed => return Ok(reason),
                Received::Nothing => bail!("the connection stays open; the server's reason: {reason:?}"),
                Received::Message(ServerMessage::Error(error)) => reason = Some(error),
                _ => {}
            }
        }
    }

    fn take(&mut self) -> anyhow::Result<Option<Received>> {
        let Self { framer, layouts, open, .. } = self;
        while let Some(message) = framer.message()? {
            let bytes = message.len_bytes() as u64;
            let root = message.root::<server_message::Reader<'_>>()?;
            if let server_message::Which::Batch(_) = root.which()? {
                let segment = message.segment().context("a batch of several segments")?;
                let transactions = read_batch(segment, layouts, open)?;
                self.batches += 1;
                self.bytes += bytes;
                return Ok(Some(Received::Transactions(transactions)));
            }
            self.bytes += bytes;
            match ServerMessage::decode(root)?.context("a message without content")? {
                ServerMessage::Layout(layout) => {
                    layouts.insert(layout.id, *layout);
                }
                other => return Ok(Some(Received::Message(other))),
            }
        }
        Ok(None)
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub struct Subscribed {
    pub epoch: u64,
    pub position: Position,
    pub token: Vec<u8>,
}

fn read_batch(
    segment: Segment<'_>,
    layouts: &HashMap<u32, Layout>,
    open: &mut HashMap<u64, Vec<(u32, Change)>>,
) -> anyhow::Result<Vec<Delivery>> {
    const DAMAGED: &str = "a batch is damaged";
    let mut complete = Vec::new();
    let (epoch, fragments) = view::batch(segment).context(DAMAGED)?;
    for fragment in fragments.iter().map(view::Fragment) {
        let sequence = fragment.sequence();
        ensure!(fragment.begin() != open.contains_key(&sequence), "{sequence}: begin does not fit what came before");
        let changes = open.entry(sequence).or_default();
        if let Some(truncate_to) = fragment.truncate_to() {
            changes.retain(|(event, _)| *event < truncate_to);
        }
        for change in fragment.changes().context(DAMAGED)?.iter() {
            if let view::Change::Rows(rows) = view::Change::read(change).context(DAMAGED)? {
                let layout = layouts.get(&rows.layout()).context("rows before their layout")?;
                read_rows(&RowsReader::new(rows, layout)?, changes)?;
            }
        }
        if fragment.abort() {
            open.remove(&sequence);
        } else if fragment.commit() {
            let changes = open.remove(&sequence).unwrap_or_default();
            let gtid = std::str::from_utf8(fragment.gtid().context(DAMAGED)?)?;
            let position = fragment.position().context(DAMAGED)?;
            let id = match gtid.is_empty() {
                true => format!("{}:{}", std::str::from_utf8(position.file)?, position.offset),
                false => gtid.to_owned(),
            };
            let changes = changes.into_iter().map(|(_, change)| change).collect();
            complete.push(Delivery { epoch, sequence, id, changes });
        }
    }
    Ok(complete)
}

fn read_rows(rows: &RowsReader<'_>, changes: &mut Vec<(u32, Change)>) -> anyhow::Result<()> {
    for row in 0..rows.len() {
        let change = Change {
            table: rows.layout().table.clone(),
            op: match rows.op() {
                Op::Insert => "insert",
                Op::Update => "update",
                Op::Delete => "delete",
            }
            .to_owned(),
            row: u64::from(rows.first_row()) + u64::from(row),
            before: rows.before(row).map(row_object).transpose()?,
            after: rows.after(row).map(row_object).transpose()?,
        };
        changes.push((rows.event(), change));
    }
    Ok(())
}
