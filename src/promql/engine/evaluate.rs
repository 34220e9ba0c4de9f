//! Walks the tree and lets series flow through it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use model::{Cancel, Columns, Hints, Labels, METRIC_NAME, MatchKind, Queryable, Select, Symbols};

use super::aggregate::{self, Groups};
use super::arithmetic::{Scalar, WithScalar, apply};
use super::steps::{Point, Steps};
use super::{Answer, AnswerValue, InstantSample, Options, QueryError, RangeSeries, Stats, window};
use crate::Span;
use crate::functions::rate::Rate;
use crate::lexer::text::quote;
use crate::parser::ast::{
    Aggregate, Binary, Call, Expr, ExprKind, RangeSelector, ValueType, VectorSelector,
};

pub(super) type Evaluated<T = ()> = Result<T, QueryError>;

/// Takes the series of a vector, one by one. The points may be changed or taken; the buffer is used again.
pub(super) type Sink<'s> = dyn FnMut(Labels, &mut Vec<Point>) -> Evaluated + 's;

pub(super) fn too_many_samples() -> QueryError {
    let text = "query processing would load too many samples into memory in query execution";
    QueryError::Limit(text.to_owned())
}

fn same_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

fn unsupported<T>(span: Span, construct: impl Into<String>) -> Evaluated<T> {
    Err(QueryError::Unsupported {
        span,
        construct: construct.into(),
    })
}

/// One query on its way.
pub(super) struct Evaluation<'q> {
    source: &'q dyn Queryable,
    cancel: &'q Cancel,
    options: &'q Options,
    steps: Steps,
    symbols: Arc<Symbols>,
    /// The labels that say what a series measures: gone once it measures something else.
    metadata: [u32; 3],
    /// Samples and points held by results and groups.
    held: Cell<usize>,
    stats: Cell<Stats>,
    warnings: RefCell<Vec<String>>,
    infos: RefCell<Vec<String>>,
}

impl<'q> Evaluation<'q> {
    pub(super) fn new(
        source: &'q dyn Queryable,
        cancel: &'q Cancel,
        options: &'q Options,
        steps: Steps,
    ) -> Self {
        let symbols = Arc::new(Symbols::new());
        let metadata = [METRIC_NAME, "__type__", "__unit__"].map(|name| symbols.intern(name));
        Self {
            source,
            cancel,
            options,
            steps,
            symbols,
            metadata,
            held: Cell::default(),
            stats: Cell::default(),
            warnings: RefCell::default(),
            infos: RefCell::default(),
        }
    }

    pub(super) fn answer(self, value: AnswerValue) -> Answer {
        Answer {
            symbols: self.symbols,
            value,
            warnings: self.warnings.into_inner(),
            infos: self.infos.into_inner(),
            stats: self.stats.get(),
        }
    }

    pub(super) fn instant(&self, expr: &Expr) -> Evaluated<AnswerValue> {
        let t = self.steps.start;
        match expr.value_type() {
            ValueType::Scalar => Ok(AnswerValue::Scalar(t, self.scalar(expr)?.at(0))),
            ValueType::String => match &expr.unwrap_parens().kind {
                ExprKind::String(text) => Ok(AnswerValue::String(t, text.clone())),
                _ => unsupported(expr.span, "this string expression"),
            },
            ValueType::Matrix => self.raw(expr),
            ValueType::Vector => {
                let mut samples = Vec::new();
                self.vector(expr, &self.hints(), &mut |labels, points| {
                    self.hold(points.len())?;
                    samples.extend(points.drain(..).map(|p| InstantSample {
                        labels: labels.clone(),
                        t,
                        v: p.v,
                    }));
                    Ok(())
                })?;
                Ok(AnswerValue::Vector(samples))
            }
        }
    }

    pub(super) fn range(&self, expr: &Expr) -> Evaluated<AnswerValue> {
        let mut matrix = Vec::new();
        if self.steps.count == 0 {
            return Ok(AnswerValue::Matrix(matrix));
        }
        let time = |step| self.steps.time(step);
        if expr.value_type() == ValueType::Scalar {
            let scalar = self.scalar(expr)?;
            let points = self
                .steps
                .all()
                .map(|step| (time(step), scalar.at(step)))
                .collect();
            matrix.push(RangeSeries {
                labels: Labels::default(),
                points,
            });
            return Ok(AnswerValue::Matrix(matrix));
        }
        self.vector(expr, &self.hints(), &mut |labels, points| {
            self.hold(points.len())?;
            let points: Vec<_> = points.iter().map(|p| (time(p.step), p.v)).collect();
            if !points.is_empty() {
                matrix.push(RangeSeries { labels, points });
            }
            Ok(())
        })?;
        matrix.sort_by(|a, b| a.labels.compare(&b.labels, &self.symbols));
        Ok(AnswerValue::Matrix(matrix))
    }

    fn hints(&self) -> Hints {
        Hints {
            step: self.steps.step,
            ..Hints::default()
        }
    }

    /// Accounts for `count` more samples or points that stay.
    fn hold(&self, count: usize) -> Evaluated {
        self.held.set(self.held.get() + count);
        self.check_limit(0)
    }

    fn release(&self, count: usize) {
        self.held.set(self.held.get().saturating_sub(count));
    }

    fn check_limit(&self, scratch: usize) -> Evaluated {
        let mut stats = self.stats.get();
        let now = self.held.get() + scratch;
        stats.peak_samples = stats.peak_samples.max(now);
        self.stats.set(stats);
        if now > self.options.max_samples {
            Err(too_many_samples())
        } else {
            Ok(())
        }
    }

    // ---- scalars

    fn scalar(&self, expr: &Expr) -> Evaluated<Scalar> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Scalar::Constant(number.value)),
            ExprKind::Paren(inner) => self.scalar(inner),
            ExprKind::Unary {
                negative: true,
                operand,
            } => Ok(self.scalar(operand)?.map(|v| -v)),
            ExprKind::Unary { operand, .. } => self.scalar(operand),
            ExprKind::Binary(binary) => {
                let (left, right) = (self.scalar(&binary.left)?, self.scalar(&binary.right)?);
                Ok(left.zip(right, self.steps.count, |l, r| apply(binary.op, l, r)))
            }
            ExprKind::Call(call) => match call.function.name {
                "time" => {
                    let seconds = |step| self.steps.time(step) as f64 / 1000.0;
                    Ok(Scalar::Steps(self.steps.all().map(seconds).collect()))
                }
                "pi" => Ok(Scalar::Constant(std::f64::consts::PI)),
                name => unsupported(expr.span, format!("function {}", quote(name))),
            },
            _ => unsupported(expr.span, "this scalar expression"),
        }
    }

    // ---- vectors

    /// Sends the series of `expr` to `sink`. `hints` say what stands above.
    fn vector(&self, expr: &Expr, hints: &Hints, sink: &mut Sink<'_>) -> Evaluated {
        self.cancel.check()?;
        match &expr.kind {
            ExprKind::Paren(inner) => self.vector(inner, hints, sink),
            ExprKind::Selector(selector) => self.selector(selector, expr.span, hints, sink),
            ExprKind::Call(call) => self.call(call, expr.span, sink),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, sink),
            ExprKind::Unary { negative, operand } => {
                let hints = Hints {
                    grouping: None,
                    ..hints.clone()
                };
                if !negative {
                    return self.vector(operand, &hints, sink);
                }
                let negate = |points: &mut Vec<Point>| points.iter_mut().for_each(|p| p.v = -p.v);
                self.map(operand, &hints, true, &negate, sink)
            }
            ExprKind::Binary(binary) => self.binary(binary, expr.span, sink),
            _ => unsupported(expr.span, "this expression"),
        }
    }

    fn selector(
        &self,
        selector: &VectorSelector,
        span: Span,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let steps = self.steps.shifted(selector.shift);
        let lookback = self.options.lookback;
        let select = self.select(selector, steps, lookback, hints.clone());
        let mut points = Vec::new();
        self.each_series(&select, span, &mut |labels, columns| {
            points.clear();
            window::instant(columns, steps, lookback, &mut points);
            self.repeat(steps, &mut points);
            if points.is_empty() {
                Ok(())
            } else {
                sink(labels, &mut points)
            }
        })
    }

    /// What `@` fixed holds at every step.
    fn repeat(&self, steps: Steps, points: &mut Vec<Point>) {
        if let ([Point { v, .. }], true) = (points.as_slice(), steps.count < self.steps.count) {
            let v = *v;
            points.clear();
            points.extend(self.steps.all().map(|step| Point { step, v }));
        }
    }

    fn select(&self, selector: &VectorSelector, steps: Steps, window: i64, hints: Hints) -> Select {
        let first = steps.start.saturating_sub(window).saturating_add(1);
        let matchers = selector.matchers.clone();
        let mut select = Select::new(Arc::clone(&self.symbols), matchers, first, steps.end);
        select.hints = hints;
        select
    }

    /// Reads the selected series one after the other.
    fn each_series(
        &self,
        select: &Select,
        span: Span,
        visit: &mut dyn FnMut(Labels, &mut Columns) -> Evaluated,
    ) -> Evaluated {
        let mut stream = self.source.select(select, self.cancel)?;
        let mut columns = Columns::default();
        while let Some(batch) = stream.next()? {
            for series in batch {
                self.cancel.check()?;
                columns.clear();
                series.samples.read(&mut columns)?;
                if !columns.floats_only() {
                    return unsupported(span, "selecting native histograms");
                }
                let mut stats = self.stats.get();
                stats.series += 1;
                stats.samples += columns.len() as u64;
                self.stats.set(stats);
                self.check_limit(columns.len())?;
                // Decoding may have taken a while.
                self.cancel.check()?;
                visit(series.labels, &mut columns)?;
            }
        }
        self.warnings.borrow_mut().extend(stream.warnings());
        Ok(())
    }

    fn call(&self, call: &Call, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let name = call.function.name;
        let [arg] = call.args.as_slice() else {
            return unsupported(span, format!("function {}", quote(name)));
        };
        if name == "vector" {
            let scalar = self.scalar(arg)?;
            let mut points = self
                .steps
                .all()
                .map(|step| Point {
                    step,
                    v: scalar.at(step),
                })
                .collect();
            return sink(Labels::default(), &mut points);
        }
        let range = match &arg.unwrap_parens().kind {
            ExprKind::Range(range) => range,
            ExprKind::Subquery(_) if Rate::of(name, 0).is_some() => {
                return unsupported(arg.span, "a subquery");
            }
            _ => return unsupported(span, format!("function {}", quote(name))),
        };
        match Rate::of(name, range.range) {
            Some(rate) => self.rate(rate, name, range, arg.span, sink),
            None => unsupported(span, format!("function {}", quote(name))),
        }
    }

    fn rate(
        &self,
        rate: Rate,
        name: &str,
        range: &RangeSelector,
        span: Span,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let steps = self.steps.shifted(range.selector.shift);
        let hints = Hints {
            function: name.to_owned(),
            range: range.range,
            ..self.hints()
        };
        let select = self.select(&range.selector, steps, range.range, hints);
        let (mut points, mut resets) = (Vec::new(), Vec::new());
        let mut distinct = Distinct::default();
        self.each_series(&select, span, &mut |mut labels, columns| {
            points.clear();
            window::drop_stale(columns);
            window::rate(columns, steps, rate, &mut resets, &mut points);
            self.repeat(steps, &mut points);
            if points.is_empty() {
                return Ok(());
            }
            if rate.counter {
                self.note_non_counter(&labels, span);
            }
            self.drop_metadata(&mut labels);
            distinct.insert(&labels)?;
            sink(labels, &mut points)
        })
    }

    /// Tells of a counter's function over what does not look like a counter.
    fn note_non_counter(&self, labels: &Labels, span: Span) {
        let Some(name) = labels.get(METRIC_NAME, &self.symbols) else {
            return;
        };
        if ["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            return;
        }
        let text = format!(
            "PromQL info: metric might not be a counter, name does not end in \
             _total/_sum/_count/_bucket: {} ({span})",
            quote(name)
        );
        let mut infos = self.infos.borrow_mut();
        if !infos.contains(&text) {
            infos.push(text);
        }
    }

    fn drop_metadata(&self, labels: &mut Labels) {
        labels.retain(|name, _| !self.metadata.contains(&name));
    }

    fn aggregate(&self, aggregate: &Aggregate, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let op = aggregate.op;
        if !aggregate::is_supported(op) {
            return unsupported(span, format!("aggregation {}", quote(op.as_str())));
        }
        let grouping = &aggregate.grouping;
        let hints = Hints {
            function: op.as_str().to_owned(),
            grouping: Some(grouping.clone()),
            ..self.hints()
        };
        let mut groups = Groups::new(op, grouping, self.steps.count, &self.symbols);
        self.vector(&aggregate.expr, &hints, &mut |labels, points| {
            let before = groups.held();
            groups.add(labels, points);
            self.hold(groups.held() - before)
        })?;
        let held = groups.held();
        groups.finish(sink)?;
        self.release(held);
        Ok(())
    }

    fn binary(&self, binary: &Binary, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let types = (binary.left.value_type(), binary.right.value_type());
        let (vector, scalar, scalar_left) = match types {
            (ValueType::Vector, ValueType::Scalar) => (&binary.left, &binary.right, false),
            (ValueType::Scalar, ValueType::Vector) => (&binary.right, &binary.left, true),
            _ => {
                let op = quote(binary.op.as_str());
                return unsupported(span, format!("operator {op} between two instant vectors"));
            }
        };
        let operator = WithScalar {
            op: binary.op,
            scalar: self.scalar(scalar)?,
            scalar_left,
            return_bool: binary.return_bool,
        };
        let change = |points: &mut Vec<Point>| operator.apply(points);
        self.map(vector, &self.hints(), operator.drops_name(), &change, sink)
    }

    /// Sends the series of `expr` on with changed points; without their names if `drops_name`.
    fn map(
        &self,
        expr: &Expr,
        hints: &Hints,
        drops_name: bool,
        change: &dyn Fn(&mut Vec<Point>),
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        if drops_name && !distinct_without_name(expr) {
            return self.map_merged(expr, hints, change, sink);
        }
        let mut distinct = Distinct::default();
        self.vector(expr, hints, &mut |mut labels, points| {
            change(points);
            if points.is_empty() {
                return Ok(());
            }
            if drops_name {
                self.drop_metadata(&mut labels);
                distinct.insert(&labels)?;
            }
            sink(labels, points)
        })
    }

    /// [`Self::map`] where series of different names may fall together: those that are never there at the same step
    /// become one, so all are held first.
    fn map_merged(
        &self,
        expr: &Expr,
        hints: &Hints,
        change: &dyn Fn(&mut Vec<Point>),
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let mut merged: Vec<(Labels, Vec<Point>)> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut held = 0;
        self.vector(expr, hints, &mut |mut labels, points| {
            change(points);
            self.drop_metadata(&mut labels);
            self.hold(points.len())?;
            held += points.len();
            let place = *places.entry(labels.clone()).or_insert(merged.len());
            match merged.get_mut(place) {
                None => merged.push((labels, std::mem::take(points))),
                Some((_, there)) => merge_points(there, points)?,
            }
            Ok(())
        })?;
        for (labels, mut points) in merged {
            if !points.is_empty() {
                sink(labels, &mut points)?;
            }
        }
        self.release(held);
        Ok(())
    }

    // ---- matrices

    fn raw(&self, expr: &Expr) -> Evaluated<AnswerValue> {
        let ExprKind::Range(RangeSelector { selector, range }) = &expr.unwrap_parens().kind else {
            return unsupported(expr.span, "a subquery");
        };
        let steps = self.steps.shifted(selector.shift);
        let hints = Hints {
            range: *range,
            ..self.hints()
        };
        let mut matrix = Vec::new();
        let select = self.select(selector, steps, *range, hints);
        self.each_series(&select, expr.span, &mut |labels, columns| {
            window::drop_stale(columns);
            let points = window::raw(columns, steps, *range);
            self.hold(points.len())?;
            if !points.is_empty() {
                matrix.push(RangeSeries { labels, points });
            }
            Ok(())
        })?;
        matrix.sort_by(|a, b| a.labels.compare(&b.labels, &self.symbols));
        Ok(AnswerValue::Matrix(matrix))
    }
}

/// Adds `more` to `points`, both in step order. A step in both is an error.
fn merge_points(points: &mut Vec<Point>, more: &[Point]) -> Evaluated {
    points.extend_from_slice(more);
    points.sort_by_key(|point| point.step);
    match points.windows(2).any(|pair| pair[0].step == pair[1].step) {
        true => Err(same_labels()),
        false => Ok(()),
    }
}

/// Whether the series of `expr` are told apart by other labels than their names.
fn distinct_without_name(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => distinct_without_name(inner),
        ExprKind::Selector(selector) => selector
            .matchers
            .iter()
            .any(|m| m.name == METRIC_NAME && m.kind == MatchKind::Equal && !m.value.is_empty()),
        ExprKind::Unary { negative, operand } => *negative || distinct_without_name(operand),
        ExprKind::Aggregate(Aggregate { grouping, .. }) => {
            grouping.without || !grouping.labels.iter().any(|label| label == METRIC_NAME)
        }
        ExprKind::Binary(Binary {
            op,
            return_bool,
            left,
            right,
            ..
        }) => {
            let sides = [left, right];
            let mut vectors = sides.iter().filter(|e| e.value_type() == ValueType::Vector);
            !op.is_comparison() || *return_bool || vectors.all(|e| distinct_without_name(e))
        }
        // Functions drop names themselves.
        _ => true,
    }
}

/// Refuses a label set that was there before. It keeps hashes only, as Prometheus does.
#[derive(Default)]
struct Distinct {
    hasher: RandomState,
    seen: HashSet<u64>,
}

impl Distinct {
    fn insert(&mut self, labels: &Labels) -> Evaluated {
        match self.seen.insert(self.hasher.hash_one(labels)) {
            true => Ok(()),
            false => Err(same_labels()),
        }
    }
}
