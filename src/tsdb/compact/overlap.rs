//! Chunks of one series from several blocks as one sequence of chunks. What overlaps is decoded, merged and encoded again;
//! everything else passes as it is (Prometheus `storage/merge.go`, Thanos `pkg/dedup/chunk_iter.go`).

use std::vec;

use super::encode::{Decoded, Encoder, Values};
use super::error::MergeError;
use super::heap::Heap;
use super::penalty;
use super::piece::Piece;

/// How samples of chunks that overlap become those of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// All samples, those at the same time once: for replicas that have the very same samples.
    #[default]
    OneToOne,
    /// One replica is followed while it has samples, another one fills its gaps: for replicas that scrape on their own.
    Penalty,
}

/// Chunks of one source, one by one.
struct Source<'a> {
    current: Piece<'a>,
    rest: vec::IntoIter<Piece<'a>>,
}

impl<'a> Source<'a> {
    fn new(chunks: Vec<Piece<'a>>) -> Option<Self> {
        let mut rest = chunks.into_iter();
        let current = rest.next()?;
        Some(Self { current, rest })
    }

    fn before(a: &Self, b: &Self) -> bool {
        (a.current.mint, a.current.maxt) < (b.current.mint, b.current.maxt)
    }
}

/// The chunks of one series in several sources as one sequence.
pub(super) fn merge<'a>(
    merge: Merge,
    sources: Vec<Vec<Piece<'a>>>,
) -> Result<Vec<Piece<'a>>, MergeError> {
    let sources = match concatenated(sources) {
        Ok(chunks) => return Ok(chunks),
        Err(sources) => sources,
    };
    let mut out = Vec::with_capacity(sources.iter().map(Vec::len).sum());
    let mut heap = Heap::default();
    let push = |heap: &mut Heap<Source<'a>>, source: Option<Source<'a>>| {
        if let Some(source) = source {
            heap.push(source, Source::before);
        }
    };
    for chunks in sources {
        push(&mut heap, Source::new(chunks));
    }
    // Takes the first chunk, and puts what is left of its source back.
    let pop = |heap: &mut Heap<Source<'a>>| {
        let Source { current, mut rest } = heap.pop(Source::before)?;
        let next = rest.next().map(|current| Source { current, rest });
        push(heap, next);
        Some(current)
    };
    while let Some(base) = pop(&mut heap) {
        let (mut overlapping, mut end) = (Vec::new(), base.maxt);
        while heap.peek().is_some_and(|next| next.current.mint <= end) {
            let Some(next) = pop(&mut heap) else { break };
            let twin = overlapping.last().unwrap_or(&base).is_twin_of(&next);
            if !twin {
                end = end.max(next.maxt);
                overlapping.push(next);
            }
        }
        if overlapping.is_empty() {
            out.push(base);
            continue;
        }
        let mut merged = match merge {
            Merge::OneToOne => one_to_one(base, overlapping)?,
            Merge::Penalty => by_penalty(base, &overlapping)?,
        };
        // The rest may overlap what comes.
        let rest = merged.split_off(merged.len().min(1));
        push(&mut heap, Source::new(rest));
        out.append(&mut merged);
    }
    Ok(out)
}

/// The chunks of all sources behind each other, if none overlap: the rule where blocks follow each other.
fn concatenated<'a>(
    mut sources: Vec<Vec<Piece<'a>>>,
) -> Result<Vec<Piece<'a>>, Vec<Vec<Piece<'a>>>> {
    let apart = |chunks: &[Piece<'_>]| chunks.windows(2).all(|pair| pair[0].maxt < pair[1].mint);
    if !sources.iter().all(|chunks| apart(chunks)) {
        return Err(sources);
    }
    let span = |chunks: &Vec<Piece<'_>>| {
        let (first, last) = (chunks.first()?, chunks.last()?);
        Some((first.mint, last.maxt))
    };
    let mut order: Vec<_> = sources.iter().filter_map(span).zip(0usize..).collect();
    if order.len() < sources.len() {
        sources.retain(|chunks| !chunks.is_empty());
        return concatenated(sources);
    }
    order.sort_unstable();
    if order.windows(2).any(|pair| pair[0].0.1 >= pair[1].0.0) {
        return Err(sources);
    }
    let mut out = Vec::with_capacity(sources.iter().map(Vec::len).sum());
    for (_, at) in order {
        out.append(&mut sources[at]);
    }
    Ok(out)
}

/// All samples in time order, those at the same time once.
fn one_to_one<'a>(
    base: Piece<'a>,
    mut overlapping: Vec<Piece<'a>>,
) -> Result<Vec<Piece<'a>>, MergeError> {
    overlapping.push(base);
    let decoded = decode(&overlapping)?;
    let mut encoder = Encoder::new();
    let times: Vec<&[i64]> = decoded.iter().map(|chunk| chunk.t.as_slice()).collect();
    let mut written = Vec::new();
    chain(&times, |source, at, follows| {
        encoder.push(&decoded[source], at, follows);
        written.push(times[source][at]);
    });
    verified(encoder.finish(), &written)
}

fn decode(chunks: &[Piece<'_>]) -> Result<Vec<Decoded>, MergeError> {
    chunks.iter().map(Decoded::of).collect()
}

/// Prometheus's chained iterator over the times of several sources: it stays with one while that has the earliest sample,
/// and drops what is at the time of the last. `pick` gets source, place, and whether the pick before was the neighbour.
fn chain(times: &[&[i64]], mut pick: impl FnMut(usize, usize, bool)) {
    let mut place = vec![0usize; times.len()];
    let at = |place: &[usize], source: usize| times[source].get(place[source]).copied();
    let mut heap = Heap::default();
    for (source, times) in times.iter().enumerate().skip(1) {
        if !times.is_empty() {
            heap.push(source, |a, b| at(&place, *a) < at(&place, *b));
        }
    }
    let (mut current, mut started, mut last) = (0, false, i64::MIN);
    let mut changed = true;
    loop {
        place[current] += usize::from(started);
        started = true;
        match at(&place, current) {
            None if heap.is_empty() => return,
            None => {}
            Some(t) if t == last => continue,
            Some(t) => {
                let next = heap.peek().and_then(|next| at(&place, *next));
                if next.is_none_or(|next| t < next) {
                    pick(current, place[current], !changed);
                    (last, changed) = (t, false);
                    continue;
                }
                heap.push(current, |a, b| at(&place, *a) < at(&place, *b));
            }
        }
        let Some(next) = heap.pop(|a, b| at(&place, *a) < at(&place, *b)) else {
            return;
        };
        (current, changed) = (next, true);
        if let Some(t) = at(&place, current)
            && t != last
        {
            pick(current, place[current], false);
            (last, changed) = (t, false);
        }
    }
}

/// One replica, and the others where it has gaps. Only chunks with the encoding of the first one count, as in Thanos.
fn by_penalty<'a>(
    base: Piece<'a>,
    overlapping: &[Piece<'a>],
) -> Result<Vec<Piece<'a>>, MergeError> {
    let mut encoder = Encoder::new();
    let same = |chunk: &&Piece<'_>| chunk.encoding == base.encoding;
    let mut merged = Decoded::of(&base)?;
    for chunk in overlapping.iter().filter(same) {
        let other = Decoded::of(chunk)?;
        let (a, b) = (&merged.t, &other.t);
        let (t, values) = match (&merged.values, &other.values) {
            (Values::Floats(v), Values::Floats(w)) => {
                let (t, v) = penalty::merge((a, v), (b, w));
                (t, Values::Floats(v))
            }
            (Values::Integers(v), Values::Integers(w)) => {
                let (t, v) = penalty::merge((a, v), (b, w));
                (t, Values::Integers(v))
            }
            (Values::FloatHistograms(v), Values::FloatHistograms(w)) => {
                let (t, v) = penalty::merge((a, v), (b, w));
                (t, Values::FloatHistograms(v))
            }
            _ => continue,
        };
        merged = Decoded { t, values };
    }
    for at in 0..merged.t.len() {
        encoder.push(&merged, at, true);
    }
    verified(encoder.finish(), &merged.t)
}

/// Reads what was written: all times must come back. Values are written beside them.
fn verified<'a>(chunks: Vec<Piece<'a>>, times: &[i64]) -> Result<Vec<Piece<'a>>, MergeError> {
    let mut rest = times;
    for chunk in &chunks {
        let read = Decoded::of(chunk)?;
        let Some((head, tail)) = rest.split_at_checked(read.t.len()) else {
            return Err(MergeError::Verification);
        };
        if head != read.t {
            return Err(MergeError::Verification);
        }
        rest = tail;
    }
    if rest.is_empty() {
        Ok(chunks)
    } else {
        Err(MergeError::Verification)
    }
}

#[cfg(test)]
mod tests;
