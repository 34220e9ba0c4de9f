//! Some series on their way through the threads: what the reader found, and what a worker made of it.

use std::path::PathBuf;

use crate::block::BlockError;
use crate::index::{ChunkMeta, ChunkRef};
use crate::segment::{self, Frame};
use crate::tombstone::Interval;

use super::error::{CompactError, MergeError};
use super::piece::{Piece, is_covered};
use crate::cursor::put_uvarint;

/// A batch is full with so many bytes of chunks, or so many series.
const FULL_BYTES: usize = 512 << 10;
const FULL_SERIES: usize = 512;

/// A chunk that was read: where it lay, and where its bytes are in the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) meta: ChunkMeta,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The chunks of a series in one block.
#[derive(Debug)]
struct FromBlock {
    block: usize,
    /// In [`Batch::chunks`].
    chunks_end: usize,
    deleted: Vec<Interval>,
}

#[derive(Debug)]
struct SeriesEnd {
    labels: usize,
    blocks: usize,
}

/// A chunk that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToWrite {
    pub(super) mint: i64,
    pub(super) maxt: i64,
    pub(super) encoding: u8,
    pub(super) samples: u64,
    /// In [`Batch::out`].
    pub(super) end: usize,
}

/// Some series. Everything is kept in few vectors, which are used again.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Its place among the batches.
    pub(super) number: u64,
    bytes: Vec<u8>,
    labels: Vec<(u32, u32)>,
    chunks: Vec<Read>,
    blocks: Vec<FromBlock>,
    series: Vec<SeriesEnd>,
    out: Vec<u8>,
    out_chunks: Vec<ToWrite>,
    /// For each series, where its chunks end in `out_chunks`.
    out_series: Vec<usize>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.labels.clear();
        self.chunks.clear();
        self.blocks.clear();
        self.series.clear();
        self.out.clear();
        self.out_chunks.clear();
        self.out_series.clear();
        // One series may have been huge.
        self.bytes.shrink_to(4 * FULL_BYTES);
        self.out.shrink_to(4 * FULL_BYTES);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.series.len() >= FULL_SERIES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a chunk whose bytes were appended to [`Self::bytes_mut`] from `start` on.
    pub(super) fn add_chunk(&mut self, meta: ChunkMeta, start: usize) {
        let end = self.bytes.len();
        self.chunks.push(Read { meta, start, end });
    }

    /// Ends the chunks of one block.
    pub(super) fn end_block(&mut self, block: usize, deleted: Vec<Interval>) {
        self.blocks.push(FromBlock {
            block,
            chunks_end: self.chunks.len(),
            deleted,
        });
    }

    /// Ends a series.
    pub(super) fn end_series(&mut self, labels: &[(u32, u32)]) {
        self.labels.extend_from_slice(labels);
        self.series.push(SeriesEnd {
            labels: self.labels.len(),
            blocks: self.blocks.len(),
        });
    }

    /// Calls `work` for each series with its chunks of each block, and takes the chunks that it gives.
    pub(super) fn work(
        &mut self,
        folders: &[PathBuf],
        mut work: impl for<'a> FnMut(Vec<Vec<Piece<'a>>>) -> Result<Vec<Piece<'a>>, MergeError>,
    ) -> Result<(), CompactError> {
        let (mut block, mut chunk) = (0, 0);
        for series in &self.series {
            let mut sources = Vec::with_capacity(series.blocks - block);
            let mut folder = None;
            for from in &self.blocks[block..series.blocks] {
                let reads = &self.chunks[chunk..from.chunks_end];
                let path = &folders[from.block];
                folder = folder.or(Some(path));
                sources.push(pieces(&self.bytes, reads, &from.deleted, path)?);
                chunk = from.chunks_end;
            }
            block = series.blocks;
            let failed = |source| CompactError::Merge {
                block: folder.cloned().unwrap_or_default(),
                source,
            };
            for piece in work(sources).map_err(failed)? {
                let samples = piece.samples().map_err(failed)?;
                put_frame(&mut self.out, &piece);
                self.out_chunks.push(ToWrite {
                    mint: piece.mint,
                    maxt: piece.maxt,
                    encoding: piece.encoding,
                    samples,
                    end: self.out.len(),
                });
            }
            self.out_series.push(self.out_chunks.len());
        }
        Ok(())
    }

    /// Calls `each` for each series with its labels, its chunks, their bytes and where those begin.
    pub(super) fn written<E>(
        &self,
        mut each: impl FnMut(&[(u32, u32)], &[ToWrite], &[u8], usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut labels, mut chunks, mut start) = (0, 0, 0);
        for (series, end) in self.series.iter().zip(&self.out_series) {
            let of_series = &self.out_chunks[chunks..*end];
            each(
                &self.labels[labels..series.labels],
                of_series,
                &self.out,
                start,
            )?;
            (labels, chunks) = (series.labels, *end);
            start = of_series.last().map_or(start, |chunk| chunk.end);
        }
        Ok(())
    }
}

/// The chunks of one block, their checksums checked, without what is deleted.
fn pieces<'a>(
    bytes: &'a [u8],
    reads: &[Read],
    deleted: &[Interval],
    folder: &std::path::Path,
) -> Result<Vec<Piece<'a>>, CompactError> {
    let mut out = Vec::with_capacity(reads.len());
    for read in reads {
        let frame = &bytes[read.start..read.end];
        let piece = piece(frame, read.meta).map_err(|source| BlockError::Damaged {
            path: segment_path(folder, read.meta.chunk),
            source,
        })?;
        if deleted.is_empty() {
            out.push(piece);
            continue;
        }
        let rest = without(piece, deleted).map_err(|source| CompactError::Merge {
            block: folder.to_owned(),
            source,
        })?;
        out.extend(rest);
    }
    Ok(out)
}

fn segment_path(folder: &std::path::Path, chunk: ChunkRef) -> PathBuf {
    folder.join(segment::file_name(chunk.segment()))
}

fn piece(bytes: &[u8], meta: ChunkMeta) -> Result<Piece<'_>, crate::Corrupt> {
    let frame = Frame::parse(bytes, u64::from(meta.chunk.offset()))?;
    frame.check()?;
    Ok(Piece {
        mint: meta.mint,
        maxt: meta.maxt,
        encoding: frame.encoding,
        data: frame.data.into(),
        frame: Some(bytes),
    })
}

/// A chunk without what is deleted of it; `None` if nothing is left.
fn without<'a>(piece: Piece<'a>, deleted: &[Interval]) -> Result<Option<Piece<'a>>, MergeError> {
    use super::encode::{Decoded, Encoder};
    let touches = |interval: &Interval| interval.mint <= piece.maxt && piece.mint <= interval.maxt;
    if !deleted.iter().any(touches) {
        return Ok(Some(piece));
    }
    if is_covered(piece.mint, piece.maxt, deleted) {
        return Ok(None);
    }
    let encoding = piece.encoding;
    if encoding == crate::chunk::aggr::ENCODING {
        return Err(MergeError::NotRewritable { encoding });
    }
    let decoded = Decoded::of(&piece)?;
    let mut encoder = Encoder::without_cuts();
    for (at, t) in decoded.t.iter().enumerate() {
        if !deleted.iter().any(|interval| interval.contains(*t)) {
            encoder.push(&decoded, at, true);
        }
    }
    let mut chunks = encoder.finish();
    match chunks.len() {
        0 | 1 => Ok(chunks.pop()),
        _ => Err(MergeError::NotRewritable { encoding }),
    }
}

/// Appends a chunk as it is written.
fn put_frame(out: &mut Vec<u8>, piece: &Piece<'_>) {
    if let Some(frame) = piece.frame {
        out.extend_from_slice(frame);
        return;
    }
    put_uvarint(out, piece.data.len() as u64);
    let start = out.len();
    out.push(piece.encoding);
    out.extend_from_slice(&piece.data);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}
