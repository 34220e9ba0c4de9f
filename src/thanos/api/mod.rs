//! The querier's HTTP API: `/api/v1/…` as Thanos and Prometheus speak it, and plain pages for people.
//!
//! The API knows nothing of gRPC: what it asks is a [`Source`]. Handlers parse ([`params`]), evaluation runs
//! behind a [`Gate`], answers are written by [`json`], failures by [`error`].

mod error;
mod explain;
mod gate;
mod json;
mod metadata;
mod metrics;
mod page;
mod params;
mod query;
mod services;
mod source;
mod status;
mod stores;
mod tenancy;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use net::metrics::Registry;
use promql::Features;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

pub use error::{ApiError, ErrorType};
pub use gate::Gate;
pub use json::answer_json;
use metrics::HttpMetrics;
pub(crate) use query::millis;
pub use query::{Asked, Stats, When};
pub use source::{LabelSelect, Listing, Plan, Scope, Source};
pub use tenancy::Tenancy;
pub use tree::{Places, node_type, tree};

/// The largest form that is taken, in bytes; Go's limit.
const MAX_BODY: usize = 10 << 20;

/// What a request gets when it does not say otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Removed from series when requests deduplicate.
    pub replica_labels: Vec<String>,
    /// The most time a request gets.
    pub timeout: Duration,
    /// How far an instant selector looks back.
    pub lookback: Duration,
    /// Whether the lookback grows with the resolution asked for.
    pub dynamic_lookback: bool,
    /// Whether a failed store is a warning, not an error.
    pub partial_response: bool,
    /// Whether range queries may be answered from downsampled data without asking for it.
    pub auto_downsampling: bool,
    /// The resolution that `auto` means for instant queries.
    pub instant_resolution: Duration,
    /// The smallest step of a range query that names none.
    pub default_step: Duration,
    /// How far back requests for metadata look; zero is all of time.
    pub metadata_range: Duration,
    /// Queries at a time.
    pub max_concurrent: usize,
    /// Samples that one query may hold.
    pub max_samples: usize,
    /// The parts of PromQL that are enabled.
    pub features: Features,
    /// The step of subqueries that name none.
    pub subquery_step: Duration,
    /// How tenants are told apart.
    pub tenancy: Tenancy,
    /// Whether pages of other origins may read the API.
    pub cors: bool,
    /// What `/api/v1/status/flags` lists.
    pub flags: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replica_labels: Vec::new(),
            timeout: Duration::from_secs(120),
            lookback: Duration::from_secs(300),
            dynamic_lookback: true,
            partial_response: true,
            auto_downsampling: false,
            instant_resolution: Duration::ZERO,
            default_step: Duration::from_secs(1),
            metadata_range: Duration::ZERO,
            max_concurrent: 20,
            max_samples: 50_000_000,
            features: Features::default(),
            subquery_step: Duration::from_secs(60),
            tenancy: Tenancy::default(),
            cors: true,
            flags: BTreeMap::new(),
        }
    }
}

/// Answers queries; what the handlers share.
#[derive(Debug)]
pub struct Api {
    source: Arc<dyn Source>,
    settings: Settings,
    queries: Gate,
    /// Requests for series compute too, but must not wait behind queries.
    lookups: Gate,
    started: SystemTime,
}

impl Api {
    /// `registry` gets the metrics of the gate.
    pub fn new(source: Arc<dyn Source>, settings: Settings, registry: &Registry) -> Arc<Self> {
        let api = Self {
            source,
            queries: Gate::new(settings.max_concurrent),
            lookups: Gate::new(settings.max_concurrent),
            settings,
            started: SystemTime::now(),
        };
        api.queries.register(registry);
        Arc::new(api)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// The routes of the API and its pages. `registry` gets the metrics of requests.
pub fn router(api: Arc<Api>, registry: &Registry) -> Router {
    let http = HttpMetrics::new(registry);
    let v1 = v1(&http, registry);
    let v1 = if api.settings.cors {
        v1.layer(from_fn(cors))
    } else {
        v1
    };
    Router::new()
        .nest("/api/v1", v1)
        .route("/", get(page::root))
        .route("/graph", http.observe("query_page", get(page::query)))
        .route("/stores", http.observe("stores_page", get(page::stores)))
        .route("/status", http.observe("status_page", get(page::status)))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .with_state(api)
}

fn v1(http: &HttpMetrics, registry: &Registry) -> Router<Arc<Api>> {
    let both = |handler: MethodRouter<Arc<Api>>| handler.layer(DefaultBodyLimit::max(MAX_BODY));
    let spans = query::requested_spans(registry);
    let range = move |api, params| query::range(api, params, spans.clone());
    Router::new()
        .route(
            "/query",
            http.observe("query", both(get(query::instant).post(query::instant))),
        )
        .route(
            "/query_range",
            http.observe("query_range", both(get(range.clone()).post(range))),
        )
        .route(
            "/query_explain",
            http.observe(
                "query_explain",
                both(get(explain::instant).post(explain::instant)),
            ),
        )
        .route(
            "/query_range_explain",
            http.observe(
                "query_range_explain",
                both(get(explain::range).post(explain::range)),
            ),
        )
        .route(
            "/series",
            http.observe("series", both(get(metadata::series).post(metadata::series))),
        )
        .route(
            "/labels",
            http.observe(
                "label_names",
                both(get(metadata::names).post(metadata::names)),
            ),
        )
        .route(
            "/label/{name}/values",
            http.observe("label_values", get(metadata::values)),
        )
        .route("/stores", http.observe("stores", get(stores::list)))
        .route(
            "/status/buildinfo",
            http.observe("status_build", get(status::build)),
        )
        .route(
            "/status/runtimeinfo",
            http.observe("status_runtime", get(status::runtime)),
        )
        .route(
            "/status/flags",
            http.observe("status_flags", get(status::flags)),
        )
        .route("/rules", http.observe("rules", get(services::rules)))
        .route("/alerts", http.observe("alerts", get(services::alerts)))
        .route("/targets", http.observe("targets", get(services::targets)))
        .route(
            "/metadata",
            http.observe("metadata", get(services::metric_metadata)),
        )
        .route(
            "/query_exemplars",
            http.observe(
                "exemplars",
                both(get(services::exemplars).post(services::exemplars)),
            ),
        )
        .route(
            "/status/tsdb",
            http.observe("status_tsdb", get(services::tsdb)),
        )
        .route(
            "/format_query",
            http.observe(
                "format_query",
                both(get(services::format_query).post(services::format_query)),
            ),
        )
        .route(
            "/parse_query",
            http.observe(
                "parse_query",
                both(get(services::parse_query).post(services::parse_query)),
            ),
        )
        .fallback(unknown)
}

async fn unknown(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::new(
        ErrorType::NotFound,
        format!("no such route: {}", uri.path()),
    )
}

/// Any page may read the API; a preflight gets its answer here.
async fn cors(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers: [(HeaderName, &'static str); 4] = [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
