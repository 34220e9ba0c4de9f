//! Start timestamps: what a sample says of when its count began (Prometheus `use-start-timestamps`). 0 is unknown.

/// A sample's start timestamp and time, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) st: i64,
    pub(crate) t: i64,
}

impl Started {
    /// The sample at `at`.
    pub(crate) fn at(st: &[i64], t: &[i64], at: usize) -> Self {
        let of = |times: &[i64]| times.get(at).copied().unwrap_or(0);
        Self {
            st: of(st),
            t: of(t),
        }
    }

    /// Whether the count began anew between `before` and this sample.
    pub(crate) fn is_reset_after(self, before: Self) -> bool {
        let unknown = self.st == 0 || self.st >= self.t;
        if unknown || self.st == before.st || self.st < before.t {
            return false;
        }
        // From the sample before on: a series of differences, if that one knows its own start.
        self.st > before.t || before.st < before.t && before.st != 0
    }

    /// Whether this sample claims time that `before` counted already.
    pub(crate) fn overlaps(self, before: Self) -> bool {
        self.st != 0 && self.st < before.t && self.st != before.st
    }
}

/// Pairs of a sample and the next, for `t.len() - 1` of them.
pub(crate) fn pairs<'a>(
    st: &'a [i64],
    t: &'a [i64],
) -> impl Iterator<Item = (Started, Started)> + 'a {
    (1..t.len()).map(|at| (Started::at(st, t, at - 1), Started::at(st, t, at)))
}

/// When the first sample began, if that is inside of the window: the count was zero then.
pub(crate) fn began_inside(st: &[i64], t: &[i64], window_start: i64) -> Option<i64> {
    let (st, t) = (*st.first()?, *t.first()?);
    (st != 0 && st > window_start && st < t).then_some(st)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_is_a_reset() {
        let started = |st, t| Started { st, t };
        for (before, now, reset) in [
            (started(10, 20), started(10, 30), false),
            (started(10, 20), started(25, 30), true),
            (started(10, 20), started(0, 30), false),
            (started(10, 20), started(30, 30), false),
            (started(10, 20), started(15, 30), false),
            // Differences, and a count with an unknown start.
            (started(10, 20), started(20, 30), true),
            (started(0, 20), started(20, 30), false),
            (started(20, 20), started(20, 30), false),
        ] {
            assert_eq!(now.is_reset_after(before), reset, "{before:?} {now:?}");
        }
        assert!(started(15, 30).overlaps(started(10, 20)));
        assert!(!started(20, 30).overlaps(started(10, 20)));
        assert_eq!(began_inside(&[5], &[10], 4), Some(5));
        assert_eq!(began_inside(&[5], &[10], 5), None);
    }
}
