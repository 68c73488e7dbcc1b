//! A recorded binlog file, and the packets that a dump thread would make of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;
const PACKET_BYTES_MAX: usize = 0xff_ffff;
const FLAG_ARTIFICIAL: u16 = 0x20;

mod kind {
    pub const QUERY: u8 = 2;
    pub const ROTATE: u8 = 4;
    pub const STOP: u8 = 3;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const WRITE_ROWS: u8 = 30;
    pub const HEARTBEAT: u8 = 27;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
}

/// One binlog file with checksums, read into memory.
pub struct Log {
    pub name: String,
    bytes: Vec<u8>,
    /// Where the recording begins: behind the first events of the file.
    start: usize,
    /// End of the last whole event.
    end: usize,
}

impl Log {
    /// # Errors
    /// The file cannot be read, or is not a binlog with checksums.
    pub fn read(path: &Path, start: u64) -> anyhow::Result<Self> {
        let name = path.file_name().context("a file name")?.to_string_lossy().into_owned();
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(bytes.starts_with(b"\xfebin"), "{} is not a binlog", path.display());
        let mut log = Self { name, bytes, start: usize::try_from(start)?, end: 4 };
        log.end = log.events(4).map(|(offset, event)| offset + event.len()).last().context("no events")?;
        let (_, first) = log.events(4).next().context("no events")?;
        ensure!(first[4] == kind::FORMAT_DESCRIPTION, "the first event is not a format description");
        ensure!(first[first.len() - CHECKSUM_BYTES - 1] == 1, "the recording has no checksums");
        Ok(log)
    }

    pub fn start(&self) -> u64 {
        self.start as u64
    }

    /// The bytes of the recording itself.
    pub fn recorded(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Of each transaction, the first column of its first row, a BIGINT: what workloads number their rows by.
    ///
    /// # Errors
    /// A transaction that inserts nothing.
    pub fn first_ids(&self) -> anyhow::Result<Vec<u64>> {
        let mut ids = Vec::new();
        let mut first = None;
        for (offset, event) in self.events(self.start) {
            match event[4] {
                kind::WRITE_ROWS if first.is_none() => first = first_id(&event[HEADER_BYTES..]),
                _ if ends_transaction(event) => {
                    ids.push(first.take().with_context(|| format!("no row is inserted before {offset}"))?);
                }
                _ => {}
            }
        }
        Ok(ids)
    }

    /// Whole events from an offset on; a truncated one ends them.
    fn events(&self, from: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let mut offset = from;
        std::iter::from_fn(move || {
            let header = self.bytes.get(offset..offset + HEADER_BYTES)?;
            let size = u32::from_le_bytes(header[9..13].try_into().ok()?) as usize;
            let event = self.bytes.get(offset..offset + size).filter(|event| event.len() >= HEADER_BYTES)?;
            let at = offset;
            offset += size;
            Some((at, event))
        })
    }
}

/// A dump as a stream of packets, made once and sent to every connection that asks.
pub struct Packets {
    pub bytes: Vec<u8>,
    /// What comes before the first recorded event: sent at once.
    pub head: usize,
    /// End of each transaction in `bytes`.
    pub ends: Vec<usize>,
    /// 256 heartbeats: so many bring the sequence number of packets back to where it was, so that they fit between any two
    /// packets that were numbered before.
    pub heartbeats: Vec<u8>,
}

impl Packets {
    /// With or without checksums, as the replica asked for.
    ///
    /// # Errors
    /// An event that ends a transaction is not known.
    pub fn of(log: &Log, checksums: bool) -> anyhow::Result<Arc<Self>> {
        let mut out =
            Writer { bytes: Vec::with_capacity(log.bytes.len() + (log.bytes.len() >> 4)), sequence: 1, checksums };
        let (_, format) = log.events(4).next().context("no events")?;
        // The server tells the file's name first, and a format description that stands at no place of the file.
        let mut rotate = (log.start as u64).to_le_bytes().to_vec();
        rotate.extend_from_slice(log.name.as_bytes());
        out.event(&artificial(kind::ROTATE, format, &rotate));
        let mut description = format.to_vec();
        description[13..17].fill(0);
        // When the server was started: 0 says that this is not the beginning of the file. Behind the version's two bytes and
        // the server's name of fifty.
        description[HEADER_BYTES + 52..HEADER_BYTES + 56].fill(0);
        if !checksums {
            let algorithm = description.len() - CHECKSUM_BYTES - 1;
            description[algorithm] = 0;
        }
        seal(&mut description);
        out.packet(&description);
        let head = out.bytes.len();
        let mut ends = Vec::new();
        for (_, event) in log.events(log.start) {
            match event[4] {
                // The recording server's end.
                kind::STOP | kind::ROTATE => break,
                kind::FORMAT_DESCRIPTION | kind::PREVIOUS_GTIDS => bail!("the recording begins before its own start"),
                _ => out.event(event),
            }
            if ends_transaction(event) {
                ends.push(out.bytes.len());
            }
        }
        let mut heartbeats = Writer { bytes: Vec::new(), sequence: 0, checksums };
        let mut name = log.name.as_bytes().to_vec();
        name.truncate(255);
        let mut heartbeat = artificial(kind::HEARTBEAT, format, &name);
        heartbeat[13..17].copy_from_slice(&u32::try_from(log.start)?.to_le_bytes());
        seal(&mut heartbeat);
        for _ in 0..256 {
            heartbeats.event(&heartbeat);
        }
        Ok(Arc::new(Self { bytes: out.bytes, head, ends, heartbeats: heartbeats.bytes }))
    }

    /// The heartbeats, numbered from `sequence` on.
    pub fn heartbeats_from(&self, sequence: u8) -> Vec<u8> {
        let mut bytes = self.heartbeats.clone();
        let mut offset = 0;
        let mut sequence = sequence;
        while let Some(header) = bytes.get_mut(offset..offset + 4) {
            let size = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
            header[3] = sequence;
            sequence = sequence.wrapping_add(1);
            offset += 4 + size;
        }
        bytes
    }
}

/// XID, a DDL statement, COMMIT, or a compressed transaction.
fn ends_transaction(event: &[u8]) -> bool {
    match event[4] {
        kind::XID | kind::TRANSACTION_PAYLOAD => true,
        kind::QUERY => {
            let body = &event[..event.len() - CHECKSUM_BYTES];
            !body.ends_with(b"\0BEGIN") && !body.windows(9).any(|window| window.eq_ignore_ascii_case(b"SAVEPOINT"))
        }
        _ => false,
    }
}

/// Of the body of WRITE_ROWS: table id (6), flags (2), extra data with its size, column count, bitmap, and the first row.
fn first_id(body: &[u8]) -> Option<u64> {
    let extra = usize::from(u16::from_le_bytes(body.get(8..10)?.try_into().ok()?));
    let rest = body.get(8 + extra..)?;
    let columns = usize::from(*rest.first().filter(|count| **count < 0xfb)?);
    let bitmap_bytes = columns.div_ceil(8);
    // Which columns there are, and which of the row are NULL.
    rest.get(1 + 2 * bitmap_bytes..)?.first_chunk().map(|id| u64::from_le_bytes(*id))
}

/// An event of the server that `like` is of, at no place of the file, at no time.
fn artificial(type_code: u8, like: &[u8], body: &[u8]) -> Vec<u8> {
    let mut event = vec![0; HEADER_BYTES];
    event[4] = type_code;
    event[5..9].copy_from_slice(&like[5..9]);
    event[17..19].copy_from_slice(&FLAG_ARTIFICIAL.to_le_bytes());
    event.extend_from_slice(body);
    event.extend_from_slice(&[0; CHECKSUM_BYTES]);
    let size = event.len() as u32;
    event[9..13].copy_from_slice(&size.to_le_bytes());
    seal(&mut event);
    event
}

/// Writes the checksum of an event anew.
fn seal(event: &mut [u8]) {
    let (body, checksum) = event.split_at_mut(event.len() - CHECKSUM_BYTES);
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

struct Writer {
    bytes: Vec<u8>,
    sequence: u8,
    checksums: bool,
}

impl Writer {
    fn event(&mut self, event: &[u8]) {
        if self.checksums {
            return self.packet(event);
        }
        let mut bare = event[..event.len() - CHECKSUM_BYTES].to_vec();
        let size = bare.len() as u32;
        bare[9..13].copy_from_slice(&size.to_le_bytes());
        self.packet(&bare);
    }

    /// OK byte and event, in as many packets as it takes.
    fn packet(&mut self, event: &[u8]) {
        let mut rest = event;
        let mut is_first = true;
        loop {
            let room = PACKET_BYTES_MAX - usize::from(is_first);
            let part = rest.split_off(..rest.len().min(room)).unwrap_or_default();
            let size = part.len() + usize::from(is_first);
            self.bytes.extend_from_slice(&(size as u32).to_le_bytes()[..3]);
            self.bytes.push(self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            if is_first {
                self.bytes.push(0);
            }
            self.bytes.extend_from_slice(part);
            is_first = false;
            if size < PACKET_BYTES_MAX {
                return;
            }
        }
    }
}
