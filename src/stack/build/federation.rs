//! Who observes whom, by number.

use super::sources::Sources;
use crate::{ClusterPath, LiveCluster, LiveFleet};

/// Notes the observers and the observees of every cluster.
pub(super) fn relate(sources: &mut Sources, fleet: &LiveFleet) {
    let number = |path: &ClusterPath| fleet.clusters.iter().position(|other| other.path == *path);
    let numbers = |clusters: Vec<&LiveCluster>| {
        clusters
            .into_iter()
            .filter_map(|cluster| number(&cluster.path))
            .collect()
    };
    for (source, cluster) in sources.clusters.iter_mut().zip(&fleet.clusters) {
        source.observees = Some(numbers(fleet.observed_by(cluster)));
    }
    let observees: Vec<Vec<usize>> = sources
        .clusters
        .iter()
        .map(|source| source.observees.clone().unwrap_or_default())
        .collect();
    for (number, source) in sources.clusters.iter_mut().enumerate() {
        let observers = observees
            .iter()
            .enumerate()
            .filter(|(_, seen)| seen.contains(&number));
        source.observers = Some(observers.map(|(observer, _)| observer).collect());
    }
}
