//! Counter resets between two histograms: a bucket, the zero bucket or the count that fell, or a change of layout that
//! only a restart makes.

use super::layout::same_spans;
use super::{Bucket, CounterReset, FloatHistogram};

impl FloatHistogram {
    /// Whether there was a reset between `previous` and this histogram. What is known is believed; gauges are compared
    /// as if they were counters.
    #[must_use]
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.counter_reset {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        if std::ptr::eq(self, previous) {
            return false;
        }
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !previous.has_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                return self.falls_between_shared_bounds(previous);
            }
        }
        // A finer schema or a narrower zero bucket never comes without one.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero = previous.widened_zero(self.zero_threshold, None);
        zero.threshold != self.zero_threshold
            || self.zero_count < zero.count.sum
            || self.falls(previous, true)
            || self.falls(previous, false)
    }

    /// Whether a bucket of one side is smaller than, or missing from, what it was.
    fn falls(&self, previous: &Self, positive: bool) -> bool {
        let ((spans, counts), (spans_before, before)) =
            (self.side(positive), previous.side(positive));
        let same = self.schema == previous.schema
            && counts.len() == before.len()
            && same_spans(spans, spans_before);
        if same && counts.iter().zip(before).all(|(now, before)| now >= before) {
            return false;
        }
        let buckets = |h: &Self| {
            let (start, schema) = (self.zero_threshold, self.schema);
            h.coarser_from(positive, start, schema).collect::<Vec<_>>()
        };
        let mut now = buckets(self).into_iter().peekable();
        buckets(previous).into_iter().any(|(index, before)| {
            while now.next_if(|(at, _)| *at < index).is_some() {}
            match now.peek() {
                Some((at, count)) if *at == index => *count < before,
                _ => before != 0.0,
            }
        })
    }

    /// As [`Self::falls`] for custom buckets, between the bounds that both histograms have.
    fn falls_between_shared_bounds(&self, previous: &Self) -> bool {
        let (mut now, mut before) = (self.positive().peekable(), previous.positive().peekable());
        let others = &previous.custom_values;
        let shared = self.custom_values.iter().filter(|b| others.contains(b));
        shared
            .chain(&[f64::INFINITY])
            .any(|bound| sum_up_to(&mut now, *bound) < sum_up_to(&mut before, *bound))
    }
}

/// The sum of the next buckets that end at or below `bound`.
fn sum_up_to(buckets: &mut std::iter::Peekable<impl Iterator<Item = Bucket>>, bound: f64) -> f64 {
    let mut sum = 0.0;
    while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= bound) {
        sum += bucket.count;
    }
    sum
}
