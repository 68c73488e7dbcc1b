//! QUERY (2): a statement. DDL, BEGIN, COMMIT, ROLLBACK, SAVEPOINT, XA; DML only where the session logs statements.
//!
//! ```text
//! u32  connection id
//! u32  run time (s)
//! u8   length of the database's name
//! u16  error code
//! u16  length of the status variables
//! n    status variables: u8 code, value
//! n    database, a zero byte
//! rest statement
//! ```
//! MariaDB's QUERY_COMPRESSED (165) is the same with a compressed statement ([`compression`](crate::mysql::compression)).

use std::borrow::Cow;

use super::EventType;
use crate::mysql::compression;
use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

/// What a reader needs of a statement's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryEvent<'a> {
    pub connection_id: u32,
    pub run_time_s: u32,
    /// Of the server; 0 for a statement that succeeded.
    pub error_code: u16,
    /// The session's default database; empty without one.
    pub database: Cow<'a, str>,
    /// In the session's character set, see `client_collation`.
    statement: &'a [u8],
    compressed: bool,
    /// Bits of `sql_mode`, where the event has them.
    pub sql_mode: Option<u64>,
    /// Number of the session's `character_set_client` as a collation.
    pub client_collation: Option<u16>,
    pub connection_collation: Option<u16>,
    pub server_collation: Option<u16>,
    /// `collation_database`, only where it is another than the default database's own.
    pub database_collation: Option<u16>,
    /// Number of the transaction that an atomic DDL is (8.0+, MariaDB 10.6+).
    pub ddl_xid: Option<u64>,
    /// Microseconds of the header's timestamp.
    pub microseconds: Option<u32>,
}

/// Codes of status variables. MySQL's, then MariaDB's own from 128 on.
mod status {
    pub const FLAGS2: u8 = 0;
    pub const SQL_MODE: u8 = 1;
    pub const CATALOG: u8 = 2;
    pub const AUTO_INCREMENT: u8 = 3;
    pub const CHARSET: u8 = 4;
    pub const TIME_ZONE: u8 = 5;
    pub const CATALOG_NZ: u8 = 6;
    pub const LC_TIME_NAMES: u8 = 7;
    pub const CHARSET_DATABASE: u8 = 8;
    pub const TABLE_MAP_FOR_UPDATE: u8 = 9;
    pub const MASTER_DATA_WRITTEN: u8 = 10;
    pub const INVOKER: u8 = 11;
    pub const UPDATED_DB_NAMES: u8 = 12;
    pub const MICROSECONDS: u8 = 13;
    pub const COMMIT_TS: u8 = 14;
    pub const COMMIT_TS2: u8 = 15;
    pub const EXPLICIT_DEFAULTS_FOR_TIMESTAMP: u8 = 16;
    pub const DDL_LOGGED_WITH_XID: u8 = 17;
    pub const DEFAULT_COLLATION_FOR_UTF8MB4: u8 = 18;
    pub const SQL_REQUIRE_PRIMARY_KEY: u8 = 19;
    pub const DEFAULT_TABLE_ENCRYPTION: u8 = 20;
    pub const MARIADB_MICROSECONDS: u8 = 128;
    pub const MARIADB_XID: u8 = 129;
    pub const MARIADB_GTID_FLAGS3: u8 = 130;
    pub const MARIADB_CHARACTER_SET_COLLATIONS: u8 = 131;
}

/// Before the status variables.
const HEAD_BYTES: usize = 4 + 4 + 1 + 2 + 2;

/// In UPDATED_DB_NAMES: too many databases to be listed.
const DATABASES_OVER_MAX: u8 = 254;

impl<'a> QueryEvent<'a> {
    /// A QUERY whose statement is BEGIN: what nearly every transaction has, told without reading the rest of it. False
    /// too where the body is damaged, or not in this form.
    pub fn begins(type_code: u8, body: &[u8]) -> bool {
        if type_code != EventType::QUERY {
            return false;
        }
        let Some(&[.., database_bytes, _, _, s0, s1]) = body.first_chunk::<HEAD_BYTES>() else { return false };
        let behind_names = HEAD_BYTES + usize::from(u16::from_le_bytes([s0, s1])) + usize::from(database_bytes);
        // The zero byte behind the database's name, and the statement: MySQL and MariaDB write it exactly so.
        body.get(behind_names..).is_some_and(|rest| rest == b"\0BEGIN")
    }

    /// `type_code`: QUERY or QUERY_COMPRESSED.
    pub fn parse(type_code: u8, body: &'a [u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("QUERY", body);
        let connection_id = reader.u32("connection id")?;
        let run_time_s = reader.u32("run time")?;
        let database_bytes = reader.u8("database length")?;
        let error_code = reader.u16("error code")?;
        let status_bytes = reader.u16("status variables length")?;
        let status_variables = reader.bytes("status variables", usize::from(status_bytes))?;
        let database = String::from_utf8_lossy(reader.bytes("database", usize::from(database_bytes))?);
        if reader.u8("zero byte")? != 0 {
            return Err(reader.invalid("zero byte", "the database's name does not end where its length says"));
        }
        let mut event = Self {
            connection_id,
            run_time_s,
            error_code,
            database,
            statement: reader.rest(),
            compressed: type_code == EventType::QUERY_COMPRESSED,
            sql_mode: None,
            client_collation: None,
            connection_collation: None,
            server_collation: None,
            database_collation: None,
            ddl_xid: None,
            microseconds: None,
        };
        // A variable that is unknown or cut ends the walk: all that matters here has low codes and comes first.
        let mut variables = Reader::new("QUERY status variables", status_variables);
        while let Ok(code) = variables.u8("code") {
            if event.status_variable(code, &mut variables).is_err() {
                break;
            }
        }
        Ok(event)
    }

    fn status_variable(&mut self, code: u8, reader: &mut Reader<'_>) -> Result<(), EventError> {
        use status::*;
        match code {
            FLAGS2 | MASTER_DATA_WRITTEN | AUTO_INCREMENT => drop(reader.u32("value")?),
            SQL_MODE => self.sql_mode = Some(reader.u64("sql_mode")?),
            CATALOG => {
                reader.u8_bytes("catalog")?;
                reader.u8("zero byte")?;
            }
            CHARSET => {
                self.client_collation = Some(reader.u16("client collation")?);
                self.connection_collation = Some(reader.u16("connection collation")?);
                self.server_collation = Some(reader.u16("server collation")?);
            }
            TIME_ZONE | CATALOG_NZ => drop(reader.u8_bytes("name")?),
            CHARSET_DATABASE => self.database_collation = Some(reader.u16("database collation")?),
            LC_TIME_NAMES | DEFAULT_COLLATION_FOR_UTF8MB4 | MARIADB_GTID_FLAGS3 => {
                reader.u16("value")?;
            }
            TABLE_MAP_FOR_UPDATE | COMMIT_TS | COMMIT_TS2 => drop(reader.u64("value")?),
            INVOKER => {
                reader.u8_bytes("user")?;
                reader.u8_bytes("host")?;
            }
            UPDATED_DB_NAMES => {
                let count = reader.u8("count")?;
                for _ in 0..if count == DATABASES_OVER_MAX { 0 } else { count } {
                    reader.until_nul("database")?;
                }
            }
            MICROSECONDS | MARIADB_MICROSECONDS => {
                self.microseconds = u32::try_from(reader.uint("microseconds", 3)?).ok();
            }
            EXPLICIT_DEFAULTS_FOR_TIMESTAMP | SQL_REQUIRE_PRIMARY_KEY | DEFAULT_TABLE_ENCRYPTION => {
                reader.u8("value")?;
            }
            DDL_LOGGED_WITH_XID | MARIADB_XID => self.ddl_xid = Some(reader.u64("xid")?),
            MARIADB_CHARACTER_SET_COLLATIONS => {
                let count = reader.u8("count")?;
                reader.bytes("collations", usize::from(count) * 4)?;
            }
            _ => return Err(reader.invalid("code", code.to_string())),
        }
        Ok(())
    }

    /// The statement's bytes, decompressed where it is compressed.
    ///
    /// # Errors
    /// [`EventError::Decompression`], [`EventError::TooLarge`].
    pub fn statement(&self, bytes_max: usize) -> Result<Cow<'a, [u8]>, EventError> {
        if !self.compressed {
            return Ok(Cow::Borrowed(self.statement));
        }
        let mut out = Vec::new();
        compression::decompress("QUERY_COMPRESSED", self.statement, &mut out, bytes_max)?;
        Ok(Cow::Owned(out))
    }

    /// The name of the statement's character set, where it is told and known.
    pub fn charset(&self) -> Option<&'static str> {
        self.client_collation.and_then(named)
    }

    /// The character set of `collation_server`, which a new database has by default.
    pub fn server_charset(&self) -> Option<&'static str> {
        self.server_collation.and_then(named)
    }

    /// The character set of `collation_database`, where the session set it to another than its database's.
    pub fn database_charset(&self) -> Option<&'static str> {
        self.database_collation.and_then(named)
    }
}

fn named(collation: u16) -> Option<&'static str> {
    crate::mysql::collation::charset_name(u64::from(collation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(status: &[u8], database: &str, statement: &[u8]) -> Vec<u8> {
        let mut body = 11u32.to_le_bytes().to_vec();
        body.extend(1u32.to_le_bytes());
        body.push(u8::try_from(database.len()).unwrap());
        body.extend(0u16.to_le_bytes());
        body.extend(u16::try_from(status.len()).unwrap().to_le_bytes());
        body.extend(status);
        body.extend(database.as_bytes());
        body.push(0);
        body.extend(statement);
        body
    }

    #[test]
    fn every_status_variable_is_walked_over() {
        // All of them with their lengths, each followed by sql_mode, which must be found behind it.
        let variables: [&[u8]; 22] = [
            b"\x00abcd",
            b"\x02\x03std\0",
            b"\x03abcd",
            b"\x04\x2d\0\x2d\0\xff\0",
            b"\x05\x03UTC",
            b"\x06\x03std",
            b"\x07\x01\0",
            b"\x08\x01\0",
            b"\x09abcdefgh",
            b"\x0aabcd",
            b"\x0b\x04root\x09localhost",
            b"\x0c\x02one\0two\0",
            b"\x0c\xfe",
            b"\x0d\x01\x02\x03",
            b"\x10\x01",
            b"\x11abcdefgh",
            b"\x12\x2d\0",
            b"\x13\0",
            b"\x80\x01\x02\x03",
            b"\x81abcdefgh",
            b"\x82\x01\x02",
            b"\x83\x02abcdefgh",
        ];
        for variable in variables {
            let status = [variable, b"\x01\x04\0\0\0\0\0\0\0"].concat();
            let bytes = body(&status, "shop", b"SELECT 1");
            let event = QueryEvent::parse(EventType::QUERY, &bytes).unwrap();
            assert_eq!(event.sql_mode, Some(4), "{variable:02x?}");
            assert_eq!(event.database, "shop");
            assert_eq!(&*event.statement(100).unwrap(), b"SELECT 1");
        }
        let status = variables.concat();
        let bytes = body(&status, "", b"BEGIN");
        let event = QueryEvent::parse(EventType::QUERY, &bytes).unwrap();
        assert_eq!(event.charset(), Some("utf8mb4"));
        assert_eq!((event.server_charset(), event.database_charset()), (Some("utf8mb4"), Some("big5")));
        assert_eq!(event.microseconds, Some(0x030201));
    }

    #[test]
    fn begin_is_told_without_reading_the_rest() {
        let begins = |bytes: &[u8]| QueryEvent::begins(EventType::QUERY, bytes);
        assert!(begins(&body(b"", "", b"BEGIN")) && begins(&body(b"\x10\x01", "shop", b"BEGIN")));
        let bytes = body(b"\x10\x01", "shop", b"BEGIN");
        for length in 0..bytes.len() {
            assert!(!begins(&bytes[..length]));
        }
        let mut damaged = bytes.clone();
        damaged[13 + 2 + 4] = 7;
        assert!(!begins(&damaged), "the name does not end where its length says");
        assert!(!begins(&body(b"", "", b"BEGINS")) && !begins(&body(b"", "", b"begin")));
        assert!(!QueryEvent::begins(EventType::QUERY_COMPRESSED, &bytes));
    }

    #[test]
    fn an_unknown_status_variable_ends_the_walk_only() {
        let bytes = body(b"\x01\x04\0\0\0\0\0\0\0\x63abc\x04", "db", b"x");
        let event = QueryEvent::parse(EventType::QUERY, &bytes).unwrap();
        assert_eq!((event.sql_mode, event.client_collation), (Some(4), None));
    }

    #[test]
    fn lengths_that_do_not_fit_are_errors() {
        let bytes = body(b"\x01\x04\0\0\0\0\0\0\0", "db", b"x");
        for length in 0..bytes.len() - 1 {
            assert!(QueryEvent::parse(EventType::QUERY, &bytes[..length]).is_err(), "{length}");
        }
        let mut shifted = bytes.clone();
        shifted[8] = 1;
        assert!(QueryEvent::parse(EventType::QUERY, &shifted).is_err());
    }
}
