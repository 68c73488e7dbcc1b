//! Rows events to lists of structs: each family of types, then whole tables of several shapes.

use super::{Entry, Sink, Size, Stage};
use crate::encoding::Encoding;
use crate::rows::Rows;
use crate::{orders, tables};

pub(super) const ENTRIES: &[Entry] = &[
    rows("decode.integers", |size| make(tables::integers(many(size)))),
    rows("decode.floats", |size| make(tables::floats(many(size)))),
    rows("decode.decimal", |size| make(tables::decimals(many(size)))),
    rows("decode.utf8mb4", |size| make(tables::utf8(many(size)))),
    rows("decode.latin1", |size| make(tables::latin1(many(size)))),
    rows("decode.blob", |size| make(tables::blobs(many(size)))),
    rows("decode.temporal", |size| make(tables::temporal(many(size)))),
    rows("decode.temporal_old", |size| make(tables::temporal_old(many(size)))),
    rows("decode.json", |size| make(tables::documents(many(size)))),
    rows("decode.labels", |size| make(tables::labels(many(size)))),
    rows("encode.orders", |size| make(orders::orders(many(size), 7))),
    rows("encode.narrow", |size| make(tables::narrow(many(size)))),
    rows("encode.wide", |size| make(tables::wide(many(size) / 20))),
];

const fn rows(name: &'static str, make: fn(Size) -> (u64, Box<dyn Stage>)) -> Entry {
    Entry { name, units: "rows", make }
}

fn many(size: Size) -> usize {
    match size {
        Size::Smoke => 2_000,
        Size::Full => 20_000,
    }
}

struct Encode {
    rows: Rows,
    encoding: Encoding,
}

fn make(rows: Rows) -> (u64, Box<dyn Stage>) {
    (rows.row_count as u64, Box::new(Encode { encoding: Encoding::new(&rows), rows }))
}

impl Stage for Encode {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        self.encoding.run(&self.rows, sink).0 as u64
    }
}
