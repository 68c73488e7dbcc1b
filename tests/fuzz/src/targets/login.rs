//! What a server sends before the dump: greeting, the login's packets, answers to queries.
//!
//! ```text
//! u8 mode: bits 0-1 channel, 2 the key may be fetched, 3 a password, 4 columns are few
//! each packet: u16 and so many bytes; the first is the greeting
//! ```
//! Holds: what is sent back and kept is bounded; `mysql_common` reads the response, and the same greeting.

use millstream_codec::mysql::handshake::{Channel, Credentials, Greeting, Login, LoginStep};
use millstream_codec::mysql::resultset::{Progress, ResultLimits, ResultSetReader, ServerError, is_eof};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{HandshakePacket, HandshakeResponse};
use mysql_common::proto::MyDeserialize;

use crate::input::Input;
use crate::peer;

const PASSWORD: &str = "secret";
/// The longest key's block, and the longest response.
const ANSWER_BYTES_MAX: usize = 1024;
const SET_BYTES_MAX: usize = 4096;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.u8();
    let first = input.counted();
    let greeting = Greeting::parse(first);
    if let Ok(greeting) = &greeting {
        compare_greeting(greeting, first);
        let _ = (greeting.server_kind(), greeting.version());
        login(greeting, mode, &mut input);
    }
    answers(data, mode);
}

fn login(greeting: &Greeting, mode: u8, input: &mut Input<'_>) {
    let channel = [Channel::Plain, Channel::Tls, Channel::Local, Channel::Plain][usize::from(mode & 3)];
    let password = if mode & 8 != 0 { PASSWORD } else { "" };
    let credentials = Credentials {
        user: "cdc".into(),
        password: password.into(),
        fetch_public_key: mode & 4 != 0,
        ..Credentials::default()
    };
    let Ok(mut login) = Login::new(greeting, credentials, channel) else { return };
    let Ok(response) = login.response() else { return };
    assert!(response.len() <= ANSWER_BYTES_MAX);
    let user = peer::ask(|| {
        let response = HandshakeResponse::deserialize((), &mut ParseBuf(&response)).ok()?;
        Some(response.user().to_vec())
    });
    assert_eq!(user.as_deref(), Some(&b"cdc"[..]));
    while !input.is_empty() {
        match login.packet(input.counted()) {
            Ok(LoginStep::Send(answer)) => {
                assert!(answer.len() <= ANSWER_BYTES_MAX);
                let is_private = channel != Channel::Plain;
                let is_clear = answer.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                assert!(is_private || !is_clear, "the password goes out in the clear");
            }
            Ok(LoginStep::Wait) => {}
            Ok(LoginStep::Done) | Err(_) => return,
        }
    }
}

fn compare_greeting(ours: &Greeting, payload: &[u8]) {
    let theirs = peer::ask(|| {
        let theirs = HandshakePacket::deserialize((), &mut ParseBuf(payload)).ok()?;
        Some((theirs.connection_id(), theirs.capabilities().bits(), theirs.nonce()))
    });
    if let Some((connection_id, capabilities, nonce)) = theirs {
        assert_eq!(ours.connection_id, connection_id);
        // They drop the bits that they do not know.
        assert_eq!(ours.capabilities & capabilities, capabilities);
        let common = nonce.len().min(ours.scramble.len());
        assert_eq!(ours.scramble[..common], nonce[..common]);
    }
}

fn answers(data: &[u8], mode: u8) {
    let limits = ResultLimits { columns_max: if mode & 16 != 0 { 2 } else { 64 }, bytes_max: SET_BYTES_MAX };
    let mut reader = ResultSetReader::new(limits);
    let mut input = Input::new(data);
    input.u8();
    while !input.is_empty() {
        let payload = input.counted();
        let _ = is_eof(payload);
        if let Some(error) = ServerError::parse(payload) {
            // A byte that is no UTF-8 becomes a character of three.
            assert!(error.message.len() <= 3 * payload.len());
        }
        if let Ok(Progress::Rows(set)) = reader.packet(payload) {
            assert!(set.columns.len() <= limits.columns_max);
            let names: usize = set.columns.iter().map(String::len).sum();
            let values: usize = set.rows.iter().flatten().flatten().map(Vec::len).sum();
            assert!(names / 3 + values <= SET_BYTES_MAX);
            assert!(set.rows.iter().all(|row| row.len() == set.columns.len()));
        }
    }
}
