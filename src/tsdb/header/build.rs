//! Building an index header out of pieces of an index, on disk or in memory.
//!
//! Which bytes of an index are needed is a matter of three reads: the first [`crate::index::HEAD`] and the last
//! [`Toc::LEN`] bytes give an [`IndexPieces`], which names the two ranges that a [`Build`] then takes, in any pieces. Whoever
//! fetches asynchronously does it by these; [`build`] and [`write`] do it over a [`RangeRead`].

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::corrupt::Corrupt;
use crate::index::{HEAD as INDEX_HEAD, Toc, Version};
use crate::range::RangeRead;

use super::{FORMAT, HEAD, IndexHeader, MAGIC, map};

/// Bytes of the index that are copied at a time.
const PIECE: u64 = 1 << 20;

/// Why there is no index header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("cannot read the index")]
    ReadIndex(#[source] io::Error),
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("damaged")]
    Corrupt(#[from] Corrupt),
    #[error("the pieces of the index have {found} bytes instead of {wanted}")]
    Pieces { found: u64, wanted: u64 },
}

/// Which bytes of an index its header is made of.
#[derive(Clone, Debug)]
pub struct IndexPieces {
    pub version: Version,
    pub toc: Toc,
    /// Of the whole index.
    pub size: u64,
}

impl IndexPieces {
    /// Reads the first [`crate::index::HEAD`] and the last [`Toc::LEN`] bytes of an index of `size` bytes.
    ///
    /// # Errors
    /// [`Corrupt`] if they are not those of an index.
    pub fn parse(head: &[u8], tail: &[u8], size: u64) -> Result<Self, Corrupt> {
        let version = Version::parse(head)?;
        let toc = Toc::parse(tail, size)?;
        Ok(Self { version, toc, size })
    }

    /// The bytes of the index that the header takes over, in this order.
    #[must_use]
    pub fn ranges(&self) -> [Range<u64>; 2] {
        [self.toc.symbols_range(), self.toc.tail_range(self.size)]
    }
}

/// An index header in the making: takes the bytes of [`IndexPieces::ranges`], in order, in any pieces.
#[derive(Debug)]
pub struct Build<W> {
    out: W,
    wanted: u64,
    found: u64,
    toc: [u8; 16],
}

impl<W: Write> Build<W> {
    /// Begins the header in `out`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, pieces: &IndexPieces) -> io::Result<Self> {
        out.write_all(&MAGIC.to_be_bytes())?;
        out.write_all(&[FORMAT, pieces.version.as_byte()])?;
        out.write_all(&pieces.toc.postings_offset_table.to_be_bytes())?;
        let [symbols, tail] = pieces.ranges().map(|range| range.end - range.start);
        let mut toc = [0; 16];
        toc[..8].copy_from_slice(&(HEAD as u64).to_be_bytes());
        toc[8..].copy_from_slice(&(HEAD as u64 + symbols).to_be_bytes());
        Ok(Self {
            out,
            wanted: symbols + tail,
            found: 0,
            toc,
        })
    }

    /// Takes the next bytes of the index.
    ///
    /// # Errors
    /// What the output says.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.found += piece.len() as u64;
        self.out.write_all(piece)
    }

    /// Writes the table of contents, and gives the output back.
    ///
    /// # Errors
    /// [`HeaderError::Pieces`] for too few or too many bytes; [`HeaderError::Write`] from the output, at `path`.
    pub fn finish(mut self, path: &Path) -> Result<W, HeaderError> {
        if self.found != self.wanted {
            return Err(HeaderError::Pieces {
                found: self.found,
                wanted: self.wanted,
            });
        }
        let crc = crc32c::crc32c(&self.toc);
        self.out
            .write_all(&self.toc)
            .and_then(|()| self.out.write_all(&crc.to_be_bytes()))
            .map_err(|source| failed_to_write(path, source))?;
        Ok(self.out)
    }
}

fn failed_to_write(path: &Path, source: io::Error) -> HeaderError {
    HeaderError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Reads head and table of contents of an index.
fn pieces_of(index: &dyn RangeRead) -> Result<IndexPieces, HeaderError> {
    let size = index.size();
    let read = |range: Range<u64>| index.read(range).map_err(HeaderError::ReadIndex);
    let head = read(0..INDEX_HEAD.min(size))?;
    let tail = read(size.saturating_sub(Toc::LEN)..size)?;
    Ok(IndexPieces::parse(&head, &tail, size)?)
}

fn copy<W: Write>(index: &dyn RangeRead, out: W, path: &Path) -> Result<W, HeaderError> {
    let pieces = pieces_of(index)?;
    let written = |source| failed_to_write(path, source);
    let mut build = Build::new(out, &pieces).map_err(written)?;
    for range in pieces.ranges() {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + PIECE);
            let piece = index.read(start..end).map_err(HeaderError::ReadIndex)?;
            build.push(&piece).map_err(written)?;
            start = end;
        }
    }
    build.finish(path)
}

/// The header of an index, in memory.
///
/// # Errors
/// [`HeaderError`], when the index cannot be read.
pub fn build(index: &dyn RangeRead) -> Result<Bytes, HeaderError> {
    copy(index, Vec::new(), Path::new("memory")).map(Bytes::from)
}

/// Writes the header of an index to `path`: under another name, synced, renamed.
///
/// # Errors
/// [`HeaderError`].
pub fn write(index: &dyn RangeRead, path: &Path) -> Result<(), HeaderError> {
    let temporary = path.with_added_extension("tmp");
    let outcome = (|| {
        let written = |source| failed_to_write(&temporary, source);
        let file = File::create(&temporary).map_err(written)?;
        let out = copy(index, BufWriter::new(file), &temporary)?;
        let file = out.into_inner().map_err(|e| written(e.into_error()))?;
        file.sync_all().map_err(written)
    })();
    let outcome = outcome.and_then(|()| {
        fs::rename(&temporary, path).map_err(|source| failed_to_write(path, source))
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

impl IndexHeader {
    /// Maps a header that [`write`] made, and checks it.
    ///
    /// # Errors
    /// [`HeaderError::Read`], and [`HeaderError::Corrupt`] for one that should be made anew.
    pub fn open(path: &Path) -> Result<Self, HeaderError> {
        let bytes = map(path).map_err(|source| HeaderError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::from_bytes(&bytes)?)
    }
}
