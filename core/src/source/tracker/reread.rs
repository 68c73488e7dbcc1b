//! Reading a prepared XA transaction again, for its XA COMMIT.
//!
//! The events come from a stream of their own, with its own FORMAT_DESCRIPTION and table maps; their rows become rows
//! of the open group, which is the one that commits them.

use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::event::{EventType, MariadbGtidEvent, QueryEvent, Rotate, XaPrepare};
use millstream_codec::mysql::rows::RowsEvent;

use super::dispatch::{Current, Flow, damaged};
use super::place::{Counting, Place};
use super::stream::Stream;
use super::{Mode, Need, Tracker, TrackerOutput};
use crate::position::{FilePosition, OpenXa};
use crate::source::error::SourceError;
use crate::source::statement::{Session, Statement, classify};

#[derive(Debug)]
pub struct Reread {
    pub open: OpenXa,
    /// Inside the group that was asked for.
    collecting: bool,
    /// Its end was seen.
    pub done: bool,
}

impl Reread {
    pub fn lost(&self, reason: &str) -> SourceError {
        let position = FilePosition { file: self.open.file.clone(), offset: self.open.offset };
        SourceError::XaLost { xid: self.open.xid.clone(), position, reason: reason.to_owned() }
    }
}

impl Tracker {
    /// The rows of the open group must be read again; `stream` is the log that is followed.
    pub(super) fn begin_reread(&mut self, stream: &Stream, open: OpenXa) {
        let counting = if self.mode == Mode::Files { Counting::ByBytes } else { Counting::ByHeaders };
        self.reread_stream = Stream::new(Place::new(open.file.clone(), open.offset, counting));
        self.reread_stream.dialect = stream.dialect;
        if self.mode == Mode::Files {
            // A file is read from the place itself, without its description.
            self.reread_stream.checksum = self.xa_checksums.get(&open.xid).copied().unwrap_or(stream.checksum);
            self.reread_stream.format_seen = true;
        }
        self.reread = Some(Reread { open: open.clone(), collecting: false, done: false });
        self.outputs.push_back(TrackerOutput::Need(Need::Refetch(open)));
    }

    /// The rows of this one have been read again.
    pub(super) fn is_reread(&self, xid: &str) -> bool {
        self.reread.as_ref().is_some_and(|reread| reread.done && reread.open.xid == xid)
    }

    pub(super) fn take_reread(&mut self, xid: &str) -> bool {
        let is_reread = self.is_reread(xid);
        if is_reread {
            self.reread = None;
            self.reread_stream = Stream::default();
        }
        is_reread
    }

    pub(super) fn reread_event(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<Flow, SourceError> {
        use EventType as T;
        let place = stream.place_of(current);
        let corrupt = |error: EventError| damaged(&place, &error);
        let Some(reread) = &mut self.reread else { return Ok(Flow::Next) };
        let collecting = reread.collecting;
        match current.header.type_code {
            T::TABLE_MAP if collecting => return self.table_map(stream, current),
            code if collecting && RowsEvent::is_rows(code) => self.rows(stream, current)?,
            T::TRANSACTION_PAYLOAD => return self.payload(current, &place),
            T::GTID | T::ANONYMOUS_GTID | T::GTID_TAGGED => reread.collecting = false,
            T::MARIADB_GTID => {
                let gtid = MariadbGtidEvent::parse(current.header.server_id, current.body).map_err(corrupt)?;
                let xid = gtid.xid.as_ref().filter(|_| gtid.has(MariadbGtidEvent::PREPARED_XA));
                if xid.is_some_and(|xid| xid.to_string() == reread.open.xid) {
                    self.collect();
                } else {
                    reread.collecting = false;
                }
            }
            T::QUERY | T::QUERY_COMPRESSED => {
                let query = QueryEvent::parse(current.header.type_code, current.body).map_err(corrupt)?;
                let statement = query.statement(self.config.event_bytes_max).map_err(corrupt)?;
                let session = Session::of(&query, stream.dialect);
                self.reread_statement(classify(&statement, &session), &place)?;
            }
            T::XA_PREPARE => {
                let prepare = XaPrepare::parse(current.body).map_err(corrupt)?;
                reread.done = reread.collecting && prepare.xid.to_string() == reread.open.xid;
            }
            T::ROTATE if self.mode == Mode::Live => {
                let rotate = Rotate::parse(current.body).map_err(corrupt)?;
                stream.place.rotate((*rotate.file).into(), rotate.position);
            }
            // The server has nothing more to send.
            T::HEARTBEAT | T::HEARTBEAT_V2 => {
                return Err(reread.lost("the server's log holds no XA PREPARE of this name there"));
            }
            _ => {}
        }
        Ok(Flow::Next)
    }

    fn reread_statement(&mut self, statement: Statement, place: &FilePosition) -> Result<(), SourceError> {
        let Some(reread) = &mut self.reread else { return Ok(()) };
        match statement {
            Statement::XaStart(xid) if xid == reread.open.xid => self.collect(),
            Statement::XaPrepare(xid) => reread.done = reread.collecting && xid == reread.open.xid,
            Statement::Begin | Statement::XaStart(_) => reread.collecting = false,
            Statement::Savepoint(name) if reread.collecting => {
                if let Some(group) = &mut self.group {
                    group.set_savepoint(name);
                }
            }
            Statement::RollbackTo(name) if reread.collecting => self.undo_to_savepoint(&name, place)?,
            _ => {}
        }
        Ok(())
    }

    /// The group that was asked for begins here (MariaDB says so twice).
    fn collect(&mut self) {
        if let Some(reread) = &mut self.reread
            && std::mem::replace(&mut reread.collecting, true)
        {
            return;
        }
        if let Some(group) = &mut self.group {
            group.events = 0;
        }
        self.assembly.truncate_open(0);
    }
}
