use super::*;
use crate::position::FilePosition;
use crate::source::config::TlsConfig;
use crate::source::config::TlsMode;
use crate::source::start::Start;

fn greeting(offers_tls: bool) -> Vec<u8> {
    // PROTOCOL_41, SECURE_CONNECTION, and TLS where it is offered; PLUGIN_AUTH in the high half.
    let low: u16 = 1 << 9 | 1 << 15 | u16::from(offers_tls) << 11;
    let mut packet = b"\x0a9.7.0\0".to_vec();
    packet.extend(7u32.to_le_bytes());
    packet.extend(b"abcdefgh\0");
    packet.extend(low.to_le_bytes());
    packet.extend([45, 2, 0]);
    packet.extend(8u16.to_le_bytes());
    packet.push(21);
    packet.extend([0; 10]);
    packet.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet
}

fn text(value: &str) -> Vec<u8> {
    [&[value.len() as u8][..], value.as_bytes()].concat()
}

/// The answer to a statement, as packets.
fn answer(rows: &[&[&str]]) -> Vec<Vec<u8>> {
    let Some(columns) = rows.first().map(|row| row.len()) else { return vec![vec![0, 0, 0, 2, 0, 0, 0]] };
    let eof = vec![0xfe, 0, 0, 2, 0];
    let definition = b"\x03def\0\0\0\x01c\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0".to_vec();
    let mut packets = vec![vec![columns as u8]];
    packets.extend(std::iter::repeat_n(definition, columns));
    packets.push(eof.clone());
    packets.extend(rows.iter().map(|row| row.iter().flat_map(|cell| text(cell)).collect::<Vec<u8>>()));
    packets.push(eof);
    packets
}

/// A server in a few lines: what it says to each statement.
fn mysql(statement: &str) -> Vec<Vec<u8>> {
    match statement {
        _ if statement.starts_with("SET") => answer(&[]),
        _ if statement.starts_with("SHOW GLOBAL VARIABLES") => answer(&[
            &["version", "9.7.0"],
            &["log_bin", "ON"],
            &["binlog_format", "ROW"],
            &["server_id", "1"],
            &["server_uuid", "3e11fa47-71ca-11e1-9e33-c80aa9429562"],
            &["gtid_mode", "ON"],
        ]),
        _ if statement.starts_with("SELECT @@GLOBAL.gtid") => answer(&[&["", ""]]),
        "SELECT @master_binlog_checksum" => answer(&[&["CRC32"]]),
        "SHOW BINARY LOG STATUS" => answer(&[&["b.000002", "300", "", "", ""]]),
        "SHOW BINARY LOGS" => answer(&[&["b.000002", "300"]]),
        other => panic!("{other}"),
    }
}

/// Plays the server until the session has something other to do than to talk. Commands come back by their first byte.
fn play(session: &mut Session, server: impl Fn(&str) -> Vec<Vec<u8>>) -> Result<(Vec<u8>, Output), SourceError> {
    session.packet(0, &greeting(false))?;
    let mut commands = Vec::new();
    let mut is_logged_in = false;
    loop {
        match session.poll().expect("something to do") {
            Output::Send(bytes) => {
                let payload = &bytes[4..];
                if !is_logged_in {
                    is_logged_in = true;
                    assert_eq!(bytes[3], 1);
                    session.packet(2, &[0, 0, 0, 2, 0, 0, 0])?;
                    continue;
                }
                assert_eq!(bytes[3], 0, "every command begins a new sequence");
                commands.push(payload[0]);
                let packets = match payload[0] {
                    0x03 => server(std::str::from_utf8(&payload[1..]).unwrap()),
                    0x15 => answer(&[]),
                    _ => Vec::new(),
                };
                for (index, packet) in packets.iter().enumerate() {
                    session.packet(1 + index as u8, packet)?;
                }
            }
            output => return Ok((commands, output)),
        }
    }
}

fn session(goal: Goal) -> Session {
    let tls = TlsConfig { mode: TlsMode::Disabled, ..TlsConfig::default() };
    Session::new(SourceConfig { tls, ..SourceConfig::default() }, goal)
}

#[test]
fn a_session_comes_from_greeting_to_stream() {
    let mut session = session(Goal::Follow(Start::Latest));
    let (commands, output) = play(&mut session, mysql).unwrap();
    let Output::Streaming(ready) = output else { panic!("{output:?}") };
    // Settings, variables, GTIDs, handshake, checksum, status; register; dump.
    assert_eq!(commands, [3, 3, 3, 3, 3, 3, 0x15, 0x12]);
    let resolved = ready.resolved.unwrap();
    assert_eq!(resolved.dump, Dump::File(FilePosition { file: "b.000002".into(), offset: 300 }));
    assert_eq!(ready.server.connection_id, 7);
    assert!(session.packet(1, &[0]).is_err(), "the stream's packets are not the session's");
}

#[test]
fn a_place_is_probed_before_it_is_read() {
    let mut session = session(Goal::Follow(Start::File(FilePosition { file: "b.000002".into(), offset: 200 })));
    let (_, output) = play(&mut session, mysql).unwrap();
    let Output::Probe(request) = output else { panic!("{output:?}") };
    assert_eq!(&*request.file, "b.000002");
    let at = FilePosition { file: request.file, offset: 200 };
    session.probed(ProbeResult { at, gtids: Default::default(), created_us: 0 }).unwrap();
    assert!(matches!(session.poll(), Some(Output::Send(bytes)) if bytes[4] == 0x15));
}

#[test]
fn a_side_reader_throws_nobody_out() {
    let at = FilePosition { file: "b.000002".into(), offset: 200 };
    let mut session = session(Goal::Read(at));
    let statements = std::cell::RefCell::new(String::new());
    let (commands, output) = play(&mut session, |statement| {
        statements.borrow_mut().push_str(statement);
        mysql(statement)
    })
    .unwrap();
    assert!(matches!(output, Output::Streaming(_)));
    assert!(!commands.contains(&0x15));
    assert!(!statements.borrow().contains("uuid ="), "{}", statements.borrow());
}

#[test]
fn what_a_server_lacks_ends_the_session_before_the_dump() {
    let mut session = session(Goal::Follow(Start::Latest));
    let error = play(&mut session, |statement| match statement.starts_with("SHOW GLOBAL") {
        true => answer(&[&["version", "9.7.0"], &["log_bin", "OFF"]]),
        false => mysql(statement),
    })
    .unwrap_err();
    assert!(matches!(error, SourceError::Requirements(_)), "{error}");
}

#[test]
fn statements_are_answered_one_by_one() {
    let mut session = session(Goal::Query);
    let (_, output) = play(&mut session, mysql).unwrap();
    assert!(matches!(output, Output::Idle));
    for _ in 0..2 {
        session.query("SELECT 1");
        assert!(matches!(session.poll(), Some(Output::Send(_))));
        for packet in answer(&[&["1"]]) {
            session.packet(1, &packet).unwrap();
        }
        assert!(matches!(session.poll(), Some(Output::Rows(rows)) if rows == [[Some(b"1".to_vec())]]));
    }
}

#[test]
fn tls_comes_before_the_name() {
    let tls = TlsConfig { mode: TlsMode::Required, ..TlsConfig::default() };
    let config = SourceConfig { tls, ..SourceConfig::default() };
    let mut session = Session::new(config.clone(), Goal::Query);
    session.packet(0, &greeting(true)).unwrap();
    assert!(matches!(session.poll(), Some(Output::Send(bytes)) if bytes.len() == 4 + 32));
    assert!(matches!(session.poll(), Some(Output::StartTls)));
    assert!(session.poll().is_none());
    session.secured().unwrap();
    assert!(matches!(session.poll(), Some(Output::Send(bytes)) if bytes[3] == 2));

    let error = Session::new(config, Goal::Query).packet(0, &greeting(false)).unwrap_err();
    assert!(matches!(error, SourceError::Tls { .. }), "{error}");
}

#[test]
fn a_refused_login_is_told_as_one() {
    let mut session = session(Goal::Query);
    session.packet(0, &greeting(false)).unwrap();
    let error = session.packet(2, b"\xff\x15\x04#28000Access denied for user").unwrap_err();
    assert!(matches!(&error, SourceError::Auth { reason, .. } if reason.contains("Access denied")), "{error}");
    let full = Session::new(SourceConfig::default(), Goal::Query).packet(0, b"\xff\x10\x04Too many connections");
    assert!(matches!(full, Err(SourceError::Server { code: 1040, .. })));
}

#[test]
fn the_errors_of_a_stream_are_told_apart() {
    let check = |message: &str, expected: &str| {
        let packet = [&b"\xff\xd4\x04#HY000"[..], message.as_bytes()].concat();
        let error = stream_packet(&packet).unwrap_err();
        assert_eq!(error.code(), expected, "{message}");
    };
    check("Cannot replicate because the source purged required binary logs. ...", "position_purged");
    check("Could not find first log file name in binary log index file", "position_purged");
    check("Client requested source to start replication from impossible position", "bad_position");
    check(
        "Error: connecting slave requested to start from GTID 0-1-6, which is not in the master's binlog.",
        "ahead_of_source",
    );
    check("Slave has more GTIDs than the source has, using the source's SERVER_UUID.", "ahead_of_source");
    check("A replica with the same server_uuid/server_id as this replica has connected", "source_unavailable");
    assert!(matches!(stream_packet(&[0, 1, 2]), Ok(StreamPacket::Event)));
    assert!(matches!(stream_packet(&[0xfe, 0, 0, 0, 0]), Ok(StreamPacket::End)));
    for hostile in [&[][..], &[1], &[0xff], &[0xfe; 20]] {
        assert!(stream_packet(hostile).is_err(), "{hostile:?}");
    }
}
