//! Where a reader of a destination stands, as the protocol tells it, and the opaque token made of it.

use super::hash::stable_hash;
use crate::millstream_capnp::{open_xa, position};

/// A boundary between two transactions of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The life of one server's binlog: server_uuid, or what stands for it.
    pub incarnation: String,
    pub file: String,
    /// End of the last transaction in `file`.
    pub offset: u64,
    /// The executed set; empty where the source has no GTIDs.
    pub gtid_set: String,
    pub open_xa: Vec<OpenXa>,
}

/// An XA transaction that has been prepared and not yet decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenXa {
    pub xid: Vec<u8>,
    pub gtid: String,
    /// Where its PREPARE's event group begins.
    pub file: String,
    pub offset: u64,
}

impl Position {
    pub fn write(&self, mut builder: position::Builder<'_>) {
        builder.set_incarnation(self.incarnation.as_str());
        builder.set_file(self.file.as_str());
        builder.set_offset(self.offset);
        builder.set_gtid_set(self.gtid_set.as_str());
        if self.open_xa.is_empty() {
            return;
        }
        let mut list = builder.init_open_xa(u32::try_from(self.open_xa.len()).unwrap_or(u32::MAX));
        for (index, xa) in (0u32..).zip(&self.open_xa) {
            xa.write(list.reborrow().get(index));
        }
    }

    /// # Errors
    /// Where the message is damaged.
    pub fn read(reader: position::Reader<'_>) -> capnp::Result<Self> {
        Ok(Self {
            incarnation: text(reader.get_incarnation()?)?,
            file: text(reader.get_file()?)?,
            offset: reader.get_offset(),
            gtid_set: text(reader.get_gtid_set()?)?,
            open_xa: reader.get_open_xa()?.iter().map(OpenXa::read).collect::<capnp::Result<_>>()?,
        })
    }
}

impl OpenXa {
    fn write(&self, mut builder: open_xa::Builder<'_>) {
        builder.set_xid(&self.xid);
        builder.set_gtid(self.gtid.as_str());
        builder.set_file(self.file.as_str());
        builder.set_offset(self.offset);
    }

    fn read(reader: open_xa::Reader<'_>) -> capnp::Result<Self> {
        Ok(Self {
            xid: reader.get_xid()?.to_vec(),
            gtid: text(reader.get_gtid()?)?,
            file: text(reader.get_file()?)?,
            offset: reader.get_offset(),
        })
    }
}

pub(super) fn text(reader: capnp::text::Reader<'_>) -> capnp::Result<String> {
    Ok(reader.to_string()?)
}

/// A destination and a position in it, as bytes that only Millstream reads. A sink that stores the token with its
/// data can resume exactly there.
///
/// | bytes | |
/// |---|---|
/// | 1 | version of the token, 1 |
/// | .. | destination, incarnation, file, GTID set: each its length (4) and UTF-8; the offset (8) after the file |
/// | 4 | number of open XAs |
/// | .. | each: xid, gtid, file (length and bytes), offset (8) |
/// | 8 | `stable_hash` of all before it |
///
/// Integers are little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeToken {
    pub destination: String,
    pub position: Position,
}

/// Why bytes are no resume token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the resume token is empty")]
    Empty,
    #[error(
        "the resume token has version {found}, but this server reads version {TOKEN_VERSION} only: it was made by a newer server"
    )]
    Version { found: u8 },
    #[error(
        "the resume token is damaged: its checksum does not match ({bytes} bytes); it must be stored and given back unchanged"
    )]
    Checksum { bytes: usize },
    #[error("the resume token is damaged at byte {at}")]
    Garbled { at: usize },
}

const TOKEN_VERSION: u8 = 1;
const TOKEN_HASH_BYTES: usize = 8;

impl ResumeToken {
    pub fn encode(&self) -> Vec<u8> {
        let position = &self.position;
        let mut out = vec![TOKEN_VERSION];
        push_bytes(&mut out, self.destination.as_bytes());
        push_bytes(&mut out, position.incarnation.as_bytes());
        push_bytes(&mut out, position.file.as_bytes());
        out.extend_from_slice(&position.offset.to_le_bytes());
        push_bytes(&mut out, position.gtid_set.as_bytes());
        push_length(&mut out, position.open_xa.len());
        for xa in &position.open_xa {
            push_bytes(&mut out, &xa.xid);
            push_bytes(&mut out, xa.gtid.as_bytes());
            push_bytes(&mut out, xa.file.as_bytes());
            out.extend_from_slice(&xa.offset.to_le_bytes());
        }
        let hash = token_hash(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(token: &[u8]) -> Result<Self, TokenError> {
        let version = *token.first().ok_or(TokenError::Empty)?;
        if version != TOKEN_VERSION {
            return Err(TokenError::Version { found: version });
        }
        let body = token
            .len()
            .checked_sub(TOKEN_HASH_BYTES)
            .and_then(|length| token.split_at_checked(length))
            .filter(|(body, hash)| token_hash(body) == *hash)
            .map(|(body, _)| body)
            .ok_or(TokenError::Checksum { bytes: token.len() })?;
        let mut fields = TokenFields { body, at: 1 };
        let destination = fields.text()?;
        let incarnation = fields.text()?;
        let file = fields.text()?;
        let offset = fields.number()?;
        let gtid_set = fields.text()?;
        let mut open_xa = Vec::new();
        for _ in 0..fields.length()? {
            open_xa.push(OpenXa {
                xid: fields.bytes()?.to_vec(),
                gtid: fields.text()?,
                file: fields.text()?,
                offset: fields.number()?,
            });
        }
        if fields.at != body.len() {
            return Err(TokenError::Garbled { at: fields.at });
        }
        Ok(Self { destination, position: Position { incarnation, file, offset, gtid_set, open_xa } })
    }
}

fn token_hash(body: &[u8]) -> [u8; TOKEN_HASH_BYTES] {
    stable_hash(&[b"millstream token", body]).to_le_bytes()
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    // A position is read from messages of less than 4 GiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct TokenFields<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> TokenFields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], TokenError> {
        let end = self.at.checked_add(length);
        let bytes = end.and_then(|end| self.body.get(self.at..end)).ok_or(TokenError::Garbled { at: self.at })?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| TokenError::Garbled { at })
    }

    fn length(&mut self) -> Result<usize, TokenError> {
        let at = self.at;
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| TokenError::Garbled { at })
    }

    fn number(&mut self) -> Result<u64, TokenError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], TokenError> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, TokenError> {
        let at = self.at;
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| TokenError::Garbled { at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ResumeToken {
        ResumeToken {
            destination: "main".into(),
            position: Position {
                incarnation: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
                file: "binlog.000042".into(),
                offset: 5_000_000_000,
                gtid_set: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7".into(),
                open_xa: vec![OpenXa {
                    xid: vec![0, 255, 7],
                    gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:6".into(),
                    file: "binlog.000041".into(),
                    offset: 154,
                }],
            },
        }
    }

    #[test]
    fn token_gives_back_what_it_was_made_of() {
        for token in [example(), ResumeToken { destination: String::new(), position: Position::default() }] {
            assert_eq!(ResumeToken::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let good = example().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(ResumeToken::decode(&bad).is_err(), "byte {at}");
            assert!(ResumeToken::decode(&good[..at]).is_err(), "first {at} bytes");
        }
        assert_eq!(ResumeToken::decode(&[]), Err(TokenError::Empty));
        assert_eq!(ResumeToken::decode(&[9, 1]), Err(TokenError::Version { found: 9 }));
    }

    #[test]
    fn lengths_are_believed_only_within_the_token() {
        // Valid checksum, absurd length.
        let mut token = vec![TOKEN_VERSION, 255, 255, 255, 255];
        let hash = token_hash(&token);
        token.extend_from_slice(&hash);
        assert_eq!(ResumeToken::decode(&token), Err(TokenError::Garbled { at: 5 }));
    }
}
