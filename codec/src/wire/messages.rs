//! The small messages of the protocol, as Rust values: everything but [`Batch`](super::batch), which is read in
//! place by [`super::read`].
//!
//! `encode` gives a framed message, `decode` takes a message's root apart. Both directions are here, so that a server
//! and a client can be tested against the same code.

use capnp::message::{Builder, HeapAllocator};

use super::layout::Layout;
use super::layout_message::LayoutMessageError;
use super::position::{Position, text};
pub use crate::millstream_capnp::{Op, Order};
use crate::millstream_capnp::{client_message, filter, server_message, start, subscribe};

/// What this build speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// Why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the message is damaged: {0}")]
    Damaged(#[from] capnp::Error),
    #[error("the message is of a kind that protocol version {PROTOCOL_VERSION} does not have (union tag {tag})")]
    UnknownKind { tag: u16 },
    #[error("the message has the value {value} for {field}, which protocol version {PROTOCOL_VERSION} does not have")]
    UnknownValue { field: &'static str, value: u16 },
    #[error(transparent)]
    Layout(#[from] LayoutMessageError),
}

impl From<capnp::NotInSchema> for MessageError {
    fn from(tag: capnp::NotInSchema) -> Self {
        Self::UnknownKind { tag: tag.0 }
    }
}

/// In one segment, however large it is. C++ and Python read a message's further segments from the socket only when they
/// are touched: a client that takes the next message before it has done so has lost its place in the stream.
fn framed(message: &Builder<HeapAllocator>) -> Vec<u8> {
    in_one_segment(message).unwrap_or_else(|_| capnp::serialize::write_message_to_words(message))
}

fn in_one_segment(message: &Builder<HeapAllocator>) -> capnp::Result<Vec<u8>> {
    let bytes: usize = message.get_segments_for_output().iter().map(|segment| segment.len()).sum();
    // What was in several segments needs no more in one: the pointers between them go.
    let words = u32::try_from(bytes / 8 + 1).map_err(|_| capnp::Error::failed("too large for a segment".to_owned()))?;
    if message.get_segments_for_output().len() == 1 {
        return Ok(capnp::serialize::write_message_to_words(message));
    }
    let mut whole = Builder::new(HeapAllocator::new().first_segment_words(words));
    whole.set_root(message.get_root_as_reader::<capnp::any_pointer::Reader<'_>>()?)?;
    Ok(capnp::serialize::write_message_to_words(&whole))
}

fn texts(list: capnp::text_list::Reader<'_>) -> capnp::Result<Vec<String>> {
    list.iter().map(|item| text(item?)).collect()
}

fn set_texts(mut list: capnp::text_list::Builder<'_>, texts: &[String]) {
    for (index, item) in (0u32..).zip(texts) {
        list.set(index, item.as_str());
    }
}

fn list_len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

// ---------------------------------------------------------------------------------------------- client to server

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    Hello(Hello),
    Subscribe(Box<Subscribe>),
    Ack { epoch: u64, sequence: u64 },
    Rollback,
    Credit(u64),
    Ping(u64),
    Unsubscribe,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hello {
    pub protocol_version: u16,
    pub client_name: String,
    pub user: String,
    pub password: String,
    pub highest_epoch: u64,
}

/// Without the password: messages are logged.
impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("protocol_version", &self.protocol_version)
            .field("client_name", &self.client_name)
            .field("user", &self.user)
            .field("highest_epoch", &self.highest_epoch)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    pub destination: String,
    /// Empty: an ephemeral cursor.
    pub subscription: String,
    pub filter: Filter,
    pub start: Start,
    pub order: Order,
    pub credit_bytes: u64,
    pub compiled: Vec<CompiledField>,
    pub standby: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub columns: Vec<ColumnFilter>,
    pub kinds: Vec<Op>,
    pub ddl: bool,
}

impl Default for Filter {
    /// Everything.
    fn default() -> Self {
        Self { include: Vec::new(), exclude: Vec::new(), columns: Vec::new(), kinds: Vec::new(), ddl: true }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFilter {
    pub tables: String,
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Resume,
    Token(Vec<u8>),
    Earliest,
    Latest,
    GtidSet(String),
    File { file: String, offset: u64 },
    TimestampUs(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledField {
    pub table: String,
    pub field: String,
    pub ordinal: u16,
    pub type_name: String,
}

impl ClientMessage {
    pub fn encode(&self) -> Vec<u8> {
        let mut message = capnp::message::Builder::new_default();
        let mut root = message.init_root::<client_message::Builder<'_>>();
        match self {
            Self::Hello(hello) => {
                let mut builder = root.init_hello();
                builder.set_protocol_version(hello.protocol_version);
                builder.set_client_name(hello.client_name.as_str());
                builder.set_user(hello.user.as_str());
                builder.set_password(hello.password.as_str());
                builder.set_highest_epoch(hello.highest_epoch);
            }
            Self::Subscribe(subscribe) => subscribe.write(root.init_subscribe()),
            Self::Ack { epoch, sequence } => {
                let mut builder = root.init_ack();
                builder.set_epoch(*epoch);
                builder.set_sequence(*sequence);
            }
            Self::Rollback => root.set_rollback(()),
            Self::Credit(bytes) => root.set_credit(*bytes),
            Self::Ping(number) => root.set_ping(*number),
            Self::Unsubscribe => root.set_unsubscribe(()),
        }
        framed(&message)
    }

    /// # Errors
    /// Where the message is damaged, or of a later protocol.
    pub fn decode(reader: client_message::Reader<'_>) -> Result<Self, MessageError> {
        use client_message::Which;
        Ok(match reader.which()? {
            Which::Hello(hello) => {
                let hello = hello?;
                Self::Hello(Hello {
                    protocol_version: hello.get_protocol_version(),
                    client_name: text(hello.get_client_name()?)?,
                    user: text(hello.get_user()?)?,
                    password: text(hello.get_password()?)?,
                    highest_epoch: hello.get_highest_epoch(),
                })
            }
            Which::Subscribe(subscribe) => Self::Subscribe(Box::new(Subscribe::read(subscribe?)?)),
            Which::Ack(ack) => {
                let ack = ack?;
                Self::Ack { epoch: ack.get_epoch(), sequence: ack.get_sequence() }
            }
            Which::Rollback(()) => Self::Rollback,
            Which::Credit(bytes) => Self::Credit(bytes),
            Which::Ping(number) => Self::Ping(number),
            Which::Unsubscribe(()) => Self::Unsubscribe,
        })
    }
}

impl Subscribe {
    fn write(&self, mut builder: subscribe::Builder<'_>) {
        builder.set_destination(self.destination.as_str());
        builder.set_subscription(self.subscription.as_str());
        self.filter.write(builder.reborrow().init_filter());
        self.start.write(builder.reborrow().init_start());
        builder.set_order(self.order);
        builder.set_credit_bytes(self.credit_bytes);
        builder.set_standby(self.standby);
        let mut compiled = builder.init_compiled(list_len(&self.compiled));
        for (index, field) in (0u32..).zip(&self.compiled) {
            let mut builder = compiled.reborrow().get(index);
            builder.set_table(field.table.as_str());
            builder.set_field(field.field.as_str());
            builder.set_ordinal(field.ordinal);
            builder.set_type(field.type_name.as_str());
        }
    }

    fn read(reader: subscribe::Reader<'_>) -> Result<Self, MessageError> {
        let mut compiled = Vec::new();
        for field in reader.get_compiled()? {
            compiled.push(CompiledField {
                table: text(field.get_table()?)?,
                field: text(field.get_field()?)?,
                ordinal: field.get_ordinal(),
                type_name: text(field.get_type()?)?,
            });
        }
        Ok(Self {
            destination: text(reader.get_destination()?)?,
            subscription: text(reader.get_subscription()?)?,
            filter: Filter::read(reader.get_filter()?)?,
            start: Start::read(reader.get_start()?)?,
            order: known("order", reader.get_order())?,
            credit_bytes: reader.get_credit_bytes(),
            compiled,
            standby: reader.get_standby(),
        })
    }
}

/// An enum's value, where this version of the protocol has it.
fn known<T>(field: &'static str, value: Result<T, capnp::NotInSchema>) -> Result<T, MessageError> {
    value.map_err(|unknown| MessageError::UnknownValue { field, value: unknown.0 })
}

impl Filter {
    fn write(&self, mut builder: filter::Builder<'_>) {
        set_texts(builder.reborrow().init_include(list_len(&self.include)), &self.include);
        set_texts(builder.reborrow().init_exclude(list_len(&self.exclude)), &self.exclude);
        let mut columns = builder.reborrow().init_columns(list_len(&self.columns));
        for (index, column) in (0u32..).zip(&self.columns) {
            let mut builder = columns.reborrow().get(index);
            builder.set_tables(column.tables.as_str());
            set_texts(builder.init_columns(list_len(&column.columns)), &column.columns);
        }
        let mut kinds = builder.reborrow().init_kinds(list_len(&self.kinds));
        for (index, &kind) in (0u32..).zip(&self.kinds) {
            kinds.set(index, kind);
        }
        builder.set_ddl(self.ddl);
    }

    fn read(reader: filter::Reader<'_>) -> Result<Self, MessageError> {
        let mut columns = Vec::new();
        for column in reader.get_columns()? {
            columns.push(ColumnFilter { tables: text(column.get_tables()?)?, columns: texts(column.get_columns()?)? });
        }
        Ok(Self {
            include: texts(reader.get_include()?)?,
            exclude: texts(reader.get_exclude()?)?,
            columns,
            kinds: reader.get_kinds()?.iter().map(|kind| known("kinds", kind)).collect::<Result<_, _>>()?,
            ddl: reader.get_ddl(),
        })
    }
}

impl Start {
    fn write(&self, mut builder: start::Builder<'_>) {
        match self {
            Self::Resume => builder.set_resume(()),
            Self::Token(token) => builder.set_token(token),
            Self::Earliest => builder.set_earliest(()),
            Self::Latest => builder.set_latest(()),
            Self::GtidSet(set) => builder.set_gtid_set(set.as_str()),
            Self::File { file, offset } => {
                let mut builder = builder.init_file();
                builder.set_file(file.as_str());
                builder.set_offset(*offset);
            }
            Self::TimestampUs(time_us) => builder.set_timestamp_us(*time_us),
        }
    }

    fn read(reader: start::Reader<'_>) -> Result<Self, MessageError> {
        use start::Which;
        Ok(match reader.which()? {
            Which::Resume(()) => Self::Resume,
            Which::Token(token) => Self::Token(token?.to_vec()),
            Which::Earliest(()) => Self::Earliest,
            Which::Latest(()) => Self::Latest,
            Which::GtidSet(set) => Self::GtidSet(text(set?)?),
            Which::File(file) => {
                let file = file?;
                Self::File { file: text(file.get_file()?)?, offset: file.get_offset() }
            }
            Which::TimestampUs(time_us) => Self::TimestampUs(time_us),
        })
    }
}

// ---------------------------------------------------------------------------------------------- server to client

/// What a server sends, but for batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMessage {
    Welcome {
        protocol_version: u16,
        server_version: String,
        server_id: String,
    },
    Subscribed {
        epoch: u64,
        position: Position,
        token: Vec<u8>,
    },
    Layout(Box<Layout>),
    Acked {
        epoch: u64,
        sequence: u64,
        position: Position,
    },
    SchemaBreak {
        table: String,
        field: String,
        ordinal: u16,
        reason: String,
    },
    Heartbeat(Box<Heartbeat>),
    Error(ErrorMessage),
    Pong(u64),
    Redirect(Vec<String>),
    Waiting,
    RolledBack(Position),
    /// For people: nothing ends by it.
    Notice {
        code: String,
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub sequence: u64,
    /// Set when nothing is outstanding.
    pub position: Option<Position>,
    pub server_time_us: i64,
    /// -1: not known.
    pub source_lag_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorMessage {
    /// Stable, for programs; docs/protocol.md lists them.
    pub code: String,
    pub message: String,
    pub retry: bool,
}

impl ServerMessage {
    pub fn encode(&self) -> Vec<u8> {
        let mut message = capnp::message::Builder::new_default();
        let mut root = message.init_root::<server_message::Builder<'_>>();
        match self {
            Self::Welcome { protocol_version, server_version, server_id } => {
                let mut builder = root.init_welcome();
                builder.set_protocol_version(*protocol_version);
                builder.set_server_version(server_version.as_str());
                builder.set_server_id(server_id.as_str());
            }
            Self::Subscribed { epoch, position, token } => {
                let mut builder = root.init_subscribed();
                builder.set_epoch(*epoch);
                position.write(builder.reborrow().init_position());
                builder.set_token(token);
            }
            Self::Layout(layout) => layout.write(root.init_layout()),
            Self::Acked { epoch, sequence, position } => {
                let mut builder = root.init_acked();
                builder.set_epoch(*epoch);
                builder.set_sequence(*sequence);
                position.write(builder.init_position());
            }
            Self::SchemaBreak { table, field, ordinal, reason } => {
                let mut builder = root.init_schema_break();
                builder.set_table(table.as_str());
                builder.set_field(field.as_str());
                builder.set_ordinal(*ordinal);
                builder.set_reason(reason.as_str());
            }
            Self::Heartbeat(heartbeat) => {
                let mut builder = root.init_heartbeat();
                builder.set_sequence(heartbeat.sequence);
                builder.set_server_time_us(heartbeat.server_time_us);
                builder.set_source_lag_us(heartbeat.source_lag_us);
                if let Some(position) = &heartbeat.position {
                    position.write(builder.init_position());
                }
            }
            Self::Error(error) => {
                let mut builder = root.init_error();
                builder.set_code(error.code.as_str());
                builder.set_message(error.message.as_str());
                builder.set_retry(error.retry);
            }
            Self::Pong(number) => root.set_pong(*number),
            Self::Redirect(addresses) => set_texts(root.init_redirect(list_len(addresses)), addresses),
            Self::Waiting => root.set_waiting(()),
            Self::RolledBack(position) => position.write(root.init_rolled_back()),
            Self::Notice { code, message } => {
                let mut builder = root.init_notice();
                builder.set_code(code.as_str());
                builder.set_message(message.as_str());
            }
        }
        framed(&message)
    }

    /// `None` for a batch, which is read in place.
    ///
    /// # Errors
    /// Where the message is damaged, or of a later protocol.
    pub fn decode(reader: server_message::Reader<'_>) -> Result<Option<Self>, MessageError> {
        use server_message::Which;
        Ok(Some(match reader.which()? {
            Which::Batch(_) => return Ok(None),
            Which::Welcome(welcome) => {
                let welcome = welcome?;
                Self::Welcome {
                    protocol_version: welcome.get_protocol_version(),
                    server_version: text(welcome.get_server_version()?)?,
                    server_id: text(welcome.get_server_id()?)?,
                }
            }
            Which::Subscribed(subscribed) => {
                let subscribed = subscribed?;
                Self::Subscribed {
                    epoch: subscribed.get_epoch(),
                    position: Position::read(subscribed.get_position()?)?,
                    token: subscribed.get_token()?.to_vec(),
                }
            }
            Which::Layout(layout) => Self::Layout(Box::new(Layout::read(layout?)?)),
            Which::Acked(acked) => {
                let acked = acked?;
                Self::Acked {
                    epoch: acked.get_epoch(),
                    sequence: acked.get_sequence(),
                    position: Position::read(acked.get_position()?)?,
                }
            }
            Which::SchemaBreak(broken) => {
                let broken = broken?;
                Self::SchemaBreak {
                    table: text(broken.get_table()?)?,
                    field: text(broken.get_field()?)?,
                    ordinal: broken.get_ordinal(),
                    reason: text(broken.get_reason()?)?,
                }
            }
            Which::Heartbeat(heartbeat) => {
                let heartbeat = heartbeat?;
                Self::Heartbeat(Box::new(Heartbeat {
                    sequence: heartbeat.get_sequence(),
                    position: match heartbeat.has_position() {
                        true => Some(Position::read(heartbeat.get_position()?)?),
                        false => None,
                    },
                    server_time_us: heartbeat.get_server_time_us(),
                    source_lag_us: heartbeat.get_source_lag_us(),
                }))
            }
            Which::Error(error) => {
                let error = error?;
                Self::Error(ErrorMessage {
                    code: text(error.get_code()?)?,
                    message: text(error.get_message()?)?,
                    retry: error.get_retry(),
                })
            }
            Which::Pong(number) => Self::Pong(number),
            Which::Redirect(addresses) => Self::Redirect(texts(addresses?)?),
            Which::Waiting(()) => Self::Waiting,
            Which::RolledBack(position) => Self::RolledBack(Position::read(position?)?),
            Which::Notice(notice) => {
                let notice = notice?;
                Self::Notice { code: text(notice.get_code()?)?, message: text(notice.get_message()?)? }
            }
        }))
    }
}

/// The framed `Layout` message, without a copy of the layout.
pub fn encode_layout(layout: &Layout) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    layout.write(message.init_root::<server_message::Builder<'_>>().init_layout());
    framed(&message)
}
