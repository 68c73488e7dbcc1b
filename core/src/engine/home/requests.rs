//! What clients ask for: who they are, what they subscribe to, what they have dealt with.

use std::sync::Arc;

use millstream_codec::wire::messages::{
    ClientMessage, Hello, PROTOCOL_VERSION, ServerMessage, Start as StartRequest, Subscribe,
};
use millstream_codec::wire::position::ResumeToken;

use super::{Connection, Home, HomeEffect, PendingSave, Request, State, Verdict};
use crate::engine::batch::Sequence;
use crate::engine::hub::Begin;
use crate::engine::interest::ViewId;
use crate::engine::shared::{Claimed, Destination, FilterCheck};
use crate::engine::subscription::Subscription;
use crate::filter::Filter;
use crate::limits;
use crate::metrics::Stage;
use crate::position::Position;
use crate::source::start::Start;

impl Home {
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

    fn subscribe(&mut self, id: u64, request: Subscribe) {
        let Some(destination) = self.hubs.iter().position(|hub| *hub.destination.name == *request.destination) else {
            let known: Vec<&str> = self.hubs.iter().map(|hub| &*hub.destination.name).collect();
            let message =
                format!("there is no destination '{}'; this server has: {}", request.destination, known.join(", "));
            self.fail(id, "unknown_destination", &message, false);
            return;
        };
        let Some(shared) = self.hubs.get(destination).map(|hub| hub.destination.clone()) else { return };
        let patterns: Arc<[String]> = request.filter.include.as_slice().into();
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
        let claim = self.claim(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.compiled = request.compiled;
            if !patterns.is_empty() {
                let check = FilterCheck { claim, patterns };
                connection.filter_check = Some(check.clone());
                shared.ask(&shared.filter_checks, check);
            }
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
        let live_view = ViewId(0);
        let subscription = Subscription::new(subscription_id, name, id, filter, live_view, credit_bytes);
        hub.subscribe(subscription, begin);
        self.hub_effects(destination);
        self.count_subscriptions();
    }

    pub(super) fn count_subscriptions(&self) {
        self.metrics.subscriptions.set(self.hubs.iter().map(|hub| hub.subscriptions().count() as u64).sum());
    }

    fn subscribed_message(
        &mut self,
        id: u64,
        destination: usize,
        subscription: u64,
        message: ClientMessage,
        now_us: i64,
    ) {
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
    pub(super) fn save(&mut self, destination: usize, id: u64) {
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

    pub(super) fn ask_to_save(
        &mut self,
        destination: usize,
        subscription: u64,
        name: Arc<str>,
        position: Arc<Position>,
        sequence: Sequence,
    ) {
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
        StartRequest::File { file, offset } => {
            Begin::At(Start::File(crate::position::FilePosition { file: file.into(), offset }))
        }
        StartRequest::TimestampUs(us) => Begin::At(Start::Timestamp(us)),
    })
}
