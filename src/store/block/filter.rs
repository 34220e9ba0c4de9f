//! Which blocks of a bucket are served: Thanos's meta filters (`pkg/block/fetcher.go`), in its order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::info::BlockInfo;
use super::relabel::Relabel;

/// Why a block is not served; the texts are values of `thanos_blocks_meta_synced{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excluded {
    Time,
    Label,
    TooFresh,
    MarkedForDeletion,
    Duplicate,
}

impl Excluded {
    pub const ALL: [Self; 5] = [
        Self::Time,
        Self::Label,
        Self::TooFresh,
        Self::MarkedForDeletion,
        Self::Duplicate,
    ];

    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Time => "time-excluded",
            Self::Label => "label-excluded",
            Self::TooFresh => "too-fresh",
            Self::MarkedForDeletion => "marked-for-deletion",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The settings of all filters. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Filter {
    pub min_time: i64,
    pub max_time: i64,
    pub relabel: Relabel,
    /// Blocks younger than this many milliseconds wait.
    pub consistency_delay: i64,
    /// Blocks marked for deletion longer ago than this many milliseconds are hidden.
    pub deletion_delay: i64,
}

/// Blocks by id.
pub type Blocks = BTreeMap<String, BlockInfo>;
/// How many blocks each filter took.
pub type Counts = BTreeMap<Excluded, usize>;

impl Filter {
    /// What can be said of a block alone, without asking the bucket.
    #[must_use]
    pub fn before_marks(&self, blocks: &mut Blocks, now: i64) -> Counts {
        let mut counts = Counts::new();
        blocks.retain(|_, block| match self.excludes(block, now) {
            Some(why) => {
                *counts.entry(why).or_default() += 1;
                false
            }
            None => true,
        });
        counts
    }

    fn excludes(&self, block: &BlockInfo, now: i64) -> Option<Excluded> {
        if block.max_time < self.min_time || block.min_time > self.max_time {
            return Some(Excluded::Time);
        }
        if !self.relabel.keeps(block.selector_labels()) {
            return Some(Excluded::Label);
        }
        let settled = matches!(
            block.source.as_str(),
            "bucket.repair" | "compactor" | "compactor.repair"
        );
        let age = now.saturating_sub(block.upload_time.unwrap_or_else(|| block.created()));
        (!settled && age < self.consistency_delay).then_some(Excluded::TooFresh)
    }

    /// Takes away what is marked for deletion (id to milliseconds since 1970) long enough, then duplicates.
    #[must_use]
    pub fn after_marks(
        &self,
        blocks: &mut Blocks,
        marks: &HashMap<String, i64>,
        now: i64,
    ) -> Counts {
        let mut counts = Counts::new();
        let hidden = |id: &String| {
            let marked = marks.get(id);
            marked.is_some_and(|at| now.saturating_sub(*at) > self.deletion_delay)
        };
        let all = blocks.len();
        blocks.retain(|id, _| !hidden(id));
        counts.insert(Excluded::MarkedForDeletion, all - blocks.len());
        let duplicates = duplicates(blocks);
        counts.insert(Excluded::Duplicate, duplicates.len());
        blocks.retain(|id, _| !duplicates.contains(id));
        counts
    }
}

/// Blocks whose sources are all in another block of the same labels and resolution.
fn duplicates(blocks: &Blocks) -> HashSet<String> {
    let mut groups: HashMap<_, Vec<&BlockInfo>> = HashMap::new();
    for block in blocks.values() {
        let group = groups.entry((block.resolution, &block.labels)).or_default();
        group.push(block);
    }
    let mut found = HashSet::new();
    for mut group in groups.into_values() {
        group.sort_by(|a, b| (b.sources.len().cmp(&a.sources.len())).then_with(|| a.id.cmp(&b.id)));
        covered(&group, &mut found);
    }
    found
}

/// A source lies in few blocks, so a block is only compared with those that hold its first source.
fn covered(group: &[&BlockInfo], found: &mut HashSet<String>) {
    let mut kept: Vec<HashSet<&str>> = Vec::new();
    let mut by_source: HashMap<&str, Vec<usize>> = HashMap::new();
    for block in group {
        let sources: HashSet<&str> = block.sources.iter().map(String::as_str).collect();
        let Some(first) = sources.iter().next() else {
            continue;
        };
        let candidates = by_source.get(first).map_or(&[][..], Vec::as_slice);
        if candidates.iter().any(|at| kept[*at].is_superset(&sources)) {
            found.insert(block.id.clone());
            continue;
        }
        for source in &sources {
            by_source.entry(source).or_default().push(kept.len());
        }
        kept.push(sources);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> Filter {
        Filter {
            min_time: i64::MIN,
            max_time: i64::MAX,
            relabel: Relabel::default(),
            consistency_delay: 0,
            deletion_delay: 0,
        }
    }

    fn block(id: &str, sources: &[&str]) -> BlockInfo {
        BlockInfo {
            id: id.to_owned(),
            min_time: 100,
            max_time: 200,
            labels: [("cluster".to_owned(), "eu".to_owned())].into(),
            sources: sources.iter().map(ToString::to_string).collect(),
            ..BlockInfo::default()
        }
    }

    fn blocks(all: &[BlockInfo]) -> Blocks {
        all.iter().map(|b| (b.id.clone(), b.clone())).collect()
    }

    fn left(blocks: &Blocks) -> Vec<&str> {
        blocks.keys().map(String::as_str).collect()
    }

    #[test]
    fn blocks_outside_of_the_time_range_are_not_served() {
        let before = Filter {
            max_time: 99,
            ..filter()
        };
        let mut all = blocks(&[block("a", &["a"])]);
        let counts = before.before_marks(&mut all, 0);
        assert_eq!(counts, [(Excluded::Time, 1)].into());
        // Both ends are taken: a block that ends where the range starts stays.
        let touching = Filter {
            min_time: 200,
            ..filter()
        };
        let mut all = blocks(&[block("a", &["a"])]);
        assert!(touching.before_marks(&mut all, 0).is_empty());
    }

    #[test]
    fn young_blocks_wait_unless_a_compactor_made_them() {
        let delay = Filter {
            consistency_delay: 1000,
            ..filter()
        };
        let uploaded = |id: &str, at: i64, source: &str| BlockInfo {
            upload_time: Some(at),
            source: source.to_owned(),
            ..block(id, &[id])
        };
        let mut all = blocks(&[
            uploaded("old", 0, "sidecar"),
            uploaded("young", 500, "sidecar"),
            uploaded("compacted", 500, "compactor"),
        ]);
        let counts = delay.before_marks(&mut all, 1000);
        assert_eq!(counts, [(Excluded::TooFresh, 1)].into());
        assert_eq!(left(&all), ["compacted", "old"]);
    }

    #[test]
    fn marked_blocks_are_hidden_after_the_delay() {
        let delay = Filter {
            deletion_delay: 100,
            ..filter()
        };
        let mut all = blocks(&[block("a", &["a"]), block("b", &["b"]), block("c", &["c"])]);
        let marks = [("a".to_owned(), 0), ("b".to_owned(), 950)].into();
        let counts = delay.after_marks(&mut all, &marks, 1000);
        assert_eq!(counts[&Excluded::MarkedForDeletion], 1);
        assert_eq!(left(&all), ["b", "c"]);
    }

    #[test]
    fn blocks_whose_sources_are_in_another_are_duplicates() {
        let other_resolution = BlockInfo {
            resolution: 300_000,
            ..block("down", &["a"])
        };
        let mut all = blocks(&[
            block("a", &["a"]),
            block("b", &["b"]),
            block("c", &["c"]),
            block("ab", &["a", "b"]),
            block("ab2", &["b", "a"]),
            other_resolution,
        ]);
        let counts = filter().after_marks(&mut all, &HashMap::new(), 0);
        assert_eq!(left(&all), ["ab", "c", "down"]);
        assert_eq!(counts[&Excluded::Duplicate], 3);
    }
}
