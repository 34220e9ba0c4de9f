//! The index of a block (Prometheus `tsdb/docs/format/index.md`), versions 1 and 2.
//!
//! ```text
//! u32 magic 0xBAAAD700, u8 version
//! symbols                 u32 length | u32 count, count × (uvarint length, text) | u32 crc
//! series                  each at a multiple of 16 (version 2): uvarint length | content | u32 crc    [`series`]
//! label indices           written by old versions, read by none
//! postings                each at a multiple of 4: u32 length | u32 count, count × u32 | u32 crc      [`crate::postings`]
//! label offset table      written by old versions, read by none
//! postings offset table   u32 length | u32 count, count × (2, name, value, uvarint offset) | u32 crc
//! table of contents       6 × u64 where the parts begin, u32 crc                                      [`Toc`]
//! ```
//!
//! A series is known by its *reference*: its place in the file, divided by 16 in version 2. Symbols are referred to by their
//! ordinal in version 2, by their place in the file in version 1. The postings of the empty name and value are all series.
//!
//! Reading needs the symbols and the postings offset table at hand: [`crate::header::IndexHeader`] holds them. The rest
//! is fetched piece by piece.

mod log;
mod series;
mod toc;
mod writer;

pub use series::{ChunkMeta, ChunkRef, SeriesEntry, entry_length};
pub use toc::{Toc, Version};
pub use writer::{IndexError, IndexWriter, Series, SymbolicWriter, Written};

/// The first bytes of an index.
pub const MAGIC: u32 = 0xBAAA_D700;
/// Magic number and version.
pub const HEAD: u64 = 5;
/// Where series begin, in version 2.
pub(crate) const SERIES_ALIGN: u64 = 16;
