//! The head and the table of contents.

use std::ops::Range;

use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::{CRC, Cursor};

use super::{HEAD, MAGIC, SERIES_ALIGN};

/// Versions of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// Reads the first [`HEAD`] bytes of an index.
    ///
    /// # Errors
    /// [`Corrupt`] for another magic number or version.
    pub fn parse(head: &[u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new("index", 0, head);
        let magic = cursor.u32()?;
        if magic != MAGIC {
            return Err(Corrupt::new("index", 0, Flaw::Magic(magic)));
        }
        Self::from_byte(cursor.byte()?)
            .ok_or_else(|| Corrupt::new("index", 4, Flaw::Version(head[4])))
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    pub(crate) fn as_byte(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Where the series of a reference begins in its index.
    #[must_use]
    pub fn series_offset(self, series: u32) -> u64 {
        match self {
            Self::V1 => u64::from(series),
            Self::V2 => u64::from(series) * SERIES_ALIGN,
        }
    }
}

/// Where the parts of an index begin. The parts are in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc {
    pub symbols: u64,
    pub series: u64,
    pub label_indices: u64,
    pub label_offset_table: u64,
    pub postings: u64,
    pub postings_offset_table: u64,
}

impl Toc {
    /// The length of the table of contents, at the end of the index.
    pub const LEN: u64 = 6 * 8 + CRC as u64;

    /// Reads the last [`Self::LEN`] bytes of an index of `size` bytes.
    ///
    /// # Errors
    /// [`Corrupt`] for a wrong checksum, or places that cannot be.
    pub fn parse(tail: &[u8], size: u64) -> Result<Self, Corrupt> {
        let at = size.saturating_sub(Self::LEN);
        let mut cursor = Cursor::new("table of contents", at, tail);
        let content = cursor.clone().bytes(6 * 8)?;
        let toc = Self {
            symbols: cursor.u64()?,
            series: cursor.u64()?,
            label_indices: cursor.u64()?,
            label_offset_table: cursor.u64()?,
            postings: cursor.u64()?,
            postings_offset_table: cursor.u64()?,
        };
        cursor.check_crc(content)?;
        let ascending = HEAD <= toc.symbols
            && toc.symbols <= toc.series
            && toc.series <= toc.postings_offset_table
            && toc.postings_offset_table <= at;
        if ascending {
            Ok(toc)
        } else {
            Err(cursor.invalid("parts are not in their order, or outside of the file"))
        }
    }

    /// The table as it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN as usize);
        for place in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offset_table,
            self.postings,
            self.postings_offset_table,
        ] {
            out.extend_from_slice(&place.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// The bytes of the symbols.
    #[must_use]
    pub fn symbols_range(&self) -> Range<u64> {
        self.symbols..self.series
    }

    /// The bytes from the postings offset table to the end of an index of `size` bytes: what an index header keeps.
    #[must_use]
    pub fn tail_range(&self, size: u64) -> Range<u64> {
        self.postings_offset_table..size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOC: Toc = Toc {
        symbols: 5,
        series: 100,
        label_indices: 200,
        label_offset_table: 300,
        postings: 200,
        postings_offset_table: 300,
    };

    #[test]
    fn what_is_written_is_read_and_every_flipped_bit_is_seen() {
        let bytes = TOC.encode();
        let size = 400 + Toc::LEN;
        assert_eq!(Toc::parse(&bytes, size), Ok(TOC));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Toc::parse(&bad, size).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Toc::parse(&bytes[..len], size).is_err(), "{len}");
        }
    }

    #[test]
    fn places_outside_of_the_file_are_refused() {
        let bytes = TOC.encode();
        let error = Toc::parse(&bytes, 299 + Toc::LEN).expect_err("too small");
        assert!(
            error
                .to_string()
                .starts_with("table of contents at byte 299")
        );
        let swapped = Toc { series: 4, ..TOC };
        assert!(Toc::parse(&swapped.encode(), 400 + Toc::LEN).is_err());
    }

    #[test]
    fn the_head_tells_the_version() {
        assert_eq!(Version::parse(&[0xBA, 0xAA, 0xD7, 0, 2]), Ok(Version::V2));
        let error = Version::parse(&[0xBA, 0xAA, 0xD7, 0, 9]).expect_err("a version to come");
        assert_eq!(error.to_string(), "index at byte 4: version 9 is unknown");
        assert!(Version::parse(b"{\"a\":").is_err());
        assert!(Version::parse(&[]).is_err());
    }
}
