//! Logging in: the server's greeting, TLS, and one of the authentication plugins.
//!
//! ```text
//! server: greeting
//! client: SSL request, TLS handshake          (where TLS is wanted)
//! client: handshake response
//! server: OK | ERR | switch to another plugin | more data of the plugin ...
//! ```
//! [`Greeting`] reads the first, [`Login`] does the rest, packet in and packet out. The scrambles and RSA are
//! `mysql_common`'s; no length reaches it unchecked.

mod greeting;
mod login;
mod rsa_key;

pub use greeting::{Capabilities, Greeting};
pub use login::{Channel, Credentials, Login, LoginStep};

use super::error::EventError;
use super::resultset::ServerError;

/// Why logging in failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Wrong password, unknown user, too many connections...
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("handshake cannot be read: {0}")]
    Malformed(#[from] EventError),
    #[error("the server speaks protocol {0}; 10 is known (MySQL 4.1 and later)")]
    Protocol(u8),
    #[error("the server does not offer TLS; enable it there, or set tls to 'preferred' or 'disabled'")]
    NoTls,
    #[error(
        "the account uses the authentication plugin '{0}', which is not supported; use caching_sha2_password, \
         mysql_native_password, or ed25519 on MariaDB"
    )]
    UnsupportedPlugin(String),
    #[error("the authentication plugin '{0}' would send the password in the clear; use TLS")]
    NeedsTls(&'static str),
    #[error(
        "caching_sha2_password needs TLS or the server's public key to send the password for the first time; \
         use TLS, or allow the key to be fetched over the connection"
    )]
    NeedsTlsOrKey,
    #[error("the server's public key cannot be used: {0}")]
    PublicKey(String),
}
