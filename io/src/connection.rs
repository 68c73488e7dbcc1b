//! A client's socket: bytes to messages for the home, and the home's messages to bytes. One task a connection.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncRead;
use millstream_codec::millstream_capnp::client_message;
use millstream_codec::wire::frame::{Message, MessageFramer};
use millstream_codec::wire::messages::ClientMessage;
use millstream_core::engine::view::LogEntry;
use millstream_core::limits;

use crate::clock::now_us;
use crate::runtime::{TcpListener, TcpStream, sleep};
use crate::tasks::spawn;
use crate::worker::Worker;

/// Takes connections until the executor ends.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok(stream) if !worker.is_stopping() => spawn("connection", serve(worker.clone(), stream)),
            Ok(_) => {}
            Err(error) => {
                // Out of descriptors, say: those that are connected go on, new ones must wait.
                tracing::warn!(%error, "a connection could not be taken");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(worker: Rc<Worker>, mut stream: TcpStream) {
    let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer: SocketAddr| peer.to_string());
    // Batches are written whole: waiting for more to send only adds to the latency.
    let _ = stream.set_nodelay();
    let id = match worker.home(|home| home.connect(peer.clone(), now_us())) {
        Ok(id) => id,
        Err(refusal) => {
            let _ = futures::AsyncWriteExt::write_all(&mut stream, &refusal).await;
            return;
        }
    };
    let mut connection = Connection {
        worker: worker.clone(),
        id,
        stream,
        framer: MessageFramer::new(limits::CLIENT_BUFFER_BYTES, limits::CLIENT_MESSAGE_BYTES_MAX),
        sending: Sending::default(),
    };
    if let Err(error) = poll_fn(|cx| connection.poll(cx)).await {
        tracing::debug!(peer, %error, "connection ended");
    }
    worker.forget(id);
}

/// What is being written: small messages first, then the batch.
#[derive(Default)]
struct Sending {
    head: Vec<u8>,
    batch: Option<Arc<LogEntry>>,
    batch_bytes: Bytes,
    written: usize,
}

impl Sending {
    fn is_done(&self) -> bool {
        self.written >= self.head.len() + self.batch_bytes.len()
    }
}

struct Connection {
    worker: Rc<Worker>,
    id: u64,
    stream: TcpStream,
    framer: MessageFramer,
    sending: Sending,
}

impl Connection {
    /// Reads and writes as far as the socket lets it; ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.worker.set_waker(self.id, cx.waker());
        // So many turns, then the other connections' turn.
        for _ in 0..limits::CONNECTION_TURNS {
            let wrote = self.poll_write(cx)?;
            if wrote == Turn::Waits && self.sending.is_done() && self.is_closing() {
                return Poll::Ready(Ok(()));
            }
            let read = self.poll_read(cx)?;
            if read == Turn::Ended {
                return Poll::Ready(Ok(()));
            }
            if wrote == Turn::Waits && read == Turn::Waits {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_closing(&self) -> bool {
        self.worker.home.borrow().is_closing(self.id)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Turn> {
        if self.sending.is_done() {
            let id = self.id;
            if let Some(done) = self.sending.batch.take() {
                self.worker.home(|home| home.written(&done, now_us()));
            }
            let Some(next) = self.worker.home(|home| home.next_outgoing(id, now_us())) else {
                self.sending = Sending::default();
                return Ok(Turn::Waits);
            };
            let batch_bytes = next.batch_bytes();
            self.sending = Sending { head: next.head, batch: next.batch, batch_bytes, written: 0 };
        }
        let Sending { head, batch_bytes, written, .. } = &self.sending;
        match self.stream.poll_send(cx, head, batch_bytes, *written) {
            Poll::Pending => Ok(Turn::Waits),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                self.sending.written += written;
                Ok(Turn::Moved)
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<Turn> {
        let id = self.id;
        if !self.worker.home.borrow().may_receive(id) {
            return Ok(Turn::Waits);
        }
        let read = match Pin::new(&mut self.stream).poll_read(cx, self.framer.space()) {
            Poll::Pending => return Ok(Turn::Waits),
            Poll::Ready(Ok(0)) => return Ok(Turn::Ended),
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => return Err(error),
        };
        self.framer.filled(read);
        loop {
            let message = match self.framer.message() {
                Ok(None) => return Ok(Turn::Moved),
                Ok(Some(message)) => decode(&message),
                Err(error) => Err(error.to_string()),
            };
            match message {
                Ok(message) => self.worker.home(|home| home.receive(id, message, now_us())),
                Err(what) => {
                    self.worker.home(|home| home.malformed(id, &what));
                    return Ok(Turn::Moved);
                }
            }
        }
    }
}

fn decode(message: &Message<'_>) -> Result<ClientMessage, String> {
    let root = message.root::<client_message::Reader<'_>>().map_err(|error| error.to_string())?;
    ClientMessage::decode(root).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Moved,
    Waits,
    Ended,
}
