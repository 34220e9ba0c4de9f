//! Chunks of one series, read as samples: whatever stores sent becomes one ascending run.

use std::sync::Arc;

use model::{Columns, Samples, SelectError, Timestamp};
use smallvec::SmallVec;
use tsdb::chunk::{Encoding, decode};

use crate::aggregate::Aggregate;
use crate::chunks::{Field, Samples as Part};
use crate::dedup::{self, Deduplication};
use crate::merge::Origin;
use crate::wire::{Chunk, Series};

/// The most chunks of one series that may overlap at a time. Each is a replica, and a level of the merge.
const MAX_REPLICAS: usize = 256;

/// How the series of one request are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) mint: Timestamp,
    pub(crate) maxt: Timestamp,
    pub(crate) aggregate: Aggregate,
    /// Whether chunks that overlap are replicas of one series.
    pub(crate) dedup: Option<Deduplication>,
    /// Whether deduplication evens out counters.
    pub(crate) counter: bool,
    /// The addresses of those who were asked.
    pub(crate) stores: Vec<String>,
}

/// A series with its chunks in the order that [`crate::chunks::unite`] makes.
#[derive(Debug)]
pub(crate) struct ChunkSamples {
    pub(crate) series: Series,
    pub(crate) reading: Arc<Reading>,
    /// Who sent it.
    pub(crate) origin: Origin,
}

impl Samples for ChunkSamples {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        let chunks: Chunks<'_> = self.series.chunks().collect();
        let replicas = match self.reading.dedup {
            Some(_) => Replicas::of(&chunks),
            None => Replicas::default(),
        };
        match replicas.count() {
            0 | 1 => {
                let all = |out: &mut Columns| self.concatenate(chunks.iter(), out);
                match is_as_it_comes(&chunks) {
                    true => all(out),
                    false => out.whole(all),
                }
            }
            count if count > MAX_REPLICAS => {
                Err(self.bad(&format!("more than {MAX_REPLICAS} of its chunks overlap")))
            }
            count => scratch::with(count, |decoded| {
                for (replica, columns) in decoded.iter_mut().enumerate() {
                    self.concatenate(replicas.chunks(replica, &chunks), columns)?;
                }
                let range = (self.reading.mint, self.reading.maxt);
                match self.reading.dedup {
                    Some(Deduplication::Chain) => dedup::chain(decoded, range, out),
                    _ => dedup::merge(decoded, range, self.reading.counter, out),
                }
                Ok(())
            }),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.series.size()
    }
}

/// The chunks of a series.
type Chunks<'c> = SmallVec<[Chunk<'c>; 4]>;

/// Chunks that overlap, packed into replicas: each chunk goes to the first whose last chunk ends before it begins, or opens
/// another.
#[derive(Debug, Default)]
struct Replicas {
    /// The replica of each chunk.
    of: SmallVec<[u16; 8]>,
    /// Of each replica, when its last chunk ends.
    ends: SmallVec<[Timestamp; 4]>,
}

impl Replicas {
    fn of(chunks: &[Chunk<'_>]) -> Self {
        let mut replicas = Self::default();
        for chunk in chunks {
            let mut ends = replicas.ends.iter();
            let fits = ends.position(|end| *end < chunk.min_time);
            let replica = fits.unwrap_or(replicas.ends.len());
            match replicas.ends.get_mut(replica) {
                Some(end) => *end = chunk.max_time,
                None => replicas.ends.push(chunk.max_time),
            }
            // There are never many more than the most.
            replicas.of.push(replica as u16);
            if replicas.count() > MAX_REPLICAS {
                break;
            }
        }
        replicas
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    /// The chunks of one of them.
    fn chunks<'s>(
        &'s self,
        replica: usize,
        chunks: &'s [Chunk<'s>],
    ) -> impl Iterator<Item = &'s Chunk<'s>> {
        let of = chunks.iter().zip(&self.of);
        of.filter_map(move |(chunk, of)| (usize::from(*of) == replica).then_some(chunk))
    }
}

/// Whether every sample of every chunk is handed on. Of chunks that overlap, and of downsampled ones, which have two samples at
/// their last time, some are left out.
fn is_as_it_comes(chunks: &[Chunk<'_>]) -> bool {
    chunks.is_sorted_by(|a, b| a.max_time < b.min_time)
        && chunks.iter().all(|c| c.samples(Field::Raw).is_some())
}

impl ChunkSamples {
    /// One chunk after the other; where they overlap, the first has its say.
    fn concatenate<'c>(
        &self,
        chunks: impl Iterator<Item = &'c Chunk<'c>>,
        out: &mut Columns,
    ) -> Result<(), SelectError> {
        let base = out.len();
        for chunk in chunks {
            let from = out.len();
            self.decode(chunk, out)?;
            if self.reading.aggregate != Aggregate::Counter {
                let last = out.t[base..from].last().copied();
                drop_until(out, from, last);
                self.check_order(out, base.max(from.saturating_sub(1)))?;
            }
        }
        if self.reading.aggregate == Aggregate::Counter {
            remove_resets(out, base);
        }
        Ok(())
    }

    fn decode(&self, chunk: &Chunk<'_>, out: &mut Columns) -> Result<(), SelectError> {
        let field = match self.reading.aggregate {
            Aggregate::Min => Field::Min,
            Aggregate::Max => Field::Max,
            Aggregate::Count => Field::Count,
            Aggregate::Sum => Field::Sum,
            Aggregate::Counter => Field::Counter,
            Aggregate::Average => match (chunk.samples(Field::Count), chunk.samples(Field::Sum)) {
                (Some(count), Some(sum)) => return self.average(count, sum, out),
                _ => Field::Raw,
            },
        };
        let part = chunk.samples(field);
        match part.or_else(|| chunk.samples(Field::Raw)) {
            Some(part) => self.decode_part(part, out),
            None => Err(self.bad(&format!(
                "a chunk without samples and without {:?}",
                self.reading.aggregate
            ))),
        }
    }

    fn decode_part(&self, part: Part<'_>, out: &mut Columns) -> Result<(), SelectError> {
        // On the wire, encodings are numbered from 0; on disk, 0 is no encoding.
        let byte = u8::try_from(part.encoding.saturating_add(1)).unwrap_or(0);
        let encoding = Encoding::from_byte(byte).map_err(|error| self.bad(&error.to_string()))?;
        decode(encoding, part.data, out).map_err(|error| self.bad(&error.to_string()))?;
        Ok(())
    }

    fn average(
        &self,
        count: Part<'_>,
        sum: Part<'_>,
        out: &mut Columns,
    ) -> Result<(), SelectError> {
        let (mut counts, mut sums) = (Columns::default(), Columns::default());
        self.decode_part(count, &mut counts)?;
        self.decode_part(sum, &mut sums)?;
        if counts.t != sums.t || !counts.h.is_empty() {
            return Err(self.bad("count and sum of a chunk do not go together"));
        }
        if sums.v.is_empty() {
            for ((t, mut sum), count) in sums.t.iter().zip(sums.h).zip(&counts.v) {
                Arc::make_mut(&mut sum).div(*count);
                out.push_histogram(*t, sum);
            }
            return Ok(());
        }
        if !sums.h.is_empty() {
            return Err(self.bad("a chunk with sums of two kinds"));
        }
        out.t.extend_from_slice(&sums.t);
        out.v
            .extend(sums.v.iter().zip(&counts.v).map(|(sum, count)| sum / count));
        out.extend_run(model::Kind::Float, sums.t.len());
        Ok(())
    }

    fn check_order(&self, out: &Columns, from: usize) -> Result<(), SelectError> {
        let times = &out.t[from..];
        if times.is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        match times.windows(2).find(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(pair) => Err(self.bad(&format!(
                "timestamp {} follows {} in a chunk",
                pair[1], pair[0]
            ))),
        }
    }

    fn bad(&self, why: &str) -> SelectError {
        let stores = self.reading.stores.iter().enumerate();
        let senders = stores.filter(|(at, _)| self.origin.has(*at));
        let senders: Vec<_> = senders.map(|(_, store)| store.as_str()).collect();
        let from = match senders.is_empty() {
            true => String::new(),
            false => format!(" from Addr: {}", senders.join(" or ")),
        };
        let labels = self.series.labels().display();
        SelectError::Source(format!("series {labels}{from}: {why}"))
    }
}

/// Columns of a thread, which are used again: those of the replicas of a series live no longer than one read.
mod scratch {
    use std::cell::RefCell;

    use model::Columns;

    /// Samples for which memory is kept.
    const KEPT: usize = 1 << 17;

    thread_local! {
        static COLUMNS: RefCell<Vec<Columns>> = const { RefCell::new(Vec::new()) };
    }

    /// Calls `work` with so many empty columns.
    pub(super) fn with<R>(count: usize, work: impl FnOnce(&mut [Columns]) -> R) -> R {
        let mut columns = COLUMNS.take();
        columns.resize_with(count.max(columns.len()), Columns::default);
        let used = &mut columns[..count];
        used.iter_mut().for_each(Columns::clear);
        let result = work(used);
        used.iter_mut().for_each(Columns::clear);
        if columns.iter().map(|c| c.t.capacity()).sum::<usize>() <= KEPT {
            COLUMNS.set(columns);
        }
        result
    }
}

/// Drops the samples from index `from` on that are not after `last`; they are the first ones there.
fn drop_until(out: &mut Columns, from: usize, last: Option<Timestamp>) {
    let Some(last) = last else { return };
    let overlap = out.t[from..].iter().take_while(|t| **t <= last).count();
    if overlap == 0 {
        return;
    }
    if let ([run], true) = (out.runs.as_mut_slice(), out.h.is_empty()) {
        run.len -= overlap;
        out.t.drain(from..from + overlap);
        out.v.drain(from..from + overlap);
        return;
    }
    let tail = out.clone();
    truncate(out, from);
    let mut cursor = dedup::Cursor::at(&tail, from + overlap);
    while let Some(at) = cursor.sample() {
        dedup::push(&tail, at, 0.0, out);
        cursor.step();
    }
}

fn truncate(out: &mut Columns, len: usize) {
    let cursor = dedup::Cursor::at(out, len);
    let (floats, histograms) = cursor.before();
    out.t.truncate(len);
    out.v.truncate(floats);
    out.h.truncate(histograms);
    out.runs = runs_until(&out.runs, len);
}

fn runs_until(runs: &[model::KindRun], len: usize) -> Vec<model::KindRun> {
    let mut left = len;
    let mut kept = Vec::new();
    for run in runs {
        let part = run.len.min(left);
        if part > 0 {
            kept.push(model::KindRun {
                kind: run.kind,
                len: part,
            });
        }
        left -= part;
    }
    kept
}

/// Makes a counter of the floats from index `from` on: it never falls. A sample at the time of the one
/// before carries the counter's last true value (downsampled chunks end with one); NaN is left out.
/// Histograms are left as they are.
fn remove_resets(out: &mut Columns, from: usize) {
    if !out.h.is_empty() {
        return keep_ascending(out, from);
    }
    // Floats only: each value belongs to the time at its place.
    let (times, values) = (&mut out.t[from..], &mut out.v[from..]);
    let Some(first) = values.iter().position(|v| !v.is_nan()) else {
        return truncate(out, from);
    };
    let (mut last_t, mut last_v) = (times[first], values[first]);
    let (mut kept, mut total) = (1, last_v);
    (times[0], values[0]) = (last_t, total);
    for at in first + 1..times.len().min(values.len()) {
        let (t, v) = (times[at], values[at]);
        if v.is_nan() {
            continue;
        }
        if t <= last_t {
            if t == last_t {
                last_v = v;
            }
            continue;
        }
        total += if v >= last_v { v - last_v } else { v };
        (last_t, last_v) = (t, v);
        (times[kept], values[kept]) = (t, total);
        kept += 1;
    }
    truncate(out, from + kept);
}

fn keep_ascending(out: &mut Columns, from: usize) {
    let all = out.clone();
    truncate(out, from);
    let mut cursor = dedup::Cursor::at(&all, from);
    while let Some(at) = cursor.sample() {
        if out.t[from..]
            .last()
            .is_none_or(|last| all.t[at.index] > *last)
        {
            dedup::push(&all, at, 0.0, out);
        }
        cursor.step();
    }
}

#[cfg(test)]
mod tests {
    use model::{Edges, FloatHistogram, Need};
    use proptest::prelude::*;
    use proto::thanos::{self, AggrChunk, Chunk};
    use tsdb::chunk::XorAppender;
    use tsdb::chunk::histogram::{Appended, FloatHistogramAppender};

    use super::*;
    use crate::chunks;
    use crate::wire::Batch;

    fn part(samples: &[(i64, f64)]) -> Chunk {
        let mut appender = XorAppender::new();
        for (t, v) in samples {
            appender.push(*t, *v);
        }
        Chunk {
            r#type: 0,
            data: appender.finish().into(),
            hash: 0,
        }
    }

    fn raw(samples: &[(i64, f64)]) -> AggrChunk {
        let time = |sample: Option<&(i64, f64)>| sample.map_or(0, |sample| sample.0);
        AggrChunk {
            min_time: time(samples.first()),
            max_time: time(samples.last()),
            raw: Some(part(samples)),
            ..AggrChunk::default()
        }
    }

    fn series(chunks: Vec<AggrChunk>, reading: Reading) -> ChunkSamples {
        let labels = vec![crate::labels::label("job", "x")];
        let batch = Batch::of([thanos::Series { labels, chunks }]).expect("plain");
        ChunkSamples {
            series: batch.get(0).expect("one"),
            reading: Arc::new(reading),
            origin: Origin::default(),
        }
    }

    fn read(
        chunks: Vec<AggrChunk>,
        aggregate: Aggregate,
        dedup: bool,
    ) -> Result<Vec<(i64, f64)>, SelectError> {
        let reading = Reading {
            mint: i64::MIN,
            maxt: i64::MAX,
            aggregate,
            dedup: dedup.then_some(Deduplication::Penalty),
            counter: false,
            stores: Vec::new(),
        };
        let samples = series(chunks, reading);
        // What is there before must stay as it is.
        let mut out = Columns::default();
        out.push_float(1 << 40, 0.5);
        samples.read(&mut out)?;
        assert_eq!(out.runs.iter().map(|run| run.len).sum::<usize>(), out.len());
        Ok(out.t.into_iter().zip(out.v).skip(1).collect())
    }

    /// A downsampled counter: its true last value stands once more at the time of its last sample.
    fn downsampled() -> AggrChunk {
        let h = |count: f64| FloatHistogram {
            count,
            ..FloatHistogram::default()
        };
        let mut appender = FloatHistogramAppender::begin(10, &h(1.0), None);
        for (t, count) in [(20, 2.0), (30, 3.0), (40, 4.0), (40, 4.0)] {
            let appended = appender.append(t, &h(count));
            assert!(matches!(appended, Appended::Here), "one chunk");
        }
        let counter = Chunk {
            r#type: 2,
            data: appender.finish().into(),
            hash: 0,
        };
        AggrChunk {
            min_time: 10,
            max_time: 40,
            counter: Some(counter),
            ..AggrChunk::default()
        }
    }

    #[test]
    fn the_end_of_a_window_is_the_sample_that_is_handed_on() {
        let reading = Reading {
            mint: i64::MIN,
            maxt: i64::MAX,
            aggregate: Aggregate::Counter,
            dedup: None,
            counter: true,
            stores: Vec::new(),
        };
        let edges = Edges {
            first_end: 45,
            last_end: 45,
            step: 1,
            range: 30,
        };
        let mut out = Columns::for_reader(Need {
            until: 45,
            edges: Some(edges),
        });
        let series = series(vec![downsampled()], reading);
        series.read(&mut out).expect("samples");
        let counts: Vec<f64> = out.h.iter().map(|h| h.count).collect();
        assert_eq!(
            (out.t, counts),
            (vec![10, 20, 30, 40], vec![1.0, 2.0, 3.0, 4.0])
        );
    }

    #[test]
    fn where_chunks_overlap_the_first_has_its_say() {
        let chunks = vec![
            raw(&[(10, 1.0), (20, 1.0)]),
            raw(&[(15, 2.0), (20, 2.0), (30, 2.0)]),
        ];
        let samples = read(chunks, Aggregate::Average, false);
        assert_eq!(samples, Ok(vec![(10, 1.0), (20, 1.0), (30, 2.0)]));
    }

    #[test]
    fn overlapping_chunks_are_replicas_when_deduplicating() {
        let a = [(10_000, 1.0), (20_000, 1.0), (30_000, 1.0)];
        let b = [(10_001, 2.0), (20_001, 2.0), (30_001, 2.0)];
        let mut chunks = vec![raw(&b), raw(&a[..2]), raw(&a[2..])];
        chunks::unite(&mut chunks);
        assert_eq!(read(chunks, Aggregate::Average, true), Ok(a.to_vec()));
    }

    #[test]
    fn resets_of_a_counter_are_taken_out() {
        let chunks = vec![
            raw(&[(10, 5.0), (20, 8.0)]),
            raw(&[(30, 1.0), (40, f64::NAN), (50, 3.0)]),
        ];
        let samples = read(chunks, Aggregate::Counter, false);
        assert_eq!(
            samples,
            Ok(vec![(10, 5.0), (20, 8.0), (30, 9.0), (50, 11.0)])
        );
    }

    #[test]
    fn a_downsampled_counter_ends_with_its_last_true_value() {
        let counter = |samples: &[(i64, f64)]| AggrChunk {
            min_time: samples[0].0,
            max_time: samples[samples.len() - 1].0,
            counter: Some(part(samples)),
            ..AggrChunk::default()
        };
        // Within the first chunk there was a reset: it ends at 9, but the counter itself stood at 2.
        let chunks = vec![
            counter(&[(10, 5.0), (20, 9.0), (20, 2.0)]),
            counter(&[(30, 4.0), (40, 6.0), (40, 6.0)]),
        ];
        let samples = read(chunks, Aggregate::Counter, false);
        assert_eq!(
            samples,
            Ok(vec![(10, 5.0), (20, 9.0), (30, 11.0), (40, 13.0)])
        );
    }

    #[test]
    fn an_average_is_the_sum_by_the_count() {
        let chunk = AggrChunk {
            max_time: 20,
            count: Some(part(&[(10, 2.0), (20, 4.0)])),
            sum: Some(part(&[(10, 3.0), (20, 4.0)])),
            ..AggrChunk::default()
        };
        let samples = read(vec![chunk.clone()], Aggregate::Average, false);
        assert_eq!(samples, Ok(vec![(10, 1.5), (20, 1.0)]));
        let error = read(vec![chunk], Aggregate::Min, false).expect_err("no minimum");
        assert_eq!(
            error.to_string(),
            "series {job=\"x\"}: a chunk without samples and without Min"
        );
    }

    #[test]
    fn a_series_of_too_many_replicas_is_refused() {
        let chunks = vec![raw(&[(10, 1.0)]); 100_000];
        let error = read(chunks, Aggregate::Average, true).expect_err("refused");
        assert!(
            error
                .to_string()
                .ends_with("more than 256 of its chunks overlap"),
            "{error}"
        );
    }

    #[test]
    fn a_chunk_of_another_age_is_named() {
        let mut chunk = raw(&[(10, 1.0)]);
        chunk.raw.as_mut().expect("raw").r#type = 77;
        let error = read(vec![chunk], Aggregate::Average, false).expect_err("refused");
        assert!(
            error.to_string().contains("unknown chunk encoding 78"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn hostile_chunks_are_errors_or_ascending_samples(data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4), dedup: bool, counter: bool) {
            let chunk = |data: Vec<u8>| AggrChunk {
                raw: Some(Chunk { r#type: 0, data: data.into(), hash: 0 }),
                ..AggrChunk::default()
            };
            let aggregate = if counter { Aggregate::Counter } else { Aggregate::Average };
            let chunks = data.into_iter().map(chunk).collect();
            if let Ok(samples) = read(chunks, aggregate, dedup) {
                prop_assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
            }
        }
    }
}
