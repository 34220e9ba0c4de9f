//! `rate`, `increase` and `delta` over `anchored` and `smoothed` selectors: the window reaches over its borders, and
//! the values *at* the borders are taken (anchored: the sample before) or interpolated (smoothed), never extrapolated.

/// The samples around a window, and its borders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide<'a> {
    pub(crate) t: &'a [i64],
    pub(crate) v: &'a [f64],
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) smoothed: bool,
}

/// Where a counter's resets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Counter,
    Gauge,
}

impl Wide<'_> {
    /// The last sample up to the start, or the first one; and the first from the end on if smoothed, or the last.
    fn ends(&self) -> Option<(usize, usize)> {
        let last = self.t.len().checked_sub(1)?;
        let before = |limit: i64| self.t[..last].partition_point(|t| *t <= limit);
        let first = before(self.start).saturating_sub(1);
        let last = match self.smoothed {
            true => self.t[..last].partition_point(|t| *t < self.end),
            false => last,
        };
        (self.t[last] > self.start).then_some((first, last))
    }

    fn interpolate(&self, from: usize, at: i64, reading: Reading) -> f64 {
        let (t1, t2) = (self.t[from], self.t[from + 1]);
        let (mut y1, y2) = (self.v[from], self.v[from + 1]);
        if reading == Reading::Counter && y2 < y1 {
            // Reset: the counter began at zero.
            y1 = 0.0;
        }
        y1 + (y2 - y1) * (at.wrapping_sub(t1) as f64) / (t2.wrapping_sub(t1) as f64)
    }

    fn left(&self, first: usize, reading: Reading) -> f64 {
        if self.smoothed && self.t[first] < self.start && first + 1 < self.t.len() {
            return self.interpolate(first, self.start, reading);
        }
        self.v[first]
    }

    fn right(&self, last: usize, reading: Reading) -> f64 {
        if self.smoothed && last > 0 && self.t[last] > self.end {
            return self.interpolate(last - 1, self.end, reading);
        }
        self.v[last]
    }

    /// What the value changed by between the borders, or none without a sample inside.
    pub(crate) fn change(&self, reading: Reading) -> Option<f64> {
        let (first, last) = self.ends()?;
        if self.smoothed && self.t[first] > self.end {
            return None;
        }
        let (left, right) = (self.left(first, reading), self.right(last, reading));
        let mut change = right - left;
        if reading == Reading::Counter {
            change += self.reset_correction(left, right, self.inside(first, last));
        }
        Some(change)
    }

    /// The samples strictly between the borders.
    fn inside(&self, first: usize, last: usize) -> &[f64] {
        let from = first + usize::from(self.t[first] <= self.start);
        let to = last + usize::from(self.t[last] < self.end);
        self.v.get(from..to).unwrap_or_default()
    }

    fn reset_correction(&self, left: f64, right: f64, inside: &[f64]) -> f64 {
        let (mut correction, mut before) = (0.0, left);
        for v in inside.iter().chain([&right]) {
            if *v < before {
                correction += before;
            }
            before = *v;
        }
        correction
    }

    /// The samples inside with those at the borders, as the selector itself shows them.
    pub(crate) fn samples(&self) -> Vec<(i64, f64)> {
        let Some((first, last)) = self.ends() else {
            return Vec::new();
        };
        let left = (self.start, self.left(first, Reading::Gauge));
        let right = (self.end, self.right(last, Reading::Gauge));
        let from = first + usize::from(self.t[first] <= self.start);
        let to = last + usize::from(self.t[last] < self.end);
        let times = self.t.get(from..to).unwrap_or_default().iter().copied();
        let inside = times.zip(self.inside(first, last).iter().copied());
        [left].into_iter().chain(inside).chain([right]).collect()
    }

    /// The samples from the last one up to the start on, or none without a sample inside.
    pub(crate) fn anchored(&self) -> Option<usize> {
        let inside = self.t.partition_point(|t| *t <= self.start);
        (inside < self.t.len()).then(|| inside.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(smoothed: bool) -> Wide<'static> {
        Wide {
            t: &[0, 10, 20, 30, 40],
            v: &[0.0, 10.0, 5.0, 15.0, 25.0],
            start: 5,
            end: 35,
            smoothed,
        }
    }

    #[test]
    fn anchored_borders_take_the_sample_before() {
        // The slice of an anchored window ends at its border.
        let anchored = Wide {
            t: &[0, 10, 20, 30],
            v: &[0.0, 10.0, 5.0, 15.0],
            ..wide(false)
        };
        assert_eq!(anchored.change(Reading::Counter), Some(25.0));
        assert_eq!(anchored.change(Reading::Gauge), Some(15.0));
        assert_eq!(anchored.anchored(), Some(0));
        assert_eq!(
            anchored.samples(),
            [(5, 0.0), (10, 10.0), (20, 5.0), (30, 15.0), (35, 15.0)]
        );
    }

    #[test]
    fn smoothed_borders_are_interpolated() {
        assert_eq!(wide(true).change(Reading::Gauge), Some(15.0));
        assert_eq!(wide(true).change(Reading::Counter), Some(25.0));
    }

    #[test]
    fn without_a_sample_inside_there_is_nothing() {
        let empty = Wide {
            t: &[0],
            v: &[1.0],
            ..wide(false)
        };
        assert_eq!(
            (empty.change(Reading::Gauge), empty.anchored()),
            (None, None)
        );
    }
}
