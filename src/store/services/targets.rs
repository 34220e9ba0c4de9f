//! Targets: what differs in replica labels only is one target.

use std::cmp::Ordering;

use proto::thanos::targets_client::TargetsClient;
use proto::thanos::{
    ActiveTarget, TargetDiscovery, TargetsRequest, TargetsResponse, targets_response,
};
use tonic::Status;

use super::{Frame, Gathered, Service, of, sorted};
use crate::endpoint::MAX_MESSAGE;
use crate::labels;
use crate::proxy::{CallOptions, Proxy};

const TARGETS: Service<TargetsResponse, TargetDiscovery> = Service {
    name: "targets",
    offered: |offers| offers.targets,
    read: |frame| match frame.result {
        Some(targets_response::Result::Targets(targets)) => Frame::Item(targets),
        Some(targets_response::Result::Warning(text)) => Frame::Warning(text),
        None => Frame::Empty,
    },
};

impl Proxy {
    /// The targets of all endpoints, an item for each.
    ///
    /// # Errors
    /// `Aborted` when an endpoint fails and the request does not take partial answers.
    pub async fn targets(
        &self,
        request: TargetsRequest,
        options: &CallOptions,
    ) -> Result<Gathered<TargetDiscovery>, Status> {
        let strategy = request.partial_response_strategy;
        let requests = self.for_all(&TARGETS, &request, options);
        let ask = |channel, request| async move {
            let client = TargetsClient::new(channel);
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .targets(request)
                .await
        };
        self.gather(&TARGETS, strategy, requests, options, ask)
            .await
    }
}

/// All targets, sorted, those that differ in `replica_labels` alone once: the healthier, then the one scraped last.
#[must_use]
pub fn merge_targets(all: Vec<TargetDiscovery>, replica_labels: &[String]) -> TargetDiscovery {
    let mut merged = TargetDiscovery::default();
    for one in all {
        merged.active_targets.extend(one.active_targets);
        merged.dropped_targets.extend(one.dropped_targets);
    }
    let active = &mut merged.active_targets;
    for target in active.iter_mut() {
        labels::remove(sorted(&mut target.discovered_labels), replica_labels);
        labels::remove(sorted(&mut target.labels), replica_labels);
    }
    active.sort_by(|a, b| identity(a, b).then_with(|| preference(a, b)));
    active.dedup_by(|later, kept| identity(later, kept).is_eq());
    let dropped = &mut merged.dropped_targets;
    for target in dropped.iter_mut() {
        labels::remove(sorted(&mut target.discovered_labels), replica_labels);
    }
    dropped.sort_by(|a, b| {
        labels::compare(
            of(a.discovered_labels.as_ref()),
            of(b.discovered_labels.as_ref()),
        )
    });
    dropped.dedup();
    merged
}

fn identity(a: &ActiveTarget, b: &ActiveTarget) -> Ordering {
    a.scrape_url
        .cmp(&b.scrape_url)
        .then_with(|| a.scrape_pool.cmp(&b.scrape_pool))
        .then_with(|| {
            labels::compare(
                of(a.discovered_labels.as_ref()),
                of(b.discovered_labels.as_ref()),
            )
        })
        .then_with(|| labels::compare(of(a.labels.as_ref()), of(b.labels.as_ref())))
}

/// As Thanos orders health: down is shown before up, so that a replica that cannot scrape is seen.
fn preference(a: &ActiveTarget, b: &ActiveTarget) -> Ordering {
    let scraped =
        |target: &ActiveTarget| target.last_scrape.map_or((0, 0), |t| (t.seconds, t.nanos));
    a.health
        .cmp(&b.health)
        .then_with(|| scraped(b).cmp(&scraped(a)))
}

#[cfg(test)]
mod tests {
    use proto::thanos::{DroppedTarget, LabelSet, TargetHealth};

    use super::*;
    use crate::labels::label;

    #[test]
    fn replicas_of_a_target_become_one_and_a_failing_one_is_seen() {
        let set = |replica: &str| {
            Some(LabelSet {
                labels: vec![label("replica", replica), label("job", "x")],
            })
        };
        let discovery = |replica: &str, health: TargetHealth| TargetDiscovery {
            active_targets: vec![ActiveTarget {
                discovered_labels: set(replica),
                labels: set(replica),
                scrape_url: "http://a/metrics".into(),
                health: health.into(),
                ..ActiveTarget::default()
            }],
            dropped_targets: vec![DroppedTarget {
                discovered_labels: set(replica),
            }],
        };
        let all = vec![
            discovery("0", TargetHealth::Up),
            discovery("1", TargetHealth::Down),
        ];
        let merged = merge_targets(all.clone(), &["replica".to_owned()]);
        assert_eq!(merged.active_targets.len(), 1);
        assert_eq!(merged.active_targets[0].health(), TargetHealth::Down);
        assert_eq!(
            of(merged.active_targets[0].labels.as_ref()),
            [label("job", "x")]
        );
        assert_eq!(merged.dropped_targets.len(), 1);
        assert_eq!(merge_targets(all, &[]).active_targets.len(), 2);
    }
}
