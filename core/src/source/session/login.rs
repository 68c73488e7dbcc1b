//! What the configuration says about logging in, for the codec's handshake; and its errors as ours.

use millstream_codec::mysql::handshake::{Channel, Credentials, Greeting, Login, LoginError};
use millstream_codec::mysql::resultset::ServerError;

use crate::source::config::{SourceConfig, TlsMode};
use crate::source::error::SourceError;

/// The channel that the configuration and the server agree on.
///
/// # Errors
/// TLS is demanded and not offered.
pub fn channel(config: &SourceConfig, greeting: &Greeting) -> Result<Channel, SourceError> {
    match config.tls.mode {
        TlsMode::Disabled => Ok(Channel::Plain),
        _ if greeting.offers_tls() => Ok(Channel::Tls),
        TlsMode::Preferred => Ok(Channel::Plain),
        mode @ (TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity) => Err(SourceError::Tls {
            server: format!("the server (version {})", greeting.server_version),
            reason: format!(
                "it offers none, and tls.mode is {mode}. Give the server a certificate (ssl_cert, ssl_key), or set \
                 tls.mode = \"preferred\""
            ),
        }),
    }
}

/// # Errors
/// As [`login_error`].
pub fn begin(config: &SourceConfig, greeting: &Greeting, channel: Channel) -> Result<Login, SourceError> {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let credentials = Credentials {
        user: config.user.clone(),
        password: config.password.clone(),
        // Whoever demands TLS does not want a key from just anyone.
        fetch_public_key: matches!(config.tls.mode, TlsMode::Disabled | TlsMode::Preferred),
        attributes: vec![
            attribute("_client_name", "millstream"),
            attribute("_client_version", env!("CARGO_PKG_VERSION")),
            attribute("program_name", "millstream"),
        ],
        ..Credentials::default()
    };
    Login::new(greeting, credentials, channel).map_err(|error| login_error(config, error))
}

/// A wrong password needs a person, a server that is full or starting does not.
pub fn login_error(config: &SourceConfig, error: LoginError) -> SourceError {
    let refused = |reason: String| SourceError::Auth { user: config.user.clone(), reason };
    match error {
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        LoginError::Server(ServerError { code: 1045 | 1698, message, .. }) => {
            refused(format!("{message}. Check user and password, and that the account may come from this host"))
        }
        LoginError::Server(error) => server_error(error),
        LoginError::Malformed(error) => SourceError::Protocol(error.to_string()),
        LoginError::Protocol(_) | LoginError::NoTls => SourceError::Protocol(error.to_string()),
        LoginError::UnsupportedPlugin(_)
        | LoginError::NeedsTls(_)
        | LoginError::NeedsTlsOrKey
        | LoginError::PublicKey(_) => refused(error.to_string()),
    }
}

pub fn server_error(error: ServerError) -> SourceError {
    SourceError::Server { code: error.code, state: error.state, message: error.message }
}
