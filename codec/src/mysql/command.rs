//! Payloads of the commands that a replica sends. Each is one packet with sequence number 0.
//!
//! ```text
//! 01 COM_QUIT
//! 03 COM_QUERY            rest: statement
//! 0e COM_PING
//! 12 COM_BINLOG_DUMP      u32 offset, u16 flags, u32 server id, rest: file
//! 15 COM_REGISTER_SLAVE   u32 server id, u8-prefixed host, user, password, u16 port, u32 0, u32 0
//! 1e COM_BINLOG_DUMP_GTID u16 flags, u32 server id, u32-prefixed file, u64 offset, u32-prefixed GTID set
//! ```

use super::gtid::GtidSet;

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_PING: u8 = 0x0e;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// The server ends the stream (EOF packet) where the log ends, instead of waiting for more.
pub const DUMP_NON_BLOCK: u16 = 0x0001;
/// MariaDB: send ANNOTATE_ROWS events.
pub const DUMP_SEND_ANNOTATE_ROWS: u16 = 0x0002;

/// First byte of every packet of a dump stream, and of every response.
pub mod response {
    /// An event follows; or, as a response to a command, it has succeeded.
    pub const OK: u8 = 0x00;
    pub const ERROR: u8 = 0xff;
    /// The stream has ended ([`DUMP_NON_BLOCK`](super::DUMP_NON_BLOCK)).
    pub const EOF: u8 = 0xfe;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the binlog's offset {0} does not fit COM_BINLOG_DUMP, which has 32 bits for it; start by GTID or at a later file"
)]
pub struct OffsetTooLarge(pub u64);

pub fn quit() -> Vec<u8> {
    vec![COM_QUIT]
}

pub fn ping() -> Vec<u8> {
    vec![COM_PING]
}

pub fn query(statement: &str) -> Vec<u8> {
    [&[COM_QUERY], statement.as_bytes()].concat()
}

/// Makes the connection visible in SHOW REPLICAS. Host, user and password are what a replica would report of
/// itself; here only the host is.
pub fn register_replica(server_id: u32, host: &str, port: u16) -> Vec<u8> {
    // The server's own bound on a host's name, and the length has one byte.
    const HOST_BYTES_MAX: usize = 60;
    let host = host.as_bytes();
    let host = host.get(..HOST_BYTES_MAX).unwrap_or(host);
    let mut out = vec![COM_REGISTER_SLAVE];
    out.extend(server_id.to_le_bytes());
    out.push(u8::try_from(host.len()).unwrap_or_default());
    out.extend(host);
    out.extend([0, 0]);
    out.extend(port.to_le_bytes());
    out.extend([0; 8]);
    out
}

/// Dump from a file and offset. An empty file name: from the first file there is. MariaDB goes by GTID instead when
/// `@slave_connect_state` is set.
///
/// # Errors
/// [`OffsetTooLarge`] past 4 GiB: the protocol has 32 bits.
pub fn binlog_dump(file: &str, offset: u64, server_id: u32, flags: u16) -> Result<Vec<u8>, OffsetTooLarge> {
    let offset = u32::try_from(offset).map_err(|_| OffsetTooLarge(offset))?;
    let mut out = vec![COM_BINLOG_DUMP];
    out.extend(offset.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(server_id.to_le_bytes());
    out.extend(file.as_bytes());
    Ok(out)
}

/// Dump of all transactions that are not in the set (MySQL only). A set with tags needs a server from 8.3 on.
pub fn binlog_dump_gtid(executed: &GtidSet, server_id: u32, flags: u16) -> Vec<u8> {
    // What a replica sends: file and offset are not looked at when there is a set.
    const OFFSET: u64 = 4;
    let set = executed.encode();
    let mut out = vec![COM_BINLOG_DUMP_GTID];
    out.extend(flags.to_le_bytes());
    out.extend(server_id.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(OFFSET.to_le_bytes());
    out.extend(u32::try_from(set.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(set);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_table_says() {
        assert_eq!(query("SELECT 1"), b"\x03SELECT 1");
        assert_eq!(
            binlog_dump("binlog.000002", 0x0102_0304, 9, DUMP_NON_BLOCK).unwrap(),
            b"\x12\x04\x03\x02\x01\x01\0\x09\0\0\0binlog.000002"
        );
        assert_eq!(binlog_dump("f", 1 << 32, 9, 0), Err(OffsetTooLarge(1 << 32)));
        assert_eq!(register_replica(9, "h", 0x0304), b"\x15\x09\0\0\0\x01h\0\0\x04\x03\0\0\0\0\0\0\0\0");
        let mut expected = b"\x1e\0\0\x09\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0".to_vec();
        expected.extend([0; 8]);
        assert_eq!(binlog_dump_gtid(&GtidSet::new(), 9, 0), expected);
    }

    /// `mysql_common` writes the same bytes.
    #[test]
    fn agrees_with_mysql_common() {
        use mysql_common::packets::{BinlogDumpFlags, ComBinlogDump, ComBinlogDumpGtid, ComRegisterSlave, Sid};
        use mysql_common::proto::MySerialize;
        let serialized = |value: &dyn MySerialize| {
            let mut out = Vec::new();
            value.serialize(&mut out);
            out
        };
        let dump = ComBinlogDump::new(9).with_filename(b"binlog.000002").with_pos(77u32);
        assert_eq!(binlog_dump("binlog.000002", 77, 9, 0).unwrap(), serialized(&dump));
        let replica = ComRegisterSlave::new(9).with_hostname(b"host").with_port(3306);
        assert_eq!(register_replica(9, "host", 3306), serialized(&replica));
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7";
        let sid: Sid<'_> = text.parse().unwrap();
        let dump = ComBinlogDumpGtid::new(9).with_sids(vec![sid]).with_pos(4u64).with_flags(BinlogDumpFlags::empty());
        // It always sets BINLOG_THROUGH_GTID (4), which no server looks at.
        assert_eq!(binlog_dump_gtid(&text.parse().unwrap(), 9, 4), serialized(&dump));
    }
}
