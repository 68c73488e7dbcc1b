//! The few packets of the text protocol that a session speaks: statements out, OK, error and rows back.

use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::gtid::GtidSet;
use millstream_codec::mysql::reader::Reader;

use crate::position::FilePosition;
use crate::source::config::SourceConfig;
use crate::source::error::SourceError;
use crate::source::information_schema::Cell;
use crate::source::session::server::Flavour;

const COM_QUERY: u8 = 0x03;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
/// End with an EOF at the end of the log instead of waiting for more.
const BINLOG_DUMP_NON_BLOCK: u16 = 0x01;
/// MariaDB: leave nothing out. Without it ANNOTATE_ROWS are not sent, and offsets cannot be counted.
const BINLOG_SEND_ANNOTATE_ROWS: u16 = 0x02;
const BINLOG_THROUGH_POSITION: u16 = 0x02;
const BINLOG_THROUGH_GTID: u16 = 0x04;

/// Rows that an answer may have: a server keeps fewer binlog files and a table fewer columns.
const ROWS_MAX: usize = 1_000_000;
/// An EOF packet is shorter than this; a row that begins with the same byte is longer.
pub const EOF_BYTES_MAX: usize = 9;

pub fn query(statement: &str) -> Vec<u8> {
    let mut payload = vec![COM_QUERY];
    payload.extend(statement.as_bytes());
    payload
}

/// Makes us visible in SHOW REPLICAS. Host, user and password are for display only, and stay empty.
pub fn register(config: &SourceConfig) -> Vec<u8> {
    let mut payload = vec![COM_REGISTER_SLAVE];
    payload.extend(config.server_id.to_le_bytes());
    let host = b"millstream";
    payload.push(host.len() as u8);
    payload.extend(host);
    // user, password, port, rank, source's server id (the server fills it in)
    payload.extend([0, 0]);
    payload.extend(0u16.to_le_bytes());
    payload.extend(0u32.to_le_bytes());
    payload.extend(0u32.to_le_bytes());
    payload
}

/// # Errors
/// An offset past 4 GiB: the command has four bytes for it.
pub fn dump_file(
    flavour: Flavour,
    at: &FilePosition,
    server_id: u32,
    wait: bool,
) -> Result<Vec<u8>, SourceError> {
    let offset = u32::try_from(at.offset).map_err(|_| SourceError::BadPosition {
        position: at.to_string(),
        reason: "an offset past 4 GiB cannot be asked for by file. Start by GTID, or at the beginning of a file".to_owned(),
    })?;
    let mut payload = vec![COM_BINLOG_DUMP];
    payload.extend(offset.to_le_bytes());
    let everything = if flavour == Flavour::Mariadb { BINLOG_SEND_ANNOTATE_ROWS } else { 0 };
    let flags = everything | if wait { 0 } else { BINLOG_DUMP_NON_BLOCK };
    payload.extend(flags.to_le_bytes());
    payload.extend(server_id.to_le_bytes());
    payload.extend(at.file.as_bytes());
    Ok(payload)
}

/// By file in MySQL's newer command: a 64-bit offset, and an empty set, so that nothing is left out.
pub fn dump_file_64(at: &FilePosition, server_id: u32, wait: bool) -> Vec<u8> {
    dump_with_set(
        BINLOG_THROUGH_POSITION | if wait { 0 } else { BINLOG_DUMP_NON_BLOCK },
        server_id,
        &at.file,
        at.offset,
        &0u64.to_le_bytes(),
    )
}

/// Everything that is not in `executed`.
pub fn dump_gtids(executed: &GtidSet, server_id: u32) -> Vec<u8> {
    dump_with_set(BINLOG_THROUGH_GTID, server_id, "", 4, &executed.encode())
}

fn dump_with_set(flags: u16, server_id: u32, file: &str, offset: u64, set: &[u8]) -> Vec<u8> {
    let mut payload = vec![COM_BINLOG_DUMP_GTID];
    payload.extend(flags.to_le_bytes());
    payload.extend(server_id.to_le_bytes());
    payload.extend((file.len() as u32).to_le_bytes());
    payload.extend(file.as_bytes());
    payload.extend(offset.to_le_bytes());
    payload.extend((set.len() as u32).to_le_bytes());
    payload.extend(set);
    payload
}

/// An ERR packet as an error. Before the login is done it has no SQL state.
pub fn server_error(packet: &[u8]) -> SourceError {
    let parse = || -> Result<SourceError, EventError> {
        let mut reader = Reader::new("error packet", packet);
        reader.u8("kind")?;
        let code = reader.u16("code")?;
        let mut state = String::from("HY000");
        if reader.peek() == Some(b'#') {
            reader.u8("marker")?;
            state = String::from_utf8_lossy(reader.bytes("state", 5)?).into_owned();
        }
        let message = String::from_utf8_lossy(reader.rest()).into_owned();
        Ok(SourceError::Server { code, state, message })
    };
    parse().unwrap_or_else(|error| SourceError::Protocol(error.to_string()))
}

/// Where the reading of an answer stands.
#[derive(Debug)]
enum Phase {
    First,
    /// So many column definitions are still to come, then an EOF.
    Columns(u64),
    Rows,
}

/// Reads one answer to a statement.
#[derive(Debug)]
pub struct ResultSet {
    phase: Phase,
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

impl Default for ResultSet {
    fn default() -> Self {
        Self { phase: Phase::First, columns: 0, rows: Vec::new() }
    }
}

impl ResultSet {
    /// The next packet; the rows once it was the last one.
    ///
    /// # Errors
    /// The server's refusal, or an answer of another form.
    pub fn packet(&mut self, packet: &[u8]) -> Result<Option<Vec<Vec<Cell>>>, SourceError> {
        let broken = |error: EventError| SourceError::Protocol(error.to_string());
        let is_eof = packet.first() == Some(&0xfe) && packet.len() < EOF_BYTES_MAX;
        if packet.first() == Some(&0xff) {
            return Err(server_error(packet));
        }
        match &mut self.phase {
            Phase::First if packet.first() == Some(&0x00) => Ok(Some(Vec::new())),
            Phase::First => {
                let count = Reader::new("result set", packet).lenenc("column count").map_err(broken)?;
                self.columns = usize::try_from(count).ok().filter(|count| (1..=4096).contains(count)).ok_or_else(|| {
                    SourceError::Protocol(format!("a result set of {count} columns"))
                })?;
                self.phase = Phase::Columns(count);
                Ok(None)
            }
            Phase::Columns(left) => {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None if is_eof => self.phase = Phase::Rows,
                    None => return Err(SourceError::Protocol("more columns than were announced".to_owned())),
                }
                Ok(None)
            }
            Phase::Rows if is_eof => Ok(Some(std::mem::take(&mut self.rows))),
            Phase::Rows => {
                let mut reader = Reader::new("row", packet);
                let mut row = Vec::with_capacity(self.columns);
                for _ in 0..self.columns {
                    row.push(match reader.peek() {
                        Some(0xfb) => {
                            reader.u8("null").map_err(broken)?;
                            None
                        }
                        _ => Some(reader.lenenc_bytes("cell").map_err(broken)?.to_vec()),
                    });
                }
                if self.rows.len() >= ROWS_MAX {
                    return Err(SourceError::Protocol(format!("an answer of more than {ROWS_MAX} rows")));
                }
                self.rows.push(row);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_to_the_last_eof() {
        let mut set = ResultSet::default();
        assert!(set.packet(&[2]).unwrap().is_none());
        assert!(set.packet(b"column a").unwrap().is_none());
        assert!(set.packet(b"column b").unwrap().is_none());
        assert!(set.packet(&[0xfe, 0, 0, 2, 0]).unwrap().is_none());
        assert!(set.packet(b"\x01x\xfb").unwrap().is_none());
        let rows = set.packet(&[0xfe, 0, 0, 2, 0]).unwrap().unwrap();
        assert_eq!(rows, [vec![Some(b"x".to_vec()), None]]);
        assert_eq!(ResultSet::default().packet(&[0, 0, 0]).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn broken_answers_are_errors() {
        for packet in [&b""[..], b"\xfb", b"\xfd\xff\xff\xff", b"\xff\x48\x04#42000no"] {
            assert!(ResultSet::default().packet(packet).is_err(), "{packet:?}");
        }
        let mut cut = ResultSet::default();
        cut.packet(&[1]).unwrap();
        cut.packet(b"column").unwrap();
        cut.packet(&[0xfe, 0, 0, 2, 0]).unwrap();
        assert!(cut.packet(b"\x05abc").is_err());
    }

    #[test]
    fn an_error_without_a_state_is_read_too() {
        let check = |packet: &[u8], code: u16, state: &str, text: &str| match server_error(packet) {
            SourceError::Server { code: found, state: found_state, message } => {
                assert_eq!((found, found_state.as_str(), message.as_str()), (code, state, text));
            }
            error => panic!("{error}"),
        };
        check(b"\xff\x10\x04Too many connections", 1040, "HY000", "Too many connections");
        check(b"\xff\xcb\x04#42000denied", 1227, "42000", "denied");
        assert!(matches!(server_error(b"\xff\x10"), SourceError::Protocol(_)));
    }

    #[test]
    fn a_file_dump_has_its_offset_flag_and_name() {
        let at = FilePosition { file: "b.000002".into(), offset: 260 };
        let expected = [&[0x12, 4, 1, 0, 0, 1, 0, 9, 0, 0, 0][..], b"b.000002"].concat();
        assert_eq!(dump_file(Flavour::Mysql, &at, 9, false).unwrap(), expected);
        assert_eq!(dump_file(Flavour::Mariadb, &at, 9, true).unwrap()[5], 2);
        assert!(dump_file(Flavour::Mysql, &FilePosition { offset: 1 << 32, ..at }, 9, true).is_err());
    }
}
