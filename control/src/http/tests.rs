use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_codec::wire::layout::{ColumnKind, Layout, LayoutColumn};
use millstream_core::bridge::{CoreStatus, SourceStatus};
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::metrics::checker;
use crate::state::SharedState;
use crate::state::tests::{FakeDestination, position, shared_state, subscription};

/// Status code and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer with headers");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    (code, body.to_owned())
}

fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has seen enough may close early.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Serves on a thread for as long as the test process lives.
fn serve(state: Arc<SharedState>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { super::serve(tokio::net::TcpListener::from_std(listener).unwrap(), state).await });
    });
    address
}

fn json(body: &str) -> OwnedValue {
    simd_json::to_owned_value(&mut body.as_bytes().to_vec()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn layout() -> Layout {
    let column = LayoutColumn {
        name: "created_at".to_owned(),
        field: "createdAt".to_owned(),
        ordinal: 3,
        kind: ColumnKind::Datetime,
        slot: 1,
        null_slot: Some(64),
        mysql_type: "datetime(6)".to_owned(),
        digits: 6,
        bits: 0,
        labels: Arc::new([]),
        primary_key: 0,
        masked: false,
    };
    Layout {
        id: 1,
        database: "shop".to_owned(),
        table: "line items/2".to_owned(),
        struct_id: 0x8000_0000_0000_0001,
        version: 2,
        file_id: 0x9000_0000_0000_0000,
        data_words: 2,
        pointers: 0,
        columns: vec![column],
        capnp_text: "@0x9000000000000000;\nstruct LineItems2 {}\n".to_owned(),
        nodes: Vec::new(),
    }
}

fn streaming() -> Arc<FakeDestination> {
    Arc::new(FakeDestination {
        status: Mutex::new(SourceStatus {
            destination: "orders".to_owned(),
            state: "streaming".to_owned(),
            server: "127.0.0.1:3306".to_owned(),
            position: "binlog.000042:1234".to_owned(),
            quarantined: vec![("shop.odd".to_owned(), "column count".to_owned())],
            ..SourceStatus::default()
        }),
        layouts: vec![Arc::new(layout())],
        cursors: vec![("billing".into(), position()), ("away".into(), position())],
        ..FakeDestination::default()
    })
}

#[test]
fn metrics_are_a_valid_document_of_the_right_type() {
    let address = serve(shared_state(&streaming()));
    let answer = exchange(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert_eq!(checker::complaints(body), Vec::<String>::new(), "{body}");
    assert!(body.contains("millstream_ready 1\n"));
}

#[test]
fn health_and_readiness_say_why_not() {
    let destination = Arc::new(FakeDestination::default());
    let address = serve(shared_state(&destination));
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz"), (503, "destination orders is starting\n".to_owned()));
    destination.status.lock().unwrap().state = "streaming".to_owned();
    assert_eq!(get(address, "/readyz"), (200, "ok\n".to_owned()));
}

#[test]
fn status_tells_sources_and_subscriptions() {
    let state = shared_state(&streaming());
    let subscriptions = vec![subscription("billing", "live", 2), subscription("", "catch_up", 0)];
    state.told().cores.insert(0, (Instant::now(), CoreStatus { core: 0, subscriptions }));
    let (code, body) = get(serve(state), "/api/v1/status");
    assert_eq!(code, 200);
    let status = json(&body);
    assert_eq!(status["ready"], true);
    let orders = &status["destinations"][0];
    assert_eq!(orders["name"], "orders");
    assert_eq!(orders["quarantined"][0]["table"], "shop.odd");
    assert_eq!(orders["subscriptions"][0]["name"], "billing");
    assert_eq!(orders["subscriptions"][0]["unacked_transactions"], 2);
    assert_eq!(orders["subscriptions"][0]["position"]["offset"], 1234);
    assert_eq!(orders["subscriptions"].as_array().unwrap().len(), 2);
    let disconnected = orders["disconnected"].as_array().unwrap();
    assert_eq!(disconnected.len(), 1, "{body}");
    assert_eq!(disconnected[0]["name"], "away");
    assert_eq!(status["memory"]["bound_bytes"], 1_u64 << 30);
    assert_eq!(status["stages"].as_array().unwrap().len(), 4);
}

#[test]
fn layouts_are_found_by_escaped_names() {
    let address = serve(shared_state(&streaming()));
    let (_, tables) = get(address, "/api/v1/destinations/orders/tables");
    let tables = json(&tables);
    assert_eq!(tables["tables"][0]["table"], "line items/2");
    assert_eq!(tables["tables"][0]["version"], 2);
    assert!(tables["tables"][1]["version"].is_null());

    let path = "/api/v1/destinations/orders/tables/shop/line%20items%2F2";
    let (code, body) = get(address, path);
    assert_eq!(code, 200, "{body}");
    let layout = json(&body);
    assert_eq!(layout["struct_id"], "0x8000000000000001");
    assert_eq!(layout["columns"][0]["kind"], "datetime");
    assert_eq!(layout["columns"][0]["null_slot"], 64);
    let (code, text) = get(address, &format!("{path}/schema.capnp"));
    assert_eq!((code, text.as_str()), (200, "@0x9000000000000000;\nstruct LineItems2 {}\n"));
}

#[test]
fn a_repair_is_asked_for_with_its_header_only() {
    let address = serve(shared_state(&streaming()));
    let post = |table: &str, header: &str| {
        let path = format!("/api/v1/destinations/orders/tables/shop/{table}/repair");
        exchange(address, &format!("POST {path} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 0\r\n\r\n"))
    };
    let json_header = "Content-Type: application/json\r\n";
    let answer = post("t", json_header);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("shop.t was read again"), "{answer}");
    let answer = post("unmet", json_header);
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("there is no table"), "{answer}");
    assert!(post("t", "").starts_with("HTTP/1.1 415"));
    let (_, history) = get(address, "/api/v1/destinations/orders/tables/shop/t/history");
    assert_eq!(json(&history)["versions"][0], "binlog.000042:4  Snapshot 1 column");
}

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let address = serve(shared_state(&streaming()));
    for (path, expected) in [
        ("/nothing", "/ lists what there is"),
        ("/api/v1/destinations/other/tables", "no destination 'other'; known: orders"),
        ("/api/v1/destinations/orders/tables/shop/unmet", "there is no table shop.unmet"),
        ("/api/v1/destinations/orders/tables/shop/unmet/schema.capnp", "there is no table shop.unmet"),
    ] {
        let (code, body) = get(address, path);
        assert_eq!(code, 404, "{path}");
        let error = json(&body);
        assert!(error["error"].as_str().unwrap().contains(expected), "{body}");
    }
    let answer = exchange(address, "POST /api/v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[test]
fn hostile_requests_end_their_own_connection_only() {
    let address = serve(shared_state(&streaming()));
    let long = "x".repeat(4 * super::HEADER_BYTES_MAX);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"),
        "\0\0\0\0\u{1}garbage\r\n\r\n".to_owned(),
        "GET /api/v1/destinations/%ff/tables HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
    ] {
        let answer = exchange(address, &request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(address, "/healthz").0, 200);
}
