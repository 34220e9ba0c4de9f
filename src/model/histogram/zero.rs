//! Zero buckets of two histograms made the same width. The wider one takes in what lies inside of it; where it would
//! cut a populated bucket it grows to that bucket's end.

use super::add::Compensation;
use super::layout::compacted;
use super::{Bucket, Compensated, FloatHistogram};

/// What the zero bucket would be with a larger threshold.
pub(super) struct Widened {
    pub(super) count: Compensated,
    pub(super) threshold: f64,
}

impl FloatHistogram {
    /// The zero bucket with at least the threshold `wanted`, which must not be below the histogram's own.
    pub(super) fn widened_zero(&self, wanted: f64, compensation: Option<&Compensation>) -> Widened {
        let mut count = Compensated {
            sum: self.zero_count,
            lost: compensation.map_or(0.0, |c| c.zero_count),
        };
        let mut threshold = wanted;
        if wanted == self.zero_threshold {
            return Widened { count, threshold };
        }
        loop {
            // The compensation stays from round to round, as in Prometheus.
            count.sum = self.zero_count;
            let lost = compensation.map(|c| c.positive.as_slice());
            if let Some(cut) = take_in(&mut count, self.positive(), lost, threshold) {
                threshold = cut;
            }
            let lost = compensation.map(|c| c.negative.as_slice());
            match take_in(&mut count, self.negative(), lost, threshold) {
                // The positive side has to be done again.
                Some(cut) => threshold = cut,
                None => return Widened { count, threshold },
            }
        }
    }

    /// Takes the zero bucket `widened` on and drops the buckets inside of it.
    fn widen_zero(&mut self, widened: &Widened, compensation: &mut Option<Compensation>) {
        self.zero_count = widened.count.sum;
        self.zero_threshold = widened.threshold;
        if let Some(c) = compensation {
            c.zero_count = widened.count.lost;
        }
        let inside =
            |bucket: &Bucket| bucket.lower.abs().min(bucket.upper.abs()) < widened.threshold;
        let positive = self.positive().take_while(inside).count();
        let negative = self.negative().take_while(inside).count();
        let mut nowhere = (Vec::new(), Vec::new());
        let (lost_positive, lost_negative) = match compensation {
            Some(c) => (&mut c.positive, &mut c.negative),
            None => (&mut nowhere.0, &mut nowhere.1),
        };
        let sides = [
            (
                &mut self.positive_spans,
                &mut self.positive_buckets,
                lost_positive,
                positive,
            ),
            (
                &mut self.negative_spans,
                &mut self.negative_buckets,
                lost_negative,
                negative,
            ),
        ];
        for (spans, counts, lost, dropped) in sides {
            counts.iter_mut().take(dropped).for_each(|v| *v = 0.0);
            lost.iter_mut().take(dropped).for_each(|v| *v = 0.0);
            let lost_of = lost.iter().copied().chain(std::iter::repeat(0.0));
            let buckets = super::buckets::Indexed::new(spans, counts)
                .zip(lost_of)
                .map(|((index, sum), lost)| (index, Compensated { sum, lost }));
            let nothing = Compensated::default();
            let layout = compacted(buckets, |cell| *cell == nothing, 0, nothing);
            *spans = layout.spans.into();
            *counts = layout.cells.iter().map(|cell| cell.sum).collect();
            *lost = layout.cells.iter().map(|cell| cell.lost).collect();
        }
    }

    /// Makes this histogram's zero bucket as wide as both need. Returns what `other` has in a bucket of that width.
    pub(super) fn reconcile_zero(
        &mut self,
        other: &Self,
        compensation: &mut Option<Compensation>,
    ) -> Compensated {
        let mut count = Compensated {
            sum: other.zero_count,
            lost: 0.0,
        };
        let mut threshold = other.zero_threshold;
        // NaN is unequal to all and neither larger nor smaller.
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                let widened = other.widened_zero(self.zero_threshold, None);
                (count, threshold) = (widened.count, widened.threshold);
            }
            if threshold > self.zero_threshold {
                let widened = self.widened_zero(threshold, compensation.as_ref());
                self.widen_zero(&widened, compensation);
            }
        }
        count
    }
}

/// Adds the buckets that begin inside of `threshold`. Returns the end of the last of them if it is cut and populated.
fn take_in(
    count: &mut Compensated,
    buckets: impl Iterator<Item = Bucket>,
    lost: Option<&[f64]>,
    threshold: f64,
) -> Option<f64> {
    for (at, bucket) in buckets.enumerate() {
        let (near, far) = match bucket.lower >= 0.0 {
            true => (bucket.lower, bucket.upper),
            false => (-bucket.upper, -bucket.lower),
        };
        if near >= threshold {
            break;
        }
        count.add(bucket.count);
        if let Some(lost) = lost {
            count.add(lost.get(at).copied().unwrap_or_default());
        }
        if far > threshold {
            return (bucket.count != 0.0).then_some(far);
        }
    }
    None
}
