//! Bytes on Prometheus's disk, and back. Synchronous, every read bounds-checked: damage is an error that says what and where
//! ([`Corrupt`]), never a panic, and takes no more memory than the input has.
//!
//! * A block that lies on disk is a [`block::Block`], several are [`block::Blocks`]: sources of series.
//! * A block that lies in a bucket is fetched piece by piece. [`header::IndexHeader`] knows where postings and symbols are,
//!   [`postings::Plan`] which of them a selection needs; [`postings::Postings`], [`index::SeriesEntry`] and [`segment::Frame`]
//!   read what was fetched, and say how much more is needed where a guess was short ([`Corrupt::needs`]).

pub mod block;
pub mod chunk;
pub mod compact;
mod corrupt;
mod cursor;
mod durable;
pub mod header;
pub mod index;
pub mod meta;
pub mod postings;
pub mod range;
pub mod segment;
pub mod tombstone;

pub use corrupt::{Corrupt, Flaw};
pub use ulid::Ulid;
