//! The floor: a socket that reads the dump and drops it. What it is told of the stream is when so many bytes were there; of
//! a MySQL's, whose bytes are not known beforehand, it reads the packets' headers and knows when transactions end.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use millstream_codec::mysql::command;
use millstream_codec::mysql::handshake::{Channel, Credentials, Greeting, Login, LoginStep};
use millstream_codec::mysql::packet::write_packet;

use super::{Arrivals, StreamArgs, say};
use crate::clock::now_ns;

const BUFFER_BYTES: usize = 256 << 10;
const XID: u8 = 16;
/// Packet header, OK byte, time of the event, its type.
const TYPE_AT: usize = 4 + 1 + 4;

pub fn run(arguments: &StreamArgs) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((arguments.host.as_str(), arguments.port))?;
    stream.set_nodelay(true)?;
    if arguments.login {
        ask_for_dump(&mut stream, arguments)?;
        say(&serde_json::json!({"event": "ready"}));
        return read_packets(&mut stream, arguments);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut reads: Vec<[u64; 2]> = Vec::with_capacity(1 << 20);
    let mut bytes = 0;
    say(&serde_json::json!({"event": "ready"}));
    // Its stamps are pairs: bytes so far, and when. `rows` is the number of bytes to wait for.
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the stream ended after {bytes} bytes");
        bytes += read as u64;
        reads.push([bytes, now_ns()]);
        if bytes >= arguments.rows {
            break;
        }
    }
    if let Some(path) = &arguments.stamps {
        let flat: Vec<u8> = reads.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(path, flat)?;
    }
    say(&serde_json::json!({"event": "done", "rows": bytes, "transactions": reads.len(), "ns": now_ns()}));
    Ok(())
}

/// Until so many transactions have ended.
fn read_packets(stream: &mut TcpStream, arguments: &StreamArgs) -> anyhow::Result<()> {
    let mut arrivals = Arrivals::new(&StreamArgs { rows: arguments.transactions, ..arguments.clone() });
    let mut packets = Packets { buffer: vec![0; BUFFER_BYTES], filled: 0, skip: 0 };
    loop {
        let read = stream.read(packets.space())?;
        ensure!(read > 0, "the stream ended");
        for _ in 0..packets.filled(read) {
            if arrivals.transaction(1) {
                return arrivals.done();
            }
        }
    }
}

/// Finds the ends of transactions without keeping anything.
struct Packets {
    buffer: Vec<u8>,
    filled: usize,
    /// Of the packet that is passing.
    skip: usize,
}

impl Packets {
    fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// How many transactions have ended in these bytes.
    fn filled(&mut self, count: usize) -> usize {
        self.filled += count;
        let mut at = 0;
        let mut ended = 0;
        loop {
            let rest = &self.buffer[at..self.filled];
            let skipped = self.skip.min(rest.len());
            (at, self.skip) = (at + skipped, self.skip - skipped);
            let Some(header) = rest[skipped..].get(..=TYPE_AT) else { break };
            let size = 4 + (usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16);
            if header[TYPE_AT] == XID {
                // It has ended when its last byte is here.
                if rest.len() - skipped < size {
                    break;
                }
                ended += 1;
            }
            self.skip = size;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        ended
    }
}

/// Logs in and asks for the dump, with checksums.
fn ask_for_dump(stream: &mut TcpStream, arguments: &StreamArgs) -> anyhow::Result<()> {
    let credentials = Credentials {
        user: arguments.user.clone(),
        password: arguments.password.clone(),
        fetch_public_key: true,
        ..Credentials::default()
    };
    let (_, greeting) = read_packet(stream)?;
    let mut login = Login::new(&Greeting::parse(&greeting)?, credentials, Channel::Plain)?;
    send(stream, 1, &login.response()?)?;
    loop {
        let (sequence, payload) = read_packet(stream)?;
        match login.packet(&payload)? {
            LoginStep::Send(answer) => send(stream, sequence.wrapping_add(1), &answer)?,
            LoginStep::Wait => {}
            LoginStep::Done => break,
        }
    }
    send(stream, 0, &command::query("SET @source_binlog_checksum = 'CRC32'"))?;
    let (_, answer) = read_packet(stream)?;
    ensure!(answer.first() == Some(&command::response::OK), "the server wants no checksums");
    let dump = command::binlog_dump(&arguments.file, arguments.position, arguments.server_id, 0);
    send(stream, 0, &dump.ok().context("a place beyond 4 GiB")?)
}

fn send(stream: &mut TcpStream, mut sequence: u8, payload: &[u8]) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    write_packet(&mut packet, &mut sequence, payload);
    Ok(stream.write_all(&packet)?)
}

fn read_packet(stream: &mut TcpStream) -> anyhow::Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut payload = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16];
    stream.read_exact(&mut payload)?;
    Ok((header[3], payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_end_with_the_last_byte_of_their_xid_however_the_bytes_come() {
        let log = millstream_bench::log::transactions(50);
        let bytes = log.packets();
        let (mut at, mut ends) = (0, Vec::new());
        for event in &log.events {
            at += 4 + 1 + event.len();
            ends.extend((event[4] == XID).then_some(at));
        }
        assert_eq!(ends.len(), 50);
        for part in [1, 7, 300, bytes.len()] {
            let mut packets = Packets { buffer: vec![0; bytes.len() + TYPE_AT], filled: 0, skip: 0 };
            let (mut came, mut ended) = (0, 0);
            for chunk in bytes.chunks(part) {
                packets.space()[..chunk.len()].copy_from_slice(chunk);
                ended += packets.filled(chunk.len());
                came += chunk.len();
                assert_eq!(ended, ends.iter().filter(|end| **end <= came).count(), "{came} bytes in parts of {part}");
            }
        }
    }
}
