//! FORMAT_DESCRIPTION (15): how the events that follow are written. First in every file, and in every dump stream.
//!
//! ```text
//! u16  binlog version (4)
//! 50   server version, zero padded
//! u32  creation time (s); 0 unless the server has just started
//! u8   length of the common header (19)
//! n    u8 length of the post-header, one for each type from 1 on
//! u8   checksum algorithm         (MySQL 5.6.1+, MariaDB 5.3+)
//! u32  checksum, always there with the algorithm, whatever that is
//! ```

use super::{EventFlags, EventHeader, EventType, HEADER_BYTES};
use crate::mysql::checksum::{CHECKSUM_BYTES, Checksum};
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;
use crate::mysql::server::ServerKind;

const WHAT: &str = "FORMAT_DESCRIPTION";
const SERVER_VERSION_BYTES: usize = 50;
/// Offset of the header's flags.
const FLAGS_OFFSET: usize = 17;

/// What follows a FORMAT_DESCRIPTION is read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    pub server_version: String,
    /// Seconds since 1970, 0 unless this is the first file since the server started.
    pub created: u32,
    /// Of the events behind this one.
    pub checksum: Checksum,
}

impl FormatDescription {
    /// Reads the whole event and checks its own checksum, over the bytes with the in-use flag cleared, as the
    /// server does (it sets and clears that flag in place).
    ///
    /// # Errors
    /// [`EventError`]; among them [`EventError::PostHeader`] when a type that is read here has another layout.
    pub fn parse(event: &[u8]) -> Result<Self, EventError> {
        let header = EventHeader::parse(event)?;
        if header.size as usize != event.len() {
            return Err(EventError::Size { type_code: header.type_code, stated: header.size, found: event.len() });
        }
        if header.type_code != EventType::FORMAT_DESCRIPTION {
            let name = EventType::name(header.type_code);
            return Err(Reader::new(WHAT, event).invalid("type", format!("{name} ({})", header.type_code)));
        }
        let body = event.get(HEADER_BYTES..).unwrap_or_default();
        let format = Self::parse_body(body)?;
        if format.checksum == Checksum::Crc32 {
            format.verify(event, &header)?;
        }
        Ok(format)
    }

    fn verify(&self, event: &[u8], header: &EventHeader) -> Result<(), EventError> {
        let Some((covered, stored)) = event.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(Reader::new(WHAT, event).truncated("checksum", CHECKSUM_BYTES as u64));
        };
        let (before, after) = covered.split_at_checked(FLAGS_OFFSET).unwrap_or((covered, &[]));
        let mut crc = crc32fast::Hasher::new();
        crc.update(before);
        crc.update(&(header.flags & !EventFlags::BINLOG_IN_USE).to_le_bytes());
        crc.update(after.get(2..).unwrap_or_default());
        let (stored, computed) = (u32::from_le_bytes(*stored), crc.finalize());
        if stored == computed {
            Ok(())
        } else {
            Err(EventError::Checksum { type_code: header.type_code, stored, computed })
        }
    }

    /// Reads all behind the header, with the checksum at its end (which is not checked here).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_body(body: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new(WHAT, body);
        let binlog_version = reader.u16("binlog version")?;
        if binlog_version != 4 {
            let reason = format!("binlog version {binlog_version}, only 4 is read (MySQL 5.0 and later)");
            return Err(EventError::TooOld { what: WHAT, reason });
        }
        let padded = reader.bytes("server version", SERVER_VERSION_BYTES)?;
        let version = padded.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(version).into_owned();
        let created = reader.u32("creation time")?;
        let header_bytes = reader.u8("header length")?;
        if usize::from(header_bytes) != HEADER_BYTES {
            let reason = format!("server {server_version} writes headers of {header_bytes} bytes, only 19 are read");
            return Err(EventError::TooOld { what: WHAT, reason });
        }
        let mut post_headers = reader.rest();
        let mut checksum = Checksum::None;
        if has_checksum(&server_version) {
            let footer = CHECKSUM_BYTES + 1;
            let lengths = post_headers.len().checked_sub(footer).and_then(|at| post_headers.split_at_checked(at));
            let Some((lengths, [code, ..])) = lengths else {
                return Err(reader.truncated("checksum algorithm", footer as u64));
            };
            checksum = Checksum::from_code(*code).ok_or_else(|| {
                reader.invalid("checksum algorithm", format!("{code}; 0 (none) and 1 (CRC32) are known"))
            })?;
            post_headers = lengths;
        }
        check_post_headers(&server_version, post_headers)?;
        Ok(Self { server_version, created, checksum })
    }

    pub fn server_kind(&self) -> ServerKind {
        ServerKind::of_version(&self.server_version)
    }
}

/// Since MySQL 5.6.1; MariaDB's 5.3 took it over, with versions that begin with 5.3, 5.5 or 10 and up.
fn has_checksum(server_version: &str) -> bool {
    let mut numbers =
        server_version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().unwrap_or(0));
    let version = [0; 3].map(|_: u32| numbers.next().unwrap_or(0));
    let since = match ServerKind::of_version(server_version) {
        ServerKind::Mariadb => [5, 3, 0],
        ServerKind::Mysql => [5, 6, 1],
    };
    version >= since
}

/// The fixed parts that the parsers here are written for. A server that writes others must not be misread.
fn check_post_headers(server_version: &str, lengths: &[u8]) -> Result<(), EventError> {
    use EventType as T;
    for (type_code, known) in [
        (T::QUERY, 13),
        (T::ROTATE, 8),
        (T::TABLE_MAP, 8),
        (T::WRITE_ROWS_V1, 8),
        (T::UPDATE_ROWS_V1, 8),
        (T::DELETE_ROWS_V1, 8),
        (T::WRITE_ROWS, 10),
        (T::UPDATE_ROWS, 10),
        (T::DELETE_ROWS, 10),
        (T::PARTIAL_UPDATE_ROWS, 10),
        (T::MARIADB_GTID, 19),
        (T::MARIADB_GTID_LIST, 4),
    ] {
        let found = lengths.get(usize::from(type_code) - 1).copied();
        if let Some(found) = found.filter(|found| *found != known && *found != 0) {
            return Err(EventError::PostHeader { server_version: server_version.to_owned(), type_code, found, known });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_came_with_these_versions() {
        for (version, expected) in [
            ("5.5.62-log", false),
            ("5.6.0-m1", false),
            ("5.6.1", true),
            ("5.6.24-log", true),
            ("9.7.4", true),
            ("5.2.14-MariaDB", false),
            ("5.3.0-MariaDB", true),
            ("10.5.23-MariaDB-1-log", true),
            ("11.8.6-MariaDB", true),
            ("", false),
        ] {
            assert_eq!(has_checksum(version), expected, "{version}");
        }
    }

    fn format_event(version: &str, algorithm: u8) -> Vec<u8> {
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut padded = version.as_bytes().to_vec();
        padded.resize(SERVER_VERSION_BYTES, 0);
        body.extend(padded);
        body.extend(1_600_000_000u32.to_le_bytes());
        body.push(19);
        body.extend([0, 13, 0, 8]);
        body.push(algorithm);
        super::super::tests::event(EventType::FORMAT_DESCRIPTION, &body, Checksum::Crc32)
    }

    #[test]
    fn the_in_use_flag_is_outside_the_checksum() {
        let mut bytes = format_event("9.7.4", 1);
        let expected =
            FormatDescription { server_version: "9.7.4".into(), created: 1_600_000_000, checksum: Checksum::Crc32 };
        assert_eq!(FormatDescription::parse(&bytes).unwrap(), expected);
        bytes[FLAGS_OFFSET] |= 1;
        assert_eq!(FormatDescription::parse(&bytes).unwrap(), expected);
        bytes[FLAGS_OFFSET] |= 4;
        assert!(matches!(FormatDescription::parse(&bytes), Err(EventError::Checksum { .. })));
    }

    #[test]
    fn events_behind_it_may_have_no_checksum() {
        assert_eq!(FormatDescription::parse(&format_event("9.7.4", 0)).unwrap().checksum, Checksum::None);
        assert_eq!(FormatDescription::parse(&format_event("5.5.62-log", 0)).unwrap().checksum, Checksum::None);
    }

    #[test]
    fn other_layouts_are_refused_by_name() {
        let check = |bytes: &[u8], expected: &str| {
            let error = FormatDescription::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&format_event("9.7.4", 7), "checksum algorithm");
        let mut version = format_event("9.7.4", 0);
        version[HEADER_BYTES] = 3;
        check(&version, "binlog version");
        let mut header = format_event("5.1.63-google", 0);
        header[HEADER_BYTES + 2 + SERVER_VERSION_BYTES + 4] = 27;
        check(&header, "27 bytes");
        let mut post_header = format_event("9.7.4", 0);
        let at = post_header.len() - 4 - 1 - 3;
        post_header[at] = 11;
        check(&post_header, "type 2");
    }
}
