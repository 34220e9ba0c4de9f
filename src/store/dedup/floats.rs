//! `D(a, b)` of two replicas that have floats only, which is nearly all there is: the same steps as those of [`super::Pair`],
//! over slices, and as long as one replica is followed without looking at what a change would need.

use model::{Columns, Kind, Timestamp};

use super::{FIRST_PENALTY, raised};

/// A replica, within the range.
#[derive(Clone, Copy, Debug)]
struct Side<'c> {
    t: &'c [Timestamp],
    v: &'c [f64],
    /// The place of the current sample.
    at: usize,
    penalty: i64,
    /// What values are raised by.
    error: f64,
}

impl<'c> Side<'c> {
    fn new(columns: &'c Columns, (mint, maxt): (Timestamp, Timestamp)) -> Self {
        let from = columns.t.partition_point(|t| *t < mint);
        let to = columns.t.partition_point(|t| *t <= maxt).max(from);
        Self {
            t: &columns.t[from..to],
            v: columns.v.get(from..to).unwrap_or_default(),
            at: 0,
            penalty: 0,
            error: 0.0,
        }
    }

    fn time(&self) -> Option<Timestamp> {
        self.t.get(self.at).copied()
    }

    fn value(&self) -> Option<f64> {
        self.v.get(self.at).map(|v| v + self.error)
    }

    /// Moves on to the first sample that is not before `t`.
    fn seek(&mut self, t: Timestamp) {
        while self.time().is_some_and(|time| time < t) {
            self.at += 1;
        }
    }

    /// Raises this and all later values so that a counter does not fall below `last`.
    fn adjust(&mut self, last: f64) {
        if let Some(v) = self.value().filter(|v| last > *v) {
            self.error += last - v;
        }
    }

    /// Moves on to the last sample for which `other` does not take over. `wins` says which one is taken at the same time.
    fn follow(&mut self, other: &mut Self, wins: bool) {
        let (mut at, mut last) = (self.at, self.t[self.at]);
        let (mut its_at, mut penalty) = (other.at, other.penalty);
        while let Some(t) = self.t.get(at + 1).copied() {
            let away = last.saturating_add(1).saturating_add(penalty);
            while other.t.get(its_at).is_some_and(|its| *its < away) {
                its_at += 1;
            }
            if let Some(its) = other.t.get(its_at).copied() {
                if its < t || (its == t && !wins) {
                    break;
                }
                penalty = t.wrapping_sub(last).wrapping_mul(2);
            }
            (at, last) = (at + 1, t);
        }
        self.at = at;
        (other.at, other.penalty) = (its_at, penalty);
    }

    /// Appends the samples from a place up to the current one.
    fn push_from(&self, from: usize, out: &mut Columns) {
        out.t.extend_from_slice(&self.t[from..=self.at]);
        let values = self.v.get(from..=self.at).unwrap_or_default();
        if self.error == 0.0 {
            out.v.extend_from_slice(values);
        } else {
            out.v.extend(values.iter().map(|v| raised(*v, self.error)));
        }
    }
}

/// Appends one series out of two.
pub(super) fn merge(
    replicas: [&Columns; 2],
    range: (Timestamp, Timestamp),
    counter: bool,
    out: &mut Columns,
) {
    let [mut a, mut b] = replicas.map(|columns| Side::new(columns, range));
    let before = out.t.len();
    let (mut use_a, mut last) = (true, None::<Timestamp>);
    loop {
        // Before the first step nothing was shown yet, but the first sample of `a` already counts as seen.
        let shown = if use_a { a.value() } else { b.value() };
        let used_a = use_a;
        if let Some(last) = last {
            // Nothing comes after the end of time.
            let Some(next) = last.checked_add(1) else {
                break;
            };
            a.seek(next.saturating_add(a.penalty));
            b.seek(next.saturating_add(b.penalty));
        }
        match (a.time(), b.time()) {
            (None, None) => break,
            (Some(_), None) => (use_a, a.penalty) = (true, 0),
            (None, Some(_)) => (use_a, b.penalty) = (false, 0),
            (Some(in_a), Some(in_b)) => {
                use_a = in_a <= in_b;
                let step = |last| in_a.min(in_b).wrapping_sub(last).wrapping_mul(2);
                let penalty = last.map_or(FIRST_PENALTY, step);
                (a.penalty, b.penalty) = if use_a { (0, penalty) } else { (penalty, 0) };
            }
        }
        if counter
            && used_a != use_a
            && let Some(shown) = shown
        {
            a.adjust(shown);
            b.adjust(shown);
        }
        let (lead, other) = match use_a {
            true => (&mut a, &mut b),
            false => (&mut b, &mut a),
        };
        let from = lead.at;
        lead.follow(other, use_a);
        lead.push_from(from, out);
        last = lead.time();
    }
    out.extend_run(Kind::Float, out.t.len() - before);
}
