//! TABLE_MAP and rows events: which table, and whether anybody wants it. A table that nobody wants is dropped here,
//! before a row is touched.

use bytes::Bytes;
use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::event::EventType;
use millstream_codec::mysql::rows::RowsEvent;
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::{TableMap, table_id_and_name};

use super::assembly::NewEvent;
use super::dispatch::{Current, Flow, damaged};
use super::group::Shape;
use super::maps::Route;
use super::schemas::{Known, may_be_hidden};
use super::stream::Stream;
use super::{Mode, Need, Notice, Tracker, TrackerOutput};
use crate::history::TableName;
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
        stream.maps.insert(id, current.body, version, route);
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
            Err(error) if error.concerns_one_table() => return self.give_up(name, &place, &error.to_string()),
            Err(error) => return Err(damaged(&place, &error)),
        };
        let in_log = map.schema();
        let is_certain =
            in_log.as_ref().is_some_and(|schema| !stream.dialect.is_mariadb || !may_be_hidden(schema, &map.formats));
        let known = match in_log {
            Some(schema) if is_certain => Known::Schema(schema),
            _ => self.with_known(&map, name),
        };
        let schema = match (known, map.schema()) {
            (Known::Schema(schema), _) => schema,
            (Known::Ask { doubt }, _) if self.mode == Mode::Live => {
                if let Some(reason) = doubt {
                    let (database, table) = name.clone();
                    self.notice(Notice::SchemaDoubtful { database, table, position: place, reason });
                }
                return Ok(Resolution::Ask);
            }
            // It has the names, and a column's bytes are of another length than it says.
            (Known::Contradiction(reason), Some(_)) => return self.give_up(name, &place, &reason),
            // Nobody to ask, or nobody knows: what the log tells counts.
            (_, Some(schema)) => {
                self.tell_uncertain(name, &place);
                schema
            }
            (_, None) if self.mode == Mode::Files => self.numbered_names(&map, name),
            (Known::Ask { .. }, None) => return Ok(Resolution::Ask),
            (Known::Missing(reason), None) => return self.give_up(name, &place, &reason),
            (Known::Contradiction(reason), None) => {
                let destination = self.lock_tables().destination().to_owned();
                let (database, table) = name;
                let reason = format!(
                    "{reason}. Read it anew from here on with: millstream schema repair {database}.{table} --destination \
                     {destination}"
                );
                return self.give_up(name, &place, &reason);
            }
        };
        if !is_certain {
            self.tell_if_assumed(name, &place);
        }
        let resolved = self.lock_tables().resolve(schema, map.formats, &self.position);
        let version = match resolved {
            Ok(version) => version,
            Err(error) => return self.give_up(name, &place, &error.to_string()),
        };
        self.resolved = true;
        if self.quarantined.remove(name) {
            let (database, table) = name.clone();
            self.notice(Notice::TableReleased { database, table, position: place });
        }
        let slot = self.assembly.add_table(&version);
        Ok(Resolution::Route(Route::Wanted { version, slot, generation: self.assembly.generation() }))
    }

    fn give_up(&mut self, name: &TableName, place: &FilePosition, reason: &str) -> Result<Resolution, SourceError> {
        self.quarantine(name, place, reason).map(Resolution::Route)
    }

    fn tell_uncertain(&mut self, name: &TableName, place: &FilePosition) {
        if self.uncertain_told.insert(name.clone()) {
            let (database, table) = name.clone();
            self.notice(Notice::UncertainTypes { database, table, position: place.clone() });
        }
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
                if matches!(group.shape, Shape::Xa(_)) {
                    let name = mapped.name();
                    if !group.unwanted.contains(&name) {
                        group.unwanted.push(name);
                    }
                }
                return Ok(());
            }
            Route::Quarantined { holds } => {
                self.stats.quarantined_events += 1;
                if *holds {
                    let (database, table) = mapped.name();
                    group.hold(&database, &table);
                }
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
                    let name = mapped.name();
                    let position = place();
                    self.stats.quarantined_events += 1;
                    let route = self.quarantine(&name, &position, &error.to_string())?;
                    if let (Route::Quarantined { holds: true }, Some(group)) = (&route, &mut self.group) {
                        group.hold(&name.0, &name.1);
                    }
                    if let Some(mapped) = stream.maps.find(id) {
                        mapped.route = route;
                    }
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
