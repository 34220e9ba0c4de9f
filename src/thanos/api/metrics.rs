//! Metrics of HTTP requests, with the names of Thanos's servers.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;
use http::Method;
use net::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

const DURATIONS: [f64; 17] = [
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0,
    720.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    code: u16,
    handler: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Running {
    handler: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug)]
struct NewHistogram;

impl MetricConstructor<Histogram> for NewHistogram {
    fn new_metric(&self) -> Histogram {
        Histogram::new(DURATIONS)
    }
}

/// Counts requests. Cloning shares the metrics.
#[derive(Clone, Debug)]
pub(super) struct HttpMetrics {
    requests: Family<Done, Counter>,
    durations: Family<Done, Histogram, NewHistogram>,
    in_flight: Family<Running, Gauge>,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.register(
                "http_requests",
                "Tracks the number of HTTP requests",
                Family::default(),
            ),
            durations: registry.register(
                "http_request_duration_seconds",
                "Tracks the latencies for HTTP requests",
                Family::new_with_constructor(NewHistogram),
            ),
            in_flight: registry.register(
                "http_inflight_requests",
                "Current number of HTTP requests the handler is responding to",
                Family::default(),
            ),
        }
    }

    /// The same routes, observed under the name `handler`.
    pub(super) fn observe<S: Clone + Send + Sync + 'static>(
        &self,
        handler: &'static str,
        routes: MethodRouter<S, Infallible>,
    ) -> MethodRouter<S, Infallible> {
        routes.layer(from_fn_with_state((self.clone(), handler), measure))
    }
}

/// Counts down also when the client leaves and the request is dropped.
struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn measure(
    State((metrics, handler)): State<(HttpMetrics, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let method = method_name(request.method());
    let in_flight = metrics
        .in_flight
        .get_or_create_owned(&Running { handler, method });
    in_flight.inc();
    let _in_flight = InFlight(in_flight);
    let start = Instant::now();
    let response = next.run(request).await;
    let done = Done {
        code: response.status().as_u16(),
        handler,
        method,
    };
    metrics.requests.get_or_create(&done).inc();
    metrics
        .durations
        .get_or_create(&done)
        .observe(start.elapsed().as_secs_f64());
    response
}

/// Clients choose the method: unknown ones must not make new series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        _ => "other",
    }
}
