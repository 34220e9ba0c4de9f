//! Series entries of a block's index, in batches: labels and the places of chunks.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use model::Labels;
use tsdb::header::IndexHeader;
use tsdb::index::{ChunkMeta, SeriesEntry, entry_length};

use super::PARALLEL_READS;
use super::block::Block;
use super::call::{Call, Reading, signed};
use super::error::ReadError;
use super::order::{Dress, Entry};
use super::partition::{MAX_GAP, Part, partition};

/// No series is larger: what says so is broken.
const MAX_SERIES: u64 = 64 << 20;

/// Reads the entries of chosen series, in index order.
pub(crate) struct SeriesReader {
    plan: Plan,
    postings: Vec<u32>,
    next: usize,
    /// The request's id of each symbol of this block that was met.
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
            symbols: HashMap::new(),
            scratch: SeriesEntry::default(),
        }
    }

    /// The entries with a chunk in the time range, of the next so many series; `None` after the last.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        let ranges = self.next_ranges();
        if ranges.is_empty() {
            return Ok(None);
        }
        self.next += ranges.len();
        let parts = partition(ranges.iter().cloned());
        let read = self.fetch(&parts, ranges.len()).await?;
        let mut entries = Vec::with_capacity(ranges.len());
        let mut bytes = 0;
        for (part, data) in parts.iter().zip(read) {
            for range in &ranges[part.items.clone()] {
                bytes += self.load(&data, part, range.start).await?;
                entries.extend(self.decode()?);
            }
        }
        self.plan.call.count(|stats| {
            stats.series_touched += signed(ranges.len());
            stats.series_touched_size_sum += signed(bytes);
        });
        Ok(Some(entries))
    }

    /// Where the next series lie, by an estimate of their size, as many as one batch may have.
    fn next_ranges(&self) -> Vec<Range<u64>> {
        let (mut bytes, mut ranges) = (0, Vec::<Range<u64>>::new());
        for reference in self.postings[self.next..]
            .iter()
            .take(self.plan.batch.max(1))
        {
            let start = self.plan.header.series_offset(*reference);
            let range = start..start + self.plan.block.series_size;
            bytes += match ranges.last() {
                Some(last) if start <= last.end + MAX_GAP => range.end.saturating_sub(last.end),
                _ => self.plan.block.series_size,
            };
            if bytes > self.plan.window && !ranges.is_empty() {
                break;
            }
            ranges.push(range);
        }
        ranges
    }

    async fn fetch(&self, parts: &[Part], series: usize) -> Result<Vec<Bytes>, ReadError> {
        let bytes: u64 = parts.iter().map(Part::len).sum();
        self.plan.call.reserve_bytes(Reading::Series, bytes)?;
        self.plan.call.count(|stats| {
            stats.series_fetched += signed(series);
            stats.series_fetched_size_sum += signed(bytes);
            stats.series_fetch_count += signed(parts.len());
        });
        let block = &self.plan.block;
        let read =
            |part: &Part| block.read_index("preload series: read series range", part.bytes.clone());
        let reads: Vec<_> = parts.iter().map(read).collect();
        futures::stream::iter(reads)
            .buffered(PARALLEL_READS)
            .try_collect()
            .await
    }

    /// Decodes one entry into the scratch and gives its size. One that is larger than was estimated is read
    /// again.
    async fn load(&mut self, data: &Bytes, part: &Part, at: u64) -> Result<u64, ReadError> {
        let bytes = part.rest(data, at);
        let error = match self.scratch.read(&bytes, at) {
            Ok(()) => return Ok(entry_length(&bytes, at).unwrap_or_default()),
            Err(error) => error,
        };
        let needs = error
            .needs()
            .filter(|needs| *needs <= MAX_SERIES && *needs > bytes.len() as u64);
        let Some(needs) = needs else {
            return Err(self.plan.block.corrupt_index(error));
        };
        self.plan.call.metrics.series_refetch();
        self.plan.call.reserve_bytes(Reading::Series, needs)?;
        let _lease = self.plan.block.budget.take(needs).await?;
        let again = self
            .plan
            .block
            .read_index("preload series: read series range", at..at + needs)
            .await?;
        let decoded = self.scratch.read(&again, at);
        decoded.map_err(|error| self.plan.block.corrupt_index(error))?;
        Ok(needs)
    }

    /// The scratch as an entry, if it has a chunk in the time range.
    fn decode(&mut self) -> Result<Option<Entry>, ReadError> {
        let (first, last) = self.plan.times;
        let wanted = |chunk: &&ChunkMeta| chunk.overlaps(first, last);
        let chunks: Vec<ChunkMeta> = if self.plan.skip_chunks {
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
        if let Some(id) = self.symbols.get(&symbol) {
            return Ok(*id);
        }
        let text = self.plan.header.symbol(symbol);
        let text = text.map_err(|error| self.plan.block.corrupt_header(error))?;
        let id = self.plan.call.symbols.intern(text);
        self.symbols.insert(symbol, id);
        Ok(id)
    }
}
