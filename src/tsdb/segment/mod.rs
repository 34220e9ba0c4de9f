//! Chunk segments: the files `chunks/000001` and so on (Prometheus `tsdb/docs/format/chunks.md`).
//!
//! ```text
//! u32 magic 0x85BD40DD, u8 version 1, 3 bytes of nothing
//! chunks: uvarint length of the data | u8 encoding | data | u32 crc of encoding and data
//! ```

mod writer;

use bytes::Bytes;

pub use writer::{MOST_BYTES, SegmentWriter};

use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::{CRC, Cursor};

/// The first bytes of a segment.
pub const MAGIC: u32 = 0x85BD_40DD;
/// Magic number, version, padding.
pub const HEAD: u64 = 8;
const VERSION: u8 = 1;
const PART: &str = "chunk";

/// Checks the first [`HEAD`] bytes of a segment.
///
/// # Errors
/// [`Corrupt`] for another magic number or version.
pub fn check_head(head: &[u8]) -> Result<(), Corrupt> {
    let mut cursor = Cursor::new("segment", 0, head);
    let magic = cursor.u32()?;
    if magic != MAGIC {
        return Err(Corrupt::new("segment", 0, Flaw::Magic(magic)));
    }
    match cursor.byte()? {
        VERSION => Ok(()),
        other => Err(Corrupt::new("segment", 4, Flaw::Version(other))),
    }
}

/// The name of a segment, counted from zero, in a block's folder.
#[must_use]
pub fn file_name(segment: u32) -> String {
    format!("chunks/{:06}", u64::from(segment) + 1)
}

/// The segments in a block's folder, as [`crate::meta::ThanosMeta::segment_files`] lists them.
///
/// # Errors
/// What the system says.
pub fn names(block: &std::path::Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(block.join("chunks"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A chunk in the bytes that were read. The encoding byte is as it is written: [`crate::chunk::Encoding`] knows the
/// encodings of samples, and [`crate::chunk::aggr`] that of downsampled blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub encoding: u8,
    pub data: &'a [u8],
    /// Encoding and data: what the checksum is of.
    pub checked: &'a [u8],
    crc: u32,
    at: u64,
}

/// How many bytes the chunk at the beginning of `bytes` takes in its segment, from its length on. `at` is its place.
///
/// # Errors
/// [`Corrupt`] when not even the length can be read.
pub fn frame_length(bytes: &[u8], at: u64) -> Result<u64, Corrupt> {
    let mut cursor = Cursor::new(PART, at, bytes);
    let length = cursor.uvarint()?;
    let around = (cursor.position() + 1 + CRC) as u64;
    Ok(length.saturating_add(around))
}

impl<'a> Frame<'a> {
    /// Reads the chunk at the beginning of `bytes`, which may be longer. `at` is its place in the segment. The checksum
    /// is not looked at: see [`Self::check`].
    ///
    /// # Errors
    /// [`Corrupt`]; its [`Corrupt::needs`] tells how many bytes the chunk has when `bytes` is too short.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, Corrupt> {
        let needs = frame_length(bytes, at)?;
        if needs > bytes.len() as u64 {
            return Err(Corrupt::new(PART, at, Flaw::Truncated { needs }));
        }
        let mut cursor = Cursor::new(PART, at, bytes);
        let length = cursor.length()?;
        let checked = cursor.bytes(length + 1)?;
        let crc = cursor.u32()?;
        Ok(Self {
            encoding: checked[0],
            data: &checked[1..],
            checked,
            crc,
            at,
        })
    }

    /// Compares the checksum: once for each chunk, when it enters a cache or an answer.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn check(&self) -> Result<(), Corrupt> {
        let computed = crc32c::crc32c(self.checked);
        if computed == self.crc {
            return Ok(());
        }
        let stored = self.crc;
        Err(Corrupt::new(
            PART,
            self.at,
            Flaw::Checksum { stored, computed },
        ))
    }

    /// The data as a slice of `of`, the buffer that it lies in.
    #[must_use]
    pub fn data_of(&self, of: &Bytes) -> Bytes {
        of.slice_ref(self.data)
    }
}

#[cfg(test)]
mod tests;
