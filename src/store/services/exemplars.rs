//! Exemplars: each endpoint is asked for the selectors that its label sets do not contradict.

use std::cmp::Ordering;

use model::Matcher;
use proto::thanos::exemplars_client::ExemplarsClient;
use proto::thanos::{
    Exemplar, ExemplarData, ExemplarsRequest, ExemplarsResponse, Label, exemplars_response,
};
use tonic::Status;

use super::{Frame, Gathered, Service, of, sorted};
use crate::endpoint::{MAX_MESSAGE, StoreMetadata};
use crate::proxy::{CallOptions, Proxy};
use crate::{labels, matchers};

const EXEMPLARS: Service<ExemplarsResponse, ExemplarData> = Service {
    name: "exemplars",
    offered: |offers| offers.exemplars,
    read: |frame| match frame.result {
        Some(exemplars_response::Result::Data(data)) => Frame::Item(data),
        Some(exemplars_response::Result::Warning(text)) => Frame::Warning(text),
        None => Frame::Empty,
    },
};

/// The component whose StoreAPI resolves external labels itself.
const QUERIER: &str = "query";

/// Which exemplars are asked for.
#[derive(Clone, Debug)]
pub struct ExemplarSelect {
    /// The selectors of a query.
    pub selectors: Vec<Vec<Matcher>>,
    /// Milliseconds, both ends inclusive.
    pub start: i64,
    pub end: i64,
    /// Of `PartialResponseStrategy`.
    pub strategy: i32,
}

impl Proxy {
    /// The exemplars of all endpoints that may have series for one of the selectors.
    ///
    /// # Errors
    /// `InvalidArgument` when nothing is left to select by, `Aborted` when an endpoint fails and the request does not take
    /// partial answers.
    pub async fn exemplars(
        &self,
        select: &ExemplarSelect,
        options: &CallOptions,
    ) -> Result<Gathered<ExemplarData>, Status> {
        let admitted = select
            .selectors
            .iter()
            .filter_map(|selector| matchers::without_external(self.selector_labels(), selector));
        let selectors: Vec<_> = admitted.collect();
        if selectors.is_empty() && !select.selectors.is_empty() {
            return Ok(Gathered::default());
        }
        if selectors.iter().all(Vec::is_empty) {
            return Err(Status::invalid_argument(
                "no matchers specified (excluding external labels)",
            ));
        }
        let offering = self.stores.offering(EXEMPLARS.offered).into_iter();
        let requests = offering
            .filter_map(|endpoint| {
                let request = ExemplarsRequest {
                    query: query_for(&endpoint.metadata(), &selectors)?,
                    start: select.start,
                    end: select.end,
                    partial_response_strategy: select.strategy,
                };
                Some((endpoint, request))
            })
            .collect();
        let ask = |channel, request| async move {
            let client = ExemplarsClient::new(channel);
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .exemplars(request)
                .await
        };
        self.gather(&EXEMPLARS, select.strategy, requests, options, ask)
            .await
    }
}

/// The selectors that an endpoint may have series for, as one expression. Prometheus knows nothing of its external labels,
/// so matchers on them are left out; a querier does.
fn query_for(store: &StoreMetadata, selectors: &[Vec<Matcher>]) -> Option<String> {
    let external = |name: &str| {
        let mut sets = store.label_sets.iter();
        store.component_type != QUERIER && sets.any(|set| !labels::value(set, name).is_empty())
    };
    let of_one = |selector: &Vec<Matcher>| {
        let kept = selector.iter().filter(|matcher| !external(&matcher.name));
        let texts: Vec<String> = kept.map(ToString::to_string).collect();
        format!("{{{}}}", texts.join(", "))
    };
    let mine = selectors
        .iter()
        .filter(|selector| matchers::may_match(&store.label_sets, selector));
    let parts: Vec<String> = mine.map(of_one).collect();
    (!parts.is_empty()).then(|| parts.join("+"))
}

/// The exemplars of each series once, series that differ in `replica_labels` alone as one; sorted by series, time, labels.
#[must_use]
pub fn merge_exemplars(mut all: Vec<ExemplarData>, replica_labels: &[String]) -> Vec<ExemplarData> {
    all.retain(|data| !data.exemplars.is_empty());
    for data in &mut all {
        labels::remove(sorted(&mut data.series_labels), replica_labels);
        for exemplar in &mut data.exemplars {
            sorted(&mut exemplar.labels);
        }
    }
    all.sort_by(|a, b| labels::compare(series(a), series(b)));
    let mut merged: Vec<ExemplarData> = Vec::with_capacity(all.len());
    for data in all {
        match merged.last_mut() {
            Some(last) if series(last) == series(&data) => last.exemplars.extend(data.exemplars),
            _ => merged.push(data),
        }
    }
    for data in &mut merged {
        data.exemplars.sort_by(compare);
        data.exemplars
            .dedup_by(|later, kept| compare(later, kept).is_eq());
    }
    merged
}

fn series(data: &ExemplarData) -> &[Label] {
    of(data.series_labels.as_ref())
}

fn compare(a: &Exemplar, b: &Exemplar) -> Ordering {
    a.ts.cmp(&b.ts)
        .then_with(|| labels::compare(of(a.labels.as_ref()), of(b.labels.as_ref())))
        .then_with(|| a.value.total_cmp(&b.value))
}

#[cfg(test)]
mod tests {
    use proto::thanos::LabelSet;

    use super::*;
    use crate::labels::label;

    fn store(component: &str, sets: &[&[(&str, &str)]]) -> StoreMetadata {
        StoreMetadata {
            component_type: component.into(),
            label_sets: sets
                .iter()
                .map(|set| set.iter().map(|(n, v)| label(*n, *v)).collect())
                .collect(),
            ..StoreMetadata::unknown()
        }
    }

    #[test]
    fn a_leaf_is_asked_without_external_labels_and_a_querier_with_them() {
        let selectors = [
            vec![
                Matcher::equal("__name__", "a"),
                Matcher::equal("cluster", "eu"),
            ],
            vec![
                Matcher::equal("__name__", "b"),
                Matcher::equal("cluster", "us"),
            ],
        ];
        let leaf = store("sidecar", &[&[("cluster", "eu")]]);
        assert_eq!(
            query_for(&leaf, &selectors).as_deref(),
            Some(r#"{__name__="a"}"#)
        );
        let querier = store("query", &[&[("cluster", "eu")], &[("cluster", "us")]]);
        assert_eq!(
            query_for(&querier, &selectors).as_deref(),
            Some(r#"{__name__="a", cluster="eu"}+{__name__="b", cluster="us"}"#)
        );
        assert_eq!(
            query_for(&store("sidecar", &[&[("cluster", "ap")]]), &selectors),
            None
        );
    }

    #[test]
    fn exemplars_of_replicas_are_joined_and_the_same_one_is_kept_once() {
        let exemplar = |ts, value| Exemplar {
            labels: Some(LabelSet {
                labels: vec![label("trace", "x")],
            }),
            value,
            ts,
        };
        let data = |replica: &str, exemplars| ExemplarData {
            series_labels: Some(LabelSet {
                labels: vec![label("replica", replica), label("job", "j")],
            }),
            exemplars,
        };
        let all = vec![
            data("0", vec![exemplar(2, 1.0), exemplar(1, 1.0)]),
            data("1", vec![exemplar(2, 1.0), exemplar(3, 1.0)]),
            data("2", Vec::new()),
        ];
        let merged = merge_exemplars(all, &["replica".to_owned()]);
        assert_eq!(merged.len(), 1);
        assert_eq!(series(&merged[0]), [label("job", "j")]);
        let times: Vec<i64> = merged[0].exemplars.iter().map(|e| e.ts).collect();
        assert_eq!(times, [1, 2, 3]);
    }
}
