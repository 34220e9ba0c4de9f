//! `rate`, `increase` and `delta` over windows of one series: last minus first plus what counter resets hid,
//! extrapolated to the window's borders. The steps and their order are those of Prometheus's `extrapolatedRate`, so
//! that the bits are the same; what a step of the query costs is the resets inside its window only.

use super::start;
use crate::engine::samples::Window;

/// Values that are compared at once.
const COMPARED: usize = 64;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Falling values are resets.
    pub(crate) counter: bool,
    pub(crate) per_second: bool,
    /// The window's length, milliseconds.
    pub(crate) range: i64,
}

impl Rate {
    /// The function called `name` over `range`, if it is one of these.
    pub(crate) fn of(name: &str, range: i64) -> Option<Self> {
        match name {
            "rate" => Some(Self {
                counter: true,
                per_second: true,
                range,
            }),
            "increase" => Some(Self {
                counter: true,
                per_second: false,
                range,
            }),
            "delta" => Some(Self {
                counter: false,
                per_second: false,
                range,
            }),
            _ => None,
        }
    }

    /// Finds the resets of a series: the indices of the values below their predecessor.
    pub(crate) fn find_resets(self, v: &[f64], resets: &mut Vec<usize>) {
        resets.clear();
        if !self.counter {
            return;
        }
        for start in (1..v.len()).step_by(COMPARED) {
            let end = (start + COMPARED).min(v.len());
            let pairs = || v[start - 1..end - 1].iter().zip(&v[start..end]);
            // Without a branch for each value: mostly nothing falls.
            let any = pairs().fold(false, |any, (before, now)| any | (now < before));
            if any {
                let falls = pairs()
                    .zip(start..)
                    .filter(|((before, now), _)| now < before);
                resets.extend(falls.map(|(_, at)| at));
            }
        }
    }

    /// The value over one window, or none for fewer than two samples. `resets` are the indices in the series of the
    /// resets inside of the window, the first sample's own excluded.
    pub(crate) fn over(self, window: &Window<'_>, resets: &[usize]) -> Option<f64> {
        let [first_v, .., last_v] = window.v else {
            return None;
        };
        let before = |at: &usize| window.v.get(at.checked_sub(window.first + 1)?);
        let hidden = resets.iter().filter_map(before);
        let change = hidden.fold(last_v - first_v, |sum, before| sum + before);

        let borders = (window.start, window.end);
        Some(change * self.factor(window.t, borders, *first_v, change)?)
    }

    /// What a change between the samples at `t` is to be multiplied with: extrapolated to the borders, and by second.
    /// `first` is the first value. None for fewer than two samples.
    pub(crate) fn factor(
        self,
        t: &[i64],
        (start, end): (i64, i64),
        first: f64,
        change: f64,
    ) -> Option<f64> {
        let [first_t, .., last_t] = *t else {
            return None;
        };
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let sampled = seconds(last_t.saturating_sub(first_t));
        let average = sampled / (t.len() - 1) as f64;
        // A border farther away than this is not the scrape interval's doing: the series begins or ends inside.
        let threshold = average * 1.1;
        let close = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };

        let mut to_start = close(seconds(first_t.saturating_sub(start)));
        if self.counter && change > 0.0 && first >= 0.0 {
            // A counter does not come from below zero.
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let to_end = close(seconds(end.saturating_sub(last_t)));

        let mut factor = (sampled + to_start + to_end) / sampled;
        if self.per_second {
            factor /= self.range_seconds();
        }
        Some(factor)
    }

    /// [`Self::factor`] of a counter whose first sample began inside of the window, at `began`: nothing is extrapolated
    /// to the start then, and one sample is enough.
    pub(crate) fn factor_since(self, began: i64, t: &[i64], end: i64) -> Option<f64> {
        let (first_t, last_t) = (*t.first()?, *t.last()?);
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let average = match t.len() {
            1 => 0.0,
            len => seconds(last_t.saturating_sub(first_t)) / (len - 1) as f64,
        };
        let mut to_end = seconds(end.saturating_sub(last_t));
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        let sampled = seconds(last_t.saturating_sub(began));
        let mut factor = (sampled + 0.0 + to_end) / sampled;
        if self.per_second {
            factor /= self.range_seconds();
        }
        Some(factor)
    }

    /// The value over one window of a counter with start timestamps.
    pub(crate) fn over_started(self, window: &Window<'_>) -> Option<f64> {
        let (first, last) = (*window.v.first()?, *window.v.last()?);
        let mut change = last - first;
        for (pair, (before, now)) in window.v.windows(2).zip(start::pairs(window.st, window.t)) {
            if pair[1] < pair[0] || now.is_reset_after(before) {
                change += pair[0];
            }
        }
        if let Some(began) = start::began_inside(window.st, window.t, window.start) {
            return Some((change + first) * self.factor_since(began, window.t, window.end)?);
        }
        let borders = (window.start, window.end);
        Some(change * self.factor(window.t, borders, first, change)?)
    }

    /// As Go's `Duration.Seconds` rounds.
    pub(crate) fn range_seconds(self) -> f64 {
        (self.range / 1000) as f64 + (self.range % 1000 * 1_000_000) as f64 / 1e9
    }
}
