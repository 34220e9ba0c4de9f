//! `rate`, `increase` and `delta` over windows of one series: last minus first plus what counter resets hid,
//! extrapolated to the window's borders. The steps and their order are those of Prometheus's `extrapolatedRate`, so
//! that the bits are the same; what a step of the query costs is the resets inside its window only.

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
        if self.counter {
            let falls = v
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[1] < pair[0]);
            resets.extend(falls.map(|(at, _)| at + 1));
        }
    }

    /// The value over one window that ends at `end` (milliseconds), or none for fewer than two samples. `resets`
    /// are those inside of the window.
    pub(crate) fn over(self, window: &Window<'_>, end: i64) -> Option<f64> {
        let [first_t, .., last_t] = *window.t else {
            return None;
        };
        let [first_v, .., last_v] = *window.v else {
            return None;
        };
        let change = window
            .resets()
            .fold(last_v - first_v, |sum, before| sum + before);

        let seconds = |ms: i64| ms as f64 / 1000.0;
        let start = end.saturating_sub(self.range);
        let sampled = seconds(last_t.saturating_sub(first_t));
        let average = sampled / (window.t.len() - 1) as f64;
        // A border farther away than this is not the scrape interval's doing: the series begins or ends inside.
        let threshold = average * 1.1;
        let close = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };

        let mut to_start = close(seconds(first_t.saturating_sub(start)));
        if self.counter && change > 0.0 && first_v >= 0.0 {
            // A counter does not come from below zero.
            let to_zero = sampled * (first_v / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let to_end = close(seconds(end.saturating_sub(last_t)));

        let mut factor = (sampled + to_start + to_end) / sampled;
        if self.per_second {
            factor /= self.range_seconds();
        }
        Some(change * factor)
    }

    /// As Go's `Duration.Seconds` rounds.
    fn range_seconds(self) -> f64 {
        (self.range / 1000) as f64 + (self.range % 1000 * 1_000_000) as f64 / 1e9
    }
}

/// The samples of one series in one window, and where its counter was reset.
pub(crate) struct Window<'a> {
    pub(crate) t: &'a [i64],
    pub(crate) v: &'a [f64],
    /// Index of `t[0]` in the series.
    pub(crate) offset: usize,
    /// Indices in the series of the resets inside, the first sample's own excluded.
    pub(crate) resets: &'a [usize],
}

impl Window<'_> {
    /// The value before each reset.
    fn resets(&self) -> impl Iterator<Item = f64> {
        self.resets
            .iter()
            .filter_map(|at| self.v.get(at.checked_sub(self.offset + 1)?).copied())
    }
}
