//! A block as a source of series.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec;

use model::{Cancel, Columns, Labels, Select, Symbols};

use crate::chunk::{self, Encoding};
use crate::index::{ChunkMeta, SeriesEntry};
use crate::tombstone::Interval;

use super::read::{Ahead, CHUNK_GUESS, SeriesReader};
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
    /// The labels of the series before.
    last: Vec<Label>,
    mint: i64,
    maxt: i64,
    cancel: Cancel,
}

/// A label by the symbols of the block, and by those of the request.
#[derive(Clone, Copy, Debug, Default)]
struct Label {
    here: Option<(u32, u32)>,
    request: (u32, u32),
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
            last: Vec::new(),
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
                ahead: Arc::default(),
            };
            let labels = self.labels()?;
            return Ok(Some((labels, samples)));
        }
        Ok(None)
    }

    /// Most labels of a series are those of the one before.
    fn labels(&mut self) -> Result<Labels, BlockError> {
        let count = self.entry.labels.len();
        self.last.resize(count, Label::default());
        for at in 0..count {
            let here = self.entry.labels[at];
            if self.last[at].here != Some(here) {
                let request = (self.intern(here.0)?, self.intern(here.1)?);
                let here = Some(here);
                self.last[at] = Label { here, request };
            }
        }
        Ok(Labels::from_sorted_ids(
            self.last.iter().map(|label| label.request),
        ))
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
    pub(super) chunks: Vec<ChunkMeta>,
    deleted: Box<[Interval]>,
    /// What is read together with the series around.
    pub(super) ahead: Arc<Ahead>,
}

impl BlockSamples {
    /// Chunks that overlap are for whoever asks to look after ([`Columns::whole`]).
    pub(super) fn decode(&self, out: &mut Columns) -> Result<(), BlockError> {
        match self.deleted.is_empty() {
            true => self.decode_all(out),
            false => out.whole(|out| self.decode_all(out)),
        }
    }

    fn decode_all(&self, out: &mut Columns) -> Result<(), BlockError> {
        let start = out.len();
        let mut last = None;
        let mut overlapping = Vec::new();
        self.files
            .read_chunks(&self.chunks, &self.ahead, |meta, frame| {
                let before = out.len();
                let undecodable = |source| BlockError::Chunk {
                    path: self.files.segment_path(meta.chunk.segment()),
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

impl BlockSamples {
    /// About how many bytes its chunks have.
    pub(super) fn bytes(&self) -> usize {
        let apart = self.chunks.windows(2).map(|pair| {
            let gap = pair[1].chunk.0.saturating_sub(pair[0].chunk.0);
            gap.min(CHUNK_GUESS)
        });
        let bytes = apart.sum::<u64>() + CHUNK_GUESS;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}
