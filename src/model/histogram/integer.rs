//! Native histograms with integer counts, as they are scraped and stored: buckets are the differences from one to the
//! next.

use std::sync::Arc;

use super::{CounterReset, FloatHistogram, Span};

/// A native histogram of whole observations. Fields are those of [`FloatHistogram`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub counter_reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    pub sum: f64,
    pub positive_spans: Arc<[Span]>,
    pub negative_spans: Arc<[Span]>,
    /// The first count, then the difference of each to the one before.
    pub positive_deltas: Vec<i64>,
    /// As `positive_deltas`.
    pub negative_deltas: Vec<i64>,
    pub custom_values: Arc<[f64]>,
}

impl Histogram {
    /// The marker of a series that ended.
    #[must_use]
    pub fn stale() -> Self {
        Self {
            sum: crate::stale_nan(),
            ..Self::default()
        }
    }

    /// With float counts.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            counter_reset: self.counter_reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: absolute(self.positive_deltas.iter().copied()),
            negative_buckets: absolute(self.negative_deltas.iter().copied()),
            custom_values: self.custom_values.clone(),
        }
    }
}

/// Counts from their differences.
pub fn absolute(deltas: impl Iterator<Item = i64>) -> Vec<f64> {
    let mut count = 0i64;
    deltas
        .map(|delta| {
            count = count.wrapping_add(delta);
            count as f64
        })
        .collect()
}
