//! Several blocks as one source: series merged in label order, the samples of one series chained.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use model::{
    Batch, Cancel, Columns, Labels, MAX_BATCH, Queryable, Samples, Select, SelectError, Series,
    SeriesStream, Symbols,
};

use super::select::{BlockSamples, Selected};
use super::{Block, BlockError, chain, unreadable};
use crate::Ulid;

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

    fn next_series(&mut self) -> Result<Option<Series>, BlockError> {
        let Some(first) = self.heads.pop() else {
            return Ok(None);
        };
        let labels = first.labels;
        let mut parts = vec![first.samples];
        self.advance(first.at)?;
        while self.heads.peek().is_some_and(|head| head.labels == labels)
            && let Some(head) = self.heads.pop()
        {
            parts.push(head.samples);
            self.advance(head.at)?;
        }
        let samples: Box<dyn Samples> = if self.skip_samples {
            Box::new(Columns::default())
        } else {
            Box::new(Chained(parts))
        };
        Ok(Some(Series { labels, samples }))
    }
}

impl SeriesStream for Merged {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let mut batch = Batch::new();
        while batch.len() < MAX_BATCH.min(self.left)
            && let Some(series) = self.next_series()?
        {
            batch.push(series);
        }
        self.left -= batch.len();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
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

/// The samples of one series in several blocks.
struct Chained(Vec<BlockSamples>);

impl Samples for Chained {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        if let [only] = self.0.as_slice() {
            return Ok(only.decode(out)?);
        }
        let mut parts = Vec::with_capacity(self.0.len());
        for samples in &self.0 {
            let mut part = Columns::default();
            samples.decode(&mut part)?;
            parts.push(part);
        }
        chain::chain(parts, out);
        Ok(())
    }
}
