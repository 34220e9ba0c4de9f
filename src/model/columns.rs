//! Decoded samples of one series as columns, reused from series to series.

use std::sync::Arc;

use crate::{FloatHistogram, Timestamp};

/// The bits of the NaN that marks a series as gone (Prometheus `model/value`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker.
#[must_use]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `v` is the stale marker (not any other NaN).
#[must_use]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// What a run of samples holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Values are in [`Columns::v`].
    Float,
    /// Values are in [`Columns::h`].
    Histogram,
}

/// `len` samples of one kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRun {
    pub kind: Kind,
    pub len: usize,
}

/// Samples of one series in time order. `t` has all timestamps; `runs` says which of them are floats and
/// which histograms; `v` and `h` hold the values of each kind in order. A series of floats only has one run,
/// so `t[i]` belongs to `v[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    pub t: Vec<Timestamp>,
    pub runs: Vec<KindRun>,
    pub v: Vec<f64>,
    pub h: Vec<Arc<FloatHistogram>>,
    /// When what the samples count began, one for each of `t`, 0 where unknown. Empty if no sample knows it, which is
    /// the rule; it may be shorter than `t`, the rest being unknown.
    pub st: Vec<Timestamp>,
    /// What the reader looks at. A source may give more, and must give all ([`Self::whole`]) where it does not hand on each sample
    /// with its neighbours.
    pub need: Need,
}

/// What of the samples a reader looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Samples after this time may be left out.
    pub until: Timestamp,
    /// Of histograms, the ends of windows.
    pub edges: Option<Edges>,
}

impl Default for Need {
    /// All of them.
    fn default() -> Self {
        Self {
            until: Timestamp::MAX,
            edges: None,
        }
    }
}

/// A reader of windows `(end - range, end]` that looks at the first and the last histogram of each, and for counter resets at
/// those next to each other. In place of a histogram between, which is known to follow no reset, the one before may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges {
    pub first_end: Timestamp,
    pub last_end: Timestamp,
    /// Milliseconds from one end to the next, above 0.
    pub step: i64,
    /// Milliseconds.
    pub range: i64,
}

impl Edges {
    /// The first start or end of a window at or after `t`; `Timestamp::MAX` after the last one.
    #[must_use]
    pub fn at_or_after(&self, t: Timestamp) -> Timestamp {
        let end = |t: Timestamp| {
            let steps = t
                .saturating_sub(self.first_end)
                .max(0)
                .saturating_add(self.step - 1)
                / self.step;
            let end = steps
                .saturating_mul(self.step)
                .saturating_add(self.first_end);
            if end > self.last_end {
                Timestamp::MAX
            } else {
                end
            }
        };
        let start = match end(t.saturating_add(self.range)) {
            Timestamp::MAX => Timestamp::MAX,
            end => end.saturating_sub(self.range),
        };
        end(t).min(start)
    }
}

impl Columns {
    /// Columns for a reader who needs this.
    #[must_use]
    pub fn for_reader(need: Need) -> Self {
        Self {
            need,
            ..Self::default()
        }
    }

    /// Reads all there is, whatever is needed.
    pub fn whole<R>(&mut self, read: impl FnOnce(&mut Self) -> R) -> R {
        let need = std::mem::take(&mut self.need);
        let result = read(self);
        self.need = need;
        result
    }

    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.t.clear();
        self.runs.clear();
        self.v.clear();
        self.h.clear();
        self.st.clear();
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.t.is_empty()
    }

    /// Whether all samples are floats.
    #[must_use]
    pub fn floats_only(&self) -> bool {
        self.h.is_empty()
    }

    /// Appends a float.
    pub fn push_float(&mut self, t: Timestamp, v: f64) {
        self.t.push(t);
        self.v.push(v);
        self.extend_run(Kind::Float, 1);
    }

    /// Appends a histogram.
    pub fn push_histogram(&mut self, t: Timestamp, h: impl Into<Arc<FloatHistogram>>) {
        self.t.push(t);
        self.h.push(h.into());
        self.extend_run(Kind::Histogram, 1);
    }

    /// Sets the start timestamp of the last sample.
    pub fn set_start(&mut self, st: Timestamp) {
        self.st.resize(self.t.len(), 0);
        if let Some(last) = self.st.last_mut() {
            *last = st;
        }
    }

    /// Accounts for `len` samples of `kind` that were pushed to `t` and `v` (or `h`) directly.
    pub fn extend_run(&mut self, kind: Kind, len: usize) {
        match self.runs.last_mut() {
            Some(run) if run.kind == kind => run.len += len,
            _ if len == 0 => {}
            _ => self.runs.push(KindRun { kind, len }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn edges_are_the_borders_of_windows(
            first_end in -50i64..50,
            step in 1i64..30,
            steps in 0i64..6,
            range in 1i64..70,
            t in -200i64..300,
        ) {
            let edges = Edges { first_end, last_end: first_end + steps * step, step, range };
            let ends = (0..=steps).map(|at| first_end + at * step);
            let borders = ends.flat_map(|end| [end - range, end]);
            let wanted = borders.filter(|border| *border >= t).min();
            prop_assert_eq!(edges.at_or_after(t), wanted.unwrap_or(Timestamp::MAX));
        }
    }
}
