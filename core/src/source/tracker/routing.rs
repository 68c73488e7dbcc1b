//! TABLE_MAP and rows events: which table, and whether anybody wants it. A table that nobody wants is dropped here,
//! before a row is touched.

use bytes::Bytes;
use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::event::EventType;
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::schema::{ColumnFormat, ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{ColumnTypeCode, TableMap, table_id_and_name};

use super::assembly::NewEvent;
use super::dispatch::{Current, Flow, damaged};
use super::group::Shape;
use super::maps::Route;
use super::stream::Stream;
use super::{Mode, Need, Notice, Tracker, TrackerOutput};
use crate::limits::KNOWN_SCHEMAS_MAX;
use crate::position::FilePosition;
use crate::source::error::SourceError;

/// What came of resolving a table.
enum Resolution {
    Route(Route),
    /// The server must be asked first.
    Ask,
}

impl Tracker {
    pub(super) fn table_map(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<Flow, SourceError> {
        let corrupt = |error: EventError| damaged(&stream.place_of(current), &error);
        let name = table_id_and_name(current.body).map_err(corrupt)?;
        let version = self.interest.version;
        if stream.maps.is_known(name.table_id, current.body, version) {
            return Ok(Flow::Next);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (id, name) = (name.table_id, (text(name.database), text(name.table)));
        let route = if self.interest.wants(&name.0, &name.1) {
            match self.resolve(stream, current, &name)? {
                Resolution::Route(route) => route,
                Resolution::Ask => {
                    self.asked_schema = Some(name.clone());
                    let (database, table) = name;
                    self.outputs.push_back(TrackerOutput::Need(Need::Schema { database, table }));
                    return Ok(Flow::Again);
                }
            }
        } else {
            Route::Unwanted
        };
        self.just_read = None;
        stream.maps.insert(id, current.body, name, version, route);
        Ok(Flow::Next)
    }

    /// From the log, with the help of what the server knows of the table, to a version of it.
    fn resolve(
        &mut self,
        stream: &Stream,
        current: &Current<'_>,
        name: &(String, String),
    ) -> Result<Resolution, SourceError> {
        let place = stream.place_of(current);
        let kind = if stream.dialect.is_mariadb { ServerKind::Mariadb } else { ServerKind::Mysql };
        let map = match TableMap::parse(current.body, kind) {
            Ok(map) => map,
            Err(error) if error.concerns_one_table() => return Ok(self.quarantine(name, &place, &error.to_string())),
            Err(error) => return Err(damaged(&place, &error)),
        };
        let in_log = map.schema();
        let is_certain =
            in_log.as_ref().is_some_and(|schema| !stream.dialect.is_mariadb || !may_be_hidden(schema, &map.formats));
        let schema = match in_log {
            Some(schema) if is_certain || self.mode == Mode::Files => schema,
            None if self.mode == Mode::Files => self.numbered_names(&map, name),
            in_log => match self.with_known(&map, name) {
                Known::Schema(schema) => schema,
                Known::Ask => return Ok(Resolution::Ask),
                Known::Other(reason) => return Ok(self.quarantine(name, &place, &reason)),
                Known::Missing(reason) => match in_log {
                    Some(schema) => {
                        let (database, table) = name.clone();
                        self.notice(Notice::UncertainTypes { database, table, position: place.clone() });
                        schema
                    }
                    None => return Ok(self.quarantine(name, &place, &reason)),
                },
            },
        };
        let resolved = self.lock_tables().resolve(schema, map.formats, &self.position);
        let version = match resolved {
            Ok(version) => version,
            Err(error) => return Ok(self.quarantine(name, &place, &error.to_string())),
        };
        self.resolved = true;
        if self.quarantined.remove(name) {
            let (database, table) = name.clone();
            self.notice(Notice::TableReleased { database, table, position: place });
        }
        let slot = self.assembly.add_table(&version);
        Ok(Resolution::Route(Route::Wanted { version, slot, generation: self.assembly.generation() }))
    }

    /// The schema of the log completed by what the server said; asked once for each TABLE_MAP where that does not fit.
    fn with_known(&self, map: &TableMap<'_>, name: &(String, String)) -> Known {
        let is_fresh = self.just_read.as_ref() == Some(name);
        match self.known_schemas.get(name) {
            Some(Some(known)) => match map.schema_with(known) {
                Ok(schema) => Known::Schema(schema),
                Err(mismatch) if is_fresh => Known::Other(mismatch.to_string()),
                Err(_) => Known::Ask,
            },
            Some(None) if is_fresh => Known::Missing(
                "its binlog events have no column names (binlog_row_metadata is not FULL), and the server has no such \
                 table any more"
                    .into(),
            ),
            Some(None) | None => Known::Ask,
        }
    }

    fn quarantine(&mut self, name: &(String, String), position: &FilePosition, reason: &str) -> Resolution {
        if self.quarantined.insert(name.clone()) {
            let ((database, table), position) = (name.clone(), position.clone());
            self.notice(Notice::TableQuarantined { database, table, position, reason: reason.to_owned() });
        }
        Resolution::Route(Route::Quarantined)
    }

    pub(super) fn remember_schema(&mut self, name: (String, String), schema: Option<TableSchema>) {
        if self.known_schemas.len() >= KNOWN_SCHEMAS_MAX {
            self.known_schemas.clear();
        }
        self.known_schemas.insert(name, schema);
    }

    /// What a file without column names can be shown as.
    fn numbered_names(&mut self, map: &TableMap<'_>, name: &(String, String)) -> TableSchema {
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

    pub(super) fn rows(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<(), SourceError> {
        let place = || stream.place_of(current);
        let (id, flags) = RowsEvent::table_id_and_flags(current.body).map_err(|error| damaged(&place(), &error))?;
        if id != RowsEvent::DUMMY_TABLE_ID {
            self.row_event(stream, current, id)?;
        }
        let ends = flags & RowsEvent::STATEMENT_END != 0;
        if ends && self.reread.is_none() && self.group.as_ref().is_some_and(|group| group.shape == Shape::Single) {
            self.commit(stream, current)?;
        }
        Ok(())
    }

    fn row_event(&mut self, stream: &mut Stream, current: &Current<'_>, id: u64) -> Result<(), SourceError> {
        if self.group.is_none() {
            self.begin(stream, current, Shape::Single, None);
        }
        let place = || FilePosition { file: stream.place.file.clone(), offset: current.span.start };
        let Some(group) = &mut self.group else { return Ok(()) };
        let index = group.events;
        group.events += 1;
        let Some(mapped) = stream.maps.find(id) else {
            let reason = format!("rows of table id {id}, which no TABLE_MAP before them has named");
            return Err(SourceError::Corrupt { position: place(), reason });
        };
        let table = match &mut mapped.route {
            Route::Unwanted => {
                self.stats.unwanted_events += 1;
                let name = (&mapped.database, &mapped.table);
                let is_new = || !group.unwanted.iter().any(|(database, table)| (database, table) == name);
                if matches!(group.shape, Shape::Xa(_)) && is_new() {
                    group.unwanted.push((mapped.database.clone(), mapped.table.clone()));
                }
                return Ok(());
            }
            Route::Quarantined => {
                self.stats.quarantined_events += 1;
                return Ok(());
            }
            Route::Wanted { version, slot, generation } => {
                if *generation != self.assembly.generation() {
                    *slot = self.assembly.add_table(version);
                    *generation = self.assembly.generation();
                }
                *slot
            }
        };
        if group.gave_up {
            return Ok(());
        }
        let too_large = |size_bytes: usize| SourceError::EventTooLarge {
            position: place(),
            size_bytes: size_bytes as u64,
            limit_bytes: u64::from(u32::MAX),
        };
        let unpacked;
        let (mut chunk, mut range, mut type_code) = (current.chunk, current.range.clone(), current.header.type_code);
        if let Some(plain) = plain_type(type_code) {
            match unpack(type_code, current.body, self.config.event_bytes_max) {
                Ok(body) => unpacked = body,
                Err(error @ EventError::TooLarge { .. }) => {
                    // Only this table is concerned.
                    let name = (mapped.database.clone(), mapped.table.clone());
                    mapped.route = Route::Quarantined;
                    self.stats.quarantined_events += 1;
                    self.quarantine(&name, &place(), &error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(damaged(&place(), &error)),
            }
            (chunk, range, type_code) = (&unpacked, 0..unpacked.len(), plain);
        }
        let start = u32::try_from(range.start).map_err(|_| too_large(range.end))?;
        let end = u32::try_from(range.end).map_err(|_| too_large(range.end))?;
        let event = NewEvent { start, end, type_code, table, offset: current.span.start, index };
        if self.assembly.push(chunk, event) {
            group.held_bytes += chunk.len();
        }
        group.held_bytes += Self::EVENT_ENTRY_BYTES;
        Ok(())
    }
}

enum Known {
    Schema(TableSchema),
    Ask,
    /// There is no such table: the log's own word is all there is.
    Missing(String),
    /// The known table is not the one of the log.
    Other(String),
}

/// Could a binary column be one of MariaDB's types that the log cannot express, or a time of the old format have a
/// fraction, and with it more bytes than the log says?
fn may_be_hidden(schema: &TableSchema, formats: &[ColumnFormat]) -> bool {
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

/// The type as which MariaDB's compressed rows events go on.
fn plain_type(type_code: u8) -> Option<u8> {
    use EventType as T;
    Some(match type_code {
        T::WRITE_ROWS_COMPRESSED_V1 => T::WRITE_ROWS_V1,
        T::UPDATE_ROWS_COMPRESSED_V1 => T::UPDATE_ROWS_V1,
        T::DELETE_ROWS_COMPRESSED_V1 => T::DELETE_ROWS_V1,
        T::WRITE_ROWS_COMPRESSED => T::WRITE_ROWS,
        T::UPDATE_ROWS_COMPRESSED => T::UPDATE_ROWS,
        T::DELETE_ROWS_COMPRESSED => T::DELETE_ROWS,
        _ => return None,
    })
}

/// The body with its rows unpacked: what lies before them is the same in both forms.
fn unpack(type_code: u8, body: &[u8], bytes_max: usize) -> Result<Bytes, EventError> {
    let event = RowsEvent::parse(type_code, body)?;
    let head = body.get(..body.len() - event.rows.len()).unwrap_or_default();
    let mut rows = Vec::new();
    let event = event.decompress(&mut rows, bytes_max)?;
    let mut whole = Vec::with_capacity(head.len() + event.rows.len());
    whole.extend_from_slice(head);
    whole.extend_from_slice(event.rows);
    Ok(whole.into())
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
