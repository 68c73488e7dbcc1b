//! A client process for tests that kill it: writes down what it receives, then acknowledges it.
//!
//! Each line of its file is one JSON object: `{"connected":epoch}`, `{"received":{..}}` (a delivery), or
//! `{"durable":sequence}` for what the server told to be durable. A line is in the file before what follows from it:
//! an ack is sent only behind its transaction's line.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_client::blocking::Client;
use millstream_client::{ClientConfig, Notice};
use millstream_tests::load::Delivery;
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, destination, subscription, pattern, file, ack_every] = arguments.as_slice() else {
        bail!("usage: follower SERVER DESTINATION SUBSCRIPTION PATTERN FILE ACK_EVERY");
    };
    let ack_every: u64 = ack_every.parse().context("ACK_EVERY")?;
    let mut file = File::create(file)?;
    let mut line = |value: serde_json::Value| file.write_all(format!("{value}\n").as_bytes());

    // The newest epoch, and how many connections there were; told in order with the transactions.
    let connections = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let told = connections.clone();
    let config = ClientConfig::new([server], destination)
        .subscription(subscription)
        .include(pattern)
        .reconnect_backoff(Duration::from_millis(10), Duration::from_millis(100))
        .on_notice(move |notice| {
            if let Notice::Subscribed { epoch, .. } = notice {
                told.1.store(*epoch, Ordering::SeqCst);
                told.0.fetch_add(1, Ordering::SeqCst);
            }
        });
    // Until the first connection stands it is not made again by itself.
    let mut client = loop {
        match Client::connect(config.clone()) {
            Ok(client) => break client,
            Err(error) if error.disposition() == millstream_client::Disposition::Retry => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
        }
    };
    let (mut written_connections, mut written_durable, mut unacked) = (0, None, 0);
    loop {
        let durable_before = client.durable().cloned();
        let next = client.next_within(Duration::from_millis(20))?;
        let now_connections = connections.0.load(Ordering::SeqCst);
        if now_connections != written_connections {
            written_connections = now_connections;
            // What an earlier connection was told has numbers of that connection.
            written_durable = durable_before;
            unacked = 0;
            line(json!({ "connected": connections.1.load(Ordering::SeqCst) }))?;
        }
        if let Some(transaction) = &next {
            line(json!({ "received": Delivery::of(transaction)? }))?;
            unacked += 1;
            if unacked >= ack_every {
                client.ack(transaction)?;
                unacked = 0;
            }
        }
        if let Some(durable) = client.durable().filter(|durable| written_durable.as_ref() != Some(durable)) {
            written_durable = Some(durable.clone());
            line(json!({ "durable": durable.sequence }))?;
        }
    }
}
