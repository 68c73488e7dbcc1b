//! The registry of ordinals: which field of a table's struct each column has, for ever.
//!
//! Keyed by the table's name (a RENAME TABLE therefore keeps the identity of the name: what gh-ost swaps in is the same
//! table for clients) and by (column name, kind). A column that comes back takes the ordinal that it had. A RENAME
//! COLUMN that was parsed moves an ordinal to another name, from its place in the log on; so readers at different
//! places each see the names of their place.

use std::collections::HashMap;

use millstream_codec::mysql::gtid::Gtid;
use millstream_codec::mysql::schema::TableSchema;
use millstream_codec::wire::hash::stable_hash;
use millstream_codec::wire::layout::{ColumnKind, Field, FieldKind, Slot, assign_field_name, field_kind_of, slot_of};
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

#[derive(Debug)]
struct FieldRecord {
    ordinal: u16,
    kind: ColumnKind,
    has_null: bool,
    /// As it was first seen.
    column: String,
    name: String,
}

#[derive(Debug, Default)]
struct TableRecord {
    fields: Vec<FieldRecord>,
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
    tables: HashMap<(String, String), TableRecord>,
    pending: Vec<Entry>,
}

/// No ordinal is left.
#[derive(Debug, PartialEq, Eq)]
pub struct OrdinalsUsedUp;

impl Registry {
    /// # Errors
    /// [`RegistryError`]: damaged, of another destination or format, or not to be read.
    pub fn load(destination: &str, store: &mut dyn RecordStore) -> Result<Self, RegistryError> {
        let bytes = store.load()?;
        let loaded = read(&bytes)?;
        if loaded.whole_bytes < bytes.len() as u64 {
            store.truncate(loaded.whole_bytes)?;
        }
        let mut registry = Self { tables: HashMap::new(), pending: Vec::new() };
        let begin = loaded.entries.is_empty();
        for entry in loaded.entries {
            if let Entry::Begin { format, destination: found } = entry {
                if format != FORMAT {
                    return Err(RegistryError::Format { found: format });
                }
                if found != destination {
                    return Err(RegistryError::Destination { found, expected: destination.to_owned() });
                }
            } else {
                registry.check(&entry)?;
                registry.apply(entry);
            }
        }
        if begin {
            registry.pending.push(Entry::Begin { format: FORMAT, destination: destination.to_owned() });
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
            self.pending.clear();
        }
        Ok(())
    }

    pub fn has_pending(&self) -> bool {
        // The file's beginning alone says nothing yet.
        self.pending.iter().any(|entry| !matches!(entry, Entry::Begin { .. }))
    }

    /// Ordinals are given one behind the other, and renamed or counted once they are there.
    fn check(&self, entry: &Entry) -> Result<(), RegistryError> {
        let (database, table) = match entry {
            Entry::Begin { .. } => return Ok(()),
            Entry::Field { database, table, .. }
            | Entry::Renamed { database, table, .. }
            | Entry::Version { database, table, .. } => (database.clone(), table.clone()),
        };
        let record = self.tables.get(&(database.clone(), table.clone()));
        let next = record.map_or(0, TableRecord::next_ordinal);
        let is_field = |ordinal: u16| {
            record.is_some_and(|record| record.fields.binary_search_by_key(&ordinal, |field| field.ordinal).is_ok())
        };
        let reason = match entry {
            Entry::Field { ordinal, .. } if *ordinal != next => {
                format!("has a column with ordinal {ordinal} where {next} is next")
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
        Err(RegistryError::Contradiction { database, table, reason })
    }

    fn record(&mut self, entry: Entry) {
        self.pending.push(entry.clone());
        self.apply(entry);
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Begin { .. } => {}
            Entry::Field { database, table, ordinal, has_null, kind, column, name } => {
                let record = FieldRecord { ordinal, kind, has_null, column, name };
                self.tables.entry((database, table)).or_default().fields.push(record);
            }
            Entry::Renamed { database, table, point, renamed } => {
                self.tables.entry((database, table)).or_default().renames.push((point, renamed));
            }
            Entry::Version { database, table, version, digest, fields } => {
                self.tables.entry((database, table)).or_default().versions.push((digest, version, fields));
            }
        }
    }

    /// Whether what a table's columns are called depends on where the reader stands.
    pub fn has_renames(&self, table: &(String, String)) -> bool {
        self.tables.get(table).is_some_and(|record| !record.renames.is_empty())
    }

    /// The ordinals of the table's columns for a reader at `position`; columns not seen before get new ones.
    pub fn assign(&mut self, schema: &TableSchema, position: &Position) -> Result<Assignment, OrdinalsUsedUp> {
        let key = (schema.database.clone(), schema.table.clone());
        let mut ordinals = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let kind = field_kind_of(&column.column_type);
            let table = self.tables.entry(key.clone()).or_default();
            let known =
                table.current(position).into_iter().find(|field| field.kind == kind && field.column == column.name);
            let ordinal = match known {
                Some(field) => field.ordinal,
                None => {
                    let has_null = matches!(slot_of(kind), Slot::Data { .. });
                    let ordinal = table.next_ordinal();
                    // The last ordinal's IsNull needs a number too; a struct holds at most 65,535 fields.
                    if ordinal >= u16::MAX - 1 {
                        return Err(OrdinalsUsedUp);
                    }
                    let names = table.names_beside(&column.name);
                    self.record(Entry::Field {
                        database: key.0.clone(),
                        table: key.1.clone(),
                        ordinal,
                        has_null,
                        kind,
                        column: column.name.clone(),
                        name: assign_field_name(&names, &column.name),
                    });
                    ordinal
                }
            };
            ordinals.push(ordinal);
        }
        let digest = digest(schema, &ordinals);
        let table = self.tables.entry(key.clone()).or_default();
        let (version, count) = match table.versions.iter().find(|(known, ..)| *known == digest) {
            Some((_, version, fields)) => (*version, *fields),
            None => {
                let version =
                    table.versions.iter().map(|(_, version, _)| *version).max().unwrap_or(0).saturating_add(1);
                let fields = table.next_ordinal();
                self.record(Entry::Version { database: key.0.clone(), table: key.1.clone(), version, digest, fields });
                (version, fields)
            }
        };
        let table = self.tables.entry(key).or_default();
        Ok(Assignment { fields: table.fields(position, &ordinals, count), ordinals, version })
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
        let key = (database.to_owned(), table.to_owned());
        let Some(record) = self.tables.get(&key) else { return false };
        if record.renames.iter().any(|(known, _)| known.is_same(point)) {
            return false;
        }
        let current = record.current(position);
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
            let names = record.names_beside(to);
            renamed.push(RenamedField {
                ordinal: field.ordinal,
                column: to.clone(),
                name: assign_field_name(&names, to),
            });
        }
        if renamed.is_empty() {
            return false;
        }
        self.record(Entry::Renamed { database: key.0, table: key.1, point: point.clone(), renamed });
        true
    }

    pub fn tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.keys().map(|(database, table)| (database.as_str(), table.as_str()))
    }
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
    /// In the order of ordinals.
    fn current(&self, position: &Position) -> Vec<CurrentField<'_>> {
        let passed: Vec<&[RenamedField]> = self
            .renames
            .iter()
            .filter(|(point, _)| point.is_passed(position))
            .map(|(_, renamed)| renamed.as_slice())
            .collect();
        self.fields
            .iter()
            .map(|field| {
                let renamed = passed
                    .iter()
                    .rev()
                    .flat_map(|renamed| renamed.iter())
                    .find(|renamed| renamed.ordinal == field.ordinal);
                CurrentField {
                    ordinal: field.ordinal,
                    kind: field.kind,
                    has_null: field.has_null,
                    column: renamed.map_or(&field.column, |renamed| &renamed.column),
                    name: renamed.map_or(&field.name, |renamed| &renamed.name),
                }
            })
            .collect()
    }

    fn next_ordinal(&self) -> u16 {
        self.fields.last().map_or(0, |field| field.ordinal.saturating_add(1 + u16::from(field.has_null)))
    }

    /// Every name that may stand beside a field of this column: those of other columns, whenever they were.
    fn names_beside(&self, column: &str) -> Vec<String> {
        let own = self.fields.iter().map(|field| (&field.column, &field.name, field.has_null));
        let renamed =
            self.renames.iter().flat_map(|(_, renamed)| renamed).map(|field| (&field.column, &field.name, true));
        let mut names = Vec::new();
        for (other, name, has_null) in own.chain(renamed) {
            if other == column {
                continue;
            }
            names.push(name.clone());
            if has_null {
                names.push(is_null_name(name));
            }
        }
        names
    }

    fn fields(&self, position: &Position, used: &[u16], count: u16) -> Vec<Field> {
        let mut fields = Vec::with_capacity(usize::from(count));
        for field in self.current(position) {
            if field.ordinal >= count {
                break;
            }
            let retired = !used.contains(&field.ordinal);
            fields.push(Field { name: field.name.to_owned(), kind: FieldKind::Value(field.kind), retired });
            if field.has_null {
                fields.push(Field { name: is_null_name(field.name), kind: FieldKind::IsNull(field.ordinal), retired });
            }
        }
        fields
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
