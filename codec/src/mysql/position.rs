//! A place in a server's binlog: file and byte offset. Its one human form is `binlog.000042:1234`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Where a reader stands in one server's history of binlog files. Comparable only within one incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct BinlogPosition {
    pub file: String,
    pub offset: u64,
}

/// Bytes before the first event of a file: its magic number.
pub const FIRST_EVENT_OFFSET: u64 = 4;

impl BinlogPosition {
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self { file: file.into(), offset }
    }

    /// The number in the file's name: 42 for `binlog.000042`; `None` where the name does not end in one.
    pub fn file_number(&self) -> Option<u64> {
        file_number(&self.file)
    }
}

/// See [`BinlogPosition::file_number`]. Names grow past six digits, so they never compare as text.
pub fn file_number(file: &str) -> Option<u64> {
    let (_, digits) = file.rsplit_once('.')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// By the number of the file, then by offset. The whole name only breaks ties, so that order agrees with equality.
impl Ord for BinlogPosition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.file_number()
            .cmp(&other.file_number())
            .then_with(|| self.file.cmp(&other.file))
            .then_with(|| self.offset.cmp(&other.offset))
    }
}

impl PartialOrd for BinlogPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a binlog position; write it as FILE:OFFSET, for example binlog.000042:1234")]
pub struct InvalidPosition(String);

impl FromStr for BinlogPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let invalid = || InvalidPosition(text.to_owned());
        let (file, offset) = text.trim().rsplit_once(':').ok_or_else(invalid)?;
        let is_number = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit());
        if file.is_empty() || !is_number {
            return Err(invalid());
        }
        Ok(Self::new(file, offset.parse().map_err(|_| invalid())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_goes_both_ways() {
        for text in ["binlog.000042:1234", "a:b.1:0", "mysql-bin.1000000:18446744073709551615"] {
            assert_eq!(text.parse::<BinlogPosition>().unwrap().to_string(), text);
        }
        for text in ["", ":4", "binlog.000001", "binlog.000001:", "binlog.000001:+4", "x:99999999999999999999"] {
            assert!(text.parse::<BinlogPosition>().is_err(), "{text}");
        }
    }

    #[test]
    fn order_is_by_number_of_the_file_then_offset() {
        let sorted = ["binlog:9", "binlog.000009:100", "binlog.000010:4", "binlog.999999:5", "binlog.1000000:4"];
        for pair in sorted.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|text| text.parse::<BinlogPosition>().unwrap());
            assert!(a < b, "{a} < {b}");
        }
    }
}
