//! Reading postings, series and chunks out of a block's files, in large pieces.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::{Cancel, Matcher};

use crate::corrupt::Corrupt;
use crate::index::{ChunkMeta, ChunkRef, SeriesEntry};
use crate::postings::{Plan, Postings};
use crate::range::{FileRange, RangeRead};
use crate::segment::{self, Frame};

use super::{BlockError, Files, unreadable};

/// Series are read with so many bytes at a time.
const SERIES_WINDOW: u64 = 64 << 10;
/// What lies no further apart is read at once, up to [`MOST_AT_ONCE`].
const GAP: u64 = 16 << 10;
const MOST_AT_ONCE: u64 = 1 << 20;
/// What the last chunk of a piece is taken to have: most have less.
pub(super) const CHUNK_GUESS: u64 = 4 << 10;

impl Files {
    pub(super) fn index_path(&self) -> PathBuf {
        self.folder.join("index")
    }

    pub(super) fn damaged_index(&self, source: Corrupt) -> BlockError {
        BlockError::Damaged {
            path: self.index_path(),
            source,
        }
    }

    fn read_index(&self, range: Range<u64>) -> Result<Bytes, BlockError> {
        self.index
            .read(range)
            .map_err(|source| unreadable(&self.index_path(), source))
    }

    /// The series that pass all matchers, ascending.
    pub(super) fn matching(
        &self,
        matchers: &[Matcher],
        cancel: &Cancel,
    ) -> Result<Vec<u32>, BlockError> {
        let plan = Plan::new(&self.header, matchers).map_err(|e| self.damaged_index(e))?;
        let mut lists = Vec::with_capacity(plan.ranges().len());
        let mut rest = plan.ranges();
        while let Some(first) = rest.first() {
            cancel.check()?;
            let together = neighbours(rest);
            let end = rest[together - 1].end;
            let bytes = self.read_index(first.start..end)?;
            for range in &rest[..together] {
                let piece =
                    (range.start - first.start) as usize..(range.end - first.start) as usize;
                let list = Postings::parse(&bytes.slice(piece), range.start);
                lists.push(list.map_err(|e| self.damaged_index(e))?);
            }
            rest = &rest[together..];
        }
        Ok(plan.evaluate(&lists))
    }

    /// One list.
    pub(super) fn postings(&self, range: Range<u64>) -> Result<Postings, BlockError> {
        let bytes = self.read_index(range.clone())?;
        Postings::parse(&bytes, range.start).map_err(|e| self.damaged_index(e))
    }

    pub(super) fn segment_path(&self, segment: u32) -> PathBuf {
        self.folder.join(segment::file_name(segment))
    }

    fn segment(&self, segment: u32) -> Result<&FileRange, BlockError> {
        let missing = || unreadable(&self.segment_path(segment), io::ErrorKind::NotFound.into());
        self.segments.get(segment as usize).ok_or_else(missing)
    }

    /// Reads chunks, and calls `each` with everyone, its checksum checked. What is in `ahead` is not read again.
    pub(super) fn read_chunks(
        &self,
        chunks: &[ChunkMeta],
        ahead: &Ahead,
        mut each: impl FnMut(&ChunkMeta, Frame<'_>) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let together = in_one_piece(rest);
            let (start, bytes) = match ahead.piece(first.chunk, self)? {
                Some(found) => found,
                None => {
                    let last = rest[together - 1].chunk;
                    let start = u64::from(first.chunk.offset());
                    let range = start..u64::from(last.offset()) + CHUNK_GUESS;
                    (start, self.read_segment(first.chunk.segment(), range)?)
                }
            };
            for chunk in &rest[..together] {
                let at = u64::from(chunk.chunk.offset());
                // A reference that lies may point behind the file's end.
                let piece = bytes.get((at - start) as usize..).unwrap_or_default();
                self.read_chunk(chunk, piece, &mut each)?;
            }
            rest = &rest[together..];
        }
        Ok(())
    }

    /// Reads the chunk at the beginning of `piece`, or from the file if it does not end there.
    fn read_chunk(
        &self,
        chunk: &ChunkMeta,
        piece: &[u8],
        each: &mut impl FnMut(&ChunkMeta, Frame<'_>) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        let (segment, at) = (chunk.chunk.segment(), u64::from(chunk.chunk.offset()));
        let damaged = |source| BlockError::Damaged {
            path: self.segment_path(segment),
            source,
        };
        let whole;
        let frame = match Frame::parse(piece, at) {
            Err(error) if within(&error, at, self.segment(segment)?.size()) => {
                let needs = error.needs().unwrap_or_default();
                whole = self.read_segment(segment, at..at + needs)?;
                Frame::parse(&whole, at)
            }
            parsed => parsed,
        };
        let frame = frame.map_err(damaged)?;
        frame.check().map_err(damaged)?;
        each(chunk, frame)
    }

    /// The bytes of `range` of a segment, as far as it goes.
    fn read_segment(&self, segment: u32, range: Range<u64>) -> Result<Bytes, BlockError> {
        let file = self.segment(segment)?;
        let range = range.start..range.end.min(file.size());
        let read = file.read(range);
        read.map_err(|source| unreadable(&self.segment_path(segment), source))
    }
}

/// Pieces of segments that the chunks of several series lie in. Each is read when the first of them is.
#[derive(Debug, Default)]
pub(super) struct Ahead(Vec<Piece>);

#[derive(Debug)]
struct Piece {
    segment: u32,
    range: Range<u64>,
    bytes: OnceLock<Bytes>,
}

impl Piece {
    fn begin(&self) -> (u32, u64) {
        (self.segment, self.range.start)
    }
}

impl Ahead {
    /// Takes the chunks of one more series, which mostly lie behind those of the one before. Returns how many bytes
    /// more there are to read.
    pub(super) fn want(&mut self, chunks: &[ChunkMeta]) -> u64 {
        let mut more = 0;
        for chunk in chunks {
            let (segment, at) = (chunk.chunk.segment(), u64::from(chunk.chunk.offset()));
            let end = at + CHUNK_GUESS;
            match self.0.last_mut() {
                Some(Piece {
                    segment: last,
                    range,
                    ..
                }) if *last == segment
                    && (range.start..=range.end + GAP).contains(&at)
                    && end - range.start <= MOST_AT_ONCE =>
                {
                    more += end.saturating_sub(range.end);
                    range.end = range.end.max(end);
                }
                _ => {
                    more += CHUNK_GUESS;
                    self.0.push(Piece {
                        segment,
                        range: at..end,
                        bytes: OnceLock::new(),
                    });
                }
            }
        }
        more
    }

    /// No more series come.
    pub(super) fn complete(mut self) -> Self {
        self.0.sort_by_key(Piece::begin);
        self
    }

    /// The bytes from `chunk` on and the place in the segment where they begin, if a piece has it.
    fn piece(&self, chunk: ChunkRef, files: &Files) -> Result<Option<(u64, Bytes)>, BlockError> {
        let at = (chunk.segment(), u64::from(chunk.offset()));
        let after = self.0.partition_point(|piece| piece.begin() <= at);
        let found = after.checked_sub(1).map(|before| &self.0[before]);
        let Some(piece) = found.filter(|p| p.segment == at.0 && p.range.contains(&at.1)) else {
            return Ok(None);
        };
        let bytes = match piece.bytes.get() {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = files.read_segment(piece.segment, piece.range.clone())?;
                piece.bytes.get_or_init(|| bytes).clone()
            }
        };
        Ok(Some((piece.range.start, bytes)))
    }
}

/// Whether more bytes would help: a length that lies asks for more than the file has.
fn within(error: &Corrupt, at: u64, size: u64) -> bool {
    let end = error.needs().and_then(|needs| at.checked_add(needs));
    end.is_some_and(|end| end <= size)
}

/// How many ranges lie behind each other without a gap.
fn neighbours(ranges: &[Range<u64>]) -> usize {
    let Some(first) = ranges.first() else {
        return 0;
    };
    let joined = ranges.windows(2).take_while(|pair| {
        pair[0].end == pair[1].start && pair[1].end - first.start <= MOST_AT_ONCE
    });
    1 + joined.count()
}

/// How many chunks lie close to each other in one segment.
fn in_one_piece(chunks: &[ChunkMeta]) -> usize {
    let Some(first) = chunks.first() else {
        return 0;
    };
    let joined = chunks.windows(2).take_while(|pair| {
        let (a, b) = (pair[0].chunk, pair[1].chunk);
        let near = b.0.checked_sub(a.0).is_some_and(|gap| gap <= GAP);
        a.segment() == b.segment() && near && b.0 - first.chunk.0 <= MOST_AT_ONCE
    });
    1 + joined.count()
}

/// Reads series, which mostly lie behind each other.
#[derive(Debug)]
pub(super) struct SeriesReader {
    files: Arc<Files>,
    window: Bytes,
    /// Where the window begins in the index.
    start: u64,
}

impl SeriesReader {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            window: Bytes::new(),
            start: 0,
        }
    }

    pub(super) fn read(&mut self, series: u32, entry: &mut SeriesEntry) -> Result<(), BlockError> {
        let at = self.files.header.series_offset(series);
        let in_window = at
            .checked_sub(self.start)
            .and_then(|skip| self.window.get(usize::try_from(skip).ok()?..));
        if let Some(bytes) = in_window
            && let Ok(()) = entry.read(bytes, at)
        {
            return Ok(());
        }
        self.fill(at, SERIES_WINDOW)?;
        let outcome = match entry.read(&self.window, at) {
            Err(error) if within(&error, at, self.end()) => {
                self.fill(at, error.needs().unwrap_or_default())?;
                entry.read(&self.window, at)
            }
            outcome => outcome,
        };
        outcome.map_err(|error| self.files.damaged_index(error))
    }

    /// Series lie before the postings offset table.
    fn end(&self) -> u64 {
        self.files.header.toc().postings_offset_table
    }

    fn fill(&mut self, at: u64, length: u64) -> Result<(), BlockError> {
        let end = at.saturating_add(length).min(self.end());
        let start = at.min(end);
        self.window = self.files.read_index(start..end)?;
        self.start = at;
        Ok(())
    }
}
