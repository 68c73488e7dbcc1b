//! Accepts HTTP connections and gives each its bounds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{CONNECTION_TIME_MAX, CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, routes};
use crate::state::SharedState;

/// After accept fails for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped; connections that are open then go with their runtime.
pub async fn serve(listener: TcpListener, state: Arc<SharedState>) {
    let service = TowerToHyperService::new(routes(state));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // A place first: further connections wait in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A peer that is gone again is its own matter; anything else would come again at once.
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "the admin interface cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            let connection = serve_one(stream, service);
            if timeout(CONNECTION_TIME_MAX, connection).await.is_err() {
                tracing::debug!("an admin connection took too long");
            }
            drop(place);
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_one(stream: TcpStream, service: TowerToHyperService<axum::Router>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX).max_buf_size(HEADER_BYTES_MAX).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}
