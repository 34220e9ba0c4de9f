//! Native histograms with float counts. Fields, arithmetic and interpolation are those of Prometheus
//! (`model/histogram` and `promql/quantile.go`), to the last bit: bucket layouts are merged as ordered sequences of
//! (index, count), sums are compensated where Prometheus compensates.

mod add;
mod bounds;
mod buckets;
mod integer;
mod layout;
mod mean;
mod quantile;
mod reset;
mod text;
mod trim;
mod zero;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use add::{Incompatible, Joined};
pub use buckets::Bucket;
pub use integer::{Histogram, absolute};
pub use mean::{Mean, Sum};
pub use quantile::{Fraction, Quantile, SkippedNan};
pub use text::format_short;
pub use trim::Keep;

/// The schema of histograms with custom bounds.
pub const CUSTOM_BUCKETS: i32 = -53;

/// The finest exponential schema that is calculated with.
pub const FINEST_SCHEMA: i32 = 8;

/// The coarsest exponential schema that is calculated with.
pub const COARSEST_SCHEMA: i32 = -4;

/// What is known of a counter reset before this histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterReset {
    /// Nothing is known: compare with the sample before.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the end of the run before; for the first run, the index of its first bucket.
    pub offset: i32,
    /// How many buckets the run has.
    pub length: u32,
}

/// A native histogram: exponential buckets of `schema`, or custom bounds where the schema is [`CUSTOM_BUCKETS`].
/// Layouts are shared by the histograms of a chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    pub counter_reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Arc<[Span]>,
    pub negative_spans: Arc<[Span]>,
    /// Absolute counts, one for each bucket of `positive_spans`.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts, one for each bucket of `negative_spans`.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending; the last bucket ends at infinity and has none.
    pub custom_values: Arc<[f64]>,
}

impl FloatHistogram {
    /// The marker of a series that ended, in a series of histograms.
    #[must_use]
    pub fn stale() -> Self {
        Self {
            sum: crate::stale_nan(),
            ..Self::default()
        }
    }

    /// Whether this is the stale marker.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the buckets have custom bounds.
    #[must_use]
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Scales all counts and the sum. A negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.scale_by(|v| v * factor);
        if factor < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
    }

    /// As [`Self::mul`] by the inverse; division by zero removes the buckets.
    pub fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            for side in [&mut self.positive_buckets, &mut self.negative_buckets] {
                side.clear();
            }
            (self.positive_spans, self.negative_spans) = Default::default();
        }
        self.scale_by(|v| v / divisor);
        if divisor < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
    }

    fn scale_by(&mut self, change: impl Fn(f64) -> f64) {
        let totals = [&mut self.zero_count, &mut self.count, &mut self.sum];
        let buckets = self.positive_buckets.iter_mut();
        for v in totals
            .into_iter()
            .chain(buckets)
            .chain(&mut self.negative_buckets)
        {
            *v = change(*v);
        }
    }

    /// Whether anything has left the range of floats.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(self.custom_values.iter())
            .any(|v| v.is_infinite())
    }

    /// Whether `other` has the same data: the same buckets, empty ones too, and the same bits. What is known of
    /// resets does not count.
    #[must_use]
    pub fn same_data(&self, other: &Self) -> bool {
        let bits = |h: &Self| [h.zero_count, h.count, h.sum].map(f64::to_bits);
        self.schema == other.schema
            && bits(self) == bits(other)
            && self.zero_threshold == other.zero_threshold
            && (!self.has_custom_buckets() || self.custom_values == other.custom_values)
            && layout::same_spans(&self.positive_spans, &other.positive_spans)
            && layout::same_spans(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// A sum and what rounding took from it (Neumaier).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Compensated {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Compensated {
    pub(super) fn add(&mut self, v: f64) {
        let sum = self.sum + v;
        self.lost = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= v.abs() {
            self.lost + ((self.sum - sum) + v)
        } else {
            self.lost + ((v - sum) + self.sum)
        };
        self.sum = sum;
    }
}
