//! `status/…`: the build, the process and its flags.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::{Api, json, stores};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

/// `GET /api/v1/status/buildinfo`.
pub(super) async fn build() -> Response {
    let build = Build {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("TKS_REVISION").unwrap_or(""),
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    };
    json::success(&build, Vec::new())
}

/// Go's names; what Go alone has is empty.
#[derive(Serialize)]
struct Runtime {
    #[serde(rename = "startTime")]
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    /// Tasks.
    #[serde(rename = "goroutineCount")]
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    gomaxprocs: usize,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    #[serde(rename = "GOMEMLIMIT")]
    gomemlimit: i64,
}

/// `GET /api/v1/status/runtimeinfo`.
pub(super) async fn runtime(State(api): State<Arc<Api>>) -> Response {
    let runtime = Runtime {
        start_time: stores::rfc3339(api.started),
        cwd: std::env::current_dir()
            .unwrap_or_default()
            .display()
            .to_string(),
        goroutine_count: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        gomaxprocs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        gogc: "",
        godebug: "",
        gomemlimit: i64::MAX,
    };
    json::success(&runtime, Vec::new())
}

/// `GET /api/v1/status/flags`.
pub(super) async fn flags(State(api): State<Arc<Api>>) -> Response {
    json::success(&api.settings.flags, Vec::new())
}
