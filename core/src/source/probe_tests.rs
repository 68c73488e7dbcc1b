use super::*;

const UUID: [u8; 16] = [0xab; 16];
const ARTIFICIAL: u16 = 0x20;

/// Writes events one behind the other, as a dump of files sends them.
struct Log {
    second: u32,
    offset: u64,
    /// What MariaDB 11.8 does inside transactions.
    without_ends: bool,
    events: Vec<Vec<u8>>,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { second: 100, offset: 4, without_ends: false, events: Vec::new() };
        log.artificial(EventType::ROTATE, &[&4u64.to_le_bytes()[..], b"b.000001"].concat());
        log.format();
        log
    }

    fn push(&mut self, type_code: u8, body: &[u8], timestamp: u32, end: u32, flags: u16) {
        let mut bytes = timestamp.to_le_bytes().to_vec();
        bytes.push(type_code);
        bytes.extend(7u32.to_le_bytes());
        bytes.extend((19 + body.len() as u32).to_le_bytes());
        bytes.extend(end.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(body);
        self.events.push(bytes);
    }

    fn artificial(&mut self, type_code: u8, body: &[u8]) {
        self.push(type_code, body, 0, 0, ARTIFICIAL);
    }

    /// Where it begins.
    fn event(&mut self, type_code: u8, body: &[u8]) -> u64 {
        let start = self.offset;
        self.offset += 19 + body.len() as u64;
        let end = if self.without_ends { 0 } else { self.offset as u32 };
        self.push(type_code, body, self.second, end, 0);
        start
    }

    fn format(&mut self) -> u64 {
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut version = b"8.0.36".to_vec();
        version.resize(50, 0);
        body.extend(version);
        body.extend(0u32.to_le_bytes());
        body.push(19);
        body.extend([
            56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
            42, 42, 0, 18, 52, 0, 10, 40, 0,
        ]);
        // No checksum.
        body.extend([0; 5]);
        self.event(EventType::FORMAT_DESCRIPTION, &body)
    }

    fn gtid(&mut self, number: u64, commit_us: u64) -> u64 {
        let mut body = vec![1];
        body.extend(UUID);
        body.extend(number.to_le_bytes());
        body.push(2);
        body.extend([0; 16]);
        body.extend(&commit_us.to_le_bytes()[..7]);
        self.event(EventType::GTID, &body)
    }

    fn query(&mut self, statement: &str) -> u64 {
        let body = [&[0; 13][..], &[0], statement.as_bytes()].concat();
        self.event(EventType::QUERY, &body)
    }

    fn transaction(&mut self, number: u64, commit_us: u64) -> u64 {
        let start = self.gtid(number, commit_us);
        self.query("BEGIN");
        self.event(EventType::TABLE_MAP, &[0; 8]);
        self.event(EventType::WRITE_ROWS, &[0; 8]);
        self.event(EventType::XID, &[0; 8]);
        start
    }

    fn probe(&self, until: ProbeUntil) -> Result<ProbeResult, SourceError> {
        let mut probe = Probe::new(ProbeRequest { file: "b.000001".into(), until });
        for event in &self.events {
            if let Some(result) = probe.event(event)? {
                return Ok(result);
            }
        }
        probe.end()
    }

    fn found(&self, until: ProbeUntil) -> (u64, String) {
        let result = self.probe(until).unwrap();
        (result.at.offset, result.gtids.to_string())
    }
}

const SET: &str = "abababab-abab-abab-abab-abababababab";

#[test]
fn a_file_was_begun_when_its_format_description_says() {
    assert_eq!(Log::new().probe(ProbeUntil::Created).unwrap().created_us, 100_000_000);
}

#[test]
fn a_place_is_told_with_the_gtids_before_it() {
    let mut log = Log::new();
    let head_end = log.offset;
    let first = log.transaction(1, 0);
    let ddl = log.gtid(2, 0);
    log.query("CREATE TABLE t (a INT)");
    let last = log.transaction(3, 0);
    let end = log.offset;
    for (offset, expected) in [
        (4, (4, String::new())),
        (head_end, (head_end, String::new())),
        (first, (first, String::new())),
        (ddl, (ddl, format!("{SET}:1"))),
        (last, (last, format!("{SET}:1-2"))),
        (end, (end, format!("{SET}:1-3"))),
        // Inside an event, and at an event inside a transaction.
        (first + 1, (first, String::new())),
        (last - 1, (ddl, format!("{SET}:1"))),
        (end - 27, (last, format!("{SET}:1-2"))),
    ] {
        assert_eq!(log.found(ProbeUntil::Offset(offset)), expected, "{offset}");
    }
    assert!(log.probe(ProbeUntil::Offset(end + 1)).is_err());
}

#[test]
fn without_gtids_the_statements_tell_where_transactions_are() {
    let mut log = Log::new();
    let first = log.query("BEGIN");
    log.event(EventType::TABLE_MAP, &[0; 8]);
    let inside = log.query("SAVEPOINT a");
    log.query("ROLLBACK TO a");
    log.query("COMMIT");
    let ddl = log.query("DROP TABLE t");
    let next = log.query("BEGIN");
    for (offset, expected) in [(first, first), (inside, first), (ddl, ddl), (next, next)] {
        assert_eq!(log.found(ProbeUntil::Offset(offset)).0, expected, "{offset}");
    }
}

#[test]
fn a_moment_is_found_by_commit_time() {
    let mut log = Log::new();
    let first = log.transaction(1, 100_000_100);
    let second = log.transaction(2, 100_000_200);
    let end = log.offset;
    for (time_us, expected) in [(0, first), (100_000_100, first), (100_000_101, second), (100_000_201, end)] {
        assert_eq!(log.found(ProbeUntil::Time(time_us)).0, expected, "{time_us}");
    }

    // Without microseconds a whole second may be meant.
    let mut log = Log::new();
    let first = log.transaction(1, 0);
    log.second = 101;
    let second = log.transaction(2, 0);
    for (time_us, expected) in [(100_999_999, first), (101_000_000, second), (101_999_999, second)] {
        assert_eq!(log.found(ProbeUntil::Time(time_us)).0, expected, "{time_us}");
    }
}

#[test]
fn the_search_for_a_moment_goes_on_in_the_next_file() {
    let mut log = Log::new();
    log.transaction(1, 100_000_100);
    log.event(EventType::ROTATE, &[&4u64.to_le_bytes()[..], b"b.000002"].concat());
    log.artificial(EventType::ROTATE, &[&4u64.to_le_bytes()[..], b"b.000002"].concat());
    log.offset = 4;
    log.format();
    let second = log.transaction(2, 100_000_200);
    let result = log.probe(ProbeUntil::Time(100_000_150)).unwrap();
    assert_eq!(result.at, FilePosition { file: "b.000002".into(), offset: second });
    assert_eq!(result.gtids.to_string(), format!("{SET}:1"));
    // An offset is one of the first file only.
    assert!(log.probe(ProbeUntil::Offset(100_000)).is_err());
}

#[test]
fn offsets_are_counted_past_missing_ends_and_left_out_events() {
    let mut log = Log::new();
    log.without_ends = true;
    log.transaction(1, 0);
    log.without_ends = false;
    let second = log.transaction(2, 0);
    assert_eq!(log.found(ProbeUntil::Offset(second)), (second, format!("{SET}:1")));

    let mut log = Log::new();
    log.transaction(1, 0);
    log.offset += 500;
    let behind_a_gap = log.transaction(2, 0);
    assert_eq!(log.found(ProbeUntil::Offset(behind_a_gap)).0, behind_a_gap);
    log.artificial(EventType::HEARTBEAT, b"b.000001");
    let third = log.transaction(3, 0);
    assert_eq!(log.found(ProbeUntil::Offset(third)).0, third);
}

#[test]
fn ends_wrap_at_four_gigabytes() {
    let header = |size: u32, end_position: u32| EventHeader {
        timestamp: 1,
        type_code: EventType::XID,
        server_id: 1,
        size,
        end_position,
        flags: 0,
    };
    assert_eq!(end_of(0xffff_fff0, &header(0x20, 0x10)), 0x1_0000_0010);
    assert_eq!(end_of(0x1_0000_0010, &header(0x20, 0x40)), 0x1_0000_0040);
    assert_eq!(end_of(100, &header(20, 0)), 120);
    assert_eq!(end_of(100, &header(20, 50)), 120);
}

#[test]
fn damaged_events_are_errors() {
    let mut log = Log::new();
    log.transaction(1, 0);
    let event = log.events.last_mut().unwrap();
    event.truncate(20);
    assert!(matches!(log.probe(ProbeUntil::Offset(9999)), Err(SourceError::Corrupt { .. })));
    for length in 0..19 {
        let mut probe = Probe::new(ProbeRequest { file: "f".into(), until: ProbeUntil::Created });
        assert!(probe.event(&vec![0; length]).is_err());
    }
}
