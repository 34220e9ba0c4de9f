//! What `…_over_time` functions make of the values in one window, in sample order.

use super::kahan::{Compensated, Mean};

/// `avg_over_time`. The window is not empty.
pub(crate) fn average(v: &[f64]) -> Option<f64> {
    let (first, rest) = v.split_first()?;
    let mut mean = Mean::of(*first);
    rest.iter().for_each(|v| mean.add(*v));
    Some(mean.value())
}

/// `sum_over_time`.
pub(crate) fn sum(v: &[f64]) -> Option<f64> {
    let sum = v
        .iter()
        .copied()
        .fold(Compensated::default(), Compensated::add);
    let infinite = sum.sum.is_infinite();
    (!v.is_empty()).then(|| if infinite { sum.sum } else { sum.total() })
}

/// `stdvar_over_time`: Welford's recurrence with compensated sums.
pub(crate) fn variance(v: &[f64]) -> Option<f64> {
    let (mut count, mut mean, mut squares) = (0.0, Compensated::default(), Compensated::default());
    for v in v {
        count += 1.0;
        let delta = v - mean.total();
        mean = mean.add(delta / count);
        squares = squares.add(delta * (v - mean.total()));
    }
    (count > 0.0).then(|| squares.total() / count)
}

/// `quantile` and `quantile_over_time`: between the two values around the rank. Sorts `values`, NaN first.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// `mad_over_time`: the median distance from the median. `scratch` is used again.
pub(crate) fn median_deviation(v: &[f64], scratch: &mut Vec<f64>) -> Option<f64> {
    if v.is_empty() {
        return None;
    }
    if v.iter().any(|v| v.is_nan()) {
        return Some(f64::NAN);
    }
    scratch.clear();
    scratch.extend_from_slice(v);
    let median = quantile(0.5, scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    Some(quantile(0.5, scratch))
}

/// Which end of the values is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Least,
    Greatest,
}

impl Extreme {
    /// Where the extreme is: the first one, NaN giving way to anything.
    pub(crate) fn first(self, v: &[f64]) -> Option<usize> {
        self.find(v, |v, best| match self {
            Self::Least => v < best,
            Self::Greatest => v > best,
        })
    }

    /// The last of equal ones.
    pub(crate) fn last(self, v: &[f64]) -> Option<usize> {
        self.find(v, |v, best| match self {
            Self::Least => v <= best,
            Self::Greatest => v >= best,
        })
    }

    fn find(self, v: &[f64], beats: impl Fn(f64, f64) -> bool) -> Option<usize> {
        let mut best = 0;
        for (at, v_at) in v.iter().enumerate() {
            if beats(*v_at, v[best]) || v[best].is_nan() {
                best = at;
            }
        }
        (!v.is_empty()).then_some(best)
    }
}

/// `changes`: NaN after NaN is no change.
pub(crate) fn changes(v: &[f64]) -> f64 {
    let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    v.windows(2).filter(changed).count() as f64
}

/// `resets` of a counter.
pub(crate) fn resets(v: &[f64]) -> f64 {
    v.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn windows_are_summed_up() {
        let v = [4.0, 2.0, 8.0, 2.0];
        assert_eq!(average(&v), Some(4.0));
        assert_eq!(sum(&v), Some(16.0));
        assert_eq!(variance(&v), Some(6.0));
        assert_eq!(quantile(0.5, &mut v.to_vec()), 3.0);
        assert_eq!(quantile(0.25, &mut v.to_vec()), 2.0);
        assert_eq!(
            median_deviation(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0], &mut Vec::new()),
            Some(1.0)
        );
        assert_eq!((changes(&v), resets(&v)), (3.0, 2.0));
        assert_eq!(changes(&[NAN, NAN, 1.0]), 1.0);
        assert_eq!((average(&[]), sum(&[]), variance(&[])), (None, None, None));
    }

    #[test]
    fn extremes_prefer_anything_to_nan() {
        let v = [NAN, 3.0, 5.0, 3.0, NAN, 5.0];
        assert_eq!(
            (Extreme::Least.first(&v), Extreme::Least.last(&v)),
            (Some(1), Some(3))
        );
        assert_eq!(
            (Extreme::Greatest.first(&v), Extreme::Greatest.last(&v)),
            (Some(2), Some(5))
        );
        assert_eq!(Extreme::Least.first(&[NAN]), Some(0));
    }

    #[test]
    fn quantiles_outside_of_their_range_are_infinite() {
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [1.0]), f64::INFINITY);
        assert!(quantile(NAN, &mut [1.0]).is_nan());
        assert!(quantile(0.0, &mut [1.0, NAN]).is_nan());
    }
}
