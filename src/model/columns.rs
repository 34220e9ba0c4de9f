//! Decoded samples of one series as columns, reused from series to series.

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
    pub h: Vec<FloatHistogram>,
    /// When what the samples count began, one for each of `t`, 0 where unknown. Empty if no sample knows it, which is
    /// the rule; it may be shorter than `t`, the rest being unknown.
    pub st: Vec<Timestamp>,
}

impl Columns {
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
    pub fn push_histogram(&mut self, t: Timestamp, h: FloatHistogram) {
        self.t.push(t);
        self.h.push(h);
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
