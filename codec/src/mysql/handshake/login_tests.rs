use super::super::greeting::tests::{CAPABILITIES, payload};
use super::*;

const ATTRIBUTES: u32 = Capabilities::CONNECT_ATTRIBUTES;

fn login(plugin: &str, channel: Channel, credentials: Credentials) -> Login {
    let greeting = Greeting::parse(&payload("9.7.4", plugin, CAPABILITIES | ATTRIBUTES)).unwrap();
    Login::new(&greeting, credentials, channel).unwrap()
}

fn credentials(password: &str) -> Credentials {
    Credentials {
        user: "cdc".into(),
        password: password.into(),
        attributes: vec![("_client_name".into(), "millstream".into())],
        ..Credentials::default()
    }
}

#[test]
fn response_has_the_layout_of_protocol_41() {
    let response = login("mysql_native_password", Channel::Plain, credentials("")).response().unwrap();
    let mut expected = vec![0x05, 0xa2, 0x18, 0x00];
    expected.extend([0, 0, 0, 0x40, 45]);
    expected.extend([0; 23]);
    expected.extend(b"cdc\0\0mysql_native_password\0\x18\x0c_client_name\x0amillstream");
    assert_eq!(response, expected);

    let with_database = Credentials { database: Some("shop".into()), ..credentials("") };
    let tls = login("mysql_native_password", Channel::Tls, with_database);
    let response = tls.response().unwrap();
    assert_eq!(response[..4], [0x0d, 0xaa, 0x18, 0x00]);
    assert_eq!(response[32..], *b"cdc\0\0shop\0mysql_native_password\0\x18\x0c_client_name\x0amillstream");
    assert_eq!(tls.ssl_request(), response[..32]);
}

/// `mysql_common` reads the response back.
#[test]
fn response_is_what_mysql_common_reads() {
    use mysql_common::io::ParseBuf;
    use mysql_common::packets::HandshakeResponse;
    use mysql_common::proto::MyDeserialize;
    let response = login("caching_sha2_password", Channel::Plain, credentials("secret")).response().unwrap();
    let read = HandshakeResponse::deserialize((), &mut ParseBuf(&response)).unwrap();
    assert_eq!(read.user(), b"cdc");
    assert_eq!(read.scramble_buf().len(), 32);
    assert_eq!(read.auth_plugin(), Some(&AuthPlugin::CachingSha2Password));
    assert_eq!(read.connect_attributes().unwrap().get("_client_name").map(String::as_str), Some("millstream"));
}

#[test]
fn fast_authentication_ends_with_ok() {
    let mut login = login("caching_sha2_password", Channel::Plain, credentials("secret"));
    assert_eq!(login.packet(b"\x01\x03").unwrap(), LoginStep::Wait);
    assert_eq!(login.packet(b"\x00\0\0\x02\0\0\0").unwrap(), LoginStep::Done);
}

#[test]
fn full_authentication_depends_on_the_channel() {
    for channel in [Channel::Tls, Channel::Local] {
        let mut login = login("caching_sha2_password", channel, credentials("secret"));
        assert_eq!(login.packet(b"\x01\x04").unwrap(), LoginStep::Send(b"secret\0".to_vec()));
    }
    let mut refused = login("caching_sha2_password", Channel::Plain, credentials("secret"));
    assert_eq!(refused.packet(b"\x01\x04").unwrap_err(), LoginError::NeedsTlsOrKey);

    let key = include_str!("../../../tests/data/public_key.pem");
    let fetching = Credentials { fetch_public_key: true, ..credentials("secret") };
    let mut fetches = login("caching_sha2_password", Channel::Plain, fetching);
    assert_eq!(fetches.packet(b"\x01\x04").unwrap(), LoginStep::Send(vec![REQUEST_KEY]));
    let step = fetches.packet(&[b"\x01", key.as_bytes()].concat()).unwrap();
    assert!(matches!(step, LoginStep::Send(block) if block.len() == 256));

    let known = Credentials { server_public_key: Some(key.into()), ..credentials("secret") };
    let mut knows = login("caching_sha2_password", Channel::Plain, known);
    assert!(matches!(knows.packet(b"\x01\x04").unwrap(), LoginStep::Send(block) if block.len() == 256));
}

#[test]
fn the_server_may_switch_the_plugin() {
    let scramble: Vec<u8> = (1..=32).collect();
    let switch = |name: &str, scramble: &[u8]| [b"\xfe", name.as_bytes(), b"\0", scramble].concat();
    let check = |channel, packet: &[u8], bytes: Result<usize, &str>| {
        let mut login = login("caching_sha2_password", channel, credentials("secret"));
        match (login.packet(packet), bytes) {
            (Ok(LoginStep::Send(answer)), Ok(expected)) => assert_eq!(answer.len(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    };
    let native = [&scramble[..20], &[0]].concat();
    check(Channel::Plain, &switch("mysql_native_password", &native), Ok(20));
    check(Channel::Plain, &switch("caching_sha2_password", &native), Ok(32));
    check(Channel::Plain, &switch("client_ed25519", &scramble), Ok(64));
    let ends_in_zero = [&scramble[..31], &[0]].concat();
    check(Channel::Plain, &switch("client_ed25519", &ends_in_zero), Ok(64));
    check(Channel::Tls, &switch("mysql_clear_password", &[]), Ok(7));
    check(Channel::Plain, &switch("mysql_clear_password", &[]), Err("in the clear"));
    check(Channel::Plain, &switch("mysql_native_password", &scramble[..19]), Err("19 bytes"));
    check(Channel::Plain, &switch("dialog", &[]), Err("'dialog'"));
    check(Channel::Plain, b"\xfe", Err("mysql_old_password"));
    check(Channel::Plain, b"\xfeno_end", Err("plugin"));
    check(Channel::Plain, b"", Err("head"));
    check(Channel::Plain, b"\xff\x15\x04#28000Access denied for user", Err("Access denied"));
    check(Channel::Plain, b"\x01\x09", Err("data"));
    check(Channel::Plain, b"\x07", Err("head"));
}

#[test]
fn tls_is_refused_where_the_server_has_none() {
    let greeting = Greeting::parse(&payload("9.7.4", "x", CAPABILITIES & !Capabilities::TLS)).unwrap();
    assert_eq!(Login::new(&greeting, credentials(""), Channel::Tls).unwrap_err(), LoginError::NoTls);
    let text = format!("{:?}", credentials("secret"));
    assert!(!text.contains("secret"), "{text}");
}
