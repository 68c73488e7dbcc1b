//! The durable registry of ordinals, as its file may be found.
//!
//! ```text
//! u8 mode: bit 0 raw bytes, else frames: each u16 and so many bytes of payload, with checksums that are right
//! u8 selects the table that is asked for
//! rest
//! ```
//! Holds: damage is an error; what was loaded and added to is found again, with the same ordinals, when it is opened anew.

use std::io;
use std::sync::{Arc, Mutex};

use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::table_map::ColumnTypeCode as T;
use millstream_core::position::Position;
use millstream_core::tables::{MemoryStore, RegistryStore, Tables};

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

impl RegistryStore for Kept {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.with(MemoryStore::load)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|store| store.append(bytes))
    }

    fn truncate(&mut self, length_bytes: u64) -> io::Result<()> {
        self.with(|store| store.truncate(length_bytes))
    }
}

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, seed) = (input.u8(), input.u8());
    let bytes = if mode & 1 != 0 { input.rest().to_vec() } else { framed(&mut input) };
    let store = Kept::default();
    store.with(|memory| memory.bytes = bytes);
    let Ok(mut tables) = Tables::open(DESTINATION, Box::new(store.clone())) else { return };
    let registered = tables.registered();
    let table = registered.get(usize::from(seed) % registered.len().max(1));
    let (database, table) = table.cloned().unwrap_or_else(|| ("d".into(), "t".into()));
    let (schema, formats) = schema(database, table, seed);
    let Ok(first) = tables.resolve(schema.clone(), formats.clone(), &Position::default()) else { return };
    if tables.commit().is_err() {
        return;
    }
    let mut again = Tables::open(DESTINATION, Box::new(store)).expect("what was written");
    let second = again.resolve(schema, formats, &Position::default()).expect("as before");
    assert_eq!(second.ordinals, first.ordinals);
    assert_eq!(second.layout, first.layout);
    assert!(!again.commit().expect("nothing is new"), "asked again, nothing is new");
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
