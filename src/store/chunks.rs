//! Chunks of one series that came from several stores: identical ones are kept once, and all are put in
//! the order that every querier of the protocol puts them in (deduplication depends on it).

use std::cmp::Ordering;

use hashbrown::HashSet;
use proto::thanos::{AggrChunk, Chunk};
use smallvec::SmallVec;
use xxhash_rust::xxh64::xxh64;

/// What a part of a chunk is: the field of `AggrChunk` that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Raw = 3,
    Count = 4,
    Sum = 5,
    Min = 6,
    Max = 7,
    Counter = 8,
}

/// Samples or an aggregate of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    pub(crate) encoding: i32,
    pub(crate) data: &'a [u8],
    /// 0 when it was not computed.
    pub(crate) hash: u64,
}

/// What is a chunk, in whatever form.
pub(crate) trait Chunked {
    /// The first and the last time.
    fn times(&self) -> (i64, i64);
    fn part(&self, field: Field) -> Option<Samples<'_>>;
}

impl Chunked for AggrChunk {
    fn times(&self) -> (i64, i64) {
        (self.min_time, self.max_time)
    }

    fn part(&self, field: Field) -> Option<Samples<'_>> {
        let part = match field {
            Field::Raw => &self.raw,
            Field::Count => &self.count,
            Field::Sum => &self.sum,
            Field::Min => &self.min,
            Field::Max => &self.max,
            Field::Counter => &self.counter,
        };
        part.as_ref().map(Samples::of)
    }
}

impl<'a> Samples<'a> {
    fn of(part: &'a Chunk) -> Self {
        Self {
            encoding: part.r#type,
            data: &part.data,
            hash: part.hash,
        }
    }
}

/// Whether chunks ascend, so that there is nothing to unite.
pub(crate) fn ascend<C: Chunked>(mut chunks: impl Iterator<Item = C>) -> bool {
    let Some(first) = chunks.next() else {
        return true;
    };
    let mut last = first.times().0;
    chunks.all(|chunk| {
        let before = std::mem::replace(&mut last, chunk.times().0);
        before < last
    })
}

/// Removes chunks that were seen before and sorts the rest. Chunks that ascend already are left alone.
pub(crate) fn unite<C: Chunked>(chunks: &mut Vec<C>) {
    if ascend(chunks.iter()) {
        return;
    }
    let mut seen = Seen::default();
    chunks.retain(|chunk| is_new(chunk, &mut seen));
    chunks.sort_by(compare);
}

/// Hashes that came before. Of a few, looking at all is faster than a table.
#[derive(Default)]
struct Seen {
    few: SmallVec<[u64; Self::FEW]>,
    many: HashSet<u64>,
}

impl Seen {
    const FEW: usize = 16;

    /// Whether the hash is new.
    fn insert(&mut self, hash: u64) -> bool {
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(hash);
            return true;
        }
        self.many.insert(hash)
    }
}

/// A chunk is new if one of its parts is; the first such part is remembered.
fn is_new(chunk: &impl Chunked, seen: &mut Seen) -> bool {
    use Field::{Count, Counter, Max, Min, Raw, Sum};
    let parts = [Raw, Count, Max, Min, Sum, Counter].into_iter();
    parts
        .filter_map(|field| chunk.part(field))
        .any(|part| seen.insert(hash(&part)))
}

/// The hash that the sender computed, or ours.
fn hash(part: &Samples<'_>) -> u64 {
    if part.hash == 0 {
        xxh64(part.data, 0)
    } else {
        part.hash
    }
}

fn compare<C: Chunked>(a: &C, b: &C) -> Ordering {
    use Field::{Count, Counter, Max, Min, Raw, Sum};
    let parts = [Raw, Count, Sum, Min, Max, Counter].into_iter();
    parts.fold(a.times().cmp(&b.times()), |order, field| {
        order.then_with(|| compare_part(a.part(field), b.part(field)))
    })
}

impl<C: Chunked> Chunked for &C {
    fn times(&self) -> (i64, i64) {
        (**self).times()
    }

    fn part(&self, field: Field) -> Option<Samples<'_>> {
        (**self).part(field)
    }
}

/// A part that is there comes first, then the smaller encoding, then the *larger* bytes.
fn compare_part(a: Option<Samples<'_>>, b: Option<Samples<'_>>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(a), Some(b)) => {
            let encodings = a.encoding.cmp(&b.encoding);
            encodings.then_with(|| b.data.cmp(a.data))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(min_time: i64, max_time: i64, data: &'static [u8]) -> AggrChunk {
        let raw = Chunk {
            r#type: 0,
            data: data.into(),
            hash: 0,
        };
        AggrChunk {
            min_time,
            max_time,
            raw: Some(raw),
            ..AggrChunk::default()
        }
    }

    #[test]
    fn identical_chunks_are_kept_once() {
        let mut chunks = vec![raw(0, 9, b"x"), raw(0, 9, b"x"), raw(10, 19, b"y")];
        unite(&mut chunks);
        assert_eq!(chunks, [raw(0, 9, b"x"), raw(10, 19, b"y")]);
    }

    #[test]
    fn a_hash_that_was_sent_counts_as_the_chunk() {
        let mut hashed = raw(0, 9, b"x");
        hashed.raw.as_mut().expect("raw").hash = xxh64(b"x", 0);
        let mut chunks = vec![raw(0, 9, b"x"), hashed];
        unite(&mut chunks);
        assert_eq!(chunks.len(), 1);
    }

    #[test]
    fn ties_in_time_put_the_larger_bytes_first() {
        let mut chunks = vec![
            raw(5, 9, b"a"),
            raw(0, 9, b"a1"),
            raw(0, 9, b"b"),
            raw(0, 5, b"z"),
        ];
        unite(&mut chunks);
        assert_eq!(
            chunks,
            [
                raw(0, 5, b"z"),
                raw(0, 9, b"b"),
                raw(0, 9, b"a1"),
                raw(5, 9, b"a")
            ]
        );
    }
}
