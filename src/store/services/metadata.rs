//! Metadata of metrics: the union of what targets say of each.

use std::collections::BTreeMap;

use proto::thanos::metadata_client::MetadataClient;
use proto::thanos::{
    Meta, MetricMetadata, MetricMetadataRequest, MetricMetadataResponse, metric_metadata_response,
};
use tonic::Status;

use super::{Frame, Gathered, Service};
use crate::endpoint::MAX_MESSAGE;
use crate::proxy::{CallOptions, Proxy};

const METADATA: Service<MetricMetadataResponse, MetricMetadata> = Service {
    name: "metric metadata",
    offered: |offers| offers.metadata,
    read: |frame| match frame.result {
        Some(metric_metadata_response::Result::Metadata(metadata)) => Frame::Item(metadata),
        Some(metric_metadata_response::Result::Warning(text)) => Frame::Warning(text),
        None => Frame::Empty,
    },
};

impl Proxy {
    /// The metadata of metrics at all endpoints, an item for each.
    ///
    /// # Errors
    /// `Aborted` when an endpoint fails and the request does not take partial answers.
    pub async fn metric_metadata(
        &self,
        request: MetricMetadataRequest,
        options: &CallOptions,
    ) -> Result<Gathered<MetricMetadata>, Status> {
        let strategy = request.partial_response_strategy;
        let mut requests = self.for_all(&METADATA, &request, options);
        if let Some(only) = &options.only {
            // Metadata has no labels to choose by.
            requests.retain(|(endpoint, _)| endpoint.has_only(only));
        }
        let ask = |channel, request| async move {
            let client = MetadataClient::new(channel);
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .metric_metadata(request)
                .await
        };
        self.gather(&METADATA, strategy, requests, options, ask)
            .await
    }
}

/// The different metadata of each metric, `limit` metrics at most; negative is no limit.
#[must_use]
pub fn merge_metadata(all: Vec<MetricMetadata>, limit: i32) -> BTreeMap<String, Vec<Meta>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut merged: BTreeMap<String, Vec<Meta>> = BTreeMap::new();
    for (metric, entry) in all.into_iter().flat_map(|one| one.metadata) {
        if merged.len() >= limit && !merged.contains_key(&metric) {
            continue;
        }
        let known = merged.entry(metric).or_default();
        for meta in entry.metas {
            if !known.contains(&meta) {
                known.push(meta);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proto::thanos::MetricMetadataEntry;

    use super::*;

    #[test]
    fn the_same_metadata_is_kept_once_and_the_limit_counts_metrics() {
        let meta = |help: &str| Meta {
            r#type: "counter".into(),
            help: help.into(),
            unit: String::new(),
        };
        let of = |metric: &str, help: &str| MetricMetadata {
            metadata: [(
                metric.to_owned(),
                MetricMetadataEntry {
                    metas: vec![meta(help)],
                },
            )]
            .into(),
        };
        let all = vec![of("a", "x"), of("a", "x"), of("a", "y"), of("b", "z")];
        let merged = merge_metadata(all.clone(), -1);
        assert_eq!(merged["a"], [meta("x"), meta("y")]);
        assert_eq!(merged["b"], [meta("z")]);
        assert_eq!(merge_metadata(all.clone(), 1).len(), 1);
        assert!(merge_metadata(all, 0).is_empty());
    }
}
