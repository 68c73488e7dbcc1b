//! A TCP proxy on loopback that fails on command: cuts connections, at a byte if asked for, or swallows what is sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

const POLL: Duration = Duration::from_millis(20);

/// Ends with its connections when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
    /// Of each new connection: so many bytes from the target, then it is cut. `u64::MAX`: never.
    cut_at_bytes: AtomicU64,
    swallowing: AtomicBool,
    refusing: AtomicBool,
    ending: AtomicBool,
}

impl Proxy {
    /// Listens on a port of its own, for connections to `target`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            cut_at_bytes: AtomicU64::new(u64::MAX),
            swallowing: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        });
        let own = shared.clone();
        let acceptor = std::thread::spawn(move || own.accept(&listener));
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        for stream in lock(&self.shared.connections).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts each connection that is made from now on after so many bytes from the target; `u64::MAX`: never.
    pub fn cut_at(&self, bytes: u64) {
        self.shared.cut_at_bytes.store(bytes, Ordering::Relaxed);
    }

    /// While true: bytes in both directions vanish, and nobody is told. A connection of which some have vanished stays as
    /// it is: no network delivers what comes behind a gap.
    pub fn swallow(&self, swallowing: bool) {
        self.shared.swallowing.store(swallowing, Ordering::Relaxed);
    }

    /// While true: new connections end at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::Relaxed);
    }

    /// New connections go there.
    pub fn retarget(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        // wakes the acceptor
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            let Ok(client) = client else { continue };
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if self.refusing.load(Ordering::Relaxed) {
                continue;
            }
            let target = *lock(&self.target);
            let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(2)) else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let cut_at = self.cut_at_bytes.load(Ordering::Relaxed);
            for (from, to, bytes_max) in [(&client, &server, u64::MAX), (&server, &client, cut_at)] {
                let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                    continue;
                };
                lock(&self.connections).push(kept);
                let own = self.clone();
                std::thread::spawn(move || own.copy(from, to, bytes_max));
            }
        }
    }

    /// Until either side ends, or `bytes_max` have passed.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, mut bytes_max: u64) {
        let mut buffer = vec![0; 64 << 10];
        let mut has_gap = false;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            has_gap |= self.swallowing.load(Ordering::Relaxed);
            if has_gap {
                continue;
            }
            let passed = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(read);
            if to.write_all(&buffer[..passed]).is_err() {
                break;
            }
            bytes_max = if bytes_max == u64::MAX { bytes_max } else { bytes_max - passed as u64 };
            if bytes_max == 0 {
                break;
            }
        }
        // A peer that still swallows must not learn that the other side has gone.
        while self.swallowing.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed) {
            std::thread::sleep(POLL);
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
