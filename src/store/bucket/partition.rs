//! Few large reads instead of many small ones: wanted ranges that lie near each other are read together.

use std::ops::Range;

use bytes::Bytes;

/// Bytes between two wanted ranges that are rather read than skipped, over a network.
pub(crate) const MAX_GAP: u64 = 512 << 10;
/// The same in a folder, where a read costs as much as copying so many bytes.
pub(crate) const NEAR_GAP: u64 = 8 << 10;

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

    /// What `data` has from a place to its end.
    pub(crate) fn rest<'d>(&self, data: &'d [u8], at: u64) -> &'d [u8] {
        let place = usize::try_from(at.saturating_sub(self.bytes.start));
        place
            .ok()
            .and_then(|place| data.get(place..))
            .unwrap_or_default()
    }
}

/// Covers ranges that are sorted by their start; they may overlap. Gaps of up to `gap` bytes are read too.
pub(crate) fn partition(wanted: impl IntoIterator<Item = Range<u64>>, gap: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, range) in wanted.into_iter().enumerate() {
        match parts.last_mut() {
            Some(part) if range.start <= part.bytes.end.saturating_add(gap) => {
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

/// What is taken from the budget of bytes of a request for such ranges: what is read, and how often, where every read
/// is a request over a network, as Thanos counts.
pub(crate) fn counted(wanted: impl IntoIterator<Item = Range<u64>>) -> (u64, usize) {
    let (mut bytes, mut reads, mut end) = (0, 0, None::<u64>);
    for range in wanted {
        match end {
            Some(last) if range.start <= last.saturating_add(MAX_GAP) => {
                bytes += range.end.saturating_sub(last);
                end = Some(last.max(range.end));
            }
            _ => {
                reads += 1;
                bytes += range.end - range.start;
                end = Some(range.end);
            }
        }
    }
    (bytes, reads)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_ranges_are_read_together_and_far_ones_are_not() {
        let far = 100 + MAX_GAP + 1;
        let parts = partition(
            [
                0..10,
                5..100,
                far - 1..far,
                far + MAX_GAP + 1..far + MAX_GAP + 2,
            ],
            MAX_GAP,
        );
        let items: Vec<Range<usize>> = parts.iter().map(|part| part.items.clone()).collect();
        assert_eq!(items, [0..3, 3..4]);
        assert_eq!(parts[0].bytes, 0..far);
    }

    proptest! {
        #[test]
        fn every_range_lies_in_exactly_one_part(mut starts in prop::collection::vec((0u64..1 << 24, 1u64..100_000), 0..60)) {
            starts.sort_unstable();
            let ranges: Vec<Range<u64>> = starts.iter().map(|(at, len)| *at..at + len).collect();
            let parts = partition(ranges.clone(), MAX_GAP);
            let bytes = parts.iter().map(Part::len).sum();
            prop_assert_eq!(counted(ranges.clone()), (bytes, parts.len()));
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
