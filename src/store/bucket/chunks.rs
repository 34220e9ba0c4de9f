//! Chunks of a block as frames carry them: places in what was read, never decoded.
//!
//! A chunk of a segment is `uvarint length, encoding byte, data, CRC32C of encoding and data`; its checksum
//! is checked here, once. A downsampled chunk is several, of which the requested ones are sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::Labels;
use proto::thanos::Aggr;
use tsdb::chunk::Encoding;
use tsdb::chunk::aggr::{self, Aggregate, Parts};
use tsdb::index::ChunkMeta;
use tsdb::segment::Frame;
use xxhash_rust::xxh64::xxh64;

use super::block::Block;
use super::call::{Call, Reading, signed};
use super::error::ReadError;
use super::order::Entry;
use super::partition::{counted, partition};
use super::wire::{Group, Part, Piece};
use crate::chunks::Field;

/// No chunk is larger: what says so is broken.
const MAX_CHUNK: u64 = 64 << 20;
/// A buffer that holds more than so many times what is sent of it is not kept.
const MOST_WASTE: usize = 4;

/// A series of one block.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) labels: Labels,
    /// None where no chunks are asked for.
    pub(crate) chunks: Option<Piece>,
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

/// One chunk that is wanted, and which of the group it is.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    meta: ChunkMeta,
    at: usize,
}

impl Wanted {
    fn offset(&self) -> u64 {
        u64::from(self.meta.chunk.offset())
    }
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
        let (size, gap) = (self.block.reach.chunk, self.block.reach.gap);
        let end = start + size;
        match ends.iter_mut().find(|(known, _)| *known == segment) {
            Some((_, last)) if start + gap >= *last && start <= *last + gap => {
                let more = end.saturating_sub(*last);
                *last = end.max(*last);
                more
            }
            Some((_, last)) => {
                *last = end;
                size
            }
            None => {
                ends.push((segment, end));
                size
            }
        }
    }

    /// Reads the chunks of these series.
    pub(crate) async fn load(&self, entries: Vec<Entry>) -> Result<Vec<Loaded>, ReadError> {
        let metas = entries.iter().flat_map(|entry| &entry.chunks);
        let wanted = metas.enumerate();
        let mut wanted: Vec<Wanted> = wanted
            .map(|(at, meta)| Wanted { meta: *meta, at })
            .collect();
        let mut group = Group::default();
        group.chunks = vec![group.chunk((0, 0), 0..0); wanted.len()];
        // Mostly they lie as their series do.
        if !wanted.is_sorted_by_key(|wanted| wanted.meta.chunk) {
            wanted.sort_unstable_by_key(|wanted| wanted.meta.chunk);
        }
        for segment in wanted.chunk_by(|a, b| a.meta.chunk.segment() == b.meta.chunk.segment()) {
            self.load_segment(segment, &mut group).await?;
        }
        let group = Arc::new(group);
        let mut next = 0;
        let loaded = entries.into_iter().map(|entry| {
            let first = next;
            next += entry.chunks.len() as u32;
            Loaded {
                labels: entry.labels,
                chunks: Some(Piece {
                    group: group.clone(),
                    chunks: first..next,
                }),
            }
        });
        Ok(loaded.collect())
    }

    async fn load_segment(&self, wanted: &[Wanted], group: &mut Group) -> Result<(), ReadError> {
        let segment = wanted[0].meta.chunk.segment();
        let (bytes, reads) = counted(ranges(wanted, self.block.counted.chunk));
        self.call.reserve_bytes(Reading::Chunks, bytes)?;
        let reach = self.block.reach;
        let parts = partition(ranges(wanted, reach.chunk), reach.gap);
        let places: Vec<Range<u64>> = parts.iter().map(|part| part.bytes.clone()).collect();
        let read = self.block.read_chunks(segment, &places).await?;
        let (mut touched, mut short) = (0, Vec::new());
        for (part, data) in parts.iter().zip(read) {
            let mut buffer = Buffer::new(self, group, segment, data);
            for wanted in &wanted[part.items.clone()] {
                match buffer.place(wanted.offset() - part.bytes.start, wanted)? {
                    Placed::Whole => {}
                    Placed::Needs(bytes) => short.push((wanted, bytes)),
                }
            }
            touched += buffer.finish();
        }
        for (wanted, needs) in short {
            touched += self.load_again(wanted, needs, group).await?;
        }
        self.call.count(|stats| {
            stats.chunks_fetched += signed(wanted.len());
            stats.chunks_fetched_size_sum += signed(bytes);
            stats.chunks_fetch_count += signed(reads);
            stats.chunks_touched += signed(wanted.len());
            stats.chunks_touched_size_sum += signed(touched);
        });
        Ok(())
    }

    /// Reads a chunk that is larger than what was read of it.
    async fn load_again(
        &self,
        wanted: &Wanted,
        needs: u64,
        group: &mut Group,
    ) -> Result<usize, ReadError> {
        let (segment, at) = (wanted.meta.chunk.segment(), wanted.offset());
        if needs > self.block.counted.chunk {
            self.call.metrics.chunk_refetch();
            self.call.reserve_bytes(Reading::Chunks, needs)?;
        }
        let place = at..at + needs;
        let again = self
            .block
            .read_chunks(segment, std::slice::from_ref(&place))
            .await?;
        let again = again.into_iter().next().unwrap_or_default();
        let mut buffer = Buffer::new(self, group, segment, again);
        match buffer.place(0, wanted)? {
            Placed::Whole => Ok(buffer.finish()),
            Placed::Needs(_) => {
                let frame = Frame::parse(&buffer.data, at).map(drop);
                let error = frame
                    .err()
                    .map(|error| self.block.corrupt_segment(segment, error));
                error.map_or(Ok(0), Err)
            }
        }
    }
}

/// Where chunks lie, by an estimate of their size: none reaches further than the next one begins.
fn ranges(wanted: &[Wanted], size: u64) -> impl Iterator<Item = Range<u64>> {
    let next = wanted[1..].iter().map(Wanted::offset).chain([u64::MAX]);
    let places = wanted.iter().map(Wanted::offset).zip(next);
    places.map(move |(start, next)| {
        let end = start + size;
        // The same chunk can be wanted twice: by series that share it.
        start..if next > start { end.min(next) } else { end }
    })
}

enum Placed {
    Whole,
    /// So many bytes of the segment, from the chunk's place.
    Needs(u64),
}

/// What was read at once, while its chunks are found in it.
struct Buffer<'a> {
    reader: &'a ChunkReader,
    group: &'a mut Group,
    segment: u32,
    data: Bytes,
    /// The first of the group's parts that lies in it.
    first: usize,
    touched: usize,
}

impl<'a> Buffer<'a> {
    fn new(reader: &'a ChunkReader, group: &'a mut Group, segment: u32, data: Bytes) -> Self {
        Self {
            reader,
            first: group.parts.len(),
            group,
            segment,
            data,
            touched: 0,
        }
    }

    /// Checks the chunk at byte `at` of the buffer, and remembers where it lies.
    fn place(&mut self, at: u64, wanted: &Wanted) -> Result<Placed, ReadError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.data.get(at..).unwrap_or_default();
        let corrupt = |error| self.reader.block.corrupt_segment(self.segment, error);
        let frame = match Frame::parse(bytes, wanted.offset()) {
            Ok(frame) => frame,
            Err(error) => {
                let more = |needs: &u64| *needs <= MAX_CHUNK && *needs > bytes.len() as u64;
                let needs = error.needs().filter(more);
                return needs.map(Placed::Needs).ok_or_else(|| corrupt(error));
            }
        };
        frame.check().map_err(corrupt)?;
        self.touched += frame.data.len();
        let first = self.group.parts.len() as u32;
        if frame.encoding == aggr::ENCODING {
            let parts = Parts::split(frame.data).map_err(corrupt)?;
            // The requested parts, in the order of their fields; one that is not there fails the call.
            for (asked, which, field) in AGGREGATES {
                if self.reader.aggregates.contains(&asked) {
                    let part = parts.get(which).ok_or(ReadError::Aggregate(which.name()))?;
                    add_part(self.group, &self.data, (field, part.encoding, part.data))?;
                }
            }
        } else {
            let raw = (Field::Raw, frame.encoding, frame.data);
            add_part(self.group, &self.data, raw)?;
        }
        let times = (wanted.meta.mint, wanted.meta.maxt);
        let parts = first..self.group.parts.len() as u32;
        self.group.chunks[wanted.at] = self.group.chunk(times, parts);
        Ok(Placed::Whole)
    }

    /// Keeps the buffer, or what is sent of it; gives the bytes of its chunks.
    fn finish(self) -> usize {
        let parts = &mut self.group.parts[self.first..];
        let sent: usize = parts.iter().map(|part| part.length as usize).sum();
        if sent.saturating_mul(MOST_WASTE) >= self.data.len() {
            self.group.buffers.push(self.data);
            return self.touched;
        }
        let mut kept = Vec::with_capacity(sent);
        for part in parts {
            let (start, length) = (part.start as usize, part.length as usize);
            part.start = kept.len() as u32;
            kept.extend_from_slice(&self.data[start..start + length]);
        }
        self.group.buffers.push(kept.into());
        self.touched
    }
}

/// Remembers samples, which lie in the buffer that comes next.
fn add_part(
    group: &mut Group,
    buffer: &[u8],
    (field, encoding, samples): (Field, u8, &[u8]),
) -> Result<(), ReadError> {
    let start = samples.as_ptr() as usize - buffer.as_ptr() as usize;
    let place = |at: usize| u32::try_from(at).map_err(|_| ReadError::Encoding(encoding));
    group.parts.push(Part {
        field,
        encoding: wire_encoding(encoding)?,
        buffer: group.buffers.len() as u32,
        start: place(start)?,
        length: place(samples.len())?,
        hash: xxh64(samples, 0),
    });
    Ok(())
}

/// What a client asks for, what a chunk calls it, and where it goes.
const AGGREGATES: [(Aggr, Aggregate, Field); 5] = [
    (Aggr::Count, Aggregate::Count, Field::Count),
    (Aggr::Sum, Aggregate::Sum, Field::Sum),
    (Aggr::Min, Aggregate::Min, Field::Min),
    (Aggr::Max, Aggregate::Max, Field::Max),
    (Aggr::Counter, Aggregate::Counter, Field::Counter),
];

/// The wire counts encodings from zero.
fn wire_encoding(encoding: u8) -> Result<u8, ReadError> {
    match Encoding::from_byte(encoding) {
        Ok(Encoding::Xor) => Ok(0),
        Ok(Encoding::Histogram) => Ok(1),
        Ok(Encoding::FloatHistogram) => Ok(2),
        _ => Err(ReadError::Encoding(encoding)),
    }
}
