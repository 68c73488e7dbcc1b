//! One connection's protocol, without the socket: bytes in, events out, bytes to send out.
//!
//! The driver writes [`Connection::outgoing`], reads into [`Connection::space`], says so with [`Connection::filled`],
//! and takes what happened from [`Connection::poll`]. No I/O, no clock, no retry here: a connection that failed is
//! thrown away.
//!
//! Invariants:
//! - A transaction comes out of `poll` only after its commit has been seen; an aborted one never does.
//! - Credit is counted in all bytes of the stream. That of a batch is given back only when all its transactions have
//!   been taken from `poll`; the parts of a transaction that is still open count as taken, or one larger than the
//!   credit could never end.
//! - Nothing of an epoch lower than the highest seen comes out.
//! - Every `Rows` that comes out names a layout that has come before it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use millstream_codec::millstream_capnp::{batch, change, file_position, fragment, rows, server_message};
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{
    ClientMessage, Hello, Order, PROTOCOL_VERSION, ServerMessage, Start, Subscribe,
};
use millstream_codec::wire::position::Position;

use crate::config::{ClientConfig, WhenTaken};
use crate::error::ClientError;
use crate::receive::{Message, Receiver};
use crate::transaction::{FilePosition, Part, Received};

/// More transactions than this cannot be open at once: in commit order there is one, in table order one a bucket.
const OPEN_TRANSACTIONS_MAX: usize = 4096;

/// What `poll` tells.
#[derive(Debug)]
pub(crate) enum Event {
    Welcome {
        server_version: String,
    },
    /// Another connection has the subscription; this one takes over when that goes.
    Waiting,
    Notice {
        code: String,
        message: String,
    },
    Subscribed {
        epoch: u64,
        position: Position,
    },
    Redirect(Vec<String>),
    Transaction(Committed),
    /// Everything up to here has been sent or filtered away.
    Stands {
        position: Position,
    },
    /// What follows starts behind this position once more.
    RolledBack {
        position: Position,
    },
    /// The server ended the connection with an error of its own.
    Failed(ClientError),
}

/// A transaction as it came, whole.
#[derive(Debug)]
pub(crate) struct Committed {
    pub epoch: u64,
    pub sequence: u64,
    pub start_position: FilePosition,
    pub position: FilePosition,
    pub commit_time_us: i64,
    pub time_precision_us: u32,
    /// Those before the one with the commit.
    pub earlier: Vec<Part>,
    pub last: Part,
}

/// What the server has made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    pub epoch: u64,
    /// Every transaction up to and with this one.
    pub sequence: u64,
    pub position: Position,
}

enum Item {
    Event(Event),
    /// All of a batch has been taken: so many bytes may be sent again.
    Consumed(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Hello is sent.
    Greeting,
    /// Subscribe is sent; the server may also let it wait.
    Subscribing,
    Streaming,
    /// Rollback is sent: what still comes was sent before the server read it.
    RollingBack,
}

/// The parts of a transaction whose end has not come.
struct Open {
    parts: Vec<Part>,
    bytes: u64,
}

pub(crate) struct Connection {
    address: String,
    receiver: Receiver,
    out: Vec<u8>,
    out_sent: usize,
    phase: Phase,
    order: Order,
    subscribe: Vec<u8>,
    /// The highest epoch seen, on this connection or before.
    epoch: u64,
    layouts: HashMap<u32, Arc<Layout>>,
    file_name: Arc<str>,
    /// Emptied, to be filled by the next batch.
    heads: Vec<FragmentHead>,
    layout_ids: Vec<u32>,
    open: HashMap<u64, Open>,
    open_bytes: u64,
    transaction_bytes_max: u64,
    queue: VecDeque<Item>,
    queued_transactions: usize,
    committed_sequence: u64,
    durable: Option<Durable>,
    credit_owed: u64,
    credit_threshold: u64,
}

impl Connection {
    /// Begins with Hello, and with Subscribe as soon as the server has answered it.
    pub fn new(config: &ClientConfig, address: &str, start: &Start, highest_epoch: u64) -> Self {
        Self {
            address: address.to_owned(),
            receiver: Receiver::new(config.message_bytes_max),
            out: hello(config, highest_epoch).encode(),
            out_sent: 0,
            phase: Phase::Greeting,
            order: config.order,
            subscribe: subscribe(config, start).encode(),
            epoch: highest_epoch,
            layouts: HashMap::new(),
            file_name: Arc::from(""),
            heads: Vec::new(),
            layout_ids: Vec::new(),
            open: HashMap::new(),
            open_bytes: 0,
            transaction_bytes_max: config.transaction_bytes_max,
            queue: VecDeque::new(),
            queued_transactions: 0,
            committed_sequence: 0,
            durable: None,
            credit_owed: 0,
            credit_threshold: (config.credit_bytes / 2).max(1),
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn durable(&self) -> Option<&Durable> {
        self.durable.as_ref()
    }

    /// Whole transactions that `poll` will give without another byte from the server.
    pub fn queued_transactions(&self) -> usize {
        self.queued_transactions
    }

    // ------------------------------------------------------------------------------------------ bytes

    /// What is to be written to the socket; say how much was with `sent`.
    pub fn outgoing(&self) -> &[u8] {
        self.out.get(self.out_sent..).unwrap_or_default()
    }

    pub fn sent(&mut self, bytes: usize) {
        self.out_sent += bytes;
        if self.out_sent >= self.out.len() {
            self.out.clear();
            self.out_sent = 0;
        }
    }

    /// Where the socket's next bytes go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.receiver.space()
    }

    /// # Errors
    /// The connection is of no more use: damaged or hostile bytes, a former leader, a transaction over its bound.
    pub fn filled(&mut self, bytes: usize) -> Result<(), ClientError> {
        self.receiver.filled(bytes);
        while let Some(message) = self.receiver.take().map_err(|error| self.malformed(error))? {
            self.message(message)?;
        }
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ verbs

    /// Everything up to and with `sequence` is done with.
    pub fn ack(&mut self, sequence: u64) {
        self.say(&ClientMessage::Ack { epoch: self.epoch, sequence });
    }

    /// Deliver again from the last durable ack on. What has not been taken from `poll` is dropped.
    pub fn rollback(&mut self) {
        if self.phase != Phase::Streaming {
            return;
        }
        self.say(&ClientMessage::Rollback);
        self.phase = Phase::RollingBack;
        self.forget_open();
        self.queued_transactions = 0;
        for item in std::mem::take(&mut self.queue) {
            match item {
                Item::Consumed(bytes) => self.credit_owed += bytes,
                Item::Event(failed @ Event::Failed(_)) => self.queue.push_back(Item::Event(failed)),
                Item::Event(_) => {}
            }
        }
        self.replenish();
    }

    pub fn ping(&mut self, number: u64) {
        self.say(&ClientMessage::Ping(number));
    }

    pub fn unsubscribe(&mut self) {
        self.say(&ClientMessage::Unsubscribe);
    }

    /// What happened next, in the order of the stream.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            match self.queue.pop_front()? {
                Item::Event(event) => {
                    if matches!(event, Event::Transaction(_)) {
                        self.queued_transactions -= 1;
                    }
                    return Some(event);
                }
                Item::Consumed(bytes) => {
                    self.credit_owed += bytes;
                    self.replenish();
                }
            }
        }
    }

    /// The server always has more than the threshold left, or gets the rest now: it never waits for bytes that the
    /// client has already taken, and a small batch does not cost a message of its own.
    fn replenish(&mut self) {
        if self.credit_owed >= self.credit_threshold {
            self.say(&ClientMessage::Credit(self.credit_owed));
            self.credit_owed = 0;
        }
    }

    // ------------------------------------------------------------------------------------------ messages

    fn malformed(&self, reason: impl ToString) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), reason: reason.to_string() }
    }

    fn say(&mut self, message: &ClientMessage) {
        self.out.extend_from_slice(&message.encode());
    }

    fn message(&mut self, message: Message) -> Result<(), ClientError> {
        let bytes = message.bytes as u64;
        let checked = message.checked();
        let root: server_message::Reader<'_> = checked.get_root().map_err(|error| self.malformed(error))?;
        if let Ok(server_message::Which::Batch(batch)) = root.which() {
            self.heads.clear();
            self.layout_ids.clear();
            let epoch = batch
                .and_then(|batch| read_batch(batch, &mut self.heads, &mut self.layout_ids, &mut self.file_name))
                .map_err(|error| self.malformed(error))?;
            let layouts = self.layouts_of_batch()?;
            return self.batch(Arc::new(Received { message, layouts }), epoch);
        }
        if let Some(message) = ServerMessage::decode(root).map_err(|error| self.malformed(error))? {
            self.small_message(message)?;
        }
        // Before the subscription there is no credit to give back.
        if matches!(self.phase, Phase::Streaming | Phase::RollingBack) {
            self.queue.push_back(Item::Consumed(bytes));
        }
        Ok(())
    }

    /// Everything but a batch.
    fn small_message(&mut self, message: ServerMessage) -> Result<(), ClientError> {
        match message {
            ServerMessage::Welcome { protocol_version, server_version, .. } => {
                if protocol_version != PROTOCOL_VERSION {
                    return Err(self.malformed(format!(
                        "it speaks version {protocol_version} of the protocol, this client version {PROTOCOL_VERSION}"
                    )));
                }
                self.expect(Phase::Greeting, "welcome")?;
                self.phase = Phase::Subscribing;
                let subscribe = std::mem::take(&mut self.subscribe);
                self.out.extend_from_slice(&subscribe);
                self.push(Event::Welcome { server_version });
            }
            ServerMessage::Waiting => {
                self.expect(Phase::Subscribing, "waiting")?;
                self.push(Event::Waiting);
            }
            ServerMessage::Redirect(servers) => self.push(Event::Redirect(servers)),
            ServerMessage::Subscribed { epoch, position, .. } => {
                self.expect(Phase::Subscribing, "subscribed")?;
                self.check_epoch(epoch)?;
                self.phase = Phase::Streaming;
                self.push(Event::Subscribed { epoch, position });
            }
            ServerMessage::Layout(layout) => {
                self.layouts.insert(layout.id, Arc::new(*layout));
            }
            ServerMessage::Acked { epoch, sequence, position } => {
                self.check_epoch(epoch)?;
                self.durable = Some(Durable { epoch, sequence, position });
            }
            ServerMessage::Heartbeat(heartbeat) => {
                if let (Some(position), Phase::Streaming) = (heartbeat.position, self.phase) {
                    self.push(Event::Stands { position });
                }
            }
            ServerMessage::RolledBack(position) => {
                self.expect(Phase::RollingBack, "rolledBack")?;
                self.phase = Phase::Streaming;
                self.committed_sequence = 0;
                self.push(Event::RolledBack { position });
            }
            ServerMessage::Notice { code, message } => self.push(Event::Notice { code, message }),
            ServerMessage::SchemaBreak { table, field, ordinal, reason } => {
                self.push(Event::Failed(ClientError::SchemaBreak { table, field, ordinal, reason }));
            }
            ServerMessage::Error(error) => {
                let refused = ClientError::Refused { code: error.code, message: error.message, retry: error.retry };
                self.push(Event::Failed(refused));
            }
            // Its arrival is the answer: the driver notes when bytes came.
            ServerMessage::Pong(_) => {}
        }
        Ok(())
    }

    fn push(&mut self, event: Event) {
        if matches!(event, Event::Transaction(_)) {
            self.queued_transactions += 1;
        }
        self.queue.push_back(Item::Event(event));
    }

    fn expect(&self, phase: Phase, what: &str) -> Result<(), ClientError> {
        if self.phase == phase {
            Ok(())
        } else {
            Err(self.malformed(format!("'{what}' out of its turn ({:?})", self.phase)))
        }
    }

    fn check_epoch(&mut self, epoch: u64) -> Result<(), ClientError> {
        if epoch < self.epoch {
            return Err(ClientError::StaleEpoch { address: self.address.clone(), epoch, highest: self.epoch });
        }
        if epoch > self.epoch {
            // A new leadership numbers its transactions anew.
            self.epoch = epoch;
            self.committed_sequence = 0;
            self.forget_open();
        }
        Ok(())
    }

    fn forget_open(&mut self) {
        self.open.clear();
        self.open_bytes = 0;
    }

    // ------------------------------------------------------------------------------------------ batches

    /// The layouts that the rows of a batch name, each of which must have come. Looked for here, once for each, so that
    /// a transaction keeps what it needs and nothing else.
    fn layouts_of_batch(&mut self) -> Result<Vec<(u32, Arc<Layout>)>, ClientError> {
        self.layout_ids.sort_unstable();
        self.layout_ids.dedup();
        let mut layouts = Vec::with_capacity(self.layout_ids.len());
        for id in &self.layout_ids {
            let Some(layout) = self.layouts.get(id) else {
                return Err(self.malformed(format!("rows name layout {id}, which has not come")));
            };
            layouts.push((*id, layout.clone()));
        }
        Ok(layouts)
    }

    fn batch(&mut self, received: Arc<Received>, epoch: u64) -> Result<(), ClientError> {
        let bytes = received.message.bytes as u64;
        self.check_epoch(epoch)?;
        match self.phase {
            Phase::Streaming => {}
            Phase::RollingBack => {
                self.credit_owed += bytes;
                self.replenish();
                return Ok(());
            }
            Phase::Greeting | Phase::Subscribing => return Err(self.malformed("rows before 'subscribed'")),
        }
        let mut heads = std::mem::take(&mut self.heads);
        for (index, head) in heads.drain(..).enumerate() {
            self.fragment(head, Part::new(received.clone(), index as u32), bytes)?;
        }
        self.heads = heads;
        self.queue.push_back(Item::Consumed(bytes));
        Ok(())
    }

    fn fragment(&mut self, head: FragmentHead, part: Part, bytes: u64) -> Result<(), ClientError> {
        let mut open = if head.begin {
            if self.order == Order::Commit && head.sequence <= self.committed_sequence {
                return Err(self.malformed(format!(
                    "transaction {} after transaction {}",
                    head.sequence, self.committed_sequence
                )));
            }
            self.close(head.sequence);
            Open { parts: Vec::new(), bytes: 0 }
        } else {
            match self.close(head.sequence) {
                Some(open) => open,
                None => {
                    return Err(self.malformed(format!("a part of transaction {} without its begin", head.sequence)));
                }
            }
        };
        if let Some(event) = head.truncate_to {
            for part in &mut open.parts {
                part.truncate(event);
            }
        }
        match head.end {
            End::Abort => return Ok(()),
            End::Commit { start_position, position } => {
                self.committed_sequence = head.sequence;
                self.push(Event::Transaction(Committed {
                    epoch: self.epoch,
                    sequence: head.sequence,
                    start_position,
                    position,
                    commit_time_us: head.commit_time_us,
                    time_precision_us: head.time_precision_us,
                    earlier: open.parts,
                    last: part,
                }));
                return Ok(());
            }
            End::Open => open.parts.push(part),
        }
        open.bytes += bytes;
        self.open_bytes += open.bytes;
        if self.open_bytes > self.transaction_bytes_max {
            return Err(ClientError::TransactionTooLarge {
                bytes: self.open_bytes,
                bytes_max: self.transaction_bytes_max,
            });
        }
        if self.open.len() >= OPEN_TRANSACTIONS_MAX {
            return Err(self.malformed(format!("{OPEN_TRANSACTIONS_MAX} transactions are open at once")));
        }
        self.open.insert(head.sequence, open);
        Ok(())
    }

    fn close(&mut self, sequence: u64) -> Option<Open> {
        if self.open.is_empty() {
            return None;
        }
        let open = self.open.remove(&sequence)?;
        self.open_bytes -= open.bytes;
        Some(open)
    }
}

fn hello(config: &ClientConfig, highest_epoch: u64) -> ClientMessage {
    ClientMessage::Hello(Hello {
        protocol_version: PROTOCOL_VERSION,
        client_name: config.client_name.clone(),
        user: config.user.clone(),
        password: config.password.clone(),
        highest_epoch,
    })
}

fn subscribe(config: &ClientConfig, start: &Start) -> ClientMessage {
    ClientMessage::Subscribe(Box::new(Subscribe {
        destination: config.destination.clone(),
        subscription: config.subscription.clone(),
        filter: config.filter.clone(),
        start: start.clone(),
        order: config.order,
        credit_bytes: config.credit_bytes,
        compiled: config.compiled.clone(),
        standby: config.when_taken == WhenTaken::Wait,
    }))
}

struct FragmentHead {
    sequence: u64,
    begin: bool,
    truncate_to: Option<u32>,
    commit_time_us: i64,
    time_precision_us: u32,
    end: End,
}

enum End {
    Open,
    Abort,
    Commit { start_position: FilePosition, position: FilePosition },
}

/// Reads a batch's frame, and looks at all that rows will later be read through: the lists are there and are as long as
/// `count` says. `layout_ids` gets what they name, `heads` the fragments; the batch's epoch is returned.
fn read_batch(
    batch: batch::Reader<'_>,
    heads: &mut Vec<FragmentHead>,
    layout_ids: &mut Vec<u32>,
    file_name: &mut Arc<str>,
) -> capnp::Result<u64> {
    for fragment in batch.get_fragments()?.iter() {
        for change in fragment.get_changes()?.iter() {
            match change.which()? {
                change::Which::Rows(rows) => {
                    let rows = rows?;
                    let layout = rows.get_layout();
                    if layout_ids.last() != Some(&layout) {
                        layout_ids.push(layout);
                    }
                    check_rows(rows)?;
                }
                change::Which::Ddl(ddl) => {
                    let ddl = ddl?;
                    ddl.get_database()?.to_str()?;
                    ddl.get_statement()?;
                    ddl.get_kind()?.to_str()?;
                    for table in ddl.get_tables()?.iter() {
                        table?.to_str()?;
                    }
                }
            }
        }
        heads.push(read_fragment(fragment, file_name)?);
    }
    Ok(batch.get_epoch())
}

fn read_fragment(fragment: fragment::Reader<'_>, file_name: &mut Arc<str>) -> capnp::Result<FragmentHead> {
    const NO_TRUNCATION: u32 = u32::MAX;
    let truncate_to = fragment.get_truncate_to();
    let end = if fragment.get_abort() {
        End::Abort
    } else if fragment.get_commit() {
        // They stay where they are, and are text.
        fragment.get_gtid()?.to_str()?;
        fragment.get_gtid_delta()?.to_str()?;
        End::Commit {
            start_position: read_position(fragment.get_start_position()?, file_name)?,
            position: read_position(fragment.get_position()?, file_name)?,
        }
    } else {
        End::Open
    };
    Ok(FragmentHead {
        sequence: fragment.get_sequence(),
        begin: fragment.get_begin(),
        truncate_to: (truncate_to != NO_TRUNCATION).then_some(truncate_to),
        commit_time_us: fragment.get_commit_time_us(),
        time_precision_us: fragment.get_time_precision_us(),
        end,
    })
}

/// A file's name is shared by all the transactions in it.
fn read_position(reader: file_position::Reader<'_>, file_name: &mut Arc<str>) -> capnp::Result<FilePosition> {
    let file = reader.get_file()?.to_str()?;
    if **file_name != *file {
        *file_name = file.into();
    }
    Ok(FilePosition { file: file_name.clone(), offset: reader.get_offset() })
}

fn check_rows(rows: rows::Reader<'_>) -> capnp::Result<()> {
    rows.get_op()?;
    rows.get_before_present()?;
    rows.get_after_present()?;
    rows.get_cells()?;
    for list in [rows.get_before(), rows.get_after()] {
        if list.is_null() {
            continue;
        }
        // Which struct stands here does not matter: only the list's frame is read.
        let length = list.get_as::<capnp::struct_list::Reader<'_, server_message::Owned>>()?.len();
        if length != rows.get_count() {
            let reason = format!("a list of {length} rows where {} are announced", rows.get_count());
            return Err(capnp::Error::failed(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
