//! Selectors: what an instant vector sees at each step, and what a range vector shows.

use std::sync::Arc;

use model::{Hints, Labels, Need, Select, Timestamp, is_stale};

use super::annotations::Annotations;
use super::evaluate::{Evaluation, Sink};
use super::flow::Stage;
use super::points::{Head, HistogramPoint, Point, Points};
use super::query::Query;
use super::samples::{Borders, Place, Samples, Windows};
use super::steps::Steps;
use super::subquery::Ranged;
use super::{AnswerValue, Evaluated, QueryError, RangeSeries};
use crate::Span;
use crate::functions::extended::Wide;
use crate::lexer::text::quote;
use crate::parser::ast::{Expr, ExprKind, Extended, VectorSelector};

impl VectorSelector {
    pub(super) fn borders(&self) -> Borders {
        match self.extended {
            None => Borders::Plain,
            Some(Extended::Anchored) => Borders::Anchored,
            Some(Extended::Smoothed) => Borders::Smoothed,
        }
    }
}

/// What is shown of the current sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Value,
    /// Its time in seconds.
    Time,
    /// Its time in milliseconds.
    Milliseconds,
    /// Its start timestamp in seconds.
    Start,
}

impl Evaluation<'_> {
    pub(super) fn selector(
        &self,
        selector: &VectorSelector,
        span: Span,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        if selector.borders() == Borders::Smoothed {
            return self.smoothed(selector, span, hints, sink);
        }
        self.current(selector, hints, Show::Value, sink)
    }

    /// The current sample of each series at each step.
    pub(super) fn current(
        &self,
        selector: &VectorSelector,
        hints: &Hints,
        show: Show,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let steps = self.shifted(selector.shift);
        let lookback = self.query.options.lookback;
        let reach = lookback.saturating_add(self.lead_at(selector.shift));
        let first = steps.start.saturating_sub(reach).saturating_add(1);
        let select = self.select(selector, (first, steps.end), hints.clone());
        let stage = Current {
            counts_only: self.query.counts_only.has(selector),
            mint: select.mint,
            steps,
            repeated: self.steps,
            lookback,
            show,
        };
        let stream = self.query.open_shared(&select, selector)?;
        self.query.flow(stream, stage, self.steps.count, sink)
    }

    pub(super) fn select(
        &self,
        selector: &VectorSelector,
        (mint, maxt): (Timestamp, Timestamp),
        hints: Hints,
    ) -> Select {
        let matchers = selector.matchers.clone();
        let mut select = Select::new(Arc::clone(&self.query.symbols), matchers, mint, maxt);
        select.hints = hints;
        select.hints.projection = self.query.projections.get(selector).cloned();
        select
    }

    /// `selector smoothed`: the line between the samples before and after each step.
    fn smoothed(
        &self,
        selector: &VectorSelector,
        span: Span,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let ends = self.shifted(selector.shift);
        let windows = Windows {
            steps: self.steps,
            ends,
            range: 0,
            borders: Borders::Smoothed,
            lookback: self.query.options.lookback,
            lead: self.lead_at(selector.shift),
        };
        let times = (windows.first_time(), windows.last_time());
        let select = self.select(selector, times, hints.clone());
        let mut points = Points::default();
        let stream = self.query.open_shared(&select, selector)?;
        self.query.each_series(stream, &mut |labels, samples| {
            points.clear();
            samples.drop_stale();
            if self.query.counts_only.has(selector) {
                super::histograms::drop_buckets(samples, select.mint);
            }
            let name = self.query.metric_name(&labels);
            let place = (name, span);
            windows.each(samples, |window| {
                if window.h.is_empty() {
                    let v = between(window.t, window.v, window.end);
                    points.floats.extend(v.map(|v| Point {
                        step: window.step,
                        v,
                    }));
                } else if window.t.is_empty() {
                    let notes = &self.query.annotations;
                    if let Some(h) = super::histograms::between(window, place, notes) {
                        let step = window.step;
                        points.histograms.push(HistogramPoint { step, h });
                    }
                } else {
                    note_mixed(&self.query.annotations, place);
                }
            });
            if points.is_empty() {
                return Ok(());
            }
            sink(Head::from(labels), &mut points)
        })
    }

    // ---- matrices

    /// The value of an expression of a matrix's type, at one instant.
    pub(super) fn raw(&self, expr: &Expr) -> Evaluated<AnswerValue> {
        let expr = expr.unwrap_parens();
        let ranged = self.ranged(expr, self.hints())?;
        if let Ranged::Subquery {
            subquery,
            windows,
            steps,
            ..
        } = &ranged
        {
            let child = self.inside(windows, *steps);
            let rows = child.named(child.rows(&subquery.expr, &child.hints())?.rows)?;
            return Ok(AnswerValue::Matrix(child.matrix(rows)));
        }
        let (windows, mut matrix) = (*ranged.windows(), Vec::new());
        let smoothed = windows.borders == Borders::Smoothed;
        self.each_ranged(&ranged, &mut |head, samples| {
            let mut series = RangeSeries {
                labels: head.labels,
                ..RangeSeries::default()
            };
            let mut refused = Ok(());
            windows.each(samples, |window| {
                let floats = || window.t.iter().copied().zip(window.v.iter().copied());
                if windows.borders == Borders::Plain {
                    series.points.extend(floats());
                    let histograms = window.ht.iter().copied().zip(window.h.iter().cloned());
                    series.histograms.extend(histograms);
                    return;
                }
                if !window.h.is_empty() {
                    refused = Err(no_histograms(windows.borders));
                    return;
                }
                let wide = Wide {
                    t: window.t,
                    v: window.v,
                    start: window.start,
                    end: window.end,
                    smoothed,
                };
                series.points.extend(wide.samples());
            });
            refused?;
            let rows = series.points.len() + series.histograms.len();
            self.query.hold(rows)?;
            if rows > 0 {
                matrix.push(series);
            }
            Ok(())
        })?;
        matrix.sort_by(|a, b| a.labels.compare(&b.labels, &self.query.symbols));
        Ok(AnswerValue::Matrix(matrix))
    }
}

/// The current sample at each step.
#[derive(Clone, Copy)]
struct Current {
    counts_only: bool,
    mint: Timestamp,
    /// Where it is looked at. One for all steps under `@`.
    steps: Steps,
    /// Those of the query.
    repeated: Steps,
    lookback: i64,
    show: Show,
}

impl Stage for Current {
    fn points(
        &mut self,
        _: &Query<'_>,
        labels: Labels,
        samples: &mut Samples,
        out: &mut Points,
    ) -> Evaluated<Head> {
        if self.counts_only {
            super::histograms::drop_buckets(samples, self.mint);
        }
        current(samples, self.steps, self.lookback, self.show, out);
        repeat(out, self.steps, self.repeated);
        Ok(Head::from(labels))
    }

    fn need(&self) -> Need {
        Need {
            until: self.steps.end,
            edges: None,
        }
    }
}

/// Where `@` fixed the one step that was looked at: what it holds is held at all steps.
pub(super) fn repeat(points: &mut Points, looked_at: Steps, all: Steps) {
    if looked_at.count >= all.count {
        return;
    }
    if let [Point { v, .. }] = *points.floats {
        points.floats.clear();
        points
            .floats
            .extend(all.all().map(|step| Point { step, v }));
    }
    if let [HistogramPoint { h, .. }] = points.histograms.as_slice() {
        let h = Arc::clone(h);
        points.histograms.clear();
        let repeat = |step| HistogramPoint {
            step,
            h: Arc::clone(&h),
        };
        points.histograms.extend(all.all().map(repeat));
    }
}

fn no_histograms(borders: Borders) -> QueryError {
    let modifier = match borders {
        Borders::Smoothed => "smoothed",
        _ => "anchored",
    };
    QueryError::Execution(format!(
        "{modifier} modifier is not supported with histograms"
    ))
}

/// Tells of floats and histograms in one window.
pub(super) fn note_mixed(notes: &Annotations, (name, span): (&str, Span)) {
    let name = quote(name);
    let text = format!("encountered a mix of histograms and floats for metric name {name}");
    notes.warn(span, text);
}

/// The newest sample after `t - lookback` up to `t`, unless it is the stale marker.
pub(super) fn current(
    samples: &Samples,
    steps: Steps,
    lookback: i64,
    show: Show,
    out: &mut Points,
) {
    if samples.ht.is_empty() {
        return current_floats(samples, steps, lookback, show, out);
    }
    let (mut floats, mut histograms) = (Place::default(), Place::default());
    for step in steps.all() {
        let time = steps.time(step);
        floats.move_past(&samples.t, time);
        histograms.move_past(&samples.ht, time);
        let oldest = time.saturating_sub(lookback);
        let float = newest(&samples.t, floats.at).filter(|(_, t)| *t > oldest);
        let histogram = newest(&samples.ht, histograms.at).filter(|(_, t)| *t > oldest);
        match (float, histogram) {
            (Some((at, t)), other) if other.is_none_or(|(_, other)| other < t) => {
                let v = samples.v[at];
                let v = (!is_stale(v)).then(|| shown(show, t, v, &samples.st, at));
                out.floats.extend(v.map(|v| Point { step, v }));
            }
            (_, Some((at, t))) if !is_stale(samples.h[at].sum) => match show {
                Show::Value => out.histograms.push(HistogramPoint {
                    step,
                    h: Arc::clone(&samples.h[at]),
                }),
                _ => {
                    let v = shown(show, t, 0.0, &samples.hst, at);
                    out.floats.push(Point { step, v });
                }
            },
            _ => {}
        }
    }
}

fn current_floats(samples: &Samples, steps: Steps, lookback: i64, show: Show, out: &mut Points) {
    let Samples { t, v, st, .. } = samples;
    let mut seen = Place::default();
    for step in steps.all() {
        let time = steps.time(step);
        seen.move_past(t, time);
        let Some(last) = seen.at.checked_sub(1) else {
            continue;
        };
        if t[last] > time.saturating_sub(lookback) && !is_stale(v[last]) {
            let v = shown(show, t[last], v[last], st, last);
            out.floats.push(Point { step, v });
        }
    }
}

fn newest(t: &[Timestamp], seen: usize) -> Option<(usize, Timestamp)> {
    let at = seen.checked_sub(1)?;
    Some((at, t[at]))
}

#[inline]
fn shown(show: Show, t: Timestamp, v: f64, starts: &[Timestamp], at: usize) -> f64 {
    match show {
        Show::Value => v,
        Show::Time => t as f64 / 1000.0,
        Show::Milliseconds => t as f64,
        Show::Start => starts.get(at).copied().unwrap_or(0) as f64 / 1000.0,
    }
}

/// The value on the line between two samples, the last value where there is none after.
fn between(t: &[Timestamp], v: &[f64], time: Timestamp) -> Option<f64> {
    let after = t.partition_point(|t| *t < time);
    if t.get(after) == Some(&time) {
        return v.get(after).copied();
    }
    let before = after.checked_sub(1)?;
    let (Some(next_t), Some(next)) = (t.get(after), v.get(after)) else {
        return v.get(before).copied();
    };
    let (t, v) = (t[before], v[before]);
    Some(v + (next - v) * (time.wrapping_sub(t) as f64) / (next_t.wrapping_sub(t) as f64))
}

/// Samples of what a subquery computed.
pub(super) fn samples_of(row: (Head, &mut Points), steps: Steps, samples: &mut Samples) -> Head {
    let (head, points) = row;
    samples.clear();
    for point in &points.floats {
        samples.t.push(steps.time(point.step));
        samples.v.push(point.v);
    }
    for point in points.histograms.drain(..) {
        samples.ht.push(steps.time(point.step));
        samples.h.push(super::histograms::without_hint(point.h));
    }
    head
}

/// The selector of `expr`, if it is one.
pub(super) fn as_selector(expr: &Expr) -> Option<&VectorSelector> {
    match &expr.unwrap_parens().kind {
        ExprKind::Selector(selector) => Some(selector),
        _ => None,
    }
}
