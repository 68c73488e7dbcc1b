//! INCIDENT (26): the server knows that something is missing from its log.
//!
//! ```text
//! u16  number (1: lost events)
//! u8   length, message
//! ```

use std::borrow::Cow;

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

/// Changes have been lost upstream; nothing behind it can be trusted to be complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident<'a> {
    pub number: u16,
    pub message: Cow<'a, str>,
}

impl<'a> Incident<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("INCIDENT", body);
        let number = reader.u16("number")?;
        let message = if reader.is_empty() { &[] } else { reader.u8_bytes("message")? };
        Ok(Self { number, message: String::from_utf8_lossy(message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_number_and_perhaps_a_message() {
        assert_eq!(Incident::parse(b"\x01\0\x03abc").unwrap(), Incident { number: 1, message: "abc".into() });
        assert_eq!(Incident::parse(b"\x01\0").unwrap().message, "");
        assert!(Incident::parse(b"\x01").is_err());
        assert!(Incident::parse(b"\x01\0\x04abc").is_err());
    }
}
