//! The stores that are connected, counted at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use store::{EndpointStatus, StoreSet};

/// The longest `external_labels`, in bytes; Thanos's.
const MAX_LABELS: usize = 1000;

/// `thanos_store_nodes_grpc_connections{external_labels,store_type}`.
#[derive(Debug)]
pub(super) struct Connections(pub(super) Arc<StoreSet>);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family: Family<Vec<(&'static str, String)>, Gauge> = Family::default();
        for ((labels, kind), count) in count(self.0.statuses()) {
            let key = vec![("external_labels", labels), ("store_type", kind)];
            family.get_or_create(&key).set(count);
        }
        let encoder = encoder.encode_descriptor(
            "thanos_store_nodes_grpc_connections",
            "Number of gRPC connection to Store APIs. Opened connection means healthy store APIs available for Querier",
            None,
            MetricType::Gauge,
        )?;
        family.encode(encoder)
    }
}

fn count(statuses: Vec<EndpointStatus>) -> BTreeMap<(String, String), i64> {
    let mut counts = BTreeMap::new();
    for status in statuses
        .into_iter()
        .filter(|status| status.last_error.is_none())
    {
        *counts
            .entry((labels(&status), status.component_type))
            .or_default() += 1;
    }
    counts
}

fn labels(status: &EndpointStatus) -> String {
    if status.label_sets.is_empty() {
        return "no_external_labels".to_owned();
    }
    let mut sets: Vec<String> = status.label_sets.iter().map(|set| label_set(set)).collect();
    sets.sort();
    let mut text = sets.join(",");
    text.truncate(text.floor_char_boundary(MAX_LABELS));
    text
}

fn label_set(set: &[(String, String)]) -> String {
    let pairs: Vec<String> = set
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthy_stores_of_one_kind_and_labels_are_counted_together() {
        let status = |cluster: &str, error: Option<&str>| EndpointStatus {
            name: "a:1".into(),
            component_type: "sidecar".into(),
            last_check: None,
            last_error: error.map(str::to_owned),
            label_sets: vec![vec![("cluster".into(), cluster.into())]],
            min_time: 0,
            max_time: 0,
        };
        let counts = count(vec![
            status("x", None),
            status("x", None),
            status("y", Some("gone")),
        ]);
        let key = (r#"{cluster="x"}"#.to_owned(), "sidecar".to_owned());
        assert_eq!(counts, BTreeMap::from([(key, 2)]));
    }
}
