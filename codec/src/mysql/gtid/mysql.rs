//! MySQL's GTID: `UUID:NUMBER`, and since 8.3 `UUID:TAG:NUMBER`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::{InvalidGtid, excerpt};

/// The largest transaction number (`GNO_END` - 1).
pub const GNO_MAX: u64 = i64::MAX as u64 - 1;

/// A server's `server_uuid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ServerUuid(pub [u8; 16]);

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [[0; 2]; 16];
        for (pair, byte) in digits.iter_mut().zip(self.0) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
        }
        let digits = digits.as_flattened();
        let mut text = [b'-'; 36];
        for (place, from, count) in [(0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12)] {
            text[place..place + count].copy_from_slice(&digits[from..from + count]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// By arithmetic, not by a table: so that the digits of all bytes are made at once.
fn hex_digit(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'a' - 10 + number }
}

impl fmt::Debug for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ServerUuid {
    type Err = InvalidGtid;

    /// With dashes or, as MySQL also reads it, without, and in braces.
    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        let invalid = || InvalidGtid::Uuid(excerpt(text));
        let trimmed = text.trim();
        let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
        let dashed = inner.len() == 36;
        if !dashed && inner.len() != 32 {
            return Err(invalid());
        }
        let mut uuid = [0u8; 16];
        let mut digits = 0;
        for (place, byte) in inner.bytes().enumerate() {
            if dashed && matches!(place, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(invalid());
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(invalid)?;
            let target = uuid.get_mut(digits / 2).ok_or_else(invalid)?;
            *target = *target << 4 | digit;
            digits += 1;
        }
        if digits == 32 { Ok(Self(uuid)) } else { Err(invalid()) }
    }
}

/// A GTID's tag, in lower case. Inline, so that a GTID is copied without an allocation.
#[derive(Clone, Copy)]
pub struct Tag {
    length: u8,
    bytes: [u8; Tag::BYTES_MAX],
}

impl Tag {
    pub const BYTES_MAX: usize = 32;

    /// Tags are case-insensitive; this one is kept in lower case.
    ///
    /// # Errors
    /// [`InvalidGtid::Tag`] unless it is 1 to 32 of `[a-z_][a-z0-9_]*`.
    pub fn new(text: &str) -> Result<Self, InvalidGtid> {
        let invalid = || InvalidGtid::Tag(excerpt(text));
        let mut bytes = [0u8; Self::BYTES_MAX];
        let length = u8::try_from(text.len()).map_err(|_| invalid())?;
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(invalid());
        }
        for (index, (target, byte)) in bytes.iter_mut().zip(text.bytes()).enumerate() {
            let lower = byte.to_ascii_lowercase();
            let fits = lower == b'_' || lower.is_ascii_lowercase() || index > 0 && lower.is_ascii_digit();
            if !fits {
                return Err(invalid());
            }
            *target = lower;
        }
        Ok(Self { length, bytes })
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Tag {}
impl Ord for Tag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Server uuid with tag: what transaction numbers are counted under (MySQL's word).
/// Ordered by uuid, then without a tag first, then by tag: the order in which MySQL prints a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tsid {
    pub uuid: ServerUuid,
    pub tag: Option<Tag>,
}

impl fmt::Display for Tsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            None => self.uuid.fmt(f),
            Some(tag) => {
                self.uuid.fmt(f)?;
                f.write_str(":")?;
                f.write_str(tag.as_str())
            }
        }
    }
}

/// One MySQL transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MysqlGtid {
    pub tsid: Tsid,
    /// From 1.
    pub number: u64,
}

impl fmt::Display for MysqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tsid.fmt(f)?;
        f.write_str(":")?;
        self.number.fmt(f)
    }
}

impl FromStr for MysqlGtid {
    type Err = InvalidGtid;

    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        let invalid = || InvalidGtid::Mysql(excerpt(text));
        let (tsid, number) = text.trim().rsplit_once(':').ok_or_else(invalid)?;
        let (uuid, tag) = match tsid.split_once(':') {
            None => (tsid, None),
            Some((uuid, tag)) => (uuid, Some(Tag::new(tag.trim())?)),
        };
        let number = parse_number(number).ok_or_else(|| InvalidGtid::Interval(excerpt(number)))?;
        Ok(Self { tsid: Tsid { uuid: uuid.parse()?, tag }, number })
    }
}

/// A transaction number: digits only, 1 to [`GNO_MAX`].
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse::<u64>().ok()).flatten()?;
    (1..=GNO_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_goes_both_ways() {
        for (input, expected) in [
            ("3E11FA47-71CA-11E1-9E33-C80AA9429562:23", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23"),
            (" 3e11fa4771ca11e19e33c80aa9429562:1 ", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1"),
            ("{3e11fa47-71ca-11e1-9e33-c80aa9429562}:1", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1"),
            ("3e11fa47-71ca-11e1-9e33-c80aa9429562:Blue_1:7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:blue_1:7"),
        ] {
            assert_eq!(input.parse::<MysqlGtid>().unwrap().to_string(), expected);
            assert_eq!(expected.parse::<MysqlGtid>().unwrap().to_string(), expected);
        }
        for wrong in [
            "",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:0",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:9223372036854775807",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1tag:7",
            "3e11fa47-71ca-11e1-9e33-c80aa942956:1",
            "3e11fa47-71ca-11e1-9e33+c80aa9429562:1",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:t:u:7",
            "\u{fc}e11fa47-71ca-11e1-9e33-c80aa9429562:7",
        ] {
            assert!(wrong.parse::<MysqlGtid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_are_lower_case_and_bounded() {
        assert_eq!(Tag::new("_ABC9").unwrap().as_str(), "_abc9");
        assert_eq!(Tag::new(&"a".repeat(32)).unwrap().as_str().len(), 32);
        for wrong in ["", "9a", "a-b", "a b", "ä", &"a".repeat(33), &"a".repeat(300)] {
            assert!(Tag::new(wrong).is_err(), "{wrong}");
        }
    }
}
