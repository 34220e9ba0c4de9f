//! The index header: what of a block's index is kept at hand, so that all the rest can be fetched by its place. Thanos's
//! binary format (`pkg/block/indexheader`), byte for byte, all numbers big endian:
//!
//! ```text
//! u32 magic 0xBAAAD792, u8 version 1, u8 version of the index
//! u64 where the postings offset table begins in the index: the last postings end there at the latest
//! symbols                 the index's, with length and crc
//! postings offset table   the index's, and all that follows it there: the index's own table of contents
//! u64 where the symbols, u64 where the postings offset table begin in this file, u32 crc of both
//! ```
//!
//! It is built from an index by range reads ([`Build`], [`build`]), written under another name and renamed, and read in
//! place: from a map of the file, or from bytes. At hand are the places of every 32nd symbol and of every 32nd value of each
//! label; what lies between is found by walking.

mod build;
mod map;
mod offsets;
pub(crate) mod symbols;

use std::ops::Range;

use bytes::Bytes;

use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::{CRC, Cursor};
use crate::index::{Toc, Version};

pub use build::{Build, HeaderError, IndexPieces, build, write};
pub use offsets::LabelValues;

pub(crate) use map::map;
use offsets::Offsets;
use symbols::SymbolTable;

/// The first bytes of an index header.
pub const MAGIC: u32 = 0xBAAA_D792;
/// The version of the format.
const FORMAT: u8 = 1;
/// Up to the symbols.
const HEAD: usize = 4 + 1 + 1 + 8;
/// The table of contents.
const TAIL: usize = 8 + 8 + CRC;
/// One place of so many is kept in memory.
const SAMPLING: usize = 32;

/// The symbols and the postings offset table of an index.
#[derive(Debug)]
pub struct IndexHeader {
    version: Version,
    toc: Toc,
    symbols: SymbolTable,
    offsets: Offsets,
}

impl IndexHeader {
    /// Reads a header that lies in memory, or in a map. All checksums and the order of names and values are checked.
    ///
    /// # Errors
    /// [`Corrupt`], with the place in the header.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Head::parse(bytes)?;
        let own = OwnToc::parse(bytes)?;
        let end = bytes.len() - TAIL;
        let index_toc = end as u64 - Toc::LEN;
        let toc = Toc::parse(
            &bytes[index_toc as usize..end],
            // The table of contents of an index is checked against where it lay.
            head.postings_end
                .saturating_add(end as u64 - own.offsets as u64),
        )
        .map_err(|error| Corrupt {
            at: index_toc,
            ..error
        })?;
        if toc.postings_offset_table != head.postings_end {
            return Err(Corrupt::invalid(
                "index header",
                6,
                "disagrees with the table of contents",
            ));
        }
        let symbols = bytes.slice(own.symbols..own.offsets);
        let table = bytes.slice(own.offsets..index_toc as usize);
        Ok(Self {
            version: head.version,
            toc,
            symbols: SymbolTable::load(head.version, toc.symbols, own.symbols as u64, symbols)?,
            offsets: Offsets::load(head.version, own.offsets as u64, table, head.postings_end)?,
        })
    }

    /// The version of the index.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The index's table of contents.
    #[must_use]
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Where in the index the series of a reference begins.
    #[must_use]
    pub fn series_offset(&self, series: u32) -> u64 {
        self.version.series_offset(series)
    }

    /// The text of a symbol of a series.
    ///
    /// # Errors
    /// [`Corrupt`] for a symbol that is not there, or no text.
    pub fn symbol(&self, symbol: u32) -> Result<&str, Corrupt> {
        self.symbols.get(symbol)
    }

    /// All symbols, in their order.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str, Corrupt>> {
        self.symbols.iter()
    }

    /// The names of all labels, in order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.offsets.names().filter(|name| !name.is_empty())
    }

    /// The values of a label, each with the bytes of its postings in the index; in order. Empty for an unknown label.
    #[must_use]
    pub fn label_values(&self, name: &str) -> LabelValues<'_> {
        self.offsets.values(name)
    }

    /// The bytes of the postings of `name="value"` in the index, for [`crate::postings::Postings::parse`]; `None` if no
    /// series has it. The last bytes may belong to no postings.
    ///
    /// # Errors
    /// [`Corrupt`] for a table that lies.
    pub fn postings(&self, name: &str, value: &str) -> Result<Option<Range<u64>>, Corrupt> {
        self.offsets.find(name, value)
    }

    /// The bytes of the postings of all series.
    ///
    /// # Errors
    /// [`Corrupt`] for a table that lies.
    pub fn all_postings(&self) -> Result<Option<Range<u64>>, Corrupt> {
        self.offsets.find("", "")
    }

    /// Bytes on the heap, beside the map or the bytes of the header.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.symbols.heap_bytes() + self.offsets.heap_bytes()
    }
}

struct Head {
    version: Version,
    postings_end: u64,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new("index header", 0, bytes);
        let magic = cursor.u32()?;
        if magic != MAGIC {
            return Err(Corrupt::new("index header", 0, Flaw::Magic(magic)));
        }
        let format = cursor.byte()?;
        if format != FORMAT {
            return Err(Corrupt::new("index header", 4, Flaw::Version(format)));
        }
        let version = cursor.byte()?;
        Ok(Self {
            version: Version::from_byte(version)
                .ok_or_else(|| Corrupt::new("index header", 5, Flaw::Version(version)))?,
            postings_end: cursor.u64()?,
        })
    }
}

/// The header's own table of contents; its parts lie inside of the header, in order.
struct OwnToc {
    symbols: usize,
    offsets: usize,
}

impl OwnToc {
    fn parse(bytes: &[u8]) -> Result<Self, Corrupt> {
        let part = "index header's table of contents";
        let least = HEAD + Toc::LEN as usize + TAIL;
        let Some(at) = bytes
            .len()
            .checked_sub(TAIL)
            .filter(|_| bytes.len() >= least)
        else {
            let needs = least as u64;
            return Err(Corrupt::new("index header", 0, Flaw::Truncated { needs }));
        };
        let mut cursor = Cursor::new(part, at as u64, &bytes[at..]);
        let content = cursor.clone().bytes(8 + 8)?;
        let (symbols, offsets) = (cursor.u64()?, cursor.u64()?);
        cursor.check_crc(content)?;
        let index_toc = at as u64 - Toc::LEN;
        if (HEAD as u64..=offsets).contains(&symbols) && offsets <= index_toc {
            Ok(Self {
                symbols: symbols as usize,
                offsets: offsets as usize,
            })
        } else {
            Err(cursor.invalid("parts are not in their order, or outside of the file"))
        }
    }
}

#[cfg(test)]
mod tests;
