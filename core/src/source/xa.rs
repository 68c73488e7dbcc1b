//! XA transactions between their PREPARE and their decision.
//!
//! Their rows are in the log at PREPARE; the decision may come days later. What is remembered durably is only where
//! (it is part of every position). The rows of small ones are kept in memory, within a bound, so that the usual XA
//! transaction need not be read twice; those of the others are read again at their XA COMMIT.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::engine::batch::RowEvent;
use crate::engine::table::TableVersion;
use crate::limits::{XA_KEPT_BYTES_MAX, XA_OPEN_MAX};
use crate::position::OpenXa;

/// Rows of one prepared transaction, copied together, so that no receive chunk stays pinned for days.
#[derive(Debug, Default, Clone)]
pub struct KeptRows {
    pub chunk: Bytes,
    pub tables: Vec<Arc<TableVersion>>,
    /// All in `chunk`; `table` is an index in `tables`.
    pub events: Vec<RowEvent>,
    /// Tables that had rows in it which nobody wanted.
    pub unwanted: Vec<(String, String)>,
}

impl KeptRows {
    /// `events` name their chunks and tables by index; `None` where an index leads nowhere.
    pub fn copy<'a>(
        events: &[RowEvent],
        chunk_of: impl Fn(u32) -> Option<&'a Bytes>,
        table_of: impl Fn(u32) -> Option<&'a Arc<TableVersion>>,
        unwanted: Vec<(String, String)>,
    ) -> Option<Self> {
        let mut bytes = BytesMut::with_capacity(events.iter().map(|event| (event.end - event.start) as usize).sum());
        let mut tables: Vec<Arc<TableVersion>> = Vec::new();
        let mut kept = Vec::with_capacity(events.len());
        for event in events {
            let version = table_of(event.table)?;
            let table = tables.iter().position(|known| Arc::ptr_eq(known, version)).unwrap_or_else(|| {
                tables.push(version.clone());
                tables.len() - 1
            });
            let start = u32::try_from(bytes.len()).ok()?;
            bytes.extend_from_slice(chunk_of(event.chunk)?.get(event.start as usize..event.end as usize)?);
            let end = u32::try_from(bytes.len()).ok()?;
            kept.push(RowEvent { chunk: 0, start, end, table: u32::try_from(table).ok()?, ..*event });
        }
        Some(Self { chunk: bytes.freeze(), tables, events: kept, unwanted })
    }

    fn bytes(&self) -> usize {
        self.chunk.len() + self.events.len() * size_of::<RowEvent>()
    }
}

/// A prepared transaction that is decided now.
#[derive(Debug)]
pub struct Decided {
    pub open: OpenXa,
    /// `None`: they must be read again.
    pub rows: Option<KeptRows>,
}

#[derive(Debug, Default)]
pub struct XaLedger {
    open: Arc<[OpenXa]>,
    kept: HashMap<String, KeptRows>,
    kept_bytes: usize,
}

/// More are open than can be remembered.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyOpen;

impl XaLedger {
    pub fn new(open: Arc<[OpenXa]>) -> Self {
        Self { open, ..Self::default() }
    }

    pub fn open(&self) -> &Arc<[OpenXa]> {
        &self.open
    }

    /// Remembers a prepared transaction; its rows only where there is room.
    pub fn prepare(&mut self, open: OpenXa, rows: Option<KeptRows>) -> Result<(), TooManyOpen> {
        if self.open.len() >= XA_OPEN_MAX {
            return Err(TooManyOpen);
        }
        self.forget_rows(&open.xid);
        if let Some(rows) = rows.filter(|rows| self.kept_bytes + rows.bytes() <= XA_KEPT_BYTES_MAX) {
            self.kept_bytes += rows.bytes();
            self.kept.insert(open.xid.clone(), rows);
        }
        let mut all: Vec<OpenXa> = self.open.iter().filter(|other| other.xid != open.xid).cloned().collect();
        all.push(open);
        self.open = all.into();
        Ok(())
    }

    pub fn find(&self, xid: &str) -> Option<&OpenXa> {
        self.open.iter().find(|open| open.xid == xid)
    }

    pub fn rows(&self, xid: &str) -> Option<&KeptRows> {
        self.kept.get(xid)
    }

    /// Committed or rolled back. `None` for one that was not seen to be prepared.
    pub fn decide(&mut self, xid: &str) -> Option<Decided> {
        let open = self.find(xid)?.clone();
        self.open = self.open.iter().filter(|other| other.xid != xid).cloned().collect();
        Some(Decided { open, rows: self.forget_rows(xid) })
    }

    fn forget_rows(&mut self, xid: &str) -> Option<KeptRows> {
        let rows = self.kept.remove(xid)?;
        self.kept_bytes -= rows.bytes();
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(xid: &str) -> OpenXa {
        OpenXa { xid: xid.into(), gtid: String::new(), file: "b.000001".into(), offset: 4 }
    }

    fn rows(bytes: usize) -> Option<KeptRows> {
        Some(KeptRows { chunk: vec![0; bytes].into(), ..KeptRows::default() })
    }

    #[test]
    fn rows_are_kept_within_the_bound() {
        let mut ledger = XaLedger::new(Arc::from([open("old")]));
        ledger.prepare(open("a"), rows(XA_KEPT_BYTES_MAX - 10)).unwrap();
        ledger.prepare(open("b"), rows(11)).unwrap();
        ledger.prepare(open("c"), rows(10)).unwrap();
        assert_eq!(ledger.open().len(), 4);
        for (xid, kept) in [("old", false), ("a", true), ("b", false), ("c", true)] {
            assert_eq!(ledger.rows(xid).is_some(), kept, "{xid}");
            assert_eq!(ledger.decide(xid).unwrap().rows.is_some(), kept, "{xid}");
        }
        assert!(ledger.decide("a").is_none());
        assert_eq!((ledger.open().len(), ledger.kept_bytes), (0, 0));
    }

    #[test]
    fn a_name_that_is_prepared_again_replaces_the_one_before() {
        let mut ledger = XaLedger::default();
        ledger.prepare(open("a"), rows(10)).unwrap();
        ledger.prepare(OpenXa { offset: 9, ..open("a") }, rows(20)).unwrap();
        assert_eq!(ledger.kept_bytes, 20);
        assert_eq!(ledger.open().len(), 1);
        assert_eq!(ledger.decide("a").unwrap().open.offset, 9);
    }
}
