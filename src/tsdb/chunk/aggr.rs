//! Chunks of downsampled blocks: five chunks in one (Thanos `pkg/compact/downsample/aggr.go`). The encoding byte of the whole
//! is [`ENCODING`]; its data is, for each [`Aggregate`] in order:
//!
//! ```text
//! uvarint length of the data | u8 encoding | data         or a single 0, where the aggregate is absent
//! ```

use crate::corrupt::Corrupt;
use crate::cursor::{Cursor, put_uvarint};

/// The encoding byte of such a chunk in a segment.
pub const ENCODING: u8 = 0xff;
const PART: &str = "aggregate chunk";

/// What the samples of a window became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// How many samples.
    Count,
    Sum,
    Min,
    Max,
    /// The last value of a counter, resets added, and the very last value once more.
    Counter,
}

impl Aggregate {
    /// In the order of the format.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Counter];

    /// As Thanos prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Counter => "counter",
        }
    }
}

/// One of the five: its encoding byte, as a segment's, and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub encoding: u8,
    pub data: &'a [u8],
}

/// The five chunks of one, those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts<'a>([Option<Part<'a>>; 5]);

impl<'a> Parts<'a> {
    /// Splits the data of a chunk.
    ///
    /// # Errors
    /// [`Corrupt`], with the place in the data.
    pub fn split(data: &'a [u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new(PART, 0, data);
        let mut parts = Self::default();
        for part in &mut parts.0 {
            let length = cursor.length()?;
            if length == 0 {
                continue;
            }
            let encoding = cursor.byte()?;
            let data = cursor.bytes(length)?;
            *part = Some(Part { encoding, data });
        }
        if cursor.is_empty() {
            Ok(parts)
        } else {
            Err(cursor.invalid("bytes after the last aggregate"))
        }
    }

    /// Splits the data of a chunk, and gives one aggregate.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn find(data: &'a [u8], aggregate: Aggregate) -> Result<Option<Part<'a>>, Corrupt> {
        Ok(Self::split(data)?.get(aggregate))
    }

    /// The chunk of an aggregate.
    #[must_use]
    pub fn get(&self, aggregate: Aggregate) -> Option<Part<'a>> {
        self.0[aggregate as usize]
    }

    /// Puts the chunk of an aggregate in its place.
    pub fn set(&mut self, aggregate: Aggregate, part: Part<'a>) {
        self.0[aggregate as usize] = Some(part);
    }

    /// The data of the chunk.
    #[must_use]
    pub fn join(&self) -> Vec<u8> {
        let length = |part: &Option<Part<'_>>| part.map_or(1, |part| part.data.len() + 6);
        let mut out = Vec::with_capacity(self.0.iter().map(length).sum());
        for part in &self.0 {
            let data = part.map_or(&[] as &[u8], |part| part.data);
            put_uvarint(&mut out, data.len() as u64);
            if let Some(part) = part.filter(|part| !part.data.is_empty()) {
                out.push(part.encoding);
                out.extend_from_slice(data);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = [Option<(u8, Vec<u8>)>; 5];

    fn parts(owned: &Owned) -> Parts<'_> {
        let mut parts = Parts::default();
        for (aggregate, part) in Aggregate::ALL.into_iter().zip(owned) {
            if let Some((encoding, data)) = part {
                let encoding = *encoding;
                parts.set(aggregate, Part { encoding, data });
            }
        }
        parts
    }

    fn part() -> impl Strategy<Value = Option<(u8, Vec<u8>)>> {
        prop::option::of((1u8..=3, prop::collection::vec(any::<u8>(), 1..300)))
    }

    proptest! {
        #[test]
        fn what_is_joined_is_split(owned in prop::array::uniform5(part())) {
            let parts = parts(&owned);
            let data = parts.join();
            prop_assert_eq!(Parts::split(&data), Ok(parts));
            for len in 0..data.len() {
                prop_assert!(Parts::split(&data[..len]).is_err());
            }
        }

        #[test]
        fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Parts::split(&data);
        }
    }

    #[test]
    fn an_absent_aggregate_is_a_single_zero() {
        let mut parts = Parts::default();
        parts.set(
            Aggregate::Sum,
            Part {
                encoding: 3,
                data: b"xy",
            },
        );
        assert_eq!(parts.join(), [0, 2, 3, b'x', b'y', 0, 0, 0]);
        let found = Parts::find(&[0, 2, 3, b'x', b'y', 0, 0, 0], Aggregate::Min);
        assert_eq!(found, Ok(None));
        let lie = Parts::split(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]);
        assert!(lie.is_err());
    }
}
