//! Everything of one worker core that clients see: connections, their subscriptions, and the hubs these read from.
//!
//! A machine without sockets: the driver brings messages, batches and the time, and takes messages to send and
//! [`HomeEffect`]s to carry out.

mod requests;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use millstream_codec::wire::layout::Layout;
use millstream_codec::wire::messages::{ErrorMessage, ServerMessage, Start as StartRequest, encode_layout};

use crate::bridge::Doorbell;
use crate::engine::batch::Sequence;
use crate::engine::compiled;
use crate::engine::hub::{Hub, HubLimits};
use crate::engine::interest::InterestSet;
use crate::engine::shared::{Claim, Destination, FilterCheck};
use crate::engine::view::LogEntry;
use crate::filter::Filter;
use crate::id_map::IdMap;
use crate::limits;
use crate::metrics::{SharedCoreMetrics, StageHistograms};
use crate::position::Position;
use crate::source::start::Start;

/// What the driver is to do.
#[derive(Debug)]
pub enum HomeEffect {
    /// The connection may have something to send.
    Wake {
        connection: u64,
    },
    /// Check the password away from this core, and answer by `verified`.
    Verify {
        connection: u64,
        user: String,
        password: String,
    },
    StartCatchUp {
        destination: usize,
        subscription: u64,
        start: Start,
        first_sequence: Sequence,
        interest: Arc<InterestSet>,
    },
    StopCatchUp {
        destination: usize,
        subscription: u64,
    },
    /// The catch-up may go on: there is room, or the live stream has moved.
    ResumeCatchUp {
        destination: usize,
        subscription: u64,
    },
    /// Make it durable, and answer by `cursor_saved`.
    SaveCursor {
        ticket: u64,
        destination: usize,
        name: Arc<str>,
        position: Arc<Position>,
        sequence: Sequence,
    },
}

/// What became of a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
    /// Too many logins at once; the same one may succeed later.
    Busy,
}

/// Bytes for one connection's socket, in this order, and what to report when they are written.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Small messages: control, and layouts that the batch needs.
    pub head: Vec<u8>,
    pub batch: Option<Arc<LogEntry>>,
}

impl Outgoing {
    pub fn batch_bytes(&self) -> Bytes {
        self.batch.as_ref().map(|entry| entry.bytes.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub struct HomeConfig {
    pub core: u16,
    pub server_id: String,
    pub connections_max: usize,
    /// Whether a name and a password are asked for.
    pub authenticate: bool,
    pub hub: HubLimits,
}

enum State {
    /// Nothing but Hello is understood.
    New,
    /// Its password is being checked.
    Verifying,
    Ready,
    /// Another connection has the subscription.
    Standby(Box<Request>),
    Subscribed {
        destination: usize,
        subscription: u64,
    },
    /// What is queued goes out, then the connection is closed.
    Closing,
}

/// A cursor on its way to the store; its subscription may be gone when the answer comes.
struct PendingSave {
    destination: usize,
    subscription: u64,
    name: Arc<str>,
    position: Arc<Position>,
}

/// A Subscribe that was understood.
struct Request {
    destination: usize,
    name: Option<Arc<str>>,
    filter: Arc<Filter>,
    start: StartRequest,
    credit_bytes: i64,
}

struct Connection {
    peer: String,
    client: String,
    state: State,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    last_sent_us: i64,
    compiled: Vec<compiled::CompiledField>,
    /// Asked, and not answered yet.
    filter_check: Option<FilterCheck>,
}

/// Layout messages as they were sent before, by destination and layout id.
#[derive(Default)]
struct LayoutMessages {
    encoded: IdMap<u64, Box<[u8]>>,
    bytes: usize,
}

impl LayoutMessages {
    fn add(&mut self, destination: usize, layout: &Layout, out: &mut Vec<u8>) {
        let key = (destination as u64) << 32 | u64::from(layout.id);
        if let Some(message) = self.encoded.get(&key) {
            out.extend_from_slice(message);
            return;
        }
        let message = encode_layout(&layout.described());
        out.extend_from_slice(&message);
        if self.bytes + message.len() > limits::LAYOUT_MESSAGES_BYTES_MAX {
            *self = Self::default();
        }
        self.bytes += message.len();
        self.encoded.insert(key, message.into());
    }
}

pub struct Home {
    config: HomeConfig,
    hubs: Vec<Hub>,
    connections: HashMap<u64, Connection>,
    next_id: u64,
    /// By ticket; answered in the order in which they were asked for.
    saves: HashMap<u64, PendingSave>,
    layouts: LayoutMessages,
    effects: VecDeque<HomeEffect>,
    pub histograms: StageHistograms,
    metrics: SharedCoreMetrics,
    /// Rung by other cores: a name became free.
    doorbell: Doorbell,
}

impl Home {
    pub fn new(
        config: HomeConfig,
        destinations: Vec<Arc<Destination>>,
        metrics: SharedCoreMetrics,
        doorbell: Doorbell,
    ) -> Self {
        metrics.view_log_bytes_max.set(config.hub.view_log_bytes_max as u64);
        Home {
            hubs: destinations.into_iter().map(|destination| Hub::new(destination, config.hub.clone())).collect(),
            config,
            connections: HashMap::new(),
            next_id: 1,
            saves: HashMap::new(),
            layouts: LayoutMessages::default(),
            effects: VecDeque::new(),
            histograms: StageHistograms::default(),
            metrics,
            doorbell,
        }
    }

    pub fn next_effect(&mut self) -> Option<HomeEffect> {
        self.effects.pop_front()
    }

    fn claim(&self, connection: u64) -> Claim {
        Claim { core: self.config.core, connection }
    }

    // -------------------------------------------------------------------------------------------------- connections

    /// A client has connected; `None`: there are too many, and it is to be closed after these bytes.
    pub fn connect(&mut self, peer: String, now_us: i64) -> Result<u64, Vec<u8>> {
        if self.connections.len() >= self.config.connections_max {
            self.metrics.connections_refused.add(1);
            let message = format!(
                "this server core serves {} connections already (engine.connections_max)",
                self.config.connections_max
            );
            return Err(error("too_many_connections", &message, true));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.connections.insert(
            id,
            Connection {
                peer,
                client: String::new(),
                state: State::New,
                queue: VecDeque::new(),
                queued_bytes: 0,
                last_sent_us: now_us,
                compiled: Vec::new(),
                filter_check: None,
            },
        );
        self.metrics.connections.set(self.connections.len() as u64);
        Ok(id)
    }

    pub fn disconnect(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.metrics.connections.set(self.connections.len() as u64);
        if let Some(check) = &connection.filter_check {
            // Which destination's it was is not worth keeping.
            self.hubs.iter().for_each(|hub| hub.destination.filter_checks.forget(check));
        }
        match connection.state {
            State::Subscribed { destination, subscription } => self.unsubscribe(destination, subscription),
            State::Standby(request) => {
                if let (Some(name), Some(hub)) = (&request.name, self.hubs.get(request.destination)) {
                    hub.destination.release(name, Claim { core: self.config.core, connection: id });
                }
            }
            State::New | State::Verifying | State::Ready | State::Closing => {}
        }
    }

    fn unsubscribe(&mut self, destination: usize, id: u64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        if let Some(mut subscription) = hub.unsubscribe(id)
            && let Some(name) = subscription.name.clone()
        {
            hub.destination.release(&name, Claim { core: self.config.core, connection: subscription.connection });
            // What was acknowledged is saved, also when nobody waits for the answer any more.
            if let Some((position, sequence)) = subscription.take_last_save() {
                self.ask_to_save(destination, id, name, position, sequence);
            }
        }
        self.hub_effects(destination);
    }

    fn queue(&mut self, id: u64, message: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.queued_bytes += message.len();
            connection.queue.push_back(message);
            self.effects.push_back(HomeEffect::Wake { connection: id });
        }
    }

    /// Tells the client why, and closes once that is sent.
    pub fn fail(&mut self, id: u64, code: &str, message: &str, retry: bool) {
        self.queue(id, error(code, message, retry));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match std::mem::replace(&mut connection.state, State::Closing) {
            State::Subscribed { destination, subscription } => self.unsubscribe(destination, subscription),
            State::Standby(request) => {
                if let (Some(name), Some(hub)) = (&request.name, self.hubs.get(request.destination)) {
                    hub.destination.release(name, Claim { core: self.config.core, connection: id });
                }
            }
            State::New | State::Verifying | State::Ready | State::Closing => {}
        }
    }

    /// Whether the connection is to be closed once nothing is left to send.
    pub fn is_closing(&self, id: u64) -> bool {
        self.connections.get(&id).is_none_or(|connection| matches!(connection.state, State::Closing))
    }

    /// Whether the driver may read more from it: a client that does not take its answers is not listened to.
    pub fn may_receive(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| {
            connection.queued_bytes < limits::CONTROL_QUEUE_BYTES_MAX && !matches!(connection.state, State::Closing)
        })
    }
}

fn error(code: &str, message: &str, retry: bool) -> Vec<u8> {
    ServerMessage::Error(ErrorMessage { code: code.to_owned(), message: message.to_owned(), retry }).encode()
}
