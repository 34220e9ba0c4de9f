//! The queries: what dashboards and alerts ask, from one series to all of them.

use crate::support::data::{HOURS, START};

const HOUR: i64 = 3600;
const END: i64 = START + HOURS * HOUR;

pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) ask: Ask,
}

/// Seconds since 1970.
pub(crate) enum Ask {
    Instant {
        query: &'static str,
        time: i64,
    },
    Range {
        query: &'static str,
        start: i64,
        end: i64,
        step: i64,
    },
    /// All values of a label.
    Values {
        label: &'static str,
        start: i64,
        end: i64,
    },
}

impl Query {
    /// Path and parameters of the HTTP API.
    pub(crate) fn target(&self) -> String {
        match &self.ask {
            Ask::Instant { query, time } => {
                format!("/api/v1/query?query={}&time={time}", escaped(query))
            }
            Ask::Range {
                query,
                start,
                end,
                step,
            } => {
                let query = escaped(query);
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
            Ask::Values { label, start, end } => {
                format!("/api/v1/label/{label}/values?start={start}&end={end}")
            }
        }
    }
}

fn escaped(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn instant(name: &'static str, query: &'static str) -> Query {
    let time = END - HOUR / 2;
    let ask = Ask::Instant { query, time };
    Query { name, ask }
}

/// Over the last `span` seconds.
fn range(name: &'static str, span: i64, step: i64, query: &'static str) -> Query {
    let ask = Ask::Range {
        query,
        start: END - span,
        end: END - 60,
        step,
    };
    Query { name, ask }
}

pub(crate) fn all() -> Vec<Query> {
    let whole = HOURS * HOUR - 600;
    let values = Ask::Values {
        label: "pod",
        start: START,
        end: END,
    };
    vec![
        instant(
            "instant sum",
            "sum(rate(container_cpu_usage_seconds_total[5m]))",
        ),
        instant(
            "instant by pod",
            "sum by (pod) (rate(container_cpu_usage_seconds_total[5m]))",
        ),
        instant(
            "instant hq",
            "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
        ),
        range(
            "range 1h/15s by ns",
            HOUR,
            15,
            "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
        ),
        range(
            "range 24h/60s by ns",
            24 * HOUR,
            60,
            "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
        ),
        range(
            "range 24h/5m hq",
            24 * HOUR,
            300,
            "histogram_quantile(0.99, sum by (le, namespace) (rate(http_request_duration_seconds_bucket[5m])))",
        ),
        range(
            "range 48h/5m max_over_time",
            whole,
            300,
            "max by (node) (max_over_time(container_memory_working_set_bytes[10m]))",
        ),
        range(
            "range 24h/5m topk",
            24 * HOUR,
            300,
            "topk(10, sum by (pod) (rate(http_request_duration_seconds_count[5m])))",
        ),
        range(
            "range 6h/60s join",
            6 * HOUR,
            60,
            "sum by (node) (container_memory_working_set_bytes * on (namespace, pod) group_left (node) kube_pod_info)",
        ),
        range(
            "one series 48h",
            whole,
            60,
            "node_load1{instance=\"10.0.0.1:9100\"}",
        ),
        range(
            "native hq 6h/5m",
            6 * HOUR,
            300,
            "histogram_quantile(0.99, sum by (namespace) (rate(rpc_duration_seconds[5m])))",
        ),
        Query {
            name: "label values",
            ask: values,
        },
    ]
}
