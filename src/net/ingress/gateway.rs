//! The doors: from a TCP connection to an authenticated client of one route.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::CertificateError;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};
use tokio_util::sync::CancellationToken;

use super::identity;
use super::metrics::Metrics;
use super::proxy::Proxy;
use super::route::{Route, Table};
use crate::accept::{Limits, finish, http_builder, next_stream};
use crate::log::chain;
use crate::metrics::Registry;
use crate::tls::H2;

/// What clients' connections share.
pub(super) struct Gateway {
    table: ArcSwap<Table>,
    proxy: Proxy,
    metrics: Metrics,
    connections: Arc<Semaphore>,
}

/// Why a client does not come in: the metric's `reason`, and more for the log.
struct Refusal {
    reason: &'static str,
    detail: String,
}

impl Refusal {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// TLS alerts of RFC 8446 6 that rustls does not send by itself here.
#[derive(Clone, Copy)]
enum Alert {
    UnrecognizedName = 112,
    NoApplicationProtocol = 120,
}

impl Gateway {
    pub(super) fn new(table: Table, registry: &Registry) -> Self {
        let metrics = Metrics::new(registry);
        metrics.uses(&table);
        let connections = Arc::new(Semaphore::new(table.config.max_connections));
        let proxy = Proxy::new(metrics.clone());
        Self {
            table: ArcSwap::from_pointee(table),
            proxy,
            metrics,
            connections,
        }
    }

    /// New connections and new requests are served by this table.
    pub(super) fn replace(&self, table: Table) {
        let old = self.table.load().config.clone();
        if (old.listen, old.http) != (table.config.listen, table.config.http) {
            tracing::warn!("changed listen and http addresses take effect at the next start");
        }
        self.metrics.uses(&table);
        self.table.store(Arc::new(table));
    }

    /// A changed table could not be used.
    pub(super) fn kept(&self) {
        self.metrics.keeps_the_old();
    }

    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let graceful = GracefulShutdown::new();
        while let Some(stream) = next_stream(&listener, &shutdown).await {
            let Ok(slot) = Arc::clone(&self.connections).try_acquire_owned() else {
                tracing::warn!("too many connections, refusing one");
                self.metrics.refused("limit");
                continue;
            };
            let (gateway, watcher) = (Arc::clone(&self), graceful.watcher());
            tokio::spawn(async move {
                gateway.metrics.open.inc();
                gateway.client(stream, watcher).await;
                gateway.metrics.open.dec();
                drop(slot);
            });
        }
        drop(listener);
        finish(graceful, Limits::default().grace).await;
    }

    /// One connection, from the first byte to the last.
    async fn client(self: &Arc<Self>, stream: TcpStream, watcher: Watcher) {
        let peer = stream.peer_addr().ok();
        let handshake = tokio::time::timeout(Limits::default().handshake, self.handshake(stream));
        let refusal = match handshake.await {
            Ok(Ok((route, stream))) => return self.serve(route, stream, watcher).await,
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::new("timeout", "the handshake took too long"),
        };
        self.metrics.refused(refusal.reason);
        let Refusal { reason, detail } = refusal;
        tracing::warn!(peer = peer.map(tracing::field::display), reason, %detail, "refused a client");
    }

    async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<(Arc<Route>, TlsStream<TcpStream>), Refusal> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let start = start.map_err(|error| classify(&error))?;
        let hello = start.client_hello();
        let name = hello.server_name().unwrap_or_default().to_owned();
        let speaks_h2 = hello
            .alpn()
            .is_some_and(|mut names| names.any(|name| name == H2));
        let route = self.table.load().get(&name).map(Arc::clone);
        let Some(route) = route else {
            refuse(start, Alert::UnrecognizedName).await;
            return Err(Refusal::new(
                "server_name",
                format!("no route for server name {name:?}"),
            ));
        };
        if !speaks_h2 {
            refuse(start, Alert::NoApplicationProtocol).await;
            return Err(Refusal::new("alpn", "the client does not offer h2"));
        }
        let stream = start.into_stream(Arc::clone(&route.tls)).await;
        Ok((route, stream.map_err(|error| classify(&error))?))
    }

    async fn serve(
        self: &Arc<Self>,
        route: Arc<Route>,
        stream: TlsStream<TcpStream>,
        watcher: Watcher,
    ) {
        self.metrics.accepted(&route.host);
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let who = leaf.map(|leaf| identity::names(leaf)).unwrap_or_default();
        tracing::debug!(host = %route.host, identity = %who.join(","), "let a client in");
        let limits = Limits {
            streams: self.table.load().config.max_streams,
            ..Limits::default()
        };
        let gateway = Arc::clone(self);
        let service = service_fn(move |request| {
            // A changed backend serves also those who came before the change.
            let current = gateway.table.load().get(&route.host).map(Arc::clone);
            let route = current.unwrap_or_else(|| Arc::clone(&route));
            let gateway = Arc::clone(&gateway);
            async move {
                Ok::<_, std::convert::Infallible>(gateway.proxy.forward(&route, request).await)
            }
        });
        let builder = http_builder(&limits, true);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(
                err = error.as_ref() as &dyn std::error::Error,
                "connection failed"
            );
        }
    }
}

/// Answers a ClientHello with a fatal alert record (RFC 8446 5.1, 6): nothing is encrypted yet.
async fn refuse(start: StartHandshake<TcpStream>, alert: Alert) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    let mut stream = start.io;
    let record = [ALERT, 3, 3, 0, 2, FATAL, alert as u8];
    // A client that is gone needs no answer.
    if stream.write_all(&record).await.is_ok() {
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
    }
}

/// The reason behind a failed handshake. rustls has sent the alert already.
fn classify(error: &std::io::Error) -> Refusal {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let reason = match cause {
        Some(NoCertificatesPresented) => "no_certificate",
        Some(InvalidCertificate(problem)) => match problem {
            CertificateError::ApplicationVerificationFailure => "identity",
            CertificateError::UnknownIssuer => "issuer",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "not_yet_valid"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "purpose"
            }
            _ => "certificate",
        },
        Some(AlertReceived(_)) => "client",
        _ => "handshake",
    };
    Refusal::new(reason, chain(error))
}
