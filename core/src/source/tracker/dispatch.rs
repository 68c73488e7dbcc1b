//! The walk over the events of a stream: checked, placed, and given to what deals with their type.

use std::ops::Range;

use bytes::Bytes;
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::event::transaction_payload::{TransactionPayload, events};
use millstream_codec::mysql::event::{
    Event, EventFlags, EventHeader, EventType, FormatDescription, GtidEvent, HEADER_BYTES, Incident, MariadbGtidEvent,
    MariadbGtidList, PayloadReader, Rotate, XaPrepare, gtid_tagged, previous_gtids,
};
use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid};
use millstream_codec::mysql::position::file_number;
use millstream_codec::mysql::rows::RowsEvent;

use super::group::{Group, Shape};
use super::place::Span;
use super::stream::{Input, Payload, Stream};
use super::{Mode, Notice, Progress, Purpose, Tracker};
use crate::limits::PAYLOAD_PIECE_BYTES;
use crate::position::FilePosition;
use crate::source::error::SourceError;
use crate::source::session::server::{Flavour, Version};

/// What is to be done after an event.
pub(super) enum Flow {
    Next,
    /// A need was opened: the same event comes again once it is answered.
    Again,
    Payload(Box<Payload>),
}

/// One event with where it is.
pub(super) struct Current<'a> {
    pub header: EventHeader,
    pub body: &'a [u8],
    /// Of `body` in `chunk`.
    pub range: Range<usize>,
    pub chunk: &'a Bytes,
    pub span: Span,
    /// It lies in a TRANSACTION_PAYLOAD.
    pub is_inner: bool,
}

impl Tracker {
    pub(super) fn run(&mut self, stream: &mut Stream, purpose: Purpose) -> Result<Progress, SourceError> {
        loop {
            if !self.outputs.is_empty() {
                return Ok(Progress::More);
            }
            if let Some(payload) = stream.payload.take() {
                self.unpack(stream, payload, purpose)?;
                if self.must_stop(purpose) {
                    return Ok(Progress::More);
                }
                continue;
            }
            let Some(mut input) = stream.inputs.pop_front() else { return Ok(Progress::Idle) };
            self.received_us = input.received_us;
            let walked = self.walk(stream, &mut input, None, purpose);
            if input.next < input.ranges.len() {
                if walked.is_ok() {
                    stream.inputs.push_front(input);
                }
            } else {
                stream.recycle(input);
            }
            walked?;
            self.bound_open()?;
            if self.must_stop(purpose) {
                return Ok(Progress::More);
            }
        }
    }

    /// Something else comes before the next event of this stream.
    fn must_stop(&self, purpose: Purpose) -> bool {
        let other = match (&self.reread, purpose) {
            (Some(reread), Purpose::Follow) => !reread.done,
            (Some(reread), Purpose::Reread) => reread.done,
            (None, _) => false,
        };
        other || self.asked_schema.is_some() || !self.outputs.is_empty()
    }

    /// The events of one input, up to the first that something else must come before.
    fn walk(
        &mut self,
        stream: &mut Stream,
        input: &mut Input,
        payload: Option<Span>,
        purpose: Purpose,
    ) -> Result<(), SourceError> {
        while let Some(range) = input.ranges.get(input.next) {
            match self.event(stream, &input.chunk, range.clone(), payload, purpose)? {
                Flow::Next => input.next += 1,
                Flow::Again => return Ok(()),
                Flow::Payload(payload) => {
                    input.next += 1;
                    stream.payload = Some(*payload);
                    return Ok(());
                }
            }
            if self.must_stop(purpose) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next pieces of a payload, until something else must come before.
    fn unpack(&mut self, stream: &mut Stream, mut payload: Payload, purpose: Purpose) -> Result<(), SourceError> {
        let place = FilePosition { file: stream.place.file.clone(), offset: payload.span.start };
        loop {
            if let Some(mut piece) = payload.piece.take() {
                self.walk(stream, &mut piece, Some(payload.span), purpose)?;
                let rest = piece.next < piece.ranges.len();
                payload.piece = rest.then_some(piece);
                self.bound_open()?;
                if rest || self.must_stop(purpose) {
                    stream.payload = Some(payload);
                    return Ok(());
                }
            }
            let next = payload.reader.next_chunk(&payload.bytes, PAYLOAD_PIECE_BYTES);
            let Some(chunk) = next.map_err(|error| damaged(&place, &error))? else {
                self.payload_reader = Some(payload.reader);
                stream.place.pass(payload.span);
                return Ok(());
            };
            let ranges: Vec<Range<usize>> = events(&chunk).collect();
            payload.piece = Some(Input { chunk: chunk.into(), ranges, next: 0, received_us: self.received_us });
        }
    }

    fn event(
        &mut self,
        stream: &mut Stream,
        chunk: &Bytes,
        range: Range<usize>,
        payload: Option<Span>,
        purpose: Purpose,
    ) -> Result<Flow, SourceError> {
        let here = || FilePosition {
            file: stream.place.file.clone(),
            offset: payload.map_or(stream.place.offset, |payload| payload.start),
        };
        let corrupt = |error: EventError| damaged(&here(), &error);
        let bytes = chunk.get(range.clone()).unwrap_or_default();
        let header = EventHeader::parse(bytes).map_err(corrupt)?;
        if header.type_code == EventType::FORMAT_DESCRIPTION && payload.is_none() {
            let format = FormatDescription::parse(bytes).map_err(corrupt)?;
            self.format(stream, &header, &format, purpose);
            return Ok(Flow::Next);
        }
        let body = match (payload, stream.format_seen, stream.checksum) {
            (Some(_), ..) => header.body(bytes, Checksum::None),
            (None, false, _) => Event::parse_before_format(bytes).map(|event| event.body),
            // The server may already know that the next file has checksums.
            (None, true, Checksum::None) if header.type_code == EventType::ROTATE && header.is_artificial() => {
                Event::parse_before_format(bytes).map(|event| event.body)
            }
            (None, true, checksum) => header.body(bytes, checksum),
        };
        let body = body.map_err(corrupt)?;
        self.stats.events += 1;
        let span = payload.unwrap_or_else(|| stream.place.measure(&header, self.in_doubt(stream, &header)));
        let start = range.start + HEADER_BYTES;
        let current =
            Current { header, body, range: start..start + body.len(), chunk, span, is_inner: payload.is_some() };
        if header.timestamp != 0 && !header.is_artificial() && purpose == Purpose::Follow {
            self.source_time_us = i64::from(header.timestamp) * 1_000_000;
        }
        let flow = match purpose {
            Purpose::Follow => self.follow(stream, &current)?,
            Purpose::Reread => self.reread_event(stream, &current)?,
        };
        // A ROTATE has set the place by itself.
        let is_placed = header.type_code == EventType::ROTATE && self.mode == Mode::Live;
        if matches!(flow, Flow::Next) && payload.is_none() && !is_placed {
            stream.place.pass(span);
        }
        Ok(flow)
    }

    /// Inside a transaction of MariaDB only the event that ends it tells its true end.
    fn in_doubt(&self, stream: &Stream, header: &EventHeader) -> bool {
        use EventType as T;
        stream.dialect.is_mariadb
            && self.group.is_some()
            && !matches!(
                header.type_code,
                T::XID | T::QUERY | T::QUERY_COMPRESSED | T::XA_PREPARE | T::MARIADB_GTID | T::ROTATE | T::STOP
            )
    }

    /// One event of the log that is followed; the frequent ones first.
    fn follow(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<Flow, SourceError> {
        use EventType as T;
        match current.header.type_code {
            T::TABLE_MAP => self.table_map(stream, current),
            code if RowsEvent::is_rows(code) => self.rows(stream, current).map(|()| Flow::Next),
            T::QUERY | T::QUERY_COMPRESSED => self.query(stream, current),
            T::XID => self.commit(stream, current).map(|()| Flow::Next),
            T::GTID | T::ANONYMOUS_GTID | T::GTID_TAGGED | T::MARIADB_GTID => {
                let begun = self.begin_announced(stream, current);
                begun.map(|()| Flow::Next).map_err(|error| damaged(&stream.place_of(current), &error))
            }
            _ => self.follow_rare(stream, current),
        }
    }

    /// A GTID event opens the group whose id it tells.
    fn begin_announced(&mut self, stream: &Stream, current: &Current<'_>) -> Result<(), EventError> {
        let (type_code, body) = (current.header.type_code, current.body);
        match type_code {
            EventType::MARIADB_GTID => {
                let gtid = MariadbGtidEvent::parse(current.header.server_id, body)?;
                self.begin_mariadb(stream, current, &gtid);
            }
            EventType::GTID_TAGGED => self.begin_mysql(stream, current, &gtid_tagged::parse(body)?),
            _ => self.begin_mysql(stream, current, &GtidEvent::parse(type_code, body)?),
        }
        Ok(())
    }

    fn follow_rare(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<Flow, SourceError> {
        use EventType as T;
        let file = stream.place.file.clone();
        let place = || FilePosition { file: file.clone(), offset: current.span.start };
        let corrupt = |error: EventError| damaged(&place(), &error);
        let body = current.body;
        match current.header.type_code {
            T::TRANSACTION_PAYLOAD => return self.payload(current, &place()),
            T::XA_PREPARE => {
                let prepare = XaPrepare::parse(body).map_err(corrupt)?;
                if !self.xa_prepare(stream, current, &prepare)? {
                    return Ok(Flow::Again);
                }
            }
            T::ROTATE => self.rotate(stream, &current.header, &Rotate::parse(body).map_err(corrupt)?),
            T::PREVIOUS_GTIDS => {
                let set = previous_gtids::parse(body).map_err(corrupt)?;
                let set = if set.is_empty() { ExecutedGtids::None } else { ExecutedGtids::Mysql(set) };
                if self.may_learn_gtids(current) {
                    self.learn_gtids(set);
                } else if self.group.is_none() && !current.header.is_artificial() {
                    // All of it lies before the place where we stand. At a start in the middle of commits the server
                    // counts less as executed than it has written.
                    self.position.gtids.merge(&set).map_err(|error| SourceError::BadPosition {
                        position: place().to_string(),
                        reason: error.to_string(),
                    })?;
                }
            }
            T::MARIADB_GTID_LIST => {
                if self.may_learn_gtids(current) {
                    let state = MariadbGtidList::parse(body).map_err(corrupt)?.state();
                    self.learn_gtids(if state.is_empty() {
                        ExecutedGtids::None
                    } else {
                        ExecutedGtids::Mariadb(state)
                    });
                }
            }
            T::INCIDENT => {
                let incident = Incident::parse(body).map_err(corrupt)?;
                let message = format!("incident {}: {}", incident.number, incident.message);
                return Err(SourceError::Incident { position: place(), message });
            }
            T::START_V3 => {
                let reason = "binlog version 1 or 3, only 4 is read (MySQL 5.0 and later)".to_owned();
                return Err(damaged(&place(), &EventError::TooOld { what: "START_V3", reason }));
            }
            T::START_ENCRYPTION if self.mode == Mode::Files => {
                return Err(damaged(&place(), &EventError::Encrypted { scheme: "MariaDB's START_ENCRYPTION" }));
            }
            T::EXECUTE_LOAD_QUERY => {
                self.statement_dml(&place(), String::new(), "LOAD DATA (logged as a statement)".into())?;
                self.settle_single(stream, current, None)?;
            }
            // Nothing in these changes rows, or the rows are told by others.
            T::HEARTBEAT
            | T::HEARTBEAT_V2
            | T::STOP
            | T::INTVAR
            | T::RAND
            | T::USER_VAR
            | T::ROWS_QUERY
            | T::ANNOTATE_ROWS
            | T::BINLOG_CHECKPOINT
            | T::START_ENCRYPTION
            | T::BEGIN_LOAD_QUERY
            | T::APPEND_BLOCK
            | T::DELETE_FILE
            | T::IGNORABLE
            | T::TRANSACTION_CONTEXT
            | T::VIEW_CHANGE => {}
            type_code if current.header.is_ignorable() => {
                self.notice(Notice::UnknownEventSkipped { position: place(), type_code });
            }
            type_code => return Err(SourceError::UnknownEvent { position: place(), type_code }),
        }
        Ok(Flow::Next)
    }

    pub(super) fn payload(&mut self, current: &Current<'_>, place: &FilePosition) -> Result<Flow, SourceError> {
        let corrupt = |error: EventError| damaged(place, &error);
        if current.is_inner {
            let reason = "a TRANSACTION_PAYLOAD inside another".to_owned();
            return Err(SourceError::Corrupt { position: place.clone(), reason });
        }
        let payload = TransactionPayload::parse(current.body).map_err(corrupt)?;
        let mut reader = match self.payload_reader.take() {
            Some(reader) => reader,
            None => PayloadReader::new(self.config.event_bytes_max).map_err(corrupt)?,
        };
        reader.begin(&payload).map_err(corrupt)?;
        let bytes = current.chunk.slice_ref(payload.payload);
        Ok(Flow::Payload(Box::new(Payload { bytes, reader, span: current.span, piece: None })))
    }

    fn format(&mut self, stream: &mut Stream, header: &EventHeader, format: &FormatDescription, purpose: Purpose) {
        let span = stream.place.measure(header, false);
        stream.is_relay_log |= header.flags & EventFlags::RELAY_LOG != 0;
        // A file begins, so the one before has ended: whatever is open there has lost its end with its server.
        if purpose == Purpose::Follow && !stream.is_relay_log {
            self.abandon("the file ends inside it");
            stream.maps.begin_file();
        }
        let (flavour, version) = Version::parse(&format.server_version);
        stream.checksum = format.checksum;
        stream.format_seen = true;
        stream.dialect.is_mariadb = flavour == Flavour::Mariadb;
        stream.dialect.server_version = version.as_number();
        stream.place.pass(span);
    }

    fn rotate(&mut self, stream: &mut Stream, header: &EventHeader, rotate: &Rotate<'_>) {
        if self.mode == Mode::Files {
            // Files follow each other as they are given; in a relay log this is about the primary's files.
            return;
        }
        let file: std::sync::Arc<str> =
            if *rotate.file == *stream.place.file { stream.place.file.clone() } else { (*rotate.file).into() };
        if file != stream.place.file || !header.is_artificial() {
            self.abandon("the file ends inside it");
            stream.maps.begin_file();
        }
        let is_later = |a: &str, b: &str| file_number(a) > file_number(b);
        // What a dump says first is only where it begins to read, which may be before our position.
        let moves = self.group.is_none()
            && (!header.is_artificial() || self.position.file.is_empty() || is_later(&file, &self.position.file));
        if moves && (self.position.file != file || self.position.offset != rotate.position) {
            self.position.file = file.clone();
            self.position.offset = rotate.position;
            self.changed = true;
        }
        stream.place.rotate(file, rotate.position);
    }

    /// Does this list of executed GTIDs stand at our position, and is ours unknown so far?
    fn may_learn_gtids(&self, current: &Current<'_>) -> bool {
        !self.counts_gtids && self.group.is_none() && !current.header.is_artificial()
    }

    fn learn_gtids(&mut self, gtids: ExecutedGtids) {
        self.position.gtids = gtids;
        self.counts_gtids = true;
    }

    fn begin_mysql(&mut self, stream: &Stream, current: &Current<'_>, event: &GtidEvent) {
        self.begin(stream, current, Shape::Announced, event.gtid.map(Gtid::Mysql));
        if let (Some(group), Some(time_us)) = (&mut self.group, event.immediate_commit_us.filter(|time| *time != 0)) {
            group.commit_time_us = i64::try_from(time_us).unwrap_or(0);
            group.time_precision_us = 1;
            self.source_time_us = group.commit_time_us;
        }
    }

    fn begin_mariadb(&mut self, stream: &Stream, current: &Current<'_>, event: &MariadbGtidEvent) {
        let shape = match &event.xid {
            Some(xid) if event.has(MariadbGtidEvent::PREPARED_XA) => Shape::Xa(xid.to_string()),
            _ if event.has(MariadbGtidEvent::STANDALONE) => Shape::Single,
            _ => Shape::Transaction,
        };
        self.begin(stream, current, shape, Some(Gtid::Mariadb(event.gtid)));
    }

    /// Opens a group; one that is still open has lost its end.
    pub(super) fn begin(&mut self, stream: &Stream, current: &Current<'_>, shape: Shape, gtid: Option<Gtid>) {
        if self.group.is_some() {
            self.abandon("another one begins before its end");
        }
        let mut group = Group::new(shape, self.next_sequence, stream.place_of(current));
        group.gtid = gtid;
        group.commit_time_us = i64::from(current.header.timestamp) * 1_000_000;
        self.group = Some(group);
    }
}

impl Stream {
    pub(super) fn place_of(&self, current: &Current<'_>) -> FilePosition {
        FilePosition { file: self.place.file.clone(), offset: current.span.start }
    }
}

/// An event that cannot be read.
pub(super) fn damaged(position: &FilePosition, error: &EventError) -> SourceError {
    match error {
        EventError::TooLarge { size, limit, .. } => {
            SourceError::EventTooLarge { position: position.clone(), size_bytes: *size, limit_bytes: *limit }
        }
        _ if error.is_unsupported() => {
            SourceError::Unsupported { position: position.clone(), reason: error.to_string() }
        }
        _ => SourceError::Corrupt { position: position.clone(), reason: error.to_string() },
    }
}
