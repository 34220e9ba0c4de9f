//! Chunks of a block as frames carry them: slices of what was read, never decoded.
//!
//! A chunk of a segment is `uvarint length, encoding byte, data, CRC32C of encoding and data`; its checksum
//! is checked here, once. A downsampled chunk is several, of which the requested ones are sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use model::Labels;
use proto::thanos::{Aggr, AggrChunk, Chunk};
use tsdb::chunk::Encoding;
use tsdb::chunk::aggr::{self, Aggregate, Parts};
use tsdb::index::ChunkMeta;
use tsdb::segment::Frame;
use xxhash_rust::xxh64::xxh64;

use super::PARALLEL_READS;
use super::block::Block;
use super::call::{Call, Reading, signed};
use super::error::ReadError;
use super::order::Entry;
use super::partition::{MAX_GAP, Part, partition};

/// No chunk is larger: what says so is broken.
const MAX_CHUNK: u64 = 64 << 20;

/// A series with its chunks.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<AggrChunk>,
}

/// Reads the chunks of series.
#[derive(Clone, Debug)]
pub(crate) struct ChunkReader {
    pub(crate) block: Arc<Block>,
    pub(crate) call: Arc<Call>,
    pub(crate) aggregates: Vec<Aggr>,
    /// Bytes of one group of series.
    pub(crate) window: u64,
}

/// One chunk that is wanted: of which series, the how manyth.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    meta: ChunkMeta,
    entry: usize,
    chunk: usize,
}

impl ChunkReader {
    /// How many of these series are read together: what their chunks take, and the gaps between, fits the
    /// window. One series is always taken.
    pub(crate) fn group(&self, entries: &[Entry]) -> usize {
        let mut ends: Vec<(u32, u64)> = Vec::new();
        let mut bytes = 0;
        for (at, entry) in entries.iter().enumerate() {
            for chunk in &entry.chunks {
                bytes += self.cost(&mut ends, chunk);
            }
            if bytes > self.window && at > 0 {
                return at;
            }
        }
        entries.len()
    }

    /// Bytes that a further chunk adds to what is read of its segment.
    fn cost(&self, ends: &mut Vec<(u32, u64)>, chunk: &ChunkMeta) -> u64 {
        let (segment, start) = (chunk.chunk.segment(), u64::from(chunk.chunk.offset()));
        let end = start + self.block.chunk_size;
        match ends.iter_mut().find(|(known, _)| *known == segment) {
            Some((_, last)) if start + MAX_GAP >= *last && start <= *last + MAX_GAP => {
                let more = end.saturating_sub(*last);
                *last = end.max(*last);
                more
            }
            Some((_, last)) => {
                *last = end;
                self.block.chunk_size
            }
            None => {
                ends.push((segment, end));
                self.block.chunk_size
            }
        }
    }

    /// Reads the chunks of these series.
    pub(crate) async fn load(&self, entries: Vec<Entry>) -> Result<Vec<Loaded>, ReadError> {
        let mut wanted = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let chunk = |(chunk, meta): (usize, &ChunkMeta)| Wanted {
                meta: *meta,
                entry: at,
                chunk,
            };
            wanted.extend(entry.chunks.iter().enumerate().map(chunk));
        }
        wanted.sort_unstable_by_key(|wanted| wanted.meta.chunk);
        let mut loaded: Vec<Loaded> = entries.into_iter().map(empty).collect();
        for segment in wanted.chunk_by(|a, b| a.meta.chunk.segment() == b.meta.chunk.segment()) {
            self.load_segment(segment, &mut loaded).await?;
        }
        Ok(loaded)
    }

    async fn load_segment(
        &self,
        wanted: &[Wanted],
        loaded: &mut [Loaded],
    ) -> Result<(), ReadError> {
        let segment = wanted[0].meta.chunk.segment();
        let parts = partition(self.ranges(wanted));
        let bytes: u64 = parts.iter().map(Part::len).sum();
        self.call.reserve_bytes(Reading::Chunks, bytes)?;
        let reads: Vec<_> = parts
            .iter()
            .map(|part| self.block.read_chunks(segment, part.bytes.clone()))
            .collect();
        let read: Vec<Bytes> = futures::stream::iter(reads)
            .buffered(PARALLEL_READS)
            .try_collect()
            .await?;
        let mut touched = 0;
        for (part, data) in parts.iter().zip(&read) {
            for wanted in &wanted[part.items.clone()] {
                let out = &mut loaded[wanted.entry].chunks[wanted.chunk];
                touched += signed(self.place(data, part, wanted, out).await?);
            }
        }
        self.call.count(|stats| {
            stats.chunks_fetched += signed(wanted.len());
            stats.chunks_fetched_size_sum += signed(bytes);
            stats.chunks_fetch_count += signed(parts.len());
            stats.chunks_touched += signed(wanted.len());
            stats.chunks_touched_size_sum += touched;
        });
        Ok(())
    }

    /// Where chunks lie, by an estimate of their size: none reaches further than the next one begins.
    fn ranges(&self, wanted: &[Wanted]) -> impl Iterator<Item = Range<u64>> {
        let offset = |wanted: &Wanted| u64::from(wanted.meta.chunk.offset());
        let next = wanted[1..].iter().map(offset).chain([u64::MAX]);
        wanted.iter().map(offset).zip(next).map(|(start, next)| {
            let end = start + self.block.chunk_size;
            // The same chunk can be wanted twice: by series that share it.
            start..if next > start { end.min(next) } else { end }
        })
    }

    /// Checks a chunk and hangs it into the series. One that is larger than was estimated is read again.
    async fn place(
        &self,
        data: &Bytes,
        part: &Part,
        wanted: &Wanted,
        out: &mut AggrChunk,
    ) -> Result<usize, ReadError> {
        let segment = wanted.meta.chunk.segment();
        let at = u64::from(wanted.meta.chunk.offset());
        let bytes = part.rest(data, at);
        let error = match Frame::parse(&bytes, at) {
            Ok(frame) => return self.populate(segment, &frame, &bytes, out),
            Err(error) => error,
        };
        let more = |needs: &u64| *needs <= MAX_CHUNK && *needs > bytes.len() as u64;
        let Some(needs) = error.needs().filter(more) else {
            return Err(self.block.corrupt_segment(segment, error));
        };
        self.call.metrics.chunk_refetch();
        self.call.reserve_bytes(Reading::Chunks, needs)?;
        let again = self.block.read_chunks(segment, at..at + needs).await?;
        let frame = Frame::parse(&again, at);
        let frame = frame.map_err(|error| self.block.corrupt_segment(segment, error))?;
        self.populate(segment, &frame, &again, out)
    }

    fn populate(
        &self,
        segment: u32,
        frame: &Frame<'_>,
        buffer: &Bytes,
        out: &mut AggrChunk,
    ) -> Result<usize, ReadError> {
        let corrupt = |error| self.block.corrupt_segment(segment, error);
        frame.check().map_err(corrupt)?;
        let data = frame.data_of(buffer);
        let size = data.len();
        if frame.encoding == aggr::ENCODING {
            let parts = Parts::split(&data).map_err(corrupt)?;
            self.aggregates(&parts, &data, out)?;
        } else {
            out.raw = Some(wire(frame.encoding, data)?);
        }
        Ok(size)
    }

    /// The requested parts of a downsampled chunk; one that is not there fails the call.
    fn aggregates(
        &self,
        parts: &Parts<'_>,
        data: &Bytes,
        out: &mut AggrChunk,
    ) -> Result<(), ReadError> {
        for aggregate in &self.aggregates {
            let (which, field) = match aggregate {
                Aggr::Raw => continue,
                Aggr::Count => (Aggregate::Count, &mut out.count),
                Aggr::Sum => (Aggregate::Sum, &mut out.sum),
                Aggr::Min => (Aggregate::Min, &mut out.min),
                Aggr::Max => (Aggregate::Max, &mut out.max),
                Aggr::Counter => (Aggregate::Counter, &mut out.counter),
            };
            let part = parts.get(which).ok_or(ReadError::Aggregate(which.name()))?;
            *field = Some(wire(part.encoding, data.slice_ref(part.data))?);
        }
        Ok(())
    }
}

/// A chunk of the wire, which counts encodings from zero.
fn wire(encoding: u8, data: Bytes) -> Result<Chunk, ReadError> {
    let r#type = match Encoding::from_byte(encoding) {
        Ok(Encoding::Xor) => 0,
        Ok(Encoding::Histogram) => 1,
        Ok(Encoding::FloatHistogram) => 2,
        _ => return Err(ReadError::Encoding(encoding)),
    };
    let hash = xxh64(&data, 0);
    Ok(Chunk { r#type, data, hash })
}

fn empty(entry: Entry) -> Loaded {
    let chunk = |meta: &ChunkMeta| AggrChunk {
        min_time: meta.mint,
        max_time: meta.maxt,
        ..AggrChunk::default()
    };
    Loaded {
        labels: entry.labels,
        chunks: entry.chunks.iter().map(chunk).collect(),
    }
}
