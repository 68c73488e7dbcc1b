//! What each table's columns are, at the place where the reader stands: the catalog that follows the log's DDL, begun
//! from the schema history, checked by each TABLE_MAP.
//!
//! A TABLE_MAP with full metadata overrides the catalog in all that it can express. Where it cannot, and the two
//! disagree, the table is quarantined: nothing is guessed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{ColumnTypeCode, TableMap};

use super::dispatch::Current;
use super::group::Shape;
use super::stream::Stream;
use super::{Mode, Notice, Tracker};
use crate::catalog::{Effect, Outcome, ServerFacts, TableDefinition, TableState};
use crate::history::{Change, Origin, TableAt, TableName};
use crate::limits::STATEMENT_EXCERPT_CHARS;
use crate::position::FilePosition;
use crate::source::statement::{DdlStatement, Session};
use crate::tables::LogPoint;

/// What a table's columns are.
pub(super) enum Known {
    Schema(TableSchema),
    /// The server must be asked; why, where the table was known before.
    Ask {
        doubt: Option<String>,
    },
    /// Nobody knows: why.
    Missing(String),
    /// The log and the catalog contradict each other.
    Contradiction(String),
}

impl Tracker {
    /// Begins with what the history knows of the place where the reader stands.
    pub(super) fn seed(&mut self) {
        self.seeded = true;
        let tables = self.tables.clone();
        let tables = crate::engine::shared::lock(&tables);
        let history = tables.history();
        self.repairs = history.repair_counter();
        self.repairs_seen = history.repairs();
        self.history_damage = history.damage().map(str::to_owned);
        let moment = history.at(&self.position);
        for (name, charset) in moment.databases {
            self.catalog.put_database(name, charset);
        }
        for (name, found) in moment.tables {
            if found.assumed {
                self.assumed.insert(name.clone(), false);
            }
            if found.read_ahead {
                self.read_ahead.insert(name.clone());
            }
            match found.state {
                TableAt::Known(definition) => self.catalog.put(definition),
                TableAt::Doubtful(reason) => self.catalog.doubt(&name.0, &name.1, &reason),
                TableAt::Absent => {}
            }
        }
    }

    /// Tables that a person had read again since the last look; between two transactions.
    pub(super) fn look_for_repairs(&mut self, stream: &mut Stream) {
        if self.repairs.load(Ordering::Relaxed) == self.repairs_seen {
            return;
        }
        let repaired: Vec<(TableName, Option<TableAt>)> = {
            let tables = self.lock_tables();
            let history = tables.history();
            let names = history.repaired_since(self.repairs_seen);
            if names.is_empty() {
                return;
            }
            let state = |name: &TableName| history.table_at(name, &self.position).map(|found| found.state);
            names.iter().map(|name| (name.clone(), state(name))).collect()
        };
        self.repairs_seen += repaired.len();
        self.history_damage = None;
        for (name, state) in repaired {
            match state {
                Some(TableAt::Known(definition)) => self.catalog.put(definition),
                Some(TableAt::Absent) => self.catalog.forget(&name.0, &name.1),
                Some(TableAt::Doubtful(reason)) => self.catalog.doubt(&name.0, &name.1, &reason),
                None => self.catalog.doubt(&name.0, &name.1, "it is to be read again"),
            }
            self.assumed.remove(&name);
            self.read_ahead.remove(&name);
            // If it still cannot be read, that is told again.
            if self.quarantined.remove(&name) {
                let position = FilePosition { file: stream.place.file.clone(), offset: stream.place.offset };
                let (database, table) = name;
                self.notice(Notice::TableReleased { database, table, position });
            }
        }
        stream.maps.clear();
    }

    pub(super) fn server_facts(&self, stream: &Stream) -> ServerFacts {
        let kind = if stream.dialect.is_mariadb { ServerKind::Mariadb } else { ServerKind::Mysql };
        ServerFacts { kind, version: stream.dialect.server_version, ..self.server_facts.clone() }
    }

    /// The schema of the log completed by the catalog.
    pub(super) fn with_known(&mut self, map: &TableMap<'_>, name: &TableName) -> Known {
        let is_fresh = self.just_read.as_ref() == Some(name);
        let has_names = map.metadata.column_names.is_some();
        match self.catalog.table(&name.0, &name.1) {
            TableState::Known(definition) => match map.schema_with(&definition.schema()) {
                Ok(schema) => Known::Schema(schema),
                Err(mismatch) if is_fresh && has_names => Known::Contradiction(mismatch.to_string()),
                Err(mismatch) if is_fresh => Known::Missing(mismatch.to_string()),
                Err(mismatch) => self.with_recorded(map, name).unwrap_or_else(|| {
                    let may_ask = self.assumed.contains_key(name) || self.read_ahead.contains(name);
                    if may_ask { Known::Ask { doubt: None } } else { Known::Contradiction(mismatch.to_string()) }
                }),
            },
            TableState::Doubtful(reason) if is_fresh => Known::Missing(reason.to_owned()),
            TableState::Absent if is_fresh => Known::Missing(
                "its binlog events have no column names (binlog_row_metadata is not FULL), and the server has no such \
                 table any more"
                    .into(),
            ),
            state @ (TableState::Doubtful(_) | TableState::Absent) => match &self.history_damage {
                Some(damage) if !has_names => {
                    Known::Contradiction(format!("the schema history cannot be used: {damage}"))
                }
                _ => Known::Ask {
                    doubt: if let TableState::Doubtful(reason) = state { Some(reason.to_owned()) } else { None },
                },
            },
        }
    }

    /// What was recorded of the table behind the place where this reader began: by a snapshot or a repair, which no
    /// statement in the log tells of.
    fn with_recorded(&mut self, map: &TableMap<'_>, name: &TableName) -> Option<Known> {
        if self.mode == Mode::Files {
            return None;
        }
        let key = self.catalog.key(&name.0, &name.1);
        let found = self.lock_tables().history().table_at(&key, &self.position)?;
        let TableAt::Known(definition) = found.state else { return None };
        let schema = map.schema_with(&definition.schema()).ok().filter(|_| !found.assumed)?;
        self.catalog.put(definition);
        Some(Known::Schema(schema))
    }

    /// Said once: the columns are those of a later place.
    pub(super) fn tell_if_assumed(&mut self, name: &TableName, position: &FilePosition) {
        if let Some(told) = self.assumed.get_mut(name)
            && !std::mem::replace(told, true)
        {
            let ((database, table), position) = (name.clone(), position.clone());
            self.notice(Notice::SchemaAssumed { database, table, position });
        }
    }

    /// What the server says of the table that was asked for.
    pub(super) fn learn_schema(&mut self, name: TableName, definition: Option<TableDefinition>) {
        let state = match definition {
            Some(definition) => {
                let definition = Arc::new(definition);
                self.catalog.put(definition.clone());
                TableAt::Known(definition)
            }
            None => {
                self.catalog.forget(&name.0, &name.1);
                TableAt::Absent
            }
        };
        let key = self.catalog.key(&name.0, &name.1);
        if self.mode == Mode::Live && state != TableAt::Absent {
            // It counts from the transaction that wants it.
            let point = LogPoint {
                gtid: String::new(),
                incarnation: self.position.incarnation.to_string(),
                file: self.position.file.to_string(),
                offset: self.position.offset,
            };
            let change = Change { name: key, state, statement: String::new() };
            self.lock_tables().history_mut().record(&point, Origin::Reread, vec![change]);
            self.resolved = true;
        }
        self.assumed.remove(&name);
        self.read_ahead.insert(name.clone());
        self.just_read = Some(name);
    }

    /// The catalog follows the statement; what came of it is recorded.
    pub(super) fn follow_ddl(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        statement: &DdlStatement,
        session: &Session<'_>,
    ) {
        let facts = self.server_facts(stream);
        if *self.catalog.server() != facts {
            self.catalog.set_server(facts);
        }
        let Effect { changed, outcome } = self.catalog.apply(statement, session);
        if changed.is_empty() && outcome == Outcome::Harmless {
            return;
        }
        // Table maps of the same bytes may mean other columns now.
        stream.maps.clear();
        if self.mode == Mode::Files {
            return;
        }
        let excerpt: String = statement.text.chars().take(STATEMENT_EXCERPT_CHARS).collect();
        let point = self.log_point(stream, current);
        let mut changes = Vec::with_capacity(changed.len());
        for name in changed {
            let state = match self.catalog.table(&name.0, &name.1) {
                TableState::Known(definition) => TableAt::Known(definition.clone()),
                TableState::Doubtful(reason) => TableAt::Doubtful(reason.to_owned()),
                TableState::Absent => TableAt::Absent,
            };
            if statement.kind == "create_table" {
                self.assumed.remove(&name);
                self.read_ahead.remove(&name);
            }
            // What follows from an assumption is no knowledge.
            if !self.assumed.contains_key(&name) {
                changes.push(Change { name, state, statement: excerpt.clone() });
            }
        }
        let databases: Vec<(String, Arc<str>)> =
            self.catalog.databases().map(|(name, charset)| (name.to_owned(), charset.clone())).collect();
        let mut tables = crate::engine::shared::lock(&self.tables);
        let history = tables.history_mut();
        history.record(&point, Origin::Ddl, changes);
        for (name, charset) in &databases {
            history.record_database(&point, name, charset);
        }
        drop(tables);
        self.resolved = true;
    }

    /// Behind the statement that is read.
    pub(super) fn log_point(&self, stream: &Stream, current: &Current<'_>) -> LogPoint {
        let gtid = self.group.as_ref().and_then(|group| group.gtid).map(|gtid| gtid.to_string());
        LogPoint {
            gtid: gtid.unwrap_or_default(),
            incarnation: self.position.incarnation.to_string(),
            file: stream.place.file.to_string(),
            offset: current.span.end,
        }
    }

    /// A statement of its own, not inside a transaction of others.
    pub(super) fn is_standalone(&self) -> bool {
        self.group.as_ref().is_none_or(|group| matches!(group.shape, Shape::Announced | Shape::Single))
    }

    /// What a file without column names can be shown as.
    pub(super) fn numbered_names(&mut self, map: &TableMap<'_>, name: &TableName) -> TableSchema {
        if self.named_by_number.insert(name.clone()) {
            let (database, table) = name.clone();
            self.notice(Notice::NamesUnknown { database, table });
        }
        let names = (1..=map.formats.len()).zip(&map.formats);
        let known = TableSchema {
            database: name.0.clone(),
            table: name.1.clone(),
            columns: names
                .map(|(number, format)| ColumnSchema {
                    name: format!("@{number}"),
                    column_type: guessed_type(format),
                    primary_key: 0,
                })
                .collect(),
        };
        // What the file does tell (signs and character sets of MySQL 8) counts.
        map.schema_with(&known).unwrap_or(known)
    }
}

/// Could a binary column be one of MariaDB's types that the log cannot express, or a time of the old format have a
/// fraction, and with it more bytes than the log says?
pub(super) fn may_be_hidden(schema: &TableSchema, formats: &[ColumnFormat]) -> bool {
    use ColumnTypeCode as T;
    schema.columns.iter().zip(formats).any(|(column, format)| {
        matches!(format.type_code, T::TIME | T::DATETIME | T::TIMESTAMP)
            || matches!(column.column_type, ColumnType::Binary { .. })
                && match format.type_code {
                    // UUID and INET6; INET4.
                    T::STRING => matches!(format.meta, 16 | 4),
                    // VECTOR: four bytes for each dimension.
                    T::VARCHAR | T::VAR_STRING => format.meta % 4 == 0,
                    _ => false,
                }
    })
}

/// By the format alone, so that nothing of a value is lost.
fn guessed_type(format: &ColumnFormat) -> ColumnType {
    use ColumnTypeCode as T;
    let [low, high] = format.meta.to_le_bytes();
    let integer = |bytes| ColumnType::Integer { bytes, unsigned: false };
    match format.type_code {
        T::TINY => integer(1),
        T::SHORT => integer(2),
        T::INT24 => integer(3),
        T::LONG => integer(4),
        T::LONGLONG => integer(8),
        T::FLOAT => ColumnType::Float,
        T::DOUBLE => ColumnType::Double,
        T::NEWDECIMAL => ColumnType::Decimal { precision: low, scale: high },
        T::BIT => ColumnType::Bit { bits: high.saturating_mul(8).saturating_add(low) },
        T::YEAR => ColumnType::Year,
        T::DATE | T::NEWDATE => ColumnType::Date,
        T::TIME | T::TIME2 => ColumnType::Time { digits: low },
        T::DATETIME | T::DATETIME2 => ColumnType::DateTime { digits: low },
        T::TIMESTAMP | T::TIMESTAMP2 => ColumnType::Timestamp { digits: low },
        T::ENUM => ColumnType::Enum { labels: [].into() },
        T::SET => ColumnType::Set { labels: [].into() },
        T::JSON => ColumnType::Json,
        T::GEOMETRY => ColumnType::Geometry,
        T::VECTOR => ColumnType::Vector,
        T::VARCHAR | T::VAR_STRING | T::STRING | T::VARCHAR_COMPRESSED => {
            ColumnType::Text { charset: "utf8mb4".into(), length: u32::from(format.meta) }
        }
        _ => ColumnType::Binary { fixed: None },
    }
}
