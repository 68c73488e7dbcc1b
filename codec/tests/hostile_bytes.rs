//! Damaged and random bytes: every parser of the MySQL side answers with a value or an error, never with a panic,
//! and never with an allocation by a length that it has not checked.
#![cfg(feature = "mysql")]

use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{
    Event, EventData, EventHeader, FormatDescription, PayloadReader, transaction_payload,
};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::gtid::{ExecutedGtids, GtidSet};
use millstream_codec::mysql::handshake::{Channel, Credentials, Greeting, Login};
use millstream_codec::mysql::packet::{Framer, FramerLimits};
use millstream_codec::mysql::resultset::{ResultLimits, ResultSetReader};
use millstream_codec::mysql::server::ServerKind;

const FILES: [&[u8]; 6] = [
    include_bytes!("data/mysql97.binlog"),
    include_bytes!("data/mysql57.binlog"),
    include_bytes!("data/mysql56.binlog"),
    include_bytes!("data/mariadb118.binlog"),
    include_bytes!("data/mariadb1011.binlog"),
    include_bytes!("data/mariadb105.binlog"),
];

/// xorshift64*, from a seed that a failure can be repeated with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

const EVENT_BYTES_MAX: usize = 1 << 20;

/// Everything that can be asked of one body.
fn read_body(type_code: u8, body: &[u8], payloads: &mut PayloadReader) {
    let header = EventHeader { timestamp: 0, type_code, server_id: 1, size: 19, end_position: 0, flags: 0 };
    let event = Event { header, body };
    for kind in [ServerKind::Mysql, ServerKind::Mariadb] {
        match EventData::parse(&event, kind) {
            Ok(EventData::TableMap(map)) => {
                if let Some(schema) = map.schema() {
                    let _ = map.schema_with(&schema);
                }
            }
            Ok(EventData::Query(query)) => drop(query.statement(EVENT_BYTES_MAX)),
            Ok(EventData::Rows(rows)) => {
                let mut scratch = Vec::new();
                let _ = rows.decompress(&mut scratch, EVENT_BYTES_MAX);
                let _ = rows.has_full_images();
            }
            Ok(EventData::TransactionPayload(payload)) => {
                payloads.begin(&payload).unwrap();
                while let Ok(Some(chunk)) = payloads.next_chunk(payload.payload, 4096) {
                    assert!(chunk.len() <= EVENT_BYTES_MAX + 2 * 65_536);
                    transaction_payload::events(&chunk).for_each(drop);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn bodies() -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    for file in FILES {
        let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
        reader.feed(file);
        while let Some(event) = reader.next_event().unwrap() {
            found.push((event.bytes[4], event.bytes[19..event.bytes.len() - 4].to_vec()));
        }
    }
    found
}

#[test]
fn every_cut_of_every_recorded_event_is_survived() {
    let mut payloads = PayloadReader::new(EVENT_BYTES_MAX).unwrap();
    for (type_code, body) in bodies() {
        for length in 0..=body.len() {
            read_body(type_code, &body[..length], &mut payloads);
        }
    }
}

#[test]
fn random_changes_to_recorded_events_are_survived() {
    let mut payloads = PayloadReader::new(EVENT_BYTES_MAX).unwrap();
    let mut random = Random(20_261_123);
    for (type_code, body) in bodies() {
        for _ in 0..150 {
            let mut damaged = body.clone();
            for _ in 0..=random.below(4) {
                match random.below(4) {
                    _ if damaged.is_empty() => {}
                    0 => {
                        let at = random.below(damaged.len());
                        damaged[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff][random.below(9)];
                    }
                    1 => {
                        let at = random.below(damaged.len());
                        damaged[at] ^= 1 << random.below(8);
                    }
                    2 => {
                        let at = random.below(damaged.len());
                        damaged.truncate(at);
                    }
                    _ => {
                        let at = random.below(damaged.len());
                        let count = random.below(9);
                        let more = random.bytes(count);
                        damaged.splice(at..at, more);
                    }
                }
            }
            read_body(type_code, &damaged, &mut payloads);
        }
    }
}

#[test]
fn random_bodies_of_every_type_are_survived() {
    let mut payloads = PayloadReader::new(EVENT_BYTES_MAX).unwrap();
    let mut random = Random(7);
    for type_code in 0..=255 {
        for _ in 0..200 {
            let count = random.below(120);
            read_body(type_code, &random.bytes(count), &mut payloads);
        }
    }
}

#[test]
fn damaged_files_end_in_an_error_or_in_fewer_events() {
    let mut random = Random(99);
    for file in FILES {
        for _ in 0..300 {
            let mut damaged = file.to_vec();
            for _ in 0..3 {
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
            }
            let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
            reader.feed(&damaged);
            let mut unnoticed = 0;
            while let Ok(Some(event)) = reader.next_event() {
                let checked = match event.bytes[4] {
                    15 => FormatDescription::parse(event.bytes).is_ok(),
                    _ => Event::parse(event.bytes, Checksum::Crc32).is_ok(),
                };
                unnoticed += usize::from(checked);
            }
            let _ = reader.finish();
            assert!(unnoticed < 200);
        }
    }
}

#[test]
fn one_flipped_bit_in_a_file_is_always_noticed() {
    for file in [FILES[0], FILES[3]] {
        for at in (0..file.len()).step_by(7) {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0x10;
            let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
            reader.feed(&damaged);
            let mut noticed = false;
            loop {
                let (type_code, bytes) = match reader.next_event() {
                    Ok(Some(event)) => (event.bytes[4], event.bytes),
                    Ok(None) => break,
                    Err(_) => {
                        noticed = true;
                        break;
                    }
                };
                noticed |= match type_code {
                    15 => FormatDescription::parse(bytes).is_err(),
                    _ => Event::parse(bytes, Checksum::Crc32).is_err(),
                };
            }
            assert!(noticed || reader.finish().is_err(), "byte {at}");
        }
    }
}

#[test]
fn random_handshakes_and_answers_are_survived() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let count = random.below(90);
        let mut bytes = random.bytes(count);
        let _ = Greeting::parse(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 10;
        }
        if let Ok(greeting) = Greeting::parse(&bytes) {
            let _ = Login::new(&greeting, Credentials::default(), Channel::Plain).unwrap().response();
        }
    }
    let greeting = [
        &b"\x0a9.7.4\0\x01\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xff\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0"[..],
        b"caching_sha2_password\0",
    ]
    .concat();
    let greeting = Greeting::parse(&greeting).unwrap();
    let mut answers = ResultSetReader::new(ResultLimits { columns_max: 10, bytes_max: 10_000 });
    for _ in 0..20_000 {
        let mut login = Login::new(
            &greeting,
            Credentials { password: "x".into(), fetch_public_key: true, ..Credentials::default() },
            Channel::Plain,
        )
        .unwrap();
        for _ in 0..3 {
            let count = random.below(40);
            let mut bytes = random.bytes(count);
            if let Some(first) = bytes.first_mut() {
                *first = [0, 1, 2, 3, 0xfe, 0xff, 0xfb][random.below(7)];
            }
            let _ = login.packet(&bytes);
            let _ = answers.packet(&bytes);
        }
    }
}

#[test]
fn random_streams_never_hold_more_than_the_limit() {
    let mut random = Random(5);
    let limits = FramerLimits { payload_bytes_max: 300_000, key: "event_bytes_max" };
    for _ in 0..300 {
        let mut framer = Framer::new(limits);
        let mut sequence = 0u8;
        'stream: for _ in 0..50 {
            let length = random.below(400_000);
            let mut packet = (length as u32).to_le_bytes().to_vec();
            packet[3] = if random.below(50) == 0 { 77 } else { sequence };
            sequence = sequence.wrapping_add(1);
            packet.resize(4 + length, 3);
            let mut rest = &packet[..];
            while !rest.is_empty() {
                let Ok(space) = framer.space() else {
                    break 'stream;
                };
                assert!(!space.is_empty());
                let count = space.len().min(rest.len());
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                if framer.filled(count).is_err() {
                    break 'stream;
                }
                while let Ok(Some(frames)) = framer.take() {
                    assert!(frames.payloads().all(|payload| payload.len() <= limits.payload_bytes_max));
                }
            }
        }
    }
}

#[test]
fn random_gtid_sets_are_survived() {
    let mut random = Random(3);
    for _ in 0..50_000 {
        let count = random.below(120);
        let mut bytes = random.bytes(count);
        // Make the count plausible, so that the entries are reached.
        if let Some(head) = bytes.first_chunk_mut::<8>() {
            *head = if random.below(2) == 0 { [1, 0, 0, 0, 0, 0, 0, 0] } else { [1, 2, 0, 0, 0, 0, 0, 1] };
        }
        if let Ok(set) = GtidSet::decode(&bytes) {
            assert_eq!(GtidSet::decode(&set.encode()).unwrap(), set);
            assert_eq!(set.to_string().parse::<GtidSet>().unwrap(), set);
        }
        let text: String =
            (0..random.below(60)).map(|_| b"0123456789abcdef-:,_ \nG"[random.below(23)] as char).collect();
        if let Ok(gtids) = text.parse::<ExecutedGtids>() {
            assert_eq!(gtids.to_string().parse::<ExecutedGtids>().unwrap().to_string(), gtids.to_string());
        }
    }
}
