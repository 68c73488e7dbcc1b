//! The client library from received bytes to the value of a row, and the acks that it has to say.

use std::hint::black_box;

use millstream_client::offline::Offline;
use millstream_client::wire::batch::{BatchBuilder, FragmentEnd, FragmentHead, RowsHead};
use millstream_client::wire::messages::{PROTOCOL_VERSION, ServerMessage};
use millstream_client::wire::read::Value;
use millstream_client::{Change, ClientConfig, Position, Transaction};
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::wire::encode::{RowProgram, RowsEncoder};

use super::{Entry, Sink, Size, Stage};
use crate::binlog::HEADER_BYTES;
use crate::encoding::layout_of;
use crate::rows::Rows;
use crate::{Numbers, orders};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "client.single_row_transactions", units: "transactions", make: |size| make(size, 1) },
    Entry { name: "client.bulk", units: "rows", make: |size| make(size, ROWS_A_LARGE_TRANSACTION) },
];

/// What a server sends at a time.
const BATCH_BYTES: usize = 128 << 10;
/// What a socket brings at a time.
const READ_BYTES: usize = 256 << 10;
const ROWS_A_LARGE_TRANSACTION: usize = 500;
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const FILE: &str = "binlog.000123";
/// As the laboratory's counting client acknowledges.
const ACK_EVERY: u64 = 1024;
const PIECE_BYTES_MAX: usize = 4 << 20;

struct Receive {
    client: Offline,
    /// Handshake, layout, and the first batches: buffers have grown behind them.
    head: Vec<u8>,
    stream: Vec<u8>,
    unacked: u64,
}

fn make(size: Size, rows_each: usize) -> (u64, Box<dyn Stage>) {
    let rows = match size {
        Size::Smoke => 6_000,
        Size::Full => 40_000,
    };
    let (warm, mut batches) = (4 * BATCH_BYTES, batches(rows, rows_each));
    let mut head = handshake();
    let mut skipped = 0;
    let mut taken = 0;
    while taken < warm && batches.len() > 1 {
        let (units, message) = batches.remove(0);
        taken += message.len();
        skipped += units;
        head.extend_from_slice(&message);
    }
    let units: usize = batches.iter().map(|(units, _)| units).sum();
    let stream = batches.into_iter().flat_map(|(_, message)| message).collect();
    assert!(skipped > 0, "the first batches are not measured");
    (units as u64, Box::new(Receive { client: client(), head, stream, unacked: 0 }))
}

fn client() -> Offline {
    let config = ClientConfig::new(["bench:1"], "main").subscription("bench").without_reconnect();
    Offline::new(config).expect("a client")
}

fn handshake() -> Vec<u8> {
    let position = Position {
        incarnation: UUID.into(),
        file: FILE.into(),
        offset: 4,
        gtid_set: format!("{UUID}:1-1000000,{}:1-77", UUID.replace('3', "4")),
        open_xa: Vec::new(),
    };
    let table = orders::orders(1, 1);
    let map = TableMap::parse(&table.table_map[HEADER_BYTES..], ServerKind::Mysql).expect("a TABLE_MAP");
    let layout = layout_of(&map.schema().expect("full metadata"));
    [
        ServerMessage::Welcome {
            protocol_version: PROTOCOL_VERSION,
            server_version: "bench".into(),
            server_id: "bench".into(),
        },
        ServerMessage::Subscribed { epoch: 1, position, token: Vec::new() },
        ServerMessage::Layout(Box::new(layout)),
    ]
    .iter()
    .flat_map(ServerMessage::encode)
    .collect()
}

/// Units (transactions of one row, or rows) and bytes of each.
fn batches(row_count: usize, rows_each: usize) -> Vec<(usize, Vec<u8>)> {
    let mut numbers = Numbers::new(5);
    let images = (1..=row_count as u64).map(|id| orders::row(id, &mut numbers));
    let rows = match rows_each {
        1 => Rows::one_by_one(orders::TABLE_ID, orders::DATABASE, orders::TABLE, orders::columns(), images),
        _ => Rows::new(orders::TABLE_ID, orders::DATABASE, orders::TABLE, orders::columns(), images),
    };
    let map = TableMap::parse(&rows.table_map[HEADER_BYTES..], ServerKind::Mysql).expect("a TABLE_MAP");
    let schema = map.schema().expect("full metadata");
    let layout = layout_of(&schema);
    let program = RowProgram::compile(&layout, &schema, &map.formats).expect("a program");
    let mut encoder = RowsEncoder::new();
    let mut builder = BatchBuilder::default();
    let (mut sealed, mut in_batch, mut in_transaction, mut event_number) = (Vec::new(), 0, 0, 0);
    let (mut sequence, mut offset) = (0, 4_u64);
    for event in &rows.events {
        let parsed = RowsEvent::parse(event[4], &event[HEADER_BYTES..]).expect("a rows event");
        let (mut slab, mut pieces) = (TextBuffer::default(), Vec::new());
        let encoded = encoder.encode(&program, &parsed, &mut slab, PIECE_BYTES_MAX, |piece| pieces.push(piece));
        let count = encoded.expect("rows") as usize;
        if in_transaction == 0 {
            sequence += 1;
            let gtid = format!("{UUID}:{}", 1_000_000 + sequence);
            builder.begin_fragment(&FragmentHead {
                sequence,
                commit_time_us: 1_700_000_000_000_000 + sequence as i64,
                time_precision_us: 1,
                begin: true,
                start: (FILE, offset),
                gtid: &gtid,
            });
        }
        for piece in &pieces {
            let first_row = in_transaction as u32 + piece.first_row_in_event;
            let head = RowsHead { layout: layout.id, first_row, event_offset: offset + 100, event: event_number };
            builder.push_rows(&head, piece, &slab);
        }
        event_number += 1;
        in_transaction += count;
        in_batch += count;
        offset += 400 + event.len() as u64;
        if in_transaction >= rows_each {
            let end =
                FragmentEnd { commit: true, abort: false, position: (FILE, offset), gtid_delta: "", truncate_to: None };
            builder.end_fragment(&end);
            (in_transaction, event_number) = (0, 0);
            if builder.len_bytes() >= BATCH_BYTES {
                sealed.push((std::mem::take(&mut in_batch), builder.seal(1).to_vec()));
            }
        }
    }
    // What is left over is less than a batch, and may be half a transaction: the stage does without.
    sealed
}

impl Receive {
    /// Feeds `bytes` in reads; `each` sees every transaction.
    fn feed(client: &mut Offline, bytes: &[u8], unacked: &mut u64, mut each: impl FnMut(&Transaction)) {
        for mut rest in bytes.chunks(READ_BYTES) {
            while !rest.is_empty() {
                let count = client.read(rest);
                assert!(count > 0, "a client always has room");
                rest = &rest[count..];
                while let Some(transaction) = client.next_transaction().expect("the stream is sound") {
                    each(&transaction);
                    *unacked += 1;
                    if *unacked >= ACK_EVERY || client.queued_transactions() == 0 {
                        client.ack(&transaction).expect("an ack");
                        *unacked = 0;
                    }
                }
                black_box(client.write());
            }
        }
    }
}

/// As the laboratory's counting client visits them.
fn rows_of(transaction: &Transaction) -> (u64, u64) {
    let (mut rows, mut sum) = (0, 0_u64);
    for change in transaction.changes() {
        let Change::Rows(of_table) = change.expect("a change") else { continue };
        let Some(first) = of_table.layout().columns.first() else { continue };
        for row in of_table.iter() {
            if let Value::Int(id) = black_box(row.get(&first.name).expect("a value")) {
                sum = sum.wrapping_add(id as u64);
            }
            rows += 1;
        }
    }
    (rows, sum)
}

impl Stage for Receive {
    fn prepare(&mut self) {
        self.client = client();
        Self::feed(&mut self.client, &self.head, &mut self.unacked, |transaction| {
            black_box(rows_of(transaction));
        });
    }

    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let (mut rows, mut sum) = (0, 0_u64);
        Self::feed(&mut self.client, &self.stream, &mut self.unacked, |transaction| {
            let (count, ids) = rows_of(transaction);
            rows += count;
            sum = sum.rotate_left(5).wrapping_add(ids) ^ transaction.sequence.rotate_left(32);
        });
        sink(&sum.to_le_bytes());
        rows
    }
}
