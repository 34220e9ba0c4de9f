//! Walks the tree and lets series flow through it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use model::{Hints, Labels, METRIC_NAME, MatchKind};

use super::invariant::is_invariant;
use super::merged::Merged;
use super::points::{Head, HistogramPoint, Point, Points, Row};
use super::query::{Query, same_labels};
use super::samples::Windows;
use super::steps::Steps;
use super::{AnswerValue, Evaluated, InstantSample, QueryError, RangeSeries};
use crate::Span;
use crate::parser::ast::{Aggregate, Binary, Expr, ExprKind, TimeShift, ValueType};

/// Takes the series of a vector, one by one. The points may be changed or taken; the buffers are used again.
pub(super) type Sink<'s> = dyn FnMut(Head, &mut Points) -> Evaluated + 's;

pub(super) fn unsupported<T>(span: Span, construct: impl Into<String>) -> Evaluated<T> {
    Err(QueryError::Unsupported {
        span,
        construct: construct.into(),
    })
}

/// A query at certain steps: its own, or those of a subquery.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'q> {
    pub(super) query: &'q Query<'q>,
    pub(super) steps: Steps,
    /// How much earlier than the first step Prometheus begins to read, milliseconds: it does not align the start of a subquery for
    /// that. Where sources put replicas together, their samples hang on it.
    pub(super) lead: i64,
}

/// Rows that are held, and what they weigh.
#[derive(Default)]
pub(super) struct Held {
    pub(super) rows: Vec<Row>,
    pub(super) weight: usize,
}

impl<'q> Evaluation<'q> {
    pub(super) fn new(query: &'q Query<'q>) -> Self {
        Self {
            query,
            steps: query.steps,
            lead: 0,
        }
    }

    pub(super) fn at(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// Inside of a subquery with these windows, at its steps.
    pub(super) fn inside(self, windows: &Windows, steps: Steps) -> Self {
        let start = windows.first_time().saturating_sub(1);
        Self {
            steps,
            lead: steps.start.saturating_sub(start),
            ..self
        }
    }

    /// [`Self::lead`] of what is read at `shift`: a fixed time is no step.
    pub(super) fn lead_at(&self, shift: TimeShift) -> i64 {
        match shift.at {
            Some(_) => 0,
            None => self.lead,
        }
    }

    /// Whether there is one instant only: sorted series keep their order then.
    pub(super) fn is_instant(&self) -> bool {
        self.steps.start == self.steps.end
    }

    // ---- answers

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
                let rows = self.named(self.rows(expr, &self.hints())?.rows)?;
                let samples = rows.into_iter().filter_map(|row| sample(row, t));
                Ok(AnswerValue::Vector(samples.collect()))
            }
        }
    }

    pub(super) fn range(&self, expr: &Expr) -> Evaluated<AnswerValue> {
        if self.steps.count == 0 {
            return Ok(AnswerValue::Matrix(Vec::new()));
        }
        if expr.value_type() == ValueType::Scalar {
            let scalar = self.scalar(expr)?;
            let steps = self.steps.all();
            let points = steps.map(|step| (self.steps.time(step), scalar.at(step)));
            return Ok(AnswerValue::Matrix(vec![RangeSeries {
                labels: Labels::default(),
                points: points.collect(),
                histograms: Vec::new(),
            }]));
        }
        let rows = self.named(self.rows(expr, &self.hints())?.rows)?;
        Ok(AnswerValue::Matrix(self.matrix(rows)))
    }

    /// Rows as series in label order.
    pub(super) fn matrix(&self, rows: Vec<Row>) -> Vec<RangeSeries> {
        let time = |step| self.steps.time(step);
        let rows = rows.into_iter().filter(|row| !row.points.is_empty());
        let mut matrix: Vec<_> = rows
            .map(|Row { head, points }| RangeSeries {
                labels: head.labels,
                points: points.floats.iter().map(|p| (time(p.step), p.v)).collect(),
                histograms: points
                    .histograms
                    .into_iter()
                    .map(|p| (time(p.step), p.h))
                    .collect(),
            })
            .collect();
        matrix.sort_by(|a, b| a.labels.compare(&b.labels, &self.query.symbols));
        matrix
    }

    /// Removes the names whose removal was put off.
    pub(super) fn named(&self, mut rows: Vec<Row>) -> Evaluated<Vec<Row>> {
        if !self.query.options.delayed_name_removal {
            return Ok(rows);
        }
        for row in rows.iter_mut().filter(|row| row.head.drop_name) {
            self.query.remove_metadata(&mut row.head.labels);
        }
        let mut merged = Merged::default();
        for Row { head, mut points } in rows {
            merged.add(head, &mut points);
        }
        merged.finish()
    }

    pub(super) fn hints(&self) -> Hints {
        Hints {
            step: self.steps.step,
            ..Hints::default()
        }
    }

    // ---- vectors

    /// Sends the series of `expr` to `sink`. `hints` say what stands above.
    pub(super) fn vector(&self, expr: &Expr, hints: &Hints, sink: &mut Sink<'_>) -> Evaluated {
        self.query.cancel.check()?;
        if self.steps.count == 0 {
            return Ok(());
        }
        if self.steps.count > 1 && self.query.pins && is_invariant(expr, &self.query.steps) {
            return self.once(expr, hints, sink);
        }
        match &expr.kind {
            ExprKind::Paren(inner) => self.vector(inner, hints, sink),
            ExprKind::Selector(selector) => self.selector(selector, expr.span, hints, sink),
            ExprKind::Call(call) => self.call(call, expr.span, sink),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, sink),
            ExprKind::Unary { negative, operand } => self.unary(*negative, operand, hints, sink),
            ExprKind::Binary(binary) => self.binary(binary, expr.span, sink),
            _ => unsupported(expr.span, "this expression"),
        }
    }

    /// What is the same at every step: evaluated at the first, repeated at all.
    fn once(&self, expr: &Expr, hints: &Hints, sink: &mut Sink<'_>) -> Evaluated {
        let first = Steps {
            end: self.steps.start,
            count: 1,
            ..self.steps
        };
        self.at(first).vector(expr, hints, &mut |head, points| {
            if let Some(Point { v, .. }) = points.floats.pop() {
                points.floats.clear();
                let all = self.steps.all().map(|step| Point { step, v });
                points.floats.extend(all);
            } else if let Some(HistogramPoint { h, .. }) = points.histograms.pop() {
                points.histograms.clear();
                let repeat = |step| HistogramPoint { step, h: h.clone() };
                points.histograms.extend(self.steps.all().map(repeat));
            }
            sink(head, points)
        })
    }

    /// All series of `expr`, held.
    pub(super) fn rows(&self, expr: &Expr, hints: &Hints) -> Evaluated<Held> {
        let mut held = Held::default();
        self.vector(expr, hints, &mut |head, points| {
            if points.is_empty() {
                return Ok(());
            }
            let weight = points.weight();
            self.query.hold(weight)?;
            held.weight += weight;
            let points = points.take();
            held.rows.push(Row { head, points });
            Ok(())
        })?;
        Ok(held)
    }

    /// Sends held rows on.
    pub(super) fn send(&self, rows: Vec<Row>, sink: &mut Sink<'_>) -> Evaluated {
        for Row { head, mut points } in rows {
            self.query.cancel.check()?;
            if !points.is_empty() {
                sink(head, &mut points)?;
            }
        }
        Ok(())
    }

    fn unary(
        &self,
        negative: bool,
        operand: &Expr,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let hints = Hints {
            grouping: None,
            ..hints.clone()
        };
        if !negative {
            return self.vector(operand, &hints, sink);
        }
        self.map(operand, &hints, sink, &mut |points| {
            points.floats.iter_mut().for_each(|p| p.v = -p.v);
            for point in &mut points.histograms {
                super::histograms::negate(point);
            }
            Ok(())
        })
    }

    /// Sends the series of `expr` on with changed points and without their names.
    pub(super) fn map(
        &self,
        expr: &Expr,
        hints: &Hints,
        sink: &mut Sink<'_>,
        change: &mut dyn FnMut(&mut Points) -> Evaluated,
    ) -> Evaluated {
        self.renamed(expr, sink, &mut |sink| {
            self.vector(expr, hints, &mut |head, points| {
                change(points)?;
                match points.is_empty() {
                    true => Ok(()),
                    false => sink(head, points),
                }
            })
        })
    }

    /// Sends what `produce` makes of the series of `expr` on without their names. Where series of different names may
    /// fall together, those that are never there at the same step become one, so all are held first.
    pub(super) fn renamed(
        &self,
        expr: &Expr,
        sink: &mut Sink<'_>,
        produce: &mut dyn FnMut(&mut Sink<'_>) -> Evaluated,
    ) -> Evaluated {
        if self.query.options.delayed_name_removal {
            return produce(&mut |mut head, points| {
                head.drop_name = true;
                sink(head, points)
            });
        }
        if distinct_without_name(expr) {
            let mut distinct = Distinct::default();
            return produce(&mut |mut head, points| {
                self.query.drop_name(&mut head);
                distinct.insert(&head.labels)?;
                sink(head, points)
            });
        }
        let (mut merged, mut held) = (Merged::default(), 0);
        produce(&mut |mut head, points| {
            self.query.drop_name(&mut head);
            let weight = points.weight();
            self.query.hold(weight)?;
            held += weight;
            merged.add(head, points);
            Ok(())
        })?;
        self.send(merged.finish()?, sink)?;
        self.query.release(held);
        Ok(())
    }
}

fn sample(row: Row, t: i64) -> Option<InstantSample> {
    let Row { head, points } = row;
    let labels = head.labels;
    let histogram = points.histograms.into_iter().next().map(|point| point.h);
    let float = points.floats.first().map(|point| point.v);
    // A series without a point is none.
    float
        .is_some()
        .then_some(())
        .or(histogram.as_ref().map(|_| ()))?;
    Some(InstantSample {
        labels,
        t,
        v: float.unwrap_or(0.0),
        histogram,
    })
}

/// Whether the series of `expr` are told apart by other labels than their names.
pub(super) fn distinct_without_name(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => distinct_without_name(inner),
        ExprKind::Selector(selector) => selector
            .matchers
            .iter()
            .any(|m| m.name == METRIC_NAME && m.kind == MatchKind::Equal && !m.value.is_empty()),
        ExprKind::Unary { negative, operand } => *negative || distinct_without_name(operand),
        ExprKind::Aggregate(Aggregate {
            op, grouping, expr, ..
        }) => {
            if op.keeps_series() {
                return distinct_without_name(expr);
            }
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
            let drops = !op.is_set() && (!op.is_comparison() || *return_bool);
            drops || vectors.all(|e| distinct_without_name(e)) && !op.is_set()
        }
        ExprKind::Call(call) => !matches!(
            call.function.name,
            "label_replace"
                | "label_join"
                | "sort"
                | "sort_desc"
                | "sort_by_label"
                | "sort_by_label_desc"
                | "last_over_time"
                | "first_over_time"
                | "info"
        ),
        _ => true,
    }
}

/// Refuses a label set that was there before. It keeps hashes only, as Prometheus does.
#[derive(Default)]
pub(super) struct Distinct {
    hasher: RandomState,
    seen: HashSet<u64>,
}

impl Distinct {
    pub(super) fn insert(&mut self, labels: &Labels) -> Evaluated {
        match self.seen.insert(self.hasher.hash_one(labels)) {
            true => Ok(()),
            false => Err(same_labels()),
        }
    }
}
