//! Functions over range vectors: one pass over a series, window by window.

use super::arithmetic::Scalar;
use super::evaluate::{Distinct, Evaluation, Sink, unsupported};
use super::flow::Stage;
use super::points::{Head, Point, Points, Value};
use super::query::Query;
use super::samples::{Borders, Samples, Window, Windows};
use super::subquery::Ranged;
use super::{Evaluated, QueryError};
use crate::Span;
use crate::functions::extended::{Reading, Wide};
use crate::functions::over_time::{self, Extreme};
use crate::functions::rate::Rate;
use crate::functions::start::{self, Started};
use crate::functions::trend;
use crate::lexer::text::quote;
use crate::parser::ast::{Call, Expr, ValueType};
use model::{Hints, Labels, Need};

/// A function over windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverRange {
    /// `rate`, `increase`, `delta`.
    Rate(Rate),
    /// `irate`, and `idelta` without `per_second`.
    Last2 {
        per_second: bool,
    },
    Average,
    Sum,
    Count,
    Present,
    First,
    Last,
    FirstTime,
    LastTime,
    Extreme(Extreme),
    ExtremeTime(Extreme),
    Quantile,
    Variance,
    Deviation,
    MedianDeviation,
    Derivative,
    Predict,
    Smooth,
    Resets,
    Changes,
}

impl OverRange {
    /// The function called `name` over `range` milliseconds.
    pub(crate) fn find(name: &str, range: i64) -> Option<Self> {
        if let Some(rate) = Rate::of(name, range) {
            return Some(Self::Rate(rate));
        }
        Some(match name {
            "irate" => Self::Last2 { per_second: true },
            "idelta" => Self::Last2 { per_second: false },
            "avg_over_time" => Self::Average,
            "sum_over_time" => Self::Sum,
            "count_over_time" => Self::Count,
            "present_over_time" => Self::Present,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "ts_of_first_over_time" => Self::FirstTime,
            "ts_of_last_over_time" => Self::LastTime,
            "max_over_time" => Self::Extreme(Extreme::Greatest),
            "min_over_time" => Self::Extreme(Extreme::Least),
            "ts_of_max_over_time" => Self::ExtremeTime(Extreme::Greatest),
            "ts_of_min_over_time" => Self::ExtremeTime(Extreme::Least),
            "quantile_over_time" => Self::Quantile,
            "stdvar_over_time" => Self::Variance,
            "stddev_over_time" => Self::Deviation,
            "mad_over_time" => Self::MedianDeviation,
            "deriv" => Self::Derivative,
            "predict_linear" => Self::Predict,
            "double_exponential_smoothing" => Self::Smooth,
            "resets" => Self::Resets,
            "changes" => Self::Changes,
            _ => return None,
        })
    }

    /// Whether the points still are values of the metric.
    fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }

    /// Whether it can read what is around its windows.
    fn takes(self, borders: Borders) -> bool {
        match borders {
            Borders::Plain => true,
            Borders::Anchored => matches!(self, Self::Rate(_) | Self::Resets | Self::Changes),
            Borders::Smoothed => matches!(self, Self::Rate(_)),
        }
    }
}

/// One call of a function over ranges.
pub(crate) struct RangeCall<'c> {
    pub(crate) function: OverRange,
    pub(crate) query: &'c Query<'c>,
    pub(crate) windows: Windows,
    /// The arguments that are no range vectors.
    params: &'c [Scalar],
    /// Where the range vector stands.
    pub(crate) span: Span,
    /// Where the first argument stands.
    first_span: Span,
}

/// The same for the series of any thread.
#[derive(Clone)]
struct OverWindows {
    function: OverRange,
    windows: Windows,
    params: Vec<Scalar>,
    span: Span,
    first_span: Span,
    /// The selector's series have no buckets from here on, since nobody reads them.
    counts_only_from: Option<i64>,
    scratch: Scratch,
}

impl OverWindows {
    fn evaluate(
        &mut self,
        query: &Query<'_>,
        mut head: Head,
        samples: &Samples,
        out: &mut Points,
    ) -> Evaluated<Head> {
        let call = RangeCall {
            function: self.function,
            query,
            windows: self.windows,
            params: &self.params,
            span: self.span,
            first_span: self.first_span,
        };
        call.evaluate(&head, samples, &mut self.scratch, out)?;
        if out.is_empty() {
            return Ok(head);
        }
        call.note_non_counter(&head, out);
        if !self.function.keeps_name() || head.drop_name {
            query.drop_name(&mut head);
        }
        Ok(head)
    }
}

impl Stage for OverWindows {
    fn points(
        &mut self,
        query: &Query<'_>,
        labels: Labels,
        samples: &mut Samples,
        out: &mut Points,
    ) -> Evaluated<Head> {
        samples.drop_stale();
        if let Some(mint) = self.counts_only_from {
            super::histograms::drop_buckets(samples, mint);
        }
        self.evaluate(query, Head::from(labels), samples, out)
    }

    fn need(&self) -> Need {
        let rate = matches!(self.function, OverRange::Rate(_));
        let plain = self.windows.borders == Borders::Plain;
        Need {
            until: self.windows.last_time(),
            edges: (rate && plain).then(|| self.windows.edges()),
        }
    }
}

impl Evaluation<'_> {
    /// A call with a range vector at `place` of its arguments.
    pub(super) fn over_range(
        &self,
        call: &Call,
        place: usize,
        span: Span,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let (name, arg) = (call.function.name, &call.args[place]);
        let hints = Hints {
            function: name.to_owned(),
            ..self.hints()
        };
        let ranged = self.ranged(arg, hints)?;
        let windows = *ranged.windows();
        let Some(function) = OverRange::find(name, windows.range) else {
            return unsupported(span, format!("function {}", quote(name)));
        };
        refuse_borders(function, windows.borders, name)?;
        let mut stage = OverWindows {
            function,
            windows,
            params: self.params(call)?,
            span: arg.unwrap_parens().span,
            first_span: call.args[0].unwrap_parens().span,
            counts_only_from: None,
            scratch: Scratch::default(),
        };
        let mut distinct = Distinct::default();
        let compared = !self.query.options.delayed_name_removal && !self.is_projected(&ranged);
        let mut sink = |head: Head, points: &mut Points| {
            if compared {
                distinct.insert(&head.labels)?;
            }
            sink(head, points)
        };
        match &ranged {
            Ranged::Selector {
                range,
                windows,
                hints,
            } => {
                let times = (windows.first_time(), windows.last_time());
                let select = self.select(&range.selector, times, hints.clone());
                let counts_only = self.query.counts_only.has(&range.selector);
                stage.counts_only_from = counts_only.then_some(select.mint);
                let stream = self.query.open_shared(&select, &range.selector)?;
                self.query.flow(stream, stage, self.steps.count, &mut sink)
            }
            Ranged::Subquery { .. } => {
                let mut points = Points::default();
                self.each_ranged(&ranged, &mut |head, samples| {
                    points.clear();
                    let head = stage.evaluate(self.query, head, samples, &mut points)?;
                    match points.is_empty() {
                        true => Ok(()),
                        false => sink(head, &mut points),
                    }
                })
            }
        }
    }

    /// Whether some labels of its series are not read. Such series have one name, and so stay apart without it.
    fn is_projected(&self, ranged: &Ranged<'_>) -> bool {
        match ranged {
            Ranged::Selector { range, .. } => self.query.projections.get(&range.selector).is_some(),
            Ranged::Subquery { .. } => false,
        }
    }

    fn params(&self, call: &Call) -> Evaluated<Vec<Scalar>> {
        let scalars = call.args.iter().filter(|arg| is_scalar(arg));
        scalars.map(|arg| self.scalar(arg)).collect()
    }
}

fn is_scalar(expr: &Expr) -> bool {
    expr.value_type() == ValueType::Scalar
}

fn refuse_borders(function: OverRange, borders: Borders, name: &str) -> Evaluated {
    if function.takes(borders) {
        return Ok(());
    }
    let (modifier, safe) = match borders {
        Borders::Smoothed => ("smoothed", "delta, increase, rate"),
        _ => ("anchored", "changes, delta, increase, rate, resets"),
    };
    Err(QueryError::Execution(format!(
        "{modifier} modifier can only be used with: {safe} - not with {name}"
    )))
}

/// `absent_over_time` reads its windows only.
pub(super) fn refuse_absent(borders: Borders) -> Evaluated {
    refuse_borders(OverRange::Present, borders, "absent_over_time")
}

/// After so many windows the flag is looked at.
const CHECKED_EVERY: u32 = 1024;

/// Buffers that are used again from series to series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    resets: Vec<usize>,
    values: Vec<f64>,
}

impl RangeCall<'_> {
    /// The points of one series.
    fn evaluate(
        &self,
        head: &Head,
        samples: &Samples,
        scratch: &mut Scratch,
        out: &mut Points,
    ) -> Evaluated {
        let mut failed = Ok(());
        if samples.ht.is_empty() {
            let plain = self.windows.borders == Borders::Plain && samples.st.is_empty();
            if let (OverRange::Rate(rate), true) = (self.function, plain) {
                self.rates(rate, samples, &mut scratch.resets, &mut out.floats);
                return Ok(());
            }
            self.windows.each(samples, |window| {
                if failed.is_ok() && window.step.is_multiple_of(CHECKED_EVERY) {
                    failed = self.query.cancel.check().map_err(QueryError::from);
                }
                if failed.is_ok() {
                    self.note_overlap(head, window.st, window.t);
                    match self.floats(window, scratch) {
                        Ok(v) => out.floats.extend(v.map(|v| Point {
                            step: window.step,
                            v,
                        })),
                        Err(error) => failed = Err(error),
                    }
                }
            });
            return failed;
        }
        self.windows.each(samples, |window| {
            if window.is_empty() || failed.is_err() {
                return;
            }
            self.note_overlap(head, window.st, window.t);
            self.note_overlap(head, window.hst, window.ht);
            let value = if window.h.is_empty() {
                self.floats(window, scratch).map(|v| v.map(Value::Float))
            } else {
                self.histograms(head, window, scratch)
            };
            match value {
                Ok(Some(value)) => out.push(window.step, value),
                Ok(None) => {}
                Err(error) => failed = Err(error),
            }
        });
        failed
    }

    /// `rate` and its like: only the resets inside of a window are looked at.
    fn rates(&self, rate: Rate, samples: &Samples, resets: &mut Vec<usize>, out: &mut Vec<Point>) {
        rate.find_resets(&samples.v, resets);
        let (mut first_reset, mut last_reset) = (0, 0);
        self.windows.each(samples, |window| {
            let (from, to) = (window.first, window.first + window.t.len());
            // A reset at the first sample is between it and one outside of the window.
            first_reset += count_while(&resets[first_reset..], |at| at <= from);
            last_reset = last_reset.max(first_reset);
            last_reset += count_while(&resets[last_reset..], |at| at < to);
            let v = rate.over(window, &resets[first_reset..last_reset]);
            out.extend(v.map(|v| Point {
                step: window.step,
                v,
            }));
        });
    }

    /// The value over a window of floats.
    pub(crate) fn floats(
        &self,
        window: &Window<'_>,
        scratch: &mut Scratch,
    ) -> Evaluated<Option<f64>> {
        let Window { t, v, .. } = *window;
        let seconds = |t: i64| t as f64 / 1000.0;
        if v.is_empty() {
            return Ok(None);
        }
        Ok(match self.function {
            OverRange::Rate(rate) => self.rate_of(rate, window, scratch),
            OverRange::Last2 { per_second } => last_two(window, per_second),
            OverRange::Average => over_time::average(v),
            OverRange::Sum => over_time::sum(v),
            OverRange::Count => Some(v.len() as f64),
            OverRange::Present => Some(1.0),
            OverRange::First => v.first().copied(),
            OverRange::Last => v.last().copied(),
            OverRange::FirstTime => t.first().copied().map(seconds),
            OverRange::LastTime => t.last().copied().map(seconds),
            OverRange::Extreme(extreme) => extreme.first(v).map(|at| v[at]),
            OverRange::ExtremeTime(extreme) => extreme.last(v).map(|at| seconds(t[at])),
            OverRange::Quantile => Some(self.quantile(window, scratch)),
            OverRange::Variance => over_time::variance(v),
            OverRange::Deviation => over_time::variance(v).map(f64::sqrt),
            OverRange::MedianDeviation => over_time::median_deviation(v, &mut scratch.values),
            OverRange::Derivative => trend::regression(t, v, t[0]).map(|line| line.slope),
            OverRange::Predict => trend::regression(t, v, window.time)
                .map(|line| line.slope * self.param(0, window) + line.intercept),
            OverRange::Smooth => self.smooth(window)?,
            OverRange::Resets if !window.st.is_empty() => Some(started_resets(window)),
            OverRange::Resets => self.anchored(window).map(over_time::resets),
            OverRange::Changes => self.anchored(window).map(over_time::changes),
        })
    }

    /// Where it is told that histograms are left out.
    pub(super) fn ignored_span(&self) -> Span {
        self.first_span
    }

    fn param(&self, place: usize, window: &Window<'_>) -> f64 {
        let param = self.params.get(place);
        param.map_or(f64::NAN, |scalar| scalar.at(window.step))
    }

    fn wide<'w>(&self, window: &Window<'w>) -> Wide<'w> {
        Wide {
            t: window.t,
            v: window.v,
            start: window.start,
            end: window.end,
            smoothed: self.windows.borders == Borders::Smoothed,
        }
    }

    fn rate_of(&self, rate: Rate, window: &Window<'_>, scratch: &mut Scratch) -> Option<f64> {
        if self.windows.borders == Borders::Plain && rate.counter && !window.st.is_empty() {
            return rate.over_started(window);
        }
        if self.windows.borders == Borders::Plain {
            rate.find_resets(window.v, &mut scratch.resets);
            scratch.resets.iter_mut().for_each(|at| *at += window.first);
            return rate.over(window, &scratch.resets);
        }
        let reading = match rate.counter {
            true => Reading::Counter,
            false => Reading::Gauge,
        };
        let change = self.wide(window).change(reading)?;
        Some(match rate.per_second {
            true => change / rate.range_seconds(),
            false => change,
        })
    }

    /// The values that `resets` and `changes` compare.
    fn anchored<'w>(&self, window: &Window<'w>) -> Option<&'w [f64]> {
        if self.windows.borders == Borders::Plain {
            return Some(window.v);
        }
        let first = self.wide(window).anchored()?;
        window.v.get(first..)
    }

    fn quantile(&self, window: &Window<'_>, scratch: &mut Scratch) -> f64 {
        let q = self.param(0, window);
        if !(0.0..=1.0).contains(&q) {
            note_invalid_quantile(self.query, q, self.first_span);
        }
        scratch.values.clear();
        scratch.values.extend_from_slice(window.v);
        over_time::quantile(q, &mut scratch.values)
    }

    fn smooth(&self, window: &Window<'_>) -> Evaluated<Option<f64>> {
        let (level, trend) = (self.param(0, window), self.param(1, window));
        for (factor, short, v) in [("smoothing", "sf", level), ("trend", "tf", trend)] {
            if v <= 0.0 || v >= 1.0 {
                return Err(QueryError::Execution(format!(
                    "invalid {factor} factor. Expected: 0 < {short} < 1, got: {v:.6}"
                )));
            }
        }
        Ok(trend::smooth(window.v, level, trend))
    }

    /// Tells of samples of a counter that claim the same time.
    fn note_overlap(&self, head: &Head, st: &[i64], t: &[i64]) {
        let OverRange::Rate(Rate { counter: true, .. }) = self.function else {
            return;
        };
        if st.is_empty() || !start::pairs(st, t).any(|(before, now)| now.overlaps(before)) {
            return;
        }
        let name = quote(self.query.metric_name(&head.labels));
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {name}"
        );
        self.query.annotations.warn_counted(self.first_span, &text);
    }

    /// Tells of a counter's function over what does not look like a counter.
    fn note_non_counter(&self, head: &Head, points: &Points) {
        let OverRange::Rate(Rate { counter: true, .. }) = self.function else {
            return;
        };
        let name = self.query.metric_name(&head.labels);
        if name.is_empty() || points.floats.is_empty() {
            return;
        }
        if self.query.options.type_and_unit_labels {
            let kind = head
                .labels
                .get("__type__", &self.query.symbols)
                .unwrap_or("");
            if !matches!(kind, "counter" | "histogram") {
                let (kind, name) = (quote(kind), quote(name));
                let text = format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" or \
                     \"histogram\", got {kind}: {name}"
                );
                self.query.annotations.info(self.first_span, text);
            }
            return;
        }
        let ends = ["_total", "_sum", "_count", "_bucket"];
        if !ends.iter().any(|end| name.ends_with(end)) {
            let text = format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {}",
                quote(name)
            );
            self.query.annotations.info(self.first_span, text);
        }
    }
}

fn count_while(places: &[usize], holds: impl Fn(usize) -> bool) -> usize {
    places.iter().take_while(|at| holds(**at)).count()
}

/// `irate` and `idelta`: from the last but one sample to the last.
fn last_two(window: &Window<'_>, per_second: bool) -> Option<f64> {
    let Window { t, v, st, .. } = *window;
    let ([.., t1, t2], [.., v1, v2]) = (t, v) else {
        return None;
    };
    let elapsed = t2.saturating_sub(*t1);
    if elapsed == 0 {
        return None;
    }
    let last = t.len() - 1;
    let begun = Started::at(st, t, last).is_reset_after(Started::at(st, t, last - 1));
    // A counter that fell began at zero.
    let reset = per_second && (v2 < v1 || begun);
    let change = if reset { *v2 } else { v2 - v1 };
    Some(match per_second {
        true => change / (elapsed as f64 / 1000.0),
        false => change,
    })
}

/// `resets` of a counter with start timestamps.
fn started_resets(window: &Window<'_>) -> f64 {
    let pairs = window.v.windows(2).zip(start::pairs(window.st, window.t));
    let reset = |(pair, (before, now)): &(&[f64], (Started, Started))| {
        pair[1] < pair[0] || now.is_reset_after(*before)
    };
    pairs.filter(reset).count() as f64
}

/// Tells of a quantile outside of its range.
pub(crate) fn note_invalid_quantile(query: &Query<'_>, q: f64, span: Span) {
    let q = super::annotations::format_general(q);
    let text = format!("quantile value should be between 0 and 1, got {q}");
    query.annotations.warn(span, text);
}
