//! The text protocol's answers: OK, ERR, or a result set, packet by packet.
//!
//! ```text
//! OK    00 lenenc affected rows, lenenc last insert id, u16 status, u16 warnings, ...
//! ERR   ff u16 code, '#' and 5 bytes of SQL state, rest: message
//! rows  lenenc number of columns; a definition of each; EOF; rows; EOF        (without CLIENT_DEPRECATE_EOF)
//! EOF   fe u16 warnings, u16 status
//! ```
//! For the small queries of set-up and metadata: values are copied, and all of a result is bounded.

use super::error::EventError;
use super::reader::Reader;

/// An ERR packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server says: {message} (error {code}, state {state})")]
pub struct ServerError {
    pub code: u16,
    /// Five characters; empty before the handshake is done.
    pub state: String,
    pub message: String,
}

impl ServerError {
    /// `None` unless the payload is an ERR packet.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new("ERR packet", payload);
        if reader.u8("head").ok()? != 0xff {
            return None;
        }
        let code = reader.u16("code").ok()?;
        let mut state = &[][..];
        if reader.peek() == Some(b'#') {
            reader.u8("state marker").ok()?;
            state = reader.bytes("state", 5).ok()?;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Self { code, state: text(state), message: text(reader.rest()) })
    }
}

/// A packet of a dump stream or an answer that ends it: 5 bytes behind 0xfe at most, else it is a long value.
pub fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&0xfe) && payload.len() < 9
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("answer cannot be read: {0}")]
    Malformed(#[from] EventError),
    #[error("the answer has {what} over the bound of {limit}")]
    TooLarge { what: &'static str, limit: usize },
    #[error("the server asks for a local file, which is never sent")]
    LocalFile,
}

/// A result set with its values as text; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultSet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl ResultSet {
    /// The value in the column of this name (any case), as text.
    pub fn text(&self, row: usize, column: &str) -> Option<String> {
        let index = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.text_at(row, index)
    }

    pub fn text_at(&self, row: usize, column: usize) -> Option<String> {
        let value = self.rows.get(row)?.get(column)?.as_deref()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What one packet has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    More,
    /// A statement without rows.
    Ok {
        affected_rows: u64,
    },
    Rows(ResultSet),
}

/// Bounds of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLimits {
    pub columns_max: usize,
    /// Values and names together.
    pub bytes_max: usize,
}

impl Default for ResultLimits {
    fn default() -> Self {
        // A schema of 100,000 columns at 200 bytes each is 20 MB.
        Self { columns_max: 4096, bytes_max: 64 << 20 }
    }
}

#[derive(Debug)]
enum State {
    Start,
    Definitions { left: usize },
    EofOfDefinitions,
    Rows,
}

/// Reads one answer. Feed it every packet until it says something else than [`Progress::More`]; it is then ready for
/// the next answer.
#[derive(Debug)]
pub struct ResultSetReader {
    limits: ResultLimits,
    state: State,
    result: ResultSet,
    bytes: usize,
}

impl Default for ResultSetReader {
    fn default() -> Self {
        Self::new(ResultLimits::default())
    }
}

/// Each value costs this much beside its bytes.
const VALUE_OVERHEAD_BYTES: usize = size_of::<Option<Vec<u8>>>();

impl ResultSetReader {
    pub fn new(limits: ResultLimits) -> Self {
        Self { limits, state: State::Start, result: ResultSet::default(), bytes: 0 }
    }

    /// # Errors
    /// [`ResultError::Server`] for an ERR packet, which also ends the answer; any other means that the connection is
    /// of no more use.
    pub fn packet(&mut self, payload: &[u8]) -> Result<Progress, ResultError> {
        let progress = self.advance(payload);
        if !matches!(progress, Ok(Progress::More)) {
            self.state = State::Start;
            self.result = ResultSet::default();
            self.bytes = 0;
        }
        progress
    }

    fn advance(&mut self, payload: &[u8]) -> Result<Progress, ResultError> {
        if let Some(error) = ServerError::parse(payload) {
            return Err(error.into());
        }
        match self.state {
            State::Start => self.start(payload),
            State::Definitions { left } => {
                self.definition(payload)?;
                self.state = if left > 1 { State::Definitions { left: left - 1 } } else { State::EofOfDefinitions };
                Ok(Progress::More)
            }
            State::EofOfDefinitions => {
                if !is_eof(payload) {
                    return Err(Reader::new("result set", payload)
                        .invalid("end of definitions", "no EOF packet")
                        .into());
                }
                self.state = State::Rows;
                Ok(Progress::More)
            }
            State::Rows if is_eof(payload) => Ok(Progress::Rows(std::mem::take(&mut self.result))),
            State::Rows => self.row(payload).map(|()| Progress::More),
        }
    }

    fn start(&mut self, payload: &[u8]) -> Result<Progress, ResultError> {
        let mut reader = Reader::new("answer", payload);
        match reader.peek() {
            Some(0x00) => {
                reader.u8("head")?;
                Ok(Progress::Ok { affected_rows: reader.lenenc("affected rows")? })
            }
            // Some servers answer SET with an EOF packet.
            Some(0xfe) if is_eof(payload) => Ok(Progress::Ok { affected_rows: 0 }),
            Some(0xfb) => Err(ResultError::LocalFile),
            _ => {
                let count = reader.lenenc("column count")?;
                let limit = self.limits.columns_max;
                let left = usize::try_from(count).ok().filter(|count| *count <= limit);
                let left = left.ok_or(ResultError::TooLarge { what: "columns", limit })?;
                self.state = State::Definitions { left };
                Ok(Progress::More)
            }
        }
    }

    /// Catalog, database, table, original table, name, and more that is not needed.
    fn definition(&mut self, payload: &[u8]) -> Result<(), ResultError> {
        let mut reader = Reader::new("column definition", payload);
        for field in ["catalog", "database", "table", "original table"] {
            reader.lenenc_bytes(field)?;
        }
        let name = reader.lenenc_bytes("name")?;
        self.count(name.len() + VALUE_OVERHEAD_BYTES)?;
        self.result.columns.push(String::from_utf8_lossy(name).into_owned());
        Ok(())
    }

    fn row(&mut self, payload: &[u8]) -> Result<(), ResultError> {
        self.count(payload.len() + self.result.columns.len() * VALUE_OVERHEAD_BYTES)?;
        let mut reader = Reader::new("row", payload);
        let mut row = Vec::with_capacity(self.result.columns.len());
        for _ in 0..self.result.columns.len() {
            if reader.peek() == Some(0xfb) {
                reader.u8("NULL")?;
                row.push(None);
            } else {
                row.push(Some(reader.lenenc_bytes("value")?.to_vec()));
            }
        }
        if !reader.is_empty() {
            return Err(reader.invalid("end", "more values than columns").into());
        }
        self.result.rows.push(row);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), ResultError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.limits.bytes_max;
        if self.bytes > limit { Err(ResultError::TooLarge { what: "bytes", limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOF: &[u8] = b"\xfe\0\0\x02\0";

    fn definition(name: &str) -> Vec<u8> {
        let mut out = b"\x03def\0\0\0".to_vec();
        out.push(u8::try_from(name.len()).unwrap());
        out.extend(name.as_bytes());
        out.extend(b"\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0");
        out
    }

    #[test]
    fn a_result_set_comes_together() {
        let mut reader = ResultSetReader::default();
        // Twice: the reader starts afresh by itself.
        for _ in 0..2 {
            for packet in
                [&b"\x02"[..], &definition("Name"), &definition("Value"), EOF, b"\x01a\xfb", b"\x00\x02\xfe\x01"]
            {
                assert_eq!(reader.packet(packet).unwrap(), Progress::More);
            }
            let Progress::Rows(result) = reader.packet(EOF).unwrap() else { panic!("no rows") };
            assert_eq!(result.columns, ["Name", "Value"]);
            assert_eq!(result.rows, [[Some(b"a".to_vec()), None], [Some(vec![]), Some(vec![0xfe, 1])]]);
            assert_eq!(result.text(0, "name").as_deref(), Some("a"));
            assert_eq!(result.text(0, "value"), None);
        }
    }

    #[test]
    fn ok_and_err() {
        let mut reader = ResultSetReader::default();
        assert_eq!(reader.packet(b"\x00\x03\0\x02\0\0\0").unwrap(), Progress::Ok { affected_rows: 3 });
        let error = reader.packet(b"\xff\x15\x04#28000Access denied").unwrap_err();
        assert_eq!(error.to_string(), "the server says: Access denied (error 1045, state 28000)");
        assert_eq!(reader.packet(b"\x00\0\0\x02\0\0\0").unwrap(), Progress::Ok { affected_rows: 0 });
        let early = ServerError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!((early.code, early.state.as_str()), (1040, ""));
        assert_eq!(ServerError::parse(b"\x00"), None);
        assert_eq!(reader.packet(b"\xfbfile").unwrap_err(), ResultError::LocalFile);
    }

    #[test]
    fn an_error_may_come_among_the_rows() {
        let mut reader = ResultSetReader::default();
        for packet in [&b"\x01"[..], &definition("a"), EOF, b"\x011"] {
            reader.packet(packet).unwrap();
        }
        assert!(matches!(reader.packet(b"\xff\x25\x05#70100stopped"), Err(ResultError::Server(_))));
    }

    #[test]
    fn sizes_are_bounded() {
        let mut reader = ResultSetReader::new(ResultLimits { columns_max: 2, bytes_max: 200 });
        assert!(matches!(reader.packet(b"\x03"), Err(ResultError::TooLarge { what: "columns", .. })));
        for packet in [&b"\x01"[..], &definition("a"), EOF] {
            reader.packet(packet).unwrap();
        }
        let row = [&[100u8][..], &[b'x'; 100]].concat();
        assert_eq!(reader.packet(&row).unwrap(), Progress::More);
        assert!(matches!(reader.packet(&row), Err(ResultError::TooLarge { what: "bytes", .. })));
        for malformed in [&b""[..], b"\x01", b"\xfe"] {
            let mut reader = ResultSetReader::default();
            let _ = reader.packet(malformed);
        }
        let mut reader = ResultSetReader::default();
        for packet in [&b"\x01"[..], &definition("a"), EOF] {
            reader.packet(packet).unwrap();
        }
        assert!(reader.packet(b"\x05ab").is_err());
    }
}
