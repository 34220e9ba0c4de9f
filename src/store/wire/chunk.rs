//! An encoded chunk with its aggregates.

use super::field;
use crate::chunks::{Chunked, Field, Samples};

/// The key of a chunk in a series.
pub(super) const CHUNK: u8 = 0x12;
const MIN_TIME: u8 = 0x08;
const MAX_TIME: u8 = 0x10;
const TYPE: u8 = 0x08;
const DATA: u8 = 0x12;
const HASH: u8 = 0x18;
/// In the order of their numbers.
const FIELDS: [Field; 6] = [
    Field::Raw,
    Field::Count,
    Field::Sum,
    Field::Min,
    Field::Max,
    Field::Counter,
];

/// A message `AggrChunk` in plain form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'b> {
    /// The whole field, key and length before the message.
    pub(crate) field: &'b [u8],
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    parts: &'b [u8],
}

impl<'b> Chunk<'b> {
    /// Cuts a chunk off the front of others.
    fn cut(chunks: &mut &'b [u8]) -> Option<Self> {
        let all = *chunks;
        let mut rest = field::bytes(chunks, CHUNK)??;
        let min_time = field::number(&mut rest, MIN_TIME)?.unwrap_or_default();
        let max_time = field::number(&mut rest, MAX_TIME)?.unwrap_or_default();
        Some(Self {
            field: &all[..all.len() - chunks.len()],
            min_time: min_time.cast_signed(),
            max_time: max_time.cast_signed(),
            parts: rest,
        })
    }

    /// Whether every part is one.
    fn is_plain(&self) -> bool {
        let mut rest = self.parts;
        let parts_are_plain = FIELDS.iter().all(|field| {
            let part = field::bytes(&mut rest, key(*field));
            part.is_some_and(|part| part.is_none_or(|part| samples(part).is_some()))
        });
        parts_are_plain && rest.is_empty()
    }

    /// Whether these are chunks, one after the other.
    pub(super) fn are(mut chunks: &[u8]) -> bool {
        while !chunks.is_empty() {
            if !Chunk::cut(&mut chunks).is_some_and(|chunk| chunk.is_plain()) {
                return false;
            }
        }
        true
    }

    /// The chunks of a series.
    pub(super) fn each(mut chunks: &'b [u8]) -> impl Iterator<Item = Self> + Clone {
        std::iter::from_fn(move || Self::cut(&mut chunks))
    }
}

/// All fields with parts have small numbers.
#[inline]
fn key(field: Field) -> u8 {
    (field as u8) << 3 | 2
}

#[inline]
fn samples(mut part: &[u8]) -> Option<Samples<'_>> {
    let encoding = field::number(&mut part, TYPE)?.unwrap_or_default();
    let data = field::bytes(&mut part, DATA)?.unwrap_or_default();
    let hash = field::number(&mut part, HASH)?.unwrap_or_default();
    // An encoding is 32 bits wide, whatever the varint says.
    let encoding = encoding as i32;
    part.is_empty().then_some(Samples {
        encoding,
        data,
        hash,
    })
}

impl Chunked for Chunk<'_> {
    fn times(&self) -> (i64, i64) {
        (self.min_time, self.max_time)
    }

    fn part(&self, field: Field) -> Option<Samples<'_>> {
        self.samples(field)
    }
}

impl<'b> Chunk<'b> {
    /// A part, if it is there.
    pub(crate) fn samples(&self, field: Field) -> Option<Samples<'b>> {
        let mut rest = self.parts;
        for each in FIELDS {
            let part = field::bytes(&mut rest, key(each))?;
            if each as u8 == field as u8 {
                return samples(part?);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use proto::thanos;

    use super::*;

    fn part() -> impl Strategy<Value = Option<thanos::Chunk>> {
        let data = prop::collection::vec(any::<u8>(), 0..200);
        let hash = prop_oneof![Just(0), any::<u64>()];
        let part = (prop_oneof![0i32..3, any::<i32>()], data, hash);
        prop::option::of(part.prop_map(|(r#type, data, hash)| thanos::Chunk {
            r#type,
            data: data.into(),
            hash,
        }))
    }

    fn chunk() -> impl Strategy<Value = thanos::AggrChunk> {
        let time = || prop_oneof![Just(0), any::<i64>()];
        let parts = (part(), part(), part(), part(), part(), part());
        (time(), time(), parts).prop_map(|(min_time, max_time, parts)| {
            let (raw, count, sum, min, max, counter) = parts;
            thanos::AggrChunk {
                min_time,
                max_time,
                raw,
                count,
                sum,
                min,
                max,
                counter,
            }
        })
    }

    proptest! {
        #[test]
        fn encoded_chunks_say_what_decoded_ones_say(chunks in prop::collection::vec(chunk(), 0..4)) {
            let labels = Vec::new();
            let encoded = thanos::Series { labels, chunks: chunks.clone() }.encode_to_vec();
            prop_assert!(Chunk::are(&encoded));
            let read: Vec<Chunk<'_>> = Chunk::each(&encoded).collect();
            prop_assert_eq!(read.len(), chunks.len());
            for (read, chunk) in read.iter().zip(&chunks) {
                prop_assert_eq!(read.times(), chunk.times());
                prop_assert!(read.field.ends_with(&chunk.encode_to_vec()));
                for field in FIELDS {
                    let told = |samples: Option<Samples<'_>>| samples.map(|s| (s.encoding, s.data.to_vec(), s.hash));
                    prop_assert_eq!(told(read.part(field)), told(chunk.part(field)));
                }
            }
        }

        #[test]
        fn hostile_bytes_are_not_chunks_and_nothing_worse(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if Chunk::are(&bytes) {
                prop_assert!(thanos::Series::decode(bytes.as_slice()).is_ok());
            }
        }
    }
}
