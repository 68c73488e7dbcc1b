//! Both faces against a scripted server on loopback.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_client::{Change, ClientConfig, ClientError, Notice, Value, asynchronous, blocking};
use millstream_codec::millstream_capnp::client_message;
use millstream_codec::wire::messages::{ClientMessage, Start};
use millstream_codec::wire::position::ResumeToken;
use support::*;

/// One accepted connection, from the server's side.
struct Peer(TcpStream);

impl Peer {
    fn hear(&mut self) -> Option<ClientMessage> {
        let options = capnp::message::ReaderOptions::new();
        let message = capnp::serialize::try_read_message(&mut self.0, options).ok()??;
        let root: client_message::Reader<'_> = message.get_root().ok()?;
        ClientMessage::decode(root).ok()
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("write");
    }

    /// Hello, Welcome, Subscribe, Subscribed behind `number`: the start that was asked for.
    fn handshake(&mut self, number: u64) -> Start {
        assert!(matches!(self.hear(), Some(ClientMessage::Hello(_))));
        self.say(&welcome());
        let Some(ClientMessage::Subscribe(subscribe)) = self.hear() else { panic!("no subscribe") };
        self.say(&[subscribed(1, number), layout()].concat());
        subscribe.start
    }

    fn acks_until(&mut self, sequence: u64) {
        while !matches!(self.hear(), Some(ClientMessage::Ack { sequence: acked, .. }) if acked >= sequence) {}
        self.say(&acked(1, sequence));
    }

    fn wait_for_end(mut self) {
        while self.hear().is_some() {}
    }
}

/// A server that plays one script a connection.
fn serve(scripts: Vec<Box<dyn FnOnce(Peer) + Send>>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let server = thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().expect("accept");
            script(Peer(stream));
        }
    });
    (address, server)
}

fn config(address: &str) -> ClientConfig {
    ClientConfig::new([address], "main").reconnect_backoff(Duration::from_millis(1), Duration::from_millis(5))
}

fn ids(transaction: &millstream_client::Transaction) -> Vec<u64> {
    let mut ids = Vec::new();
    for change in transaction.changes() {
        if let Change::Rows(rows) = change.expect("change") {
            for row in rows.iter() {
                if let Value::UInt(id) = row.get("id").expect("id") {
                    ids.push(id);
                }
            }
        }
    }
    ids
}

#[test]
fn a_cut_in_the_middle_of_a_message_loses_nothing() {
    let (address, server) = serve(vec![
        Box::new(|mut peer| {
            peer.handshake(10);
            let bytes = [batch(1, &[whole(11)]), batch(1, &[whole(12)])].concat();
            peer.say(&bytes[..bytes.len() - 100]);
            peer.acks_until(11);
            peer.0.shutdown(Shutdown::Both).expect("shutdown");
        }),
        Box::new(|mut peer| {
            assert_eq!(peer.handshake(11), Start::Resume);
            peer.say(&batch(1, &[whole(12)]));
            peer.acks_until(12);
            peer.wait_for_end();
        }),
    ]);
    let notices = Arc::new(Mutex::new(Vec::new()));
    let seen = notices.clone();
    let config = config(&address).subscription("s").on_notice(move |notice| {
        seen.lock().expect("lock").push(notice.clone());
    });
    let mut client = blocking::Client::connect(config).expect("connect");
    for expected in 11..=12 {
        let transaction = client.next_transaction().expect("next").expect("open");
        assert_eq!((transaction.sequence, ids(&transaction)), (expected, vec![expected]));
        assert!(!transaction.redelivered);
        client.ack(&transaction).expect("ack");
    }
    client.close().expect("close");
    assert_eq!(client.durable().map(|durable| durable.sequence), Some(12));
    assert!(matches!(client.next_transaction(), Ok(None)));
    server.join().expect("server");
    let notices = notices.lock().expect("lock");
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Retrying { .. })), "{notices:?}");
}

#[test]
fn an_ephemeral_subscription_goes_on_behind_its_own_last_transaction() {
    let (address, server) = serve(vec![
        Box::new(|mut peer| {
            assert_eq!(peer.handshake(10), Start::Resume);
            peer.say(&batch(1, &[whole(11), whole(12)]));
            peer.acks_until(12);
        }),
        Box::new(|mut peer| {
            let Start::Token(token) = peer.handshake(12) else { panic!("no token") };
            assert_eq!(ResumeToken::decode(&token).expect("token").position, position(12));
            peer.say(&batch(1, &[whole(13)]));
            peer.wait_for_end();
        }),
    ]);
    let mut client = blocking::Client::connect(config(&address)).expect("connect");
    let sequences: Vec<u64> = client.by_ref().take(3).map(|next| next.expect("next").sequence).collect();
    assert_eq!(sequences, [11, 12, 13]);
    drop(client);
    server.join().expect("server");
}

#[test]
fn next_within_gives_up_in_time_and_close_ends_the_connection() {
    let (address, server) = serve(vec![Box::new(|mut peer| {
        peer.handshake(10);
        let mut last = None;
        while let Some(message) = peer.hear() {
            last = Some(message);
        }
        assert_eq!(last, Some(ClientMessage::Unsubscribe));
    })]);
    let mut client = blocking::Client::connect(config(&address).subscription("s")).expect("connect");
    assert!(client.next_within(Duration::from_millis(20)).expect("no error").is_none());
    client.close().expect("close");
    server.join().expect("server");
}

#[test]
fn a_server_that_is_not_there_is_an_error_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    drop(listener);
    let error = blocking::Client::connect(config(&address)).err().expect("refused");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn something_else_than_a_server_is_an_error_that_says_so() {
    let (address, server) = serve(vec![Box::new(|mut peer| {
        let mut request = [0; 8];
        peer.0.read_exact(&mut request).expect("read");
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    })]);
    let error = blocking::Client::connect(config(&address)).err().expect("refused");
    assert!(error.to_string().contains("not Millstream's protocol"), "{error}");
    server.join().expect("server");
}

#[test]
fn the_tokio_face_reconnects_too_and_its_futures_may_be_dropped() {
    let (address, server) = serve(vec![
        Box::new(|mut peer| {
            peer.handshake(10);
            let bytes = batch(1, &[whole(11)]);
            // In two halves, so that a dropped future has half a message behind it.
            peer.say(&bytes[..bytes.len() / 2]);
            thread::sleep(Duration::from_millis(30));
            peer.say(&bytes[bytes.len() / 2..]);
            peer.acks_until(11);
        }),
        Box::new(|mut peer| {
            assert_eq!(peer.handshake(11), Start::Resume);
            peer.say(&batch(1, &[whole(12)]));
            peer.acks_until(12);
            peer.wait_for_end();
        }),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut client = asynchronous::Client::connect(config(&address).subscription("s")).await.expect("connect");
        for expected in 11..=12 {
            let transaction = loop {
                // The future is dropped again and again while bytes come.
                let next = tokio::time::timeout(Duration::from_millis(5), client.next_transaction());
                match next.await {
                    Ok(next) => break next.expect("next").expect("open"),
                    Err(_) => continue,
                }
            };
            assert_eq!((transaction.sequence, ids(&transaction)), (expected, vec![expected]));
            client.ack(&transaction).await.expect("ack");
        }
        client.close().await.expect("close");
        assert_eq!(client.durable().map(|durable| durable.sequence), Some(12));
    });
    server.join().expect("server");
}
