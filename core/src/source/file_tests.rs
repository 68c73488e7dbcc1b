use super::*;
use crate::engine::batch::{PartEnd, SourceBatch};
use crate::engine::interest::{ViewId, ViewInterest};
use crate::filter::Filter;
use crate::position::Position;
use crate::source::session::server::Flavour;
use crate::source::tracker::{Connected, Notice, StatementPolicy};
use bytes::Bytes;
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{EventFlags, EventType};
use millstream_codec::mysql::rows::RowsEvent;

/// Recorded from real servers; `record.sh` beside them made them.
const RECORDED: [(&str, &[u8], &str); 6] = [
    (
        "mysql56",
        include_bytes!("../../../codec/tests/data/mysql56.binlog"),
        include_str!("../../../codec/tests/data/mysql56.gtid.txt"),
    ),
    (
        "mysql57",
        include_bytes!("../../../codec/tests/data/mysql57.binlog"),
        include_str!("../../../codec/tests/data/mysql57.gtid.txt"),
    ),
    (
        "mysql97",
        include_bytes!("../../../codec/tests/data/mysql97.binlog"),
        include_str!("../../../codec/tests/data/mysql97.gtid.txt"),
    ),
    (
        "mariadb105",
        include_bytes!("../../../codec/tests/data/mariadb105.binlog"),
        include_str!("../../../codec/tests/data/mariadb105.gtid.txt"),
    ),
    (
        "mariadb1011",
        include_bytes!("../../../codec/tests/data/mariadb1011.binlog"),
        include_str!("../../../codec/tests/data/mariadb1011.gtid.txt"),
    ),
    (
        "mariadb118",
        include_bytes!("../../../codec/tests/data/mariadb118.binlog"),
        include_str!("../../../codec/tests/data/mariadb118.gtid.txt"),
    ),
];

fn parts() -> (Arc<Mutex<Tables>>, Arc<InterestSet>) {
    let tables = Tables::in_memory("files");
    let views = vec![ViewInterest { view: ViewId(1), filter: Arc::new(Filter::everything()) }];
    (Arc::new(Mutex::new(tables)), Arc::new(InterestSet { version: 1, views }))
}

fn config() -> TrackerConfig {
    TrackerConfig {
        shards: 1,
        hold_bytes_max: 1 << 30,
        event_bytes_max: 1 << 20,
        statement_dml: StatementPolicy::Skip,
        quarantine: Arc::default(),
        first_sequence: 1,
    }
}

fn decoder() -> FileDecode {
    let (tables, interest) = parts();
    FileDecode::new(config(), tables, interest)
}

/// Every part in words: what it is, where it lies, and which bytes its rows are.
fn describe(batch: &SourceBatch, lines: &mut Vec<String>) {
    for part in &batch.transactions {
        let gtid = part.gtid.map(|gtid| gtid.to_string()).unwrap_or_default();
        let mut line = format!("{} {gtid} {}..{} {:?}", part.sequence, part.start, part.position, part.end);
        for event in &batch.events[part.events.start as usize..part.events.end as usize] {
            let body = &batch.chunks[event.chunk as usize][event.start as usize..event.end as usize];
            let rows = RowsEvent::parse(event.type_code, body).unwrap();
            let table = &batch.tables[event.table as usize].schema.table;
            let crc = crc32fast::hash(rows.rows);
            line += &format!(" {:?} {table}#{}@{} {crc:08x}", rows.op, event.index, event.offset);
        }
        if let Some(ddl) = &part.ddl {
            line += &format!(" {} {:?}", ddl.kind, ddl.tables);
        }
        if let Some(open_xa) = &part.open_xa {
            line += &format!(" {} open", open_xa.len());
        }
        lines.push(line);
    }
}

#[derive(Default)]
struct Decoded {
    lines: Vec<String>,
    notices: Vec<Notice>,
    error: Option<String>,
}

impl Decoded {
    fn drain(&mut self, decode: &mut FileDecode) {
        loop {
            match decode.poll() {
                Ok(None) => return,
                Ok(Some(TrackerOutput::Batch(batch))) => describe(&batch, &mut self.lines),
                Ok(Some(TrackerOutput::Notice(notice))) => self.notices.push(notice),
                Ok(Some(TrackerOutput::Need(need))) => panic!("{need:?}"),
                Err(error) => {
                    self.error.get_or_insert(error.to_string());
                    return;
                }
            }
        }
    }
}

fn decode_in(bytes: &[u8], slice: usize) -> (Decoded, FileDecode) {
    let (mut decoded, mut decode) = (Decoded::default(), decoder());
    decode.begin_file("binlog.000001");
    for slice in bytes.chunks(slice) {
        if let Err(error) = decode.push(slice) {
            decoded.drain(&mut decode);
            decoded.error.get_or_insert(error.to_string());
            return (decoded, decode);
        }
        decoded.drain(&mut decode);
    }
    if let Err(error) = decode.finish_file() {
        decoded.error.get_or_insert(error.to_string());
    }
    decode.finish();
    decoded.drain(&mut decode);
    (decoded, decode)
}

#[test]
fn recorded_files_decode_to_their_end() {
    for (name, bytes, gtids) in RECORDED {
        let (decoded, decode) = decode_in(bytes, usize::MAX);
        assert_eq!(decoded.error, None, "{name}");
        assert_eq!(decode.tracker().position().gtids, gtids.trim().parse().unwrap(), "{name}");
        assert!(decoded.lines.len() > 12, "{name}: {:#?}", decoded.lines);
        let skipped = decoded.notices.iter().filter(|notice| matches!(notice, Notice::StatementSkipped { .. })).count();
        assert_eq!(skipped, 1, "{name}: {:#?}", decoded.notices);
        // The XA rows come with the XA COMMIT, where the server logs XA so.
        if let Some(prepared) = decoded.lines.iter().position(|line| line.ends_with("1 open")) {
            assert!(!decoded.lines[prepared].contains("Insert"), "{name}");
            assert!(decoded.lines[prepared + 1].contains("Insert orders#0"), "{name}");
        } else {
            assert_eq!(name, "mysql56");
        }
        // How the bytes come makes no difference.
        for slice in [1, 7, 1_000] {
            assert_eq!(decode_in(bytes, slice).0.lines, decoded.lines, "{name}, slices of {slice}");
        }
    }
}

#[test]
fn a_cut_file_gives_what_lies_before_and_an_error() {
    for (name, bytes, _) in RECORDED {
        let (whole, _) = decode_in(bytes, usize::MAX);
        for length in (0..bytes.len()).step_by(13) {
            let (decoded, _) = decode_in(&bytes[..length], usize::MAX);
            assert!(whole.lines.starts_with(&decoded.lines), "{name} cut at {length}");
            if let Some(error) = &decoded.error {
                assert!(
                    error.contains("binlog.000001") && error.contains(&format!("ends at byte {length}")),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_damaged_file_never_gives_other_rows() {
    for (name, bytes, _) in RECORDED {
        let (whole, _) = decode_in(bytes, usize::MAX);
        for place in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 0x20;
            let (decoded, _) = decode_in(&damaged, usize::MAX);
            assert!(whole.lines.starts_with(&decoded.lines), "{name}, byte {place}");
            assert!(decoded.error.is_some(), "{name}, byte {place}");
            assert!(decoded.error.unwrap().contains("binlog.000001"), "{name}, byte {place}");
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let check = |bytes: &[u8], expected: &str| {
        let (decoded, _) = decode_in(bytes, usize::MAX);
        let error = decoded.error.unwrap();
        assert!(error.starts_with("binlog.000001") && error.contains(expected), "{error}");
    };
    check(b"\xfdbin and more that is encrypted", "encrypted");
    check(b"SELECT 1; not a binlog", "not a binlog");
    check(b"", "ends at byte 0");
}

/// The events of a file as a dump from its beginning would send them.
fn events(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = BinlogFileReader::new(1 << 20);
    reader.feed(bytes);
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event.bytes.to_vec());
    }
    events
}

struct Live {
    tracker: Tracker,
    lines: Vec<String>,
}

impl Live {
    fn new(position: Position, first_sequence: u64) -> Self {
        let (tables, interest) = parts();
        let config = TrackerConfig { first_sequence, ..config() };
        let mut tracker = Tracker::new(config, position.clone(), tables, interest);
        tracker.connected(&connection(&position));
        Self { tracker, lines: Vec::new() }
    }

    fn feed(&mut self, event: &[u8]) {
        self.tracker.events(Bytes::copy_from_slice(event), std::slice::from_ref(&(0..event.len())), 0);
        while let Some(output) = self.tracker.poll().unwrap() {
            match output {
                TrackerOutput::Batch(batch) => describe(&batch, &mut self.lines),
                TrackerOutput::Need(Need::Schema { .. }) => self.tracker.provide_schema(None),
                TrackerOutput::Need(need) => panic!("{need:?}"),
                TrackerOutput::Notice(_) => {}
            }
        }
    }
}

fn connection(position: &Position) -> Connected {
    Connected {
        flavour: Flavour::Mysql,
        incarnation: position.incarnation.clone(),
        file: position.file.clone(),
        offset: position.offset,
        checksum: Checksum::Crc32,
        facts: Default::default(),
    }
}

fn start() -> Position {
    Position { incarnation: "one".into(), file: "binlog.000001".into(), offset: 4, ..Position::default() }
}

/// What a dump from `position` begins with.
fn fake_rotate(position: &Position) -> Vec<u8> {
    let mut body = position.offset.to_le_bytes().to_vec();
    body.extend(position.file.as_bytes());
    let mut event = vec![0; 4];
    event.push(EventType::ROTATE);
    event.extend(1u32.to_le_bytes());
    event.extend((19 + body.len() as u32 + 4).to_le_bytes());
    event.extend(0u32.to_le_bytes());
    event.extend(EventFlags::ARTIFICIAL.to_le_bytes());
    event.extend(body);
    event.extend(crc32fast::hash(&event).to_le_bytes());
    event
}

/// The description as a dump sends it that begins elsewhere: without an end.
fn moved_format(format: &[u8]) -> Vec<u8> {
    let mut event = format.to_vec();
    event[13..17].fill(0);
    event[17] &= !1;
    let end = event.len() - 4;
    let crc = crc32fast::hash(&event[..end]).to_le_bytes();
    event[end..].copy_from_slice(&crc);
    event
}

#[test]
fn a_dump_gives_the_same_places_as_its_file() {
    for (name, bytes, gtids) in RECORDED {
        // Tables without full metadata are quarantined in a dump where nobody answers: compare places only.
        let places = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect()
        };
        let (file, decode) = decode_in(bytes, usize::MAX);
        let mut live = Live::new(start(), 1);
        // A ROTATE would move the dump's position to the next file.
        for event in events(bytes).iter().filter(|event| event[4] != EventType::ROTATE) {
            live.feed(event);
        }
        assert_eq!(places(&live.lines), places(&file.lines), "{name}");
        assert_eq!(live.tracker.position().gtids, gtids.trim().parse().unwrap(), "{name}");
        assert_eq!(live.tracker.position().offset, decode.tracker().position().offset, "{name}");
        if name.starts_with("mysql97") || name.starts_with("mariadb1") {
            assert_eq!(live.lines, file.lines, "{name}");
        }
    }
}

#[test]
fn a_dump_that_is_cut_anywhere_goes_on_with_the_same_transactions() {
    for (name, bytes, _) in RECORDED {
        let events = events(bytes);
        let mut whole = Live::new(start(), 1);
        for event in &events {
            whole.feed(event);
        }
        for cut in 1..events.len() {
            let mut live = Live::new(start(), 1);
            for event in &events[..cut] {
                live.feed(event);
            }
            let position = live.tracker.position().clone();
            live.tracker.connected(&connection(&position));
            live.feed(&fake_rotate(&position));
            live.feed(&if position.offset > 4 { moved_format(&events[0]) } else { events[0].clone() });
            let mut offset = 4;
            for (number, event) in events.iter().enumerate() {
                if offset >= position.offset && number > 0 {
                    live.feed(event);
                }
                offset += event.len() as u64;
            }
            assert_eq!(live.lines, whole.lines, "{name} cut before event {cut}");
            assert_eq!(live.tracker.position(), whole.tracker.position());
        }
    }
}

#[test]
fn a_transaction_goes_on_from_one_relay_log_to_the_next() {
    let (_, bytes, _) = RECORDED[2];
    let events = events(bytes);
    let relay = |event: &Vec<u8>| {
        let mut event = event.clone();
        event[17] |= 0x40;
        let end = event.len() - 4;
        let mut covered = event[..end].to_vec();
        covered[17] &= !1;
        let crc = crc32fast::hash(&covered).to_le_bytes();
        event[end..].copy_from_slice(&crc);
        event
    };
    let (whole, _) = decode_in(bytes, usize::MAX);
    let rows = |lines: &[String]| -> Vec<usize> {
        lines.iter().filter(|line| line.contains("Commit")).map(|line| line.matches('#').count()).collect()
    };
    for cut in 1..events.len() {
        let (mut decoded, mut decode) = (Decoded::default(), decoder());
        for (name, part) in [("relay.000001", &events[1..cut]), ("relay.000002", &events[cut..])] {
            decode.begin_file(name);
            decode.push(b"\xfebin").unwrap();
            decode.push(&relay(&events[0])).unwrap();
            decode.push(&part.concat()).unwrap();
            decode.finish_file().unwrap();
            decoded.drain(&mut decode);
        }
        assert_eq!(decoded.error, None);
        assert_eq!(rows(&decoded.lines), rows(&whole.lines), "cut before event {cut}");
    }
    // Of two files of a server the second does not go on where the first one ends.
    let inside = 1 + events.iter().position(|event| event[4] == EventType::TABLE_MAP).unwrap();
    let (mut decoded, mut decode) = (Decoded::default(), decoder());
    for part in [&events[1..inside], &events[inside + 3..]] {
        decode.begin_file("binlog.000001");
        decode.push(b"\xfebin").unwrap();
        decode.push(&events[0]).unwrap();
        decode.push(&part.concat()).unwrap();
        decoded.drain(&mut decode);
    }
    assert!(matches!(decoded.notices[0], Notice::Incomplete { .. }), "{:?}", decoded.notices);
}

#[test]
fn an_open_end_is_told() {
    let (_, bytes, _) = RECORDED[3];
    let events = events(bytes);
    let inside = 1 + events.iter().position(|event| event[4] == EventType::TABLE_MAP).unwrap();
    let mut cut = b"\xfebin".to_vec();
    cut.extend(events[..inside].concat());
    let (decoded, _) = decode_in(&cut, usize::MAX);
    assert_eq!(decoded.error, None);
    assert!(matches!(decoded.notices.last(), Some(Notice::Incomplete { .. })), "{:?}", decoded.notices);
    assert!(decoded.lines.iter().all(|line| !line.contains(&format!("{:?}", PartEnd::Abort))));
}
