//! Calls of gRPC, counted on both sides with the names that Go's interceptors give them:
//! `grpc_server_started_total`, `grpc_server_handled_total`, `grpc_server_handling_seconds`, and the same of `grpc_client`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::metrics::Registry;

/// Seconds, as Thanos's servers count them.
const SECONDS: [f64; 14] = [
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0,
];

/// A method that is counted; of others nobody knows how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// With its package.
    pub service: &'static str,
    pub name: &'static str,
    /// Whether the server answers with a stream.
    pub streams: bool,
}

type Labels = Vec<(&'static str, &'static str)>;

/// Counts calls. Cloning shares the metrics.
#[derive(Clone, Debug)]
pub struct Calls {
    methods: &'static [Method],
    started: Family<Labels, Counter>,
    handled: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Calls {
    /// Of a server; each of `methods` is there from the start.
    #[must_use]
    pub fn of_server(methods: &'static [Method], registry: &Registry) -> Self {
        let calls = Self::new("server", "on the server", methods, registry);
        for method in methods {
            calls.started.get_or_create(&method.labels()).inc_by(0);
        }
        calls
    }

    /// Of all clients of a process.
    #[must_use]
    pub fn of_clients(methods: &'static [Method], registry: &Registry) -> Self {
        Self::new("client", "by the client", methods, registry)
    }

    fn new(side: &str, place: &str, methods: &'static [Method], registry: &Registry) -> Self {
        let name = |what: &str| format!("grpc_{side}_{what}");
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            methods,
            started: registry.register(
                &name("started"),
                &format!("Total number of RPCs started {place}"),
                Family::default(),
            ),
            handled: registry.register(
                &name("handled"),
                &format!(
                    "Total number of RPCs completed {place}, regardless of success or failure"
                ),
                Family::default(),
            ),
            seconds: registry.register(
                &name("handling_seconds"),
                &format!(
                    "Histogram of response latency (seconds) of gRPC that had been handled {place}"
                ),
                Family::new_with_constructor(seconds),
            ),
        }
    }

    /// The same routes, each call counted.
    #[must_use]
    pub fn counting(&self, routes: Routes) -> Routes {
        let calls = self.clone();
        let count = move |request: Request<axum::body::Body>, next: Next| {
            let call = calls.start(request.uri().path());
            async move {
                let answer = next.run(request).await;
                match call {
                    Some(call) => call.answered(answer).map(axum::body::Body::new),
                    None => answer,
                }
            }
        };
        Routes::from(routes.into_axum_router().layer(from_fn(count)))
    }

    /// A call of `/package.Service/Method`, if that is counted.
    pub(crate) fn start(&self, path: &str) -> Option<Call> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let method = self
            .methods
            .iter()
            .find(|method| (method.service, method.name) == (service, name))?;
        self.started.get_or_create(&method.labels()).inc();
        Some(Call {
            calls: self.clone(),
            method: *method,
            began: Instant::now(),
            over: false,
        })
    }
}

impl Method {
    fn labels(self) -> Labels {
        let kind = if self.streams {
            "server_stream"
        } else {
            "unary"
        };
        vec![
            ("grpc_type", kind),
            ("grpc_service", self.service),
            ("grpc_method", self.name),
        ]
    }
}

/// A call that was started. If nothing says how it ended, nobody waited for it.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    method: Method,
    began: Instant,
    over: bool,
}

impl Call {
    pub(crate) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut labels = self.method.labels();
        let seconds = self.calls.seconds.get_or_create(&labels);
        seconds.observe(self.began.elapsed().as_secs_f64());
        labels.push(("grpc_code", code_name(code)));
        self.calls.handled.get_or_create(&labels).inc();
    }

    /// The answer, which ends the call with its status: in its head when there is nothing else, or behind its body.
    pub(crate) fn answered<B>(mut self, answer: Response<B>) -> Response<Counted<B>> {
        if let Some(status) = Status::from_header_map(answer.headers()) {
            self.end(status.code());
        }
        answer.map(|body| Counted { body, call: self })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// A body whose trailers end a call.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    call: Call,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.end(code_of(trailers));
                }
            }
            Some(Err(_)) => self.call.end(Code::Unavailable),
            None => self.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code_of(trailers: &HeaderMap) -> Code {
    Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code())
}

/// A code by the name that Go gives it.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::probe::Probe;
    use crate::{Limits, grpc, port};

    const METHODS: &[Method] = &[
        Method {
            service: "grpc.health.v1.Health",
            name: "Check",
            streams: false,
        },
        Method {
            service: "grpc.health.v1.Health",
            name: "Watch",
            streams: true,
        },
    ];

    #[tokio::test]
    async fn both_sides_count_what_came_of_calls() {
        let (server, client) = (Registry::new(), Registry::new());
        let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let probe = Probe::new("x");
        probe.ready();
        let routes = Routes::new(grpc::health(&probe));
        let routes = Calls::of_server(METHODS, &server).counting(routes);
        let shutdown = CancellationToken::new();
        tokio::spawn(grpc::serve_on(
            listener,
            None,
            routes,
            Limits::default(),
            shutdown,
        ));
        let channel = grpc::channel(&address, None).unwrap();
        let channel = channel.counted(Calls::of_clients(METHODS, &client));
        let mut health = HealthClient::new(channel);
        let service = |name: &str| HealthCheckRequest {
            service: name.to_owned(),
        };
        health.check(service("")).await.expect("it is well");
        health
            .check(service("unknown"))
            .await
            .expect_err("not there");
        let mut watch = health
            .watch(service(""))
            .await
            .expect("a stream")
            .into_inner();
        watch.message().await.expect("a frame");
        drop(watch);
        let metric = |side: &str, what: &str, kind: &str, method: &str, code: &str| {
            let code = if code.is_empty() {
                String::new()
            } else {
                format!(r#",grpc_code="{code}""#)
            };
            format!(
                r#"grpc_{side}_{what}_total{{grpc_type="{kind}",grpc_service="grpc.health.v1.Health",grpc_method="{method}"{code}}}"#
            )
        };
        for (registry, side) in [(&server, "server"), (&client, "client")] {
            let has = |line: &String| registry.text().lines().any(|it| it == line.as_str());
            let expected = [
                metric(side, "started", "unary", "Check", "") + " 2",
                metric(side, "started", "server_stream", "Watch", "") + " 1",
                metric(side, "handled", "unary", "Check", "OK") + " 1",
                metric(side, "handled", "unary", "Check", "NotFound") + " 1",
                metric(side, "handled", "server_stream", "Watch", "Canceled") + " 1",
            ];
            for line in &expected {
                for _ in 0..100 {
                    if has(line) {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                assert!(has(line), "{line} in\n{}", registry.text());
            }
        }
    }
}
