//! From the server's greeting to its OK: capabilities, TLS, authentication.
//!
//! Plugins: mysql_native_password, caching_sha2_password (fast, full over TLS, full by the server's RSA key),
//! sha256_password, client_ed25519, and mysql_clear_password over TLS only. Their arithmetic is `mysql_common`'s.
//!
//! A sans-IO machine over whole packets: no header, no sequence number.

use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::reader::Reader;
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::packets::AuthPlugin;

use crate::source::config::{SourceConfig, TlsMode};
use crate::source::error::SourceError;
use crate::source::session::packet::server_error;

/// `CLIENT_*` of the protocol.
mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
}

/// Largest packet that we take, as the server is told it: 1 GiB.
const PACKET_BYTES_MAX: u32 = 1 << 30;
/// utf8mb4_general_ci: known to every server that we read.
const COLLATION: u8 = 45;
const SCRAMBLE_BYTES: usize = 20;
/// Rounds of authentication before a server is taken for broken: the longest honest exchange has four.
const ROUNDS_MAX: u32 = 16;

/// What the login wants.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginStep {
    Send(Vec<u8>),
    /// Send this, then start TLS, then call [`Login::secured`].
    SendThenTls(Vec<u8>),
    Wait,
    Done,
}

/// See the module's page.
pub struct Login {
    user: String,
    password: String,
    tls: TlsMode,
    is_secure: bool,
    rounds: u32,
    greeting: Option<Greeting>,
    plugin: Option<AuthProc>,
    plugin_name: String,
    scramble: Vec<u8>,
}

/// What of the greeting is needed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    pub connection_id: u32,
    capabilities: u32,
    plugin: String,
    scramble: Vec<u8>,
}

impl Greeting {
    fn parse(packet: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new("greeting", packet);
        let protocol = reader.u8("protocol")?;
        if protocol != 10 {
            return Err(reader.invalid("protocol", format!("{protocol}, only 10 is spoken (MySQL 4.1 and later)")));
        }
        let version = String::from_utf8_lossy(reader.until_nul("version")?).into_owned();
        let connection_id = reader.u32("connection id")?;
        let mut scramble = reader.bytes("scramble", 8)?.to_vec();
        reader.u8("filler")?;
        let low = reader.u16("capabilities")?;
        reader.u8("collation")?;
        reader.u16("status")?;
        let high = reader.u16("capabilities")?;
        let capabilities = u32::from(low) | u32::from(high) << 16;
        let scramble_bytes = usize::from(reader.u8("scramble length")?);
        reader.bytes("reserved", 10)?;
        let second = scramble_bytes.saturating_sub(8).max(13).min(reader.left());
        scramble.extend(reader.bytes("scramble", second)?);
        scramble.truncate(SCRAMBLE_BYTES);
        let plugin = match capabilities & capability::PLUGIN_AUTH {
            0 => "mysql_native_password".to_owned(),
            // Some old servers forget the zero byte behind the name.
            _ => String::from_utf8_lossy(reader.rest().split(|byte| *byte == 0).next().unwrap_or_default()).into_owned(),
        };
        Ok(Self { version, connection_id, capabilities, plugin, scramble })
    }
}

impl Login {
    pub fn new(config: &SourceConfig) -> Self {
        Self {
            user: config.user.clone(),
            password: config.password.clone(),
            tls: config.tls.mode,
            is_secure: false,
            rounds: 0,
            greeting: None,
            plugin: None,
            plugin_name: String::new(),
            scramble: Vec::new(),
        }
    }

    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The server's next packet.
    ///
    /// # Errors
    /// The server's refusal, an authentication that we cannot or must not do, or a broken packet.
    pub fn packet(&mut self, packet: &[u8]) -> Result<LoginStep, SourceError> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(self.refused("the server does not come to an end with the authentication"));
        }
        let broken = |error: EventError| SourceError::Protocol(error.to_string());
        if packet.first() == Some(&0xff) {
            return Err(match server_error(packet) {
                SourceError::Server { code: 1045 | 1698, message, .. } => self.refused(&format!(
                    "{message}. Check user and password, and that the account may come from this host"
                )),
                error => error,
            });
        }
        let Some(greeting) = &self.greeting else {
            let greeting = Greeting::parse(packet).map_err(broken)?;
            return self.greeted(greeting);
        };
        let mut reader = Reader::new("authentication", packet);
        match reader.u8("kind").map_err(broken)? {
            0x00 => Ok(LoginStep::Done),
            0x01 => {
                let challenge = reader.rest().to_vec();
                self.respond(&challenge)
            }
            0xfe if reader.is_empty() => Err(self.refused(
                "the account uses the authentication of MySQL before 4.1. ALTER USER it with a current plugin",
            )),
            0xfe => {
                let name = String::from_utf8_lossy(reader.until_nul("plugin").map_err(broken)?).into_owned();
                let mut scramble = reader.rest().to_vec();
                if scramble.last() == Some(&0) {
                    scramble.pop();
                }
                if scramble.is_empty() {
                    scramble = greeting.scramble.clone();
                }
                self.choose(&name, scramble)?;
                let challenge = self.scramble.clone();
                match self.respond(&challenge)? {
                    // Some answer is due to a switch, even an empty one.
                    LoginStep::Wait => Ok(LoginStep::Send(Vec::new())),
                    step => Ok(step),
                }
            }
            kind => Err(SourceError::Protocol(format!("authentication: a packet of kind {kind:#04x}"))),
        }
    }

    fn greeted(&mut self, greeting: Greeting) -> Result<LoginStep, SourceError> {
        let offers_tls = greeting.capabilities & capability::SSL != 0;
        if greeting.capabilities & capability::PROTOCOL_41 == 0 {
            return Err(SourceError::Protocol("the server is older than MySQL 4.1".to_owned()));
        }
        let wants_tls = match self.tls {
            TlsMode::Disabled => false,
            TlsMode::Preferred => offers_tls,
            TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity if offers_tls => true,
            mode => {
                return Err(SourceError::Tls {
                    server: format!("the server (version {})", greeting.version),
                    reason: format!(
                        "the server offers none, and tls.mode is {mode}. Give the server a certificate (ssl_cert, \
                         ssl_key), or set tls.mode = \"preferred\""
                    ),
                });
            }
        };
        self.greeting = Some(greeting);
        if wants_tls {
            return Ok(LoginStep::SendThenTls(self.response_head(capability::SSL)));
        }
        self.response()
    }

    /// TLS is up: goes on with the login.
    pub fn secured(&mut self) -> Result<LoginStep, SourceError> {
        self.is_secure = true;
        self.response()
    }

    /// The first 32 bytes of the handshake response, which are the SSLRequest too.
    fn response_head(&self, extra: u32) -> Vec<u8> {
        let offered = self.greeting.as_ref().map_or(0, |greeting| greeting.capabilities);
        let wanted = capability::LONG_PASSWORD
            | capability::LONG_FLAG
            | capability::PROTOCOL_41
            | capability::TRANSACTIONS
            | capability::SECURE_CONNECTION
            | (offered & (capability::PLUGIN_AUTH | capability::CONNECT_ATTRS))
            | extra;
        let mut out = wanted.to_le_bytes().to_vec();
        out.extend(PACKET_BYTES_MAX.to_le_bytes());
        out.push(COLLATION);
        out.extend([0; 23]);
        out
    }

    fn response(&mut self) -> Result<LoginStep, SourceError> {
        let Some(greeting) = self.greeting.clone() else {
            return Err(SourceError::Protocol("TLS before the greeting".to_owned()));
        };
        // A plugin that we do not have may be only the server's default, not the account's: then it switches.
        if self.choose(&greeting.plugin, greeting.scramble.clone()).is_err() || self.is_clear_without_tls() {
            self.choose("mysql_native_password", greeting.scramble.clone())?;
        }
        let challenge = self.scramble.clone();
        let answer = match self.respond(&challenge)? {
            LoginStep::Send(answer) => answer,
            _ => Vec::new(),
        };
        let mut out = self.response_head(if self.is_secure { capability::SSL } else { 0 });
        out.extend(self.user.as_bytes());
        out.push(0);
        let length = u8::try_from(answer.len())
            .map_err(|_| self.refused("the password is too long for this authentication"))?;
        out.push(length);
        out.extend(answer);
        if greeting.capabilities & capability::PLUGIN_AUTH != 0 {
            out.extend(self.plugin_name.as_bytes());
            out.push(0);
        }
        if greeting.capabilities & capability::CONNECT_ATTRS != 0 {
            let mut attributes = Vec::new();
            for (name, value) in [("_client_name", "millstream"), ("_client_version", env!("CARGO_PKG_VERSION"))] {
                for text in [name, value] {
                    // Each shorter than 251 bytes: one byte of length.
                    attributes.push(text.len() as u8);
                    attributes.extend(text.as_bytes());
                }
            }
            out.push(attributes.len() as u8);
            out.extend(attributes);
        }
        Ok(LoginStep::Send(out))
    }

    fn choose(&mut self, name: &str, scramble: Vec<u8>) -> Result<(), SourceError> {
        if name == "mysql_old_password" {
            return Err(self.refused("the account uses mysql_old_password. ALTER USER it with a current plugin"));
        }
        let plugin = AuthPlugin::from_bytes(name.as_bytes()).init().map_err(|_| {
            self.refused(&format!(
                "the account uses the authentication plugin '{name}', which is not spoken here. ALTER USER it with \
                 caching_sha2_password or mysql_native_password"
            ))
        })?;
        self.plugin = Some(plugin);
        self.plugin_name = name.to_owned();
        self.scramble = scramble;
        Ok(())
    }

    fn is_clear_without_tls(&self) -> bool {
        matches!(self.plugin, Some(AuthProc::MysqlClearPassword(_))) && !self.is_secure
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<LoginStep, SourceError> {
        if self.is_clear_without_tls() {
            return Err(self.refused("the server asks for the password in clear text, which is only done over TLS"));
        }
        let Some(mut plugin) = self.plugin.take() else {
            return Err(SourceError::Protocol("a challenge before the plugin".to_owned()));
        };
        let context = LoginContext { login: self };
        // The server's RSA key is parsed in there by code that panics on a broken one.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let response = plugin.run(context, challenge);
            (plugin, response)
        }));
        let Ok((plugin, response)) = result else {
            return Err(self.refused("the server sent a public key that cannot be read"));
        };
        self.plugin = Some(plugin);
        match response {
            Ok(Response::Next { packet: Some(packet) } | Response::Last { packet: Some(packet) }) => {
                Ok(LoginStep::Send(packet))
            }
            Ok(_) => Ok(LoginStep::Wait),
            Err(error) => Err(self.refused(&format!("{} failed: {error}", self.plugin_name))),
        }
    }

    fn refused(&self, reason: &str) -> SourceError {
        SourceError::Auth { user: self.user.clone(), reason: reason.to_owned() }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("plugin", &self.plugin_name).finish_non_exhaustive()
    }
}

struct LoginContext<'a> {
    login: &'a Login,
}

impl Context for LoginContext<'_> {
    fn pass(&self) -> &[u8] {
        self.login.password.as_bytes()
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        self.login.is_secure
    }

    fn scramble(&self) -> &[u8] {
        &self.login.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(plugin: &str, tls: bool) -> Vec<u8> {
        let capabilities = capability::PROTOCOL_41
            | capability::PLUGIN_AUTH
            | capability::SECURE_CONNECTION
            | if tls { capability::SSL } else { 0 };
        let mut packet = b"\x0a9.7.0\0".to_vec();
        packet.extend(7u32.to_le_bytes());
        packet.extend(b"abcdefgh\0");
        packet.extend((capabilities as u16).to_le_bytes());
        packet.extend([45, 2, 0]);
        packet.extend(((capabilities >> 16) as u16).to_le_bytes());
        packet.push(21);
        packet.extend([0; 10]);
        packet.extend(b"ijklmnopqrst\0");
        packet.extend(plugin.as_bytes());
        packet.push(0);
        packet
    }

    fn login(mode: TlsMode) -> Login {
        let tls = crate::source::config::TlsConfig { mode, ..Default::default() };
        Login::new(&SourceConfig { user: "u".into(), password: "p".into(), tls, ..SourceConfig::default() })
    }

    #[test]
    fn the_password_never_leaves_in_clear_text_without_tls() {
        let mut login = login(TlsMode::Disabled);
        assert!(matches!(login.packet(&greeting("caching_sha2_password", false)), Ok(LoginStep::Send(_))));
        let error = login.packet(b"\xfemysql_clear_password\0").unwrap_err();
        assert!(error.to_string().contains("TLS"), "{error}");
    }

    #[test]
    fn full_authentication_asks_for_the_key_without_tls_and_sends_the_password_with_it() {
        let mut plain = login(TlsMode::Disabled);
        plain.packet(&greeting("caching_sha2_password", true)).unwrap();
        assert_eq!(plain.packet(&[1, 4]).unwrap(), LoginStep::Send(vec![2]));
        assert!(plain.packet(b"\x01-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----").is_err());

        let mut secure = login(TlsMode::Preferred);
        let step = secure.packet(&greeting("caching_sha2_password", true)).unwrap();
        assert!(matches!(step, LoginStep::SendThenTls(request) if request.len() == 32));
        assert!(matches!(secure.secured(), Ok(LoginStep::Send(_))));
        assert_eq!(secure.packet(&[1, 4]).unwrap(), LoginStep::Send(b"p\0".to_vec()));
        assert_eq!(secure.packet(&[0, 0, 0]).unwrap(), LoginStep::Done);
    }

    #[test]
    fn fast_authentication_waits_for_the_ok() {
        let mut login = login(TlsMode::Disabled);
        login.packet(&greeting("caching_sha2_password", false)).unwrap();
        assert_eq!(login.packet(&[1, 3]).unwrap(), LoginStep::Wait);
        assert_eq!(login.packet(&[0, 0, 0, 2, 0, 0, 0]).unwrap(), LoginStep::Done);
    }

    #[test]
    fn a_switch_is_answered_with_the_new_plugin() {
        let mut login = login(TlsMode::Disabled);
        login.packet(&greeting("caching_sha2_password", false)).unwrap();
        let step = login.packet(b"\xfemysql_native_password\0ABCDEFGHIJKLMNOPQRST\0").unwrap();
        assert!(matches!(step, LoginStep::Send(answer) if answer.len() == 20));
        for hostile in [&b"\xfeunheard_of\0"[..], b"\xfemysql_old_password\0", b"\xfe", b"\xfeno end", b"", b"\x77"] {
            assert!(login.packet(hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn tls_is_demanded_where_the_configuration_does() {
        let error = login(TlsMode::Required).packet(&greeting("mysql_native_password", false)).unwrap_err();
        assert!(matches!(error, SourceError::Tls { .. }), "{error}");
    }

    #[test]
    fn a_refused_login_says_so() {
        let mut login = login(TlsMode::Disabled);
        login.packet(&greeting("mysql_native_password", false)).unwrap();
        let error = login.packet(b"\xff\x15\x04#28000Access denied for user 'u'@'h' (using password: YES)").unwrap_err();
        assert!(matches!(&error, SourceError::Auth { reason, .. } if reason.contains("Access denied")), "{error}");
    }

    #[test]
    fn a_cut_greeting_is_an_error() {
        let whole = greeting("mysql_native_password", false);
        for length in 0..40 {
            assert!(login(TlsMode::Disabled).packet(&whole[..length]).is_err(), "{length}");
        }
    }
}
