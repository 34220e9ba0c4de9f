//! A chunk on its way from blocks to a block.

use std::borrow::Cow;

use crate::chunk::{Encoding, aggr};
use crate::tombstone::Interval;

use super::error::MergeError;

/// A chunk: as it lies in a source, or made anew.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    pub(super) mint: i64,
    pub(super) maxt: i64,
    pub(super) encoding: u8,
    pub(super) data: Cow<'a, [u8]>,
    /// Length, encoding, data and checksum as they lie in a source, to be copied.
    pub(super) frame: Option<&'a [u8]>,
}

impl Piece<'_> {
    /// How many samples it has; of one with aggregates, windows.
    pub(super) fn samples(&self) -> Result<u64, MergeError> {
        let data = if self.encoding == aggr::ENCODING {
            let count = aggr::Parts::find(&self.data, aggr::Aggregate::Count)?;
            count.map_or(&[][..], |part| part.data)
        } else {
            &self.data
        };
        let count = data.first_chunk().map(|count| u16::from_be_bytes(*count));
        Ok(count.map_or(0, u64::from))
    }

    /// Whether times and data are the same.
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        (self.mint, self.maxt) == (other.mint, other.maxt) && self.data == other.data
    }

    pub(super) fn encoding(&self) -> Result<Encoding, MergeError> {
        Ok(Encoding::from_byte(self.encoding)?)
    }
}

/// Whether one of the stretches covers all of `mint` to `maxt`.
pub(super) fn is_covered(mint: i64, maxt: i64, deleted: &[Interval]) -> bool {
    let covers = |interval: &Interval| interval.mint <= mint && maxt <= interval.maxt;
    deleted.iter().any(covers)
}
