//! Reads a file's first events, or all of them up to one place, to answer a question of the start script:
//! when was this file begun, does a transaction begin at this offset, where is the first transaction of that time?
//!
//! Only headers, GTIDs and the ends of transactions are looked at; no row is touched. Offsets are counted from the file's
//! beginning in 64 bits (`end_log_pos` wraps at 4 GiB, and is 0 in MariaDB 11.8's transactions).

use std::sync::Arc;

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{
    Event, EventHeader, EventType, FormatDescription, GtidEvent, MariadbGtidEvent, MariadbGtidList, QueryEvent, Rotate,
    gtid_tagged, previous_gtids,
};
use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid};
use millstream_codec::mysql::position::FIRST_EVENT_OFFSET;

use crate::position::FilePosition;
use crate::source::error::SourceError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeUntil {
    /// The FORMAT_DESCRIPTION: when the file was begun.
    Created,
    /// This byte offset.
    Offset(u64),
    /// The first transaction committed at or after this moment, microseconds since the Unix epoch; it may lie in a
    /// later file.
    Time(i64),
}

/// A dump from the beginning of `file`, ended by us as soon as the answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    pub file: Arc<str>,
    pub until: ProbeUntil,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// `Created`: the file's beginning. `Offset`: there, if a transaction may begin there, else the beginning of the one
    /// around it. `Time`: the transaction's beginning, or the end of the log.
    pub at: FilePosition,
    /// What lies before `at`.
    pub gtids: ExecutedGtids,
    /// When the first file was begun.
    pub created_us: i64,
}

/// The group of events that a transaction is.
#[derive(Debug)]
struct Group {
    start: FilePosition,
    gtid: Option<Gtid>,
    /// Its BEGIN (or XA START) was seen: a QUERY is part of it, not the whole.
    begun: bool,
    /// The GTID event told the commit time in microseconds; no second of a header is needed.
    precise: bool,
}

/// See the module's page.
#[derive(Debug)]
pub struct Probe {
    until: ProbeUntil,
    file: Arc<str>,
    /// Where the next event begins.
    offset: u64,
    checksum: Option<Checksum>,
    executed: ExecutedGtids,
    created_us: Option<i64>,
    group: Option<Group>,
    /// The answer, but for the GTIDs, which the file's head may still tell.
    found: Option<FilePosition>,
}

impl Probe {
    pub fn new(request: ProbeRequest) -> Self {
        Self {
            until: request.until,
            file: request.file,
            offset: FIRST_EVENT_OFFSET,
            checksum: None,
            executed: ExecutedGtids::None,
            created_us: None,
            group: None,
            found: None,
        }
    }

    /// One event of the dump, in order. `Some`: the answer is known, the dump can be left.
    ///
    /// # Errors
    /// Events that cannot be read; the file's end before the offset.
    pub fn event(&mut self, bytes: &[u8]) -> Result<Option<ProbeResult>, SourceError> {
        let here = self.here();
        let corrupt = |error: millstream_codec::mysql::error::EventError| SourceError::Corrupt {
            position: here.clone(),
            reason: error.to_string(),
        };
        let header = EventHeader::parse(bytes).map_err(corrupt)?;
        match header.type_code {
            EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => return Ok(None),
            // Made up by the dump thread: it names the file that comes next.
            EventType::ROTATE if header.is_artificial() || header.timestamp == 0 => {
                let event = Event::parse_before_format(bytes).map_err(corrupt)?;
                let rotate = Rotate::parse(event.body).map_err(corrupt)?;
                return match *rotate.file == *self.file {
                    true => Ok(None),
                    false => self.next_file(&rotate),
                };
            }
            EventType::FORMAT_DESCRIPTION => {
                let format = FormatDescription::parse(bytes).map_err(corrupt)?;
                self.checksum = Some(format.checksum);
                let created_us = i64::from(header.timestamp) * 1_000_000;
                self.created_us.get_or_insert(created_us);
                if self.until == ProbeUntil::Created {
                    return Ok(Some(self.result(self.here())));
                }
            }
            _ if header.is_artificial() => return Ok(None),
            _ => {}
        }
        let event_end = end_of(self.offset, &header);
        // Behind what the server has left out, if it has.
        self.offset = event_end.saturating_sub(u64::from(header.size));
        if let ProbeUntil::Offset(offset) = self.until
            && self.offset == offset
        {
            self.found = Some(self.group_start());
        }
        // What lies before the place may be told by the file's own head, behind it.
        let is_head = matches!(
            header.type_code,
            EventType::FORMAT_DESCRIPTION | EventType::PREVIOUS_GTIDS | EventType::MARIADB_GTID_LIST
        );
        if let Some(found) = self.found.take_if(|_| !is_head) {
            return Ok(Some(self.result(found)));
        }
        let found = match header.type_code {
            EventType::FORMAT_DESCRIPTION => None,
            _ => {
                let event = Event::parse(bytes, self.checksum.unwrap_or_default()).map_err(corrupt)?;
                self.track(&event).map_err(corrupt)?
            }
        };
        if let ProbeUntil::Offset(offset) = self.until
            && (self.offset + 1..event_end).contains(&offset)
        {
            return Ok(Some(self.result(self.group_start())));
        }
        self.offset = event_end;
        match found {
            Some(start) => Ok(Some(self.result(start))),
            None => {
                self.close_group(&header, bytes);
                Ok(None)
            }
        }
    }

    /// The server has nothing more: the end of the log.
    pub fn end(&mut self) -> Result<ProbeResult, SourceError> {
        match self.until {
            ProbeUntil::Created => Err(SourceError::Protocol(format!("{} has no FORMAT_DESCRIPTION", self.file))),
            ProbeUntil::Offset(offset) if offset > self.offset => Err(self.past_end(offset)),
            ProbeUntil::Offset(_) | ProbeUntil::Time(_) => {
                let at = self.found.take().unwrap_or_else(|| self.group_start());
                Ok(self.result(at))
            }
        }
    }

    fn past_end(&self, offset: u64) -> SourceError {
        SourceError::BadPosition {
            position: format!("{}:{offset}", self.file),
            reason: format!("the file ends at {}", self.offset),
        }
    }

    fn next_file(&mut self, rotate: &Rotate<'_>) -> Result<Option<ProbeResult>, SourceError> {
        if let ProbeUntil::Offset(_) = self.until {
            return self.end().map(Some);
        }
        self.file = rotate.file.as_ref().into();
        self.offset = FIRST_EVENT_OFFSET;
        // A file that ended in the middle of a group: its server crashed, the group was never committed.
        self.group = None;
        Ok(None)
    }

    /// Begins groups and counts what they say. `Some`: the searched transaction begins here.
    fn track(&mut self, event: &Event<'_>) -> Result<Option<FilePosition>, millstream_codec::mysql::error::EventError> {
        let header = &event.header;
        let mut precise_us = None;
        match header.type_code {
            // Counted on through the files; a later file repeats what is known.
            EventType::PREVIOUS_GTIDS if self.executed.is_empty() => {
                self.executed = ExecutedGtids::Mysql(previous_gtids::parse(event.body)?);
            }
            EventType::MARIADB_GTID_LIST if self.executed.is_empty() => {
                self.executed = ExecutedGtids::Mariadb(MariadbGtidList::parse(event.body)?.state());
            }
            EventType::GTID | EventType::ANONYMOUS_GTID | EventType::GTID_TAGGED => {
                let gtid = match header.type_code {
                    EventType::GTID_TAGGED => gtid_tagged::parse(event.body)?,
                    type_code => GtidEvent::parse(type_code, event.body)?,
                };
                precise_us = gtid.immediate_commit_us.and_then(|us| i64::try_from(us).ok()).filter(|us| *us > 0);
                self.begin(gtid.gtid.map(Gtid::Mysql), precise_us.is_some(), false);
            }
            EventType::MARIADB_GTID => {
                let gtid = MariadbGtidEvent::parse(header.server_id, event.body)?;
                // Its GTID event is the BEGIN, except of a statement that stands alone.
                self.begin(Some(Gtid::Mariadb(gtid.gtid)), false, !gtid.has(MariadbGtidEvent::STANDALONE));
            }
            EventType::QUERY | EventType::QUERY_COMPRESSED if self.group.is_none() => self.begin(None, false, false),
            _ => {}
        }
        let ProbeUntil::Time(time_us) = self.until else { return Ok(None) };
        let Some(group) = &self.group else { return Ok(None) };
        let is_late = match precise_us {
            Some(us) => us >= time_us,
            None if group.precise => false,
            // A header has whole seconds: everything up to the second's end may be meant.
            None => i64::from(header.timestamp) * 1_000_000 + 999_999 >= time_us,
        };
        Ok(is_late.then(|| group.start.clone()))
    }

    fn begin(&mut self, gtid: Option<Gtid>, precise: bool, begun: bool) {
        self.finish_group();
        self.group = Some(Group { start: self.here(), gtid, begun, precise });
    }

    /// Whether this event ends the open group.
    fn close_group(&mut self, header: &EventHeader, bytes: &[u8]) {
        let Some(group) = &mut self.group else { return };
        let ends = match header.type_code {
            EventType::XID | EventType::XA_PREPARE | EventType::TRANSACTION_PAYLOAD => true,
            EventType::QUERY | EventType::QUERY_COMPRESSED => {
                let checksum = self.checksum.unwrap_or_default();
                let statement = Event::parse(bytes, checksum)
                    .and_then(|event| {
                        QueryEvent::parse(header.type_code, event.body).map(|query| leading_words(&query))
                    })
                    .unwrap_or_default();
                let begins = !group.begun && (statement == "BEGIN" || statement.starts_with("XA START"));
                let ends = match group.begun {
                    true => {
                        matches!(statement.as_str(), "COMMIT" | "ROLLBACK")
                            || statement.starts_with("XA COMMIT")
                            || statement.starts_with("XA ROLLBACK")
                    }
                    false => !begins,
                };
                group.begun |= begins;
                ends
            }
            _ => false,
        };
        if ends {
            self.finish_group();
        }
    }

    fn finish_group(&mut self) {
        if let Some(Group { gtid: Some(gtid), .. }) = self.group.take() {
            // The flavour is that of the file, so they cannot differ.
            let _ = self.executed.add(&gtid);
        }
    }

    fn here(&self) -> FilePosition {
        FilePosition { file: self.file.clone(), offset: self.offset }
    }

    fn group_start(&self) -> FilePosition {
        self.group.as_ref().map_or_else(|| self.here(), |group| group.start.clone())
    }

    fn result(&self, at: FilePosition) -> ProbeResult {
        ProbeResult { at, gtids: self.executed.clone(), created_us: self.created_us.unwrap_or(0) }
    }
}

/// Where an event ends that begins at `offset` or, where the server left something out before it, later. Its header has the
/// low 32 bits of the end, or 0.
fn end_of(offset: u64, header: &EventHeader) -> u64 {
    let counted = offset.saturating_add(u64::from(header.size));
    if header.end_position == 0 {
        return counted;
    }
    let ahead = header.end_position.wrapping_sub(counted as u32);
    // Half the range and more ahead is behind: a header that cannot be right.
    if ahead < 1 << 31 { counted.saturating_add(u64::from(ahead)) } else { counted }
}

/// The start of a statement in upper case: enough to tell the ends of transactions.
fn leading_words(query: &QueryEvent<'_>) -> String {
    /// A COMMIT is no longer than this, with any blanks around it.
    const STATEMENT_BYTES_MAX: usize = 64 << 10;
    let statement = query.statement(STATEMENT_BYTES_MAX).unwrap_or_default();
    let head = statement.get(..statement.len().min(32)).unwrap_or_default();
    String::from_utf8_lossy(head).trim().trim_end_matches(';').to_ascii_uppercase()
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
