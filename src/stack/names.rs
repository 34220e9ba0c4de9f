//! Names that follow from the tree alone, so that a plan needs no mocks: no name hangs on what exists, and adding or removing a
//! cluster never renames another.

use std::collections::BTreeMap;

/// Characters of a bucket's name (S3).
pub(crate) const BUCKET_LIMIT: usize = 63;
/// Characters of a StatefulSet's name: its pods' label with the revision's hash must stay below 63.
pub(crate) const WORKLOAD_LIMIT: usize = 52;
/// The longest text that stands before a peer's key in a workload's name: `thanos-storegateway-`.
const WORKLOAD_PREFIX: usize = 20;

/// The pods of a Prometheus, without their numbers.
const POD: &str = "prometheus-kube-prometheus-stack-prometheus";

/// How a cluster's names are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Every name has region and cluster in it.
    #[default]
    Default,
    /// The article's: no region in ids and keys, and one flat sidecar host for the whole domain. Two clusters that come out the
    /// same are refused.
    Teks,
}

/// What names are made of.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    pub naming: Naming,
    pub prefix: &'a str,
    pub env: &'a str,
    pub region: &'a str,
    pub cluster: &'a str,
    pub domain: &'a str,
    /// Whether others reach this cluster's sidecar: an observee. With [`Naming::Teks`] it has the flat host.
    pub observed: bool,
    /// `objstore.bucket`, when the tree names the bucket itself.
    pub bucket: Option<&'a str>,
    /// How many Prometheus servers watch the cluster, each the same: `prometheus.replicas`.
    pub replicas: u8,
}

/// What a cluster's names are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `<prefix>-<env>-<region>-<cluster>`; with `naming: teks` `<prefix>-<env>-<cluster>`.
    pub id: String,
    /// `<region>-<cluster>`; with `naming: teks` `<cluster>`. Unique in its fleet.
    pub key: String,
    /// The key, cut so that `thanos-storegateway-<workload>` is a StatefulSet's name.
    pub workload: String,
    pub prefix: String,
    pub env: String,
    /// `<fleet>.tks.internal` where a local fleet sets none.
    pub domain: String,
    /// `thanos-store-<id>`, or `objstore.bucket`.
    pub bucket: String,
    /// `thanos-sidecar.<cluster>.<region>.<domain>`; with `naming: teks` an observee's is `thanos-sidecar.<domain>`.
    pub sidecar_host: String,
    /// The external labels: exactly `cluster` (the id), `prometheus` and `prometheus_replica` (of the first replica).
    pub labels: BTreeMap<String, String>,
    /// In the order of their numbers.
    pub replicas: Vec<Replica>,
}

/// What one of the Prometheus servers of a cluster is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its number, from 0.
    pub key: String,
    /// The name of its pod, which is its `prometheus_replica`.
    pub pod: String,
    /// The host of its sidecar: the cluster's where there is no other, else `thanos-sidecar-<key>.…`.
    pub host: String,
    pub labels: BTreeMap<String, String>,
}

impl Names {
    /// The names of one cluster.
    #[must_use]
    pub fn derive(parts: &Parts<'_>) -> Self {
        let Parts {
            naming,
            prefix,
            env,
            region,
            cluster,
            domain,
            observed,
            bucket,
            replicas,
        } = parts;
        let (id, key) = match naming {
            Naming::Default => (
                format!("{prefix}-{env}-{region}-{cluster}"),
                format!("{region}-{cluster}"),
            ),
            Naming::Teks => (format!("{prefix}-{env}-{cluster}"), (*cluster).to_owned()),
        };
        let below = if *naming == Naming::Teks && *observed {
            (*domain).to_owned()
        } else {
            format!("{cluster}.{region}.{domain}")
        };
        let sidecar_host = format!("thanos-sidecar.{below}");
        let replica = |number: u8| Replica {
            key: number.to_string(),
            pod: format!("{POD}-{number}"),
            host: match replicas {
                1 => sidecar_host.clone(),
                _ => format!("thanos-sidecar-{number}.{below}"),
            },
            labels: external_labels(&id, number),
        };
        Self {
            bucket: bucket.map_or_else(
                || fit(&format!("thanos-store-{id}"), BUCKET_LIMIT),
                str::to_owned,
            ),
            workload: fit(&key, WORKLOAD_LIMIT - WORKLOAD_PREFIX),
            labels: external_labels(&id, 0),
            replicas: (0..*replicas).map(replica).collect(),
            id,
            key,
            prefix: (*prefix).to_owned(),
            env: (*env).to_owned(),
            domain: (*domain).to_owned(),
            sidecar_host,
        }
    }
}

/// As kube-prometheus-stack and its operator name them.
fn external_labels(id: &str, replica: u8) -> BTreeMap<String, String> {
    [
        ("cluster", id.to_owned()),
        (
            "prometheus",
            "monitoring/kube-prometheus-stack-prometheus".to_owned(),
        ),
        ("prometheus_replica", format!("{POD}-{replica}")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// `name` if it has at most `limit` characters, else its beginning and a hash of the whole: the same on every machine
/// and in every version. `limit` is at least 10.
#[must_use]
pub fn fit(name: &str, limit: usize) -> String {
    if name.chars().count() <= limit {
        return name.to_owned();
    }
    let hash = fnv1a(name.as_bytes());
    let kept: String = name.chars().take(limit.saturating_sub(9)).collect();
    format!(
        "{}-{:08x}",
        kept.trim_end_matches(['-', '.']),
        (hash >> 32) ^ (hash & 0xffff_ffff)
    )
}

/// FNV-1a, 64 bits: a published constant algorithm, so that names never change with a library.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(naming: Naming) -> Parts<'static> {
        Parts {
            naming,
            prefix: "pio",
            env: "thanos",
            region: "eu-west-3",
            cluster: "observee",
            domain: "teks.sh",
            observed: true,
            bucket: None,
            replicas: 1,
        }
    }

    #[test]
    fn names_carry_region_and_cluster() {
        let names = Names::derive(&parts(Naming::Default));
        assert_eq!(names.id, "pio-thanos-eu-west-3-observee");
        assert_eq!(names.key, "eu-west-3-observee");
        assert_eq!(names.bucket, "thanos-store-pio-thanos-eu-west-3-observee");
        assert_eq!(
            names.sidecar_host,
            "thanos-sidecar.observee.eu-west-3.teks.sh"
        );
        assert_eq!(names.labels.len(), 3);
        assert_eq!(names.labels["cluster"], names.id);
        assert_eq!(
            names.labels["prometheus"],
            "monitoring/kube-prometheus-stack-prometheus"
        );
        let replica = "prometheus-kube-prometheus-stack-prometheus-0";
        assert_eq!(names.labels["prometheus_replica"], replica);
    }

    #[test]
    fn one_replica_has_the_clusters_host_and_several_have_their_own() {
        let alone = Names::derive(&parts(Naming::Default));
        assert_eq!(alone.replicas.len(), 1);
        assert_eq!(alone.replicas[0].host, alone.sidecar_host);
        assert_eq!(alone.replicas[0].labels, alone.labels);
        let hosts = |naming| {
            let names = Names::derive(&Parts {
                replicas: 2,
                ..parts(naming)
            });
            let replicas = names.replicas.into_iter();
            replicas.map(|replica| replica.host).collect::<Vec<_>>()
        };
        assert_eq!(
            hosts(Naming::Default),
            [
                "thanos-sidecar-0.observee.eu-west-3.teks.sh",
                "thanos-sidecar-1.observee.eu-west-3.teks.sh"
            ]
        );
        assert_eq!(
            hosts(Naming::Teks),
            ["thanos-sidecar-0.teks.sh", "thanos-sidecar-1.teks.sh"]
        );
        let two = Names::derive(&Parts {
            replicas: 2,
            ..parts(Naming::Default)
        });
        let second = &two.replicas[1];
        assert_eq!(
            (second.key.as_str(), &second.labels["cluster"]),
            ("1", &two.id)
        );
        assert_eq!(second.labels["prometheus_replica"], second.pod);
        assert_eq!(two.labels, alone.labels, "another replica renames nothing");
    }

    #[test]
    fn the_names_of_the_article_come_back_with_naming_teks() {
        let names = Names::derive(&parts(Naming::Teks));
        assert_eq!(names.id, "pio-thanos-observee");
        assert_eq!(names.key, "observee");
        assert_eq!(names.bucket, "thanos-store-pio-thanos-observee");
        assert_eq!(names.sidecar_host, "thanos-sidecar.teks.sh");
        let observer = Parts {
            observed: false,
            cluster: "observer",
            ..parts(Naming::Teks)
        };
        let host = Names::derive(&observer).sidecar_host;
        assert_eq!(host, "thanos-sidecar.observer.eu-west-3.teks.sh");
    }

    #[test]
    fn names_over_a_limit_are_cut_and_hashed_stably() {
        let cluster = "a-very-long-name-of-a-cluster-that-nobody-would-want-to-type";
        let names = Names::derive(&Parts {
            cluster,
            ..parts(Naming::Default)
        });
        assert_eq!(
            names.bucket,
            "thanos-store-pio-thanos-eu-west-3-a-very-long-name-of-71489500"
        );
        assert!(names.bucket.len() <= BUCKET_LIMIT);
        assert!(format!("thanos-storegateway-{}", names.workload).len() <= WORKLOAD_LIMIT);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(fit(&"x".repeat(70), 63), fit(&"x".repeat(71), 63));
        assert_eq!(fit(&"x".repeat(63), 63), "x".repeat(63));
    }
}
