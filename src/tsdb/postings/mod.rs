//! Postings: which series have a label. A list in the index is `u32 length | u32 count, count × u32 | u32 crc`, the
//! references ascending, all numbers big endian. Lists are combined where they lie ([`Refs`]); which lists a selection
//! needs is a [`Plan`].

mod list;
mod plan;
mod sets;

pub use list::Postings;
pub use plan::Plan;
pub use sets::{Refs, collect, intersect, union, without};
