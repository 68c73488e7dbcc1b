//! The TABLE_MAPs of one stream, by table id. One that is the same to the byte as the last of its id costs a compare.

use std::sync::Arc;

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
    body: Vec<u8>,
    /// The interest that `route` was chosen by.
    pub interest_version: u64,
    pub database: String,
    pub table: String,
    pub route: Route,
}

#[derive(Debug, Default)]
pub struct TableMaps {
    mapped: Vec<Mapped>,
    by_id: IdMap<u64, usize>,
    /// The one that was asked for last: statements mostly change one table.
    last: usize,
    bytes: usize,
}

impl TableMaps {
    /// The entry with exactly this body, routed by this interest.
    pub fn is_known(&mut self, id: u64, body: &[u8], interest_version: u64) -> bool {
        self.find(id).is_some_and(|mapped| mapped.interest_version == interest_version && mapped.body == body)
    }

    pub fn find(&mut self, id: u64) -> Option<&mut Mapped> {
        if self.mapped.get(self.last).is_none_or(|mapped| mapped.id != id) {
            self.last = *self.by_id.get(&id)?;
        }
        self.mapped.get_mut(self.last)
    }

    pub fn insert(&mut self, id: u64, body: &[u8], name: (String, String), interest_version: u64, route: Route) {
        let (database, table) = name;
        self.bytes += body.len();
        let mapped = Mapped { id, body: body.to_vec(), interest_version, database, table, route };
        match self.by_id.get(&id).and_then(|index| self.mapped.get_mut(*index)) {
            Some(place) => {
                self.bytes -= place.body.len();
                *place = mapped;
            }
            None => {
                self.by_id.insert(id, self.mapped.len());
                self.mapped.push(mapped);
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Between two transactions nothing needs them: a statement always brings its own.
    pub fn bound(&mut self) {
        if self.mapped.len() > TABLE_MAPS_MAX || self.bytes > TABLE_MAP_BYTES_MAX {
            self.clear();
        }
    }
}
