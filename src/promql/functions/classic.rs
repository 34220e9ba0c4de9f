//! Classic histograms: one series for each bucket, its upper bound in the label `le`, its count cumulative. Quantile
//! and share are interpolated linearly (Prometheus `promql/quantile.go`).

/// A cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Decreases that were removed because counts must not fall from bucket to bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    pub(crate) least_bucket: f64,
    pub(crate) greatest_bucket: f64,
    pub(crate) greatest_difference: f64,
}

/// Relative differences below this are taken for rounding.
const TOLERANCE: f64 = 1e-12;

/// The value that the share `q` of the observations lies below, and what had to be corrected.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !sort(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let (Some(last), true) = (buckets.last(), buckets.len() >= 2) else {
        return (f64::NAN, forced);
    };
    if last.count == 0.0 {
        return (f64::NAN, forced);
    }
    (interpolate(buckets, q * last.count), forced)
}

/// The value at `rank` of at least two buckets.
fn interpolate(buckets: &[ClassicBucket], rank: f64) -> f64 {
    let finite = &buckets[..buckets.len() - 1];
    // NaN is in no bucket.
    let below = |count: f64| {
        count
            .partial_cmp(&rank)
            .is_none_or(std::cmp::Ordering::is_lt)
    };
    let at = finite.partition_point(|bucket| below(bucket.count));
    let before = at.checked_sub(1).map(|at| buckets[at]);
    match (finite.get(at), before) {
        (None, _) => finite[finite.len() - 1].upper,
        (Some(first), None) if first.upper <= 0.0 => first.upper,
        (Some(bucket), None) => bucket.upper * (rank / bucket.count),
        (Some(bucket), Some(before)) => {
            let (count, rank) = (bucket.count - before.count, rank - before.count);
            before.upper + (bucket.upper - before.upper) * (rank / count)
        }
    }
}

/// The share of the observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !sort(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |last| last.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut rank = 0.0;
    let mut begin = match buckets.first() {
        Some(first) if first.upper <= 0.0 => f64::NEG_INFINITY,
        _ => 0.0,
    };
    for bucket in buckets.iter() {
        for (at, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                *found = rank_in(bucket, begin, at, rank);
            }
        }
        (rank, begin) = (bucket.count, bucket.upper);
    }
    let within = |rank: Option<f64>| match rank {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    (within(upper_rank) - within(lower_rank)) / count
}

/// How many observations lie below `at`, if it is in the bucket or where it begins.
fn rank_in(bucket: &ClassicBucket, begin: f64, at: f64, rank: f64) -> Option<f64> {
    if begin >= at {
        return Some(rank);
    }
    if begin < at && bucket.upper > at {
        // No interpolation in an endless bucket.
        return Some(match begin == f64::NEG_INFINITY {
            true => bucket.count,
            false => rank + (bucket.count - rank) * (at - begin) / (bucket.upper - begin),
        });
    }
    None
}

/// Sorts by bound and joins buckets of one bound. Whether the last one is endless, as it must be.
fn sort(buckets: &mut Vec<ClassicBucket>) -> bool {
    let order = |a: &ClassicBucket, b: &ClassicBucket| a.upper.partial_cmp(&b.upper);
    buckets.sort_by(|a, b| order(a, b).unwrap_or(std::cmp::Ordering::Equal));
    if buckets
        .last()
        .is_none_or(|last| last.upper != f64::INFINITY)
    {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Takes small differences for rounding, and removes decreases.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let (first, rest) = buckets.split_first_mut()?;
    let mut before = first.count;
    let mut forced: Option<Forced> = None;
    for bucket in rest {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let difference = before - count;
            let so_far = forced.get_or_insert(Forced {
                least_bucket: bucket.upper,
                greatest_bucket: bucket.upper,
                greatest_difference: 0.0,
            });
            so_far.least_bucket = so_far.least_bucket.min(bucket.upper);
            so_far.greatest_bucket = so_far.greatest_bucket.max(bucket.upper);
            so_far.greatest_difference = so_far.greatest_difference.max(difference);
        } else {
            before = count;
        }
    }
    forced
}

/// Equal but for rounding (<http://floating-point-gui.de/errors/comparison/>).
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return model::is_stale(a) == model::is_stale(b);
    }
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The bound that a label `le` names.
pub(crate) fn bound(le: &str) -> Option<f64> {
    let bound: f64 = le.parse().ok()?;
    // More than a float holds is an error for Prometheus.
    let overflows = bound.is_infinite() && le.bytes().any(|byte| byte.is_ascii_digit());
    (!overflows).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        let bucket = |(upper, count): &(f64, f64)| ClassicBucket {
            upper: *upper,
            count: *count,
        };
        pairs.iter().map(bucket).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn a_quantile_lies_on_the_line_of_its_bucket() {
        let of = |q, pairs: &[(f64, f64)]| quantile(q, &mut buckets(pairs)).0;
        let plain = [(INF, 4.0), (0.1, 1.0), (0.2, 3.0)];
        assert_eq!(of(0.5, &plain), 0.1 + 0.1 * 0.5);
        assert_eq!(of(0.9, &plain), 0.2);
        assert_eq!(of(0.125, &plain), 0.05);
        assert_eq!(of(0.1, &[(-1.0, 5.0), (INF, 5.0)]), -1.0);
        assert!(of(0.5, &[(0.1, 1.0), (0.2, 3.0)]).is_nan());
        assert!(of(0.5, &[(INF, 3.0)]).is_nan());
        assert_eq!(of(-1.0, &plain), -INF);
    }

    #[test]
    fn falling_counts_are_lifted_and_told() {
        let (value, forced) = quantile(
            0.5,
            &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (4.0, 4.0), (INF, 10.0)]),
        );
        assert_eq!(value, 1.0);
        let forced = forced.map(|f| (f.least_bucket, f.greatest_bucket, f.greatest_difference));
        assert_eq!(forced, Some((2.0, 4.0, 2.0)));
        let rounded = quantile(
            0.5,
            &mut buckets(&[(1.0, 5.0), (2.0, 5.0 - 1e-13), (INF, 10.0)]),
        );
        assert_eq!(rounded, (1.0, None));
    }

    #[test]
    fn a_fraction_counts_what_lies_between() {
        let pairs = [(1.0, 2.0), (2.0, 6.0), (INF, 8.0)];
        assert_eq!(fraction(0.5, 2.0, &mut buckets(&pairs)), 5.0 / 8.0);
        assert_eq!(fraction(-INF, INF, &mut buckets(&pairs)), 1.0);
        assert_eq!(fraction(2.0, 1.0, &mut buckets(&pairs)), 0.0);
    }

    #[test]
    fn bounds_are_what_go_reads_as_a_float() {
        assert_eq!(
            (bound("+Inf"), bound("0.5"), bound("1e400"), bound("")),
            (Some(INF), Some(0.5), None, None)
        );
    }
}
