//! One list, in the bytes that were read.

use bytes::Bytes;

use crate::corrupt::Corrupt;
use crate::cursor::{Cursor, section};

use super::Refs;

const PART: &str = "postings";
const WIDTH: usize = 4;

/// The references of all series that have one label. Cloning shares the bytes.
#[derive(Clone, Debug, Default)]
pub struct Postings {
    refs: Bytes,
}

impl Postings {
    /// Reads the list at the beginning of `frame`, which may be longer; checks its checksum and order. `at` is its
    /// place in the index.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn parse(frame: &Bytes, at: u64) -> Result<Self, Corrupt> {
        let content = section(PART, at, frame)?;
        let mut cursor = Cursor::new(PART, at, content);
        let count = cursor.u32()? as usize;
        if cursor.remaining() != count * WIDTH {
            return Err(cursor.invalid("count and length disagree"));
        }
        let list = Self {
            refs: frame.slice_ref(cursor.bytes(count * WIDTH)?),
        };
        if list.iter().is_sorted_by(|a, b| a < b) {
            Ok(list)
        } else {
            Err(cursor.invalid("references do not ascend"))
        }
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.refs.len() / WIDTH
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// The references, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        let (words, _) = self.refs.as_chunks::<WIDTH>();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// The references as a set.
    #[must_use]
    pub fn refs(&self) -> impl Refs + '_ {
        let (words, _) = self.refs.as_chunks::<WIDTH>();
        ListRefs { words }
    }

    /// The list as it is written, with length and checksum.
    pub fn encode(refs: impl ExactSizeIterator<Item = u32>, out: &mut Vec<u8>) {
        let (count, length) = (refs.len() as u32, (WIDTH + refs.len() * WIDTH) as u32);
        out.extend_from_slice(&length.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&count.to_be_bytes());
        for series in refs {
            out.extend_from_slice(&series.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }
}

struct ListRefs<'a> {
    words: &'a [[u8; WIDTH]],
}

impl Refs for ListRefs<'_> {
    fn current(&self) -> Option<u32> {
        self.words.first().map(|word| u32::from_be_bytes(*word))
    }

    fn advance(&mut self) {
        self.words = self.words.get(1..).unwrap_or_default();
    }

    fn seek(&mut self, target: u32) {
        // Steps that double, then halving: near targets, as in dense sets, cost little.
        let before = |word: &[u8; WIDTH]| u32::from_be_bytes(*word) < target;
        let mut step = 1;
        while self.words.get(step).is_some_and(before) {
            step *= 2;
        }
        let window = self.words.len().min(step + 1);
        let skip = self.words[..window].partition_point(before);
        self.words = &self.words[skip..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(refs: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        Postings::encode(refs.iter().copied(), &mut out);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for refs in [vec![], vec![7], (0..1000).map(|n| n * 3).collect()] {
            let mut bytes = frame(&refs);
            bytes.extend_from_slice(b"padding");
            let list = Postings::parse(&bytes.into(), 0).expect("a list");
            assert_eq!(list.iter().collect::<Vec<_>>(), refs);
            assert_eq!((list.len(), list.is_empty()), (refs.len(), refs.is_empty()));
        }
    }

    #[test]
    fn damage_is_seen() {
        let good = frame(&[1, 2, 3]);
        for len in 0..good.len() {
            assert!(Postings::parse(&good[..len].to_vec().into(), 0).is_err());
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Postings::parse(&bad.into(), 0).is_err(), "bit {bit}");
        }
        let error = Postings::parse(&frame(&[1, 3, 3]).into(), 64).expect_err("twice the same");
        assert_eq!(
            error.to_string(),
            "postings at byte 64: references do not ascend"
        );
    }

    #[test]
    fn seeking_lands_on_the_first_that_is_not_smaller() {
        let refs: Vec<u32> = (0..500).map(|n| n * 10).collect();
        let list = Postings::parse(&frame(&refs).into(), 0).expect("a list");
        for start in [0, 1, 17, 499] {
            for target in [0, 5, 10, 171, 4989, 4990, 4991, u32::MAX] {
                let mut set = list.refs();
                (0..start).for_each(|_| set.advance());
                set.seek(target);
                let wanted = refs[start..].iter().copied().find(|r| *r >= target);
                assert_eq!(set.current(), wanted, "{start} {target}");
            }
        }
    }
}
