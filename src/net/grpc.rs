//! gRPC over tonic, with this room's TLS on both sides (tonic's own cannot re-read files).

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{self, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::accept::{Limits, Server};
use crate::channel::Channel;
use crate::probe::Probe;
use crate::tls::{ClientTls, H2, Reloading, ServerTls};
use crate::{NetError, port, snappy};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes by which one answer may be ahead of its reader.
pub const AHEAD: u32 = 2 << 20;
/// The same for all answers of a connection together: no bound. An answer that is not read must not hold up the others, for its
/// reader may wait for who waits for them.
const CONNECTION_WINDOW: u32 = i32::MAX as u32;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A channel to `address` (`host:port`) that connects when it is first used and again when the
/// connection is lost. With TLS, files are read at each connection; `:authority` is
/// [`ClientTls::server_name`], else the address. Must be called inside a tokio runtime.
///
/// # Errors
/// [`NetError::Address`] for something else than `host:port`.
pub fn channel(address: &str, tls: Option<&ClientTls>) -> Result<Channel, NetError> {
    channel_ahead(address, tls, AHEAD)
}

/// [`channel`], for one of many peers whose answers are read together: of each, `ahead` bytes are held while others are waited for.
///
/// # Errors
/// As [`channel`].
pub fn channel_ahead(
    address: &str,
    tls: Option<&ClientTls>,
    ahead: u32,
) -> Result<Channel, NetError> {
    connection(address, tls, ahead).map(Channel::new)
}

pub(crate) fn connection(
    address: &str,
    tls: Option<&ClientTls>,
    ahead: u32,
) -> Result<transport::Channel, NetError> {
    let host = host_of(address)?.to_owned();
    let endpoint = endpoint(address, tls)?.initial_stream_window_size(ahead);
    let Some(tls) = tls.cloned() else {
        return Ok(endpoint.connect_lazy());
    };
    tls.name(&host)?;
    let target = address.to_owned();
    let connect = move |_: Uri| {
        let (tls, target, host) = (tls.clone(), target.clone(), host.clone());
        async move { connect_tls(&target, &host, tls).await.map(TokioIo::new) }
    };
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(connect)))
}

fn endpoint(address: &str, tls: Option<&ClientTls>) -> Result<Endpoint, NetError> {
    let bad = |error: &dyn std::error::Error| NetError::Address {
        address: address.to_owned(),
        reason: error.to_string(),
    };
    // The scheme here is only tonic's sign that TLS is not its business; `origin` is what peers see.
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| bad(&error))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .initial_connection_window_size(CONNECTION_WINDOW);
    let Some(tls) = tls else { return Ok(endpoint) };
    let authority = tls.server_name.as_deref().unwrap_or(address);
    let origin = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query("/")
        .build();
    Ok(endpoint.origin(origin.map_err(|error| bad(&error))?))
}

/// The host of `host:port`, an IPv6 address without its brackets.
pub(crate) fn host_of(address: &str) -> Result<&str, NetError> {
    let bad = |reason: &str| NetError::Address {
        address: address.into(),
        reason: reason.into(),
    };
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| bad("no port is given"))?;
    port.parse::<u16>()
        .map_err(|_| bad("the port is not a number from 0 to 65535"))?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        Err(bad("no host is given"))
    } else {
        Ok(host)
    }
}

type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect_tls(address: &str, host: &str, tls: ClientTls) -> Result<TlsStream, BoxError> {
    let name = tls.name(host)?;
    let config = tokio::task::spawn_blocking(move || tls.load(&[H2])).await??;
    let stream = TcpStream::connect(address).await?;
    let _ = stream.set_nodelay(true);
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(protocol) if protocol == H2 => Ok(stream),
        _ => Err(format!("{address} does not speak HTTP/2 over TLS").into()),
    }
}

/// Listens on `addr` and serves gRPC until `shutdown`, then waits for calls in flight.
///
/// # Errors
/// [`NetError::Bind`] when the address cannot be listened on, [`NetError::Tls`] when the files cannot
/// be used.
pub async fn serve(
    addr: SocketAddr,
    tls: Option<ServerTls>,
    routes: Routes,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), NetError> {
    let listener = port::listen(addr).await?;
    let secure = tls.is_some();
    tracing::info!(address = %addr, tls = secure, "listening for serving gRPC");
    serve_on(listener, tls, routes, limits, shutdown).await
}

/// [`serve`] on a listener that is already open.
///
/// # Errors
/// [`NetError::Tls`] when the files cannot be used.
pub async fn serve_on(
    listener: TcpListener,
    tls: Option<ServerTls>,
    routes: Routes,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), NetError> {
    let tls = tls
        .map(|files| Reloading::new(files, &[H2]))
        .transpose()?
        .map(Into::into);
    let router = routes.prepare().into_axum_router();
    let router = router.layer(axum::middleware::from_fn(snappy::serve));
    Server {
        router,
        tls,
        limits,
        http2_only: true,
    }
    .run(listener, shutdown)
    .await;
    Ok(())
}

/// The gRPC health service (`grpc.health.v1`), serving while the probe is ready. Must be called inside
/// a tokio runtime.
pub fn health(probe: &Probe) -> HealthServer<impl Health> {
    let (reporter, server) = tonic_health::server::health_reporter();
    let probe = probe.clone();
    tokio::spawn(async move {
        loop {
            let ready = probe.is_ready();
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            // The empty name stands for the whole server.
            reporter.set_service_status("", status).await;
            probe.wait_ready(!ready).await;
        }
    });
    server
}

#[cfg(test)]
mod tests {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::channel::Compression;
    use crate::log::chain;
    use crate::tls::testing::{Authority, Leaf, Pki};

    async fn start(tls: Option<ServerTls>) -> (SocketAddr, CancellationToken) {
        let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let probe = Probe::new("sidecar");
        probe.ready();
        let routes = Routes::new(health(&probe));
        let limits = Limits::default();
        tokio::spawn(serve_on(listener, tls, routes, limits, shutdown.clone()));
        (address, shutdown)
    }

    async fn check(channel: Channel) -> Result<i32, tonic::Status> {
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await?;
        Ok(answer.into_inner().status)
    }

    #[tokio::test]
    async fn a_call_without_tls_is_answered() {
        let (address, shutdown) = start(None).await;
        let channel = channel(&address.to_string(), None).unwrap();
        assert_eq!(check(channel).await.unwrap(), 1);
        shutdown.cancel();
    }

    #[tokio::test]
    async fn compressed_calls_are_answered_compressed() {
        let (address, _shutdown) = start(None).await;
        let channel = channel(&address.to_string(), None).unwrap();
        let compressed = channel.clone().compressed(Compression::Snappy);
        assert_eq!(check(compressed).await.unwrap(), 1);
        assert_eq!(check(channel).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn mutual_tls_lets_in_who_shows_a_certificate_and_nobody_else() {
        let pki = Pki::new();
        let (address, _shutdown) = start(Some(pki.server())).await;
        let good = channel(&address.to_string(), Some(&pki.client())).unwrap();
        assert_eq!(check(good).await.unwrap(), 1);

        let nameless = ClientTls {
            cert: None,
            key: None,
            ..pki.client()
        };
        let nameless = channel(&address.to_string(), Some(&nameless)).unwrap();
        let error = chain(&check(nameless).await.unwrap_err());
        assert!(
            error.contains("received fatal alert: CertificateRequired"),
            "{error}"
        );

        let wrong = ClientTls {
            server_name: Some("other.test".into()),
            ..pki.client()
        };
        let wrong = channel(&address.to_string(), Some(&wrong)).unwrap();
        let error = chain(&check(wrong).await.unwrap_err());
        assert!(
            error.contains("certificate not valid for name \"other.test\""),
            "{error}"
        );

        let trusting = ClientTls {
            ca: None,
            skip_verify: true,
            ..pki.client()
        };
        let trusting = channel(&address.to_string(), Some(&trusting)).unwrap();
        assert_eq!(check(trusting).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn changed_files_count_from_the_next_connection_on_and_open_ones_stay() {
        let pki = Pki::new();
        let (address, _shutdown) = start(Some(pki.server())).await;
        let old = channel(&address.to_string(), Some(&pki.client())).unwrap();
        assert_eq!(check(old.clone()).await.unwrap(), 1);

        let other = Authority::new("other");
        pki.write("server", &other.issue(&Leaf::server("server.test")));
        let refused = channel(&address.to_string(), Some(&pki.client())).unwrap();
        let error = chain(&check(refused.clone()).await.unwrap_err());
        assert!(error.contains("UnknownIssuer"), "{error}");
        assert_eq!(check(old).await.unwrap(), 1, "the open connection");

        // The server's bundle too: with both in it, the client's certificate stays good.
        let bundle = format!("{}{}", other.pem, pki.authority.pem);
        std::fs::write(pki.path("ca.pem"), bundle).unwrap();
        assert_eq!(
            check(refused).await.unwrap(),
            1,
            "the same channel, the new CA"
        );
    }

    #[tokio::test]
    async fn an_address_needs_a_host_and_a_port() {
        for (address, wanted) in [
            ("localhost", "no port is given"),
            (":1", "no host is given"),
            ("h:x", "the port is not a number"),
            ("a b:1", "is not an address"),
        ] {
            let error = channel(address, None).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert_eq!(host_of("[::1]:9").unwrap(), "::1");
    }

    #[tokio::test]
    async fn a_group_takes_turns_and_passes_over_who_is_not_there() {
        let ((a, stop_a), (b, stop_b)) = (start(None).await, start(None).await);
        let nobody = "127.0.0.1:1".to_owned();
        let group = Channel::group(AHEAD);
        let error = check(group.clone()).await.expect_err("nobody is in it");
        assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
        let members = [a.to_string(), nobody.clone(), b.to_string()];
        group.regroup(&members, "host", None).expect("addresses");
        for _ in 0..6 {
            check(group.clone()).await.expect("one of them answers");
        }
        stop_a.cancel();
        for _ in 0..6 {
            check(group.clone()).await.expect("the other one answers");
        }
        // Who leaves is not asked any more, and what is no address changes nothing.
        group.regroup(&[b.to_string()], "host", None).expect("one");
        assert!(group.regroup(&["b".to_owned()], "host", None).is_err());
        check(group.clone()).await.expect("it answers");
        stop_b.cancel();
        group.regroup(&[nobody], "host", None).expect("one");
        assert!(check(group).await.is_err());
    }
}
