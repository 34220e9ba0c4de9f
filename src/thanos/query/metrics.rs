//! The stores that are connected, counted at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use store::{EndpointStatus, StoreSet};

use super::config::ConnectionLabel;

/// The longest `external_labels`, in bytes; Thanos's.
const MAX_LABELS: usize = 1000;

/// `thanos_store_nodes_grpc_connections{external_labels,store_type}`.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) set: Arc<StoreSet>,
    pub(super) labels: Vec<ConnectionLabel>,
}

type Counts = Family<Vec<(&'static str, String)>, Gauge>;

/// How many of the healthy ones have the same labels.
fn count(statuses: Vec<EndpointStatus>, by: &[ConnectionLabel]) -> Counts {
    let counts = Counts::default();
    for status in statuses.iter().filter(|status| status.last_error.is_none()) {
        let pair = |label: &ConnectionLabel| match label {
            ConnectionLabel::ExternalLabels => ("external_labels", labels(status)),
            ConnectionLabel::StoreType => ("store_type", status.component_type.clone()),
        };
        let key = by.iter().map(pair).collect::<Vec<_>>();
        counts.get_or_create(&key).inc();
    }
    counts
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = count(self.set.statuses(), &self.labels);
        let encoder = encoder.encode_descriptor(
            "thanos_store_nodes_grpc_connections",
            "Number of gRPC connection to Store APIs. Opened connection means healthy store APIs available for Querier",
            None,
            MetricType::Gauge,
        )?;
        counts.encode(encoder)
    }
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
        let statuses = vec![
            status("x", None),
            status("x", None),
            status("y", None),
            status("y", Some("gone")),
        ];
        let counted =
            |by: &[ConnectionLabel], key| count(statuses.clone(), by).get_or_create(&key).get();
        let labels = ("external_labels", r#"{cluster="x"}"#.to_owned());
        let kind = ("store_type", "sidecar".to_owned());
        let both = [ConnectionLabel::ExternalLabels, ConnectionLabel::StoreType];
        assert_eq!(counted(&both, vec![labels, kind.clone()]), 2);
        assert_eq!(counted(&[ConnectionLabel::StoreType], vec![kind]), 3);
    }
}
