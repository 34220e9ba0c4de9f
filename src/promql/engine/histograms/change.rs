//! `rate` and its like over native histograms: last minus first plus what counter resets hid, bucket by bucket.

use std::sync::Arc;

use model::{CounterReset, FloatHistogram};

use super::notes::{Calculation, Notes};
use crate::engine::samples::Window;
use crate::functions::start::Started;

fn is_gauge(h: &FloatHistogram) -> bool {
    h.counter_reset == CounterReset::Gauge
}

/// What changed over the histograms of a window, before extrapolation. None for fewer than two, and for those that do
/// not fit each other.
pub(super) fn change(
    window: &Window<'_>,
    counter: bool,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let h = window.h;
    let [first, second, ..] = h else {
        return None;
    };
    let last = h.last()?;
    // A first sample that is followed by a reset does not matter, and neither does its layout.
    let nothing;
    let mut before: &FloatHistogram = first;
    if counter && (begun(window, 1) || second.is_reset_after(first)) {
        nothing = FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        };
        before = &nothing;
    }
    let mut not_counter = counter && (is_gauge(first) || is_gauge(last));
    let custom = before.has_custom_buckets();
    if last.has_custom_buckets() != custom {
        if not_counter {
            notes.not_counter();
        }
        notes.mixed_schemas();
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    if counter {
        for between in &h[1..h.len() - 1] {
            not_counter |= is_gauge(between);
            schema = schema.min(between.schema);
            if between.has_custom_buckets() != custom {
                notes.mixed_schemas();
                return None;
            }
        }
    }
    let Some((mut change, reconciled)) = last_minus_first(window, before, schema, counter) else {
        notes.mixed_schemas();
        return None;
    };
    if not_counter {
        notes.not_counter();
    }
    if !(counter || is_gauge(first) && is_gauge(last)) {
        notes.not_gauge();
    }
    for (calculation, happened) in reconciled {
        if happened {
            notes.reconciled(calculation);
        }
    }
    change.counter_reset = CounterReset::Gauge;
    change.compact();
    Some(change)
}

type Reconciled = [(Calculation, bool); 2];

/// Whether sample `at` of a window says that its count began after the sample before.
pub(super) fn begun(window: &Window<'_>, at: usize) -> bool {
    let started = |at| Started::at(window.hst, window.ht, at);
    started(at).is_reset_after(started(at - 1))
}

/// The last one minus `first`, plus the last one before each reset. None for histograms that cannot be added.
fn last_minus_first<'h>(
    window: &Window<'h>,
    first: &'h FloatHistogram,
    schema: i32,
    counter: bool,
) -> Option<(FloatHistogram, Reconciled)> {
    let mut change = window.h.last()?.reduced_to(schema);
    let subtracted = change.sub(first).ok()?.bounds_reconciled;
    let mut added = false;
    if counter {
        let mut before = first;
        for (at, now) in window.h.iter().enumerate().skip(1) {
            if begun(window, at) || now.is_reset_after(before) {
                added |= change.add(before).ok()?.bounds_reconciled;
            }
            before = now;
        }
    }
    let reconciled = [
        (Calculation::Subtraction, subtracted),
        (Calculation::Addition, added),
    ];
    Some((change, reconciled))
}

/// `irate`, and `idelta` without `counter`, not yet by time.
pub(super) fn last_two(
    window: &Window<'_>,
    counter: bool,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let [.., before, now] = window.h else {
        return None;
    };
    let mut change = FloatHistogram::clone(now);
    if counter && (is_gauge(before) || is_gauge(now)) {
        notes.not_counter();
    }
    if !(counter || is_gauge(before) && is_gauge(now)) {
        notes.not_gauge();
    }
    let begun = begun(window, window.h.len() - 1);
    if !(counter && (begun || now.is_reset_after(before))) {
        match change.sub(before) {
            Ok(joined) if joined.bounds_reconciled => notes.reconciled(Calculation::Subtraction),
            Ok(_) => {}
            Err(_) => {
                notes.mixed_schemas();
                return None;
            }
        }
    }
    change.counter_reset = CounterReset::Gauge;
    change.compact();
    Some(change)
}

/// The histogram on the line between two, at `t` which lies between their times.
pub(super) fn interpolate(
    (t1, h1): (i64, &Arc<FloatHistogram>),
    (t2, h2): (i64, &Arc<FloatHistogram>),
    t: i64,
    counter: bool,
    notes: &Notes<'_>,
) -> Option<Arc<FloatHistogram>> {
    if t == t1 {
        return Some(Arc::clone(h1));
    }
    if t == t2 {
        return Some(Arc::clone(h2));
    }
    let share = t.wrapping_sub(t1) as f64 / t2.wrapping_sub(t1) as f64;
    let mut line = FloatHistogram::clone(h2);
    if counter && h2.is_reset_after(h1) {
        // The counter began at zero.
        line.mul(share);
        return Some(Arc::new(line));
    }
    subtract(&mut line, h1, notes)?;
    line.mul(share);
    add(&mut line, h1, notes)?;
    Some(Arc::new(line))
}

pub(super) fn add(to: &mut FloatHistogram, h: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    let joined = to.add(h).map_err(|_| notes.mixed_schemas()).ok()?;
    if joined.bounds_reconciled {
        notes.reconciled(Calculation::Addition);
    }
    Some(())
}

fn subtract(from: &mut FloatHistogram, h: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    let joined = from.sub(h).map_err(|_| notes.mixed_schemas()).ok()?;
    if joined.bounds_reconciled {
        notes.reconciled(Calculation::Subtraction);
    }
    Some(())
}

/// The change between the borders of an `anchored` or `smoothed` window.
pub(super) fn wide_change(
    window: &Window<'_>,
    smoothed: bool,
    counter: bool,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let Window {
        ht: t,
        h,
        start,
        end,
        ..
    } = *window;
    let last = t.len().checked_sub(1)?;
    let first = t[..last].partition_point(|t| *t <= start).saturating_sub(1);
    let last = match smoothed {
        true => t[..last].partition_point(|t| *t < end),
        false => last,
    };
    if t[last] <= start || smoothed && t[first] > end {
        return None;
    }
    let custom = h[first].has_custom_buckets();
    for h in h.get(first..=last)? {
        if h.has_custom_buckets() != custom {
            notes.mixed_schemas();
            return None;
        }
        if counter && is_gauge(h) {
            notes.not_counter();
        }
    }
    let at = |place: usize| (t[place], &h[place]);
    let left = match smoothed && t[first] < start {
        true => interpolate(at(first), at(first + 1), start, counter, notes)?,
        false => Arc::clone(&h[first]),
    };
    let right = match smoothed && last > 0 && t[last] > end {
        true => interpolate(at(last - 1), at(last), end, counter, notes)?,
        false => Arc::clone(&h[last]),
    };
    if !(counter || is_gauge(&left) && is_gauge(&right)) {
        notes.not_gauge();
    }
    let mut change = FloatHistogram::clone(&right);
    subtract(&mut change, &left, notes)?;
    if counter {
        let spans_first = smoothed && t[first] < start && h[first + 1].is_reset_after(&h[first]);
        let borders = (first, last);
        let hidden = hidden_by_resets(h, borders, (&left, &right), spans_first, notes)?;
        if let Some(hidden) = hidden {
            add(&mut change, &hidden, notes)?;
        }
    }
    change.counter_reset = CounterReset::Gauge;
    Some(change)
}

/// What resets between the borders took away. `spans_first`: the left border was interpolated over a reset already.
fn hidden_by_resets(
    h: &[Arc<FloatHistogram>],
    (first, last): (usize, usize),
    (left, right): (&FloatHistogram, &FloatHistogram),
    spans_first: bool,
    notes: &Notes<'_>,
) -> Option<Option<FloatHistogram>> {
    let (mut before, mut from) = (left, first + 1);
    if spans_first {
        before = &h[first + 1];
        from += 1;
    }
    if from > last {
        return Some(None);
    }
    let mut hidden: Option<FloatHistogram> = None;
    let between = h[from..last].iter().map(AsRef::as_ref);
    for now in between.chain([right]) {
        if now.is_reset_after(before) {
            match &mut hidden {
                Some(hidden) => add(hidden, before, notes)?,
                None => hidden = Some(before.clone()),
            }
        }
        before = now;
    }
    Some(hidden)
}
