//! Who observes whom: an observer observes every observee of its fleet, unless its `federation.select` says otherwise.

use super::{LiveCluster, LiveFleet};
use crate::{Diagnostic, Diagnostics, Node};

/// The role that observes.
pub const OBSERVER: &str = "observer";
/// The role that is observed.
pub const OBSERVEE: &str = "observee";

impl LiveFleet {
    /// The clusters that `observer` observes, in path order; none when it is no observer. Never itself.
    #[must_use]
    pub fn observed_by(&self, observer: &LiveCluster) -> Vec<&LiveCluster> {
        observed(&self.clusters, observer)
    }

    /// The clusters that observe `observed`, in path order.
    #[must_use]
    pub fn observers_of(&self, observed: &LiveCluster) -> Vec<&LiveCluster> {
        let sees = |observer: &&LiveCluster| {
            self.observed_by(observer)
                .iter()
                .any(|cluster| cluster.path == observed.path)
        };
        self.clusters.iter().filter(sees).collect()
    }
}

fn observed<'a>(clusters: &'a [LiveCluster], observer: &LiveCluster) -> Vec<&'a LiveCluster> {
    if observer.role != OBSERVER {
        return Vec::new();
    }
    let select = observer.merged.at(&["federation", "select"]);
    let list = |key: &str| -> Option<Vec<&str>> {
        Some(
            select?
                .get(key)?
                .as_list()?
                .iter()
                .filter_map(Node::as_str)
                .collect(),
        )
    };
    let roles = list("roles").unwrap_or_else(|| vec![OBSERVEE]);
    let one_of = |names: Option<Vec<&str>>, name: &str| names.is_none_or(|n| n.contains(&name));
    clusters
        .iter()
        .filter(|cluster| cluster.path != observer.path)
        .filter(|cluster| roles.contains(&cluster.role.as_str()))
        .filter(|cluster| one_of(list("accounts"), &cluster.path.account))
        .filter(|cluster| one_of(list("regions"), &cluster.path.region))
        .filter(|cluster| list("clusters").is_none_or(|n| n.iter().any(|n| means(n, cluster))))
        .filter(|cluster| !list("not").is_some_and(|n| n.iter().any(|n| means(n, cluster))))
        .collect()
}

/// Whether `name` is the key, the id or the path of `cluster`.
fn means(name: &str, cluster: &LiveCluster) -> bool {
    name == cluster.key || name == cluster.id || name == cluster.path.to_string()
}

/// Checks that every observer's `federation` speaks of clusters that are there.
pub(crate) fn check(clusters: &[LiveCluster], mistakes: &mut Diagnostics) {
    for observer in clusters.iter().filter(|cluster| cluster.role == OBSERVER) {
        let Some(federation) = observer.merged.get("federation") else {
            continue;
        };
        for list in ["clusters", "not"] {
            let names = federation.at(&["select", list]).and_then(Node::as_list);
            names
                .unwrap_or_default()
                .iter()
                .for_each(|name| known(name, clusters, mistakes));
        }
        overrides(federation, clusters, observer, mistakes);
        external(federation, clusters, mistakes);
    }
}

fn known(name: &Node, clusters: &[LiveCluster], mistakes: &mut Diagnostics) {
    let Some(text) = name.as_str() else { return };
    if !clusters.iter().any(|cluster| means(text, cluster)) {
        mistakes.push(
            Diagnostic::at(
                name.position.clone(),
                format!("no cluster `{text}` in the fleet"),
            )
            .label("neither a key nor an id nor a path")
            .meant(text, clusters.iter().map(|cluster| cluster.key.as_str())),
        );
    }
}

fn overrides(
    federation: &Node,
    clusters: &[LiveCluster],
    observer: &LiveCluster,
    mistakes: &mut Diagnostics,
) {
    let peers = observed(clusters, observer);
    let entries = federation
        .get("overrides")
        .and_then(Node::as_map)
        .unwrap_or_default();
    for (key, _) in entries {
        if !peers.iter().any(|peer| peer.key == key.name) {
            let message = format!("`{}` does not observe `{}`", observer.path, key.name);
            mistakes.push(
                Diagnostic::at(key.position.clone(), message)
                    .label("not the key of a cluster that it observes")
                    .meant(&key.name, peers.iter().map(|peer| peer.key.as_str())),
            );
        }
    }
}

fn external(federation: &Node, clusters: &[LiveCluster], mistakes: &mut Diagnostics) {
    let peers = federation
        .get("external")
        .and_then(Node::as_list)
        .unwrap_or_default();
    let names: Vec<&Node> = peers.iter().filter_map(|peer| peer.get("name")).collect();
    for (n, name) in names.iter().enumerate() {
        let Some(text) = name.as_str() else { continue };
        if let Some(other) = names[..n].iter().find(|other| other.as_str() == Some(text)) {
            let message = format!("two external peers are named `{text}`");
            mistakes.push(
                Diagnostic::at(name.position.clone(), message)
                    .related(other.position.clone(), "the other one"),
            );
        }
        if clusters.iter().any(|cluster| cluster.key == text) {
            let message = format!("the external peer `{text}` has the key of a cluster");
            mistakes.push(Diagnostic::at(name.position.clone(), message).help("rename it"));
        }
    }
}
