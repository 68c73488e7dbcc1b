//! Binlog events out of an input, with sizes and checksums that are right: a mutation then reaches what lies behind them.
//!
//! ```text
//! each event   u8 type, u8 flags' low byte, u16 length of the body, body
//! ```

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventType, FormatDescription, HEADER_BYTES};
use millstream_codec::mysql::file::{BinlogFileReader, MAGIC};

use crate::input::Input;

const EVENT_BYTES_MAX: usize = 1 << 24;
const SERVER_ID: u32 = 7;

/// A whole file of these events. A FORMAT_DESCRIPTION has its checksum anyhow; the others where `checksum` says so.
pub fn file(input: &mut Input<'_>, checksum: Checksum) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    while !input.is_empty() {
        let (type_code, flags) = (input.u8(), input.u8());
        let body = input.counted();
        let has_checksum = checksum == Checksum::Crc32 || type_code == EventType::FORMAT_DESCRIPTION;
        push_event(&mut file, type_code, flags, body, has_checksum);
    }
    file
}

pub fn push_event(out: &mut Vec<u8>, type_code: u8, flags: u8, body: &[u8], has_checksum: bool) {
    let start = out.len();
    let size = (HEADER_BYTES + body.len() + if has_checksum { 4 } else { 0 }) as u32;
    out.extend(1_700_000_000_u32.to_le_bytes());
    out.push(type_code);
    out.extend(SERVER_ID.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend((start as u32 + size).to_le_bytes());
    out.extend(u16::from(flags).to_le_bytes());
    out.extend(body);
    if has_checksum {
        let crc = crc32fast::hash(&out[start..]);
        out.extend(crc.to_le_bytes());
    }
}

/// Every event of a real file: the way back, for the corpus. FORMAT_DESCRIPTION keeps all but its checksum.
///
/// # Panics
/// Where the file is damaged.
pub fn events_of(file: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
    reader.feed(file);
    let mut checksum = Checksum::None;
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().expect("a sound file") {
        let bytes = event.bytes;
        let body = if bytes[4] == EventType::FORMAT_DESCRIPTION {
            checksum = FormatDescription::parse(bytes).expect("a sound file").checksum;
            &bytes[HEADER_BYTES..bytes.len() - 4]
        } else {
            Event::parse(bytes, checksum).expect("a sound file").body
        };
        events.push((bytes[4], bytes[17], body.to_vec()));
    }
    events
}

/// An input of the target `files` that holds these events.
pub fn files_input(events: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut input = vec![crate::targets::files::ASSEMBLED | crate::targets::files::CHECKSUMS, 0];
    for (type_code, flags, body) in events {
        input.extend([*type_code, *flags]);
        input.extend((body.len() as u16).to_le_bytes());
        input.extend(body);
    }
    input
}
