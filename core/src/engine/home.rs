//! Everything of one worker core that clients see: connections, their subscriptions, and the hubs these read from.
//!
//! A machine without sockets: the driver brings messages, batches and the time, and takes messages to send and
//! [`HomeEffect`]s to carry out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use millstream_codec::wire::messages::{
    ClientMessage, ErrorMessage, Heartbeat, Hello, PROTOCOL_VERSION, ServerMessage, Start as StartRequest, Subscribe, encode_layout,
};
use millstream_codec::wire::position::ResumeToken;

use crate::bridge::{CoreStatus, Doorbell, SubscriptionStatus};
use crate::engine::compiled;
use crate::engine::hub::{Begin, CatchUpStep, Hub, HubEffect, HubLimits};
use crate::engine::interest::InterestSet;
use crate::engine::shard::ShardOutput;
use crate::engine::shared::{Claim, Claimed, Destination};
use crate::engine::subscription::Subscription;
use crate::engine::batch::Sequence;
use crate::engine::view::LogEntry;
use crate::filter::Filter;
use crate::limits;
use crate::metrics::{SharedCoreMetrics, Stage, StageHistograms};
use crate::position::Position;
use crate::source::start::Start;

/// What the driver is to do.
#[derive(Debug)]
pub enum HomeEffect {
    /// The connection may have something to send.
    Wake { connection: u64 },
    /// Check the password away from this core, and answer by `verified`.
    Verify { connection: u64, user: String, password: String },
    StartCatchUp {
        destination: usize,
        subscription: u64,
        start: Start,
        first_sequence: Sequence,
        interest: Arc<InterestSet>,
    },
    StopCatchUp { destination: usize, subscription: u64 },
    /// The catch-up may go on: there is room, or the live stream has moved.
    ResumeCatchUp { destination: usize, subscription: u64 },
    /// Make it durable, and answer by `cursor_saved`.
    SaveCursor { ticket: u64, destination: usize, name: Arc<str>, position: Arc<Position>, sequence: Sequence },
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
    Subscribed { destination: usize, subscription: u64 },
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
}

pub struct Home {
    config: HomeConfig,
    hubs: Vec<Hub>,
    connections: HashMap<u64, Connection>,
    next_id: u64,
    /// By ticket; answered in the order in which they were asked for.
    saves: HashMap<u64, PendingSave>,
    /// Encoded Layout messages, by destination and layout id.
    layouts: HashMap<(usize, u32), Arc<[u8]>>,
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
            layouts: HashMap::new(),
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
            },
        );
        self.metrics.connections.set(self.connections.len() as u64);
        Ok(id)
    }

    pub fn disconnect(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.metrics.connections.set(self.connections.len() as u64);
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

    /// One message from a client.
    pub fn receive(&mut self, id: u64, message: ClientMessage, now_us: i64) {
        let Some(connection) = self.connections.get(&id) else { return };
        match (&connection.state, message) {
            (State::Closing, _) => {}
            (State::New, ClientMessage::Hello(hello)) => self.hello(id, hello),
            (State::New, _) => self.violation(id, "the first message must be Hello"),
            (_, ClientMessage::Hello(_)) => self.violation(id, "Hello came twice"),
            (_, ClientMessage::Ping(number)) => self.queue(id, ServerMessage::Pong(number).encode()),
            (_, ClientMessage::Unsubscribe) => {
                if let Some(connection) = self.connections.get_mut(&id)
                    && let State::Subscribed { destination, subscription } =
                        std::mem::replace(&mut connection.state, State::Closing)
                {
                    self.unsubscribe(destination, subscription);
                }
                self.effects.push_back(HomeEffect::Wake { connection: id });
            }
            (State::Ready, ClientMessage::Subscribe(request)) => self.subscribe(id, *request),
            (State::Verifying | State::Ready, _) => self.violation(id, "Subscribe must come before it"),
            (State::Standby(_), ClientMessage::Credit(bytes)) => {
                if let Some(Connection { state: State::Standby(request), .. }) = self.connections.get_mut(&id) {
                    request.credit_bytes = request.credit_bytes.saturating_add_unsigned(bytes);
                }
            }
            (State::Standby(_), _) => self.violation(id, "the subscription is still held by another connection"),
            (&State::Subscribed { destination, subscription }, message) => {
                self.subscribed_message(id, destination, subscription, message, now_us);
            }
        }
    }

    fn violation(&mut self, id: u64, what: &str) {
        self.metrics.protocol_errors.add(1);
        self.fail(id, "protocol_error", &format!("protocol error: {what}"), false);
    }

    /// The bytes received are no message of the protocol.
    pub fn malformed(&mut self, id: u64, what: &str) {
        self.violation(id, what);
    }

    fn hello(&mut self, id: u64, hello: Hello) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if hello.protocol_version != PROTOCOL_VERSION {
            let message = format!(
                "this server speaks protocol version {}, the client asked for {}",
                PROTOCOL_VERSION, hello.protocol_version
            );
            self.fail(id, "protocol_version", &message, false);
            return;
        }
        connection.client = hello.client_name.chars().take(limits::CLIENT_NAME_CHARS_MAX).collect();
        if let Some(hub) = self.hubs.iter().find(|hub| hub.destination.epoch < hello.highest_epoch) {
            let message = format!(
                "the client has seen epoch {}, this server leads '{}' with epoch {}: it is not the leader any more",
                hello.highest_epoch, hub.destination.name, hub.destination.epoch
            );
            self.fail(id, "stale_epoch", &message, true);
            return;
        }
        if !self.config.authenticate {
            self.verified(id, Verdict::Accepted);
            return;
        }
        connection.state = State::Verifying;
        self.effects.push_back(HomeEffect::Verify { connection: id, user: hello.user, password: hello.password });
    }

    /// The answer to `HomeEffect::Verify`.
    pub fn verified(&mut self, id: u64, verdict: Verdict) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !matches!(connection.state, State::New | State::Verifying) {
            return;
        }
        match verdict {
            Verdict::Accepted => {}
            Verdict::Refused => {
                let message = "wrong user or password; the server's users are those of [clients] in its configuration";
                self.fail(id, "access_denied", message, false);
                return;
            }
            Verdict::Busy => {
                self.fail(id, "busy", "too many logins at once; try again", true);
                return;
            }
        }
        connection.state = State::Ready;
        let welcome = ServerMessage::Welcome {
            protocol_version: PROTOCOL_VERSION,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id: self.config.server_id.clone(),
        };
        self.queue(id, welcome.encode());
    }

    // ------------------------------------------------------------------------------------------------ subscriptions

    fn subscribe(&mut self, id: u64, request: Subscribe) {
        let Some(destination) =
            self.hubs.iter().position(|hub| *hub.destination.name == *request.destination)
        else {
            let known: Vec<&str> = self.hubs.iter().map(|hub| &*hub.destination.name).collect();
            let message =
                format!("there is no destination '{}'; this server has: {}", request.destination, known.join(", "));
            self.fail(id, "unknown_destination", &message, false);
            return;
        };
        let Some(shared) = self.hubs.get(destination).map(|hub| hub.destination.clone()) else { return };
        let filter = match Filter::compile(&request.filter.into()).map(|filter| filter.restricted(&shared.allowed)) {
            Ok(filter) => Arc::new(filter),
            Err(error) => {
                self.fail(id, "bad_filter", &error.to_string(), false);
                return;
            }
        };
        let name: Option<Arc<str>> = (!request.subscription.is_empty()).then(|| request.subscription.as_str().into());
        if let Some(name) = &name
            && (name.chars().count() > limits::SUBSCRIPTION_NAME_CHARS_MAX || name.chars().any(char::is_control))
        {
            let message = format!(
                "a subscription's name has at most {} characters, none of them a control character",
                limits::SUBSCRIPTION_NAME_CHARS_MAX
            );
            self.fail(id, "bad_subscription", &message, false);
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.compiled = request.compiled;
        }
        let credit_bytes = i64::try_from(request.credit_bytes).unwrap_or(i64::MAX);
        let request_standby = request.standby;
        let request = Request { destination, name, filter, start: request.start, credit_bytes };
        let Some(name) = &request.name else {
            self.begin(id, request);
            return;
        };
        match shared.claim(name, self.claim(id), Some(&self.doorbell)) {
            Claimed::Held => self.begin(id, request),
            Claimed::Busy if !request_standby => {
                shared.release(name, self.claim(id));
                let message = format!("subscription '{name}' is held by another connection");
                self.fail(id, "subscription_busy", &message, true);
            }
            Claimed::Busy => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.state = State::Standby(Box::new(request));
                }
                self.queue(id, ServerMessage::Waiting.encode());
            }
        }
    }

    /// A name may have become free: those that wait for one ask again.
    pub fn retry_claims(&mut self) {
        let waiting: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| matches!(connection.state, State::Standby(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let claim = self.claim(id);
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let State::Standby(request) = &connection.state else { continue };
            let (Some(name), Some(hub)) = (&request.name, self.hubs.get(request.destination)) else { continue };
            if hub.destination.claim(name, claim, Some(&self.doorbell)) == Claimed::Held
                && let State::Standby(request) = std::mem::replace(&mut connection.state, State::Ready)
            {
                self.begin(id, *request);
            }
        }
    }

    fn begin(&mut self, id: u64, request: Request) {
        let Request { destination, name, filter, start, credit_bytes } = request;
        let claim = self.claim(id);
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let begin = match begin_of(&hub.destination, name.as_ref(), start) {
            Ok(begin) => begin,
            Err(message) => {
                if let Some(name) = &name {
                    hub.destination.release(name, claim);
                }
                self.fail(id, "bad_start", &message, false);
                return;
            }
        };
        let subscription_id = self.next_id;
        self.next_id += 1;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Subscribed { destination, subscription: subscription_id };
        }
        let live_view = crate::engine::interest::ViewId(0);
        let subscription = Subscription::new(subscription_id, name, id, filter, live_view, credit_bytes);
        hub.subscribe(subscription, begin);
        self.hub_effects(destination);
        self.count_subscriptions();
    }

    fn count_subscriptions(&self) {
        self.metrics.subscriptions.set(self.hubs.iter().map(|hub| hub.subscriptions().count() as u64).sum());
    }

    fn subscribed_message(&mut self, id: u64, destination: usize, subscription: u64, message: ClientMessage, now_us: i64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let own_epoch = hub.destination.epoch;
        match message {
            ClientMessage::Credit(bytes) => {
                if let Some(subscription) = hub.subscription(subscription) {
                    subscription.credit_bytes = subscription.credit_bytes.saturating_add_unsigned(bytes);
                }
                self.effects.push_back(HomeEffect::Wake { connection: id });
            }
            ClientMessage::Ack { epoch, sequence } => {
                if epoch != own_epoch {
                    let message = format!("the ack carries epoch {epoch}, this server's is {own_epoch}: reconnect");
                    self.fail(id, "stale_epoch", &message, true);
                    return;
                }
                let Some(entry) = hub.subscription(subscription) else { return };
                let histograms = &mut self.histograms;
                let acked = entry.ack(sequence, |sent_us, count| {
                    histograms.record(Stage::SentToAcked, now_us - sent_us, count);
                });
                self.metrics.acks.add(1);
                if let Err(error) = acked {
                    self.metrics.protocol_errors.add(1);
                    self.fail(id, "bad_ack", &error.to_string(), false);
                    return;
                }
                self.save(destination, subscription);
                self.effects.push_back(HomeEffect::Wake { connection: id });
            }
            ClientMessage::Rollback => {
                self.metrics.rollbacks.add(1);
                if let Some(position) = hub.roll_back(subscription) {
                    self.queue(id, ServerMessage::RolledBack(position.to_wire()).encode());
                }
                self.hub_effects(destination);
            }
            ClientMessage::Subscribe(_) => self.violation(id, "Subscribe came twice on one connection"),
            ClientMessage::Hello(_) | ClientMessage::Ping(_) | ClientMessage::Unsubscribe => {}
        }
    }

    /// Hands the newest cursor of a named subscription on to be made durable; an ephemeral one is told at once.
    fn save(&mut self, destination: usize, id: u64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let epoch = hub.destination.epoch;
        let Some(subscription) = hub.subscription(id) else { return };
        match subscription.name.clone() {
            Some(name) => {
                if let Some((position, sequence)) = subscription.take_save() {
                    self.ask_to_save(destination, id, name, position, sequence);
                }
            }
            None => {
                let (connection, sequence) = (subscription.connection, subscription.acked_sequence);
                if let Some(position) = subscription.cursor() {
                    let acked = ServerMessage::Acked { epoch, sequence, position: position.to_wire() };
                    self.queue(connection, acked.encode());
                }
            }
        }
    }

    fn ask_to_save(&mut self, destination: usize, subscription: u64, name: Arc<str>, position: Arc<Position>, sequence: Sequence) {
        let ticket = self.next_id;
        self.next_id += 1;
        let pending = PendingSave { destination, subscription, name: name.clone(), position: position.clone() };
        self.saves.insert(ticket, pending);
        self.effects.push_back(HomeEffect::SaveCursor { ticket, destination, name, position, sequence });
    }

    /// The answer to `HomeEffect::SaveCursor`.
    pub fn cursor_saved(&mut self, ticket: u64, success: bool) {
        let Some(save) = self.saves.remove(&ticket) else { return };
        let Some(hub) = self.hubs.get_mut(save.destination) else { return };
        if success {
            hub.destination.set_durable(&save.name, save.position);
        }
        let epoch = hub.destination.epoch;
        let Some(subscription) = hub.subscription(save.subscription) else { return };
        let connection = subscription.connection;
        let saved = subscription.saved(success);
        if !subscription.announced {
            self.begun(save.destination, save.subscription);
            return;
        }
        if let Some((position, sequence)) = saved {
            let acked = ServerMessage::Acked { epoch, sequence, position: position.to_wire() };
            self.queue(connection, acked.encode());
        }
        if success {
            self.save(save.destination, save.subscription);
        }
    }

    // ------------------------------------------------------------------------------------------------------ streams

    pub fn live_started(&mut self, destination: usize, tail: Arc<Position>, sequence: Sequence) {
        if let Some(hub) = self.hubs.get_mut(destination) {
            hub.live_started(tail, sequence);
        }
    }

    /// One batch of a destination's live stream: one output of each shard. `seal`: no further batch is at hand.
    pub fn live_batch(&mut self, destination: usize, outputs: &[&ShardOutput], seal: bool, now_us: i64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        hub.live_batch(outputs, now_us);
        if let Some(output) = outputs.first() {
            let batch = &output.batch;
            for part in &batch.transactions {
                self.histograms.record(Stage::CommitToReceive, batch.received_us - part.commit_time_us, 1);
            }
            if !batch.transactions.is_empty() {
                let count = batch.transactions.len() as u64;
                self.histograms.record(Stage::ReceiveToEncode, now_us - batch.received_us, count);
            }
        }
        for output in outputs {
            self.metrics.encoded_rows.add(output.rows);
            self.metrics.encoded_bytes.add(output.slab.len() as u64);
        }
        if seal {
            self.seal(destination, now_us);
        }
    }

    pub fn seal(&mut self, destination: usize, now_us: i64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        hub.seal(now_us);
        self.metrics.view_log_bytes.set(hub.log_bytes() as u64);
        let catching_up: Vec<u64> = hub.catching_up();
        for subscription in catching_up {
            self.effects.push_back(HomeEffect::ResumeCatchUp { destination, subscription });
        }
        self.hub_effects(destination);
    }

    pub fn catchup_started(
        &mut self,
        destination: usize,
        id: u64,
        position: Arc<Position>,
        first_sequence: Sequence,
        now_us: i64,
    ) -> CatchUpStep {
        let Some(hub) = self.hubs.get_mut(destination) else { return CatchUpStep::Done };
        let step = hub.catchup_started(id, position, first_sequence, now_us);
        self.metrics.catchups_started.add(1);
        self.hub_effects(destination);
        step
    }

    pub fn catchup_batch(&mut self, destination: usize, id: u64, output: &ShardOutput, now_us: i64) -> CatchUpStep {
        let Some(hub) = self.hubs.get_mut(destination) else { return CatchUpStep::Done };
        let step = hub.catchup_batch(id, output, now_us);
        self.metrics.encoded_rows.add(output.rows);
        self.metrics.encoded_bytes.add(output.slab.len() as u64);
        self.hub_effects(destination);
        step
    }

    pub fn catchup_step(&mut self, destination: usize, id: u64, now_us: i64) -> CatchUpStep {
        let Some(hub) = self.hubs.get_mut(destination) else { return CatchUpStep::Done };
        let step = hub.catchup_step(id, now_us);
        self.hub_effects(destination);
        step
    }

    /// The subscription's own reader ended with an error that needs a person, or its start is gone.
    pub fn catchup_failed(&mut self, destination: usize, id: u64, code: &str, message: &str, retry: bool) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        if let Some(connection) = hub.subscription(id).map(|subscription| subscription.connection) {
            self.fail(connection, code, message, retry);
        }
    }

    /// The live source halted: every subscription of the destination is told and closed.
    pub fn halted(&mut self, destination: usize, reason: &str) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let connections: Vec<u64> = hub.subscriptions().map(|subscription| subscription.connection).collect();
        for connection in connections {
            self.fail(connection, "source_halted", reason, true);
        }
    }

    fn hub_effects(&mut self, destination: usize) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        self.metrics.catchups.set(hub.catchups() as u64);
        for effect in hub.take_effects() {
            match effect {
                HubEffect::StartCatchUp { subscription, start, first_sequence, interest } => {
                    self.effects.push_back(HomeEffect::StartCatchUp { destination, subscription, start, first_sequence, interest });
                }
                HubEffect::StopCatchUp { subscription } => {
                    self.effects.push_back(HomeEffect::StopCatchUp { destination, subscription });
                }
                HubEffect::Ready { subscription } => {
                    if let Some(connection) = self.connection_of(destination, subscription) {
                        self.effects.push_back(HomeEffect::Wake { connection });
                    }
                }
                HubEffect::Begun { subscription } => self.begun(destination, subscription),
            }
        }
    }

    fn connection_of(&mut self, destination: usize, subscription: u64) -> Option<u64> {
        Some(self.hubs.get_mut(destination)?.subscription(subscription)?.connection)
    }

    /// Tells the client where it begins; a new cursor is made durable first.
    fn begun(&mut self, destination: usize, id: u64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let (epoch, name) = (hub.destination.epoch, hub.destination.name.clone());
        let Some(subscription) = hub.subscription(id) else { return };
        if subscription.awaits_first_save() {
            self.save(destination, id);
            return;
        }
        let Some(position) = subscription.cursor().map(Position::to_wire) else { return };
        subscription.announced = true;
        let connection = subscription.connection;
        let token = ResumeToken { destination: name.to_string(), position: position.clone() }.encode();
        self.queue(connection, ServerMessage::Subscribed { epoch, position, token }.encode());
    }

    // ------------------------------------------------------------------------------------------------------ sending

    /// What goes to this connection's socket next.
    pub fn next_outgoing(&mut self, id: u64, now_us: i64) -> Option<Outgoing> {
        let connection = self.connections.get_mut(&id)?;
        let mut outgoing = Outgoing::default();
        while let Some(message) = connection.queue.pop_front() {
            connection.queued_bytes -= message.len();
            outgoing.head.extend_from_slice(&message);
        }
        let subscribed = match connection.state {
            State::Subscribed { destination, subscription } => Some((destination, subscription)),
            _ => None,
        };
        if let Some((destination, subscription)) = subscribed {
            self.add_batch(id, destination, subscription, &mut outgoing, now_us);
            if outgoing.batch.is_none()
                && let Some(subscription) = self.hubs.get_mut(destination).and_then(|hub| hub.subscription(subscription))
            {
                // Clients count every byte that they take; so does their credit.
                subscription.credit_bytes = subscription.credit_bytes.saturating_sub_unsigned(outgoing.head.len() as u64);
            }
        }
        if outgoing.head.is_empty() && outgoing.batch.is_none() {
            return None;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_sent_us = now_us;
        }
        Some(outgoing)
    }

    fn add_batch(&mut self, id: u64, destination: usize, subscription: u64, outgoing: &mut Outgoing, now_us: i64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let Some(entry) = hub.next_entry(subscription) else { return };
        for layout in &entry.layouts {
            let Some(state) = hub.subscription(subscription) else { return };
            if !state.sent_layouts.insert(layout.id) {
                continue;
            }
            if let Some(broken) = self
                .connections
                .get(&id)
                .and_then(|connection| compiled::first_break(&connection.compiled, layout))
            {
                let text = broken.to_string();
                self.queue(id, broken.into_message().encode());
                self.fail(id, "schema_break", &text, false);
                return;
            }
            let message = self.layouts.entry((destination, layout.id)).or_insert_with(|| encode_layout(layout).into());
            outgoing.head.extend_from_slice(message);
        }
        let bytes = outgoing.head.len() + entry.bytes.len();
        let reader_may_go_on = hub.sent(subscription, &entry, bytes, now_us);
        self.metrics.sent_bytes.add(bytes as u64);
        self.metrics.sent_batches.add(1);
        self.metrics.sent_rows.add(entry.rows);
        self.metrics.sent_transactions.add(entry.marks.len() as u64);
        if reader_may_go_on {
            self.effects.push_back(HomeEffect::ResumeCatchUp { destination, subscription });
        }
        outgoing.batch = Some(entry);
        self.hub_effects(destination);
    }

    /// The bytes of a batch are in the kernel's hands.
    pub fn written(&mut self, entry: &LogEntry, now_us: i64) {
        self.histograms.record(Stage::EncodeToSent, now_us - entry.sealed_us, entry.marks.len().max(1) as u64);
    }

    /// About every `limits::TICK_US`: heartbeats, and cursors that follow what was filtered away.
    pub fn tick(&mut self, now_us: i64) {
        let subscribed: Vec<(u64, usize, u64)> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| match connection.state {
                State::Subscribed { destination, subscription } => Some((*id, destination, subscription)),
                _ => None,
            })
            .collect();
        for (id, destination, subscription) in subscribed {
            let Some(hub) = self.hubs.get_mut(destination) else { continue };
            if hub.subscription(subscription).is_some_and(|state| !state.announced && state.has_begun()) {
                self.begun(destination, subscription);
                continue;
            }
            let moved = hub.adopt_tail(subscription);
            let lag_us = hub.destination.lag_us();
            let idle = self
                .connections
                .get(&id)
                .is_some_and(|connection| now_us - connection.last_sent_us >= limits::HEARTBEAT_US);
            if moved || idle {
                let Some(state) = hub.subscription(subscription).filter(|state| state.has_begun()) else { continue };
                let outstanding = state.acked_sequence < state.sent_sequence;
                let heartbeat = Heartbeat {
                    sequence: state.sent_sequence,
                    position: state.cursor().filter(|_| !outstanding).map(Position::to_wire),
                    server_time_us: now_us,
                    source_lag_us: lag_us,
                };
                self.queue(id, ServerMessage::Heartbeat(Box::new(heartbeat)).encode());
            }
            // Also what could not be saved before is tried again.
            let dirty = self.hubs.get_mut(destination).and_then(|hub| hub.subscription(subscription)).is_some_and(|state| state.name.is_some());
            if moved || dirty {
                self.save(destination, subscription);
            }
        }
    }

    /// Nothing more is served: every client is told to come back.
    pub fn shut_down(&mut self) {
        let connections: Vec<u64> = self.connections.keys().copied().collect();
        for id in connections {
            self.fail(id, "shutting_down", "the server is shutting down", true);
        }
    }

    pub fn status(&self) -> CoreStatus {
        let mut subscriptions: Vec<SubscriptionStatus> = Vec::new();
        for connection in self.connections.values() {
            let (destination, found) = match connection.state {
                State::Subscribed { destination, subscription } => (destination, subscription),
                _ => continue,
            };
            let Some(hub) = self.hubs.get(destination) else { continue };
            if let Some(subscription) = hub.subscriptions().find(|subscription| subscription.id == found) {
                subscriptions.push(subscription.status(&hub.destination.name, &connection.client, &connection.peer));
            }
        }
        CoreStatus { core: self.config.core, subscriptions }
    }
}

fn error(code: &str, message: &str, retry: bool) -> Vec<u8> {
    ServerMessage::Error(ErrorMessage { code: code.to_owned(), message: message.to_owned(), retry }).encode()
}

/// Where a Subscribe asks to begin.
fn begin_of(destination: &Destination, name: Option<&Arc<str>>, start: StartRequest) -> Result<Begin, String> {
    Ok(match start {
        StartRequest::Resume => match name.and_then(|name| destination.durable(name)) {
            Some(position) => Begin::Cursor { position, durable: true },
            None => Begin::Latest,
        },
        StartRequest::Latest => Begin::Latest,
        StartRequest::Earliest => Begin::At(Start::Earliest),
        StartRequest::Token(token) => {
            let token = ResumeToken::decode(&token).map_err(|error| error.to_string())?;
            if *token.destination != *destination.name {
                return Err(format!(
                    "the resume token is of destination '{}', this is '{}'",
                    token.destination, destination.name
                ));
            }
            let position = Position::from_wire(&token.position)?;
            Begin::Cursor { position: Arc::new(position), durable: false }
        }
        StartRequest::GtidSet(text) => {
            let gtids = text.parse().map_err(|error| format!("'{text}' is not a GTID set: {error}"))?;
            Begin::At(Start::Gtids(gtids))
        }
        StartRequest::File { file, offset } => Begin::At(Start::File(crate::position::FilePosition { file: file.into(), offset })),
        StartRequest::TimestampUs(us) => Begin::At(Start::Timestamp(us)),
    })
}
