//! What two clusters must not share: ids, keys, hosts, buckets, label sets, addresses. Refused before anything is called, with both
//! places.

use super::format::Cidr;
use super::{LiveCluster, LiveFleet};
use crate::{Diagnostic, Diagnostics, Node, Position};

/// Clusters of one fleet. Of a pair only the first thing in common is told: the rest follows from it.
pub(crate) fn clusters(clusters: &[LiveCluster], mistakes: &mut Diagnostics) {
    let ranges: Vec<Option<Range<'_>>> = clusters.iter().map(Range::of).collect();
    for (n, one) in clusters.iter().enumerate() {
        // The nearest before it: three with one name are two mistakes, not three.
        let mut before = clusters[..n].iter().rev();
        if let Some(mistake) = before.find_map(|other| in_common(other, one)) {
            mistakes.push(mistake);
        }
        if let Some(range) = &ranges[n] {
            let before = ranges[..n].iter().flatten();
            before
                .filter_map(|other| overlap(other, range))
                .for_each(|m| mistakes.push(m));
        }
    }
}

fn in_common(first: &LiveCluster, second: &LiveCluster) -> Option<Diagnostic> {
    let (a, b) = (&first.names, &second.names);
    let file = |cluster: &LiveCluster| Position::start(&cluster.file);
    let teks = [first, second]
        .iter()
        .any(|c| c.merged.get("naming").and_then(Node::as_str) == Some("teks"));
    let (what, value, help) = if a.id == b.id {
        let help = if teks {
            "with `naming: teks` ids carry no region: rename a folder, or set `naming: default`"
        } else {
            "bucket and external labels follow from it: give them different folders or `prefix`es"
        };
        ("id", &a.id, help)
    } else if a.key == b.key {
        (
            "key",
            &a.key,
            "observers tell their peers apart by it: rename one of the folders",
        )
    } else if a.sidecar_host == b.sidecar_host {
        let help = if teks {
            "the flat host of `naming: teks` serves one observee: set `naming: default` or `domain` for one"
        } else {
            "set another `domain` for one of them"
        };
        ("sidecar host", &a.sidecar_host, help)
    } else if a.bucket == b.bucket {
        (
            "bucket",
            &a.bucket,
            "each cluster writes its own bucket: remove `objstore.bucket` from one",
        )
    } else if a.labels == b.labels {
        (
            "external labels",
            &a.id,
            "queriers could not tell their series apart",
        )
    } else {
        return None;
    };
    let place = |cluster: &LiveCluster| match cluster.merged.at(&["objstore", "bucket"]) {
        Some(node) if what == "bucket" => node.position.clone(),
        _ => file(cluster),
    };
    let message = format!(
        "clusters `{}` and `{}` have the same {what}: `{value}`",
        first.path, second.path
    );
    Some(
        Diagnostic::at(place(second), message)
            .help(help)
            .related(place(first), format!("`{}`", first.path)),
    )
}

/// A cluster's own range of addresses.
struct Range<'a> {
    cluster: &'a LiveCluster,
    node: &'a Node,
    text: &'a str,
    cidr: Cidr,
}

impl<'a> Range<'a> {
    fn of(cluster: &'a LiveCluster) -> Option<Self> {
        let node = cluster.merged.at(&["network", "cidr"])?;
        let text = node.as_str()?;
        Some(Self {
            cluster,
            node,
            text,
            cidr: Cidr::parse(text)?,
        })
    }
}

fn overlap(first: &Range<'_>, second: &Range<'_>) -> Option<Diagnostic> {
    if !first.cidr.overlaps(second.cidr) {
        return None;
    }
    let (a, b) = (&first.cluster.path, &second.cluster.path);
    let message = format!(
        "the networks of `{a}` and `{b}` overlap: {} and {}",
        first.text, second.text
    );
    Some(
        Diagnostic::at(second.node.position.clone(), message)
            .label("overlaps")
            .help("give each cluster its own range, or leave it out: one is taken from `network.pool`")
            .related(first.node.position.clone(), format!("the range of `{a}`")),
    )
}

/// Fleets that are loaded together: folders on this machine, and buckets where their names are everybody's.
pub(crate) fn fleets(fleets: &[LiveFleet], mistakes: &mut Diagnostics) {
    for (n, one) in fleets.iter().enumerate() {
        for other in &fleets[..n] {
            if one.data_dir == other.data_dir {
                let message = format!("two fleets named `{}` share one data folder", one.name);
                mistakes.push(
                    Diagnostic::at(Position::start(&one.file), message)
                        .help("TKS_DATA_DIR keeps one folder per fleet's name: rename one")
                        .related(Position::start(&other.file), "the other fleet"),
                );
            }
            if one.platform == other.platform && one.platform != super::cluster::DEFAULT_PLATFORM {
                buckets(other, one, mistakes);
            }
        }
    }
}

fn buckets(first: &LiveFleet, second: &LiveFleet, mistakes: &mut Diagnostics) {
    for one in &second.clusters {
        let same = |other: &&LiveCluster| other.names.bucket == one.names.bucket;
        if let Some(other) = first.clusters.iter().find(same) {
            let message = format!(
                "clusters of the fleets `{}` and `{}` have the same bucket: `{}`",
                first.name, second.name, one.names.bucket
            );
            mistakes.push(
                Diagnostic::at(Position::start(&one.file), message)
                    .help("set another `env` or `prefix` in one of the fleets")
                    .related(Position::start(&other.file), format!("`{}`", other.path)),
            );
        }
    }
}
