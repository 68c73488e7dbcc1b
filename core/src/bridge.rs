//! What passes between the worker cores and the control thread. Plain values over crossbeam channels; a doorbell
//! wakes the side that sleeps. Nothing here is on the way of a row.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};
use futures::task::AtomicWaker;

use crate::metrics::StageHistograms;
use crate::position::Position;

/// Rung after a message was put into a channel or ring whose reader may sleep. It works across runtimes.
pub type Doorbell = Arc<AtomicWaker>;

/// A durable cursor: how far one subscription's client has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub destination: Arc<str>,
    pub subscription: Arc<str>,
    pub position: Arc<Position>,
}

#[derive(Debug)]
pub enum ToControl {
    /// To be made durable. Later ones of the same subscription replace earlier ones that are not written yet.
    SaveCursor {
        cursor: Cursor,
        /// The core that asks, and the number by which `CursorSaved` or `CursorFailed` answers it.
        core: u16,
        ticket: u64,
        sequence: u64,
    },
    Histograms(Box<StageHistograms>),
    Status(Box<CoreStatus>),
}

#[derive(Debug)]
pub enum FromControl {
    CursorSaved {
        ticket: u64,
        sequence: u64,
    },
    /// The disk refused; the position is not durable and is tried again with the next ack.
    CursorFailed {
        ticket: u64,
        reason: String,
    },
    /// Stop taking connections, send what is buffered, tell clients, end.
    Shutdown,
}

/// A worker core's end.
pub struct CoreLink {
    pub core: u16,
    pub to_control: Sender<ToControl>,
    pub control_doorbell: Doorbell,
    pub from_control: Receiver<FromControl>,
    pub doorbell: Doorbell,
}

/// The control thread's end for one worker core.
pub struct ControlLink {
    pub core: u16,
    pub to_core: Sender<FromControl>,
    pub doorbell: Doorbell,
}

/// What `status` shows of one core; sent about once a second.
#[derive(Debug, Clone, Default)]
pub struct CoreStatus {
    pub core: u16,
    pub subscriptions: Vec<SubscriptionStatus>,
}

#[derive(Debug, Clone)]
pub struct SubscriptionStatus {
    pub destination: Arc<str>,
    pub subscription: Arc<str>,
    pub client: String,
    pub peer: String,
    /// live, catch_up, waiting.
    pub state: &'static str,
    pub sent_sequence: u64,
    pub acked_sequence: u64,
    pub position: Arc<Position>,
    pub unacked_transactions: u64,
    pub credit_bytes: i64,
    pub filter: String,
}

/// What `status` shows of one destination's source; replaced as a whole by the source core.
#[derive(Debug, Clone, Default)]
pub struct SourceStatus {
    pub destination: String,
    /// connecting, streaming, halted.
    pub state: String,
    pub server: String,
    pub version: String,
    pub position: String,
    pub gtids: String,
    pub error: Option<String>,
    /// (table, reason)
    pub quarantined: Vec<(String, String)>,
}
