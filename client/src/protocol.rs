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

use millstream_codec::millstream_capnp::server_message;
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{
    ClientMessage, Hello, Op, Order, PROTOCOL_VERSION, ServerMessage, Start, Subscribe,
};
use millstream_codec::wire::position::Position;
use millstream_codec::wire::view;
use millstream_codec::wire::words::{Segment, StructList};

use crate::config::{ClientConfig, WhenTaken};
use crate::error::ClientError;
use crate::receive::{Message, Receiver};
use crate::transaction::{Part, Received, text};

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
    /// Fragments that are whole transactions each, from `next` on: as a rule all of a batch.
    Whole {
        received: Arc<Received>,
        next: u32,
        end: u32,
    },
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
    files: Files,
    destination: Arc<str>,
    /// Emptied, to be filled by the next batch.
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
            files: Files { last: Arc::from(""), changes: 0 },
            destination: config.destination.as_str().into(),
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
                Item::Event(_) | Item::Whole { .. } => {}
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
        match self.poll_transaction() {
            Some(committed) => Some(Event::Transaction(committed)),
            None => match self.queue.pop_front()? {
                Item::Event(event) => Some(event),
                // Not in front, where `poll_transaction` has just looked.
                Item::Whole { .. } | Item::Consumed(_) => None,
            },
        }
    }

    /// The same where that is a transaction.
    pub fn poll_transaction(&mut self) -> Option<Committed> {
        loop {
            match self.queue.front_mut()? {
                Item::Whole { received, next, end } => {
                    let index = *next;
                    *next += 1;
                    let committed = if index + 1 < *end {
                        in_one_fragment(received.clone(), index)
                    } else {
                        let Some(Item::Whole { received, .. }) = self.queue.pop_front() else { return None };
                        in_one_fragment(received, index)
                    };
                    self.queued_transactions -= 1;
                    return committed;
                }
                Item::Event(Event::Transaction(_)) => {
                    let Some(Item::Event(Event::Transaction(committed))) = self.queue.pop_front() else { return None };
                    self.queued_transactions -= 1;
                    return Some(committed);
                }
                Item::Event(_) => return None,
                Item::Consumed(bytes) => {
                    self.credit_owed += *bytes;
                    self.queue.pop_front();
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
        if let Ok(server_message::Which::Batch(_)) = root.which() {
            return self.batch(message);
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

    fn batch(&mut self, message: Message) -> Result<(), ClientError> {
        let bytes = message.bytes as u64;
        let message = message.into_one_segment::<server_message::Owned>().map_err(|error| self.malformed(error))?;
        self.layout_ids.clear();
        self.files.changes = 0;
        let segment = message.segment().ok_or(Damage::Pointer);
        let read = segment.and_then(|segment| read_batch(segment, &mut self.layout_ids, &mut self.files));
        let (epoch, fragments) = read.map_err(|damage| self.malformed(damage))?;
        let fragments = fragments.place();
        let layouts = self.layouts_of_batch()?;
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
        let (file, is_of_one_file) = (self.files.last.clone(), self.files.changes == 0);
        let destination = self.destination.clone();
        let received = Arc::new(Received { message, epoch, fragments, layouts, file, is_of_one_file, destination });
        self.fragments(&received, bytes)?;
        self.queue.push_back(Item::Consumed(bytes));
        Ok(())
    }

    /// Into the queue with what is whole; also before an error.
    fn fragments(&mut self, received: &Arc<Received>, bytes: u64) -> Result<(), ClientError> {
        // Whole transactions that follow each other, not yet in the queue.
        let mut run = 0..0;
        let mut index = 0;
        while let Some(fragment) = received.fragment(index) {
            let sequence = fragment.sequence();
            let follows = self.order != Order::Commit || sequence > self.committed_sequence;
            if fragment.begin() && fragment.commit() && !fragment.abort() && follows {
                // One that was never ended.
                self.close(sequence);
                self.committed_sequence = sequence;
                if run.is_empty() {
                    run = index..index;
                }
                run.end = index + 1;
            } else {
                self.push_whole(received, std::mem::take(&mut run));
                self.fragment(fragment, Part::new(received.clone(), index), bytes)?;
            }
            index += 1;
        }
        self.push_whole(received, run);
        Ok(())
    }

    fn push_whole(&mut self, received: &Arc<Received>, run: std::ops::Range<u32>) {
        if !run.is_empty() {
            self.queued_transactions += run.len();
            self.queue.push_back(Item::Whole { received: received.clone(), next: run.start, end: run.end });
        }
    }

    fn fragment(&mut self, head: view::Fragment<'_>, part: Part, bytes: u64) -> Result<(), ClientError> {
        let sequence = head.sequence();
        let mut open = if head.begin() {
            if self.order == Order::Commit && sequence <= self.committed_sequence {
                return Err(
                    self.malformed(format!("transaction {sequence} after transaction {}", self.committed_sequence))
                );
            }
            self.close(sequence);
            Open { parts: Vec::new(), bytes: 0 }
        } else {
            match self.close(sequence) {
                Some(open) => open,
                None => return Err(self.malformed(format!("a part of transaction {sequence} without its begin"))),
            }
        };
        if let Some(event) = head.truncate_to() {
            for part in &mut open.parts {
                part.truncate(event);
            }
        }
        if head.abort() {
            return Ok(());
        }
        if head.commit() {
            self.committed_sequence = sequence;
            self.push(Event::Transaction(committed(self.epoch, head, open.parts, part)));
            return Ok(());
        }
        open.parts.push(part);
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
        self.open.insert(sequence, open);
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

/// A transaction in one fragment. `None`: there is no such fragment, which was looked for when the batch came.
#[inline]
fn in_one_fragment(received: Arc<Received>, index: u32) -> Option<Committed> {
    let head = received.fragment(index)?;
    let (sequence, commit_time_us) = (head.sequence(), head.commit_time_us());
    let (epoch, time_precision_us) = (received.epoch, head.time_precision_us());
    let last = Part::new(received, index);
    Some(Committed { epoch, sequence, commit_time_us, time_precision_us, earlier: Vec::new(), last })
}

fn committed(epoch: u64, head: view::Fragment<'_>, earlier: Vec<Part>, last: Part) -> Committed {
    Committed {
        epoch,
        sequence: head.sequence(),
        commit_time_us: head.commit_time_us(),
        time_precision_us: head.time_precision_us(),
        earlier,
        last,
    }
}

/// The files that transactions lie in: a name is shared by all that lie in one.
struct Files {
    last: Arc<str>,
    /// In this batch. The first one counts, although those before it may lie in no other.
    changes: usize,
}

impl Files {
    #[cold]
    fn changed(&mut self, name: &str) {
        self.last = name.into();
        self.changes += 1;
    }
}

/// What is wrong with a batch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Damage {
    #[error("a batch with a pointer that leads out of it, or to something else than it should")]
    Pointer,
    #[error("a batch whose pointers overlap")]
    Overlap,
    #[error("a batch with a text that is not UTF-8")]
    NotText,
    #[error("a list of {found} rows where {announced} are announced")]
    Count { found: u32, announced: u32 },
    #[error("rows with the unknown operation {0}")]
    Operation(u16),
}

/// What looking through a message may cost, in words: eight times its own. One whose pointers overlap, to look larger
/// than it is, does not pass.
struct Budget(usize);

impl Budget {
    #[inline]
    fn spend(&mut self, words: usize) -> Result<(), Damage> {
        self.0 = self.0.checked_sub(words).ok_or(Damage::Overlap)?;
        Ok(())
    }

    #[inline]
    fn text<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<&'a [u8], Damage> {
        let bytes = bytes.ok_or(Damage::Pointer)?;
        self.spend(bytes.len() / 8 + 1)?;
        // Nearly always, and found out in fewer steps.
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() { Ok(bytes) } else { Err(Damage::NotText) }
    }
}

/// Reads a batch's frame, and looks at all that rows will later be read through: the lists are there and are as long as
/// `count` says. `layout_ids` gets what they name; the batch's epoch and its fragments are returned.
fn read_batch<'a>(
    segment: Segment<'a>,
    layout_ids: &mut Vec<u32>,
    files: &mut Files,
) -> Result<(u64, StructList<'a>), Damage> {
    let mut budget = Budget(8 * segment.len_words() + 64);
    let (epoch, fragments) = view::batch(segment).ok_or(Damage::Pointer)?;
    budget.spend(fragments.len() as usize)?;
    for fragment in fragments.iter().map(view::Fragment) {
        budget.spend(fragment.0.size_words())?;
        for change in fragment.changes().ok_or(Damage::Pointer)?.iter() {
            // Itself, and what it points to.
            budget.spend(16)?;
            match view::Change::read(change).ok_or(Damage::Pointer)? {
                view::Change::Rows(rows) => {
                    let layout = rows.layout();
                    if layout_ids.last() != Some(&layout) {
                        layout_ids.push(layout);
                    }
                    check_rows(rows, &mut budget)?;
                }
                view::Change::Ddl(ddl) => {
                    budget.text(ddl.database())?;
                    ddl.statement().ok_or(Damage::Pointer)?;
                    budget.text(ddl.kind())?;
                    for table in ddl.tables().ok_or(Damage::Pointer)?.iter() {
                        budget.text(table)?;
                    }
                }
            }
        }
        if fragment.commit() && !fragment.abort() {
            check_commit(fragment, &mut budget, files)?;
        }
    }
    Ok((epoch, fragments))
}

/// They stay where they are, and are text.
#[inline]
fn check_commit(fragment: view::Fragment<'_>, budget: &mut Budget, files: &mut Files) -> Result<(), Damage> {
    budget.text(fragment.gtid())?;
    budget.text(fragment.gtid_delta())?;
    for position in [fragment.start_position(), fragment.position()] {
        let file = position.ok_or(Damage::Pointer)?.file;
        if file != files.last.as_bytes() {
            files.changed(text(Some(budget.text(Some(file))?)));
        }
    }
    Ok(())
}

#[inline]
fn check_rows(rows: view::Rows<'_>, budget: &mut Budget) -> Result<(), Damage> {
    Op::try_from(rows.op()).map_err(|_| Damage::Operation(rows.op()))?;
    rows.before_present().ok_or(Damage::Pointer)?;
    rows.after_present().ok_or(Damage::Pointer)?;
    let cells = rows.cells().ok_or(Damage::Pointer)?;
    // Structs of no words may be any number without having come.
    if !cells.is_empty() && cells.element_words() == 0 {
        budget.spend(cells.len() as usize)?;
    }
    let announced = rows.count();
    for (index, list) in [rows.before(), rows.after()].into_iter().enumerate() {
        let list = list.ok_or(Damage::Pointer)?;
        if list.element_words() == 0 {
            budget.spend(list.len() as usize)?;
        }
        if list.len() != announced && !rows.0.is_null(index) {
            return Err(Damage::Count { found: list.len(), announced });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
