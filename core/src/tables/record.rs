//! What the registry's file says: one frame ([`records`](crate::records)) for each commit, its payload entries, one behind
//! the other. Numbers are little-endian; a text is a u16 length and its UTF-8 bytes.

use millstream_codec::wire::layout::ColumnKind;

use super::registry::{LogPoint, RegistryError};
use crate::limits::REGISTRY_FRAME_BYTES_MAX;
use crate::records::{self, Frames};

/// Of the first entry of a file.
pub const FORMAT: u16 = 1;

/// One fact; names are where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// First in every file.
    Begin { format: u16, destination: &'a str },
    /// A column got an ordinal; with `has_null`, the next one is its IsNull.
    Field {
        database: &'a str,
        table: &'a str,
        ordinal: u16,
        has_null: bool,
        kind: ColumnKind,
        column: &'a str,
        name: &'a str,
    },
    /// A RENAME COLUMN: from this place of the log on, these ordinals are columns of other names.
    Renamed { database: &'a str, table: &'a str, point: LogPoint, renamed: Vec<RenamedField> },
    /// A version of a table: what is in it (by digest), and how many ordinals its struct has.
    Version { database: &'a str, table: &'a str, version: u32, digest: [u64; 2], fields: u16 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedField {
    pub ordinal: u16,
    pub column: String,
    pub name: String,
}

const BEGIN: u8 = 0;
const FIELD: u8 = 1;
const RENAMED: u8 = 2;
const VERSION: u8 = 3;

impl<'a> Entry<'a> {
    /// # Errors
    /// A name longer than 65,535 bytes, which no server has.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), RegistryError> {
        match self {
            Self::Begin { format, destination } => {
                out.push(BEGIN);
                out.extend(format.to_le_bytes());
                text(out, destination)
            }
            Self::Field { database, table, ordinal, has_null, kind, column, name } => {
                out.push(FIELD);
                text(out, database)?;
                text(out, table)?;
                out.extend(ordinal.to_le_bytes());
                out.push(u8::from(*has_null));
                out.extend((*kind as u16).to_le_bytes());
                text(out, column)?;
                text(out, name)
            }
            Self::Renamed { database, table, point, renamed } => {
                out.push(RENAMED);
                text(out, database)?;
                text(out, table)?;
                text(out, &point.gtid)?;
                text(out, &point.incarnation)?;
                text(out, &point.file)?;
                out.extend(point.offset.to_le_bytes());
                out.extend(u16::try_from(renamed.len()).map_err(|_| too_long())?.to_le_bytes());
                for field in renamed {
                    out.extend(field.ordinal.to_le_bytes());
                    text(out, &field.column)?;
                    text(out, &field.name)?;
                }
                Ok(())
            }
            Self::Version { database, table, version, digest, fields } => {
                out.push(VERSION);
                text(out, database)?;
                text(out, table)?;
                out.extend(version.to_le_bytes());
                out.extend(digest[0].to_le_bytes());
                out.extend(digest[1].to_le_bytes());
                out.extend(fields.to_le_bytes());
                Ok(())
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(match reader.u8()? {
            BEGIN => Self::Begin { format: reader.u16()?, destination: reader.text()? },
            FIELD => Self::Field {
                database: reader.text()?,
                table: reader.text()?,
                ordinal: reader.u16()?,
                has_null: reader.u8()? != 0,
                kind: ColumnKind::try_from(reader.u16()?).ok()?,
                column: reader.text()?,
                name: reader.text()?,
            },
            RENAMED => Self::Renamed {
                database: reader.text()?,
                table: reader.text()?,
                point: LogPoint {
                    gtid: reader.text()?.to_owned(),
                    incarnation: reader.text()?.to_owned(),
                    file: reader.text()?.to_owned(),
                    offset: reader.u64()?,
                },
                renamed: (0..reader.u16()?)
                    .map(|_| {
                        let ordinal = reader.u16()?;
                        let (column, name) = (reader.text()?.to_owned(), reader.text()?.to_owned());
                        Some(RenamedField { ordinal, column, name })
                    })
                    .collect::<Option<_>>()?,
            },
            VERSION => Self::Version {
                database: reader.text()?,
                table: reader.text()?,
                version: reader.u32()?,
                digest: [reader.u64()?, reader.u64()?],
                fields: reader.u16()?,
            },
            _ => return None,
        })
    }
}

fn text(out: &mut Vec<u8>, text: &str) -> Result<(), RegistryError> {
    out.extend(u16::try_from(text.len()).map_err(|_| too_long())?.to_le_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

fn too_long() -> RegistryError {
    RegistryError::TooLong
}

/// What was [written](Entry::write) as one frame.
///
/// # Errors
/// More than [`REGISTRY_FRAME_BYTES_MAX`] at once.
pub fn frame(payload: &[u8]) -> Result<Vec<u8>, RegistryError> {
    if payload.len() > REGISTRY_FRAME_BYTES_MAX as usize {
        return Err(too_long());
    }
    records::frame(payload).ok_or_else(too_long)
}

/// Every entry of a file in turn, and the length of what is whole: what lies behind it is torn.
///
/// # Errors
/// [`RegistryError::Corrupt`] for damage anywhere but in the last frame; what `take` finds wrong.
pub fn read<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(Entry<'a>) -> Result<(), RegistryError>,
) -> Result<u64, RegistryError> {
    let mut frames = Frames::new(bytes, REGISTRY_FRAME_BYTES_MAX);
    loop {
        let offset = frames.offset();
        let corrupt = |reason| RegistryError::Corrupt { offset, reason };
        let Some(payload) = frames.next().map_err(|damage| corrupt(damage.reason))? else { break };
        let mut payload = Reader { rest: payload };
        while !payload.rest.is_empty() {
            take(Entry::read(&mut payload).ok_or_else(|| corrupt("a record of a kind that is not known"))?)?;
        }
    }
    Ok(frames.offset())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        let bytes = self.bytes(usize::from(length))?;
        std::str::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry<'static>> {
        let (database, table) = ("shop", "bestellungen_ü");
        let point = LogPoint { gtid: "0-1-7".into(), incarnation: "1".into(), file: "binlog.000001".into(), offset: 9 };
        vec![
            Entry::Begin { format: FORMAT, destination: "main" },
            Entry::Field {
                database,
                table,
                ordinal: 3,
                has_null: true,
                kind: ColumnKind::Uint64,
                column: "menge",
                name: "menge",
            },
            Entry::Renamed {
                database,
                table,
                point,
                renamed: vec![RenamedField { ordinal: 3, column: "anzahl".into(), name: "anzahl".into() }],
            },
            Entry::Version { database, table, version: 2, digest: [1, u64::MAX], fields: 5 },
        ]
    }

    fn framed(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut payload = Vec::new();
        entries.iter().for_each(|entry| entry.write(&mut payload).unwrap());
        frame(&payload).unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, u64), RegistryError> {
        let mut entries = Vec::new();
        let whole_bytes = read(bytes, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok((entries, whole_bytes))
    }

    #[test]
    fn frames_are_read_back() {
        let entries = entries();
        let mut bytes = framed(&entries[..1]);
        bytes.extend(framed(&entries[1..]));
        assert_eq!(read_all(&bytes).unwrap(), (entries, bytes.len() as u64));
        assert_eq!(read_all(&[]).unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn a_torn_tail_is_dropped_and_nothing_else() {
        let entries = entries();
        let first = framed(&entries[..1]);
        let mut bytes = first.clone();
        bytes.extend(framed(&entries[1..]));
        for length in first.len()..bytes.len() {
            let (entries, whole_bytes) = read_all(&bytes[..length]).unwrap();
            assert_eq!((entries.len(), whole_bytes), (1, first.len() as u64), "{length}");
        }
        let mut zeros = first.clone();
        zeros.extend([0; 40]);
        assert_eq!(read_all(&zeros).unwrap().1, first.len() as u64);
    }

    #[test]
    fn damage_before_the_last_frame_is_an_error() {
        let entries = entries();
        let mut bytes = framed(&entries[..2]);
        let whole = bytes.len();
        bytes.extend(framed(&entries[2..]));
        for place in 0..whole {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert!(read_all(&damaged).is_err(), "byte {place}");
        }
    }
}
