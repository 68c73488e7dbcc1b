//! What a client would hold: batches are applied as the protocol says, and compared as plain values.

use millstream_codec::mysql::rows::RowsEvent;

use crate::engine::batch::{PartEnd, Sequence, SourceBatch};
use crate::source::tracker::{Need, Notice, Tracker, TrackerOutput};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub sequence: Sequence,
    pub gtid: String,
    /// Table, index of the event, values of its one INT column.
    pub rows: Vec<(String, u32, Vec<i32>)>,
    pub ddl: Vec<String>,
    /// Begin and end.
    pub place: (u64, u64),
    /// Open XAs behind it, where it changed them.
    pub open_xa: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub struct Client {
    pub transactions: Vec<Transaction>,
    pub open: Option<Transaction>,
    pub notices: Vec<Notice>,
    pub needs: Vec<Need>,
    pub batches: usize,
    pub parts: usize,
    pub aborts: usize,
    pub truncates: usize,
    /// Interest of the last batch.
    pub interest: u64,
    next_batch: Option<u64>,
}

impl Client {
    /// Polls until the tracker wants something.
    pub fn drain(&mut self, tracker: &mut Tracker) -> Result<(), crate::source::error::SourceError> {
        while let Some(output) = tracker.poll()? {
            match output {
                TrackerOutput::Batch(batch) => self.apply(&batch, tracker),
                TrackerOutput::Need(need) => self.needs.push(need),
                TrackerOutput::Notice(notice) => self.notices.push(notice),
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: &SourceBatch, tracker: &Tracker) {
        assert_eq!(batch.number, self.next_batch.unwrap_or(batch.number), "batches are counted without gaps");
        self.next_batch = Some(batch.number + 1);
        self.batches += 1;
        self.interest = batch.interest.version;
        let mut covered = 0;
        for (number, part) in batch.transactions.iter().enumerate() {
            self.parts += 1;
            assert_eq!(part.events.start, covered, "parts follow each other");
            covered = part.events.end;
            assert_eq!(part.begin, self.open.is_none(), "{part:?}");
            let open = self.open.get_or_insert_with(|| Transaction {
                sequence: part.sequence,
                gtid: part.gtid.map(|gtid| gtid.to_string()).unwrap_or_default(),
                rows: Vec::new(),
                ddl: Vec::new(),
                place: (part.start.offset, 0),
                open_xa: None,
            });
            assert_eq!((open.sequence, open.place.0), (part.sequence, part.start.offset));
            if let Some(from) = part.truncate_to {
                assert!(part.events.is_empty(), "a truncating part has no rows of its own");
                self.truncates += 1;
                open.rows.retain(|(_, index, _)| *index < from);
            }
            for event in &batch.events[part.events.start as usize..part.events.end as usize] {
                assert_eq!(event.transaction as usize, number);
                let body = &batch.chunks[event.chunk as usize][event.start as usize..event.end as usize];
                let rows = RowsEvent::parse(event.type_code, body).unwrap();
                assert!(!rows.is_compressed);
                let values = rows.rows.chunks(5).map(|row| i32::from_le_bytes(row[1..].try_into().unwrap())).collect();
                let table = batch.tables[event.table as usize].schema.table.clone();
                open.rows.push((table, event.index, values));
            }
            open.ddl.extend(part.ddl.iter().map(|ddl| ddl.statement.clone()));
            if let Some(xas) = &part.open_xa {
                open.open_xa = Some(xas.iter().map(|open| format!("{}@{}", open.xid, open.offset)).collect());
            }
            match part.end {
                PartEnd::Open => {}
                PartEnd::Commit => {
                    let mut done = self.open.take().unwrap();
                    done.place.1 = part.position.offset;
                    self.transactions.push(done);
                }
                PartEnd::Abort => {
                    self.aborts += 1;
                    self.open = None;
                }
            }
        }
        assert_eq!(covered as usize, batch.events.len(), "every event belongs to a part");
        assert!(batch.tail.offset <= tracker.position().offset || batch.tail.file != tracker.position().file);
    }

    /// Each transaction's rows, flat: `t:1,2 u:3`.
    pub fn rows(&self) -> Vec<String> {
        self.transactions
            .iter()
            .map(|transaction| {
                let rows = transaction.rows.iter().map(|(table, _, values)| {
                    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                    format!("{table}:{}", values.join(","))
                });
                rows.chain(transaction.ddl.iter().map(|ddl| format!("<{ddl}>"))).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }
}
