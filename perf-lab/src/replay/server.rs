//! Connections of the replayer: pass through, or stream.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

use super::packets::{Log, Packets};
use crate::clock::{now_ns, sleep_until};
use crate::process::pin;

const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);
const SEND_BYTES: usize = 1 << 20;
const CLIENT_SSL: u16 = 0x0800;

mod command {
    pub const QUERY: u8 = 0x03;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
}

/// How fast a recording is streamed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the replica reads.
    Full,
    /// So many transactions a second, whatever the replica does.
    PerSecond(f64),
    /// The same, and nothing more after so many.
    Some { per_second: f64, transactions: u64 },
}

/// When each transaction was offered to the replica.
#[derive(Debug, Default, Clone)]
pub struct Offered {
    /// What latency counts from: when it was handed to the kernel; but when it was due where that was held up by a replica
    /// that did not read.
    pub offered_ns: Vec<u64>,
    /// How late the writer itself was.
    pub late_ns: Vec<u64>,
}

struct Shared {
    log: Arc<Log>,
    with_checksums: OnceLock<Arc<Packets>>,
    without_checksums: OnceLock<Arc<Packets>>,
    pace: Pace,
    core: Option<usize>,
    /// Open from this moment on, by the clock of the laboratory.
    gate: Mutex<Option<u64>>,
    opened: Condvar,
    dumps: AtomicU64,
    offered: Mutex<Offered>,
    stopping: AtomicBool,
}

/// Ends with its connections' threads when dropped: they notice within a heartbeat.
pub struct Replayer {
    /// Stands for the MySQL server.
    pub address: SocketAddr,
    /// The stream alone, at once, without a login: what a bare socket can do.
    pub bare_address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Replayer {
    /// `upstream` is the real server; threads that stream run on `core`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(upstream: SocketAddr, log: Arc<Log>, pace: Pace, core: Option<usize>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            log,
            with_checksums: OnceLock::new(),
            without_checksums: OnceLock::new(),
            pace,
            core,
            gate: Mutex::default(),
            opened: Condvar::new(),
            dumps: AtomicU64::new(0),
            offered: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        let bare = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        let (address, bare_address) = (listener.local_addr()?, bare.local_addr()?);
        // Made before anybody waits for it.
        shared.packets(true)?;
        let mut threads = Vec::new();
        let own = shared.clone();
        threads.push(std::thread::spawn(move || {
            own.accept(&listener, move |shared, client| {
                let Ok(server) = TcpStream::connect(upstream) else { return };
                // An end of the connection, by either side, is no error here.
                let _ = shared.pass_through(client, server);
            });
        }));
        let own = shared.clone();
        threads.push(std::thread::spawn(move || {
            own.accept(&bare, |shared, client| {
                if let Ok(packets) = shared.packets(true) {
                    let _ = shared.stream(client, &packets);
                }
            });
        }));
        Ok(Self { address, bare_address, shared, threads })
    }

    /// Dumps that were asked for so far.
    pub fn dumps(&self) -> u64 {
        self.shared.dumps.load(Ordering::SeqCst)
    }

    /// Lets the recording go; returns the moment.
    pub fn go(&self) -> u64 {
        let now = now_ns();
        *lock(&self.shared.gate) = Some(now);
        self.shared.opened.notify_all();
        now
    }

    /// Of the first dump; empty where there is no pace. Waits until the last transaction was sent.
    pub fn offered(&self) -> Offered {
        const WAIT_MAX: Duration = Duration::from_secs(2);
        let until = std::time::Instant::now() + WAIT_MAX;
        loop {
            let offered = lock(&self.shared.offered).clone();
            let is_whole = self.shared.pace == Pace::Full || !offered.offered_ns.is_empty();
            if is_whole || std::time::Instant::now() > until {
                return offered;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends of the transactions in the stream with checksums, in bytes from its beginning.
    ///
    /// # Errors
    /// As `start`.
    pub fn ends(&self) -> anyhow::Result<Vec<u64>> {
        Ok(self.shared.packets(true)?.ends.iter().map(|end| *end as u64).collect())
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.go();
        for address in [self.address, self.bare_address] {
            let _ = TcpStream::connect(address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn packets(&self, checksums: bool) -> anyhow::Result<Arc<Packets>> {
        let slot = if checksums { &self.with_checksums } else { &self.without_checksums };
        if let Some(packets) = slot.get() {
            return Ok(packets.clone());
        }
        let packets = Packets::of(&self.log, checksums)?;
        Ok(slot.get_or_init(|| packets).clone())
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, serve: impl Fn(Arc<Self>, TcpStream) + Copy + Send + 'static) {
        for client in listener.incoming() {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let _ = client.set_nodelay(true);
            let own = self.clone();
            std::thread::spawn(move || serve(own, client));
        }
    }

    /// Everything to the real server and back, until the replica asks for the binlog.
    fn pass_through(&self, mut client: TcpStream, mut server: TcpStream) -> anyhow::Result<()> {
        server.set_nodelay(true)?;
        let mut greeting = read_packet(&mut server)?.context("no greeting")?;
        hide_tls(&mut greeting);
        client.write_all(&greeting)?;
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        let back = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
        });
        let mut checksums = true;
        let outcome = loop {
            let Ok(Some(packet)) = read_packet(&mut client) else { break None };
            let (sequence, body) = (packet[3], &packet[4..]);
            match body.first() {
                Some(&(command::BINLOG_DUMP | command::BINLOG_DUMP_GTID)) if sequence == 0 => break Some(checksums),
                Some(&command::QUERY) if sequence == 0 => checksums = wants_checksums(body).unwrap_or(checksums),
                _ => {}
            }
            if server.write_all(&packet).is_err() {
                break None;
            }
        };
        let _ = server.shutdown(Shutdown::Both);
        let _ = back.join();
        match outcome {
            Some(checksums) => self.stream(client, &*self.packets(checksums)?),
            None => Ok(client.shutdown(Shutdown::Both)?),
        }
    }

    /// The dump: its head, heartbeats until the gate opens, the recording, heartbeats until the replica goes.
    fn stream(&self, mut client: TcpStream, packets: &Packets) -> anyhow::Result<()> {
        if let Some(core) = self.core {
            pin(core);
        }
        client.write_all(&packets.bytes[..packets.head])?;
        let is_first = self.dumps.fetch_add(1, Ordering::SeqCst) == 0;
        let next = sequence_after(&packets.bytes[..packets.head]);
        let heartbeats = packets.heartbeats_from(next);
        let begin = loop {
            let gate = lock(&self.gate);
            let waited = self.opened.wait_timeout_while(gate, HEARTBEAT_EVERY, |gate| gate.is_none());
            let (gate, _) = waited.unwrap_or_else(PoisonError::into_inner);
            match *gate {
                Some(begin) => break begin,
                None => drop(gate),
            }
            client.write_all(&heartbeats)?;
        };
        if self.stopping.load(Ordering::SeqCst) {
            return Ok(());
        }
        match self.pace {
            Pace::Full => {
                for part in packets.bytes[packets.head..].chunks(SEND_BYTES) {
                    client.write_all(part)?;
                }
            }
            Pace::PerSecond(per_second) | Pace::Some { per_second, .. } => {
                let all = packets.ends.len();
                let count = match self.pace {
                    Pace::Some { transactions, .. } => usize::try_from(transactions)?.min(all),
                    _ => all,
                };
                let offered = send_at(&mut client, packets, per_second, count, begin.max(now_ns()))?;
                if is_first {
                    *lock(&self.offered) = offered;
                }
            }
        }
        let sent = match self.pace {
            Pace::Some { transactions, .. } => packets
                .ends
                .get(usize::try_from(transactions)?.saturating_sub(1))
                .copied()
                .unwrap_or(packets.bytes.len()),
            _ => packets.bytes.len(),
        };
        let heartbeats = packets.heartbeats_from(sequence_after(&packets.bytes[..sent]));
        while !self.stopping.load(Ordering::SeqCst) {
            std::thread::sleep(HEARTBEAT_EVERY);
            client.write_all(&heartbeats)?;
        }
        Ok(())
    }
}

/// Open loop: what is due is sent, however late the replica is with what came before.
fn send_at(client: &mut TcpStream, packets: &Packets, rate: f64, count: usize, begin: u64) -> anyhow::Result<Offered> {
    let due = |index: usize| begin + (index as f64 * 1e9 / rate) as u64;
    let mut offered = Offered { offered_ns: Vec::with_capacity(count), late_ns: Vec::with_capacity(count) };
    let mut sent = 0;
    let mut written = packets.head;
    let mut last_write_ended = 0;
    while sent < count {
        sleep_until(due(sent));
        let now = now_ns();
        let mut until = sent;
        while until < count && due(until) <= now {
            let due = due(until);
            let at = if due <= last_write_ended { due } else { now };
            offered.offered_ns.push(at);
            offered.late_ns.push(at - due);
            until += 1;
        }
        if until == sent {
            continue;
        }
        let end = packets.ends[until - 1];
        client.write_all(&packets.bytes[written..end])?;
        last_write_ended = now_ns();
        (sent, written) = (until, end);
    }
    Ok(offered)
}

/// A whole packet with its header; `None` at the end of the connection.
fn read_packet(stream: &mut TcpStream) -> anyhow::Result<Option<Vec<u8>>> {
    let mut packet = vec![0; 4];
    if let Err(error) = stream.read_exact(&mut packet) {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error.into()) };
    }
    let size = usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
    packet.resize(4 + size, 0);
    stream.read_exact(&mut packet[4..])?;
    Ok(Some(packet))
}

/// What passes here must be readable: the server's offer of TLS is taken out of its greeting.
fn hide_tls(greeting: &mut [u8]) {
    // protocol version, server version, NUL, connection id (4), half a challenge (8), a filler
    let Some(version) = greeting.get(5..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else { return };
    let at = 5 + version + 1 + 4 + 8 + 1;
    if let Some(&mut [ref mut low, ref mut high]) = greeting.get_mut(at..at + 2) {
        let capabilities = u16::from_le_bytes([*low, *high]) & !CLIENT_SSL;
        [*low, *high] = capabilities.to_le_bytes();
    }
}

/// What a statement says of checksums in the dump; `None` where it says nothing.
fn wants_checksums(statement: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(statement).to_ascii_lowercase();
    let at = text.find("master_binlog_checksum").or_else(|| text.find("source_binlog_checksum"))?;
    let value = text.get(at..)?.split_once('=')?.1.trim_start_matches([' ', '\'', '"', ':', '=']).to_owned();
    Some(!value.starts_with("none"))
}

/// The number of the packet behind these.
fn sequence_after(bytes: &[u8]) -> u8 {
    let mut offset = 0;
    let mut sequence = 0;
    while let Some(header) = bytes.get(offset..offset + 4) {
        let size = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        sequence = header[3].wrapping_add(1);
        offset += 4 + size;
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_of_tls_is_hidden_and_nothing_else() {
        let mut greeting = vec![74, 0, 0, 0, 10];
        greeting.extend_from_slice(b"9.7.0\0");
        greeting.extend_from_slice(&[1, 0, 0, 0]);
        greeting.extend_from_slice(&[7; 8]);
        greeting.extend_from_slice(&[0, 0xff, 0xff, 45]);
        let before = greeting.clone();
        hide_tls(&mut greeting);
        let changed: Vec<usize> = (0..before.len()).filter(|index| before[*index] != greeting[*index]).collect();
        assert_eq!((changed.len(), greeting[changed[0]]), (1, 0xf7));
        hide_tls(&mut [1, 2, 3]);
    }

    #[test]
    fn replicas_say_in_several_ways_whether_they_want_checksums() {
        let cases: [(&str, Option<bool>); 5] = [
            ("\u{3}SET @master_binlog_checksum='NONE'", Some(false)),
            ("\u{3}set @master_binlog_checksum= @@global.binlog_checksum", Some(true)),
            ("\u{3}SET @source_binlog_checksum = 'CRC32'", Some(true)),
            ("\u{3}SET @master_binlog_checksum := \"none\"", Some(false)),
            ("\u{3}SELECT 1", None),
        ];
        for (statement, expected) in cases {
            assert_eq!(wants_checksums(statement.as_bytes()), expected, "{statement}");
        }
    }
}
