//! The TABLE_MAPs of one stream, by table id. One that is the same to the byte as the last of its id costs a compare,
//! in however many files it comes: what a table is changes with DDL alone, and that clears them all.
//!
//! Invariant: rows find only what a TABLE_MAP of their own file has named. A server that was started anew gives the same
//! numbers to other tables.

use std::sync::Arc;

use millstream_codec::mysql::table_map::table_id_and_name;

use crate::engine::table::TableVersion;
use crate::id_map::IdMap;
use crate::limits::{TABLE_MAP_BYTES_MAX, TABLE_MAPS_MAX};

/// Where the rows of a table go.
#[derive(Debug)]
pub enum Route {
    /// Nobody wants them.
    Unwanted,
    /// They cannot be read; a notice has said so.
    Quarantined {
        /// Who wants them stops before their transaction.
        holds: bool,
    },
    Wanted {
        version: Arc<TableVersion>,
        /// Index in the batch of this generation.
        slot: u32,
        generation: u64,
    },
}

#[derive(Debug)]
pub struct Mapped {
    id: u64,
    body: Box<[u8]>,
    /// The interest that `route` was chosen by.
    interest_version: u64,
    /// The file that last had it.
    file: u32,
    /// Seen since the last time that room was made.
    is_used: bool,
    pub route: Route,
}

impl Mapped {
    /// (database, table), as the map has them.
    pub fn name(&self) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // It was read from the same bytes when it came.
        table_id_and_name(&self.body).map(|name| (text(name.database), text(name.table))).unwrap_or_default()
    }

    /// What it takes besides the version, which all readers share.
    fn bytes(&self) -> usize {
        // Behind `by_id` there are up to two places for each entry.
        self.body.len() + size_of::<Self>() + 2 * size_of::<(u64, usize)>()
    }
}

#[derive(Debug, Default)]
pub struct TableMaps {
    mapped: Vec<Mapped>,
    by_id: IdMap<u64, usize>,
    /// The one that was asked for last: statements mostly change one table.
    last: usize,
    bytes: usize,
    file: u32,
}

impl TableMaps {
    /// The entry with exactly this body, routed by this interest, is there; rows of this file may name it now.
    pub fn is_known(&mut self, id: u64, body: &[u8], interest_version: u64) -> bool {
        let file = self.file;
        let Some(mapped) = self.entry(id) else { return false };
        if mapped.interest_version != interest_version || *mapped.body != *body {
            return false;
        }
        mapped.file = file;
        mapped.is_used = true;
        true
    }

    /// What the last TABLE_MAP of this id in this file has named.
    pub fn find(&mut self, id: u64) -> Option<&mut Mapped> {
        let file = self.file;
        self.entry(id).filter(|mapped| mapped.file == file)
    }

    fn entry(&mut self, id: u64) -> Option<&mut Mapped> {
        if self.mapped.get(self.last).is_none_or(|mapped| mapped.id != id) {
            self.last = *self.by_id.get(&id)?;
        }
        self.mapped.get_mut(self.last)
    }

    pub fn insert(&mut self, id: u64, body: &[u8], interest_version: u64, route: Route) {
        let mapped = Mapped { id, body: body.into(), interest_version, file: self.file, is_used: true, route };
        self.bytes += mapped.bytes();
        match self.by_id.get(&id).and_then(|index| self.mapped.get_mut(*index)) {
            Some(place) => {
                self.bytes -= place.bytes();
                *place = mapped;
            }
            None => {
                self.by_id.insert(id, self.mapped.len());
                self.mapped.push(mapped);
            }
        }
    }

    /// Another file begins: its rows name only what it brings itself. A table that could not be read is tried again.
    pub fn begin_file(&mut self) {
        self.file = self.file.wrapping_add(1);
        self.retain(|mapped| !matches!(mapped.route, Route::Quarantined { .. }));
    }

    pub fn clear(&mut self) {
        *self = Self { file: self.file, ..Self::default() };
    }

    /// Between two transactions nothing needs them: a statement always brings its own.
    pub fn bound(&mut self) {
        let (maps_max, bytes_max) = (TABLE_MAPS_MAX, TABLE_MAP_BYTES_MAX);
        if self.mapped.len() > maps_max || self.bytes > bytes_max {
            self.make_room(maps_max, bytes_max);
        }
    }

    /// Those that were not seen since the last time go first. Where that is not enough, every other one goes: of tables
    /// that come in turns, more than there is room for, half are still there at their next turn.
    fn make_room(&mut self, maps_max: usize, bytes_max: usize) {
        self.retain(|mapped| std::mem::take(&mut mapped.is_used));
        if self.mapped.len() > maps_max / 2 || self.bytes > bytes_max / 2 {
            let mut keep = false;
            self.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    fn retain(&mut self, keep: impl FnMut(&mut Mapped) -> bool) {
        let before = self.mapped.len();
        self.mapped.retain_mut(keep);
        if self.mapped.len() != before {
            self.last = 0;
            self.bytes = self.mapped.iter().map(Mapped::bytes).sum();
            self.by_id.clear();
            self.by_id.extend(self.mapped.iter().enumerate().map(|(index, mapped)| (mapped.id, index)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(id: u64) -> Vec<u8> {
        let mut body = id.to_le_bytes()[..6].to_vec();
        body.extend_from_slice(b"\x01\x00\x01d\x00\x01t\x00");
        body
    }

    fn insert(maps: &mut TableMaps, id: u64) {
        maps.insert(id, &body(id), 1, Route::Unwanted);
    }

    #[test]
    fn rows_find_only_what_their_own_file_has_named() {
        let mut maps = TableMaps::default();
        insert(&mut maps, 7);
        maps.insert(8, &body(8), 1, Route::Quarantined { holds: false });
        assert_eq!(maps.find(7).map(|mapped| mapped.name()), Some(("d".into(), "t".into())));
        maps.begin_file();
        assert!(maps.find(7).is_none());
        assert!(!maps.is_known(8, &body(8), 1), "what could not be read is tried again");
        assert!(!maps.is_known(7, &body(9), 1), "another table");
        assert!(!maps.is_known(7, &body(7), 2), "another interest");
        assert!(maps.find(7).is_none());
        assert!(maps.is_known(7, &body(7), 1));
        assert!(maps.find(7).is_some());
    }

    #[test]
    fn what_is_seen_stays_and_the_bytes_are_counted() {
        let mut maps = TableMaps::default();
        (0..100).for_each(|id| insert(&mut maps, id));
        maps.make_room(1_000, 1 << 20);
        assert_eq!(maps.mapped.len(), 100, "all were seen since the beginning");
        (0..30).for_each(|id| assert!(maps.is_known(id, &body(id), 1)));
        (100..120).for_each(|id| insert(&mut maps, id));
        maps.make_room(100, 1 << 20);
        assert_eq!(maps.mapped.len(), 50);
        for id in (0..30).chain(100..120) {
            assert!(maps.is_known(id, &body(id), 1), "{id}");
        }
        assert!(!maps.is_known(40, &body(40), 1));
        assert_eq!(maps.bytes, maps.mapped.iter().map(Mapped::bytes).sum::<usize>());
        maps.make_room(60, 1 << 20);
        assert_eq!(maps.mapped.len(), 25, "every other one of those that were all seen");
        assert_eq!(maps.bytes, maps.mapped.iter().map(Mapped::bytes).sum::<usize>());
        for (index, mapped) in maps.mapped.iter().enumerate() {
            assert_eq!(maps.by_id.get(&mapped.id), Some(&index));
        }
        maps.clear();
        assert_eq!((maps.mapped.len(), maps.bytes), (0, 0));
    }
}
