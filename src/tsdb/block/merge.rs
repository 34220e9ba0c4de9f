//! Several blocks as one source: series merged in label order, the samples of one series chained.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use model::{
    Batch, Cancel, Columns, Labels, MAX_BATCH, Queryable, Samples, Select, SelectError, Series,
    SeriesStream, Symbols,
};

use super::read::Ahead;
use super::select::{BlockSamples, Selected};
use super::{Block, BlockError, chain, columns, unreadable};
use crate::Ulid;

/// The chunks of a batch are read together; a batch is cut once they have about so many bytes.
const BATCH_BYTES: u64 = 4 << 20;

/// Blocks, by time.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// These blocks, in any order.
    #[must_use]
    pub fn new(mut blocks: Vec<Block>) -> Self {
        blocks.sort_by_key(|block| (block.meta().min_time, block.id()));
        Self(blocks)
    }

    /// All blocks in `folder`: the folders in it that are named by a ULID and hold a `meta.json`.
    ///
    /// # Errors
    /// [`BlockError`] of the first block that cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, BlockError> {
        let listing = std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
        let mut blocks = Vec::new();
        for found in listing {
            let path = found.map_err(|source| unreadable(folder, source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_block = Ulid::from_string(&name).is_ok() && path.join("meta.json").is_file();
            if is_block {
                blocks.push(Block::open(&path)?);
            }
        }
        Ok(Self::new(blocks))
    }

    /// The blocks.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Block> {
        self.0.iter()
    }
}

impl Queryable for Block {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        Blocks(vec![self.clone()]).select(select, cancel)
    }
}

impl Queryable for Blocks {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        cancel.check()?;
        if select.shard.is_some() {
            return Err(SelectError::Rejected(
                "blocks on disk are not sharded".into(),
            ));
        }
        let mut merged = Merged {
            sources: Vec::new(),
            heads: BinaryHeap::new(),
            symbols: select.symbols.clone(),
            left: if select.limit == 0 {
                usize::MAX
            } else {
                select.limit
            },
            skip_samples: select.skip_samples,
            projection: projection(select),
        };
        let wanted = self
            .0
            .iter()
            .filter(|block| block.overlaps(select.mint, select.maxt));
        for (at, block) in wanted.enumerate() {
            merged.sources.push(block.selected(select, cancel)?);
            merged.advance(at)?;
        }
        Ok(Box::new(merged))
    }
}

struct Merged {
    sources: Vec<Selected>,
    /// The next series of every source that has one.
    heads: BinaryHeap<Head>,
    symbols: Arc<Symbols>,
    /// Series that may still be given.
    left: usize,
    skip_samples: bool,
    /// The names of the labels that are read, if not all are.
    projection: Option<Vec<u32>>,
}

fn projection(select: &Select) -> Option<Vec<u32>> {
    let names = select.hints.projection.as_ref()?;
    Some(names.iter().map(|n| select.symbols.intern(n)).collect())
}

impl Merged {
    /// Takes the next series of a source among the heads.
    fn advance(&mut self, at: usize) -> Result<(), BlockError> {
        if let Some((labels, samples)) = self.sources[at].next()? {
            let symbols = self.symbols.clone();
            self.heads.push(Head {
                labels,
                samples,
                at,
                symbols,
            });
        }
        Ok(())
    }

    fn next_series(&mut self) -> Result<Option<Found>, BlockError> {
        let Some(first) = self.heads.pop() else {
            return Ok(None);
        };
        let labels = first.labels;
        let mut parts = vec![(first.at, first.samples)];
        self.advance(first.at)?;
        while self.heads.peek().is_some_and(|head| head.labels == labels)
            && let Some(head) = self.heads.pop()
        {
            parts.push((head.at, head.samples));
            self.advance(head.at)?;
        }
        Ok(Some(Found { labels, parts }))
    }

    /// The next series whose chunks are read together.
    fn next_found(&mut self) -> Result<Vec<Found>, BlockError> {
        let mut ahead: Vec<Ahead> = Vec::new();
        ahead.resize_with(self.sources.len(), Ahead::default);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < MAX_BATCH.min(self.left)
            && bytes < BATCH_BYTES
            && let Some(series) = self.next_series()?
        {
            if !self.skip_samples {
                let wanted =
                    |(at, samples): &(usize, BlockSamples)| ahead[*at].want(&samples.chunks);
                bytes += series.parts.iter().map(wanted).sum::<u64>();
            }
            found.push(series);
        }
        self.left -= found.len();
        let ahead = ahead.into_iter().map(|ahead| Arc::new(ahead.complete()));
        let ahead: Vec<Arc<Ahead>> = ahead.collect();
        for (at, samples) in found.iter_mut().flat_map(|found| &mut found.parts) {
            samples.ahead = Arc::clone(&ahead[*at]);
        }
        Ok(found)
    }
}

impl SeriesStream for Merged {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let found = self.next_found()?;
        let samples = |parts| -> Box<dyn Samples> {
            match self.skip_samples {
                true => Box::new(Columns::default()),
                false => Box::new(Chained(parts)),
            }
        };
        let batch = found.into_iter().map(|Found { mut labels, parts }| {
            if let Some(names) = &self.projection {
                labels.retain(|name, _| names.contains(&name));
            }
            let samples = samples(parts);
            Series { labels, samples }
        });
        let batch: Batch = batch.collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}

/// A series, and what each source has of it.
struct Found {
    labels: Labels,
    parts: Vec<(usize, BlockSamples)>,
}

/// The next series of a source. The smallest label set, then the earliest source, is the greatest.
struct Head {
    labels: Labels,
    samples: BlockSamples,
    at: usize,
    symbols: Arc<Symbols>,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let labels = other.labels.compare(&self.labels, &self.symbols);
        labels.then_with(|| other.at.cmp(&self.at))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// The samples of one series in several blocks, by time.
struct Chained(Vec<(usize, BlockSamples)>);

impl Samples for Chained {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        let chunks = self.0.iter().flat_map(|(_, samples)| &samples.chunks);
        match chunks.is_sorted_by(|a, b| a.maxt < b.mint) {
            true => self.read_all(out),
            false => out.whole(|out| self.read_all(out)),
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, samples)| samples.bytes()).sum()
    }
}

impl Chained {
    fn read_all(&self, out: &mut Columns) -> Result<(), SelectError> {
        let start = out.len();
        let (mut ends, mut overlap) = (Vec::new(), false);
        for (_, samples) in &self.0 {
            let (before, histograms) = (out.len(), out.h.len());
            samples.decode(out)?;
            if let (true, Some(first)) = (self.0.len() > 1, out.h.get_mut(histograms)) {
                chain::forget_reset(first);
            }
            let follows =
                before == start || out.t.get(before).is_none_or(|t| *t > out.t[before - 1]);
            overlap |= !follows;
            ends.push(before);
        }
        if overlap {
            let parts = ends.into_iter().rev().map(|at| columns::split_off(out, at));
            let mut parts: Vec<Columns> = parts.collect();
            parts.reverse();
            chain::chain(parts, out);
        }
        Ok(())
    }
}
