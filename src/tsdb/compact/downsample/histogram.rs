//! Series of native histograms. Sums are written as gauges; counters go on over all windows, resets added.

use model::{Columns, CounterReset, FloatHistogram};

use crate::chunk::aggr::{Aggregate, Parts};
use crate::chunk::histogram::{Appended, FloatHistogramAppender, float_samples};
use crate::chunk::{self, Encoding, XorAppender};

use super::super::error::MergeError;
use super::super::piece::Piece;
use super::{batches, encoded, target_chunks, windows};

/// Samples of one series, to be thinned out.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    t: Vec<i64>,
    h: Vec<FloatHistogram>,
    columns: Columns,
}

/// What goes on from window to window.
struct Aggregator {
    /// The coarsest of the batch.
    schema: i32,
    counter: Option<FloatHistogram>,
    previous: Option<FloatHistogram>,
    sum: Option<FloatHistogram>,
}

impl Aggregator {
    fn new(samples: &[FloatHistogram]) -> Self {
        let schemas = samples.iter().map(|h| h.schema);
        Self {
            schema: schemas.min().unwrap_or(i32::MAX),
            counter: None,
            previous: None,
            sum: None,
        }
    }

    fn add(&mut self, h: &FloatHistogram) -> Result<(), MergeError> {
        let incompatible = |_| MergeError::CustomBuckets;
        let mut coarse = h.clone();
        if h.schema > self.schema {
            if self.schema == model::histogram::CUSTOM_BUCKETS {
                return Err(MergeError::CustomBuckets);
            }
            coarse = h.reduced_to(self.schema);
            coarse.counter_reset = CounterReset::Unknown;
        }
        match (&mut self.counter, &self.previous) {
            (Some(counter), Some(previous)) => {
                let gauge = coarse.counter_reset == CounterReset::Gauge;
                // A finer schema counts as a reset, so the histogram is compared as it was.
                if !gauge && h.is_reset_after(previous) {
                    counter.add(&coarse).map_err(incompatible)?;
                } else {
                    let mut step = coarse.clone();
                    step.sub(previous).map_err(incompatible)?;
                    counter.add(&step).map_err(incompatible)?;
                }
            }
            _ => self.counter = Some(coarse.clone()),
        }
        let sum = match &mut self.sum {
            Some(sum) => {
                sum.add(&coarse).map_err(incompatible)?;
                sum
            }
            None => self.sum.insert(coarse.clone()),
        };
        // Sums fall from window to window, which is no reset.
        sum.counter_reset = CounterReset::Gauge;
        self.previous = Some(coarse);
        Ok(())
    }
}

/// A chunk of histograms being written.
#[derive(Default)]
struct Chunk(Option<FloatHistogramAppender>);

impl Chunk {
    fn push(&mut self, t: i64, h: &FloatHistogram) {
        match &mut self.0 {
            None => {
                // Thanos compares the first one with itself, so there never is a reset before a chunk.
                let itself = FloatHistogramAppender::begin(t, h, None);
                self.0 = Some(FloatHistogramAppender::begin(t, h, Some(&itself)));
            }
            Some(chunk) => match chunk.append(t, h) {
                Appended::Here | Appended::Recoded => {}
                // Thanos goes on with the new chunk alone.
                Appended::Next(next) => self.0 = Some(*next),
            },
        }
    }

    fn finish(self) -> Option<(Encoding, Vec<u8>)> {
        // An empty chunk: no samples, nothing known of resets.
        let data = self.0.map_or_else(|| vec![0; 3], |chunk| chunk.finish());
        Some((Encoding::FloatHistogram, data))
    }
}

impl Histograms {
    pub(super) fn clear(&mut self) {
        self.t.clear();
        self.h.clear();
    }

    /// Takes the samples of a chunk, without stale markers and what goes back in time.
    pub(super) fn extend(&mut self, samples: impl Iterator<Item = (i64, FloatHistogram)>) {
        let mut last = 0;
        for (t, h) in samples {
            if !h.is_stale() && t >= last {
                self.t.push(t);
                self.h.push(h);
                last = t;
            }
        }
    }

    /// Turns what was taken into chunks.
    pub(super) fn raw(
        &mut self,
        steps: (i64, i64),
        out: &mut Vec<Piece<'_>>,
    ) -> Result<(), MergeError> {
        let (Some(mint), Some(maxt)) = (self.t.first(), self.t.last()) else {
            return Ok(());
        };
        let chunks = target_chunks(*mint, *maxt, steps, self.t.len());
        for batch in batches(&self.t, chunks, steps.1) {
            let samples = self.t[batch.clone()].iter().zip(&self.h[batch]);
            let samples = samples.filter(|(_, h)| !h.sum.is_nan());
            let (t, h): (Vec<i64>, Vec<FloatHistogram>) =
                samples.map(|(t, h)| (*t, h.clone())).unzip();
            if !t.is_empty() {
                out.push(raw_chunk(&t, &h, steps.1, &mut self.columns)?);
            }
        }
        self.clear();
        Ok(())
    }

    /// One chunk out of several with aggregates.
    pub(super) fn aggregated<'a>(
        &mut self,
        chunks: &[Parts<'_>],
        (_, to): (i64, i64),
    ) -> Result<Piece<'a>, MergeError> {
        let mut span = (i64::MAX, i64::MIN);
        let mut aggregates = [const { None }; 5];
        for kind in [Aggregate::Counter, Aggregate::Sum] {
            self.clear();
            for part in chunks.iter().filter_map(|parts| parts.get(kind)) {
                self.extend(float_samples(part.data)?.into_iter());
            }
            if self.t.is_empty() {
                let aggregate = kind.name();
                let from = chunks.len() as i64;
                return Err(MergeError::NoAggregate { from, aggregate });
            }
            let mut written = Chunk::default();
            aggregate(&self.t, &self.h, to, |t, aggregator, _| {
                span = (span.0.min(t), span.1.max(t));
                let h = match kind {
                    Aggregate::Counter => &aggregator.counter,
                    _ => &aggregator.sum,
                };
                if let Some(h) = h {
                    written.push(t, h);
                }
            })?;
            aggregates[kind as usize] = written.finish();
        }
        let (count, times) = self.counts(chunks, to)?;
        span = (span.0.min(times.0), span.1.max(times.1));
        aggregates[Aggregate::Count as usize] = Some((Encoding::Xor, count));
        encoded(span.0, span.1, &aggregates, &mut self.columns)
    }

    /// The numbers of samples, summed up; the times of the windows.
    fn counts(
        &mut self,
        chunks: &[Parts<'_>],
        to: i64,
    ) -> Result<(Vec<u8>, (i64, i64)), MergeError> {
        let columns = &mut self.columns;
        columns.clear();
        for part in chunks
            .iter()
            .filter_map(|parts| parts.get(Aggregate::Count))
        {
            chunk::decode(Encoding::from_byte(part.encoding)?, part.data, columns)?;
        }
        let mut written = XorAppender::new();
        if columns.t.is_empty() {
            return Ok((written.finish(), (0, 0)));
        }
        let mut span = (i64::MAX, i64::MIN);
        windows(&columns.t, to, |t, samples| {
            span = (span.0.min(t), span.1.max(t));
            written.push(t, columns.v[samples].iter().fold(0.0, |sum, v| sum + v));
        });
        Ok((written.finish(), span))
    }
}

/// Goes through samples window by window; `each` gets also how many there were.
fn aggregate(
    t: &[i64],
    h: &[FloatHistogram],
    resolution: i64,
    mut each: impl FnMut(i64, &mut Aggregator, usize),
) -> Result<(), MergeError> {
    let mut aggregator = Aggregator::new(h);
    let mut outcome = Ok(());
    windows(t, resolution, |end, samples| {
        aggregator.sum = None;
        let count = samples.len();
        for h in &h[samples] {
            if outcome.is_ok() {
                outcome = aggregator.add(h);
            }
        }
        if outcome.is_ok() {
            each(end, &mut aggregator, count);
        }
    });
    outcome
}

fn raw_chunk<'a>(
    t: &[i64],
    h: &[FloatHistogram],
    resolution: i64,
    columns: &mut Columns,
) -> Result<Piece<'a>, MergeError> {
    let gauge = h[0].counter_reset == CounterReset::Gauge;
    let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
    let (mut counter, mut sum) = (Chunk::default(), Chunk::default());
    let mut counts = XorAppender::new();
    aggregate(t, h, resolution, |t, aggregator, count| {
        (mint, maxt) = (mint.min(t), maxt.max(t));
        for (chunk, h) in [
            (&mut counter, &mut aggregator.counter),
            (&mut sum, &mut aggregator.sum),
        ] {
            if let Some(h) = h {
                if gauge {
                    h.counter_reset = CounterReset::Gauge;
                }
                chunk.push(t, h);
            }
        }
        counts.push(t, count as f64);
    })?;
    let aggregates = [
        Some((Encoding::Xor, counts.finish())),
        sum.finish(),
        None,
        None,
        counter.finish(),
    ];
    encoded(mint, maxt, &aggregates, columns)
}
