//! Windows over one decoded series, moved forward by index: what a selector sees at each step.

use model::{Columns, is_stale};

use super::steps::{Point, Steps};
use crate::functions::rate::{Rate, Window};

/// The newest sample after `t - lookback` up to `t`, unless it is the stale marker.
pub(super) fn instant(columns: &Columns, steps: Steps, lookback: i64, out: &mut Vec<Point>) {
    let Columns { t, v, .. } = columns;
    let mut seen = 0;
    for step in steps.all() {
        let time = steps.time(step);
        seen += t[seen..].iter().take_while(|t| **t <= time).count();
        let Some(last) = seen.checked_sub(1) else {
            continue;
        };
        if t[last] > time.saturating_sub(lookback) && !is_stale(v[last]) {
            out.push(Point { step, v: v[last] });
        }
    }
}

/// Calls `visit(step, t, from, to)` with the samples after `t - range` up to `t` of each step, as indices.
fn ranges(t: &[i64], steps: Steps, range: i64, mut visit: impl FnMut(u32, i64, usize, usize)) {
    let (mut from, mut to) = (0, 0);
    for step in steps.all() {
        let time = steps.time(step);
        to += t[to..].iter().take_while(|t| **t <= time).count();
        let start = time.saturating_sub(range);
        from += t[from..to].iter().take_while(|t| **t <= start).count();
        visit(step, time, from, to);
    }
}

/// Takes the stale markers out: a range does not see them.
pub(super) fn drop_stale(columns: &mut Columns) {
    if !columns.v.iter().any(|v| is_stale(*v)) {
        return;
    }
    let Columns { t, v, .. } = columns;
    let mut kept = 0;
    for at in 0..v.len() {
        if !is_stale(v[at]) {
            (t[kept], v[kept]) = (t[at], v[at]);
            kept += 1;
        }
    }
    t.truncate(kept);
    v.truncate(kept);
}

/// `rate` and its like over the window of each step. The columns hold no stale markers; `resets` is scratch.
pub(super) fn rate(
    columns: &Columns,
    steps: Steps,
    rate: Rate,
    resets: &mut Vec<usize>,
    out: &mut Vec<Point>,
) {
    let Columns { t, v, .. } = columns;
    rate.find_resets(v, resets);
    let (mut first_reset, mut last_reset) = (0, 0);
    ranges(t, steps, rate.range, |step, time, from, to| {
        // A reset at the first sample is between it and one outside of the window.
        first_reset += resets[first_reset..]
            .iter()
            .take_while(|at| **at <= from)
            .count();
        last_reset = last_reset.max(first_reset);
        last_reset += resets[last_reset..]
            .iter()
            .take_while(|at| **at < to)
            .count();
        let window = Window {
            t: &t[from..to],
            v: &v[from..to],
            offset: from,
            resets: &resets[first_reset..last_reset],
        };
        if let Some(v) = rate.over(&window, time) {
            out.push(Point { step, v });
        }
    });
}

/// The samples themselves, of the one window of an instant query.
pub(super) fn raw(columns: &Columns, steps: Steps, range: i64) -> Vec<(i64, f64)> {
    let mut points = Vec::new();
    ranges(&columns.t, steps, range, |_, _, from, to| {
        let samples = columns.t[from..to].iter().zip(&columns.v[from..to]);
        points.extend(samples.map(|(t, v)| (*t, *v)));
    });
    points
}
