//! No core goes on without another: what becomes of the engine, and of its clients, when one fails in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;

use crossbeam::channel::unbounded;
use futures::FutureExt;
use millstream_codec::millstream_capnp::server_message;
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::messages::{ClientMessage, Hello, PROTOCOL_VERSION, ServerMessage};
use millstream_core::engine::home::Verdict;

use super::*;
use crate::runtime;

/// So many that each of two cores has one, but for once in 2^31 runs.
const CLIENTS: usize = 32;
/// Whose login lets the core fail that it comes to.
const BREAKER: &str = "breaker";

struct Client {
    socket: TcpStream,
    framer: MessageFramer,
}

impl Client {
    fn connect(listen: SocketAddr, user: &str) -> Self {
        let mut socket = TcpStream::connect(listen).unwrap();
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            user: user.to_owned(),
            password: "secret".to_owned(),
            ..Hello::default()
        };
        socket.write_all(&ClientMessage::Hello(hello).encode()).unwrap();
        Self { socket, framer: MessageFramer::new(1 << 12, 1 << 20) }
    }

    /// `None`: nothing more came, or nothing more is there.
    fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(message) = self.framer.message().unwrap() {
                let root = message.root::<server_message::Reader<'_>>().unwrap();
                return ServerMessage::decode(root).unwrap();
            }
            match self.socket.read(self.framer.space()) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.framer.filled(count),
            }
        }
    }
}

/// Two workers and a source's core, with nothing to follow.
fn config(runtime: Runtime, listen: SocketAddr, links: Vec<CoreLink>, fail: fn()) -> EngineConfig {
    EngineConfig {
        runtime,
        source_core: None,
        worker_cores: vec![None, None],
        spin_before_sleep: Duration::ZERO,
        listen,
        server_id: "test".to_owned(),
        connections_max: 2 * CLIENTS,
        authenticate: true,
        check: Arc::new(move |user, _| {
            if user == BREAKER {
                fail();
            }
            futures::future::ready(Verdict::Accepted).boxed()
        }),
        hub: HubLimits {
            view_log_bytes_max: 1 << 20,
            catchup_log_bytes_max: 1 << 19,
            batch_bytes_target: 1 << 14,
            unacked_transactions_max: 100,
            pin_distance_bytes: 1 << 18,
        },
        catchup_max: 1,
        ring_bytes_max: 1 << 20,
        destinations: Vec::new(),
        links,
        metrics: Vec::new(),
        stopping: Arc::default(),
    }
}

/// `says`: what the engine gives as the reason.
fn check(runtime: Runtime, fail: fn(), says: &str) {
    let listen = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (to_control, from_cores) = unbounded();
    let mut to_cores = Vec::new();
    let links = (0..2).map(|core| {
        let (to_core, from_control) = unbounded();
        to_cores.push(to_core);
        let (to_control, control_doorbell, doorbell) = (to_control.clone(), Doorbell::default(), Doorbell::default());
        CoreLink { core, to_control, control_doorbell, from_control, doorbell }
    });
    let engine = Engine::start(config(runtime, listen, links.collect(), fail)).unwrap();

    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(listen, "somebody")).collect();
    for client in &mut clients {
        assert!(matches!(client.next(), Some(ServerMessage::Welcome { .. })), "{}", runtime.name());
    }
    let _breaker = Client::connect(listen, BREAKER);
    match engine.join() {
        Err(EngineError::Failed { name, reason }) => {
            assert!(name.starts_with("worker-"), "{}: {name}", runtime.name());
            assert!(reason.contains(says), "{}: {reason}", runtime.name());
        }
        other => panic!("{}: {other:?}", runtime.name()),
    }

    // What they were told lies in their sockets by now.
    let mut told = 0;
    for client in &mut clients {
        client.socket.set_nonblocking(true).unwrap();
        match client.next() {
            Some(ServerMessage::Error(error)) => {
                assert_eq!((error.code.as_str(), error.retry), ("shutting_down", true));
                told += 1;
            }
            // Of the core that failed.
            None => {}
            Some(other) => panic!("{}: {other:?}", runtime.name()),
        }
    }
    assert!((1..CLIENTS).contains(&told), "{}: {told}", runtime.name());
    drop(from_cores);
}

#[test]
fn a_ring_that_fails_ends_the_engine() {
    check(Runtime::Uring, runtime::break_ring, "Bad file descriptor");
}

#[test]
fn a_thread_that_ends_in_a_panic_ends_the_engine() {
    fn panic() {
        // Not by `tasks::spawn`, which would catch it, nor at once, where glommio polls it within the task that spawns it:
        // glommio panics so itself when its rings fail.
        runtime::spawn(async {
            sleep(Duration::from_millis(1)).await;
            panic!("a core that cannot go on");
        });
    }
    for runtime in Runtime::ALL {
        check(runtime, panic, "panic");
    }
}

#[test]
fn cores_that_were_told_to_end_have_not_failed() {
    for runtime in Runtime::ALL {
        let listen = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (to_control, _from_cores) = unbounded();
        let (to_core, from_control) = unbounded();
        let doorbell = Doorbell::default();
        let link = CoreLink {
            core: 0,
            to_control,
            control_doorbell: Doorbell::default(),
            from_control,
            doorbell: doorbell.clone(),
        };
        let mut config = config(runtime, listen, vec![link], || {});
        config.worker_cores = vec![None];
        let engine = Engine::start(config).unwrap();
        to_core.send(millstream_core::bridge::FromControl::Shutdown).unwrap();
        doorbell.wake();
        engine.join().unwrap();
    }
}
