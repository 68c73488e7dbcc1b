//! The client's side of logging in.

use std::fmt;

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::packets::AuthPlugin;

use super::greeting::{Capabilities, Greeting, SCRAMBLE_BYTES};
use super::{LoginError, rsa_key};
use crate::mysql::reader::Reader;
use crate::mysql::resultset::ServerError;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Plain,
    Tls,
    /// A Unix socket: nobody listens.
    Local,
}

impl Channel {
    fn is_private(self) -> bool {
        matches!(self, Self::Tls | Self::Local)
    }
}

/// Who logs in, and what the server may see of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub user: String,
    pub password: String,
    pub database: Option<String>,
    /// The server's RSA key in PEM, where it is known beforehand.
    pub server_public_key: Option<String>,
    /// Without TLS and without a known key: ask the server for its key. Someone in between could give his own.
    pub fetch_public_key: bool,
    /// Shown in `performance_schema.session_connect_attrs`.
    pub attributes: Vec<(String, String)>,
}

/// The password never reaches a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// What to do after a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginStep {
    /// Send this payload, then read on.
    Send(Vec<u8>),
    /// Read on.
    Wait,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
    Ed25519,
    Clear,
}

/// One login. Send [`ssl_request`](Self::ssl_request) first where TLS is wanted, then
/// [`response`](Self::response), then feed every packet of the server.
#[derive(Debug)]
pub struct Login {
    credentials: Credentials,
    channel: Channel,
    capabilities: u32,
    plugin: Plugin,
    scramble: Vec<u8>,
    awaits_key: bool,
}

/// utf8mb4_general_ci: known to every server.
const COLLATION: u8 = 45;
/// What the client would accept as one packet.
const MAX_PACKET_BYTES: u32 = 1 << 30;
const REQUEST_KEY: u8 = 0x02;
const FAST_SUCCESS: u8 = 0x03;
const FULL_AUTHENTICATION: u8 = 0x04;

impl Login {
    /// # Errors
    /// [`LoginError::NoTls`] for a TLS channel to a server without TLS.
    pub fn new(greeting: &Greeting, credentials: Credentials, channel: Channel) -> Result<Self, LoginError> {
        if channel == Channel::Tls && !greeting.offers_tls() {
            return Err(LoginError::NoTls);
        }
        let mut capabilities = Capabilities::LONG_PASSWORD
            | Capabilities::LONG_FLAG
            | Capabilities::PROTOCOL_41
            | Capabilities::TRANSACTIONS
            | Capabilities::SECURE_CONNECTION;
        capabilities |= greeting.capabilities & (Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRIBUTES);
        if channel == Channel::Tls {
            capabilities |= Capabilities::TLS;
        }
        if credentials.database.is_some() {
            capabilities |= Capabilities::CONNECT_WITH_DATABASE;
        }
        // An unknown default plugin is no reason to give up: the account may have another one.
        let plugin = plugin(&greeting.auth_plugin).filter(|plugin| *plugin != Plugin::Clear).unwrap_or(Plugin::Native);
        Ok(Self { credentials, channel, capabilities, plugin, scramble: greeting.scramble.to_vec(), awaits_key: false })
    }

    /// The payload that asks for TLS: the first fields of the response. The TLS handshake follows it.
    pub fn ssl_request(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.capabilities.to_le_bytes());
        out.extend(MAX_PACKET_BYTES.to_le_bytes());
        out.push(COLLATION);
        out.extend([0; 23]);
        out
    }

    /// The handshake response.
    ///
    /// # Errors
    /// [`LoginError`] when the plugin's first answer cannot be made.
    pub fn response(&self) -> Result<Vec<u8>, LoginError> {
        let mut out = self.ssl_request();
        push_text(&mut out, &self.credentials.user);
        let auth = self.first_answer()?;
        out.push(u8::try_from(auth.len()).unwrap_or_default());
        out.extend(auth);
        if let Some(database) = &self.credentials.database {
            push_text(&mut out, database);
        }
        if self.capabilities & Capabilities::PLUGIN_AUTH != 0 {
            push_text(&mut out, self.plugin.name());
        }
        if self.capabilities & Capabilities::CONNECT_ATTRIBUTES != 0 {
            let mut attributes = Vec::new();
            for (name, value) in &self.credentials.attributes {
                push_short(&mut attributes, name);
                push_short(&mut attributes, value);
            }
            push_lenenc(&mut out, attributes.len());
            out.extend(attributes);
        }
        Ok(out)
    }

    /// A packet of the server.
    ///
    /// # Errors
    /// [`LoginError`]; the connection is of no more use.
    pub fn packet(&mut self, payload: &[u8]) -> Result<LoginStep, LoginError> {
        if let Some(error) = ServerError::parse(payload) {
            return Err(error.into());
        }
        let mut reader = Reader::new("answer to the handshake", payload);
        match reader.u8("head")? {
            0x00 => Ok(LoginStep::Done),
            0x01 => self.more_data(reader.rest()),
            0xfe if reader.is_empty() => Err(LoginError::UnsupportedPlugin("mysql_old_password".into())),
            0xfe => self.switch(&mut reader),
            head => Err(reader.invalid("head", format!("{head:#04x}")).into()),
        }
    }

    fn switch(&mut self, reader: &mut Reader<'_>) -> Result<LoginStep, LoginError> {
        let name = String::from_utf8_lossy(reader.until_nul("plugin")?).into_owned();
        self.plugin = plugin(&name).ok_or(LoginError::UnsupportedPlugin(name))?;
        let data = reader.rest();
        let scramble = data.strip_suffix(&[0]).unwrap_or(data);
        // ed25519's 32 bytes have no zero byte behind them and may end in one.
        let expected = self.plugin.scramble_bytes();
        let scramble = if data.len() == expected { data } else { scramble };
        if scramble.len() != expected && self.plugin != Plugin::Clear {
            let found = format!("{} bytes for {}", scramble.len(), self.plugin.name());
            return Err(reader.invalid("scramble", found).into());
        }
        self.scramble = scramble.to_vec();
        self.awaits_key = false;
        self.first_answer().map(LoginStep::Send)
    }

    fn first_answer(&self) -> Result<Vec<u8>, LoginError> {
        let password = self.credentials.password.as_bytes();
        match self.plugin {
            Plugin::Native => Ok(scramble_native(&self.scramble, password).map(Vec::from).unwrap_or_default()),
            Plugin::CachingSha2 => {
                let scramble = self.scramble.first_chunk::<SCRAMBLE_BYTES>();
                Ok(scramble.and_then(|scramble| scramble_sha256(scramble, password)).map(Vec::from).unwrap_or_default())
            }
            Plugin::Ed25519 => self.ed25519(),
            Plugin::Clear if self.channel.is_private() => Ok([password, &[0]].concat()),
            Plugin::Clear => Err(LoginError::NeedsTls("mysql_clear_password")),
        }
    }

    fn ed25519(&self) -> Result<Vec<u8>, LoginError> {
        let unsupported = || LoginError::UnsupportedPlugin("client_ed25519".into());
        let mut plugin = AuthProc::init(&AuthPlugin::Ed25519).map_err(|_| unsupported())?;
        let answer = plugin.run(PluginContext(self), &self.scramble).map_err(|_| unsupported())?;
        answer.data().map(<[u8]>::to_vec).ok_or_else(unsupported)
    }

    fn more_data(&mut self, data: &[u8]) -> Result<LoginStep, LoginError> {
        if self.plugin != Plugin::CachingSha2 {
            let reason = format!("{} bytes of data that {} does not have", data.len(), self.plugin.name());
            return Err(Reader::new("answer to the handshake", data).invalid("data", reason).into());
        }
        if self.awaits_key {
            self.awaits_key = false;
            return rsa_key::encrypt(data, self.password(), &self.scramble).map(LoginStep::Send);
        }
        match data {
            [FAST_SUCCESS] => Ok(LoginStep::Wait),
            // For the first time since the server started it wants the password itself.
            [FULL_AUTHENTICATION] if self.channel.is_private() => Ok(LoginStep::Send([self.password(), &[0]].concat())),
            [FULL_AUTHENTICATION] => match &self.credentials.server_public_key {
                Some(key) => rsa_key::encrypt(key.as_bytes(), self.password(), &self.scramble).map(LoginStep::Send),
                None if self.credentials.fetch_public_key => {
                    self.awaits_key = true;
                    Ok(LoginStep::Send(vec![REQUEST_KEY]))
                }
                None => Err(LoginError::NeedsTlsOrKey),
            },
            other => {
                let reason = format!("{} bytes", other.len());
                Err(Reader::new("answer to the handshake", data).invalid("data", reason).into())
            }
        }
    }

    fn password(&self) -> &[u8] {
        self.credentials.password.as_bytes()
    }
}

impl Plugin {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
            Self::Clear => "mysql_clear_password",
        }
    }

    fn scramble_bytes(self) -> usize {
        match self {
            Self::Native | Self::CachingSha2 => SCRAMBLE_BYTES,
            Self::Ed25519 => 32,
            Self::Clear => 0,
        }
    }
}

fn plugin(name: &str) -> Option<Plugin> {
    [Plugin::Native, Plugin::CachingSha2, Plugin::Ed25519, Plugin::Clear]
        .into_iter()
        .find(|plugin| plugin.name() == name)
}

struct PluginContext<'l>(&'l Login);

impl Context for PluginContext<'_> {
    fn pass(&self) -> &[u8] {
        self.0.password()
    }
    fn is_ipc_transport(&self) -> bool {
        self.0.channel == Channel::Local
    }
    fn is_tls_transport(&self) -> bool {
        self.0.channel == Channel::Tls
    }
    fn scramble(&self) -> &[u8] {
        &self.0.scramble
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

/// Text and a zero byte. The text ends at a zero byte of its own, which no name can have.
fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().take_while(|byte| *byte != 0));
    out.push(0);
}

/// At most 250 bytes, so that the length takes one.
fn push_short(out: &mut Vec<u8>, text: &str) {
    const BYTES_MAX: usize = 250;
    let bytes = text.as_bytes();
    let bytes = bytes.get(..BYTES_MAX).unwrap_or(bytes);
    push_lenenc(out, bytes.len());
    out.extend(bytes);
}

fn push_lenenc(out: &mut Vec<u8>, value: usize) {
    match u8::try_from(value) {
        Ok(small @ 0..=250) => out.push(small),
        _ => {
            out.push(254);
            out.extend((value as u64).to_le_bytes());
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
