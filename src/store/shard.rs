//! Vertical sharding: which part of the series a request wants, by a hash of their labels.
//!
//! The hash is xxhash64 over `name 0xff value 0xff` of every label that takes part, in label order, after
//! replica labels are gone and external labels are there.

use model::Shard;
use proto::thanos::{Label, ShardInfo};
use xxhash_rust::xxh64::Xxh64;

const SEPARATOR: [u8; 1] = [0xff];

/// Whether a label set belongs to the shard. No shard, or one of none, is everything.
#[must_use]
pub fn contains(shard: Option<&ShardInfo>, labels: &[Label]) -> bool {
    let pairs = labels.iter();
    contains_pairs(shard, pairs.map(|l| (l.name.as_str(), l.value.as_str())))
}

/// [`contains`], of labels in another form.
pub(crate) fn contains_pairs<'l>(
    shard: Option<&ShardInfo>,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
) -> bool {
    let Some(shard) = shard.filter(|shard| shard.total_shards >= 1) else {
        return true;
    };
    let mut hash = Xxh64::new(0);
    for (name, value) in labels {
        if shard.labels.iter().any(|label| label == name) == shard.by {
            hash.update(name.as_bytes());
            hash.update(&SEPARATOR);
            hash.update(value.as_bytes());
            hash.update(&SEPARATOR);
        }
    }
    hash.digest() % shard.total_shards.unsigned_abs() == shard.shard_index.unsigned_abs()
}

/// A shard as a request carries it.
#[must_use]
pub fn to_wire(shard: &Shard) -> ShardInfo {
    ShardInfo {
        shard_index: i64::try_from(shard.index).unwrap_or(i64::MAX),
        total_shards: i64::try_from(shard.total).unwrap_or(i64::MAX),
        by: shard.by,
        labels: shard.labels.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::label;

    fn shard(index: i64, by: bool, labels: &[&str]) -> ShardInfo {
        let labels = labels.iter().map(ToString::to_string).collect();
        ShardInfo {
            shard_index: index,
            total_shards: 3,
            by,
            labels,
        }
    }

    #[test]
    fn every_series_is_in_exactly_one_shard() {
        for pod in 0..100 {
            let set = [label("job", "a"), label("pod", pod.to_string())];
            let homes = (0..3).filter(|index| contains(Some(&shard(*index, false, &[])), &set));
            assert_eq!(homes.count(), 1);
        }
        assert!(contains(None, &[]));
        assert!(contains(Some(&ShardInfo::default()), &[]));
    }

    #[test]
    fn only_labels_that_take_part_decide() {
        let home = |pod: &str, by: bool, labels: &[&str]| {
            let set = [label("job", "a"), label("pod", pod)];
            (0..3).find(|index| contains(Some(&shard(*index, by, labels)), &set))
        };
        for pod in ["1", "2", "3", "4", "5"] {
            assert_eq!(home(pod, true, &["job"]), home("0", true, &["job"]));
            assert_eq!(home(pod, true, &["job"]), home(pod, false, &["pod"]));
        }
    }
}
