//! Where a reader stands in a source's history. A position is only ever taken behind a complete transaction.

use std::sync::Arc;

use millstream_codec::mysql::gtid::ExecutedGtids;
pub use millstream_codec::mysql::position::BinlogPosition;
use millstream_codec::wire::position::Position as WirePosition;

/// A file's name is shared by all the transactions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePosition {
    pub file: Arc<str>,
    pub offset: u64,
}

/// An XA transaction that was prepared and not yet decided: where its rows can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenXa {
    /// As MySQL writes it: `X'..',X'..',n`.
    pub xid: String,
    pub gtid: String,
    pub file: Arc<str>,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// One life of one server's binlog: server_uuid, or what stands for it.
    pub incarnation: Arc<str>,
    pub file: Arc<str>,
    /// End of the last transaction.
    pub offset: u64,
    pub gtids: ExecutedGtids,
    pub open_xa: Arc<[OpenXa]>,
}

impl std::fmt::Display for FilePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// For people: the place, then the GTIDs where there are any.
impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)?;
        match self.gtids.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.gtids),
        }
    }
}

/// The order of two places of one binlog: by the number in the file's name, then by offset.
pub fn compare_places(a: &Position, b: &Position) -> std::cmp::Ordering {
    compare(&a.file, a.offset, &b.file, b.offset)
}

/// The same, where only one of them is a whole position.
pub fn compare_file_positions(a: &FilePosition, file: &str, offset: u64) -> std::cmp::Ordering {
    compare(&a.file, a.offset, file, offset)
}

fn compare(file_a: &str, offset_a: u64, file_b: &str, offset_b: u64) -> std::cmp::Ordering {
    use millstream_codec::mysql::position::file_number;
    if file_a == file_b {
        return offset_a.cmp(&offset_b);
    }
    file_number(file_a).cmp(&file_number(file_b))
}

impl Position {
    /// Moves to another place of the same binlog. Mostly it is of the same file, whose name then costs a compare.
    pub fn stand_at(&mut self, place: &FilePosition) {
        if !Arc::ptr_eq(&self.file, &place.file) {
            self.file = place.file.clone();
        }
        self.offset = place.offset;
    }

    /// As the protocol and cursor files tell it.
    pub fn to_wire(&self) -> WirePosition {
        WirePosition {
            incarnation: self.incarnation.to_string(),
            file: self.file.to_string(),
            offset: self.offset,
            gtid_set: self.gtids.to_string(),
            open_xa: self
                .open_xa
                .iter()
                .map(|xa| millstream_codec::wire::position::OpenXa {
                    xid: xa.xid.clone().into_bytes(),
                    gtid: xa.gtid.clone(),
                    file: xa.file.to_string(),
                    offset: xa.offset,
                })
                .collect(),
        }
    }

    /// # Errors
    /// Names what is no GTID set or no text.
    pub fn from_wire(wire: &WirePosition) -> Result<Self, String> {
        let gtids = match wire.gtid_set.as_str() {
            "" => ExecutedGtids::None,
            text => text.parse().map_err(|error| format!("'{text}' is not a GTID set: {error}"))?,
        };
        let mut open_xa = Vec::with_capacity(wire.open_xa.len());
        for xa in &wire.open_xa {
            let xid = String::from_utf8(xa.xid.clone()).map_err(|_| "an open XA's xid is not text".to_owned())?;
            open_xa.push(OpenXa { xid, gtid: xa.gtid.clone(), file: xa.file.as_str().into(), offset: xa.offset });
        }
        Ok(Position {
            incarnation: wire.incarnation.as_str().into(),
            file: wire.file.as_str().into(),
            offset: wire.offset,
            gtids,
            open_xa: open_xa.into(),
        })
    }
}
