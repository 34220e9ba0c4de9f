//! Many sorted answers as one: series of equal labels joined, their chunks united.

use std::collections::VecDeque;

use proto::thanos::Series;
use tonic::Status;

use crate::chunks;
use crate::feed::Feed;
use crate::labels;
use crate::loser::LoserTree;

/// What a merged answer consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The next label set, with all of its chunks.
    Series(Series),
    /// A store failed, or warned.
    Warning(String),
}

/// The answer of all stores to one Series request, in label order. Dropping it cancels the calls.
#[derive(Debug)]
pub struct Merged {
    feeds: Vec<Feed>,
    tree: Option<LoserTree>,
    warnings: VecDeque<String>,
    /// Whether a warning fails the request.
    abort: bool,
    /// How many items may still come.
    left: u64,
    /// The feeds that the last series came from.
    origin: Origin,
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
            abort,
            left,
            origin: Origin::default(),
        }
    }

    /// The next item, `None` at the end.
    ///
    /// # Errors
    /// `Aborted` with the text of the first warning, where the request does not take partial answers.
    pub async fn next(&mut self) -> Result<Option<Item>, Status> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if self.tree.is_none() {
            self.start().await;
        }
        if self.warnings.is_empty()
            && let Some(series) = self.series().await
        {
            return Ok(Some(Item::Series(series)));
        }
        match self.warnings.pop_front() {
            Some(text) if self.abort => Err(Status::aborted(text)),
            warning => Ok(warning.map(Item::Warning)),
        }
    }

    /// The addresses of the stores that are asked.
    pub(crate) fn stores(&self) -> Vec<String> {
        self.feeds.iter().map(|feed| feed.store.clone()).collect()
    }

    /// Which of [`Self::stores`] the series had that came last.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    async fn start(&mut self) {
        for feed in &mut self.feeds {
            feed.advance(&mut self.warnings).await;
        }
        let feeds = &self.feeds;
        self.tree = Some(LoserTree::new(feeds.len(), |a, b| {
            less(&feeds[a], &feeds[b])
        }));
    }

    /// The smallest label set, joined from all stores that have it.
    async fn series(&mut self) -> Option<Series> {
        self.origin = Origin::default();
        let mut series = self.pop().await?;
        while self.peek().is_some_and(|next| next.labels == series.labels) {
            let more = self.pop().await?;
            series.chunks.extend(more.chunks);
        }
        chunks::unite(&mut series.chunks);
        Some(series)
    }

    fn peek(&self) -> Option<&Series> {
        self.feeds.get(self.tree.as_ref()?.winner()?)?.head()
    }

    async fn pop(&mut self) -> Option<Series> {
        let tree = self.tree.as_mut()?;
        let winner = tree.winner()?;
        let feed = self.feeds.get_mut(winner)?;
        let series = feed.take()?;
        self.origin.add(winner);
        feed.advance(&mut self.warnings).await;
        let feeds = &self.feeds;
        tree.replay(|a, b| less(&feeds[a], &feeds[b]));
        Some(series)
    }
}

/// A feed that is over comes last.
fn less(a: &Feed, b: &Feed) -> bool {
    match (a.head(), b.head()) {
        (Some(a), Some(b)) => labels::compare(&a.labels, &b.labels).is_lt(),
        (a, _) => a.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use proto::thanos::{AggrChunk, Chunk, Label};

    use super::*;
    use crate::labels::label;

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
        let batches = |series: Vec<Series>, size| series.chunks(size).map(<[_]>::to_vec).collect();
        let feeds = answers
            .into_iter()
            .map(|(series, size)| Feed::of(batches(series, size)));
        let mut merged = Merged::new(feeds.collect(), true, 0);
        let mut found = Vec::new();
        while let Some(Item::Series(series)) = merged.next().await.expect("no warnings") {
            found.push(series);
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
