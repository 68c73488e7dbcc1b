//! How many rows of each table the open transaction has so far: what row ids are made from.
//!
//! Tables are told by their hash. Most transactions touch few, and one after the other, so they stand in a list.

use crate::id_map::IdMap;

/// With more tables than that they are looked up by a map.
const LISTED_MAX: usize = 8;

/// Events of one table one after the other, each with as many rows.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Index in `RowCounts::tables`.
    table: usize,
    /// `RowEvent::index` of the first.
    first: u32,
    events: u32,
    rows_each: u32,
}

#[derive(Debug, Default)]
pub struct RowCounts {
    /// Hash and rows.
    tables: Vec<(u64, u32)>,
    /// Where in `tables` they stand, if there are more than `LISTED_MAX`.
    by_hash: IdMap<u64, usize>,
    /// How the counts came to be, for transactions in parts: ROLLBACK TO SAVEPOINT takes events back.
    runs: Vec<Run>,
}

impl RowCounts {
    /// Another transaction begins.
    pub fn clear(&mut self) {
        self.tables.clear();
        self.runs.clear();
        if !self.by_hash.is_empty() {
            self.by_hash.clear();
        }
    }

    /// The table's place, for [`rows`](Self::rows) and [`add`](Self::add) until the next `clear`.
    #[inline]
    pub fn table(&mut self, hash: u64) -> usize {
        match self.tables.last() {
            Some((last, _)) if *last == hash => self.tables.len() - 1,
            _ => self.find(hash),
        }
    }

    fn find(&mut self, hash: u64) -> usize {
        if self.tables.len() <= LISTED_MAX {
            if let Some(index) = self.tables.iter().position(|(known, _)| *known == hash) {
                return index;
            }
        } else {
            if self.by_hash.is_empty() {
                self.by_hash.extend(self.tables.iter().enumerate().map(|(index, (hash, _))| (*hash, index)));
            }
            if let Some(index) = self.by_hash.get(&hash) {
                return *index;
            }
            self.by_hash.insert(hash, self.tables.len());
        }
        self.tables.push((hash, 0));
        self.tables.len() - 1
    }

    pub fn rows(&self, table: usize) -> u32 {
        self.tables.get(table).map_or(0, |(_, rows)| *rows)
    }

    /// An event of the table had so many rows.
    #[inline]
    pub fn add(&mut self, table: usize, event: u32, rows: u32) {
        let Some((_, counted)) = self.tables.get_mut(table) else { return };
        *counted = counted.wrapping_add(rows);
        match self.runs.last_mut() {
            Some(run) if run.table == table && run.rows_each == rows && run.first + run.events == event => {
                run.events += 1
            }
            _ => self.runs.push(Run { table, first: event, events: 1, rows_each: rows }),
        }
    }

    /// The events from this one on never were.
    pub fn take_back(&mut self, first: u32) {
        while let Some(run) = self.runs.last_mut()
            && run.first + run.events > first
        {
            let taken = (run.first + run.events - first.max(run.first)).min(run.events);
            if let Some((_, counted)) = self.tables.get_mut(run.table) {
                *counted = counted.wrapping_sub(run.rows_each.wrapping_mul(taken));
            }
            run.events -= taken;
            if run.events == 0 {
                self.runs.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn rows(counts: &mut RowCounts, hash: u64) -> u32 {
        let table = counts.table(hash);
        counts.rows(table)
    }

    #[test]
    fn rows_taken_back_are_not_counted() {
        let mut counts = RowCounts::default();
        let (a, b) = (1, 2);
        let add = |counts: &mut RowCounts, hash, event, rows| {
            let table = counts.table(hash);
            counts.add(table, event, rows);
        };
        for (hash, event, rows) in [(a, 0, 1), (a, 1, 1), (a, 2, 1), (b, 3, 5), (a, 4, 2), (a, 5, 2)] {
            add(&mut counts, hash, event, rows);
        }
        let both = |counts: &mut RowCounts| (rows(counts, a), rows(counts, b));
        assert_eq!(both(&mut counts), (7, 5));
        counts.take_back(5);
        assert_eq!(both(&mut counts), (5, 5));
        counts.take_back(1);
        assert_eq!(both(&mut counts), (1, 0));
        add(&mut counts, a, 6, 1);
        counts.take_back(6);
        assert_eq!(both(&mut counts), (1, 0));
    }

    #[test]
    fn many_tables_are_counted_like_few() {
        for count in [1, 2, LISTED_MAX as u64, LISTED_MAX as u64 + 1, LISTED_MAX as u64 + 2, 100] {
            let (mut counts, mut oracle) = (RowCounts::default(), HashMap::new());
            for round in 0..2 {
                counts.clear();
                oracle.clear();
                for event in 0..1_000_u32 {
                    let hash = (u64::from(event).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % count + round;
                    let table = counts.table(hash);
                    let counted = oracle.entry(hash).or_insert(0);
                    assert_eq!(counts.rows(table), *counted);
                    counts.add(table, event, event % 7);
                    *counted += event % 7;
                }
            }
        }
    }
}
