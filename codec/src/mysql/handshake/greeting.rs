//! The server's first packet.
//!
//! ```text
//! u8   protocol (10)
//! n    version, a zero byte
//! u32  connection id
//! 8    scramble, first part; a zero byte
//! u16  capabilities, low half
//! u8   collation, u16 status, u16 capabilities, high half
//! u8   length of the scramble with a zero byte
//! 10   zero   (MariaDB: 6 zero, u32 its own capabilities)
//! n    scramble, second part: at least 13 bytes, the last one zero
//! n    plugin, a zero byte
//! ```

use super::LoginError;
use crate::mysql::reader::Reader;
use crate::mysql::resultset::ServerError;
use crate::mysql::server::ServerKind;

/// Bits of the handshake that matter here.
pub struct Capabilities;

impl Capabilities {
    pub const LONG_PASSWORD: u32 = 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const CONNECT_WITH_DATABASE: u32 = 1 << 3;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const TLS: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRIBUTES: u32 = 1 << 20;
}

/// Random bytes that the password is hashed with.
pub const SCRAMBLE_BYTES: usize = 20;
const FIRST_PART_BYTES: usize = 8;
/// MariaDB puts this before its version, for replicas of old.
const MARIADB_PREFIX: &str = "5.5.5-";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Without MariaDB's prefix `5.5.5-`.
    pub server_version: String,
    pub connection_id: u32,
    pub scramble: [u8; SCRAMBLE_BYTES],
    /// See [`Capabilities`].
    pub capabilities: u32,
    pub collation: u8,
    pub status: u16,
    pub auth_plugin: String,
}

impl Greeting {
    /// # Errors
    /// [`LoginError::Server`] when the server refuses at once (too many connections, blocked host);
    /// [`LoginError::Protocol`], [`LoginError::Malformed`].
    pub fn parse(payload: &[u8]) -> Result<Self, LoginError> {
        if let Some(error) = ServerError::parse(payload) {
            return Err(error.into());
        }
        let mut reader = Reader::new("greeting", payload);
        let protocol = reader.u8("protocol")?;
        if protocol != 10 {
            return Err(LoginError::Protocol(protocol));
        }
        let version = String::from_utf8_lossy(reader.until_nul("server version")?);
        let server_version = version.strip_prefix(MARIADB_PREFIX).unwrap_or(&version).to_owned();
        let connection_id = reader.u32("connection id")?;
        let first: [u8; FIRST_PART_BYTES] = reader.array("scramble")?;
        reader.u8("zero byte")?;
        let low = reader.u16("capabilities")?;
        let collation = reader.u8("collation")?;
        let status = reader.u16("status")?;
        let high = reader.u16("capabilities")?;
        let capabilities = u32::from(high) << 16 | u32::from(low);
        let needed = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
        if capabilities & needed != needed {
            return Err(reader.invalid("capabilities", format!("{capabilities:#x}: a server from before 4.1")).into());
        }
        reader.u8("scramble length")?;
        reader.bytes("reserved", 10)?;
        let second: [u8; SCRAMBLE_BYTES - FIRST_PART_BYTES] = reader.array("scramble")?;
        let mut scramble = [0; SCRAMBLE_BYTES];
        for (target, byte) in scramble.iter_mut().zip(first.iter().chain(&second)) {
            *target = *byte;
        }
        let mut auth_plugin = "mysql_native_password".to_owned();
        if capabilities & Capabilities::PLUGIN_AUTH != 0 {
            reader.u8("zero byte")?;
            // Some old servers leave out the last zero byte.
            let name = reader.rest();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            auth_plugin = String::from_utf8_lossy(name).into_owned();
        }
        Ok(Self { server_version, connection_id, scramble, capabilities, collation, status, auth_plugin })
    }

    pub fn server_kind(&self) -> ServerKind {
        ServerKind::of_version(&self.server_version)
    }

    pub fn offers_tls(&self) -> bool {
        self.capabilities & Capabilities::TLS != 0
    }

    /// (major, minor, patch); 0 for what cannot be read.
    pub fn version(&self) -> (u32, u32, u32) {
        let mut numbers = self.server_version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn payload(version: &str, plugin: &str, capabilities: u32) -> Vec<u8> {
        let mut out = vec![10];
        out.extend(version.as_bytes());
        out.push(0);
        out.extend(77u32.to_le_bytes());
        out.extend(b"abcdefgh\0");
        out.extend((capabilities as u16).to_le_bytes());
        out.push(255);
        out.extend(2u16.to_le_bytes());
        out.extend(((capabilities >> 16) as u16).to_le_bytes());
        out.push(21);
        out.extend([0; 10]);
        out.extend(b"ijklmnopqrst\0");
        out.extend(plugin.as_bytes());
        out.push(0);
        out
    }

    pub const CAPABILITIES: u32 =
        Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH | Capabilities::TLS;

    #[test]
    fn reads_both_kinds_of_servers() {
        let greeting = Greeting::parse(&payload("9.7.4", "caching_sha2_password", CAPABILITIES)).unwrap();
        assert_eq!(greeting.version(), (9, 7, 4));
        assert_eq!(&greeting.scramble, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.auth_plugin, "caching_sha2_password");
        assert!(greeting.offers_tls() && greeting.server_kind() == ServerKind::Mysql);
        let maria = payload("5.5.5-10.11.18-MariaDB-deb12-log", "mysql_native_password", CAPABILITIES);
        let greeting = Greeting::parse(&maria).unwrap();
        assert_eq!(greeting.version(), (10, 11, 18));
        assert!(greeting.server_kind() == ServerKind::Mariadb);
    }

    #[test]
    fn what_is_no_greeting_is_an_error() {
        let bytes = payload("9.7.4", "caching_sha2_password", CAPABILITIES);
        let shortest = bytes.len() - "caching_sha2_password\0".len();
        for length in 0..shortest {
            assert!(Greeting::parse(&bytes[..length]).is_err(), "{length}");
        }
        assert!(matches!(Greeting::parse(b"\xff\x10\x04Too many connections"), Err(LoginError::Server(_))));
        assert!(matches!(Greeting::parse(b"\x09x\0"), Err(LoginError::Protocol(9))));
        assert!(Greeting::parse(b"HTTP/1.1 400 Bad Request").is_err());
        assert!(Greeting::parse(&payload("4.0.1", "", 0)).is_err());
    }
}
