//! The series of several blocks in label order, in batches.

use std::path::{Path, PathBuf};

use crate::block::BlockError;
use crate::index::{SeriesEntry, Version};
use crate::meta::Meta;
use crate::tombstone::{Interval, Tombstones};

use super::CompactError;
use super::batch::Batch;
use super::heap::Heap;
use super::piece::is_covered;
use super::scan::{ChunkScan, SeriesScan};
use super::symbols::SymbolMap;

/// A block that is read from front to back.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    pub(super) meta: Meta,
    series: SeriesScan,
    chunks: ChunkScan,
    tombstones: Tombstones,
    symbols: Option<SymbolMap>,
    /// The series that is next, its labels in the symbols of the block that is made.
    entry: SeriesEntry,
    deleted: Vec<Interval>,
}

impl Source {
    pub(super) fn open(folder: &Path) -> Result<Self, CompactError> {
        let meta = Meta::read(folder).map_err(|source| BlockError::Meta {
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            meta,
            series: SeriesScan::open(folder)?,
            chunks: ChunkScan::open(folder)?,
            tombstones: crate::block::read_tombstones(folder)?,
            symbols: None,
            entry: SeriesEntry::default(),
            deleted: Vec::new(),
        })
    }

    pub(super) fn version(&self) -> Version {
        self.series.version()
    }

    /// Moves to the next series that has something in `range`, both ends inclusive; `false` after the last.
    fn next(&mut self, range: Option<(i64, i64)>) -> Result<bool, CompactError> {
        loop {
            let Some(series) = self.series.next(&mut self.entry)? else {
                return Ok(false);
            };
            self.deleted.clear();
            self.deleted
                .extend_from_slice(self.tombstones.of(u64::from(series)));
            if let Some(range) = range {
                self.trim(range);
            }
            if self.entry.chunks.is_empty() {
                continue;
            }
            self.map_symbols()?;
            return Ok(true);
        }
    }

    /// Drops chunks of which nothing stays; what sticks out of the range counts as deleted.
    fn trim(&mut self, (mint, maxt): (i64, i64)) {
        let deleted = &self.deleted;
        self.entry.chunks.retain(|chunk| {
            chunk.overlaps(mint, maxt) && !is_covered(chunk.mint, chunk.maxt, deleted)
        });
        let chunks = &self.entry.chunks;
        let front = chunks.iter().any(|chunk| chunk.mint < mint);
        let back = chunks.iter().any(|chunk| chunk.maxt > maxt);
        let around = [
            (front, i64::MIN, mint.saturating_sub(1)),
            (back, maxt.saturating_add(1), i64::MAX),
        ];
        for (sticks_out, mint, maxt) in around {
            if sticks_out {
                self.deleted.push(Interval { mint, maxt });
            }
        }
    }

    fn map_symbols(&mut self) -> Result<(), CompactError> {
        let Some(symbols) = &self.symbols else {
            return Ok(());
        };
        for pair in &mut self.entry.labels {
            match (symbols.get(pair.0), symbols.get(pair.1)) {
                (Some(name), Some(value)) => *pair = (name, value),
                _ => {
                    return Err(CompactError::Unsound {
                        path: self.series.path().to_owned(),
                        what: "a series names a symbol that is not there".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Reads the chunks of the series into a batch.
    fn read_chunks(&mut self, block: usize, batch: &mut Batch) -> Result<(), CompactError> {
        for chunk in &self.entry.chunks {
            let start = batch.bytes_mut().len();
            self.chunks.read(chunk.chunk, batch.bytes_mut())?;
            batch.add_chunk(*chunk, start);
        }
        batch.end_block(block, std::mem::take(&mut self.deleted));
        Ok(())
    }
}

/// The series of all sources in label order.
#[derive(Debug)]
pub(super) struct Reader {
    sources: Vec<Source>,
    /// Sources that have a series.
    heads: Heap<usize>,
    /// Those of the series at hand, in the order of Go's heap, which decides over chunks with the same times.
    current: Vec<usize>,
    /// Nothing outside is read.
    range: Option<(i64, i64)>,
    labels: Vec<(u32, u32)>,
}

impl Reader {
    pub(super) fn new(
        mut sources: Vec<Source>,
        symbols: Vec<SymbolMap>,
        range: Option<(i64, i64)>,
    ) -> Self {
        for (source, map) in sources.iter_mut().zip(symbols) {
            source.symbols = Some(map);
        }
        let current = (0..sources.len()).collect();
        Self {
            sources,
            heads: Heap::default(),
            current,
            range,
            labels: Vec::new(),
        }
    }

    /// Fills a batch; it stays empty after the last series.
    pub(super) fn fill(&mut self, batch: &mut Batch) -> Result<(), CompactError> {
        while !batch.is_full() && self.next()? {
            for at in 0..self.current.len() {
                let block = self.current[at];
                self.sources[block].read_chunks(block, batch)?;
            }
            batch.end_series(&self.labels);
        }
        Ok(())
    }

    /// Moves to the next series.
    fn next(&mut self) -> Result<bool, CompactError> {
        for at in 0..self.current.len() {
            let source = self.current[at];
            if self.sources[source].next(self.range)? {
                let before = before(&self.sources);
                self.heads.push(source, before);
            }
        }
        self.current.clear();
        let Some(first) = self.heads.pop(before(&self.sources)) else {
            return Ok(false);
        };
        self.current.push(first);
        let labels = &self.sources[first].entry.labels;
        self.labels.clone_from(labels);
        while let Some(next) = self.heads.peek()
            && self.sources[*next].entry.labels == self.labels
        {
            self.current.extend(self.heads.pop(before(&self.sources)));
        }
        Ok(true)
    }
}

/// Symbols sort as their texts do.
fn before(sources: &[Source]) -> impl Fn(&usize, &usize) -> bool + '_ {
    |a, b| sources[*a].entry.labels < sources[*b].entry.labels
}
