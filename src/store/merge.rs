//! Many sorted answers as one: series of equal labels joined, their chunks united.

use std::collections::VecDeque;

use smallvec::SmallVec;
use tonic::Status;

use crate::chunks;
use crate::feed::Feed;
use crate::loser::LoserTree;
use crate::wire::{Batch, Builder, Chunk, Series};

/// What a merged answer consists of.
#[derive(Clone, Debug)]
pub enum Item {
    /// The next label sets, each with all of its chunks.
    Batch(Batch),
    /// A store failed, or warned.
    Warning(String),
}

/// The answer of all stores to one Series request, in label order. Dropping it cancels the calls.
#[derive(Debug)]
pub struct Merged {
    feeds: Vec<Feed>,
    tree: Option<LoserTree>,
    warnings: VecDeque<String>,
    batch: Builder,
    /// Whether a warning fails the request.
    abort: bool,
    /// How many series and warnings may still come.
    left: u64,
    /// Where the series of the batch came from.
    origins: Vec<Origin>,
}

/// Which feeds a series came from, as bits. From the 65th on feeds share bits: then it may name more than there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin(u64);

impl Origin {
    fn add(&mut self, feed: usize) {
        self.0 |= 1 << (feed % 64);
    }

    pub(crate) fn has(self, feed: usize) -> bool {
        self.0 & (1 << (feed % 64)) != 0
    }
}

/// A series of one store after the other.
type Parts = SmallVec<[Series; 4]>;

impl Merged {
    /// `limit` 0 is none.
    pub(crate) fn new(feeds: Vec<Feed>, abort: bool, limit: i64) -> Self {
        let left = u64::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(u64::MAX);
        Self {
            feeds,
            tree: None,
            warnings: VecDeque::new(),
            batch: Builder::default(),
            abort,
            left,
            origins: Vec::new(),
        }
    }

    /// The addresses of the stores that are asked.
    pub(crate) fn stores(&self) -> Vec<String> {
        self.feeds.iter().map(|feed| feed.store.clone()).collect()
    }

    /// Which of [`Self::stores`] had each series of the batch that came last.
    pub(crate) fn origins(&mut self) -> Vec<Origin> {
        std::mem::take(&mut self.origins)
    }

    /// The next item, `None` at the end. A batch has `most` series, or fewer that take `bytes`, or those before a warning or the
    /// end.
    ///
    /// # Errors
    /// `Aborted` with the text of the first warning, where the request does not take partial answers.
    pub async fn next(&mut self, most: usize, bytes: usize) -> Result<Option<Item>, Status> {
        if self.tree.is_none() {
            self.start().await;
        }
        let mut parts = Parts::new();
        self.origins.clear();
        while self.left > 0
            && self.warnings.is_empty()
            && self.batch.len() < most
            && self.batch.size() < bytes
            && self.take(&mut parts).await
        {
            self.left -= 1;
            unite(&mut self.batch, &parts);
            parts.clear();
        }
        if self.batch.len() > 0 {
            return Ok(Some(Item::Batch(self.batch.flush())));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let warning = self.warnings.pop_front();
        self.left -= u64::from(warning.is_some());
        match warning {
            Some(text) if self.abort => Err(Status::aborted(text)),
            warning => Ok(warning.map(Item::Warning)),
        }
    }

    async fn start(&mut self) {
        for feed in &mut self.feeds {
            feed.receive(&mut self.warnings).await;
        }
        let feeds = &self.feeds;
        self.tree = Some(LoserTree::new(feeds.len(), |a, b| {
            less(&feeds[a], &feeds[b])
        }));
    }

    /// Takes the smallest label set from all stores that have it; `false` if there is none left.
    async fn take(&mut self, parts: &mut Parts) -> bool {
        let mut origin = Origin::default();
        while let Some(winner) = self.winner()
            && let Some(head) = self.feeds[winner].head()
        {
            if parts.first().is_some_and(|first| first.labels() != head) {
                break;
            }
            parts.extend(self.feeds[winner].take());
            origin.add(winner);
            if self.feeds[winner].head().is_none() {
                self.feeds[winner].receive(&mut self.warnings).await;
            }
            let (feeds, tree) = (&self.feeds, &mut self.tree);
            if let Some(tree) = tree {
                tree.replay(|a, b| less(&feeds[a], &feeds[b]));
            }
        }
        if !parts.is_empty() {
            self.origins.push(origin);
        }
        !parts.is_empty()
    }

    fn winner(&self) -> Option<usize> {
        self.tree.as_ref()?.winner()
    }
}

/// Adds what stores have of one series.
fn unite(batch: &mut Builder, parts: &[Series]) {
    let Some(first) = parts.first() else { return };
    let chunks = parts.iter().flat_map(Series::chunks);
    if chunks::ascend(chunks.clone()) {
        return batch.push(first.labels(), parts.iter().map(Series::fields));
    }
    let mut chunks: Vec<Chunk<'_>> = chunks.collect();
    chunks::unite(&mut chunks);
    batch.push(first.labels(), chunks.iter().map(|chunk| chunk.field));
}

/// A feed that is over comes last.
fn less(a: &Feed, b: &Feed) -> bool {
    match (a.head(), b.head()) {
        (Some(a), Some(b)) => a.compare(b).is_lt(),
        (a, _) => a.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use proto::thanos::{AggrChunk, Chunk, Label, Series};

    use super::{Feed, Item, Merged};
    use crate::labels::{self, label};
    use crate::wire::Batch;

    fn label_set() -> impl Strategy<Value = Vec<Label>> {
        prop::collection::btree_map("[abc]", "[xy]{1,2}", 0..3).prop_map(|set| {
            set.into_iter()
                .map(|(name, value)| label(name, value))
                .collect()
        })
    }

    /// One store's answer: sorted, series perhaps split over frames, frames of any size.
    fn answer() -> impl Strategy<Value = (Vec<Series>, usize)> {
        let series = (label_set(), 0i64..5).prop_map(|(labels, min_time)| {
            let data = vec![u8::try_from(min_time).expect("small")].into();
            let raw = Some(Chunk {
                data,
                ..Chunk::default()
            });
            let chunk = AggrChunk {
                min_time,
                max_time: min_time,
                raw,
                ..AggrChunk::default()
            };
            let chunks = vec![chunk];
            Series { labels, chunks }
        });
        let sorted = prop::collection::vec(series, 0..12).prop_map(|mut series| {
            labels::sort_series(&mut series);
            series
        });
        (sorted, 1usize..5)
    }

    async fn merge(answers: Vec<(Vec<Series>, usize)>) -> Vec<Series> {
        let batch = |series: &[Series]| Batch::of(series.to_vec()).expect("plain");
        let batches = |series: Vec<Series>, size| series.chunks(size).map(batch).collect();
        let feeds = answers
            .into_iter()
            .map(|(series, size)| Feed::of(batches(series, size)));
        let mut merged = Merged::new(feeds.collect(), true, 0);
        let mut found = Vec::new();
        while let Some(Item::Batch(batch)) = merged.next(3, 1 << 20).await.expect("no warnings") {
            found.extend(batch.decoded());
        }
        found
    }

    proptest! {
        #[test]
        fn a_merge_is_sorted_and_has_every_label_set_once(answers in prop::collection::vec(answer(), 0..6)) {
            // Every chunk of every label set, identical ones once.
            let mut expected = BTreeMap::<String, BTreeSet<i64>>::new();
            for series in answers.iter().flat_map(|(series, _)| series) {
                let times = expected.entry(labels::display(&series.labels)).or_default();
                times.extend(series.chunks.iter().map(|chunk| chunk.min_time));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let found = runtime.block_on(merge(answers));
            prop_assert!(found.windows(2).all(|pair| labels::compare(&pair[0].labels, &pair[1].labels).is_lt()));
            let times = |series: &Series| series.chunks.iter().map(|chunk| chunk.min_time).collect();
            let found: Vec<(String, Vec<i64>)> =
                found.iter().map(|series| (labels::display(&series.labels), times(series))).collect();
            let mut expected: Vec<(String, Vec<i64>)> =
                expected.into_iter().map(|(labels, times)| (labels, times.into_iter().collect())).collect();
            let mut by_text = found;
            by_text.sort();
            expected.sort();
            prop_assert_eq!(by_text, expected);
        }
    }
}
