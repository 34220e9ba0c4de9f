//! Native histograms where the engine meets them: what operators, folds and functions do when a value is no float.
//! The arithmetic itself is `model`'s.

mod call;
mod change;
mod counts;
mod fold;
mod notes;
mod operator;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::{CounterReset, FloatHistogram};

use super::points::HistogramPoint;

pub(super) use counts::{CountsOnly, drop_buckets};
pub(super) use fold::HistogramFolds;
pub(super) use operator::{Outcome, operate};
pub(super) use window::between;

/// `-x`.
pub(super) fn negate(point: &mut HistogramPoint) {
    Arc::make_mut(&mut point.h).mul(-1.0);
}

/// A histogram of a subquery: what its hint said of its neighbours does not hold among those that the subquery shows.
pub(super) fn without_hint(mut h: Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    if matches!(
        h.counter_reset,
        CounterReset::Reset | CounterReset::NotReset
    ) {
        Arc::make_mut(&mut h).counter_reset = CounterReset::Unknown;
    }
    h
}

/// As Prometheus prints a histogram.
pub(super) fn text(h: &FloatHistogram) -> String {
    h.to_string()
}
