//! The transaction that is open: a group of events from a GTID or BEGIN to its end.

use std::sync::Arc;

use millstream_codec::mysql::gtid::Gtid;

use crate::engine::batch::{PartEnd, Sequence, TransactionPart};
use crate::limits::SAVEPOINTS_MAX;
use crate::position::{FilePosition, OpenXa};

/// What ends the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A GTID of MySQL was seen: what follows decides.
    Announced,
    /// XID, COMMIT or ROLLBACK.
    Transaction,
    /// The first statement (MariaDB's standalone groups), or the end of the first statement's rows.
    Single,
    /// XA_PREPARE, with this name.
    Xa(String),
}

#[derive(Debug)]
pub struct Group {
    pub shape: Shape,
    pub sequence: Sequence,
    pub gtid: Option<Gtid>,
    pub start: FilePosition,
    pub commit_time_us: i64,
    /// 1 where the time is a GTID event's, 1,000,000 where it is a header's.
    pub time_precision_us: u32,
    /// Rows events so far, wanted or not: the index of the next one.
    pub events: u32,
    /// Parts of it have been made.
    pub handed_out: bool,
    /// Index of the first event that no part holds yet.
    pub in_parts: u32,
    /// Chunks that its events pin, and the events themselves.
    pub held_bytes: usize,
    /// Its rows were given up, to be read again when it is decided (XA only).
    pub gave_up: bool,
    /// Tables with rows in it that nobody wanted (XA only).
    pub unwanted: Vec<(String, String)>,
    /// Tables with rows in it that cannot be read, and that nobody may pass over.
    held_tables: Vec<(String, String)>,
    savepoints: Vec<(String, u32)>,
}

impl Group {
    pub fn new(shape: Shape, sequence: Sequence, start: FilePosition) -> Self {
        Self {
            shape,
            sequence,
            gtid: None,
            start,
            commit_time_us: 0,
            time_precision_us: 1_000_000,
            events: 0,
            handed_out: false,
            in_parts: 0,
            held_bytes: 0,
            gave_up: false,
            unwanted: Vec::new(),
            held_tables: Vec::new(),
            savepoints: Vec::new(),
        }
    }

    pub fn part(&self, end: PartEnd, position: FilePosition, events: std::ops::Range<u32>) -> TransactionPart {
        TransactionPart {
            sequence: self.sequence,
            begin: !self.handed_out,
            end,
            gtid: self.gtid,
            start: self.start.clone(),
            position,
            commit_time_us: self.commit_time_us,
            time_precision_us: self.time_precision_us,
            events,
            ddl: None,
            truncate_to: None,
            open_xa: None::<Arc<[OpenXa]>>,
            held_tables: self.held_tables.clone(),
        }
    }

    /// The last part, which takes what the others copy.
    pub fn into_part(self, end: PartEnd, position: FilePosition, events: std::ops::Range<u32>) -> TransactionPart {
        let Self { sequence, handed_out, gtid, start, commit_time_us, time_precision_us, held_tables, .. } = self;
        TransactionPart {
            sequence,
            begin: !handed_out,
            end,
            gtid,
            start,
            position,
            commit_time_us,
            time_precision_us,
            events,
            ddl: None,
            truncate_to: None,
            open_xa: None,
            held_tables,
        }
    }

    /// It changes rows of this table that cannot be read, and must not be passed over.
    pub fn hold(&mut self, database: &str, table: &str) {
        if !self.held_tables.iter().any(|(d, t)| d == database && t == table) {
            self.held_tables.push((database.to_owned(), table.to_owned()));
        }
    }

    /// SAVEPOINT: one of the same name is replaced.
    pub fn set_savepoint(&mut self, name: String) {
        self.savepoints.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        if self.savepoints.len() < SAVEPOINTS_MAX {
            self.savepoints.push((name, self.events));
        }
    }

    /// ROLLBACK TO: the index of the first event that is undone; later savepoints are gone.
    pub fn roll_back_to(&mut self, name: &str) -> Option<u32> {
        let place = self.savepoints.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.savepoints.truncate(place + 1);
        self.savepoints.last().map(|(_, index)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savepoints_nest_and_replace_each_other() {
        let mut group = Group::new(Shape::Transaction, 1, FilePosition { file: "b.1".into(), offset: 4 });
        for (events, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "A")] {
            group.events = events;
            group.set_savepoint(name.into());
        }
        group.events = 9;
        assert_eq!(group.roll_back_to("b"), Some(2));
        // The new `a` came behind `b`, so it is gone; so is `c`.
        assert_eq!(group.roll_back_to("a"), None);
        assert_eq!(group.roll_back_to("c"), None);
        assert_eq!(group.roll_back_to("B"), Some(2));
    }
}
