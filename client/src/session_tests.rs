use std::collections::VecDeque;

use millstream_codec::millstream_capnp::client_message;
use millstream_codec::wire::messages::{ClientMessage, ServerMessage, Start as WireStart};
use millstream_codec::wire::position::ResumeToken;

use super::*;
use crate::support::*;

/// A session, its clock, and what it has said on the present connection.
struct Driver {
    session: Session,
    now: Instant,
    said: VecDeque<ClientMessage>,
}

impl Driver {
    fn new(config: ClientConfig) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config, now, 1).expect("config"), now, said: VecDeque::new() }
    }

    fn step(&mut self) -> Result<Step, ClientError> {
        self.session.step(self.now)
    }

    /// Steps until something is to be done that only a socket or the application can do.
    fn run(&mut self) -> Result<Step, ClientError> {
        loop {
            match self.step()? {
                Step::Wait { until } => self.now = until,
                Step::Settled => {}
                other => return Ok(other),
            }
        }
    }

    fn connect(&mut self) -> String {
        match self.run().expect("connect") {
            Step::Connect { address, .. } => {
                self.said.clear();
                self.session.connected();
                address
            }
            other => panic!("{other:?}"),
        }
    }

    /// Connects, and streams behind transaction `number`.
    fn subscribe(&mut self, number: u64) {
        self.connect();
        self.hear(&[welcome(), subscribed(1, number), layout()].concat());
        assert!(matches!(self.run(), Ok(Step::Transfer { .. })));
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.session.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.session.received(count);
            bytes = &bytes[count..];
        }
    }

    fn transaction(&mut self) -> Transaction {
        match self.run().expect("step") {
            Step::Transaction(transaction) => transaction,
            other => panic!("{other:?}"),
        }
    }

    fn said(&mut self) -> &VecDeque<ClientMessage> {
        let bytes = self.session.outgoing().to_vec();
        self.session.sent(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message =
                capnp::serialize::read_message(&mut rest, capnp::message::ReaderOptions::new()).expect("message");
            let root: client_message::Reader<'_> = message.get_root().expect("root");
            self.said.push_back(ClientMessage::decode(root).expect("decode"));
        }
        &self.said
    }

    /// The start that the present connection asked for.
    fn start(&mut self) -> WireStart {
        let said = self.said();
        let start = said.iter().find_map(|message| match message {
            ClientMessage::Subscribe(subscribe) => Some(subscribe.start.clone()),
            _ => None,
        });
        start.expect("subscribe")
    }
}

fn named() -> ClientConfig {
    ClientConfig::new(["a:1", "b:2"], "main").subscription("s")
}

fn offset_of(start: &WireStart) -> u64 {
    match start {
        WireStart::Token(token) => ResumeToken::decode(token).expect("token").position.offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_server_is_asked_once_before_the_first_connection_is_given_up() {
    let mut driver = Driver::new(named());
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    assert!(matches!(driver.run(), Ok(Step::Connect { address, .. }) if address == "a:1"));
    driver.session.connect_failed(refused(), driver.now).expect("b is left");
    assert!(matches!(driver.run(), Ok(Step::Connect { address, .. }) if address == "b:2"));
    let error = driver.session.connect_failed(refused(), driver.now).expect_err("none is left");
    assert!(error.to_string().contains("b:2"), "{error}");
    assert!(matches!(driver.step(), Err(ClientError::Closed)));
}

#[test]
fn a_lost_connection_is_made_again_for_ever_with_growing_pauses() {
    let config = named().reconnect_backoff(Duration::from_millis(10), Duration::from_millis(100));
    let mut driver = Driver::new(config);
    driver.subscribe(10);
    driver.session.lost("test");
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let Ok(Step::Wait { until }) = driver.step() else { panic!("no pause") };
        pauses.push(until - driver.now);
        driver.now = until;
        assert!(matches!(driver.step(), Ok(Step::Connect { .. })));
        let error = io::ErrorKind::ConnectionRefused.into();
        driver.session.connect_failed(error, driver.now).expect("again");
    }
    assert!(pauses[0] >= Duration::from_millis(5) && pauses[0] <= Duration::from_millis(10), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(100)), "{pauses:?}");
    assert!(pauses[19] >= Duration::from_millis(50), "{pauses:?}");
}

#[test]
fn a_refusal_for_good_ends_the_session_and_one_for_now_does_not() {
    let mut driver = Driver::new(named());
    driver.subscribe(10);
    driver.hear(&error("source_halted", true));
    assert!(matches!(driver.run(), Ok(Step::Connect { .. })));
    driver.session.connected();
    driver.hear(&[welcome(), error("unknown_destination", false)].concat());
    let error = driver.run().expect_err("for good");
    assert!(matches!(&error, ClientError::Refused { code, .. } if code == "unknown_destination"), "{error}");
}

#[test]
fn a_named_subscription_resumes_at_its_durable_cursor_and_marks_what_comes_again() {
    let mut driver = Driver::new(named().start(Start::Earliest));
    driver.connect();
    driver.hear(&welcome());
    driver.run().expect("welcome");
    assert_eq!(driver.start(), WireStart::Earliest);
    driver.hear(&[subscribed(1, 10), layout(), batch(1, &[whole(11), whole(12), whole(13)])].concat());
    for sequence in 11..=12 {
        let transaction = driver.transaction();
        assert_eq!((transaction.sequence, transaction.redelivered), (sequence, false));
    }
    driver.session.lost("test");
    // What had come is handed over; then the connection is made again.
    assert!(!driver.transaction().redelivered);
    driver.connect();
    driver.hear(&welcome());
    driver.run().expect("welcome");
    assert_eq!(driver.start(), WireStart::Resume);
    driver.hear(&[subscribed(1, 11), layout(), batch(1, &[whole(12), whole(13), whole(14)])].concat());
    let again: Vec<_> = (0..3).map(|_| driver.transaction()).map(|t| (t.sequence, t.redelivered)).collect();
    assert_eq!(again, [(12, true), (13, true), (14, false)]);
}

#[test]
fn without_a_name_or_from_a_token_it_goes_on_behind_what_was_handed_over() {
    let check = |config: ClientConfig| {
        let mut driver = Driver::new(config);
        driver.subscribe(10);
        driver.hear(&batch(1, &[whole(11), whole(12)]));
        driver.transaction();
        assert_eq!(driver.transaction().token(), driver.session.token().expect("token"));
        driver.session.lost("test");
        driver.connect();
        driver.hear(&welcome());
        driver.run().expect("welcome");
        assert_eq!(offset_of(&driver.start()), 12_000);
    };
    check(ClientConfig::new(["a:1"], "main"));
    check(ClientConfig::new(["a:1"], "main").start(Start::Earliest));
    let token = Cursor::new(&position(10)).expect("position").to_token("main");
    check(named().start(Start::Token(token)));
}

#[test]
fn heartbeats_move_the_token_past_what_a_filter_drops() {
    let mut driver = Driver::new(ClientConfig::new(["a:1"], "main"));
    driver.subscribe(10);
    driver.hear(&heartbeat(50, Some(50)));
    driver.run().expect("heartbeat");
    let token = driver.session.token().expect("token");
    assert_eq!(ResumeToken::decode(token.as_bytes()).expect("token").position, position(50));
}

#[test]
fn acks_are_cumulative_and_wait_for_the_next_only_while_more_is_at_hand() {
    let mut driver = Driver::new(named());
    driver.subscribe(10);
    driver.hear(&batch(1, &[whole(11), whole(12), whole(13)]));
    let acks = |driver: &mut Driver| {
        let acks = driver.said().iter().filter_map(|message| match message {
            ClientMessage::Ack { sequence, .. } => Some(*sequence),
            _ => None,
        });
        acks.collect::<Vec<_>>()
    };
    let [first, second, third] = [driver.transaction(), driver.transaction(), driver.transaction()];
    let now = driver.now;
    driver.session.ack(&first, now).expect("ack");
    assert_eq!(acks(&mut driver), [11]);
    driver.hear(&batch(1, &[whole(14)]));
    driver.session.ack(&second, now).expect("ack");
    driver.session.ack(&third, now).expect("ack");
    assert_eq!(acks(&mut driver), [11]);
    driver.transaction();
    driver.run().expect("nothing at hand");
    assert_eq!(acks(&mut driver), [11, 13]);
    let ahead = driver.session.ack_through(15, now).expect_err("ahead");
    assert!(matches!(ahead, ClientError::AckAhead { sequence: 15, highest: 14 }), "{ahead}");
}

#[test]
fn an_ack_of_an_earlier_connection_is_not_sent() {
    let mut driver = Driver::new(named());
    driver.subscribe(10);
    driver.hear(&batch(1, &[whole(11)]));
    let old = driver.transaction();
    driver.session.lost("test");
    driver.subscribe(10);
    let now = driver.now;
    driver.session.ack(&old, now).expect("quiet");
    assert!(!driver.said().iter().any(|message| matches!(message, ClientMessage::Ack { .. })));
}

#[test]
fn a_subscription_without_a_name_acknowledges_by_itself() {
    let mut driver = Driver::new(ClientConfig::new(["a:1"], "main"));
    driver.subscribe(10);
    driver.hear(&batch(1, &[whole(11), whole(12)]));
    driver.transaction();
    driver.transaction();
    driver.run().expect("nothing at hand");
    assert!(driver.said().contains(&ClientMessage::Ack { epoch: 1, sequence: 12 }));
    assert!(driver.session.rollback(driver.now).is_err());
}

#[test]
fn after_a_rollback_what_was_handed_over_comes_marked() {
    let mut driver = Driver::new(named());
    driver.subscribe(10);
    driver.hear(&batch(1, &[whole(11), whole(12)]));
    driver.transaction();
    driver.session.rollback(driver.now).expect("rollback");
    let answer = ServerMessage::RolledBack(position(10)).encode();
    driver.hear(&[answer, batch(1, &[whole(11), whole(12)])].concat());
    let again: Vec<_> = (0..2).map(|_| driver.transaction()).map(|t| (t.sequence, t.redelivered)).collect();
    assert_eq!(again, [(11, true), (12, false)]);
}

#[test]
fn redirects_are_followed_and_a_circle_is_left() {
    let mut driver = Driver::new(ClientConfig::new(["a:1"], "main").subscription("s"));
    let redirect = |to: &str| ServerMessage::Redirect(vec![to.to_owned()]).encode();
    driver.connect();
    driver.hear(&redirect("leader:9"));
    assert_eq!(driver.connect(), "leader:9");
    for _ in 0..REDIRECTS_MAX - 1 {
        driver.hear(&redirect("a:1"));
        driver.connect();
    }
    driver.hear(&redirect("a:1"));
    let error = driver.run().expect_err("circle");
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[test]
fn a_standby_settles_waits_and_takes_over() {
    let mut driver = Driver::new(named().when_taken(crate::WhenTaken::Wait));
    driver.connect();
    driver.hear(&[welcome(), ServerMessage::Waiting.encode()].concat());
    assert!(matches!(driver.step(), Ok(Step::Settled)));
    assert!(driver.session.is_settled());
    // Its server goes away before it ever had the subscription.
    driver.session.lost("test");
    driver.subscribe(10);
    driver.hear(&batch(1, &[whole(11)]));
    assert_eq!(driver.transaction().sequence, 11);
}

#[test]
fn silence_is_asked_about_and_looked_at_again_before_the_connection_is_given_up() {
    let mut driver = Driver::new(named().silence_max(Duration::from_secs(10)));
    driver.subscribe(10);
    let Ok(Step::Transfer { until }) = driver.step() else { panic!("transfer") };
    assert_eq!(until, driver.now + Duration::from_secs(5));
    // The application was busy for an hour; the answer to the ping lies in the socket.
    driver.now += Duration::from_secs(3600);
    assert!(matches!(driver.step(), Ok(Step::Transfer { .. })));
    assert!(driver.said().iter().any(|message| matches!(message, ClientMessage::Ping(_))));
    driver.now += Duration::from_secs(3600);
    assert!(matches!(driver.step(), Ok(Step::Transfer { .. })));
    driver.hear(&ServerMessage::Pong(1).encode());
    assert!(matches!(driver.step(), Ok(Step::Transfer { .. })));
    // Now it is really silent.
    for _ in 0..3 {
        driver.now += Duration::from_secs(5);
        assert!(matches!(driver.step(), Ok(Step::Transfer { .. } | Step::Wait { .. })));
    }
    assert!(matches!(driver.run(), Ok(Step::Connect { .. })));
}

#[test]
fn a_former_leader_is_left_for_another_server() {
    let mut driver = Driver::new(named());
    driver.connect();
    driver.hear(&[welcome(), subscribed(5, 10)].concat());
    driver.run().expect("subscribed");
    driver.session.lost("test");
    assert_eq!(driver.connect(), "b:2");
    driver.hear(&[welcome(), subscribed(4, 10)].concat());
    assert_eq!(driver.connect(), "a:1");
    let hello = driver.said().front().cloned();
    assert!(matches!(hello, Some(ClientMessage::Hello(hello)) if hello.highest_epoch == 5));
}
