//! Small events of MariaDB: BINLOG_CHECKPOINT (161) and START_ENCRYPTION (164).
//!
//! ```text
//! 161  u32 length, name of the oldest file that a crash recovery would need
//! 164  u8 scheme (1), u32 key version, 12 bytes of nonce
//! ```

use std::borrow::Cow;

use super::rotate::file_name;
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogCheckpoint<'a> {
    pub file: Cow<'a, str>,
}

impl<'a> BinlogCheckpoint<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("BINLOG_CHECKPOINT", body);
        let length = reader.u32("file name length")?;
        let name = reader.bytes_u64("file name", u64::from(length))?;
        Ok(Self { file: file_name(&reader, name)? })
    }
}

/// In a file: everything behind it is encrypted. In a dump stream the server has decrypted it, and this says only
/// that the file on its disk is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartEncryption {
    pub scheme: u8,
    pub key_version: u32,
}

impl StartEncryption {
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("START_ENCRYPTION", body);
        let event = Self { scheme: reader.u8("scheme")?, key_version: reader.u32("key version")? };
        reader.bytes("nonce", 12)?;
        Ok(event)
    }
}
