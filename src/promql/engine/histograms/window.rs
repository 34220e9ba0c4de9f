//! Range functions over windows with native histograms in them.

use std::sync::Arc;

use model::FloatHistogram;

use super::change::{self, change, last_two, wide_change};
use super::fold::over_window;
use super::notes::Notes;
use crate::Span;
use crate::engine::Evaluated;
use crate::engine::annotations::Annotations;
use crate::engine::points::{Head, Seen, Value};
use crate::engine::range::{OverRange, RangeCall, Scratch};
use crate::engine::samples::{Borders, Window};
use crate::functions::rate::Rate;
use crate::functions::start::{Started, began_inside};
use crate::lexer::text::quote;

impl RangeCall<'_> {
    /// The value over a window with at least one histogram.
    pub(in crate::engine) fn histograms(
        &self,
        head: &Head,
        window: &Window<'_>,
        scratch: &mut Scratch,
    ) -> Evaluated<Option<Value>> {
        let (t, ht) = (window.t, window.ht);
        let notes = Notes {
            name: self.query.metric_name(&head.labels),
            span: self.span,
            all: &self.query.annotations,
        };
        Ok(match self.function {
            OverRange::Count => Some(Value::Float((t.len() + ht.len()) as f64)),
            OverRange::Present => Some(Value::Float(1.0)),
            OverRange::FirstTime => seconds(earlier(t.first(), ht.first())),
            OverRange::LastTime => seconds(t.last().max(ht.last()).copied()),
            OverRange::First => {
                let float = t.first().is_some_and(|t| Some(t) < ht.first());
                either(float, window.v.first(), window.h.first())
            }
            OverRange::Last => {
                let float = t.last().is_some_and(|t| ht.last() < Some(t));
                either(float, window.v.last(), window.h.last())
            }
            OverRange::Last2 { per_second } => {
                return self.last_two(window, per_second, &notes, scratch);
            }
            OverRange::Resets => self.compare(window, fell),
            OverRange::Changes => self.compare(window, changed),
            OverRange::Rate(_) | OverRange::Sum | OverRange::Average if !t.is_empty() => {
                notes.mixed_kinds();
                None
            }
            OverRange::Rate(rate) => self.histogram_rate(rate, window, &notes).map(value),
            OverRange::Sum => over_window(window.h, false, &notes).map(value),
            OverRange::Average => over_window(window.h, true, &notes).map(value),
            OverRange::Extreme(_)
            | OverRange::ExtremeTime(_)
            | OverRange::Quantile
            | OverRange::Variance
            | OverRange::Deviation
            | OverRange::MedianDeviation
            | OverRange::Derivative
            | OverRange::Predict
            | OverRange::Smooth => return self.without_histograms(head, window, scratch),
        })
    }

    /// Functions of floats leave histograms out, and tell so if there are floats.
    fn without_histograms(
        &self,
        head: &Head,
        window: &Window<'_>,
        scratch: &mut Scratch,
    ) -> Evaluated<Option<Value>> {
        let value = self.floats(window, scratch)?;
        if !window.t.is_empty() {
            let name = quote(self.query.metric_name(&head.labels));
            let text = format!(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {name}"
            );
            self.query.annotations.info(self.ignored_span(), text);
        }
        Ok(value.map(Value::Float))
    }

    fn histogram_rate(
        &self,
        rate: Rate,
        window: &Window<'_>,
        notes: &Notes<'_>,
    ) -> Option<FloatHistogram> {
        if self.windows.borders != Borders::Plain {
            let smoothed = self.windows.borders == Borders::Smoothed;
            let mut change = wide_change(window, smoothed, rate.counter, notes)?;
            if rate.per_second {
                change.div(rate.range_seconds());
            }
            change.compact();
            return Some(change);
        }
        let first = window.h.first()?;
        let began = match rate.counter {
            true => began_inside(window.hst, window.ht, window.start),
            false => None,
        };
        if let Some(began) = began {
            let mut change = match window.h {
                [one] => FloatHistogram::clone(one),
                _ => {
                    let mut change = change(window, true, notes)?;
                    change::add(&mut change, first, notes)?;
                    change
                }
            };
            change.mul(rate.factor_since(began, window.ht, window.end)?);
            return Some(change);
        }
        let mut change = change(window, rate.counter, notes)?;
        let borders = (window.start, window.end);
        change.mul(rate.factor(window.ht, borders, first.count, change.count)?);
        Some(change)
    }

    /// `irate` and `idelta`: from the last but one sample to the last, which must be of one kind.
    fn last_two(
        &self,
        window: &Window<'_>,
        per_second: bool,
        notes: &Notes<'_>,
        scratch: &mut Scratch,
    ) -> Evaluated<Option<Value>> {
        let Window { t, ht, .. } = *window;
        let at = |times: &[i64], back: usize| times.len().checked_sub(back).map(|at| times[at]);
        if t.len() + ht.len() < 2 {
            return Ok(None);
        }
        if at(t, 2) > at(ht, 1) {
            return Ok(self.floats(window, scratch)?.map(Value::Float));
        }
        let ([.., t1, t2], true) = (ht, at(ht, 2) > at(t, 1)) else {
            notes.mixed_kinds();
            return Ok(None);
        };
        let Some(mut change) = last_two(window, per_second, notes) else {
            return Ok(None);
        };
        if per_second {
            change.div(t2.wrapping_sub(*t1) as f64 / 1000.0);
        }
        Ok(Some(value(change)))
    }

    /// How often `differs` holds between a sample and the next.
    fn compare(
        &self,
        window: &Window<'_>,
        differs: fn(Sample<'_>, Sample<'_>) -> bool,
    ) -> Option<Value> {
        let Window {
            t,
            v,
            ht,
            h,
            st,
            hst,
            ..
        } = *window;
        let (mut float, mut histogram) = self.anchors(window)?;
        let (mut before, mut count) = (None, 0.0);
        loop {
            let (ft, htt) = (t.get(float), ht.get(histogram));
            let now = match (ft, htt) {
                (None, None) => return Some(Value::Float(count)),
                (Some(ft), htt) if htt.is_none_or(|htt| ft < htt) => {
                    float += 1;
                    (Seen::Float(v[float - 1]), Started::at(st, t, float - 1))
                }
                _ => {
                    histogram += 1;
                    let started = Started::at(hst, ht, histogram - 1);
                    (Seen::Histogram(&h[histogram - 1]), started)
                }
            };
            if before
                .replace(now)
                .is_some_and(|before| differs(before, now))
            {
                count += 1.0;
            }
        }
    }

    /// Where the comparison begins in floats and histograms: of an anchored window at the last sample up to its start,
    /// of whatever kind. None without a sample inside.
    fn anchors(&self, window: &Window<'_>) -> Option<(usize, usize)> {
        if self.windows.borders == Borders::Plain {
            return Some((0, 0));
        }
        let up_to_start = |times: &[i64]| times.partition_point(|t| *t <= window.start);
        let (floats, histograms) = (up_to_start(window.t), up_to_start(window.ht));
        if floats == window.t.len() && histograms == window.ht.len() {
            return None;
        }
        let last = |times: &[i64], count: usize| count.checked_sub(1).map(|at| times[at]);
        let (float, histogram) = (last(window.t, floats), last(window.ht, histograms));
        Some(match (float, histogram) {
            (None, None) => (0, 0),
            (float, histogram) if float >= histogram => (floats - 1, histograms),
            _ => (floats, histograms - 1),
        })
    }
}

/// A value, and when its count began.
type Sample<'a> = (Seen<'a>, Started);

fn fell(before: Sample<'_>, now: Sample<'_>) -> bool {
    let begun = now.1.is_reset_after(before.1);
    match (before.0, now.0) {
        (Seen::Float(before), Seen::Float(now)) => begun || now < before,
        (Seen::Histogram(before), Seen::Histogram(now)) => begun || now.is_reset_after(before),
        _ => true,
    }
}

fn changed(before: Sample<'_>, now: Sample<'_>) -> bool {
    match (before.0, now.0) {
        (Seen::Float(before), Seen::Float(now)) => {
            now != before && !(now.is_nan() && before.is_nan())
        }
        (Seen::Histogram(before), Seen::Histogram(now)) => !now.same_data(before),
        _ => true,
    }
}

fn value(h: FloatHistogram) -> Value {
    Value::Histogram(Arc::new(h))
}

fn seconds(t: Option<i64>) -> Option<Value> {
    t.map(|t| Value::Float(t as f64 / 1000.0))
}

fn earlier(a: Option<&i64>, b: Option<&i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(*a.min(b)),
        (a, b) => a.or(b).copied(),
    }
}

fn either(float: bool, v: Option<&f64>, h: Option<&Arc<FloatHistogram>>) -> Option<Value> {
    match float {
        true => v.map(|v| Value::Float(*v)),
        false => h.map(|h| Value::Histogram(Arc::clone(h))),
    }
}

/// The histogram on the line between two samples of a `smoothed` selector, or the last one where there is none after.
/// `place` is the metric's name and where the selector stands.
pub(in crate::engine) fn between(
    window: &Window<'_>,
    (name, span): (&str, Span),
    all: &Annotations,
) -> Option<Arc<FloatHistogram>> {
    let Window { ht: t, h, end, .. } = *window;
    let notes = Notes { name, span, all };
    let after = t.partition_point(|t| *t < end);
    if t.get(after) == Some(&end) {
        return h.get(after).cloned();
    }
    let before = after.checked_sub(1)?;
    let (Some(next_t), Some(next)) = (t.get(after), h.get(after)) else {
        // What is known of a reset is known of two samples, not of a value.
        let mut last = FloatHistogram::clone(&h[before]);
        last.counter_reset = model::CounterReset::Unknown;
        return Some(Arc::new(last));
    };
    let last = &h[before];
    if last.has_custom_buckets() != next.has_custom_buckets() {
        notes.mixed_schemas();
        return None;
    }
    let gauge = |h: &FloatHistogram| h.counter_reset == model::CounterReset::Gauge;
    let counter = !(gauge(last) && gauge(next));
    change::interpolate((t[before], last), (*next_t, next), end, counter, &notes)
}
