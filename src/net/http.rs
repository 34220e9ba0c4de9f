//! HTTP servers over axum: the admin routes and the serving of any router.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accept::{Limits, Server};
use crate::metrics::{self, Registry};
use crate::probe::Probe;
use crate::{NetError, port};

/// Listens on `addr` and serves HTTP/1 and HTTP/2 (prior knowledge) until `shutdown`, then waits for
/// requests in flight.
///
/// # Errors
/// [`NetError::Bind`] when the address cannot be listened on.
pub async fn serve(
    addr: SocketAddr,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), NetError> {
    let listener = port::listen(addr).await?;
    tracing::info!(address = %addr, "listening for requests and metrics");
    serve_on(listener, router, limits, shutdown).await;
    Ok(())
}

/// [`serve`] on a listener that is already open.
pub async fn serve_on(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let router = router.layer(DefaultBodyLimit::max(limits.body));
    Server {
        router,
        tls: None,
        limits,
        http2_only: false,
    }
    .run(listener, shutdown)
    .await;
}

/// `/-/healthy`, `/-/ready` and `/metrics`; also exports the probe's `thanos_status`. Make it once per
/// probe and registry.
pub fn admin_router(probe: Probe, metrics: Registry) -> Router {
    probe.register(&metrics);
    let healthy = probe.clone();
    Router::new()
        .route(
            "/-/healthy",
            get(move || std::future::ready(answer(healthy.is_healthy()))),
        )
        .route(
            "/-/ready",
            get(move || std::future::ready(answer(probe.is_ready()))),
        )
        .route("/metrics", get(move || exposition(metrics.clone())))
}

fn answer(good: bool) -> (StatusCode, &'static str) {
    if good {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "NOT OK\n")
    }
}

async fn exposition(metrics: Registry) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.text())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_follows_the_probe_and_metrics_are_openmetrics() {
        let probe = Probe::new("store");
        let router = admin_router(probe.clone(), Registry::new());
        let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve_on(
            listener,
            router,
            Limits::default(),
            shutdown.clone(),
        ));

        let answer = get(address, "/-/ready").await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("NOT OK\n"),
            "{answer}"
        );
        assert!(get(address, "/-/healthy").await.ends_with("\r\n\r\nOK"));
        probe.ready();
        let answer = get(address, "/-/ready").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nOK"),
            "{answer}"
        );
        let metrics = get(address, "/metrics").await;
        assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0"));
        assert!(
            metrics.contains(r#"thanos_status{component="store",check="ready"} 1"#),
            "{metrics}"
        );

        shutdown.cancel();
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_in_flight_is_finished_at_shutdown() {
        let (started, mut has_started) = tokio::sync::mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let down = shutdown.clone();
        let slow = move || async move {
            started.send(()).await.unwrap();
            down.cancelled().await;
            "done"
        };
        let router = Router::new().route("/slow", axum::routing::get(slow));
        let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve_on(
            listener,
            router,
            Limits::default(),
            shutdown.clone(),
        ));
        let answer = tokio::spawn(get(address, "/slow"));
        has_started.recv().await.unwrap();
        shutdown.cancel();
        assert!(answer.await.unwrap().ends_with("done"));
        server.await.unwrap();
    }
}
