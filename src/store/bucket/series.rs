//! Series entries of a block's index, in batches: labels and the places of chunks.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use model::Labels;
use smallvec::SmallVec;
use tsdb::header::IndexHeader;
use tsdb::index::{ChunkMeta, SeriesEntry, entry_length};

use super::block::Block;
use super::call::{Call, Reading, signed};
use super::error::ReadError;
use super::order::{Dress, Entry};
use super::partition::{Part, counted, partition};

/// No series is larger: what says so is broken.
const MAX_SERIES: u64 = 64 << 20;

/// No symbol has this id.
const UNMET: u32 = u32::MAX;
const READ_SERIES: &str = "preload series: read series range";

/// Reads the entries of chosen series, in index order.
pub(crate) struct SeriesReader {
    plan: Plan,
    postings: Vec<u32>,
    next: usize,
    /// The request's ids of symbols of this block that were met, by their number as far as that is small, else in
    /// the map.
    met: Vec<u32>,
    symbols: HashMap<u32, u32>,
    scratch: SeriesEntry,
}

/// What a reader is made of, besides the series that it reads.
pub(crate) struct Plan {
    pub(crate) block: Arc<Block>,
    pub(crate) header: Arc<IndexHeader>,
    pub(crate) call: Arc<Call>,
    pub(crate) dress: Dress,
    /// Both inclusive.
    pub(crate) times: (i64, i64),
    pub(crate) skip_chunks: bool,
    /// Bytes of one batch.
    pub(crate) window: u64,
    /// Series of one batch at most.
    pub(crate) batch: usize,
}

impl SeriesReader {
    pub(crate) fn new(plan: Plan, postings: Vec<u32>) -> Self {
        Self {
            plan,
            postings,
            next: 0,
            met: Vec::new(),
            symbols: HashMap::new(),
            scratch: SeriesEntry::default(),
        }
    }

    /// The entries with a chunk in the time range, of the next so many series; `None` after the last.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        let starts = self.next_starts();
        if starts.is_empty() {
            return Ok(None);
        }
        self.next += starts.len();
        let reach = self.plan.block.reach;
        let parts = partition(ranges(&starts, reach.series), reach.gap);
        let read = self.fetch(&parts, &starts).await?;
        let mut entries = Vec::with_capacity(starts.len());
        let mut bytes = 0;
        for (part, data) in parts.iter().zip(read) {
            for start in &starts[part.items.clone()] {
                bytes += self.load(&data, part, *start).await?;
                entries.extend(self.decode()?);
            }
        }
        self.plan.call.count(|stats| {
            stats.series_touched += signed(starts.len());
            stats.series_touched_size_sum += signed(bytes);
        });
        Ok(Some(entries))
    }

    /// Where the next series begin, as many as one batch may have.
    fn next_starts(&self) -> Vec<u64> {
        let reach = self.plan.block.reach;
        let (mut bytes, mut starts) = (0, Vec::<u64>::new());
        let next = &self.postings[self.next..];
        for reference in next.iter().take(self.plan.batch.max(1)) {
            let start = self.plan.header.series_offset(*reference);
            bytes += match starts.last() {
                Some(last) if start <= last + reach.series + reach.gap => start - last,
                _ => reach.series,
            };
            if bytes > self.plan.window && !starts.is_empty() {
                break;
            }
            starts.push(start);
        }
        starts
    }

    async fn fetch(&self, parts: &[Part], starts: &[u64]) -> Result<Vec<Bytes>, ReadError> {
        let block = &self.plan.block;
        let (bytes, reads) = counted(ranges(starts, block.counted.series));
        self.plan.call.reserve_bytes(Reading::Series, bytes)?;
        self.plan.call.count(|stats| {
            stats.series_fetched += signed(starts.len());
            stats.series_fetched_size_sum += signed(bytes);
            stats.series_fetch_count += signed(reads);
        });
        let places: Vec<Range<u64>> = parts.iter().map(|part| part.bytes.clone()).collect();
        block.read_index(READ_SERIES, &places).await
    }

    /// Decodes one entry into the scratch and gives its size. One that is larger than was estimated is read
    /// again.
    async fn load(&mut self, data: &Bytes, part: &Part, at: u64) -> Result<u64, ReadError> {
        let bytes = part.rest(data, at);
        let error = match self.scratch.read(bytes, at) {
            Ok(()) => return Ok(entry_length(bytes, at).unwrap_or_default()),
            Err(error) => error,
        };
        let needs = error
            .needs()
            .filter(|needs| *needs <= MAX_SERIES && *needs > bytes.len() as u64);
        let Some(needs) = needs else {
            return Err(self.plan.block.corrupt_index(error));
        };
        if needs > self.plan.block.counted.series {
            self.plan.call.metrics.series_refetch();
            self.plan.call.reserve_bytes(Reading::Series, needs)?;
        }
        let _lease = self.plan.block.budget.take(needs).await?;
        let place = at..at + needs;
        let again = self
            .plan
            .block
            .read_index(READ_SERIES, std::slice::from_ref(&place));
        let again = again.await?.into_iter().next().unwrap_or_default();
        let decoded = self.scratch.read(&again, at);
        decoded.map_err(|error| self.plan.block.corrupt_index(error))?;
        Ok(needs)
    }

    /// The scratch as an entry, if it has a chunk in the time range.
    fn decode(&mut self) -> Result<Option<Entry>, ReadError> {
        let (first, last) = self.plan.times;
        let wanted = |chunk: &&ChunkMeta| chunk.overlaps(first, last);
        let chunks: SmallVec<[ChunkMeta; 2]> = if self.plan.skip_chunks {
            self.scratch
                .chunks
                .iter()
                .find(wanted)
                .copied()
                .into_iter()
                .collect()
        } else {
            self.scratch.chunks.iter().filter(wanted).copied().collect()
        };
        if chunks.is_empty() {
            return Ok(None);
        }
        let mut ids = Vec::with_capacity(self.scratch.labels.len());
        for at in 0..self.scratch.labels.len() {
            let (name, value) = self.scratch.labels[at];
            ids.push((self.symbol(name)?, self.symbol(value)?));
        }
        let inner = Labels::from_sorted_ids(ids);
        let labels = self.plan.dress.apply(&inner, &self.plan.call.symbols);
        Ok(Some(Entry {
            inner,
            labels,
            chunks,
        }))
    }

    fn symbol(&mut self, symbol: u32) -> Result<u32, ReadError> {
        let at = symbol as usize;
        match self.met.get(at) {
            Some(id) if *id != UNMET => return Ok(*id),
            _ => {}
        }
        if let Some(id) = self.symbols.get(&symbol) {
            return Ok(*id);
        }
        let text = self.plan.header.symbol(symbol);
        let text = text.map_err(|error| self.plan.block.corrupt_header(error))?;
        let id = self.plan.call.symbols.intern(text);
        // A table for all is worth its memory where most symbols are met.
        if at < self.postings.len().saturating_mul(2) {
            if self.met.len() <= at {
                self.met.resize(at + 1, UNMET);
            }
            self.met[at] = id;
        } else {
            self.symbols.insert(symbol, id);
        }
        Ok(id)
    }
}

/// Where series lie, by an estimate of their size.
fn ranges(starts: &[u64], size: u64) -> impl Iterator<Item = Range<u64>> {
    starts.iter().map(move |start| *start..start + size)
}
