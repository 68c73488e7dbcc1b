//! GTID_TAGGED (42, MySQL 8.3+): GTID for tagged transactions, in the form of MySQL's serialization library.
//!
//! ```text
//! varlen  version of the library (1)
//! varlen  size of all this, with the version and itself
//! varlen  last field that must not be ignored
//! fields: varlen id, value
//!   0 flags  1 uuid (16 varlen)  2 number (signed)  3 tag (length, bytes)  4 last committed (signed)
//!   5 sequence number (signed)  6 immediate commit time  7 original commit time  8 transaction length
//!   9 immediate server version  10 original server version  11 commit ticket
//! ```
//! Times and versions of the original are left out where they equal the immediate ones.

use super::gtid::{GtidEvent, known_version, numbered};
use super::varlen::{read_int, read_uint};
use crate::mysql::error::EventError;
use crate::mysql::gtid::{ServerUuid, Tsid};
use crate::mysql::reader::Reader;

const SERIALIZATION_VERSION: u64 = 1;

pub fn parse(body: &[u8]) -> Result<GtidEvent, EventError> {
    let mut reader = Reader::new("GTID_TAGGED", body);
    let version = read_uint(&mut reader, "serialization version")?;
    if version != SERIALIZATION_VERSION {
        return Err(reader.invalid("serialization version", format!("{version}, only 1 is known")));
    }
    let size = read_uint(&mut reader, "size")?;
    let fields_end = usize::try_from(size).ok().filter(|size| *size <= body.len() && *size >= reader.offset());
    let left_out =
        body.len() - fields_end.ok_or_else(|| reader.invalid("size", format!("{size} of {} bytes", body.len())))?;
    let last_needed = read_uint(&mut reader, "last non-ignorable field")?;

    let mut event = GtidEvent::EMPTY;
    let (mut uuid, mut number, mut tag) = (None, None, None);
    let (mut original_us, mut original_version) = (None, None);
    while reader.left() > left_out {
        match read_uint(&mut reader, "field id")? {
            0 => event.flags = small(&mut reader, "flags")?,
            1 => uuid = Some(read_uuid(&mut reader)?),
            2 => number = Some(unsigned(&mut reader, "number")?),
            3 => tag = crate::mysql::gtid::read_tag(&mut reader)?,
            4 => event.last_committed = unsigned(&mut reader, "last committed")?,
            5 => event.sequence_number = unsigned(&mut reader, "sequence number")?,
            6 => event.immediate_commit_us = Some(read_uint(&mut reader, "immediate commit time")?),
            7 => original_us = Some(read_uint(&mut reader, "original commit time")?),
            8 => event.transaction_bytes = Some(read_uint(&mut reader, "transaction length")?),
            9 => event.immediate_server_version = known_version(small(&mut reader, "immediate server version")?),
            10 => original_version = known_version(small(&mut reader, "original server version")?),
            11 => drop(read_uint(&mut reader, "commit ticket")?),
            unknown if unknown <= last_needed => {
                return Err(reader.invalid("field id", format!("{unknown} is unknown and must not be ignored")));
            }
            // Its length is unknown, so what follows cannot be found; by the rule above none of it is needed.
            _ => break,
        }
    }
    let (Some(uuid), Some(number)) = (uuid, number) else {
        return Err(reader.truncated("uuid and number", 1));
    };
    event.gtid = Some(numbered(&reader, Tsid { uuid, tag }, number)?);
    event.original_commit_us = original_us.or(event.immediate_commit_us);
    event.original_server_version = original_version.or(event.immediate_server_version);
    Ok(event)
}

fn small<T: TryFrom<u64>>(reader: &mut Reader<'_>, field: &'static str) -> Result<T, EventError> {
    let value = read_uint(reader, field)?;
    T::try_from(value).map_err(|_| reader.invalid(field, value.to_string()))
}

fn unsigned(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, EventError> {
    let value = read_int(reader, field)?;
    u64::try_from(value).map_err(|_| reader.invalid(field, value.to_string()))
}

fn read_uuid(reader: &mut Reader<'_>) -> Result<ServerUuid, EventError> {
    let mut uuid = ServerUuid::default();
    for byte in &mut uuid.0 {
        *byte = small(reader, "uuid")?;
    }
    Ok(uuid)
}
