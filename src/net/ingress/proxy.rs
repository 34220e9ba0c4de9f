//! One request to the backend and its answer back, both streamed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::metrics::Metrics;
use super::outcome::{Observed, Outcome, is_grpc};
use super::route::Route;
use crate::accept::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::log::chain;

/// The way to all backends: one HTTP/2 connection each, made again when it is lost.
pub(super) struct Proxy {
    client: Client<HttpConnector, Incoming>,
    metrics: Metrics,
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

impl Proxy {
    pub(super) fn new(metrics: Metrics) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        // No timeout on requests: a Series call streams for as long as it streams.
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build(connector);
        Self { client, metrics }
    }

    /// The backend's answer, or why there is none.
    pub(super) async fn forward(
        &self,
        route: &Route,
        request: Request<Incoming>,
    ) -> Response<Observed> {
        let outcome = Outcome::new(self.metrics.clone(), &route.host);
        let answer = if !names(&request, &route.host) {
            plain(
                StatusCode::MISDIRECTED_REQUEST,
                format!("this connection is for {}", route.host),
            )
        } else if request.method() == Method::CONNECT {
            plain(StatusCode::METHOD_NOT_ALLOWED, "no tunnels".to_owned())
        } else {
            self.ask(route, request).await
        };
        Observed::answer(answer, outcome)
    }

    async fn ask(&self, route: &Route, request: Request<Incoming>) -> Answer {
        let grpc = is_grpc(request.headers());
        let request = match readdress(request, &route.backend) {
            Ok(request) => request,
            Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
        };
        match self.client.request(request).await {
            Ok(mut answer) => {
                remove_hop_by_hop(answer.headers_mut());
                answer.map(Either::Left)
            }
            Err(error) => no_answer(&route.backend, &error, grpc),
        }
    }
}

/// Whether the request is for this host; a port beside it does not matter.
fn names(request: &Request<Incoming>, host: &str) -> bool {
    let named = request.uri().host().or_else(|| {
        let header = request.headers().get(HOST)?.to_str().ok()?;
        Some(header.rsplit_once(':').map_or(header, |(host, _)| host))
    });
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

/// The same request, to the backend.
fn readdress(request: Request<Incoming>, backend: &str) -> Result<Request<Incoming>, http::Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = Uri::builder()
        .scheme("http")
        .authority(backend)
        .path_and_query(path)
        .build()?;
    remove_hop_by_hop(&mut head.headers);
    head.headers.remove(HOST);
    Ok(Request::from_parts(head, body))
}

/// RFC 9110 7.6.1. `te: trailers` is the exception (RFC 9113 8.2.2): gRPC asks for it.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const MORE: [HeaderName; 3] = [
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("proxy-authorization"),
    ];
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let wants_trailers = headers.get(TE).is_some_and(|te| te == "trailers");
    for name in listed
        .into_iter()
        .chain(MORE)
        .chain([CONNECTION, TRANSFER_ENCODING, UPGRADE, TE])
    {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn plain(status: StatusCode, reason: String) -> Answer {
    let mut answer = Response::new(Either::Right(Full::from(reason + "\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

/// UNAVAILABLE, in a head that is the trailers too, when gRPC asks; 502 for others.
fn no_answer(backend: &str, error: &ClientError, grpc: bool) -> Answer {
    let what = if error.is_connect() {
        "is not reachable"
    } else {
        "did not answer"
    };
    let reason = format!("backend {backend} {what}: {}", chain(error));
    tracing::warn!(backend, err = %chain(error), "no answer from the backend");
    if !grpc {
        return plain(StatusCode::BAD_GATEWAY, reason);
    }
    let mut answer = Response::new(Either::Right(Full::default()));
    // `Status` knows how a message is escaped.
    let status = tonic::Status::unavailable(reason);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if status.add_header(answer.headers_mut()).is_err() {
        answer
            .headers_mut()
            .insert("grpc-status", HeaderValue::from_static("14"));
    }
    answer
}
