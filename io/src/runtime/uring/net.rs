//! TCP on the ring.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use super::ring::Operation;
use super::sleep;
use super::timers::Timer;

/// A read that waits has so many bytes of its own: more than an acknowledgement or a small transaction.
const RECEIVE_BYTES: usize = 4 << 10;
/// Connections that wait to be taken.
const BACKLOG: i32 = 1024;

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

pub struct TcpListener {
    socket: Rc<Socket>,
}

impl TcpListener {
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = tcp(address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Rc::new(socket) })
    }

    #[cfg(test)]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a listener without an IP address"))
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    // Non-blocking sockets are refused instead of awaited by the ring.
                    socket.set_nonblocking(false)?;
                    return Ok(TcpStream::of(socket));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let (ready, _) = Operation::readable(self.socket.clone())?.await;
                    ready?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub struct TcpStream {
    socket: Rc<Socket>,
    reading: Reading,
    /// Waits until a full socket takes more.
    writable: Option<Operation>,
    read_timeout: Option<Duration>,
    /// Since when a read waits.
    waits_since: Option<Instant>,
    timer: Option<Timer>,
}

enum Reading {
    /// Nothing is under way.
    Idle(Box<[u8]>),
    /// The socket may have more: it is asked directly.
    Direct(Box<[u8]>),
    InRing(Operation),
    /// Bytes that came, from `taken` on not read yet.
    Came {
        buffer: Box<[u8]>,
        taken: usize,
        length: usize,
    },
    /// Only while it changes, and after an error.
    Broken,
}

impl TcpStream {
    fn of(socket: Socket) -> Self {
        Self {
            socket: Rc::new(socket),
            reading: Reading::Idle(vec![0; RECEIVE_BYTES].into_boxed_slice()),
            writable: None,
            read_timeout: None,
            waits_since: None,
            timer: None,
        }
    }

    pub async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let socket = Rc::new(tcp(address)?);
        socket.set_nonblocking(true)?;
        let in_progress = Some(Errno::INPROGRESS.raw_os_error());
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == in_progress => {
                let connected = Operation::writable(socket.clone())?;
                match select(connected, sleep(timeout)).await {
                    Either::Left(((ready, _), _)) => drop(ready?),
                    Either::Right(_) => return Err(io::ErrorKind::TimedOut.into()),
                }
                if let Some(error) = socket.take_error()? {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        socket.set_nonblocking(false)?;
        let socket = Rc::into_inner(socket).ok_or_else(|| io::Error::other("the ring still has the socket"))?;
        Ok(Self::of(socket))
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.peer_addr()?;
        address.as_socket().ok_or_else(|| io::Error::other("a peer without an IP address"))
    }

    pub fn set_nodelay(&self) -> io::Result<()> {
        self.socket.set_tcp_nodelay(true)
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) {
        self.read_timeout = Some(timeout);
        self.timer = None;
    }

    pub fn shut_down(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if space.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            match std::mem::replace(&mut self.reading, Reading::Broken) {
                Reading::Came { buffer, taken, length } => {
                    let came = buffer.get(taken..length).unwrap_or_default();
                    let count = came.len().min(space.len());
                    if let (Some(to), Some(from)) = (space.get_mut(..count), came.get(..count)) {
                        to.copy_from_slice(from);
                    }
                    self.reading = match taken + count {
                        taken if taken < length => Reading::Came { buffer, taken, length },
                        // It was full, so there may be more.
                        _ if length == buffer.len() => Reading::Direct(buffer),
                        _ => Reading::Idle(buffer),
                    };
                    return Poll::Ready(Ok(count));
                }
                Reading::Direct(buffer) => match recv(&self.socket, &mut *space, RecvFlags::DONTWAIT) {
                    Ok((count, _)) => {
                        self.reading = match count == space.len() {
                            true => Reading::Direct(buffer),
                            false => Reading::Idle(buffer),
                        };
                        return Poll::Ready(Ok(count));
                    }
                    Err(Errno::AGAIN) => self.reading = Reading::Idle(buffer),
                    Err(Errno::INTR) => self.reading = Reading::Direct(buffer),
                    Err(error) => return Poll::Ready(Err(error.into())),
                },
                Reading::Idle(buffer) => {
                    self.waits_since = Some(Instant::now());
                    self.reading = Reading::InRing(Operation::receive(self.socket.clone(), buffer)?);
                }
                Reading::InRing(mut operation) => match Pin::new(&mut operation).poll(cx) {
                    Poll::Ready((received, buffer)) => {
                        let buffer = buffer.unwrap_or_default();
                        match received {
                            Ok(0) => {
                                self.reading = Reading::Idle(buffer);
                                return Poll::Ready(Ok(0));
                            }
                            Ok(length) => self.reading = Reading::Came { buffer, taken: 0, length },
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                                self.reading = Reading::Idle(buffer);
                            }
                            Err(error) => return Poll::Ready(Err(error)),
                        }
                    }
                    Poll::Pending => {
                        self.reading = Reading::InRing(operation);
                        return self.poll_timeout(cx);
                    }
                },
                Reading::Broken => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    /// The timer is not moved with each read: when it fires early, it is set again.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (Some(timeout), Some(since)) = (self.read_timeout, self.waits_since) else { return Poll::Pending };
        loop {
            let timer = self.timer.get_or_insert_with(|| Timer::at(since + timeout));
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if since.elapsed() >= timeout {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }

    /// Both slices in one call, as far as the socket takes them.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, head: &[u8], body: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(writable) = &mut self.writable {
                let Poll::Ready((ready, _)) = Pin::new(writable).poll(cx) else { return Poll::Pending };
                self.writable = None;
                ready?;
            }
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let slices = slices.get(usize::from(head.is_empty())..).unwrap_or_default();
            let mut space: [MaybeUninit<u8>; 0] = [];
            let mut nothing = SendAncillaryBuffer::new(&mut space);
            match sendmsg(&self.socket, slices, &mut nothing, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(Errno::AGAIN) => self.writable = Some(Operation::writable(self.socket.clone())?),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}
