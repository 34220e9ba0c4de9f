//! The page of blocks, and the API behind it, as Thanos's (`pkg/api/blocks`): what the compactor works on (`view=loaded`),
//! everything in the bucket, and marking by POST.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use objstore::Bucket;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use store::block::Fetcher;
use tokio_util::sync::CancellationToken;
use tsdb::Ulid;
use tsdb::meta::{DeletionMark, Meta, NoCompactMark};

use super::{Compactor, Config, every, seconds};
use crate::bucket;

/// Everything in the bucket, as it was at the last look.
#[derive(Debug)]
pub(super) struct Viewed {
    fetcher: Fetcher<Arc<Meta>>,
    all: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    blocks: Vec<Arc<Meta>>,
    taken: Option<jiff::Timestamp>,
    error: Option<String>,
}

impl Viewed {
    pub(super) fn new(config: &Config, bucket: &Bucket) -> Self {
        let concurrency = config.block_meta_fetch_concurrency;
        Self {
            fetcher: Fetcher::new(bucket.clone(), None, concurrency, config.discovery),
            all: Mutex::default(),
        }
    }

    async fn look(&self) {
        let found = self.fetcher.fetch().await;
        let mut all = self.all.lock();
        match found {
            Ok(found) => {
                *all = Shown {
                    blocks: found.blocks.into_values().collect(),
                    taken: Some(jiff::Timestamp::now()),
                    error: None,
                };
            }
            Err(error) => all.error = Some(net::log::chain(&error)),
        }
    }
}

/// Looks at the whole bucket at every interval.
pub(super) async fn keep_current(compactor: &Compactor, shutdown: &CancellationToken) {
    let viewer = &compactor.worker.config.viewer;
    every(viewer.sync_interval, shutdown, async || {
        let look = compactor.viewed.look();
        if tokio::time::timeout(viewer.sync_timeout, look).await.is_err() {
            tracing::warn!(limit = ?viewer.sync_timeout, "the bucket was not read in time for the page of blocks");
        }
    })
    .await;
}

/// The routes.
pub(super) fn router(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/blocks", get(page))
        .route("/loaded", get(page))
        .route("/api/v1/blocks", get(blocks))
        .route("/api/v1/blocks/mark", post(mark))
        .with_state(compactor)
}

#[derive(Debug, Deserialize)]
struct Which {
    #[serde(default)]
    view: String,
}

fn shown(compactor: &Compactor, view: &str) -> Value {
    let label = &compactor.worker.config.viewer.label;
    let (blocks, taken, error) = if view == "loaded" {
        let view = compactor.syncer.view();
        (view.blocks.values().cloned().collect(), view.taken, None)
    } else {
        let all = compactor.viewed.all.lock();
        (all.blocks.clone(), all.taken, all.error.clone())
    };
    let taken = taken.map_or_else(
        || "0001-01-01T00:00:00Z".to_owned(),
        |time| time.to_string(),
    );
    json!({
        "label": label,
        "blocks": blocks.iter().map(|block| serde_json::to_value(&**block).unwrap_or_default()).collect::<Vec<_>>(),
        "refreshedAt": taken,
        "err": error,
    })
}

async fn blocks(
    State(compactor): State<Arc<Compactor>>,
    Query(which): Query<Which>,
) -> Json<Value> {
    let data = shown(&compactor, &which.view);
    Json(json!({ "status": "success", "data": data }))
}

#[derive(Debug)]
struct Request {
    id: String,
    action: String,
    detail: String,
}

fn refused(status: StatusCode, kind: &str, error: impl std::fmt::Display) -> Response {
    let error = error.to_string();
    let body = json!({ "status": "error", "errorType": kind, "error": error });
    (status, Json(body)).into_response()
}

async fn mark(
    State(compactor): State<Arc<Compactor>>,
    Query(in_query): Query<BTreeMap<String, String>>,
    body: String,
) -> Response {
    let worker = &compactor.worker;
    if !worker.config.viewer.admin {
        let why = "admin operations are disabled";
        return refused(StatusCode::BAD_REQUEST, "bad_data", why);
    }
    // As Go's forms: the body comes first, then the query.
    let form = format!("http://form/?{body}");
    let form = reqwest::Url::parse(&form).ok();
    let form: BTreeMap<String, String> = form
        .iter()
        .flat_map(|url| url.query_pairs().into_owned())
        .collect();
    let get = |key: &str| {
        let found = form.get(key).or_else(|| in_query.get(key));
        found.cloned().unwrap_or_default()
    };
    let request = Request {
        id: get("id"),
        action: get("action"),
        detail: get("detail"),
    };
    if request.id.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "bad_data", "ID cannot be empty");
    }
    if request.action.is_empty() {
        return refused(
            StatusCode::BAD_REQUEST,
            "bad_data",
            "Action cannot be empty",
        );
    }
    let Ok(id) = Ulid::from_string(&request.id) else {
        let why = format!("ULID {:?} is not valid", request.id);
        return refused(StatusCode::BAD_REQUEST, "bad_data", why);
    };
    let marked = match request.action.as_str() {
        "DELETION" => {
            let mark = DeletionMark::new(id, request.detail, seconds());
            bucket::mark(&worker.bucket, id, &mark).await
        }
        "NO_COMPACTION" => {
            let mark = NoCompactMark::new(id, request.detail, seconds(), "manual");
            bucket::mark(&worker.bucket, id, &mark).await
        }
        other => {
            let why = format!("not supported marker {other}");
            return refused(StatusCode::BAD_REQUEST, "bad_data", why);
        }
    };
    match marked {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let why = net::log::chain(&error);
            refused(StatusCode::BAD_REQUEST, "bad_data", why)
        }
    }
}

/// The page: blocks over time, one row a resolution, one band a group.
async fn page() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], Html(PAGE)).into_response()
}

const PAGE: &str = include_str!("viewer.html");
