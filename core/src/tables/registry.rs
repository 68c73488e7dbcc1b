//! The registry of ordinals: which field of a table's struct each column has, for ever.
//!
//! Keyed by the table's name (a RENAME TABLE therefore keeps the identity of the name: what gh-ost swaps in is the same
//! table for clients) and by (column name, kind). A column that comes back takes the ordinal that it had. A RENAME
//! COLUMN that was parsed moves an ordinal to another name, from its place in the log on; so readers at different
//! places each see the names of their place.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use millstream_codec::mysql::gtid::Gtid;
use millstream_codec::mysql::schema::TableSchema;
use millstream_codec::wire::hash::stable_hash;
use millstream_codec::wire::layout::{ColumnKind, Field, FieldKind, Slot, field_kind_of, free_field_name, slot_of};
use millstream_codec::wire::names::is_null_name;
use serde::{Deserialize, Serialize};

use super::record::{Entry, FORMAT, RenamedField, frame, read};
use crate::history::HistoryError;
use crate::position::{Position, compare_places};
use crate::records::RecordStore;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "damaged at byte {offset}: {reason}. Ordinals must not be guessed: restore the file from a backup, or remove it \
         and let every client begin anew with fresh schemas"
    )]
    Corrupt { offset: u64, reason: &'static str },
    /// Every record is whole, and together they cannot be.
    #[error(
        "contradicts itself: table {database}.{table} {reason}. Ordinals must not be guessed: restore the file from a \
         backup, or remove it and let every client begin anew with fresh schemas"
    )]
    Contradiction { database: String, table: String, reason: String },
    #[error("was written in format {found}, this program reads {FORMAT}")]
    Format { found: u16 },
    #[error("belongs to the destination '{found}', not to '{expected}'")]
    Destination { found: String, expected: String },
    #[error("a name or a change is too long to be recorded")]
    TooLong,
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// A place in the log, named so that any reader can tell whether it is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogPoint {
    /// Empty where the source has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gtid: String,
    pub incarnation: String,
    pub file: String,
    pub offset: u64,
}

impl LogPoint {
    /// Is it the same change of the log? Its GTID is the same on every server, its file and offset are not.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.gtid.is_empty() { self == other } else { self.gtid == other.gtid }
    }

    /// Has a reader that stands at `position` passed this place? Where that cannot be known (another server's file
    /// positions), it is taken for passed.
    pub fn is_passed(&self, position: &Position) -> bool {
        if let Ok(gtid) = self.gtid.parse::<Gtid>()
            && !position.gtids.is_empty()
        {
            return position.gtids.contains(&gtid);
        }
        if *self.incarnation != *position.incarnation {
            return true;
        }
        let place = Position { file: self.file.as_str().into(), offset: self.offset, ..Position::default() };
        compare_places(&place, position).is_le()
    }
}

/// Of each column that a table ever had: 20 bytes, and its names.
#[derive(Debug, Clone, Copy)]
struct FieldRecord {
    /// Where its names are in the table's text: the column's own, as it was first seen, and the field's behind it.
    start: u32,
    column_bytes: u32,
    /// 0: the field is called as the column is.
    name_bytes: u32,
    ordinal: u16,
    kind: ColumnKind,
    has_null: bool,
}

#[derive(Debug, Default)]
struct TableRecord {
    /// In the order of ordinals.
    fields: Vec<FieldRecord>,
    /// The names of all fields, one behind the other: an allocation for each would take more than most names do.
    text: String,
    renames: Vec<(LogPoint, Vec<RenamedField>)>,
    /// Digest, version, and how many ordinals its struct has.
    versions: Vec<([u64; 2], u32, u16)>,
}

/// What a schema resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Every ordinal that the struct of this version has, in order.
    pub fields: Vec<Field>,
    /// Of each column of the schema.
    pub ordinals: Vec<u16>,
    pub version: u32,
}

/// Pure state and the records that are not durable yet.
#[derive(Debug)]
pub struct Registry {
    /// By database and table.
    tables: HashMap<Box<str>, HashMap<Box<str>, TableRecord>>,
    /// Entries as they are written.
    pending: Vec<u8>,
    /// So many bytes of them are the file's beginning.
    begin_bytes: usize,
}

/// Why a table's columns get no ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unassignable {
    OrdinalsUsedUp,
    /// Longer than any that a server has.
    NameTooLong,
}

impl Registry {
    /// # Errors
    /// [`RegistryError`]: damaged, of another destination or format, or not to be read.
    pub fn load(destination: &str, store: &mut dyn RecordStore) -> Result<Self, RegistryError> {
        let bytes = store.load()?;
        let mut registry = Self { tables: HashMap::new(), pending: Vec::new(), begin_bytes: 0 };
        let mut is_empty = true;
        let whole_bytes = read(&bytes, |entry| {
            is_empty = false;
            match entry {
                Entry::Begin { format, .. } if format != FORMAT => Err(RegistryError::Format { found: format }),
                Entry::Begin { destination: found, .. } if found != destination => {
                    Err(RegistryError::Destination { found: found.to_owned(), expected: destination.to_owned() })
                }
                Entry::Begin { .. } => Ok(()),
                entry => {
                    registry.check(&entry)?;
                    registry.apply(entry);
                    Ok(())
                }
            }
        })?;
        if whole_bytes < bytes.len() as u64 {
            store.truncate(whole_bytes)?;
        }
        drop(bytes);
        registry.tables.values_mut().flat_map(HashMap::values_mut).for_each(TableRecord::shrink);
        if is_empty {
            Entry::Begin { format: FORMAT, destination }.write(&mut registry.pending)?;
            registry.begin_bytes = registry.pending.len();
        }
        Ok(registry)
    }

    /// Makes durable what is not yet.
    ///
    /// # Errors
    /// The store's; everything is still pending then.
    pub fn commit(&mut self, store: &mut dyn RecordStore) -> Result<(), RegistryError> {
        if self.has_pending() {
            store.append(&frame(&self.pending)?)?;
            self.pending = Vec::new();
            self.begin_bytes = 0;
        }
        Ok(())
    }

    pub fn has_pending(&self) -> bool {
        // The file's beginning alone says nothing yet.
        self.pending.len() > self.begin_bytes
    }

    fn table(&self, database: &str, table: &str) -> Option<&TableRecord> {
        self.tables.get(database)?.get(table)
    }

    fn table_mut(&mut self, database: &str, table: &str) -> &mut TableRecord {
        // Names are copied only where they are new.
        let tables = get_or_default(&mut self.tables, database);
        get_or_default(tables, table)
    }

    /// Ordinals are given one behind the other, and renamed or counted once they are there.
    fn check(&self, entry: &Entry<'_>) -> Result<(), RegistryError> {
        let (Entry::Field { database, table, .. }
        | Entry::Renamed { database, table, .. }
        | Entry::Version { database, table, .. }) = *entry
        else {
            return Ok(());
        };
        let record = self.table(database, table);
        let next = record.map_or(0, TableRecord::next_ordinal);
        let is_field = |ordinal: u16| {
            record.is_some_and(|record| record.fields.binary_search_by_key(&ordinal, |field| field.ordinal).is_ok())
        };
        let reason = match entry {
            Entry::Field { ordinal, .. } if *ordinal != next => {
                format!("has a column with ordinal {ordinal} where {next} is next")
            }
            Entry::Field { column, name, .. }
                if record.is_some_and(|record| !record.has_room(column.len() + name.len())) =>
            {
                "has names of more than 4 GiB".to_owned()
            }
            Entry::Renamed { renamed, .. } => match renamed.iter().find(|field| !is_field(field.ordinal)) {
                Some(field) => format!("has no column with ordinal {} that could be renamed", field.ordinal),
                None => return Ok(()),
            },
            Entry::Version { fields, version, .. } if *fields > next => {
                format!("has {next} ordinals, its version {version} has {fields}")
            }
            Entry::Begin { .. } | Entry::Field { .. } | Entry::Version { .. } => return Ok(()),
        };
        Err(RegistryError::Contradiction { database: database.to_owned(), table: table.to_owned(), reason })
    }

    /// # Errors
    /// [`RegistryError::TooLong`]: a name that cannot be written. Nothing has changed then.
    fn record(&mut self, entry: Entry<'_>) -> Result<(), RegistryError> {
        let before = self.pending.len();
        if let Err(error) = entry.write(&mut self.pending) {
            self.pending.truncate(before);
            return Err(error);
        }
        self.apply(entry);
        Ok(())
    }

    fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Begin { .. } => {}
            Entry::Field { database, table, ordinal, has_null, kind, column, name } => {
                self.table_mut(database, table).push(ordinal, kind, has_null, column, name);
            }
            Entry::Renamed { database, table, point, renamed } => {
                self.table_mut(database, table).renames.push((point, renamed));
            }
            Entry::Version { database, table, version, digest, fields } => {
                let versions = &mut self.table_mut(database, table).versions;
                versions.reserve_exact(1);
                versions.push((digest, version, fields));
            }
        }
    }

    /// Whether what a table's columns are called depends on where the reader stands.
    pub fn has_renames(&self, (database, table): &(String, String)) -> bool {
        self.table(database, table).is_some_and(|record| !record.renames.is_empty())
    }

    /// The ordinals of the table's columns for a reader at `position`; columns not seen before get new ones. No two columns
    /// have the same name.
    ///
    /// # Errors
    /// [`Unassignable`]
    pub fn assign(&mut self, schema: &TableSchema, position: &Position) -> Result<Assignment, Unassignable> {
        let (database, table) = (&*schema.database, &*schema.table);
        let unmet = TableRecord::default();
        let record = self.table(database, table).unwrap_or(&unmet);
        let mut ordinals = record.known(schema, position);
        let mut next = record.next_ordinal();
        let new = record.name_new(schema, &ordinals);
        if !new.is_empty() && !self.table_mut(database, table).make_room(schema, &new) {
            return Err(Unassignable::NameTooLong);
        }
        for (index, name) in new {
            let (Some(column), Some(place)) = (schema.columns.get(index), ordinals.get_mut(index)) else { continue };
            // The last ordinal's IsNull needs a number too; a struct holds at most 65,535 fields.
            if next >= u16::MAX - 1 {
                return Err(Unassignable::OrdinalsUsedUp);
            }
            let kind = field_kind_of(&column.column_type);
            let has_null = matches!(slot_of(kind), Slot::Data { .. });
            let (ordinal, column) = (next, &*column.name);
            self.record(Entry::Field { database, table, ordinal, has_null, kind, column, name: &name })
                .map_err(|_| Unassignable::NameTooLong)?;
            *place = Some(ordinal);
            next += 1 + u16::from(has_null);
        }
        let ordinals: Vec<u16> = ordinals.into_iter().flatten().collect();
        let digest = digest(schema, &ordinals);
        let versions = self.table(database, table).map(|record| &*record.versions).unwrap_or_default();
        let (version, fields) = match versions.iter().find(|(known, ..)| *known == digest) {
            Some((_, version, fields)) => (*version, *fields),
            None => {
                let version = versions.iter().map(|(_, version, _)| *version).max().unwrap_or(0).saturating_add(1);
                self.record(Entry::Version { database, table, version, digest, fields: next })
                    .map_err(|_| Unassignable::NameTooLong)?;
                (version, next)
            }
        };
        let fields = self.table(database, table).map(|record| record.fields(position, &ordinals, fields));
        Ok(Assignment { fields: fields.unwrap_or_default(), ordinals, version })
    }

    /// Records what a RENAME COLUMN at `point` does, seen by a reader at `position` just before it. Once for each
    /// point: readers come by again. `renames` happen at the same time, so that two columns can change names.
    /// True where an ordinal moved.
    pub fn rename_columns(
        &mut self,
        (database, table): (&str, &str),
        renames: &[(String, String)],
        point: &LogPoint,
        position: &Position,
    ) -> bool {
        let Some(record) = self.table(database, table) else { return false };
        if record.renames.iter().any(|(known, _)| known.is_same(point)) {
            return false;
        }
        let current = record.current(position);
        let names = record.names();
        let target_of =
            |column: &str| renames.iter().find(|(from, _)| from.eq_ignore_ascii_case(column)).map(|(_, to)| to);
        let mut renamed = Vec::new();
        for field in &current {
            let Some(to) = target_of(field.column) else { continue };
            // An ordinal that goes by the new name already, and does not leave it now, keeps it: readers may have
            // used it.
            let taken = current
                .iter()
                .any(|other| other.kind == field.kind && other.column == *to && target_of(other.column).is_none());
            if taken || *to == field.column {
                continue;
            }
            renamed.push(RenamedField { ordinal: field.ordinal, column: to.clone(), name: names.free(to) });
        }
        if renamed.is_empty() {
            return false;
        }
        // No server has a name that is too long; its column would get an ordinal of its own.
        self.record(Entry::Renamed { database, table, point: point.clone(), renamed }).is_ok()
    }

    pub fn tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.iter().flat_map(|(database, tables)| tables.keys().map(|table| (&**database, &**table)))
    }
}

fn get_or_default<'a, V: Default>(map: &'a mut HashMap<Box<str>, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.into(), V::default());
    }
    map.get_mut(key).expect("it was inserted where it was missing")
}

/// A field under the names that it has for one reader.
struct CurrentField<'a> {
    ordinal: u16,
    kind: ColumnKind,
    has_null: bool,
    column: &'a str,
    name: &'a str,
}

impl TableRecord {
    fn push(&mut self, ordinal: u16, kind: ColumnKind, has_null: bool, column: &str, name: &str) {
        let bytes = |text: &str| u32::try_from(text.len()).expect("a name in a record has 65,535 bytes at most");
        let start = u32::try_from(self.text.len()).expect("there was room");
        let name = if name == column { "" } else { name };
        self.text.push_str(column);
        self.text.push_str(name);
        let (column_bytes, name_bytes) = (bytes(column), bytes(name));
        self.fields.push(FieldRecord { start, column_bytes, name_bytes, ordinal, kind, has_null });
    }

    /// For these columns of the schema, with these names: tables mostly stay as they are first seen.
    /// False where they are more than there can be.
    #[must_use]
    fn make_room(&mut self, schema: &TableSchema, new: &[(usize, String)]) -> bool {
        let bytes = |(index, name): &(usize, String)| {
            let column = schema.columns.get(*index).map_or("", |column| &*column.name);
            column.len() + if column == name { 0 } else { name.len() }
        };
        let more: usize = new.iter().map(bytes).sum();
        let has_room = self.has_room(more);
        if has_room {
            self.fields.reserve_exact(new.len());
            self.text.reserve_exact(more);
        }
        has_room
    }

    /// 65,535 fields with two names of 65,535 bytes each would be 8 GiB; of names as servers have them, 50 MiB.
    fn has_room(&self, bytes: usize) -> bool {
        self.text.len().saturating_add(bytes) <= u32::MAX as usize
    }

    fn shrink(&mut self) {
        self.fields.shrink_to_fit();
        self.text.shrink_to_fit();
        self.renames.shrink_to_fit();
        self.versions.shrink_to_fit();
    }

    /// The column's name and the field's, as they were first.
    fn first_names(&self, field: &FieldRecord) -> (&str, &str) {
        let start = field.start as usize;
        let middle = start + field.column_bytes as usize;
        let text = |range| self.text.get(range).unwrap_or_default();
        let column = text(start..middle);
        match field.name_bytes {
            0 => (column, column),
            bytes => (column, text(middle..middle + bytes as usize)),
        }
    }

    /// In the order of ordinals.
    fn current(&self, position: &Position) -> Vec<CurrentField<'_>> {
        let passed = self.renames.iter().filter(|(point, _)| point.is_passed(position));
        // Of several for one ordinal the last one counts.
        let renamed: HashMap<u16, &RenamedField> =
            passed.flat_map(|(_, renamed)| renamed).map(|field| (field.ordinal, field)).collect();
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let (column, name) = match renamed.get(&field.ordinal) {
                Some(renamed) => (&*renamed.column, &*renamed.name),
                None => self.first_names(field),
            };
            let FieldRecord { ordinal, kind, has_null, .. } = *field;
            fields.push(CurrentField { ordinal, kind, has_null, column, name });
        }
        fields
    }

    fn next_ordinal(&self) -> u16 {
        self.fields.last().map_or(0, |field| field.ordinal.saturating_add(1 + u16::from(field.has_null)))
    }

    /// The ordinal that each column of the schema has already.
    fn known(&self, schema: &TableSchema, position: &Position) -> Vec<Option<u16>> {
        let mut known: HashMap<(&str, u16), u16> = HashMap::with_capacity(self.fields.len());
        for field in self.current(position) {
            // Where several have come to the same name, the first one is it.
            known.entry((field.column, field.kind as u16)).or_insert(field.ordinal);
        }
        let ordinal = |(column, column_type)| known.get(&(column, field_kind_of(column_type) as u16)).copied();
        schema.columns.iter().map(|column| ordinal((&*column.name, &column.column_type))).collect()
    }

    /// The columns without an ordinal, by index, and what their fields will be called.
    fn name_new(&self, schema: &TableSchema, ordinals: &[Option<u16>]) -> Vec<(usize, String)> {
        let mut new = Vec::new();
        let missing = || schema.columns.iter().zip(ordinals).enumerate().filter(|(_, (_, known))| known.is_none());
        if missing().next().is_none() {
            return new;
        }
        let mut names = self.names();
        for (index, (column, _)) in missing() {
            let name = names.free(&column.name);
            let has_null = matches!(slot_of(field_kind_of(&column.column_type)), Slot::Data { .. });
            names.add(&column.name, Cow::Owned(name.clone()), has_null);
            new.push((index, name));
        }
        new
    }

    /// Every name that a field of the table ever had.
    fn names(&self) -> Names<'_> {
        let mut names = Names(HashMap::with_capacity(2 * self.fields.len()));
        for field in &self.fields {
            let (column, name) = self.first_names(field);
            names.add(column, Cow::Borrowed(name), field.has_null);
        }
        for field in self.renames.iter().flat_map(|(_, renamed)| renamed) {
            names.add(&field.column, Cow::Borrowed(&field.name), true);
        }
        names
    }

    fn fields(&self, position: &Position, used: &[u16], count: u16) -> Vec<Field> {
        let mut is_used = vec![false; usize::from(count)];
        for ordinal in used {
            if let Some(is_used) = is_used.get_mut(usize::from(*ordinal)) {
                *is_used = true;
            }
        }
        let mut fields = Vec::with_capacity(usize::from(count));
        for field in self.current(position) {
            let Some(is_used) = is_used.get(usize::from(field.ordinal)) else { break };
            let retired = !is_used;
            fields.push(Field { name: field.name.to_owned(), kind: FieldKind::Value(field.kind), retired });
            if field.has_null {
                fields.push(Field { name: is_null_name(field.name), kind: FieldKind::IsNull(field.ordinal), retired });
            }
        }
        fields
    }
}

/// Names of fields, each with the column that it is of; `None` where it is of several. A column that gets another type may keep
/// its own name.
struct Names<'a>(HashMap<Cow<'a, str>, Option<&'a str>>);

impl<'a> Names<'a> {
    fn add(&mut self, column: &'a str, name: Cow<'a, str>, has_null: bool) {
        let is_null = has_null.then(|| Cow::Owned(is_null_name(&name)));
        for name in std::iter::once(name).chain(is_null) {
            match self.0.entry(name) {
                Place::Vacant(place) => drop(place.insert(Some(column))),
                Place::Occupied(mut place) => {
                    if *place.get() != Some(column) {
                        place.insert(None);
                    }
                }
            }
        }
    }

    /// One that no other column has, whenever that was.
    fn free(&self, column: &str) -> String {
        free_field_name(column, |name| self.0.get(name).is_some_and(|of| *of != Some(column)))
    }
}

/// What makes a version: the columns with all that is known of them, and their ordinals.
fn digest(schema: &TableSchema, ordinals: &[u16]) -> [u64; 2] {
    let columns: Vec<String> = schema
        .columns
        .iter()
        .zip(ordinals)
        .map(|(column, ordinal)| format!("{ordinal} {} {} {:?}", column.name, column.primary_key, column.column_type))
        .collect();
    let of = |label: &'static [u8]| {
        let parts: Vec<&[u8]> = std::iter::once(label).chain(columns.iter().map(String::as_bytes)).collect();
        stable_hash(&parts)
    };
    [of(b"version a"), of(b"version b")]
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
