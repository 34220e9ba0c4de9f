//! Series of floats.

use model::Columns;

use crate::chunk::aggr::{Aggregate, Parts};
use crate::chunk::{self, Encoding, XorAppender};

use super::super::error::MergeError;
use super::super::piece::Piece;
use super::{Encoded, batches, encoded, target_chunks, window_end};

/// Samples of one series, to be thinned out.
#[derive(Debug, Default)]
pub(super) struct Floats {
    t: Vec<i64>,
    v: Vec<f64>,
    /// Of a batch without those that are no number.
    clean: (Vec<i64>, Vec<f64>),
    columns: Columns,
}

/// What the samples of a window became.
#[derive(Clone, Copy, Debug)]
struct Window {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
    counter: f64,
}

/// What of a window is written.
type Value = fn(&Window) -> f64;

/// Goes through samples window by window. The counter goes on over all windows, resets added.
fn aggregate(t: &[i64], v: &[f64], resolution: i64, mut each: impl FnMut(i64, Window)) -> i64 {
    let end = t.last().copied().unwrap_or_default();
    let (mut next, mut start) = (-1, 0);
    let (mut counter, mut last) = (0.0, None);
    for at in 0..=t.len() {
        let closes = match t.get(at) {
            Some(t) => *t > next,
            None => !t.is_empty(),
        };
        if !closes {
            continue;
        }
        if next != -1 {
            each(next, window(&v[start..at], &mut counter, &mut last));
        }
        if let Some(t) = t.get(at) {
            start = at;
            next = window_end(*t, resolution).min(end);
        }
    }
    next
}

fn window(values: &[f64], counter: &mut f64, last: &mut Option<f64>) -> Window {
    let (mut sum, mut min, mut max) = (0.0, f64::MAX, -f64::MAX);
    for v in values {
        match *last {
            None => *counter = *v,
            Some(last) if *v < last => *counter += v,
            Some(last) => *counter += v - last,
        }
        *last = Some(*v);
        sum += v;
        if *v < min {
            min = *v;
        }
        if *v > max {
            max = *v;
        }
    }
    Window {
        count: values.len() as f64,
        sum,
        min,
        max,
        counter: *counter,
    }
}

impl Floats {
    pub(super) fn clear(&mut self) {
        self.t.clear();
        self.v.clear();
    }

    /// Takes the samples of a chunk, without stale markers and what goes back in time.
    pub(super) fn extend(&mut self, columns: &Columns) {
        let ascends = columns.t.is_sorted() && columns.t.first().is_some_and(|t| *t >= 0);
        if ascends && !columns.v.iter().any(|v| model::is_stale(*v)) {
            self.t.extend_from_slice(&columns.t);
            self.v.extend_from_slice(&columns.v);
            return;
        }
        let mut last = 0;
        for (t, v) in columns.t.iter().zip(&columns.v) {
            if !model::is_stale(*v) && *t >= last {
                self.t.push(*t);
                self.v.push(*v);
                last = *t;
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
            let (mut t, mut v) = (&self.t[batch.clone()], &self.v[batch]);
            if v.iter().any(|v| v.is_nan()) {
                let clean = &mut self.clean;
                clean.0.clear();
                clean.1.clear();
                for (t, v) in t.iter().zip(v).filter(|(_, v)| !v.is_nan()) {
                    clean.0.push(*t);
                    clean.1.push(*v);
                }
                (t, v) = (&clean.0, &clean.1);
            }
            if !t.is_empty() {
                out.push(raw_chunk(t, v, steps.1, &mut self.columns)?);
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
        columns: &mut Columns,
    ) -> Result<Piece<'a>, MergeError> {
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let mut aggregates = [const { None }; 5];
        let each: [(Aggregate, Value); 4] = [
            (Aggregate::Count, |window| window.sum),
            (Aggregate::Sum, |window| window.sum),
            (Aggregate::Min, |window| window.min),
            (Aggregate::Max, |window| window.max),
        ];
        for (aggregate, value) in each {
            let written = self.again(chunks, aggregate, to, columns, value)?;
            (mint, maxt) = (mint.min(written.0), maxt.max(written.1));
            aggregates[aggregate as usize] = written.2;
        }
        let last_value = self.counters(chunks, columns)?;
        if let (Some(t), Some(v), Some(last_value)) = (self.t.first(), self.v.first(), last_value) {
            let mut counter = XorAppender::new();
            counter.push(*t, *v);
            let last = aggregate(&self.t, &self.v, to, |t, window| {
                (mint, maxt) = (mint.min(t), maxt.max(t));
                counter.push(t, window.counter);
            });
            counter.push(last, last_value);
            aggregates[Aggregate::Counter as usize] = Some((Encoding::Xor, counter.finish()));
        }
        encoded(mint, maxt, &aggregates, columns)
    }

    /// Aggregates one aggregate again; the times of its windows.
    fn again(
        &mut self,
        chunks: &[Parts<'_>],
        kind: Aggregate,
        to: i64,
        columns: &mut Columns,
        value: impl Fn(&Window) -> f64,
    ) -> Result<(i64, i64, Encoded), MergeError> {
        self.clear();
        for part in chunks.iter().filter_map(|parts| parts.get(kind)) {
            columns.clear();
            chunk::decode(Encoding::from_byte(part.encoding)?, part.data, columns)?;
            self.extend(columns);
        }
        if self.t.is_empty() {
            // As Thanos.
            return Ok((0, 0, None));
        }
        let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
        let mut written = XorAppender::new();
        aggregate(&self.t, &self.v, to, |t, window| {
            (mint, maxt) = (mint.min(t), maxt.max(t));
            written.push(t, value(&window));
        });
        Ok((mint, maxt, Some((Encoding::Xor, written.finish()))))
    }

    /// Takes the counters of chunks, resets added. Returns the true last value: each chunk tells it by a sample at the
    /// time of the one before.
    fn counters(
        &mut self,
        chunks: &[Parts<'_>],
        columns: &mut Columns,
    ) -> Result<Option<f64>, MergeError> {
        self.clear();
        let mut last: Option<(i64, f64)> = None;
        let mut total = 0.0;
        for part in chunks
            .iter()
            .filter_map(|parts| parts.get(Aggregate::Counter))
        {
            columns.clear();
            chunk::decode(Encoding::from_byte(part.encoding)?, part.data, columns)?;
            for (t, v) in columns.t.iter().copied().zip(columns.v.iter().copied()) {
                if v.is_nan() {
                    continue;
                }
                match last {
                    None => total = v,
                    Some((before, last_value)) if t > before => {
                        total += if v >= last_value { v - last_value } else { v };
                    }
                    Some((before, _)) => {
                        if t == before {
                            last = Some((before, v));
                        }
                        continue;
                    }
                }
                last = Some((t, v));
                // What lies before 1970 is not aggregated.
                if t >= self.t.last().copied().unwrap_or(0) {
                    self.t.push(t);
                    self.v.push(total);
                }
            }
        }
        Ok(last.map(|(_, v)| v))
    }
}

fn raw_chunk<'a>(
    t: &[i64],
    v: &[f64],
    resolution: i64,
    columns: &mut Columns,
) -> Result<Piece<'a>, MergeError> {
    let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
    let [mut count, mut sum, mut min, mut max, mut counter] =
        std::array::from_fn(|_| XorAppender::new());
    // The first and the last raw value tell whether there was a reset between chunks.
    counter.push(t[0], v[0]);
    let last = aggregate(t, v, resolution, |t, window| {
        (mint, maxt) = (mint.min(t), maxt.max(t));
        count.push(t, window.count);
        sum.push(t, window.sum);
        min.push(t, window.min);
        max.push(t, window.max);
        counter.push(t, window.counter);
    });
    counter.push(last, v[v.len() - 1]);
    let aggregates =
        [count, sum, min, max, counter].map(|chunk| Some((Encoding::Xor, chunk.finish())));
    encoded(mint, maxt, &aggregates, columns)
}
