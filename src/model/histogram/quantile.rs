//! Quantiles, shares and spread, as far as the buckets tell. Inside of a bucket observations are taken to be spread
//! evenly: on a logarithmic scale in exponential buckets, linearly in custom ones and around zero.

use super::{Bucket, Compensated, FloatHistogram};
use crate::exact::{exp2, log2};

/// What observations of NaN do to a quantile. They are in the count and in no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkippedNan {
    /// There are none.
    None,
    /// They count as the highest: the quantile is too high.
    Skew,
    /// The quantile itself lies among them.
    Result,
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    pub value: f64,
    pub nan: SkippedNan,
}

/// A share of the observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction {
    pub value: f64,
    /// Whether there are observations of NaN.
    pub has_nan: bool,
}

impl FloatHistogram {
    /// The value that the share `q` of all observations lies below.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Quantile {
        let plain = |value| Quantile {
            value,
            nan: SkippedNan::None,
        };
        if q < 0.0 {
            return plain(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return plain(f64::INFINITY);
        }
        if self.count == 0.0 || q.is_nan() {
            return plain(f64::NAN);
        }
        // From the nearer end; with NaN among the observations the upper one is not known.
        if self.sum.is_nan() || q < 0.5 {
            self.quantile_over(self.all(), q * self.count, true)
        } else {
            self.quantile_over(self.all_reverse(), (1.0 - q) * self.count, false)
        }
    }

    fn quantile_over(
        &self,
        mut buckets: impl Iterator<Item = Bucket>,
        mut rank: f64,
        forward: bool,
    ) -> Quantile {
        let plain = |value| Quantile {
            value,
            nan: SkippedNan::None,
        };
        let (mut bucket, mut count) = (Bucket::default(), 0.0);
        for next in buckets.by_ref() {
            bucket = next;
            if bucket.count == 0.0 {
                continue;
            }
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return plain(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return plain(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.narrow_zero(&mut bucket);
        }
        // Rounding may have led above the count.
        if count > self.count {
            count = self.count;
        }
        if count < rank {
            return match self.sum.is_nan() {
                true => Quantile {
                    value: f64::NAN,
                    nan: SkippedNan::Result,
                },
                false => plain(bucket.upper),
            };
        }
        rank = if forward {
            rank - (count - bucket.count)
        } else {
            count - rank
        };
        let mut nan = SkippedNan::None;
        if self.sum.is_nan() {
            // Prometheus interpolates in the last bucket it looks at here, and so does this.
            for next in buckets {
                bucket = next;
                count += bucket.count;
            }
            if count < self.count {
                nan = SkippedNan::Skew;
            }
        }
        let value = self.interpolate(&bucket, rank / bucket.count);
        Quantile { value, nan }
    }

    /// The value at `share` of the bucket.
    fn interpolate(&self, bucket: &Bucket, share: f64) -> f64 {
        if self.has_custom_buckets() || bucket.spans_zero() {
            return bucket.lower + (bucket.upper - bucket.lower) * share;
        }
        let (low, high) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
        if bucket.lower > 0.0 {
            exp2(low + (high - low) * share)
        } else {
            -exp2(high + (low - high) * (1.0 - share))
        }
    }

    /// A histogram with observations on one side of zero only has none on the other side of its zero bucket either.
    fn narrow_zero(&self, bucket: &mut Bucket) {
        match (
            self.negative_buckets.is_empty(),
            self.positive_buckets.is_empty(),
        ) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// The share of all observations between `lower` and `upper`.
    #[must_use]
    pub fn fraction(&self, lower: f64, upper: f64) -> Fraction {
        let plain = |value| Fraction {
            value,
            has_nan: false,
        };
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return plain(f64::NAN);
        }
        if lower >= upper {
            return plain(0.0);
        }
        let (mut lower_rank, mut upper_rank) = (None, None);
        let (mut rank, mut count) = (0.0, 0.0);
        let mut buckets = self.all();
        for mut bucket in buckets.by_ref() {
            count += bucket.count;
            let zero = bucket.spans_zero();
            if zero {
                self.narrow_zero(&mut bucket);
            }
            let linear = zero || self.has_custom_buckets();
            for (at, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
                if found.is_none() {
                    *found = rank_in(&bucket, at, rank, linear);
                }
            }
            if lower_rank.is_some() && upper_rank.is_some() {
                break;
            }
            rank += bucket.count;
        }
        let mut has_nan = false;
        if self.sum.is_nan() {
            count = buckets.fold(count, |count, bucket| count + bucket.count);
            has_nan = count < self.count;
        } else {
            count = self.count;
        }
        let within = |rank: Option<f64>| match rank {
            Some(rank) if rank > count => count,
            Some(rank) => rank,
            None => count,
        };
        let value = (within(upper_rank) - within(lower_rank)) / self.count;
        Fraction { value, has_nan }
    }

    /// The variance, with each bucket's observations at its middle.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut variance = Compensated::default();
        for bucket in self.all().filter(|bucket| bucket.count != 0.0) {
            let middle = if self.has_custom_buckets() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.spans_zero() {
                0.0
            } else {
                let middle = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let delta = middle - mean;
            variance.add(bucket.count * delta * delta);
        }
        (variance.sum + variance.lost) / self.count
    }
}

/// How many observations lie below `at`, if it is in the bucket or at its lower bound; `rank` are those below the
/// bucket.
fn rank_in(bucket: &Bucket, at: f64, rank: f64, linear: bool) -> Option<f64> {
    if bucket.lower >= at {
        return Some(rank);
    }
    if bucket.lower < at && bucket.upper > at {
        if linear && bucket.lower == f64::NEG_INFINITY {
            // No interpolation in an endless bucket.
            return Some(bucket.count);
        }
        return Some(rank + bucket.count * bucket.share_below(at, linear));
    }
    None
}
