//! Brings the buckets of a chunk and of the next sample into one layout. A bucket that only the sample has goes into
//! the chunk, which is written anew; one that only the chunk has goes into the sample, empty.

use std::sync::Arc;

use model::Span;

/// One side's layout for both.
#[derive(Debug)]
pub(super) struct Expansion {
    /// Whether the sample has buckets that the chunk has not.
    pub(super) chunk_grows: bool,
    /// Whether the chunk has buckets that the sample has not.
    pub(super) sample_grows: bool,
    /// The buckets of both, adjacent ones in one span.
    pub(super) merged: Arc<[Span]>,
    /// For each bucket of both: its place in the chunk's buckets and in the sample's.
    places: Vec<(Option<usize>, Option<usize>)>,
}

impl Expansion {
    pub(super) fn new(chunk: &[Span], sample: &[Span]) -> Self {
        let mut chunk = indices(chunk).enumerate().peekable();
        let mut sample = indices(sample).enumerate().peekable();
        let (mut merged, mut places) = (Spans::default(), Vec::new());
        loop {
            let index = match (chunk.peek(), sample.peek()) {
                (Some((_, a)), Some((_, b))) => *a.min(b),
                (Some((_, one)), None) | (None, Some((_, one))) => *one,
                (None, None) => break,
            };
            let in_chunk = chunk.next_if(|(_, at)| *at == index);
            let in_sample = sample.next_if(|(_, at)| *at == index);
            merged.push(index);
            places.push((in_chunk.map(|(p, _)| p), in_sample.map(|(p, _)| p)));
        }
        Self {
            chunk_grows: places.iter().any(|(chunk, _)| chunk.is_none()),
            sample_grows: places.iter().any(|(_, sample)| sample.is_none()),
            merged: merged.spans.into(),
            places,
        }
    }

    /// Whether a count is smaller in the sample than in the chunk, or missing.
    pub(super) fn falls<T: Copy + PartialOrd + Default>(&self, chunk: &[T], sample: &[T]) -> bool {
        let nothing = T::default();
        let at = |counts: &[T], place: Option<usize>| {
            place.map(|place| counts.get(place).copied().unwrap_or_default())
        };
        self.places.iter().any(|(in_chunk, in_sample)| {
            match (at(chunk, *in_chunk), at(sample, *in_sample)) {
                (Some(before), Some(now)) => before > now,
                (Some(before), None) => before != nothing,
                (None, _) => false,
            }
        })
    }

    /// The chunk's counts in the layout of both.
    pub(super) fn of_chunk<T: Copy + Default>(&self, counts: &[T]) -> Vec<T> {
        Self::place(counts, self.places.iter().map(|(chunk, _)| *chunk))
    }

    /// The sample's counts in the layout of both.
    pub(super) fn of_sample<T: Copy + Default>(&self, counts: &[T]) -> Vec<T> {
        Self::place(counts, self.places.iter().map(|(_, sample)| *sample))
    }

    fn place<T: Copy + Default>(
        counts: &[T],
        places: impl Iterator<Item = Option<usize>>,
    ) -> Vec<T> {
        let at = |place: Option<usize>| place.and_then(|place| counts.get(place).copied());
        places.map(|place| at(place).unwrap_or_default()).collect()
    }
}

/// The indices of the buckets that spans describe.
fn indices(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut end = 0i64;
    spans.iter().flat_map(move |span| {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        start..end
    })
}

/// Spans being put together from ascending indices.
#[derive(Default)]
struct Spans {
    spans: Vec<Span>,
    end: i64,
}

impl Spans {
    fn push(&mut self, index: i64) {
        let offset = index - self.end;
        self.end = index + 1;
        match self.spans.last_mut() {
            Some(span) if offset == 0 => span.length += 1,
            _ => self.spans.push(Span {
                offset: offset as i32,
                length: 1,
            }),
        }
    }
}
