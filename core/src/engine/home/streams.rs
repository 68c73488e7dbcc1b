//! What comes from the source, live or by catch-ups, and what goes to the sockets.

use std::sync::Arc;

use millstream_codec::wire::messages::{Heartbeat, ServerMessage};
use millstream_codec::wire::position::ResumeToken;

use super::{Connection, Home, HomeEffect, Outgoing, State};
use crate::bridge::{CoreStatus, SubscriptionStatus};
use crate::engine::batch::Sequence;
use crate::engine::compiled;
use crate::engine::hub::{CatchUpStep, HubEffect};
use crate::engine::shard::ShardOutput;
use crate::engine::shared::Destination;
use crate::engine::view::LogEntry;
use crate::limits;
use crate::metrics::Stage;
use crate::position::Position;

impl Home {
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
        match seal {
            true => self.seal(destination, now_us),
            false => self.hub_effects(destination),
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

    pub(super) fn hub_effects(&mut self, destination: usize) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        self.metrics.catchups.set(hub.catchups() as u64);
        for effect in hub.take_effects() {
            match effect {
                HubEffect::StartCatchUp { subscription, start, first_sequence, interest } => {
                    self.effects.push_back(HomeEffect::StartCatchUp {
                        destination,
                        subscription,
                        start,
                        first_sequence,
                        interest,
                    });
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
    pub(super) fn begun(&mut self, destination: usize, id: u64) {
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

    /// What goes to this connection's socket next.
    pub fn next_outgoing(&mut self, id: u64, now_us: i64) -> Option<Outgoing> {
        let mut outgoing = Outgoing::default();
        self.take_queued(id, &mut outgoing);
        let subscribed = match self.connections.get(&id)?.state {
            State::Subscribed { destination, subscription } => Some((destination, subscription)),
            _ => None,
        };
        if let Some((destination, subscription)) = subscribed {
            self.add_batch(id, destination, subscription, &mut outgoing, now_us);
            if outgoing.batch.is_none() {
                // A schema break says why.
                self.take_queued(id, &mut outgoing);
                if let Some(subscription) =
                    self.hubs.get_mut(destination).and_then(|hub| hub.subscription(subscription))
                {
                    // Clients count every byte that they take; so does their credit.
                    subscription.credit_bytes =
                        subscription.credit_bytes.saturating_sub_unsigned(outgoing.head.len() as u64);
                }
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

    fn take_queued(&mut self, id: u64, outgoing: &mut Outgoing) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        while let Some(message) = connection.queue.pop_front() {
            connection.queued_bytes -= message.len();
            outgoing.head.extend_from_slice(&message);
        }
    }

    fn add_batch(&mut self, id: u64, destination: usize, subscription: u64, outgoing: &mut Outgoing, now_us: i64) {
        let Some(hub) = self.hubs.get_mut(destination) else { return };
        let Some(entry) = hub.next_entry(subscription) else { return };
        let Some(state) = hub.subscription(subscription) else { return };
        for layout in &entry.layouts {
            if !state.sent_layouts.insert(layout.id) {
                continue;
            }
            if let Some(broken) =
                self.connections.get(&id).and_then(|connection| compiled::first_break(&connection.compiled, layout))
            {
                let text = broken.to_string();
                self.queue(id, broken.into_message().encode());
                self.fail(id, "schema_break", &text, false);
                return;
            }
            self.layouts.add(destination, layout, &mut outgoing.head);
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
        self.end_silent(now_us);
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
            if self.connections.get(&id).is_some_and(|connection| connection.filter_check.is_some()) {
                let shared = hub.destination.clone();
                self.tell_unmatched(id, &shared);
            }
            let Some(hub) = self.hubs.get_mut(destination) else { continue };
            if let Some(reason) = hub.held(subscription) {
                self.fail(id, "table_held", &reason, false);
                continue;
            }
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
            let dirty = self
                .hubs
                .get_mut(destination)
                .and_then(|hub| hub.subscription(subscription))
                .is_some_and(|state| state.name.is_some());
            if moved || dirty {
                self.save(destination, subscription);
            }
        }
    }

    /// A pattern that matches no table is most likely a mistake; or its table comes later.
    fn tell_unmatched(&mut self, id: u64, shared: &Destination) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(check) = &connection.filter_check else { return };
        let Some(unmatched) = shared.filter_checks.take(check) else { return };
        connection.filter_check = None;
        if unmatched.is_empty() {
            return;
        }
        let message = format!(
            "no table of the source matches {}: nothing comes from there until one is made. Compare with SHOW TABLES, and \
             with what the source's account may see (`millstream check`)",
            unmatched.iter().map(|pattern| format!("'{pattern}'")).collect::<Vec<_>>().join(", ")
        );
        self.queue(id, ServerMessage::Notice { code: "filter_matches_nothing".into(), message }.encode());
    }

    /// Connections that do not come to the point would hold the places of others.
    fn end_silent(&mut self, now_us: i64) {
        let is_silent = |connection: &Connection| {
            matches!(connection.state, State::New | State::Ready)
                && now_us - connection.last_sent_us >= limits::SUBSCRIBE_US
        };
        let silent: Vec<u64> =
            self.connections.iter().filter(|(_, connection)| is_silent(connection)).map(|(id, _)| *id).collect();
        for id in silent {
            self.fail(id, "timeout", "neither Hello nor Subscribe came in time", true);
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
