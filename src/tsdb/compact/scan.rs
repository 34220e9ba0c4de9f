//! All series of one block in their order, and their chunks, read from front to back: memory does not depend on how large
//! the block is.

use std::path::{Path, PathBuf};

use crate::block::BlockError;
use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::Cursor;
use crate::index::{HEAD, SeriesEntry, Toc, Version};
use crate::segment;

use super::window::Window;

const SERIES_AHEAD: u64 = 128 << 10;
const REFS_AHEAD: u64 = 32 << 10;
const CHUNKS_AHEAD: u64 = 256 << 10;
const SYMBOLS_AHEAD: u64 = 64 << 10;
const WIDTH: u64 = 4;

/// Reads head and table of contents.
fn contents(window: &mut Window) -> Result<(Version, Toc), BlockError> {
    let size = window.size();
    let version = Version::parse(window.bytes(0, HEAD)?);
    let version = version.map_err(|e| window.damaged(e))?;
    let tail = window.bytes(size.saturating_sub(Toc::LEN), Toc::LEN)?;
    let toc = Toc::parse(tail, size).map_err(|e| window.damaged(e))?;
    Ok((version, toc))
}

/// The series of an index, one after the other.
#[derive(Debug)]
pub(super) struct SeriesScan {
    series: Window,
    refs: Window,
    version: Version,
    /// Series lie before.
    end: u64,
    /// Where the next reference lies, and how many are left.
    next: u64,
    left: u64,
    /// Of the list so far.
    crc: u32,
    list: u64,
}

impl SeriesScan {
    pub(super) fn open(folder: &Path) -> Result<Self, BlockError> {
        let path = folder.join("index");
        let mut refs = Window::open(&path, REFS_AHEAD)?;
        let (version, toc) = contents(&mut refs)?;
        let list = refs.parse(toc.postings_offset_table, |bytes| {
            first_list(bytes, toc.postings_offset_table)
        })?;
        let (crc, count) = refs.parse(list, |bytes| {
            let mut cursor = Cursor::new("postings", list, bytes);
            let length = cursor.u32()?;
            let count = cursor.u32()?;
            if u64::from(length) != WIDTH + u64::from(count) * WIDTH {
                return Err(cursor.invalid("count and length disagree"));
            }
            Ok((crc32c::crc32c(&count.to_be_bytes()), count))
        })?;
        Ok(Self {
            series: Window::open(&path, SERIES_AHEAD)?,
            refs,
            version,
            end: toc.postings_offset_table,
            next: list + 2 * WIDTH,
            left: u64::from(count),
            crc,
            list,
        })
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn path(&self) -> &Path {
        self.series.path()
    }

    /// The next series, and its reference.
    pub(super) fn next(&mut self, entry: &mut SeriesEntry) -> Result<Option<u32>, BlockError> {
        let Some(series) = self.next_ref()? else {
            return Ok(None);
        };
        let at = self.version.series_offset(series);
        if at >= self.end {
            let flaw = Corrupt::invalid("postings", self.list, "a series lies outside of the file");
            return Err(self.series.damaged(flaw));
        }
        self.series.parse(at, |bytes| entry.read(bytes, at))?;
        Ok(Some(series))
    }

    fn next_ref(&mut self) -> Result<Option<u32>, BlockError> {
        let (at, list) = (self.next, self.list);
        if self.left == 0 {
            let computed = self.crc;
            return self.refs.parse(at, |bytes| {
                let stored = Cursor::new("postings", list, bytes).u32()?;
                let flaw = Flaw::Checksum { stored, computed };
                (stored == computed)
                    .then_some(None)
                    .ok_or_else(|| Corrupt::new("postings", list, flaw))
            });
        }
        let word = self.refs.bytes(at, WIDTH)?;
        let Some(word) = word.first_chunk::<4>() else {
            let needs = at + WIDTH - list;
            let flaw = Corrupt::new("postings", list, Flaw::Truncated { needs });
            return Err(self.refs.damaged(flaw));
        };
        self.crc = crc32c::crc32c_append(self.crc, word);
        let series = u32::from_be_bytes(*word);
        self.next += WIDTH;
        self.left -= 1;
        Ok(Some(series))
    }
}

/// The place of the first list, which is that of all series.
fn first_list(bytes: &[u8], at: u64) -> Result<u64, Corrupt> {
    let mut cursor = Cursor::new("postings offset table", at, bytes);
    cursor.u32()?;
    if cursor.u32()? == 0 {
        return Err(cursor.invalid("it is empty"));
    }
    let names = cursor.uvarint()?;
    let (name, value) = (cursor.slice()?, cursor.slice()?);
    if names != 2 || !name.is_empty() || !value.is_empty() {
        return Err(cursor.invalid("it does not begin with the list of all series"));
    }
    cursor.uvarint()
}

/// The symbols of an index, one after the other.
#[derive(Debug)]
pub(super) struct SymbolScan {
    window: Window,
    section: u64,
    next: u64,
    left: u32,
    crc: u32,
}

impl SymbolScan {
    pub(super) fn open(folder: &Path) -> Result<Self, BlockError> {
        let mut window = Window::open(&folder.join("index"), SYMBOLS_AHEAD)?;
        let (_, toc) = contents(&mut window)?;
        let section = toc.symbols;
        let (crc, left) = window.parse(section, |bytes| {
            let mut cursor = Cursor::new("symbols", section, bytes);
            let length = cursor.u32()?;
            let count = cursor.u32()?;
            if u64::from(count) + 4 > u64::from(length) {
                return Err(cursor.invalid("more symbols than its length allows"));
            }
            Ok((crc32c::crc32c(&count.to_be_bytes()), count))
        })?;
        Ok(Self {
            window,
            section,
            next: section + 8,
            left,
            crc,
        })
    }

    /// Puts the next symbol into `text`, and gives its place in the index; `None` after the last.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, BlockError> {
        let (at, section) = (self.next, self.section);
        if self.left == 0 {
            let computed = self.crc;
            return self.window.parse(at, |bytes| {
                let stored = Cursor::new("symbols", section, bytes).u32()?;
                let flaw = Flaw::Checksum { stored, computed };
                (stored == computed)
                    .then_some(None)
                    .ok_or_else(|| Corrupt::new("symbols", section, flaw))
            });
        }
        let (crc, length) = self.window.parse(at, |bytes| {
            let mut cursor = Cursor::new("symbols", at, bytes);
            let symbol = cursor.text()?;
            text.clear();
            text.extend_from_slice(symbol.as_bytes());
            let length = cursor.position();
            Ok((crc32c::crc32c_append(self.crc, &bytes[..length]), length))
        })?;
        self.crc = crc;
        self.next += length as u64;
        self.left -= 1;
        Ok(Some(at))
    }
}

/// The segments of a block.
#[derive(Debug)]
pub(super) struct ChunkScan {
    folder: PathBuf,
    segments: Vec<Window>,
}

impl ChunkScan {
    pub(super) fn open(folder: &Path) -> Result<Self, BlockError> {
        let mut segments = Vec::new();
        loop {
            let path = folder.join(segment::file_name(segments.len() as u32));
            if !path.exists() {
                break;
            }
            let mut window = Window::open(&path, CHUNKS_AHEAD)?;
            let head = window.bytes(0, segment::HEAD)?;
            let checked = segment::check_head(head);
            checked.map_err(|e| window.damaged(e))?;
            segments.push(window);
        }
        Ok(Self {
            folder: folder.to_owned(),
            segments,
        })
    }

    /// Appends the chunk at `chunk` to `out`: length, encoding, data and checksum, which is not checked here.
    pub(super) fn read(
        &mut self,
        chunk: crate::index::ChunkRef,
        out: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        let Some(window) = self.segments.get_mut(chunk.segment() as usize) else {
            return Err(BlockError::Read {
                path: self.folder.join(segment::file_name(chunk.segment())),
                source: std::io::ErrorKind::NotFound.into(),
            });
        };
        let at = u64::from(chunk.offset());
        window.parse(at, |bytes| {
            let needs = segment::frame_length(bytes, at)?;
            match usize::try_from(needs).ok().and_then(|n| bytes.get(..n)) {
                Some(frame) => {
                    out.extend_from_slice(frame);
                    Ok(())
                }
                None => Err(Corrupt::new("chunk", at, Flaw::Truncated { needs })),
            }
        })
    }
}
