//! What the rest of this crate asks of a runtime: tasks of one core, time, and TCP sockets. Two drivers answer:
//! [`glommio`], and the lean [`uring`]. Which one it is, is a matter of the thread: a core is started on one of them, and
//! everything on it stays there.
//!
//! Nothing outside of this module names a driver.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::{AsyncRead, AsyncWrite};

mod glommio;
mod uring;

/// `engine.runtime`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runtime {
    #[default]
    Glommio,
    Uring,
}

impl Runtime {
    pub const ALL: [Runtime; 2] = [Runtime::Glommio, Runtime::Uring];

    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Glommio => "glommio",
            Runtime::Uring => "uring",
        }
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|runtime| runtime.name() == text)
            .ok_or_else(|| format!("no runtime is called {text}"))
    }
}

thread_local! {
    static CURRENT: Cell<Option<Runtime>> = const { Cell::new(None) };
}

/// That of this thread.
///
/// # Panics
/// On a thread that is no core: a task was moved, which their types forbid.
fn current() -> Runtime {
    CURRENT.get().expect("only called on a core's own thread")
}

/// One core's thread.
pub struct CoreOptions {
    pub runtime: Runtime,
    pub name: String,
    /// Pinned there; `None`: the scheduler chooses.
    pub core: Option<usize>,
    /// How long it looks for work before it sleeps.
    pub spin_before_sleep: Duration,
}

pub enum Core {
    Glommio(glommio::Core),
    Uring(uring::Core),
}

impl Core {
    /// Starts a thread that runs this task and all that it spawns, until the task has ended; the others run no more then.
    ///
    /// # Errors
    /// The thread could not be started. What else can go wrong comes from [`Self::join`].
    pub fn start<F>(options: CoreOptions, task: impl FnOnce() -> F + Send + 'static) -> io::Result<Core>
    where
        F: Future<Output = ()> + 'static,
    {
        let runtime = options.runtime;
        let task = move || {
            CURRENT.set(Some(runtime));
            task()
        };
        match runtime {
            Runtime::Glommio => glommio::Core::start(&options, task).map(Core::Glommio),
            Runtime::Uring => uring::Core::start(options, task).map(Core::Uring),
        }
    }

    /// Waits until the task has ended.
    ///
    /// # Errors
    /// Why it never began.
    pub fn join(self) -> Result<(), String> {
        match self {
            Core::Glommio(core) => core.join(),
            Core::Uring(core) => core.join(),
        }
    }
}

/// Makes this thread a core for as long as the future takes: for tools and tests.
///
/// # Errors
/// The runtime cannot be had here.
pub fn block_on<T>(runtime: Runtime, future: impl Future<Output = T>) -> io::Result<T> {
    CURRENT.set(Some(runtime));
    let result = match runtime {
        Runtime::Glommio => glommio::block_on(future),
        Runtime::Uring => uring::block_on(Duration::ZERO, future),
    };
    CURRENT.set(None);
    result
}

/// Runs a task on this core to its end, or to the core's.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    match current() {
        Runtime::Glommio => glommio::spawn(task),
        Runtime::Uring => uring::spawn(task),
    }
}

pub async fn sleep(duration: Duration) {
    match current() {
        Runtime::Glommio => glommio::sleep(duration).await,
        Runtime::Uring => uring::sleep(duration).await,
    }
}

/// Lets the other tasks run if this one has run for a while.
pub async fn yield_if_needed() {
    match current() {
        Runtime::Glommio => glommio::yield_if_needed().await,
        Runtime::Uring => uring::yield_if_needed().await,
    }
}

/// On a thread of its own: rare things that block, such as looking up a name.
///
/// # Errors
/// There is no thread to be had.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("blocking".to_owned()).spawn(move || drop(sender.send(work())))?;
    receiver.await.map_err(|_| io::Error::other("the thread ended in a panic"))
}

/// A listener that shares its port with those of the other cores.
pub enum TcpListener {
    Glommio(::glommio::net::TcpListener),
    Uring(uring::TcpListener),
}

impl TcpListener {
    /// # Errors
    /// The system's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(match current() {
            Runtime::Glommio => Self::Glommio(::glommio::net::TcpListener::bind(address)?),
            Runtime::Uring => Self::Uring(uring::TcpListener::bind(address)?),
        })
    }

    /// # Errors
    /// The system's; the listener stays good.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        Ok(match self {
            Self::Glommio(listener) => TcpStream::Glommio(listener.accept().await?),
            Self::Uring(listener) => TcpStream::Uring(listener.accept().await?),
        })
    }
}

pub enum TcpStream {
    Glommio(::glommio::net::TcpStream),
    Uring(uring::TcpStream),
}

impl TcpStream {
    /// # Errors
    /// The system's; [`io::ErrorKind::TimedOut`] when no answer came in time.
    pub async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        Ok(match current() {
            Runtime::Glommio => Self::Glommio(::glommio::net::TcpStream::connect_timeout(address, timeout).await?),
            Runtime::Uring => Self::Uring(uring::TcpStream::connect(address, timeout).await?),
        })
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Glommio(stream) => Ok(stream.peer_addr()?),
            Self::Uring(stream) => stream.peer_addr(),
        }
    }

    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Glommio(stream) => Ok(stream.set_nodelay(true)?),
            Self::Uring(stream) => stream.set_nodelay(),
        }
    }

    /// A read that waits longer fails with [`io::ErrorKind::TimedOut`].
    pub fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Glommio(stream) => Ok(stream.set_read_timeout(Some(timeout))?),
            Self::Uring(stream) => {
                stream.set_read_timeout(timeout);
                Ok(())
            }
        }
    }

    /// Sends of `head` and then of `body` what lies behind the first `sent` bytes of both: as much as the socket takes.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &Bytes,
        sent: usize,
    ) -> Poll<io::Result<usize>> {
        let rest = head.get(sent..).unwrap_or_default();
        let body = body.get(sent.saturating_sub(head.len())..).unwrap_or_default();
        match self {
            Self::Glommio(stream) => Pin::new(stream).poll_write(cx, if rest.is_empty() { body } else { rest }),
            Self::Uring(stream) => stream.poll_send(cx, rest, body),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Glommio(stream) => Pin::new(stream).poll_read(cx, space),
            Self::Uring(stream) => stream.poll_read(cx, space),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Glommio(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Uring(stream) => stream.poll_send(cx, bytes, &[]),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Glommio(stream) => Pin::new(stream).poll_flush(cx),
            Self::Uring(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Glommio(stream) => Pin::new(stream).poll_close(cx),
            Self::Uring(stream) => Poll::Ready(stream.shut_down()),
        }
    }
}

/// Lets the ring of this core fail at its next call.
#[cfg(test)]
pub use self::uring::break_ring;

#[cfg(test)]
mod tests;
