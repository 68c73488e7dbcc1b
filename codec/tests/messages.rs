//! The small messages: what is encoded is decoded again, and damage gives errors.
#![cfg(feature = "mysql")]

mod rows;

use millstream_codec::millstream_capnp::{client_message, server_message};
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::layout::{ColumnKind, Layout};
use millstream_codec::wire::messages::{
    ClientMessage, ColumnFilter, CompiledField, ErrorMessage, Filter, Heartbeat, Hello, Op, Order, ServerMessage,
    Start, Subscribe, encode_layout,
};
use millstream_codec::wire::position::{OpenXa, Position};
use rows::every_layout;

fn framed(bytes: &[u8]) -> MessageFramer {
    let mut framer = MessageFramer::new(bytes.len(), bytes.len());
    assert_eq!(framer.push(bytes), bytes.len());
    framer
}

fn decode_client(bytes: &[u8]) -> ClientMessage {
    let mut framer = framed(bytes);
    let message = framer.message().unwrap().unwrap();
    ClientMessage::decode(message.root::<client_message::Reader<'_>>().unwrap()).unwrap()
}

fn decode_server(bytes: &[u8]) -> ServerMessage {
    let mut framer = framed(bytes);
    let message = framer.message().unwrap().unwrap();
    ServerMessage::decode(message.root::<server_message::Reader<'_>>().unwrap()).unwrap().expect("not a batch")
}

fn position() -> Position {
    Position {
        incarnation: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
        file: "binlog.000042".into(),
        offset: 5_000_000_000,
        gtid_set: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7".into(),
        open_xa: vec![
            OpenXa { xid: vec![0, 255], gtid: "a:1".into(), file: "binlog.000041".into(), offset: 154 },
            OpenXa::default(),
        ],
    }
}

fn subscribe(start: Start) -> ClientMessage {
    ClientMessage::Subscribe(Box::new(Subscribe {
        destination: "main".into(),
        subscription: "billing".into(),
        filter: Filter {
            include: vec!["shop.*".into(), "/a|b/".into()],
            exclude: vec!["shop.tmp_*".into()],
            columns: vec![ColumnFilter { tables: "shop.users".into(), columns: vec!["id".into(), "name".into()] }],
            kinds: vec![Op::Update, Op::Delete],
            ddl: false,
        },
        start,
        order: Order::Table,
        credit_bytes: 1 << 40,
        compiled: vec![CompiledField {
            table: "shop.orders".into(),
            field: "createdAt".into(),
            ordinal: 65_535,
            type_name: "Int64".into(),
        }],
        standby: true,
    }))
}

#[test]
fn client_messages_are_decoded_as_encoded() {
    let hello = Hello {
        protocol_version: 1,
        client_name: "billing-1".into(),
        user: "u".into(),
        password: "pässword".into(),
        highest_epoch: u64::MAX,
    };
    let messages = [
        ClientMessage::Hello(hello),
        ClientMessage::Hello(Hello::default()),
        subscribe(Start::Resume),
        subscribe(Start::Token(vec![1, 2, 3])),
        subscribe(Start::Earliest),
        subscribe(Start::Latest),
        subscribe(Start::GtidSet("a:1-5".into())),
        subscribe(Start::File { file: "binlog.000001".into(), offset: u64::MAX }),
        subscribe(Start::TimestampUs(-1)),
        ClientMessage::Ack { epoch: 3, sequence: u64::MAX },
        ClientMessage::Rollback,
        ClientMessage::Credit(u64::MAX),
        ClientMessage::Ping(7),
        ClientMessage::Unsubscribe,
    ];
    for message in messages {
        assert_eq!(decode_client(&message.encode()), message);
    }
}

#[test]
fn a_password_does_not_show_in_logs() {
    let hello = Hello { password: "secret".into(), ..Hello::default() };
    let shown = format!("{:?}", ClientMessage::Hello(hello));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn server_messages_are_decoded_as_encoded() {
    let heartbeat = |position| {
        ServerMessage::Heartbeat(Box::new(Heartbeat { sequence: 9, position, server_time_us: -1, source_lag_us: -1 }))
    };
    let messages = [
        ServerMessage::Welcome { protocol_version: 1, server_version: "0.1.0".into(), server_id: "s".into() },
        ServerMessage::Subscribed { epoch: 5, position: position(), token: vec![1, 0, 255] },
        ServerMessage::Layout(Box::new(every_layout(&[]))),
        ServerMessage::Layout(Box::new(every_layout(&[true, false, true]))),
        ServerMessage::Acked { epoch: 5, sequence: 6, position: Position::default() },
        ServerMessage::SchemaBreak { table: "shop.a".into(), field: "b".into(), ordinal: 3, reason: "retired".into() },
        heartbeat(None),
        heartbeat(Some(position())),
        ServerMessage::Error(ErrorMessage { code: "position_purged".into(), message: "m".into(), retry: true }),
        ServerMessage::Pong(u64::MAX),
        ServerMessage::Redirect(vec!["127.0.0.1:1".into(), "[::1]:2".into()]),
        ServerMessage::Waiting,
        ServerMessage::RolledBack(position()),
    ];
    for message in messages {
        assert_eq!(decode_server(&message.encode()), message);
    }
    let layout = every_layout(&[]);
    assert_eq!(decode_server(&encode_layout(&layout)), ServerMessage::Layout(Box::new(layout)));
}

/// C++ and Python read what is behind a message's first segment only when it is touched.
#[test]
fn a_message_is_one_segment_however_large_it_is() {
    let mut layout = every_layout(&[]);
    layout.capnp_text = "a text of some length ".repeat(100_000);
    for message in [
        encode_layout(&layout),
        ServerMessage::Redirect(vec!["host:7440".to_owned(); 10_000]).encode(),
        ClientMessage::Ping(1).encode(),
    ] {
        assert_eq!(message[..4], [0; 4], "the number of segments, less one");
        let words = u32::from_le_bytes(message[4..8].try_into().unwrap());
        assert_eq!(message.len(), 8 + words as usize * 8);
    }
    assert_eq!(decode_server(&encode_layout(&layout)), ServerMessage::Layout(Box::new(layout)));
}

#[test]
fn a_layout_that_contradicts_itself_is_refused() {
    fn check(change: impl FnOnce(&mut Layout), expected: &str) {
        let mut layout = every_layout(&[]);
        change(&mut layout);
        let bytes = encode_layout(&layout);
        let mut framer = framed(&bytes);
        let message = framer.message().unwrap().unwrap();
        let error = ServerMessage::decode(message.root().unwrap()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check(|layout| layout.columns[0].slot = u32::MAX, "outside of its struct");
    check(|layout| layout.columns[14].slot = 1000, "outside of its struct");
    check(|layout| layout.columns[0].null_slot = Some(1 << 20), "outside of its struct");
    check(|layout| layout.columns[0].null_slot = None, "no IsNull bit");
    check(|layout| layout.data_words = 0, "outside of its struct");
    check(|layout| layout.pointers = 0, "outside of its struct");
    check(|layout| layout.columns = vec![layout.columns[0].clone(); 5000], "5000 columns");
}

#[test]
fn a_kind_of_a_newer_server_is_unknown_not_an_error() {
    let mut layout = every_layout(&[]);
    layout.columns[14].kind = ColumnKind::Unknown;
    let bytes = encode_layout(&layout);
    assert_eq!(decode_server(&bytes), ServerMessage::Layout(Box::new(layout)));
}

#[test]
fn damaged_messages_give_errors_and_never_panic() {
    let mut state = 5u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let good = [
        subscribe(Start::Token(vec![1, 2, 3])).encode(),
        ServerMessage::Layout(Box::new(every_layout(&[]))).encode(),
        ServerMessage::Subscribed { epoch: 5, position: position(), token: vec![1, 0, 255] }.encode(),
    ];
    for round in 0..6000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..1 + random() % 3 {
            let at = random() % bytes.len();
            bytes[at] = if random() % 2 == 0 { 0xff } else { bytes[at] ^ 1 << (random() % 8) };
        }
        let mut framer = MessageFramer::new(bytes.len(), bytes.len());
        framer.push(&bytes);
        let Ok(Some(message)) = framer.message() else {
            continue;
        };
        if let Ok(root) = message.root() {
            let _ = ClientMessage::decode(root);
        }
        if let Ok(root) = message.root() {
            let _ = ServerMessage::decode(root);
        }
    }
}
