//! Table versions, made once and shared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, TableSchema};
use millstream_codec::wire::encode::RowProgram;
use millstream_codec::wire::layout::{Layout, LayoutError, LayoutRequest};

use super::registry::{Assignment, LogPoint, Registry, RegistryError, Unassignable};
use super::table_hash;
use crate::engine::interest::Projection;
use crate::engine::table::TableVersion;
use crate::history::SchemaHistory;
use crate::limits::TABLE_VERSIONS_BYTES_MAX;
use crate::position::{FilePosition, Position, compare_file_positions};
use crate::records::{MemoryStore, RecordStore};

/// Why one table cannot be delivered. It is quarantined; the others flow on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("all 65,535 ordinals of the table are used up; deliver it under another name, or to a new destination")]
    OrdinalsUsedUp,
    /// No server has such a table: what describes it is damaged.
    #[error("two of its columns are named '{0}'")]
    DuplicateColumn(String),
    /// The same.
    #[error("its name or one of its columns' is longer than any that a server has")]
    NameTooLong,
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("its rows cannot be encoded: {0}")]
    Program(String),
}

/// The tables of one destination. See the module's page.
pub struct Tables {
    destination: String,
    store: Box<dyn RecordStore + Send>,
    registry: Registry,
    history: SchemaHistory,
    known: HashMap<(String, String), Known>,
    /// What the versions and projections in `known` take, together, and when room is made next.
    cached_bytes: usize,
    cached_bytes_max: usize,
    next_id: u32,
}

#[derive(Default)]
struct Known {
    versions: Vec<Arc<TableVersion>>,
    /// Each with the id of the version that it is a projection of.
    projections: Vec<(u32, Arc<TableVersion>)>,
    /// The newest by its place in the log, and that place.
    newest: Option<(Arc<TableVersion>, Place)>,
}

/// As much of a position as tells which of two is newer.
struct Place {
    incarnation: Arc<str>,
    at: FilePosition,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("destination", &self.destination)
            .field("cached_bytes", &self.cached_bytes)
            .finish_non_exhaustive()
    }
}

impl Tables {
    /// Reads back what the store holds.
    ///
    /// # Errors
    /// [`RegistryError`]: nothing may be delivered without the ordinals that clients already know.
    pub fn open(
        destination: &str,
        mut store: Box<dyn RecordStore + Send>,
        history: Box<dyn RecordStore + Send>,
    ) -> Result<Self, RegistryError> {
        let registry = Registry::load(destination, store.as_mut())?;
        let history = SchemaHistory::open(destination, history);
        Ok(Self {
            destination: destination.to_owned(),
            store,
            registry,
            history,
            known: HashMap::new(),
            cached_bytes: 0,
            cached_bytes_max: TABLE_VERSIONS_BYTES_MAX,
            next_id: 1,
        })
    }

    /// Without durability: for decoding files, and for tests.
    pub fn in_memory(destination: &str) -> Self {
        Self::open(destination, Box::new(MemoryStore::default()), Box::new(MemoryStore::default()))
            .expect("an empty store is not damaged")
    }

    /// The version of the table that this schema is, for a reader that stands at `position`. The same answer for the
    /// same question. New ordinals are not durable yet: see [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`TableError`]: this table cannot be delivered.
    pub fn resolve(
        &mut self,
        schema: TableSchema,
        formats: Vec<ColumnFormat>,
        position: &Position,
    ) -> Result<Arc<TableVersion>, TableError> {
        let key = (schema.database.clone(), schema.table.clone());
        // Without a RENAME COLUMN, a schema that was met before has the ordinals that it had then, wherever the reader is.
        let found = match self.registry.has_renames(&key) {
            true => None,
            false => self.find(&key, |known| known.schema == schema && known.formats == formats),
        };
        let version = match found {
            Some(version) => version,
            None => self.assigned(&key, schema, formats, position)?,
        };
        let place = || Place { incarnation: position.incarnation.clone(), at: position.file_position() };
        let known = match self.known.get_mut(&key) {
            Some(known) => known,
            None => self.known.entry(key).or_default(),
        };
        match &mut known.newest {
            Some((newest, last)) if last.incarnation == position.incarnation => {
                if compare_file_positions(&last.at, &position.file, position.offset).is_le() {
                    if !Arc::ptr_eq(newest, &version) {
                        *newest = version.clone();
                    }
                    *last = place();
                }
            }
            newest => *newest = Some((version.clone(), place())),
        }
        Ok(version)
    }

    fn find(
        &self,
        key: &(String, String),
        mut is_same: impl FnMut(&TableVersion) -> bool,
    ) -> Option<Arc<TableVersion>> {
        self.known.get(key)?.versions.iter().find(|known| is_same(known)).cloned()
    }

    /// The version that has the ordinals which the registry gives to the schema.
    fn assigned(
        &mut self,
        key: &(String, String),
        schema: TableSchema,
        formats: Vec<ColumnFormat>,
        position: &Position,
    ) -> Result<Arc<TableVersion>, TableError> {
        let assignment = self.assign(&schema, position)?;
        let found = self.find(key, |known| {
            known.ordinals == assignment.ordinals
                && known.formats == formats
                && known.schema == schema
                && known.fields == assignment.fields
        });
        if let Some(version) = found {
            return Ok(version);
        }
        let version = self.build(schema, formats, &assignment, None)?;
        self.make_room();
        self.cached_bytes += version.bytes();
        self.known.entry(key.clone()).or_default().versions.push(version.clone());
        Ok(version)
    }

    fn assign(&mut self, schema: &TableSchema, position: &Position) -> Result<Assignment, TableError> {
        let mut names = HashSet::with_capacity(schema.columns.len());
        // Ordinals go by name: two columns of one name would be delivered as one.
        if let Some(column) = schema.columns.iter().find(|column| !names.insert(&column.name)) {
            return Err(TableError::DuplicateColumn(column.name.clone()));
        }
        self.registry.assign(schema, position).map_err(|error| match error {
            Unassignable::OrdinalsUsedUp => TableError::OrdinalsUsedUp,
            Unassignable::NameTooLong => TableError::NameTooLong,
        })
    }

    /// The layout that a table has by `information_schema`, for those who ask before its first row passes. Its ordinals
    /// are given, and made durable, as a reader at `position` would.
    ///
    /// # Errors
    /// [`TableError`]; [`RegistryError`] as its text.
    pub fn preview(&mut self, schema: &TableSchema, position: &Position) -> Result<Layout, String> {
        let assignment = self.assign(schema, position).map_err(|error| error.to_string())?;
        self.commit().map_err(|error| error.to_string())?;
        let columns: Vec<(&ColumnSchema, u16)> =
            schema.columns.iter().zip(assignment.ordinals.iter().copied()).collect();
        Layout::build(&LayoutRequest {
            destination: &self.destination,
            database: &schema.database,
            table: &schema.table,
            version: assignment.version,
            id: 0,
            fields: &assignment.fields,
            columns: &columns,
            masked: &[],
        })
        .map_err(|error| error.to_string())
    }

    /// The same version with only some columns; `None` is the version itself.
    pub fn projected(&mut self, version: &Arc<TableVersion>, projection: &Projection) -> Arc<TableVersion> {
        let Some(wanted) = projection else { return version.clone() };
        let key = (version.schema.database.clone(), version.schema.table.clone());
        let found = self.known.get(&key).and_then(|known| {
            known.projections.iter().find(|(of, known)| *of == version.id && known.projection == *projection)
        });
        if let Some((_, known)) = found {
            return known.clone();
        }
        let assignment = Assignment {
            fields: version.fields.clone(),
            ordinals: version.ordinals.clone(),
            version: version.layout.version,
        };
        let built = self
            .build(version.schema.clone(), version.formats.clone(), &assignment, Some(wanted.clone()))
            .expect("what could be built with all of its columns can be built with some of them");
        self.make_room();
        self.cached_bytes += built.bytes();
        self.known.entry(key).or_default().projections.push((version.id, built.clone()));
        built
    }

    fn build(
        &mut self,
        schema: TableSchema,
        formats: Vec<ColumnFormat>,
        assignment: &Assignment,
        projection: Projection,
    ) -> Result<Arc<TableVersion>, TableError> {
        let columns: Vec<(&ColumnSchema, u16)> =
            schema.columns.iter().zip(assignment.ordinals.iter().copied()).collect();
        let masked: Vec<bool> = projection.iter().flat_map(|wanted| wanted.iter()).map(|wanted| !wanted).collect();
        let layout = Layout::build_plain(&LayoutRequest {
            destination: &self.destination,
            database: &schema.database,
            table: &schema.table,
            version: assignment.version,
            id: self.next_id,
            fields: &assignment.fields,
            columns: &columns,
            masked: &masked,
        })?;
        let program =
            RowProgram::compile(&layout, &schema, &formats).map_err(|error| TableError::Program(error.to_string()))?;
        let version = TableVersion {
            id: self.next_id,
            hash: table_hash(&schema.database, &schema.table),
            schema,
            formats,
            fields: assignment.fields.clone(),
            ordinals: assignment.ordinals.clone(),
            projection,
            layout: Arc::new(layout),
            program,
        };
        self.next_id += 1;
        Ok(Arc::new(version))
    }

    /// Keeps what versions take bounded. Those in use stay: without them here they would take the same memory, and be
    /// built anew under another id. The newest of each table goes too where nobody uses it; it is known again when the
    /// table's next row comes.
    fn make_room(&mut self) {
        if self.cached_bytes < self.cached_bytes_max {
            return;
        }
        for known in self.known.values_mut() {
            // The list's own reference, and one as the newest.
            known.newest.take_if(|(newest, _)| Arc::strong_count(newest) <= 2);
            known.versions.retain(|version| Arc::strong_count(version) > 1);
            known.projections.retain(|(_, version)| Arc::strong_count(version) > 1);
        }
        self.known
            .retain(|_, known| known.newest.is_some() || !known.versions.is_empty() || !known.projections.is_empty());
        let versions = |known: &Known| -> usize {
            let projections = known.projections.iter().map(|(_, version)| version);
            known.versions.iter().chain(projections).map(|version| version.bytes()).sum()
        };
        self.cached_bytes = self.known.values().map(versions).sum();
        // With all of it in use the next look comes when it has grown by a quarter, so that looks stay rare.
        self.cached_bytes_max = TABLE_VERSIONS_BYTES_MAX.max(self.cached_bytes + self.cached_bytes / 4);
    }

    /// Makes every new ordinal, and what is new in the schema history, durable. Every reader calls it before it hands on
    /// the first rows of a version, or a DDL statement. True where there was something to write.
    ///
    /// # Errors
    /// [`RegistryError`] of the stores: the rows must not be handed on.
    pub fn commit(&mut self) -> Result<bool, RegistryError> {
        let pending = self.registry.has_pending();
        self.registry.commit(self.store.as_mut())?;
        let recorded = self.history.commit()?;
        Ok(pending || recorded)
    }

    pub fn destination(&self) -> &str {
        &self.destination
    }

    pub fn history(&self) -> &SchemaHistory {
        &self.history
    }

    pub fn history_mut(&mut self) -> &mut SchemaHistory {
        &mut self.history
    }

    /// A RENAME COLUMN (or CHANGE) in the log at `point`, found by a reader that stands at `position` right before
    /// it. The ordinals move to the new names; readers come by again, only the first one counts.
    pub fn rename_columns(
        &mut self,
        database: &str,
        table: &str,
        renames: &[(String, String)],
        point: &LogPoint,
        position: &Position,
    ) -> bool {
        self.registry.rename_columns((database, table), renames, point, position)
    }

    /// The newest version of a table, as far as any reader has come since this process started.
    pub fn layout_of(&self, database: &str, table: &str) -> Option<Arc<TableVersion>> {
        let known = self.known.get(&(database.to_owned(), table.to_owned()))?;
        known.newest.as_ref().map(|(version, _)| version.clone())
    }

    /// The newest version of every table that was met since this process started, by name.
    pub fn tables(&self) -> Vec<Arc<TableVersion>> {
        let mut tables: Vec<Arc<TableVersion>> =
            self.known.values().filter_map(|known| known.newest.as_ref()).map(|(version, _)| version.clone()).collect();
        tables.sort_by(|a, b| (&a.schema.database, &a.schema.table).cmp(&(&b.schema.database, &b.schema.table)));
        tables
    }

    /// Every table that has ordinals, by name, also those not met since this process started.
    pub fn registered(&self) -> Vec<(String, String)> {
        let mut names: Vec<(String, String)> =
            self.registry.tables().map(|(database, table)| (database.to_owned(), table.to_owned())).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
