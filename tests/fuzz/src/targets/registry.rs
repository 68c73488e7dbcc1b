//! The durable registry of ordinals and the schema history, as their files may be found.
//!
//! ```text
//! u8 mode: bit 0 raw bytes, else frames: each u16 and so many bytes of payload, with checksums that are right; bit 1 the
//!    schema history, else the registry
//! u8 selects the table that is asked for
//! rest
//! ```
//! Holds: damage is told, and left alone; what was loaded and added to is found again, with the same ordinals, when it is opened anew.

use std::io;
use std::sync::{Arc, Mutex};

use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::table_map::ColumnTypeCode as T;
use millstream_core::history::{SchemaHistory, Snapshot};
use millstream_core::position::Position;
use millstream_core::records::{MemoryStore, RecordStore};
use millstream_core::tables::Tables;

use crate::input::Input;

const DESTINATION: &str = "main";

/// A store that is still there when its tables are gone.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<MemoryStore>>);

impl Kept {
    fn with<R>(&self, use_it: impl FnOnce(&mut MemoryStore) -> R) -> R {
        use_it(&mut self.0.lock().expect("no panic before"))
    }
}

impl RecordStore for Kept {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.with(MemoryStore::load)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|store| store.append(bytes))
    }

    fn truncate(&mut self, length_bytes: u64) -> io::Result<()> {
        self.with(|store| store.truncate(length_bytes))
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|store| store.replace(bytes))
    }

    fn set_aside(&mut self) -> io::Result<String> {
        self.with(MemoryStore::set_aside)
    }
}

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, seed) = (input.u8(), input.u8());
    let bytes = if mode & 1 != 0 { input.rest().to_vec() } else { framed(&mut input) };
    let store = Kept::default();
    store.with(|memory| memory.bytes = bytes);
    if mode & 2 != 0 {
        return history(store);
    }
    let open = || Tables::open(DESTINATION, Box::new(store.clone()), Box::new(MemoryStore::default()));
    let Ok(mut tables) = open() else { return };
    let registered = tables.registered();
    let table = registered.get(usize::from(seed) % registered.len().max(1));
    let (database, table) = table.cloned().unwrap_or_else(|| ("d".into(), "t".into()));
    let (schema, formats) = schema(database, table, seed);
    let Ok(first) = tables.resolve(schema.clone(), formats.clone(), &Position::default()) else { return };
    if tables.commit().is_err() {
        return;
    }
    let mut again = open().expect("what was written");
    let second = again.resolve(schema, formats, &Position::default()).expect("as before");
    assert_eq!(second.ordinals, first.ordinals);
    assert_eq!(second.layout, first.layout);
    assert!(!again.commit().expect("nothing is new"), "asked again, nothing is new");
}

fn history(store: Kept) {
    let bytes = store.with(|memory| memory.bytes.clone());
    let mut history = SchemaHistory::open(DESTINATION, Box::new(store.clone()));
    let position = Position { incarnation: "one".into(), file: "b.000001".into(), offset: 7, ..Position::default() };
    let snapshot = Snapshot { databases: vec![("new".into(), "latin1".into())], ..Snapshot::default() };
    history.snapshot(&position, snapshot);
    let is_damaged = history.damage().is_some();
    history.commit().expect("a store in memory");
    if is_damaged {
        assert_eq!(store.with(|memory| memory.bytes.clone()), bytes, "damage is left alone");
        return;
    }
    let again = SchemaHistory::open(DESTINATION, Box::new(store));
    assert_eq!(again.damage(), None);
    let text = |history: &SchemaHistory| format!("{:?}", history.at(&position));
    assert_eq!(text(&again), text(&history));
}

fn framed(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() {
        let payload = input.counted();
        let length = (payload.len() as u32).to_le_bytes();
        bytes.extend(length);
        bytes.extend(crc32fast::hash(&length).to_le_bytes());
        bytes.extend(crc32fast::hash(payload).to_le_bytes());
        bytes.extend(payload);
    }
    bytes
}

fn schema(database: String, table: String, seed: u8) -> (TableSchema, Vec<ColumnFormat>) {
    let column = |name: &str, column_type| ColumnSchema { name: name.into(), column_type, primary_key: 0 };
    let unsigned = seed & 1 != 0;
    let columns = vec![
        column("id", ColumnType::Integer { bytes: 8, unsigned }),
        column("name", ColumnType::Text { charset: "utf8mb4".into(), length: 40 }),
    ];
    let formats =
        vec![ColumnFormat { type_code: T::LONGLONG, meta: 0 }, ColumnFormat { type_code: T::VARCHAR, meta: 40 }];
    (TableSchema { database, table, columns }, formats)
}
