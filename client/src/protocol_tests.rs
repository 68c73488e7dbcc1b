use std::collections::VecDeque;

use millstream_codec::millstream_capnp::{client_message, hello as orders};
use millstream_codec::wire::read::Value;

use super::*;
use crate::cursor::Cursor;
use crate::support::*;
use crate::transaction::{Change, Transaction};

fn config() -> ClientConfig {
    ClientConfig::new(["a:1"], "main").subscription("s").credit_bytes(4096)
}

fn connection(config: &ClientConfig) -> Connection {
    Connection::new(config, "a:1", &Start::Resume, 0)
}

fn feed(connection: &mut Connection, bytes: &[u8]) -> Result<(), ClientError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = connection.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        connection.filled(count)?;
    }
    Ok(())
}

/// A connection that streams, in epoch 3 behind transaction 10.
fn streaming(config: &ClientConfig) -> Connection {
    let mut connection = connection(config);
    feed(&mut connection, &[welcome(), subscribed(3, 10), layout()].concat()).expect("handshake");
    while connection.poll().is_some() {}
    said(&mut connection);
    connection
}

/// What the client has to say, taken from it.
fn said(connection: &mut Connection) -> VecDeque<ClientMessage> {
    let bytes = connection.outgoing().to_vec();
    connection.sent(bytes.len());
    let mut rest = &bytes[..];
    let mut messages = VecDeque::new();
    while !rest.is_empty() {
        let options = capnp::message::ReaderOptions::new();
        let words = capnp::serialize::read_message(&mut rest, options).expect("message");
        let root: client_message::Reader<'_> = words.get_root().expect("root");
        messages.push_back(ClientMessage::decode(root).expect("decode"));
    }
    messages
}

fn events(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll()).collect()
}

/// (sequence, ids of its rows) of each transaction that comes out.
fn transactions(connection: &mut Connection) -> Vec<(u64, Vec<u64>)> {
    let committed = events(connection).into_iter().filter_map(|event| match event {
        Event::Transaction(committed) => Some(committed),
        _ => None,
    });
    committed.map(|committed| (committed.sequence, ids(&opened(committed)))).collect()
}

fn opened(committed: Committed) -> Transaction {
    Transaction::new(committed, 1, Cursor::new(&position(10)).expect("cursor").snapshot(), false)
}

fn ids(transaction: &Transaction) -> Vec<u64> {
    let mut ids = Vec::new();
    for change in transaction.changes() {
        if let Change::Rows(rows) = change.expect("change") {
            for row in rows.iter() {
                match row.get("id").expect("id") {
                    Value::UInt(id) => ids.push(id),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    ids
}

#[test]
fn subscribe_is_said_after_welcome_and_with_what_was_asked_for() {
    let config = config().include("shop.*").kinds([crate::Op::Delete]).credentials("u", "p");
    let mut connection = Connection::new(&config, "a:1", &Start::TimestampUs(5), 9);
    let first = said(&mut connection);
    let [ClientMessage::Hello(hello)] = first.iter().collect::<Vec<_>>()[..] else { panic!("{first:?}") };
    assert_eq!((hello.user.as_str(), hello.highest_epoch), ("u", 9));
    feed(&mut connection, &welcome()).expect("welcome");
    let second = said(&mut connection);
    let [ClientMessage::Subscribe(subscribe)] = second.iter().collect::<Vec<_>>()[..] else { panic!("{second:?}") };
    assert_eq!(subscribe.start, Start::TimestampUs(5));
    assert_eq!(subscribe.filter.include, ["shop.*"]);
    assert_eq!((subscribe.credit_bytes, subscribe.subscription.as_str()), (4096, "s"));
}

#[test]
fn whole_transactions_come_out_with_their_rows() {
    let mut connection = streaming(&config());
    feed(&mut connection, &batch(3, &[whole(11), whole(12)])).expect("batch");
    assert_eq!(connection.queued_transactions(), 2);
    assert_eq!(transactions(&mut connection), [(11, vec![11]), (12, vec![12])]);
    assert_eq!(connection.queued_transactions(), 0);
}

#[test]
fn a_batch_in_several_segments_is_read_like_one_in_one() {
    let mut connection = streaming(&config());
    let fragments: Vec<Fragment> = (11..500).map(whole).collect();
    let bytes = batch(3, &fragments);
    assert_ne!(bytes[0], 0, "more than one segment");
    let owed = connection.credit_owed;
    feed(&mut connection, &bytes).expect("batch");
    let Some(Event::Transaction(committed)) = connection.poll() else { panic!("no transaction") };
    let transaction = opened(committed);
    let Some(Ok(Change::Rows(rows))) = transaction.changes().next() else { panic!("no rows") };
    assert_eq!(rows.after_as::<orders::Owned>().expect("typed").get(0).get_highest_epoch(), 11);
    let rest: Vec<_> = (12..500).map(|sequence| (sequence, vec![sequence])).collect();
    assert_eq!(transactions(&mut connection), rest);
    let credit: u64 = said(&mut connection)
        .iter()
        .map(|message| match message {
            ClientMessage::Credit(bytes) => *bytes,
            _ => 0,
        })
        .sum();
    let came = bytes.len() as u64;
    assert_eq!(credit + connection.credit_owed - owed, came, "as it came, not as it was copied");
}

#[test]
fn whole_transactions_and_parts_come_out_in_the_order_of_the_batch() {
    let mut connection = streaming(&config());
    let fragments =
        [whole(11), whole(12), first_part(13, &[(0, 1)]), last_part(13, &[(1, 2)]), whole(14), first_part(15, &[])];
    feed(&mut connection, &batch(3, &fragments)).expect("batch");
    assert_eq!(connection.queued_transactions(), 4);
    let came = transactions(&mut connection);
    assert_eq!(came, [(11, vec![11]), (12, vec![12]), (13, vec![1, 2]), (14, vec![14])]);
    // What came whole before what is wrong is handed over.
    assert!(feed(&mut connection, &batch(3, &[whole(16), whole(17), whole(17)])).is_err());
    assert_eq!(transactions(&mut connection), [(16, vec![16]), (17, vec![17])]);
}

#[test]
fn transactions_know_their_places_also_where_a_file_ends() {
    let mut connection = streaming(&config());
    let bytes = batch(3, &[whole(11), whole(12)]);
    // The end of the second one lies in the next file: the last name in the message.
    let at = bytes.windows(13).rposition(|window| window == b"binlog.000001").expect("a name");
    let mut bytes = bytes;
    bytes[at + 12] = b'2';
    feed(&mut connection, &bytes).expect("batch");
    let places: Vec<_> = events(&mut connection)
        .into_iter()
        .filter_map(|event| match event {
            Event::Transaction(committed) => Some(opened(committed)),
            _ => None,
        })
        .map(|transaction| (transaction.start_position().to_string(), transaction.position().to_string()))
        .collect();
    let place = |file: u32, offset: u64| format!("binlog.00000{file}:{offset}");
    assert_eq!(
        places,
        [(place(1, 10_000), place(1, 11_000)), (place(1, 11_000), place(2, 12_000))].map(|(start, end)| (start, end))
    );
}

#[test]
fn rows_are_read_by_generated_code_from_where_they_were_received() {
    let mut connection = streaming(&config());
    feed(&mut connection, &batch(3, &[whole(11)])).expect("batch");
    let Some(Event::Transaction(committed)) = connection.poll() else { panic!("no transaction") };
    let transaction = opened(committed);
    let Some(Ok(Change::Rows(rows))) = transaction.changes().next() else { panic!("no rows") };
    let typed = rows.after_as::<orders::Owned>().expect("typed");
    assert_eq!((typed.len(), typed.get(0).get_highest_epoch()), (1, 11));
    assert_eq!(rows.before_as::<orders::Owned>().expect("typed").len(), 0);
    let wrong = rows.after_as::<server_message::Owned>().map(|list| list.len()).expect_err("another struct");
    assert!(wrong.to_string().contains("shop.orders"), "{wrong}");
}

#[test]
fn parts_are_held_until_commit_and_dropped_on_abort() {
    let check = |messages: &[Vec<Fragment>], expected: &[(u64, Vec<u64>)]| {
        let mut connection = streaming(&config());
        for fragments in messages {
            feed(&mut connection, &batch(3, fragments)).expect("batch");
        }
        assert_eq!(transactions(&mut connection), expected);
    };
    let first = || first_part(11, &[(0, 1), (1, 2)]);
    let next = || next_part(11, &[(2, 3)]);
    check(&[vec![first()], vec![next()]], &[]);
    check(&[vec![first()], vec![next()], vec![last_part(11, &[(3, 4)])]], &[(11, vec![1, 2, 3, 4])]);
    check(&[vec![first(), last_part(11, &[]), whole(12)]], &[(11, vec![1, 2]), (12, vec![12])]);
    let abort = Fragment { abort: true, ..next_part(11, &[]) };
    check(&[vec![first()], vec![next(), abort.clone()], vec![whole(12)]], &[(12, vec![12])]);
    // The source reconnected: the number is used again for the same transaction.
    check(&[vec![first(), abort], vec![whole(11)]], &[(11, vec![11])]);
    // ROLLBACK TO SAVEPOINT, twice; the numbers of events go on.
    let cut = |to, rows: &[(u32, u64)]| Fragment { truncate_to: Some(to), ..next_part(11, rows) };
    check(&[vec![first()], vec![cut(1, &[(2, 3)])], vec![last_part(11, &[(3, 4)])]], &[(11, vec![1, 3, 4])]);
    check(&[vec![first(), next(), cut(2, &[(3, 4)]), cut(1, &[(4, 5)]), last_part(11, &[])]], &[(11, vec![1, 5])]);
}

#[test]
fn credit_comes_back_as_transactions_are_taken() {
    let mut connection = streaming(&config().credit_bytes(1000));
    let bytes = batch(3, &[whole(11), whole(12)]);
    assert!(bytes.len() < 500 * 2 && bytes.len() > 500, "{}", bytes.len());
    feed(&mut connection, &bytes).expect("batch");
    let credit = |connection: &mut Connection| {
        said(connection)
            .into_iter()
            .map(|said| match said {
                ClientMessage::Credit(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .sum::<u64>()
    };
    connection.poll();
    assert_eq!(credit(&mut connection), 0);
    connection.poll();
    assert_eq!(credit(&mut connection), 0, "the last one is only now in the application's hands");
    assert!(connection.poll().is_none());
    assert_eq!(credit(&mut connection), bytes.len() as u64);
}

#[test]
fn a_transaction_larger_than_the_credit_gets_credit_while_it_is_held() {
    let mut connection = streaming(&config().credit_bytes(100));
    feed(&mut connection, &batch(3, &[first_part(11, &[(0, 1)])])).expect("batch");
    assert!(connection.poll().is_none());
    assert!(matches!(said(&mut connection).front(), Some(ClientMessage::Credit(_))));
}

#[test]
fn a_transaction_over_its_bound_is_an_error_that_names_the_bound() {
    let mut connection = streaming(&config().transaction_bytes_max(1000));
    let part = batch(3, &[next_part(11, &[(0, 1)])]);
    feed(&mut connection, &batch(3, &[first_part(11, &[(0, 1)])])).expect("first");
    let error = (0..10).find_map(|_| feed(&mut connection, &part).err()).expect("too large");
    assert!(error.to_string().contains("transaction_bytes_max"), "{error}");
}

#[test]
fn a_lower_epoch_is_refused() {
    let check = |bytes: Vec<u8>| {
        let mut connection = streaming(&config());
        let error = feed(&mut connection, &bytes).expect_err("stale");
        assert!(matches!(error, ClientError::StaleEpoch { epoch: 2, highest: 3, .. }), "{error}");
    };
    check(batch(2, &[whole(11)]));
    check(acked(2, 10));
    let mut fresh = Connection::new(&config(), "a:1", &Start::Resume, 3);
    let error = feed(&mut fresh, &[welcome(), subscribed(2, 10)].concat()).expect_err("stale");
    assert!(matches!(error, ClientError::StaleEpoch { .. }), "{error}");
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let check = |bytes: Vec<u8>, word: &str| {
        let mut connection = streaming(&config());
        let error = feed(&mut connection, &bytes).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    };
    check(welcome(), "welcome");
    check(subscribed(3, 1), "subscribed");
    check(batch(3, &[Fragment { layout: 8, ..whole(11) }]), "layout 8");
    check(batch(3, &[Fragment { excess: 1, ..whole(11) }]), "1 rows where 2");
    check(batch(3, &[next_part(11, &[])]), "without its begin");
    check(batch(3, &[whole(12), whole(12)]), "transaction 12 after transaction 12");
    check(vec![0xff; 64], "segments");
    let mut fresh = connection(&config());
    let error = feed(&mut fresh, &[welcome(), batch(3, &[whole(1)])].concat()).expect_err("early").to_string();
    assert!(error.contains("layout") || error.contains("before 'subscribed'"), "{error}");
}

#[test]
fn rollback_drops_what_was_sent_before_the_server_read_it() {
    let mut connection = streaming(&config());
    feed(&mut connection, &batch(3, &[whole(11), whole(12)])).expect("batch");
    connection.rollback();
    assert!(said(&mut connection).contains(&ClientMessage::Rollback));
    feed(&mut connection, &batch(3, &[whole(13)])).expect("still under way");
    assert_eq!(connection.queued_transactions(), 0);
    let answer = ServerMessage::RolledBack(position(10)).encode();
    feed(&mut connection, &[answer, batch(3, &[whole(11)])].concat()).expect("answer");
    let events = events(&mut connection);
    assert!(matches!(&events[0], Event::RolledBack { position } if position.offset == 10_000), "{events:?}");
    assert!(matches!(&events[1], Event::Transaction(committed) if committed.sequence == 11));
}

#[test]
fn errors_of_the_server_come_behind_what_it_sent_before() {
    let mut connection = streaming(&config());
    let schema_break = ServerMessage::SchemaBreak {
        table: "shop.orders".into(),
        field: "total".into(),
        ordinal: 4,
        reason: "dropped".into(),
    };
    let bytes = [batch(3, &[whole(11)]), schema_break.encode(), error("schema_break", false)].concat();
    feed(&mut connection, &bytes).expect("bytes");
    let events = events(&mut connection);
    assert!(matches!(&events[0], Event::Transaction(_)));
    assert!(matches!(&events[1], Event::Failed(ClientError::SchemaBreak { field, .. }) if field == "total"));
    assert!(matches!(&events[2], Event::Failed(ClientError::Refused { code, .. }) if code == "schema_break"));
}

#[test]
fn heartbeats_move_the_position_in_their_turn() {
    let mut connection = streaming(&config());
    feed(&mut connection, &[batch(3, &[whole(11)]), heartbeat(14, Some(14)), heartbeat(15, None)].concat())
        .expect("bytes");
    let events = events(&mut connection);
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(matches!(&events[1], Event::Stands { position } if position.offset == 14_000));
}

#[test]
fn damaged_bytes_never_panic() {
    let good = [layout(), batch(3, &[whole(11), first_part(12, &[(0, 1), (1, 2)])]), heartbeat(9, Some(9))].concat();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + round % 4 {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        bytes.truncate(bytes.len() - random(3) * 8);
        let mut connection = streaming(&config());
        let _ = feed(&mut connection, &bytes);
        while let Some(event) = connection.poll() {
            if let Event::Transaction(committed) = event {
                let transaction = opened(committed);
                for change in transaction.changes() {
                    match change {
                        Ok(Change::Rows(rows)) => {
                            for row in rows.iter().take(100) {
                                let _ = (row.get("id").is_ok(), row.get("note").is_ok());
                            }
                            let _ = rows.after_as::<orders::Owned>().map(|list| list.len());
                        }
                        Ok(Change::Ddl(ddl)) => drop((ddl.statement(), ddl.tables().len())),
                        Err(_) => {}
                    }
                }
            }
        }
    }
}

#[test]
fn a_transaction_may_go_to_another_thread() {
    fn check<T: Send + Sync>() {}
    check::<Transaction>();
    fn check_send<T: Send>() {}
    check_send::<crate::blocking::Client>();
    check_send::<crate::asynchronous::Client>();
}
