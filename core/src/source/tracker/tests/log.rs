//! Makes binlogs for the tests: the bytes of events, placed as a server would place them.

use millstream_codec::mysql::event::{EventFlags, EventType as T};

pub const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
pub const FILE: &str = "binlog.000001";

/// What the tables' maps tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    Full,
    None,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub is_mariadb: bool,
    /// As MariaDB 11.8: no end positions inside transactions.
    pub silent_inside: bool,
    pub has_checksums: bool,
    pub metadata: Metadata,
    /// End of the last event.
    pub offset: u64,
    pub file: String,
    pub events: Vec<Vec<u8>>,
    inside: bool,
    next_gtid: u64,
}

impl Log {
    pub fn mysql() -> Self {
        let mut log = Self {
            is_mariadb: false,
            silent_inside: false,
            has_checksums: true,
            metadata: Metadata::Full,
            offset: 4,
            file: FILE.into(),
            events: Vec::new(),
            inside: false,
            next_gtid: 1,
        };
        log.fake_rotate(FILE, 4);
        log.format("9.7.4");
        log
    }

    pub fn mariadb() -> Self {
        let mut log = Self::mysql();
        (log.is_mariadb, log.silent_inside) = (true, true);
        log.events.clear();
        log.offset = 4;
        log.fake_rotate(FILE, 4);
        log.format("11.8.3-MariaDB-log");
        log
    }

    /// Its first events.
    pub fn up_to(&self, count: usize) -> Self {
        Self { events: self.events.iter().take(count).cloned().collect(), ..self.clone() }
    }

    pub fn event(&mut self, type_code: u8, flags: u16, body: &[u8]) {
        self.event_at(type_code, flags, body, None);
    }

    /// `end`: what the header says instead of the truth.
    pub fn event_at(&mut self, type_code: u8, flags: u16, body: &[u8], end: Option<u32>) {
        let size = 19 + body.len() + if self.has_checksums { 4 } else { 0 };
        let artificial = flags & EventFlags::ARTIFICIAL != 0;
        if !artificial {
            self.offset += size as u64;
        }
        let told = match end {
            Some(end) => end,
            None if artificial || self.inside && self.silent_inside => 0,
            None => (self.offset & 0xffff_ffff) as u32,
        };
        let bytes = raw(type_code, flags, body, told, self.has_checksums);
        self.events.push(bytes);
    }

    pub fn format(&mut self, version: &str) {
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut name = version.as_bytes().to_vec();
        name.resize(50, 0);
        body.extend(name);
        body.extend(1_600_000_000u32.to_le_bytes());
        body.push(19);
        body.extend([0; 41]);
        body.push(u8::from(self.has_checksums));
        let had = std::mem::replace(&mut self.has_checksums, true);
        self.event(T::FORMAT_DESCRIPTION, 0, &body);
        self.has_checksums = had;
    }

    pub fn fake_rotate(&mut self, file: &str, position: u64) {
        let mut body = position.to_le_bytes().to_vec();
        body.extend(file.as_bytes());
        self.event(T::ROTATE, EventFlags::ARTIFICIAL, &body);
    }

    /// The end of this file and the beginning of the next, as a dump sends them.
    pub fn rotate(&mut self, file: &str) {
        let mut body = 4u64.to_le_bytes().to_vec();
        body.extend(file.as_bytes());
        self.event(T::ROTATE, 0, &body);
        self.file = file.into();
        self.offset = 4;
        self.fake_rotate(file, 4);
        self.format(if self.is_mariadb { "11.8.3-MariaDB-log" } else { "9.7.4" });
    }

    pub fn previous_gtids(&mut self, last: u64) {
        let mut body = u64::from(last > 0).to_le_bytes().to_vec();
        if last > 0 {
            body.extend(uuid());
            body.extend(1u64.to_le_bytes());
            body.extend(1u64.to_le_bytes());
            body.extend((last + 1).to_le_bytes());
        }
        self.event(T::PREVIOUS_GTIDS, 0, &body);
    }

    /// The next GTID: MySQL's event, or MariaDB's with these flags.
    pub fn gtid_with(&mut self, flags: u8, xid: Option<&str>) {
        let number = self.next_gtid;
        self.next_gtid += 1;
        if self.is_mariadb {
            let mut body = number.to_le_bytes().to_vec();
            body.extend(0u32.to_le_bytes());
            body.push(flags);
            if let Some(xid) = xid {
                body.extend(1u32.to_le_bytes());
                body.extend([xid.len() as u8, 0]);
                body.extend(xid.as_bytes());
            }
            body.resize(body.len().max(19), 0);
            self.event(T::MARIADB_GTID, 0, &body);
            self.inside = true;
        } else {
            let mut body = vec![1];
            body.extend(uuid());
            body.extend(number.to_le_bytes());
            body.push(2);
            body.extend([0; 16]);
            body.extend(&(1_700_000_000_000_000u64 + number).to_le_bytes()[..7]);
            self.event(T::GTID, 0, &body);
        }
    }

    /// A transaction begins.
    pub fn begin(&mut self) {
        self.gtid_with(0, None);
        if !self.is_mariadb {
            self.query("BEGIN");
        }
    }

    pub fn statement(&mut self, sql: &str) {
        self.gtid_with(1, None);
        self.inside = false;
        self.query(sql);
    }

    pub fn query(&mut self, sql: &str) {
        let body = query_body(sql);
        self.event(T::QUERY, 0, &body);
    }

    /// COMMIT or ROLLBACK.
    pub fn end_by(&mut self, sql: &str) {
        self.inside = false;
        self.query(sql);
    }

    pub fn xid(&mut self) {
        self.inside = false;
        self.event(T::XID, 0, &7u64.to_le_bytes());
    }

    pub fn xa_prepare(&mut self, xid: &str, one_phase: bool) {
        self.inside = false;
        let mut body = vec![u8::from(one_phase)];
        body.extend(1u32.to_le_bytes());
        body.extend((xid.len() as u32).to_le_bytes());
        body.extend(0u32.to_le_bytes());
        body.extend(xid.as_bytes());
        self.event(T::XA_PREPARE, 0, &body);
    }

    /// The table `d.NAME (id INT)`.
    pub fn table_map(&mut self, id: u64, name: &str) {
        let body = table_map_body(id, name, &["id"], self.metadata);
        self.event(T::TABLE_MAP, 0, &body);
    }

    pub fn insert(&mut self, id: u64, values: &[i32]) {
        self.event(T::WRITE_ROWS, 0, &insert_body(id, values, 1));
    }

    /// Table map and rows of one statement.
    pub fn rows(&mut self, id: u64, name: &str, values: &[i32]) {
        self.table_map(id, name);
        self.insert(id, values);
    }

    /// One whole transaction.
    pub fn transaction(&mut self, id: u64, name: &str, values: &[i32]) {
        self.begin();
        self.rows(id, name, values);
        self.xid();
    }

    /// An XA transaction up to its PREPARE.
    pub fn prepared(&mut self, xid: &str, rows: impl FnOnce(&mut Self)) {
        self.xa_rows(xid, rows);
        self.xa_prepare(xid, false);
    }

    pub fn xa_rows(&mut self, xid: &str, rows: impl FnOnce(&mut Self)) {
        self.gtid_with(0x40, Some(xid));
        if !self.is_mariadb {
            self.query(&format!("XA START {}", hex(xid)));
        }
        rows(self);
        self.query(&format!("XA END {}", hex(xid)));
    }

    pub fn decide(&mut self, verb: &str, xid: &str) {
        self.gtid_with(0x80 | 1, Some(xid));
        self.inside = false;
        self.query(&format!("XA {verb} {}", hex(xid)));
    }

    /// The last events, from this index on, as one compressed payload.
    pub fn pack(&mut self, from: usize) {
        let inner: Vec<u8> = self
            .events
            .drain(from..)
            .flat_map(|mut event| {
                event.truncate(event.len() - 4);
                let size = (event.len() as u32).to_le_bytes();
                event[9..13].copy_from_slice(&size);
                event
            })
            .collect();
        self.offset = 0;
        for event in &self.events {
            let end = u32::from_le_bytes(event[13..17].try_into().unwrap());
            self.offset = self.offset.max(u64::from(end));
        }
        let lenenc = |value: usize| {
            let mut bytes = vec![254];
            bytes.extend((value as u64).to_le_bytes());
            bytes
        };
        let mut body = Vec::new();
        for (field, value) in [(2, vec![252, 255, 0]), (3, lenenc(inner.len())), (1, lenenc(inner.len()))] {
            body.push(field);
            body.push(value.len() as u8);
            body.extend(value);
        }
        body.push(0);
        body.extend(inner);
        self.event(T::TRANSACTION_PAYLOAD, 0, &body);
    }
}

pub fn raw(type_code: u8, flags: u16, body: &[u8], end: u32, checksum: bool) -> Vec<u8> {
    let size = 19 + body.len() + if checksum { 4 } else { 0 };
    let timestamp = if flags & EventFlags::ARTIFICIAL != 0 { 0u32 } else { 1_700_000_000 };
    let mut bytes = timestamp.to_le_bytes().to_vec();
    bytes.push(type_code);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend((size as u32).to_le_bytes());
    bytes.extend(end.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(body);
    if checksum {
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    }
    bytes
}

pub fn hex(xid: &str) -> String {
    let digits: String = xid.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}',X'',1")
}

fn uuid() -> Vec<u8> {
    let digits: String = UUID.chars().filter(|c| *c != '-').collect();
    (0..16).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn query_body(sql: &str) -> Vec<u8> {
    let mut body = 7u32.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    body.push(1);
    body.extend([0, 0, 0, 0]);
    body.extend(b"d\0");
    body.extend(sql.as_bytes());
    body
}

/// Columns are INT.
pub fn table_map_body(id: u64, name: &str, columns: &[&str], metadata: Metadata) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend([1, 0, 1]);
    body.extend(b"d\0");
    body.push(name.len() as u8);
    body.extend(name.as_bytes());
    body.push(0);
    body.push(columns.len() as u8);
    body.extend(vec![3; columns.len()]);
    body.push(0);
    body.extend(vec![0; columns.len().div_ceil(8)]);
    if metadata == Metadata::Full {
        body.extend([1, 1, 0]);
        let names: Vec<u8> =
            columns.iter().flat_map(|name| std::iter::once(name.len() as u8).chain(name.bytes())).collect();
        body.extend([4, names.len() as u8]);
        body.extend(names);
    }
    body
}

/// Rows of one INT column.
pub fn insert_body(id: u64, values: &[i32], flags: u16) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend(flags.to_le_bytes());
    body.extend([2, 0, 1, 1]);
    for value in values {
        body.push(0);
        body.extend(value.to_le_bytes());
    }
    body
}
