//! The one accept loop: TCP, perhaps TLS, then HTTP/1 or HTTP/2 by hyper, ended gracefully.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::tls::Reloading;

/// What one listener grants its peers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// HTTP/2 streams at a time on one connection.
    pub streams: u32,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request (HTTP/1).
    pub header: Duration,
    /// Bytes of a request body that axum's extractors take.
    pub body: usize,
    /// For requests in flight, after shutdown was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            streams: 1000,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(30),
            body: 16 << 20,
            grace: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// The default ones, with this time for requests in flight at shutdown.
    #[must_use]
    pub fn with_grace(grace: Duration) -> Self {
        Self {
            grace,
            ..Self::default()
        }
    }
}

/// Flow-control windows of requests: one stream can fill a fast link (bytes).
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
/// The window of all streams of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;

/// How connections of one listener are served.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Reloading>>,
    pub(crate) limits: Limits,
    pub(crate) http2_only: bool,
}

impl Server {
    /// Accepts until `shutdown`, then waits for requests in flight, at most `limits.grace`.
    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let builder = http_builder(&self.limits, self.http2_only);
        while let Some((stream, slot)) = next(&listener, &slots, &shutdown).await {
            let connection = Connection {
                builder: builder.clone(),
                router: self.router.clone(),
                tls: self.tls.clone(),
                handshake: self.limits.handshake,
                watcher: graceful.watcher(),
            };
            tokio::spawn(async move {
                connection.serve(stream).await;
                drop(slot);
            });
        }
        drop(listener);
        finish(graceful, self.limits.grace).await;
    }
}

/// HTTP/1 and HTTP/2 as these limits say.
pub(crate) fn http_builder(limits: &Limits, http2_only: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    if http2_only {
        builder.http2_only()
    } else {
        builder
    }
}

/// The next connection, with its slot; `None` at shutdown.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = tokio::select! {
        () = shutdown.cancelled() => return None,
        // The semaphore is never closed.
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
    };
    Some((next_stream(listener, shutdown).await?, slot))
}

/// The next connection; `None` at shutdown.
pub(crate) async fn next_stream(
    listener: &TcpListener,
    shutdown: &CancellationToken,
) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// A peer that went away before it was accepted costs nothing; without descriptors, wait for some.
async fn pause(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let passing = [
        ConnectionAborted,
        ConnectionRefused,
        ConnectionReset,
        Interrupted,
    ];
    if !passing.contains(&error.kind()) {
        tracing::error!(
            err = error as &dyn std::error::Error,
            "cannot accept a connection"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks connections to end and waits for them, at most `grace`.
pub(crate) async fn finish(graceful: GracefulShutdown, grace: Duration) {
    let open = graceful.count();
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            open,
            ?grace,
            "requests are still in flight, not waiting any longer"
        );
    }
}

struct Connection {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    tls: Option<Arc<Reloading>>,
    handshake: Duration,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let Some(tls) = &self.tls else {
            return self.http(stream).await;
        };
        let peer = stream.peer_addr().ok();
        let accept = tokio_rustls::TlsAcceptor::from(tls.current()).accept(stream);
        match tokio::time::timeout(self.handshake, accept).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(
                    ?peer,
                    err = &error as &dyn std::error::Error,
                    "TLS handshake failed"
                );
            }
            Err(_) => tracing::debug!(?peer, "TLS handshake timed out"),
        }
    }

    fn http<S>(self, stream: S) -> impl Future<Output = ()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = TowerToHyperService::new(self.router);
        async move {
            let connection = self
                .builder
                .serve_connection(TokioIo::new(stream), service)
                .into_owned();
            if let Err(error) = self.watcher.watch(connection).await {
                tracing::debug!(
                    err = error.as_ref() as &dyn std::error::Error,
                    "connection failed"
                );
            }
        }
    }
}
