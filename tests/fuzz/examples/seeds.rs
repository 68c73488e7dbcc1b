//! Makes the part of the corpus that comes from real servers, out of their binlog files:
//!
//! ```text
//! cargo run -p millstream-fuzz --example seeds -- codec/tests/data/*.binlog codec/tests/data/values/*.binlog
//! ```
//! Small inputs only, and of each kind a few: the first that differ in what they hold. What no binlog holds (client
//! messages, layouts, registries, JSON differences) is made by our own encoders. Files are named `real-*` and `own-*`;
//! those are made anew, others (what servers said at login, what once failed) stay.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventData, EventType, PayloadReader, transaction_payload};
use millstream_codec::mysql::packet::write_packet;
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{ColumnTypeCode, TableMap};
use millstream_codec::mysql::value::cell::skip;
use millstream_codec::wire::messages::{
    ClientMessage, ColumnFilter, CompiledField, ErrorMessage, Filter, Hello, Op, Order, ServerMessage, Start, Subscribe,
};
use millstream_codec::wire::position::{OpenXa, Position, ResumeToken};
use millstream_core::records::{MemoryStore, RecordStore};
use millstream_core::tables::Tables;
use millstream_fuzz::{TARGETS, events_of, files_input};

const EVENT_BYTES_MAX: usize = 300;
const FILE_BYTES_MAX: usize = 1500;
const ROWS_BYTES_MAX: usize = 700;

type Events = Vec<(u8, u8, Vec<u8>)>;

fn main() {
    let mut corpus = Corpus::default();
    for path in std::env::args().skip(1) {
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let name = PathBuf::from(&path).file_stem().expect("a file").to_string_lossy().into_owned();
        let kind = if name.starts_with("mariadb") { ServerKind::Mariadb } else { ServerKind::Mysql };
        let events = events_of(&file);
        corpus.files(&name, &events);
        corpus.events(&name, &events, kind);
        corpus.rows(&name, &unpacked(&events), kind);
    }
    corpus.own_messages();
    corpus.own_registry();
    corpus.own_json_diffs();
    corpus.write();
}

/// The events inside TRANSACTION_PAYLOAD take its place.
fn unpacked(events: &Events) -> Events {
    let mut reader = PayloadReader::new(1 << 24).expect("memory");
    let mut all = Vec::new();
    for (type_code, flags, body) in events {
        if *type_code != EventType::TRANSACTION_PAYLOAD {
            all.push((*type_code, *flags, body.clone()));
            continue;
        }
        let payload = transaction_payload::TransactionPayload::parse(body).expect("a sound file");
        reader.begin(&payload).expect("a decoder");
        while let Some(chunk) = reader.next_chunk(payload.payload, 1 << 20).expect("a sound file") {
            for range in transaction_payload::events(&chunk) {
                let event = Event::parse(&chunk[range], Checksum::None).expect("a sound file");
                all.push((event.header.type_code, 0, event.body.to_vec()));
            }
        }
    }
    all
}

/// Target, then what an input is of, then the input.
#[derive(Default)]
struct Corpus(BTreeMap<(&'static str, String), Vec<u8>>);

impl Corpus {
    fn add(&mut self, target: &'static str, of: String, input: Vec<u8>) {
        self.0.entry((target, of)).or_insert(input);
    }

    /// The head of the file with one transaction each, by the types of its events.
    fn files(&mut self, name: &str, events: &Events) {
        let is_head = |code: u8| matches!(code, EventType::FORMAT_DESCRIPTION);
        let begins = |code: u8| {
            matches!(
                code,
                EventType::GTID | EventType::ANONYMOUS_GTID | EventType::GTID_TAGGED | EventType::MARIADB_GTID
            )
        };
        let head: Events = events.iter().filter(|event| is_head(event.0)).cloned().collect();
        let server: String = name.chars().take_while(|c| c.is_alphabetic()).collect();
        let mut group: Events = Vec::new();
        for event in events.iter().chain(std::iter::once(&(EventType::GTID, 0, Vec::new()))) {
            if begins(event.0) && !group.is_empty() {
                let mut types: Vec<u8> = group.iter().map(|event| event.0).collect();
                types.dedup();
                let shape: String = types.iter().map(|code| format!("-{code}")).collect();
                let input = files_input(&[head.clone(), std::mem::take(&mut group)].concat());
                if input.len() <= FILE_BYTES_MAX && types.len() <= 8 {
                    self.add("files", format!("{server}{shape}"), input);
                }
            }
            if !is_head(event.0) {
                group.push(event.clone());
            }
        }
    }

    fn events(&mut self, name: &str, events: &Events, kind: ServerKind) {
        for (type_code, _, body) in events.iter().filter(|event| event.2.len() <= EVENT_BYTES_MAX) {
            let head = [*type_code, u8::from(kind == ServerKind::Mariadb)];
            let of = format!("{name}-{}", EventType::name(*type_code).to_ascii_lowercase());
            self.add("events", of, [&head[..], body].concat());
            match *type_code {
                EventType::QUERY => self.query(*type_code, body, kind),
                EventType::PREVIOUS_GTIDS => {
                    self.add("gtids", format!("{name}-binary"), [&[2], &body[..]].concat());
                }
                EventType::TRANSACTION_PAYLOAD => {
                    self.add("compression", format!("{name}-payload"), [&[0], &body[..]].concat());
                }
                EventType::QUERY_COMPRESSED | EventType::WRITE_ROWS_COMPRESSED_V1 => {
                    // What is compressed lies at the end: behind a head whose first bits say so.
                    if let Some(at) = body.windows(4).position(|part| part[0] & 0xf8 == 0x80 && part[2] == 0x78) {
                        self.add("compression", format!("{name}-{type_code}"), [&[2], &body[at..]].concat());
                    }
                }
                _ => {}
            }
        }
    }

    fn query(&mut self, type_code: u8, body: &[u8], kind: ServerKind) {
        let header = millstream_codec::mysql::event::EventHeader {
            timestamp: 0,
            type_code,
            server_id: 0,
            size: 19,
            end_position: 0,
            flags: 0,
        };
        let event = Event { header, body };
        let Ok(EventData::Query(query)) = EventData::parse(&event, kind) else { return };
        let sql = query.statement(1 << 20).expect("a sound file");
        let words: String = String::from_utf8_lossy(&sql).split_whitespace().take(2).collect::<Vec<_>>().join("-");
        let words: String = words.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect();
        let head = [u8::from(kind == ServerKind::Mariadb), 80];
        self.add("statements", words.to_ascii_lowercase(), [&head[..], &sql[..]].concat());
    }

    /// Each TABLE_MAP with the rows events behind it, by table; and JSON documents out of the rows.
    fn rows(&mut self, name: &str, events: &Events, kind: ServerKind) {
        let mode = u8::from(kind == ServerKind::Mariadb);
        let mut maps: BTreeMap<u64, &Vec<u8>> = BTreeMap::new();
        for (type_code, _, body) in events {
            if *type_code == EventType::TABLE_MAP {
                maps.insert(TableMap::parse(body, kind).expect("a sound file").table_id, body);
                continue;
            }
            if !RowsEvent::is_rows(*type_code) {
                continue;
            }
            let rows = RowsEvent::parse(*type_code, body).expect("a sound file");
            let Some(map_body) = maps.get(&rows.table_id) else { continue };
            let map = TableMap::parse(map_body, kind).expect("a sound file");
            self.json(name, &map, &rows);
            let mut input = vec![mode, 0];
            for part in [&map_body[..], &body[..]] {
                if input.len() > 2 {
                    input.push(*type_code);
                }
                input.extend((part.len() as u16).to_le_bytes());
                input.extend(part);
            }
            if input.len() <= ROWS_BYTES_MAX {
                self.add("rows", format!("{name}-{}-{type_code}", map.table), input);
            }
        }
    }

    /// The documents of rows that have all their columns.
    fn json(&mut self, name: &str, map: &TableMap<'_>, rows: &RowsEvent<'_>) {
        if !map.formats.iter().any(|format| format.type_code == ColumnTypeCode::JSON) || !rows.has_full_images() {
            return;
        }
        let mut rest = rows.rows;
        let mut number = 0;
        while let Some(documents) = row(&mut rest, &map.formats) {
            for document in documents {
                if document.len() <= EVENT_BYTES_MAX && number < 40 && name.starts_with("mysql97") {
                    number += 1;
                    self.add("jsonb", format!("{name}-{}-{number}", map.table), document.to_vec());
                }
            }
        }
    }

    fn own_messages(&mut self) {
        let client = [
            ClientMessage::Hello(Hello { protocol_version: 1, client_name: "c".into(), ..Hello::default() }),
            ClientMessage::Subscribe(Box::new(Subscribe {
                destination: "main".into(),
                subscription: "s".into(),
                filter: Filter {
                    include: vec!["shop.*".into()],
                    columns: vec![ColumnFilter { tables: "shop.t".into(), columns: vec!["a".into()] }],
                    kinds: vec![Op::Insert],
                    ..Filter::default()
                },
                start: Start::File { file: "b.000001".into(), offset: 4 },
                order: Order::Commit,
                credit_bytes: 1 << 20,
                compiled: vec![CompiledField {
                    table: "shop.t".into(),
                    field: "a".into(),
                    ordinal: 0,
                    type_name: "Int32".into(),
                }],
                standby: false,
            })),
            ClientMessage::Ack { epoch: 1, sequence: 2 },
            ClientMessage::Credit(3),
            ClientMessage::Rollback,
        ];
        for (index, message) in client.iter().enumerate() {
            self.add("wire", format!("client-{index}"), [&[0, 40], &message.encode()[..]].concat());
        }
        let position = Position {
            incarnation: "i".into(),
            file: "b.000001".into(),
            offset: 4,
            gtid_set: "0-1-2".into(),
            open_xa: vec![OpenXa { xid: b"x".to_vec(), gtid: "0-1-1".into(), file: "b.000001".into(), offset: 9 }],
        };
        let token = ResumeToken { destination: "main".into(), position: position.clone() }.encode();
        self.add("gtids", "own-token".into(), [&[4], &token[..token.len() - 8]].concat());
        let server = [
            ServerMessage::Welcome { protocol_version: 1, server_version: "1".into(), server_id: "s".into() },
            ServerMessage::Subscribed { epoch: 1, position: position.clone(), token },
            ServerMessage::Acked { epoch: 1, sequence: 2, position },
            ServerMessage::Error(ErrorMessage { code: "c".into(), message: "m".into(), retry: true }),
            ServerMessage::Redirect(vec!["db:7440".into()]),
        ];
        for (index, message) in server.iter().enumerate() {
            self.add("wire", format!("server-{index}"), [&[1, 40], &message.encode()[..]].concat());
        }
        let mut packets = vec![1, 7];
        let mut sequence = 0;
        for payload in [&b"first"[..], b"", &[7; 300]] {
            write_packet(&mut packets, &mut sequence, payload);
        }
        self.add("packets", "own-three".into(), packets);
    }

    fn own_registry(&mut self) {
        for (name, columns) in [("one", &["id"][..]), ("three", &["id", "name", "n"])] {
            let columns = columns.iter().map(|name| ColumnSchema {
                name: (*name).into(),
                column_type: ColumnType::Integer { bytes: 4, unsigned: false },
                primary_key: 0,
            });
            let schema = TableSchema { database: "d".into(), table: "t".into(), columns: columns.collect() };
            let formats = vec![ColumnFormat { type_code: ColumnTypeCode::LONG, meta: 0 }; schema.columns.len()];
            let store = SharedStore::default();
            let mut tables = Tables::open("main", Box::new(store.clone()), Box::new(MemoryStore::default()))
                .expect("an empty registry");
            let at = millstream_core::position::Position::default();
            tables.resolve(schema, formats, &at).expect("a table");
            tables.commit().expect("memory");
            let bytes = store.0.lock().expect("no panic").clone();
            // One frame: its payload lies behind three numbers.
            let payload = &bytes[12..];
            let counted = [&(payload.len() as u16).to_le_bytes()[..], payload].concat();
            self.add("registry", format!("own-{name}-frame"), [&[0, 1], &counted[..]].concat());
            self.add("registry", format!("own-{name}-raw"), [&[1, 0], &bytes[..]].concat());
        }
    }

    /// `{"a": [1, 2]}` with a difference of each operation.
    fn own_json_diffs(&mut self) {
        let document: &[u8] =
            b"\x00\x01\x00\x16\x00\x0b\x00\x01\x00\x02\x0c\x00a\x02\x00\x0a\x00\x05\x01\x00\x05\x02\x00";
        for (name, differences) in [
            ("replace", &b"\x00\x03$.a\x03\x05\x07\x00"[..]),
            ("insert", b"\x01\x06$.a[1]\x03\x05\x07\x00\x01\x03$.b\x02\x04\x01"),
            ("remove", b"\x02\x09$.a[last]\x02\x05$.\"a\""),
        ] {
            let counted = [&(document.len() as u16).to_le_bytes()[..], document].concat();
            self.add("json_diff", format!("own-{name}"), [&counted[..], differences].concat());
        }
    }

    fn write(&self) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for target in TARGETS {
            let folder = root.join(target.name);
            std::fs::create_dir_all(&folder).expect("a folder");
            for old in std::fs::read_dir(&folder).expect("a folder").flatten() {
                let name = old.file_name().to_string_lossy().into_owned();
                if name.starts_with("real-") || name.starts_with("own-") {
                    std::fs::remove_file(old.path()).expect("an old file");
                }
            }
        }
        let mut total = 0;
        for ((target, of), input) in &self.0 {
            total += input.len();
            let is_own = of.starts_with("own-") || *target == "wire";
            let name = if is_own { format!("own-{}", of.trim_start_matches("own-")) } else { format!("real-{of}") };
            std::fs::write(root.join(target).join(name), input).expect("a new file");
        }
        println!("{} inputs, {total} bytes", self.0.len());
    }
}

/// The JSON columns of the row at the front of `rest`.
fn row<'a>(rest: &mut &'a [u8], formats: &[ColumnFormat]) -> Option<Vec<&'a [u8]>> {
    let (nulls, mut values) = rest.split_at_checked(formats.len().div_ceil(8))?;
    let mut documents = Vec::new();
    for (index, format) in formats.iter().enumerate() {
        if nulls[index / 8] >> (index % 8) & 1 == 1 {
            continue;
        }
        let (value, behind) = values.split_at_checked(skip(*format, values).ok()?)?;
        if format.type_code == ColumnTypeCode::JSON {
            documents.push(value.get(usize::from(format.meta)..)?);
        }
        values = behind;
    }
    *rest = values;
    Some(documents)
}

/// What is written can be looked at.
#[derive(Clone, Default)]
struct SharedStore(Arc<Mutex<Vec<u8>>>);

impl RecordStore for SharedStore {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, _length_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<String> {
        Ok(String::new())
    }
}
