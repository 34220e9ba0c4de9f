//! Few large reads instead of many small ones: wanted ranges that lie near each other are read together.

use std::ops::Range;

use bytes::Bytes;

/// Bytes between two wanted ranges that are rather read than skipped.
pub(crate) const MAX_GAP: u64 = 512 << 10;

/// One read, and which of the wanted ranges it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) bytes: Range<u64>,
    pub(crate) items: Range<usize>,
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    /// What `data`, which was read for this part, has of `range`: less when the object ended early.
    pub(crate) fn slice(&self, data: &Bytes, range: &Range<u64>) -> Bytes {
        let place = |at: u64| {
            let from_start = at.saturating_sub(self.bytes.start);
            usize::try_from(from_start).map_or(data.len(), |place| place.min(data.len()))
        };
        let (start, end) = (place(range.start), place(range.end));
        data.slice(start..end.max(start))
    }

    /// [`Self::slice`] from a place to the end.
    pub(crate) fn rest(&self, data: &Bytes, at: u64) -> Bytes {
        self.slice(data, &(at..u64::MAX))
    }
}

/// Covers ranges that are sorted by their start; they may overlap.
pub(crate) fn partition(wanted: impl IntoIterator<Item = Range<u64>>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, range) in wanted.into_iter().enumerate() {
        match parts.last_mut() {
            Some(part) if range.start <= part.bytes.end.saturating_add(MAX_GAP) => {
                part.bytes.end = part.bytes.end.max(range.end);
                part.items.end = at + 1;
            }
            _ => parts.push(Part {
                bytes: range,
                items: at..at + 1,
            }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_ranges_are_read_together_and_far_ones_are_not() {
        let far = 100 + MAX_GAP + 1;
        let parts = partition([
            0..10,
            5..100,
            far - 1..far,
            far + MAX_GAP + 1..far + MAX_GAP + 2,
        ]);
        let items: Vec<Range<usize>> = parts.iter().map(|part| part.items.clone()).collect();
        assert_eq!(items, [0..3, 3..4]);
        assert_eq!(parts[0].bytes, 0..far);
    }

    proptest! {
        #[test]
        fn every_range_lies_in_exactly_one_part(mut starts in prop::collection::vec((0u64..1 << 24, 1u64..100_000), 0..60)) {
            starts.sort_unstable();
            let ranges: Vec<Range<u64>> = starts.iter().map(|(at, len)| *at..at + len).collect();
            let parts = partition(ranges.clone());
            let mut next = 0;
            for part in &parts {
                prop_assert_eq!(part.items.start, next);
                next = part.items.end;
                for range in &ranges[part.items.clone()] {
                    prop_assert!(part.bytes.start <= range.start && range.end <= part.bytes.end);
                }
            }
            prop_assert_eq!(next, ranges.len());
            prop_assert!(parts.windows(2).all(|pair| pair[0].bytes.end + MAX_GAP < pair[1].bytes.start));
        }
    }
}
