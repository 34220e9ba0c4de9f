//! The samples of one series, decoded and split by kind.

use std::sync::Arc;

use model::{Columns, Edges, FloatHistogram, Kind, Timestamp, is_stale};

use super::steps::Steps;

/// Floats and histograms apart, each in time order; a time is in one of them only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) t: Vec<Timestamp>,
    pub(crate) v: Vec<f64>,
    /// The times of the histograms.
    pub(crate) ht: Vec<Timestamp>,
    pub(crate) h: Vec<Arc<FloatHistogram>>,
    /// The start timestamps of the floats and of the histograms; empty where no sample has one.
    pub(crate) st: Vec<Timestamp>,
    pub(crate) hst: Vec<Timestamp>,
}

impl Samples {
    pub(crate) fn clear(&mut self) {
        self.t.clear();
        self.v.clear();
        self.ht.clear();
        self.h.clear();
        self.st.clear();
        self.hst.clear();
    }

    /// How many samples of 16 bytes they weigh.
    pub(crate) fn weight(&self) -> usize {
        let histograms = self.h.iter().map(|h| super::points::weight_of(h));
        self.t.len() + histograms.sum::<usize>()
    }

    /// Takes what was decoded into `columns`, which get the old buffers for the next series.
    pub(crate) fn take(&mut self, columns: &mut Columns) {
        self.clear();
        std::mem::swap(&mut self.v, &mut columns.v);
        if !columns.st.is_empty() {
            columns.st.resize(columns.t.len(), 0);
        }
        if columns.h.is_empty() {
            std::mem::swap(&mut self.t, &mut columns.t);
            std::mem::swap(&mut self.st, &mut columns.st);
            return;
        }
        std::mem::swap(&mut self.h, &mut columns.h);
        let (mut times, mut starts) = (columns.t.drain(..), columns.st.drain(..));
        for run in &columns.runs {
            let (of_kind, starts_of_kind) = match run.kind {
                Kind::Float => (&mut self.t, &mut self.st),
                Kind::Histogram => (&mut self.ht, &mut self.hst),
            };
            of_kind.extend(times.by_ref().take(run.len));
            starts_of_kind.extend(starts.by_ref().take(run.len));
        }
    }

    /// Takes the stale markers out: a range does not see them.
    pub(crate) fn drop_stale(&mut self) {
        drop_where([&mut self.t, &mut self.st], &mut self.v, |v| is_stale(*v));
        drop_where([&mut self.ht, &mut self.hst], &mut self.h, |h| {
            is_stale(h.sum)
        });
    }
}

fn drop_where<T>(times: [&mut Vec<Timestamp>; 2], values: &mut Vec<T>, gone: impl Fn(&T) -> bool) {
    let [times, starts] = times;
    if !values.iter().any(&gone) {
        return;
    }
    let mut kept = 0;
    for at in 0..values.len() {
        if !gone(&values[at]) {
            times.swap(kept, at);
            values.swap(kept, at);
            if !starts.is_empty() {
                starts.swap(kept, at);
            }
            kept += 1;
        }
    }
    times.truncate(kept);
    values.truncate(kept);
    starts.truncate(kept);
}

/// What a range function sees at one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) step: u32,
    /// The instant of the step, whatever the selector's offset.
    pub(crate) time: Timestamp,
    /// The borders in the time of the samples; the start is outside of the window.
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// The floats, of `anchored` and `smoothed` windows those around too.
    pub(crate) t: &'a [Timestamp],
    pub(crate) v: &'a [f64],
    /// Which of the series' floats `v[0]` is.
    pub(crate) first: usize,
    /// The histograms.
    pub(crate) ht: &'a [Timestamp],
    pub(crate) h: &'a [Arc<FloatHistogram>],
    /// The start timestamps; empty if there are none.
    pub(crate) st: &'a [Timestamp],
    pub(crate) hst: &'a [Timestamp],
}

impl Window<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.t.is_empty() && self.ht.is_empty()
    }
}

/// How a selector reads the borders of its windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Borders {
    /// Only samples inside.
    #[default]
    Plain,
    /// The sample before the start too.
    Anchored,
    /// The samples on both sides of both borders.
    Smoothed,
}

/// Where a range function looks at each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// The steps of the query.
    pub(crate) steps: Steps,
    /// The ends of the windows. One for all steps under `@`.
    pub(crate) ends: Steps,
    /// Milliseconds.
    pub(crate) range: i64,
    pub(crate) borders: Borders,
    /// How far samples around the window are looked for.
    pub(crate) lookback: i64,
    /// How much earlier sources are asked for samples, milliseconds.
    pub(crate) lead: i64,
}

impl Windows {
    fn before(&self) -> i64 {
        match self.borders {
            Borders::Plain => 0,
            Borders::Anchored | Borders::Smoothed => self.lookback,
        }
    }

    fn after(&self) -> i64 {
        match self.borders {
            Borders::Plain | Borders::Anchored => 0,
            Borders::Smoothed => self.lookback,
        }
    }

    /// The first time that is read, inclusive: what a window sees, and the lead.
    pub(crate) fn first_time(&self) -> Timestamp {
        let reach = self.range.saturating_add(self.before());
        let reach = reach.saturating_add(self.lead);
        self.ends.start.saturating_sub(reach).saturating_add(1)
    }

    /// The last time that a window sees.
    pub(crate) fn last_time(&self) -> Timestamp {
        self.ends.end.saturating_add(self.after())
    }

    /// What a function sees that looks at the first and the last sample of a window only.
    pub(crate) fn edges(&self) -> Edges {
        Edges {
            first_end: self.ends.start,
            last_end: self.ends.end,
            step: self.ends.step.max(1),
            range: self.range,
        }
    }

    /// Visits the windows of all steps; both ends of them only move forward.
    #[inline]
    pub(crate) fn each(&self, samples: &Samples, mut visit: impl FnMut(&Window<'_>)) {
        let pinned = self.ends.count < self.steps.count;
        let (mut floats, mut histograms) = (Reach::default(), Reach::default());
        for step in self.ends.all() {
            let end = self.ends.time(step);
            let start = end.saturating_sub(self.range);
            let (from, to) = (
                start.saturating_sub(self.before()),
                end.saturating_add(self.after()),
            );
            floats.move_to(&samples.t, from, to);
            histograms.move_to(&samples.ht, from, to);
            let mut window = Window {
                step,
                time: self.steps.time(step),
                start,
                end,
                t: &samples.t[floats.range()],
                v: &samples.v[floats.range()],
                first: floats.from.at,
                ht: &samples.ht[histograms.range()],
                h: &samples.h[histograms.range()],
                st: samples.st.get(floats.range()).unwrap_or_default(),
                hst: samples.hst.get(histograms.range()).unwrap_or_default(),
            };
            visit(&window);
            if pinned {
                for step in 1..self.steps.count {
                    (window.step, window.time) = (step, self.steps.time(step));
                    visit(&window);
                }
            }
        }
    }
}

/// Samples after one time up to another one, as indices.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    from: Place,
    to: Place,
}

impl Reach {
    #[inline]
    fn move_to(&mut self, t: &[Timestamp], after: Timestamp, up_to: Timestamp) {
        self.to.move_past(t, up_to);
        self.from.move_past(&t[..self.to.at], after);
    }

    fn range(self) -> std::ops::Range<usize> {
        self.from.at..self.to.at
    }
}

/// An index that moves forward through times, mostly as far as the time before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) at: usize,
    stride: usize,
}

impl Place {
    /// Moves behind the last time up to `time`.
    #[inline]
    pub(crate) fn move_past(&mut self, t: &[Timestamp], time: Timestamp) {
        let mut at = (self.at + self.stride).min(t.len());
        while at > self.at && t[at - 1] > time {
            at -= 1;
        }
        while t.get(at).is_some_and(|t| *t <= time) {
            at += 1;
        }
        (self.at, self.stride) = (at, at - self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_runs() {
        let mut columns = Columns::default();
        columns.push_float(1, 10.0);
        columns.push_histogram(2, FloatHistogram::default());
        columns.push_float(3, 30.0);
        columns.push_float(4, model::stale_nan());
        let mut samples = Samples::default();
        samples.take(&mut columns);
        samples.drop_stale();
        assert_eq!((samples.t, samples.v), (vec![1, 3], vec![10.0, 30.0]));
        assert_eq!((samples.ht, samples.h.len()), (vec![2], 1));
    }

    #[test]
    fn pinned_windows_are_the_same_at_every_step() {
        let samples = Samples {
            t: vec![10, 20, 30],
            v: vec![1.0, 2.0, 3.0],
            ..Samples::default()
        };
        let windows = Windows {
            steps: Steps {
                start: 100,
                end: 120,
                step: 10,
                count: 3,
            },
            ends: Steps::instant(30),
            range: 15,
            borders: Borders::Plain,
            lookback: 0,
            lead: 0,
        };
        let mut seen = Vec::new();
        windows.each(&samples, |w| seen.push((w.step, w.time, w.v.to_vec())));
        let both = || vec![2.0, 3.0];
        assert_eq!(seen, [(0, 100, both()), (1, 110, both()), (2, 120, both())]);
    }
}
