//! A binlog of whole transactions as MySQL 8 sends it: events with checksums, and the packets that they come in.

use std::ops::Range;

use bytes::Bytes;
use millstream_codec::mysql::packet::{Framer, FramerLimits, write_packet};

use crate::binlog::{HEADER_BYTES, TABLE_MAP, WRITE_ROWS};
use crate::rows::Rows;
use crate::{orders, tables};

pub const FILE: &str = "binlog.000001";
/// Behind the file's magic number.
pub const START: u64 = 4;
const UUID: [u8; 16] = *b"millstream bench";

const QUERY: u8 = 2;
const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
const GTID: u8 = 33;
const ARTIFICIAL: u16 = 0x20;

/// Row events of `shop.orders` in each transaction.
pub const ORDERS_PER_TRANSACTION: usize = 3;
/// GTID, BEGIN, TABLE_MAP and those, TABLE_MAP and one more, XID.
pub const EVENTS_PER_TRANSACTION: usize = 3 + ORDERS_PER_TRANSACTION + 3;

pub struct Log {
    /// A ROTATE and the FORMAT_DESCRIPTION; then transactions.
    pub events: Vec<Vec<u8>>,
    /// How many transactions there are.
    pub transactions: usize,
    offset: u64,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { events: Vec::new(), transactions: 0, offset: START };
        let mut rotate = START.to_le_bytes().to_vec();
        rotate.extend_from_slice(FILE.as_bytes());
        log.event(ROTATE, ARTIFICIAL, &rotate);
        let mut format = 4_u16.to_le_bytes().to_vec();
        let mut version = b"8.4.0".to_vec();
        version.resize(50, 0);
        format.extend_from_slice(&version);
        format.extend_from_slice(&1_600_000_000_u32.to_le_bytes());
        format.push(HEADER_BYTES as u8);
        format.extend_from_slice(&[0; 41]);
        // CRC32
        format.push(1);
        log.event(FORMAT_DESCRIPTION, 0, &format);
        log
    }

    fn event(&mut self, type_code: u8, flags: u16, body: &[u8]) {
        let size = HEADER_BYTES + body.len() + 4;
        let is_artificial = flags & ARTIFICIAL != 0;
        if !is_artificial {
            self.offset += size as u64;
        }
        let (time, end) = if is_artificial { (0, 0) } else { (1_700_000_000, self.offset as u32) };
        let mut event = Vec::with_capacity(size);
        event.extend_from_slice(&u32::to_le_bytes(time));
        event.push(type_code);
        event.extend_from_slice(&1_u32.to_le_bytes());
        event.extend_from_slice(&(size as u32).to_le_bytes());
        event.extend_from_slice(&end.to_le_bytes());
        event.extend_from_slice(&flags.to_le_bytes());
        event.extend_from_slice(body);
        let checksum = crc32fast::hash(&event);
        event.extend_from_slice(&checksum.to_le_bytes());
        self.events.push(event);
    }

    fn begin(&mut self) {
        self.transactions += 1;
        let mut body = vec![1];
        body.extend_from_slice(&UUID);
        body.extend_from_slice(&(self.transactions as u64).to_le_bytes());
        body.push(2);
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&(1_700_000_000_000_000 + self.transactions as u64).to_le_bytes()[..7]);
        self.event(GTID, 0, &body);
        // Thread, seconds, length of the database's name, error, length of the status variables.
        let mut body = vec![7, 0, 0, 0, 0, 0, 0, 0, orders::DATABASE.len() as u8, 0, 0, 0, 0];
        body.extend_from_slice(orders::DATABASE.as_bytes());
        body.push(0);
        body.extend_from_slice(b"BEGIN");
        self.event(QUERY, 0, &body);
    }

    /// The TABLE_MAP, then the next rows events, each of one row.
    fn rows(&mut self, rows: &Rows, events: Range<usize>) {
        self.event(TABLE_MAP, 0, &rows.table_map[HEADER_BYTES..]);
        for event in &rows.events[events] {
            self.event(WRITE_ROWS, 0, &event[HEADER_BYTES..]);
        }
    }

    fn commit(&mut self) {
        self.event(XID, 0, &(self.transactions as u64).to_le_bytes());
    }

    /// The events as they are received: chunks of whole packets, and where in them each event lies.
    pub fn chunks(&self) -> Vec<(Bytes, Vec<Range<usize>>)> {
        let packets = self.packets();
        let (mut framer, mut rest, mut chunks) = (framer(), &packets[..], Vec::new());
        framer.expect_sequence(1);
        while !rest.is_empty() {
            let space = framer.space().expect("packets are well formed");
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            framer.filled(count).expect("packets are well formed");
            if let Some(frames) = framer.take().expect("packets are well formed") {
                // A zero byte says that the packet holds an event.
                let ranges = frames.ranges().map(|range| range.start + 1..range.end).collect();
                chunks.push((frames.chunk().clone(), ranges));
            }
        }
        chunks
    }

    /// The events as packets that follow the dump command.
    pub fn packets(&self) -> Vec<u8> {
        let (mut out, mut sequence, mut payload) = (Vec::new(), 1, Vec::new());
        for event in &self.events {
            payload.clear();
            payload.push(0);
            payload.extend_from_slice(event);
            write_packet(&mut out, &mut sequence, &payload);
        }
        out
    }
}

pub fn framer() -> Framer {
    Framer::new(FramerLimits { payload_bytes_max: 1 << 24, key: "engine.event_bytes_max" })
}

/// Transactions of three rows of `shop.orders` and one of `bench.narrow`, an event each.
pub fn transactions(count: usize) -> Log {
    let mut numbers = crate::Numbers::new(17);
    let images = (1..=count * ORDERS_PER_TRANSACTION).map(|id| orders::row(id as u64, &mut numbers));
    let orders = Rows::one_by_one(orders::TABLE_ID, orders::DATABASE, orders::TABLE, orders::columns(), images);
    let narrow = tables::narrow(count);
    let mut log = Log::new();
    for index in 0..count {
        log.begin();
        log.rows(&orders, index * ORDERS_PER_TRANSACTION..(index + 1) * ORDERS_PER_TRANSACTION);
        log.rows(&narrow, index..index + 1);
        log.commit();
    }
    log
}

/// Transactions of one row of a table like sysbench's, as a busy shop's log has them.
pub fn single_rows(count: usize) -> Log {
    let rows = tables::sysbench(count);
    let mut log = Log::new();
    for index in 0..count {
        log.begin();
        log.rows(&rows, index..index + 1);
        log.commit();
    }
    log
}
