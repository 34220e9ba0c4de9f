//! Trimming (`</` and `>/` of PromQL): what was observed above or below a value is taken out, as far as the buckets
//! tell. A bucket that the value cuts is divided by interpolation.

use super::{Bucket, FloatHistogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those below the value (`</`).
    Below,
    /// Those above it (`>/`).
    Above,
}

/// What stays of a bucket, and where its middle is.
#[derive(Clone, Copy, Default)]
struct Kept {
    count: f64,
    middle: f64,
}

/// Count and sum of what stayed.
#[derive(Default)]
struct Totals {
    count: f64,
    sum: f64,
    trimmed: bool,
}

impl Totals {
    fn take(&mut self, kept: Kept, before: f64) {
        self.count += kept.count;
        self.sum += kept.middle * kept.count;
        self.trimmed |= kept.count != before;
    }
}

impl FloatHistogram {
    /// Takes out what lies on the other side of `at`. Count and sum are estimated anew if anything was taken out.
    pub fn trim(&mut self, at: f64, keep: Keep) {
        let mut totals = Totals::default();
        let linear = self.has_custom_buckets();
        let mut trim_side = |buckets: Vec<Bucket>, counts: &mut [f64], positive| {
            let mut populated = false;
            for (bucket, count) in buckets.iter().zip(counts) {
                if bucket.count == 0.0 {
                    continue;
                }
                populated = true;
                let kept = trim_bucket(bucket, at, keep, positive, linear);
                totals.take(kept, bucket.count);
                *count = kept.count;
            }
            populated
        };
        let (positive, negative) = (self.positive().collect(), self.negative().collect());
        let has_positive = trim_side(positive, &mut self.positive_buckets, true);
        let has_negative = trim_side(negative, &mut self.negative_buckets, false);
        if self.zero_count > 0.0 {
            let kept = trim_zero(self.zero_bucket(), at, keep, has_negative, has_positive);
            totals.take(kept, self.zero_count);
            self.zero_count = kept.count;
        }
        if totals.trimmed {
            (self.count, self.sum) = (totals.count, totals.sum);
            self.compact();
        }
    }
}

fn trim_bucket(bucket: &Bucket, at: f64, keep: Keep, positive: bool, linear: bool) -> Kept {
    let Bucket {
        lower,
        upper,
        count,
        ..
    } = *bucket;
    let (whole, cut) = match keep {
        Keep::Below => (upper <= at, lower < at),
        Keep::Above => (lower >= at, upper > at),
    };
    if whole {
        let middle = middle(lower, upper, positive, linear);
        return Kept { count, middle };
    }
    if !cut {
        return Kept::default();
    }
    if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
        return trim_infinite(bucket, at, keep);
    }
    let below = if at <= lower {
        0.0
    } else if at >= upper {
        count
    } else {
        count * bucket.share_below(at, linear)
    };
    match keep {
        Keep::Below => Kept {
            count: below,
            middle: middle(lower, at, positive, linear),
        },
        Keep::Above => Kept {
            count: count - below,
            middle: middle(at, upper, positive, linear),
        },
    }
}

/// A bucket without end cannot be divided: it goes, unless it is the first of custom buckets and reaches above zero,
/// where it counts as beginning at zero.
fn trim_infinite(bucket: &Bucket, at: f64, keep: Keep) -> Kept {
    let Bucket {
        lower,
        upper,
        count,
        ..
    } = *bucket;
    if lower != f64::NEG_INFINITY {
        return match keep {
            Keep::Above if at >= lower => Kept { count, middle: at },
            _ => Kept::default(),
        };
    }
    match keep {
        Keep::Below if at >= upper => Kept { count, middle: 0.0 },
        Keep::Below if at > 0.0 && upper > 0.0 && upper != f64::INFINITY => Kept {
            count: count * at / upper,
            middle: at / 2.0,
        },
        Keep::Below if upper <= 0.0 => Kept { count, middle: at },
        Keep::Above if at <= lower => Kept { count, middle: 0.0 },
        Keep::Above if at >= 0.0 && upper > at && upper != f64::INFINITY => Kept {
            count: count * (1.0 - at / upper),
            middle: (at + upper) / 2.0,
        },
        _ => Kept::default(),
    }
}

fn trim_zero(bucket: Bucket, at: f64, keep: Keep, has_negative: bool, has_positive: bool) -> Kept {
    let Bucket {
        mut lower,
        mut upper,
        count,
        ..
    } = bucket;
    if has_negative && !has_positive {
        upper = 0.0;
    }
    if has_positive && !has_negative {
        lower = 0.0;
    }
    let whole = Kept {
        count,
        middle: (lower + upper) / 2.0,
    };
    match keep {
        Keep::Below if at <= lower => Kept::default(),
        Keep::Below if at >= upper => whole,
        Keep::Below => Kept {
            count: count * ((at - lower) / (upper - lower)),
            middle: (lower + at) / 2.0,
        },
        Keep::Above if at <= lower => whole,
        Keep::Above if at >= upper => Kept::default(),
        Keep::Above => Kept {
            count: count * ((upper - at) / (upper - lower)),
            middle: (at + upper) / 2.0,
        },
    }
}

/// The arithmetic middle, or the geometric one of exponential buckets.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let middle = (lower * upper).abs().sqrt();
            if positive { middle } else { -middle }
        }
    }
}
