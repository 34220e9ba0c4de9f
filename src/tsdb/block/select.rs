//! A block as a source of series.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec;

use model::{Cancel, Columns, Labels, Samples, Select, SelectError, Symbols};

use crate::chunk::{self, Encoding};
use crate::index::{ChunkMeta, SeriesEntry};
use crate::segment;
use crate::tombstone::Interval;

use super::read::SeriesReader;
use super::{Block, BlockError, Files, chain, columns};

/// The series of one block that a select asks for, one by one, in label order.
#[derive(Debug)]
pub(super) struct Selected {
    files: Arc<Files>,
    refs: vec::IntoIter<u32>,
    reader: SeriesReader,
    entry: SeriesEntry,
    request: Arc<Symbols>,
    /// The block's symbols as those of the request.
    known: HashMap<u32, u32, foldhash::fast::RandomState>,
    mint: i64,
    maxt: i64,
    cancel: Cancel,
}

impl Block {
    pub(super) fn selected(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Selected, BlockError> {
        let refs = self.0.matching(&select.matchers, cancel)?;
        Ok(Selected {
            files: self.0.clone(),
            refs: refs.into_iter(),
            reader: SeriesReader::new(self.0.clone()),
            entry: SeriesEntry::default(),
            request: select.symbols.clone(),
            known: HashMap::default(),
            mint: select.mint,
            maxt: select.maxt,
            cancel: cancel.clone(),
        })
    }

    /// Whether the block may have samples from `mint` to `maxt`, both inclusive.
    pub(super) fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        let meta = self.meta();
        // Blocks of one instant are written with equal times by some tools.
        meta.min_time <= maxt && mint <= meta.max_time
    }
}

impl Selected {
    /// The next series that has a chunk in the time asked for.
    pub(super) fn next(&mut self) -> Result<Option<(Labels, BlockSamples)>, BlockError> {
        while let Some(series) = self.refs.next() {
            self.cancel.check()?;
            self.reader.read(series, &mut self.entry)?;
            let deleted = self.files.tombstones.of(u64::from(series));
            let wanted = |chunk: &&ChunkMeta| {
                chunk.overlaps(self.mint, self.maxt) && !is_covered(chunk, deleted)
            };
            let chunks: Vec<ChunkMeta> = self.entry.chunks.iter().filter(wanted).copied().collect();
            if chunks.is_empty() {
                continue;
            }
            let samples = BlockSamples {
                files: self.files.clone(),
                chunks,
                deleted: deleted.into(),
            };
            let labels = self.labels()?;
            return Ok(Some((labels, samples)));
        }
        Ok(None)
    }

    fn labels(&mut self) -> Result<Labels, BlockError> {
        let mut pairs = Vec::with_capacity(self.entry.labels.len());
        for at in 0..self.entry.labels.len() {
            let (name, value) = self.entry.labels[at];
            pairs.push((self.intern(name)?, self.intern(value)?));
        }
        Ok(Labels::from_sorted_ids(pairs))
    }

    fn intern(&mut self, symbol: u32) -> Result<u32, BlockError> {
        if let Some(id) = self.known.get(&symbol) {
            return Ok(*id);
        }
        let text = self.files.header.symbol(symbol);
        let id = self
            .request
            .intern(text.map_err(|e| self.files.damaged_index(e))?);
        self.known.insert(symbol, id);
        Ok(id)
    }
}

fn is_covered(chunk: &ChunkMeta, deleted: &[Interval]) -> bool {
    deleted
        .iter()
        .any(|interval| interval.contains(chunk.mint) && interval.contains(chunk.maxt))
}

/// Chunks of one series in one block.
#[derive(Debug)]
pub(super) struct BlockSamples {
    files: Arc<Files>,
    chunks: Vec<ChunkMeta>,
    deleted: Box<[Interval]>,
}

impl BlockSamples {
    pub(super) fn decode(&self, out: &mut Columns) -> Result<(), BlockError> {
        let start = out.len();
        let mut last = None;
        let mut overlapping = Vec::new();
        self.files.read_chunks(&self.chunks, |meta, frame| {
            let before = out.len();
            let undecodable = |source| BlockError::Chunk {
                path: self
                    .files
                    .folder
                    .join(segment::file_name(meta.chunk.segment())),
                offset: meta.chunk.offset(),
                source,
            };
            let encoding = Encoding::from_byte(frame.encoding).map_err(undecodable)?;
            chunk::decode(encoding, frame.data, out).map_err(undecodable)?;
            if out
                .t
                .get(before)
                .is_some_and(|t| last.is_some_and(|last| *t <= last))
            {
                overlapping.push(columns::split_off(out, before));
            } else {
                last = out.t[before..].last().copied().or(last);
            }
            Ok(())
        })?;
        if !overlapping.is_empty() {
            // Prometheus writes none of these; some tools did.
            overlapping.insert(0, columns::split_off(out, start));
            chain::chain(overlapping, out);
        }
        if !self.deleted.is_empty() {
            let is_deleted = |t| self.deleted.iter().any(|interval| interval.contains(t));
            columns::retain(out, start, |t| !is_deleted(t));
        }
        Ok(())
    }
}

impl Samples for BlockSamples {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        Ok(self.decode(out)?)
    }
}
