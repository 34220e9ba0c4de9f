//! Reading postings, series and chunks out of a block's files, in large pieces.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use model::{Cancel, Matcher};

use crate::corrupt::Corrupt;
use crate::index::{ChunkMeta, SeriesEntry};
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
const CHUNK_GUESS: u64 = 4 << 10;

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

    fn segment(&self, segment: u32) -> Result<(&FileRange, PathBuf), BlockError> {
        let path = self.folder.join(segment::file_name(segment));
        match self.segments.get(segment as usize) {
            Some(file) => Ok((file, path)),
            None => Err(unreadable(&path, std::io::ErrorKind::NotFound.into())),
        }
    }

    /// Reads chunks, and calls `each` with everyone, its checksum checked.
    pub(super) fn read_chunks(
        &self,
        chunks: &[ChunkMeta],
        mut each: impl FnMut(&ChunkMeta, Frame<'_>) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let together = in_one_piece(rest);
            let (file, path) = self.segment(first.chunk.segment())?;
            let start = u64::from(first.chunk.offset());
            let last = u64::from(rest[together - 1].chunk.offset());
            let end = (last + CHUNK_GUESS).min(file.size());
            let bytes = file
                .read(start..end)
                .map_err(|source| unreadable(&path, source))?;
            for chunk in &rest[..together] {
                let at = u64::from(chunk.chunk.offset());
                // A reference that lies may point behind the file's end.
                let piece = bytes.get((at - start) as usize..).unwrap_or_default();
                let mut whole = Bytes::new();
                let frame = match Frame::parse(piece, at) {
                    Err(error) if within(&error, at, file.size()) => {
                        let needs = error.needs().unwrap_or_default();
                        whole = file
                            .read(at..at + needs)
                            .map_err(|source| unreadable(&path, source))?;
                        Frame::parse(&whole, at)
                    }
                    parsed => parsed,
                };
                let frame = frame.and_then(|frame| frame.check().map(|()| frame));
                let path = path.clone();
                each(
                    chunk,
                    frame.map_err(|source| BlockError::Damaged { path, source })?,
                )?;
                drop(whole);
            }
            rest = &rest[together..];
        }
        Ok(())
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
