//! Chunks of one series that came from several stores: identical ones are kept once, and all are put in
//! the order that every querier of the protocol puts them in (deduplication depends on it).

use std::cmp::Ordering;
use std::collections::HashSet;

use proto::thanos::{AggrChunk, Chunk};
use xxhash_rust::xxh64::xxh64;

/// Removes chunks that were seen before and sorts the rest. Chunks that ascend already are left alone.
pub(crate) fn unite(chunks: &mut Vec<AggrChunk>) {
    if chunks
        .windows(2)
        .all(|pair| pair[0].min_time < pair[1].min_time)
    {
        return;
    }
    let mut seen = HashSet::with_capacity(chunks.len());
    chunks.retain(|chunk| is_new(chunk, &mut seen));
    chunks.sort_by(compare);
}

/// A chunk is new if one of its parts is; the first such part is remembered.
fn is_new(chunk: &AggrChunk, seen: &mut HashSet<u64>) -> bool {
    let parts = [
        &chunk.raw,
        &chunk.count,
        &chunk.max,
        &chunk.min,
        &chunk.sum,
        &chunk.counter,
    ];
    parts
        .into_iter()
        .flatten()
        .any(|part| seen.insert(hash(part)))
}

/// The hash that the sender computed, or ours.
fn hash(chunk: &Chunk) -> u64 {
    if chunk.hash == 0 {
        xxh64(&chunk.data, 0)
    } else {
        chunk.hash
    }
}

fn compare(a: &AggrChunk, b: &AggrChunk) -> Ordering {
    (a.min_time, a.max_time)
        .cmp(&(b.min_time, b.max_time))
        .then_with(|| compare_part(a.raw.as_ref(), b.raw.as_ref()))
        .then_with(|| compare_part(a.count.as_ref(), b.count.as_ref()))
        .then_with(|| compare_part(a.sum.as_ref(), b.sum.as_ref()))
        .then_with(|| compare_part(a.min.as_ref(), b.min.as_ref()))
        .then_with(|| compare_part(a.max.as_ref(), b.max.as_ref()))
        .then_with(|| compare_part(a.counter.as_ref(), b.counter.as_ref()))
}

/// A part that is there comes first, then the smaller encoding, then the *larger* bytes.
fn compare_part(a: Option<&Chunk>, b: Option<&Chunk>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(a), Some(b)) => a.r#type.cmp(&b.r#type).then_with(|| b.data.cmp(&a.data)),
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
