//! The socket to a source: TCP, then perhaps TLS.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use millstream_core::source::config::{HostPort, TlsMode};
use millstream_core::source::error::SourceError;
use rustls::ClientConfig;

use crate::runtime::{TcpStream, blocking};

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Tries every address that the name has, each for `timeout`.
    ///
    /// # Errors
    /// The last address' error, with the server's name.
    pub async fn connect(server: &HostPort, timeout: Duration) -> Result<Self, SourceError> {
        let failed = |reason: String| SourceError::io(server.to_string(), reason);
        let addresses = resolve(server).await?;
        let mut last = failed("the name has no address".to_owned());
        for address in addresses {
            match TcpStream::connect(address, timeout).await {
                Ok(stream) => {
                    // Our commands are single small packets.
                    stream.set_nodelay().map_err(|error| failed(error.to_string()))?;
                    return Ok(Self::Plain(stream));
                }
                Err(error) => last = failed(format!("cannot connect to {address}: {error}")),
            }
        }
        Err(last)
    }

    /// # Errors
    /// [`SourceError::Tls`] with what the peer or the check of its certificate said.
    pub async fn start_tls(
        self,
        config: Arc<ClientConfig>,
        server: &HostPort,
        mode: TlsMode,
    ) -> Result<Self, SourceError> {
        let Self::Plain(stream) = self else {
            return Err(SourceError::Protocol("TLS inside TLS".to_owned()));
        };
        let name = super::tls::server_name(&server.host, mode)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            // What rustls itself has to say about the peer comes as invalid data; the rest is the network's.
            let is_network = !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
            match is_network {
                true => SourceError::io(server.to_string(), format!("during the TLS handshake: {error}")),
                false => SourceError::Tls { server: server.to_string(), reason: error.to_string() },
            }
        })?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Bytes read; 0: the peer has closed. Nothing is lost when the future is dropped before it is ready.
    pub async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(space).await,
            Self::Tls(stream) => match stream.read(space).await {
                // A killed thread of the server says no goodbye. Whether bytes are missing is for the packets' lengths to tell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// A read that waits longer fails with `TimedOut`.
    pub fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_mut().0,
        };
        stream.set_read_timeout(timeout)
    }
}

/// An address is taken as it is; a name is looked up on a thread that may block.
async fn resolve(server: &HostPort) -> Result<Vec<SocketAddr>, SourceError> {
    if let Ok(address) = server.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, server.port)]);
    }
    let (host, port) = (server.host.clone(), server.port);
    let look_up = move || (host.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>());
    let found = blocking(look_up).await.and_then(|found| found);
    found.map_err(|error| SourceError::io(server.to_string(), format!("the name cannot be resolved: {error}")))
}
