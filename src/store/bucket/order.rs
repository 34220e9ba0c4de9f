//! Label sets of a block as the client sees them, in the client's order.
//!
//! A block's series are sorted by the labels that lie in its index. The client sees them with external
//! labels laid over and without replica labels, sorted by *that*. External labels that no series has
//! change the order of one kind of pair only: a label set and another that it is a proper prefix of. Such
//! a set is held back until no longer one can come. Labels that series have themselves and lose or swap
//! change any order: then all label sets of the block are sorted before any chunk is read.

use std::cmp::Ordering;

use model::{Labels, Symbols};
use smallvec::SmallVec;
use tsdb::index::ChunkMeta;

/// A series of a block, before its chunks are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As in the index.
    pub(crate) inner: Labels,
    /// As the client sees it.
    pub(crate) labels: Labels,
    pub(crate) chunks: SmallVec<[ChunkMeta; 2]>,
}

impl Entry {
    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let labels = (self.inner.len() + self.labels.len()) * size_of::<(u32, u32)>();
        size_of::<Self>() + labels + self.chunks.len() * size_of::<ChunkMeta>()
    }
}

/// What is done to every label set of a block.
#[derive(Clone, Debug)]
pub(crate) struct Dress {
    /// Sorted by name; none of these is in `without`.
    external: Vec<(u32, u32)>,
    without: Vec<u32>,
    /// The names of the last set, and what was done to them: most sets have the names of the one before.
    names: Vec<u32>,
    steps: Vec<Step>,
}

/// Where a label of a dressed set comes from.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The set's own, so many from its beginning.
    Own(usize),
    External(u32, u32),
}

impl Dress {
    pub(crate) fn new(external: &[(&str, &str)], without: &[String], symbols: &Symbols) -> Self {
        let stays = |(name, _): &&(&str, &str)| !without.iter().any(|gone| gone == name);
        let id = |(name, value): &(&str, &str)| (symbols.intern(name), symbols.intern(value));
        Self {
            external: external.iter().filter(stays).map(id).collect(),
            without: without.iter().map(|name| symbols.intern(name)).collect(),
            names: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// External labels win over labels of the same name.
    pub(crate) fn apply(&mut self, inner: &Labels, symbols: &Symbols) -> Labels {
        let same = self.names.len() == inner.len()
            && inner
                .iter_ids()
                .zip(&self.names)
                .all(|(label, name)| label.0 == *name);
        if !same || self.steps.is_empty() {
            self.names = inner.iter_ids().map(|(name, _)| name).collect();
            self.steps = self.steps(symbols);
        }
        Labels::from_sorted_ids(self.steps.iter().map(|step| match step {
            Step::Own(at) => inner.at(*at),
            Step::External(name, value) => (*name, *value),
        }))
    }

    fn steps(&self, symbols: &Symbols) -> Vec<Step> {
        let mut steps = Vec::with_capacity(self.names.len() + self.external.len());
        let mut external = self.external.iter().copied().peekable();
        for (at, name) in self.names.iter().enumerate() {
            if self.without.contains(name) {
                continue;
            }
            let before = |next: &(u32, u32)| symbols.get(next.0) < symbols.get(*name);
            while let Some((name, value)) = external.next_if(before) {
                steps.push(Step::External(name, value));
            }
            let same = external.next_if(|next| next.0 == *name);
            steps.push(same.map_or(Step::Own(at), |(name, value)| Step::External(name, value)));
        }
        steps.extend(external.map(|(name, value)| Step::External(name, value)));
        steps
    }
}

/// Puts the entries of a block, which come in index order, into the client's.
#[derive(Debug, Default)]
pub(crate) struct HoldBack {
    held: Vec<Entry>,
}

impl HoldBack {
    /// Adds what the index has next; gives what nothing that comes later can precede.
    pub(crate) fn next(&mut self, entries: Vec<Entry>, symbols: &Symbols) -> Vec<Entry> {
        self.held.extend(entries);
        let Some(last) = self.held.last() else {
            return Vec::new();
        };
        let open = |entry: &Entry| is_prefix(&entry.inner, &last.inner);
        let from = self.held.iter().position(open).unwrap_or(0);
        let rest = self.held.split_off(from);
        let mut ready = std::mem::replace(&mut self.held, rest);
        sort(&mut ready, symbols);
        ready
    }

    /// The rest, at the end.
    pub(crate) fn finish(&mut self, symbols: &Symbols) -> Vec<Entry> {
        let mut ready = std::mem::take(&mut self.held);
        sort(&mut ready, symbols);
        ready
    }
}

/// Whether `b` starts with all labels of `a`; a set counts as its own prefix.
fn is_prefix(a: &Labels, b: &Labels) -> bool {
    a.len() <= b.len() && a.iter_ids().eq(b.iter_ids().take(a.len()))
}

/// Sorts by what the client sees. Input that is sorted already costs one pass.
pub(crate) fn sort(entries: &mut [Entry], symbols: &Symbols) {
    entries.sort_by(|a, b| compare(&a.labels, &b.labels, symbols));
}

pub(crate) fn compare(a: &Labels, b: &Labels, symbols: &Symbols) -> Ordering {
    a.compare(b, symbols)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Set = BTreeMap<String, String>;

    fn label_set(names: &'static str) -> impl Strategy<Value = Set> {
        prop::collection::btree_map(names, "[xy]{1,2}", 0..4)
    }

    fn labels(set: &Set, symbols: &Symbols) -> Labels {
        Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str())), symbols)
    }

    proptest! {
        #[test]
        fn external_labels_between_the_others_leave_a_sorted_stream(
            sets in prop::collection::vec(label_set("[aceg]"), 0..30),
            external in label_set("[bdfh]"),
            size in 1usize..7,
        ) {
            let symbols = Symbols::new();
            let external: Vec<(&str, &str)> = external.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let mut dress = Dress::new(&external, &[], &symbols);
            let mut inner: Vec<Labels> = sets.iter().map(|set| labels(set, &symbols)).collect();
            inner.sort_by(|a, b| a.compare(b, &symbols));
            inner.dedup();
            let mut entry = |inner: &Labels| Entry { inner: inner.clone(), labels: dress.apply(inner, &symbols), chunks: SmallVec::new() };
            let mut hold = HoldBack::default();
            let mut found = Vec::new();
            for batch in inner.chunks(size) {
                found.extend(hold.next(batch.iter().map(&mut entry).collect(), &symbols));
            }
            found.extend(hold.finish(&symbols));
            prop_assert_eq!(found.len(), inner.len());
            let sorted = found.windows(2).all(|pair| compare(&pair[0].labels, &pair[1].labels, &symbols).is_lt());
            prop_assert!(sorted);
        }

        #[test]
        fn a_dressed_set_is_the_union_without_replica_labels(set in label_set("[abcd]"), external in label_set("[abcd]"), without in "[abcd]") {
            let symbols = Symbols::new();
            let pairs: Vec<(&str, &str)> = external.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let mut dress = Dress::new(&pairs, std::slice::from_ref(&without), &symbols);
            let mut expected = set.clone();
            expected.extend(external.clone());
            expected.remove(&without);
            prop_assert_eq!(dress.apply(&labels(&set, &symbols), &symbols), labels(&expected, &symbols));
        }
    }
}
