//! The text of a cursor file, version 1. For people too: one JSON object a line.
//!
//! ```text
//! millstream-cursors 1
//! 5f1c0a3b {"destination":"orders","epoch":7,"generation":42,"cursors":1}
//! 8d1f00aa {"subscription":"billing","incarnation":"4f6a..","file":"binlog.000042","offset":1234,
//!           "gtids":{"mysql":"4f6a..:1-77"},"open_xa":[]}                         (one line in the file)
//! end 9b2e4410
//! ```
//!
//! Each line begins with the CRC-32 of its own JSON text, in hexadecimal; the last one has that of all bytes before
//! it. So damage is told with its line, and a file that was cut short is never taken for a short one.

use std::sync::Arc;

use millstream_codec::mysql::gtid::{ExecutedGtids, GtidSet, MariadbGtidState};
use millstream_core::bridge::Cursor;
use millstream_core::position::{OpenXa, Position};
use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 1;
const MAGIC: &str = "millstream-cursors";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorFile {
    pub epoch: u64,
    /// One more with each write.
    pub generation: u64,
    pub cursors: Vec<Cursor>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum FormatError {
    Version(u32),
    Corrupt { line: usize, reason: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    destination: String,
    epoch: u64,
    generation: u64,
    cursors: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorLine {
    subscription: String,
    incarnation: String,
    file: String,
    offset: u64,
    gtids: GtidsText,
    open_xa: Vec<OpenXaText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GtidsText {
    None,
    Mysql(String),
    Mariadb(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenXaText {
    xid: String,
    gtid: String,
    file: String,
    offset: u64,
}

pub fn write(destination: &str, file: &CursorFile) -> Vec<u8> {
    let mut text = format!("{MAGIC} {VERSION}\n");
    let header = HeaderLine {
        destination: destination.to_owned(),
        epoch: file.epoch,
        generation: file.generation,
        cursors: file.cursors.len(),
    };
    push_line(&mut text, &header);
    for cursor in &file.cursors {
        push_line(&mut text, &CursorLine::of(cursor));
    }
    let crc = crc32fast::hash(text.as_bytes());
    text += &format!("end {crc:08x}\n");
    text.into_bytes()
}

fn push_line(text: &mut String, line: &impl Serialize) {
    // Strings and numbers in structs: there is nothing in them that JSON could refuse.
    let json = simd_json::to_string(line).expect("plain structs can be written as JSON");
    *text += &format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
}

/// # Errors
/// Another version, or anything that is not exactly as it was written.
pub fn read(destination: &str, contents: &[u8]) -> Result<CursorFile, FormatError> {
    let corrupt = |line, reason: &str| FormatError::Corrupt { line, reason: reason.to_owned() };
    let text = std::str::from_utf8(contents).map_err(|error| {
        let line = contents.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        corrupt(line, "is not text")
    })?;
    let mut lines = text.split_inclusive('\n').enumerate().map(|(index, line)| (index + 1, line));

    let (_, first) = lines.next().ok_or_else(|| corrupt(1, "the file is empty"))?;
    let version = first.trim_end_matches('\n').strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
    match version.and_then(|version| version.parse().ok()) {
        None => return Err(corrupt(1, "this is not a cursor file")),
        Some(VERSION) => {}
        Some(other) => return Err(FormatError::Version(other)),
    }
    let (line, header) = lines.next().ok_or_else(|| corrupt(2, "the file ends here"))?;
    let header: HeaderLine = parse_line(line, header)?;
    if header.destination != destination {
        return Err(corrupt(line, &format!("this is the file of destination '{}'", header.destination)));
    }
    let mut cursors = Vec::new();
    let name: Arc<str> = destination.into();
    for _ in 0..header.cursors {
        let (line, text) = lines.next().ok_or_else(|| corrupt(cursors.len() + 3, "the file ends here"))?;
        let parsed: CursorLine = parse_line(line, text)?;
        cursors.push(parsed.into_cursor(&name).map_err(|reason| FormatError::Corrupt { line, reason })?);
    }
    let (line, end) = lines.next().ok_or_else(|| corrupt(cursors.len() + 3, "the end line is missing"))?;
    let before_end = text.len() - end.len() - lines.map(|(_, line)| line.len()).sum::<usize>();
    let crc = text.as_bytes().get(..before_end).map(crc32fast::hash);
    let expected = crc.map(|crc| format!("end {crc:08x}\n"));
    // The whole rest must be the end line, so that nothing can stand behind it.
    if text.get(before_end..) != expected.as_deref() {
        return Err(corrupt(line, "the file's checksum is wrong"));
    }
    Ok(CursorFile { epoch: header.epoch, generation: header.generation, cursors })
}

fn parse_line<T: for<'de> Deserialize<'de>>(line: usize, text: &str) -> Result<T, FormatError> {
    let corrupt = |reason: &str| FormatError::Corrupt { line, reason: reason.to_owned() };
    let text = text.strip_suffix('\n').ok_or_else(|| corrupt("the line is cut short"))?;
    let (crc, json) = text.split_once(' ').ok_or_else(|| corrupt("the line has no checksum"))?;
    if format!("{:08x}", crc32fast::hash(json.as_bytes())) != crc {
        return Err(corrupt("the line's checksum is wrong"));
    }
    simd_json::from_slice(&mut json.as_bytes().to_vec()).map_err(|error| corrupt(&format!("not understood: {error}")))
}

impl CursorLine {
    fn of(cursor: &Cursor) -> Self {
        let position = &cursor.position;
        CursorLine {
            subscription: cursor.subscription.to_string(),
            incarnation: position.incarnation.to_string(),
            file: position.file.to_string(),
            offset: position.offset,
            gtids: match &position.gtids {
                ExecutedGtids::None => GtidsText::None,
                ExecutedGtids::Mysql(set) => GtidsText::Mysql(set.to_string()),
                ExecutedGtids::Mariadb(state) => GtidsText::Mariadb(state.to_string()),
            },
            open_xa: position.open_xa.iter().map(OpenXaText::of).collect(),
        }
    }

    fn into_cursor(self, destination: &Arc<str>) -> Result<Cursor, String> {
        let gtids = match self.gtids {
            GtidsText::None => ExecutedGtids::None,
            GtidsText::Mysql(text) => ExecutedGtids::Mysql(text.parse::<GtidSet>().map_err(|error| error.to_string())?),
            GtidsText::Mariadb(text) => {
                ExecutedGtids::Mariadb(text.parse::<MariadbGtidState>().map_err(|error| error.to_string())?)
            }
        };
        let position = Position {
            incarnation: self.incarnation.into(),
            file: self.file.into(),
            offset: self.offset,
            gtids,
            open_xa: self.open_xa.into_iter().map(OpenXaText::into_open_xa).collect(),
        };
        Ok(Cursor {
            destination: destination.clone(),
            subscription: self.subscription.into(),
            position: Arc::new(position),
        })
    }
}

impl OpenXaText {
    fn of(xa: &OpenXa) -> Self {
        OpenXaText { xid: xa.xid.clone(), gtid: xa.gtid.clone(), file: xa.file.to_string(), offset: xa.offset }
    }

    fn into_open_xa(self) -> OpenXa {
        OpenXa { xid: self.xid, gtid: self.gtid, file: self.file.into(), offset: self.offset }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn cursor(subscription: &str, offset: u64, gtids: ExecutedGtids) -> Cursor {
        let position = Position {
            incarnation: "4f6a1b2c-0000-11ee-8000-0242ac110002".into(),
            file: "binlog.000042".into(),
            offset,
            gtids,
            open_xa: Arc::new([]),
        };
        Cursor { destination: "orders".into(), subscription: subscription.into(), position: Arc::new(position) }
    }

    fn sample() -> CursorFile {
        let mysql = "4f6a1b2c-0000-11ee-8000-0242ac110002:1-77";
        let with_xa = Position {
            open_xa: [1, 2]
                .map(|n| OpenXa {
                    xid: format!("X'0{n}',X'',1"),
                    gtid: String::new(),
                    file: "binlog.000041".into(),
                    offset: n,
                })
                .into(),
            ..Position::clone(&cursor("", u64::MAX, ExecutedGtids::None).position)
        };
        CursorFile {
            epoch: 7,
            generation: 42,
            cursors: vec![
                cursor("billing", 1234, ExecutedGtids::Mysql(mysql.parse().unwrap())),
                cursor("odd \"name\"\nwith lines, 日本", 4, ExecutedGtids::Mariadb("0-1-100,1-1-7".parse().unwrap())),
                Cursor { position: Arc::new(with_xa), ..cursor("xa", 0, ExecutedGtids::None) },
            ],
        }
    }

    #[test]
    fn every_part_of_a_position_comes_back() {
        let file = sample();
        assert_eq!(read("orders", &write("orders", &file)), Ok(file));
        let none = CursorFile { epoch: 0, generation: 1, cursors: Vec::new() };
        assert_eq!(read("orders", &write("orders", &none)), Ok(none));
    }

    #[test]
    fn every_cut_is_noticed() {
        let written = write("orders", &sample());
        for length in 0..written.len() {
            let read = read("orders", &written[..length]);
            assert!(
                matches!(read, Err(FormatError::Corrupt { .. } | FormatError::Version(_))),
                "cut at {length}: {read:?}"
            );
        }
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let written = write("orders", &sample());
        for index in 0..written.len() {
            let mut damaged = written.clone();
            damaged[index] ^= 1;
            assert!(read("orders", &damaged).is_err(), "byte {index}");
        }
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let text = String::from_utf8(write("orders", &sample())).unwrap();
        let check = |damaged: String, expected_line: usize, expected: &str| match read("orders", damaged.as_bytes()) {
            Err(FormatError::Corrupt { line, reason }) => {
                assert_eq!(line, expected_line, "{reason}");
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        };
        check(text.replace("\"offset\":1234", "\"offset\":9234"), 3, "the line's checksum is wrong");
        check(text.replace("\"epoch\":7", "\"epoch\":8"), 2, "the line's checksum is wrong");
        let without_third: String =
            text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != 3).map(|(_, line)| line).collect();
        check(without_third, 5, "checksum");
        check(text.clone() + "more\n", 6, "checksum is wrong");
        check(String::new(), 1, "empty");
        check("{\"clientDatas\":[]}".to_owned(), 1, "not a cursor file");
        assert!(matches!(read("other", text.as_bytes()), Err(FormatError::Corrupt { line: 2, .. })));
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let text = String::from_utf8(write("orders", &sample())).unwrap();
        let newer = text.replacen("millstream-cursors 1", "millstream-cursors 2", 1);
        assert_eq!(read("orders", newer.as_bytes()), Err(FormatError::Version(2)));
    }
}
