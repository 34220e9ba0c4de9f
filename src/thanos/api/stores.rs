//! `stores`: the endpoints by the type of their component.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use store::EndpointStatus;

use super::{Api, json};

/// An endpoint as the answer lists it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    name: String,
    last_check: String,
    last_error: Option<String>,
    label_sets: Vec<BTreeMap<String, String>>,
    min_time: i64,
    max_time: i64,
}

impl From<EndpointStatus> for Store {
    fn from(status: EndpointStatus) -> Self {
        Self {
            name: status.name,
            last_check: status.last_check.map_or_else(|| NEVER.to_owned(), rfc3339),
            last_error: status.last_error,
            label_sets: status
                .label_sets
                .into_iter()
                .map(BTreeMap::from_iter)
                .collect(),
            min_time: status.min_time,
            max_time: status.max_time,
        }
    }
}

/// Go's zero time.
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

/// A time in RFC 3339, UTC.
pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}

/// `GET /api/v1/stores`.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let mut by_type: BTreeMap<String, Vec<Store>> = BTreeMap::new();
    for status in api.source.stores() {
        by_type
            .entry(status.component_type.clone())
            .or_default()
            .push(status.into());
    }
    json::success(&by_type, Vec::new())
}
