//! Aggregations as folds: each series' points go into the states of its group as the series passes by, in series
//! order, with Prometheus's own compensated steps. Those that look at all values of a group at once are in `ranked`
//! and `count_values`.

use std::collections::HashMap;

use model::{Grouping, Hints, Labels, Symbols};

use super::Evaluated;
use super::evaluate::{Evaluation, Sink, unsupported};
use super::histograms::HistogramFolds;
use super::points::{Head, HistogramPoint, Point, Points};
use super::query::Query;
use super::range::note_invalid_quantile;
use crate::Span;
use crate::functions::kahan::{Compensated, Mean};
use crate::functions::math;
use crate::functions::over_time::quantile;
use crate::lexer::text::quote;
use crate::parser::ast::{Aggregate, AggregateOp};

impl AggregateOp {
    /// Whether series go through it as they are.
    pub(super) fn keeps_series(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio
        )
    }
}

/// What is known of a group at one step.
#[derive(Clone, Debug)]
enum State {
    Sum(Compensated),
    Mean(Mean),
    Count(f64),
    Min(f64),
    Max(f64),
    Group,
    /// Welford's recurrence.
    Spread {
        count: f64,
        mean: f64,
        squares: f64,
    },
    /// Of a quantile, which needs them all.
    Values(Vec<f64>),
}

impl State {
    /// The state after one value; `None` for an aggregation that is no fold.
    fn first(op: AggregateOp, v: f64) -> Option<Self> {
        Some(match op {
            AggregateOp::Sum => Self::Sum(Compensated::of(v)),
            AggregateOp::Avg => Self::Mean(Mean::of(v)),
            AggregateOp::Count => Self::Count(1.0),
            AggregateOp::Min => Self::Min(v),
            AggregateOp::Max => Self::Max(v),
            AggregateOp::Group => Self::Group,
            AggregateOp::Stddev | AggregateOp::Stdvar => Self::Spread {
                count: 1.0,
                mean: v,
                squares: if v.is_finite() { 0.0 } else { f64::NAN },
            },
            AggregateOp::Quantile => Self::Values(vec![v]),
            _ => return None,
        })
    }

    #[inline]
    fn add(&mut self, v: f64) {
        match self {
            Self::Sum(sum) => *sum = sum.add(v),
            Self::Mean(mean) => mean.add(v),
            Self::Count(count) => *count += 1.0,
            // NaN gives way to anything.
            Self::Min(least) if *least > v || least.is_nan() => *least = v,
            Self::Max(most) if *most < v || most.is_nan() => *most = v,
            Self::Min(_) | Self::Max(_) | Self::Group => {}
            Self::Spread {
                count,
                mean,
                squares,
            } => {
                *count += 1.0;
                let delta = v - *mean;
                *mean += delta / *count;
                *squares += delta * (v - *mean);
            }
            Self::Values(values) => values.push(v),
        }
    }

    fn value(&mut self, op: AggregateOp, q: f64) -> f64 {
        match self {
            Self::Sum(sum) => sum.total(),
            Self::Mean(mean) => mean.value(),
            Self::Count(v) | Self::Min(v) | Self::Max(v) => *v,
            Self::Group => 1.0,
            Self::Spread { count, squares, .. } => match op {
                AggregateOp::Stddev => (*squares / *count).sqrt(),
                _ => *squares / *count,
            },
            Self::Values(values) => quantile(q, values),
        }
    }
}

/// Which labels make a group.
pub(super) struct Key {
    without: bool,
    names: Vec<u32>,
}

impl Key {
    pub(super) fn new(grouping: &Grouping, symbols: &Symbols) -> Self {
        let mut names: Vec<u32> = grouping
            .labels
            .iter()
            .map(|name| symbols.intern(name))
            .collect();
        if grouping.without {
            names.push(symbols.intern(model::METRIC_NAME));
        }
        Self {
            without: grouping.without,
            names,
        }
    }

    pub(super) fn of(&self, mut labels: Labels) -> Labels {
        if self.names.is_empty() && !self.without {
            return Labels::default();
        }
        labels.retain(|name, _| self.names.contains(&name) != self.without);
        labels
    }
}

impl Evaluation<'_> {
    pub(super) fn aggregate(
        &self,
        aggregate: &Aggregate,
        span: Span,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let op = aggregate.op;
        let hints = Hints {
            function: op.as_str().to_owned(),
            grouping: Some(aggregate.grouping.clone()),
            ..self.hints()
        };
        match op {
            AggregateOp::CountValues => return self.count_values(aggregate, &hints, sink),
            op if op.keeps_series() => return self.ranked(aggregate, span, &hints, sink),
            _ => {}
        }
        if State::first(op, 0.0).is_none() {
            return unsupported(span, format!("aggregation {}", quote(op.as_str())));
        }
        let quantiles = self.quantiles(aggregate)?;
        let mut groups = Groups::new(op, &aggregate.grouping, self, aggregate);
        self.vector(&aggregate.expr, &hints, &mut |head, points| {
            let before = groups.held();
            groups.add(head, points)?;
            self.query.hold(groups.held() - before)
        })?;
        let held = groups.held();
        groups.finish(&quantiles, sink)?;
        self.query.release(held);
        Ok(())
    }

    /// The parameter of `quantile` at each step.
    fn quantiles(&self, aggregate: &Aggregate) -> Evaluated<super::arithmetic::Scalar> {
        let Some(param) = &aggregate.param else {
            return Ok(super::arithmetic::Scalar::Constant(0.0));
        };
        let scalar = self.scalar(param)?;
        let span = param.unwrap_parens().span;
        let limits = Limits::of(scalar.values());
        if limits.any_nan {
            note_invalid_quantile(self.query, f64::NAN, span);
        }
        if limits.greatest > 1.0 {
            note_invalid_quantile(self.query, limits.greatest, span);
        }
        if limits.least < 0.0 {
            note_invalid_quantile(self.query, limits.least, span);
        }
        Ok(scalar)
    }
}

/// The range of a parameter over all steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) least: f64,
    pub(super) greatest: f64,
    pub(super) any_nan: bool,
}

impl Limits {
    pub(super) fn of(values: &[f64]) -> Self {
        Self {
            least: values.iter().copied().fold(f64::MAX, math::lesser),
            greatest: values.iter().copied().fold(f64::MIN, math::greater),
            any_nan: values.iter().any(|v| v.is_nan()),
        }
    }
}

/// The groups seen so far and their states at each step.
struct Groups<'g> {
    op: AggregateOp,
    key: Key,
    steps: usize,
    query: &'g Query<'g>,
    /// Where the aggregated expression stands.
    span: Span,
    ids: HashMap<Labels, usize>,
    heads: Vec<Head>,
    /// Group by group, `steps` each; empty where no series had a value.
    states: Vec<Option<State>>,
    /// How many values quantiles hold.
    values: usize,
    histograms: HistogramFolds,
}

impl<'g> Groups<'g> {
    fn new(
        op: AggregateOp,
        grouping: &Grouping,
        evaluation: &Evaluation<'g>,
        aggregate: &Aggregate,
    ) -> Self {
        Self {
            op,
            key: Key::new(grouping, &evaluation.query.symbols),
            steps: evaluation.steps.count as usize,
            query: evaluation.query,
            span: aggregate.expr.unwrap_parens().span,
            ids: HashMap::new(),
            heads: Vec::new(),
            states: Vec::new(),
            values: 0,
            histograms: HistogramFolds::new(op),
        }
    }

    /// How many states and values are held.
    fn held(&self) -> usize {
        self.states.len() + self.values + self.histograms.weight()
    }

    /// Folds a series in.
    fn add(&mut self, head: Head, points: &Points) -> Evaluated {
        let name = match points.histograms.is_empty() {
            true => String::new(),
            false => self.query.metric_name(&head.labels).to_owned(),
        };
        let group = self.group(self.key.of(head.labels))?;
        self.heads[group].drop_name |= head.drop_name;
        let states = &mut self.states[group * self.steps..][..self.steps];
        for point in &points.floats {
            fold(self.op, states, point.step, point.v);
        }
        if self.op == AggregateOp::Quantile {
            self.values += points.floats.len();
        }
        match self.op {
            _ if points.histograms.is_empty() => {}
            AggregateOp::Count | AggregateOp::Group => {
                for point in &points.histograms {
                    fold(self.op, states, point.step, 0.0);
                }
            }
            AggregateOp::Sum | AggregateOp::Avg => {
                for HistogramPoint { step, h } in &points.histograms {
                    let place = (name.as_str(), self.span);
                    let notes = &self.query.annotations;
                    self.histograms.add((group, *step), h, place, notes)?;
                }
            }
            op => {
                let text = format!("ignored histogram in {} aggregation", op.as_str());
                self.query.annotations.info(self.span, text);
            }
        }
        Ok(())
    }

    fn group(&mut self, labels: Labels) -> Evaluated<usize> {
        if let Some(id) = self.ids.get(&labels) {
            return Ok(*id);
        }
        self.query.check_limit(self.steps)?;
        let id = self.heads.len();
        self.heads.push(Head::from(labels.clone()));
        self.ids.insert(labels, id);
        self.states.resize(self.states.len() + self.steps, None);
        Ok(id)
    }

    /// The groups' labels and points, in the order in which they were first seen.
    fn finish(mut self, quantiles: &super::arithmetic::Scalar, sink: &mut Sink<'_>) -> Evaluated {
        let mut points = Points::default();
        for (group, head) in self.heads.into_iter().enumerate() {
            points.clear();
            let states = &mut self.states[group * self.steps..][..self.steps];
            for (step, state) in (0..).zip(states) {
                let histogram = self.histograms.take(group, step);
                match (state, histogram) {
                    (Some(_), Some(_)) => {
                        let text = "encountered a mix of histograms and floats for aggregation";
                        self.query.annotations.warn(self.span, text);
                    }
                    (Some(state), None) => {
                        let v = state.value(self.op, quantiles.at(step));
                        points.floats.push(Point { step, v });
                    }
                    (None, Some(fold)) => {
                        let h = fold.finish(self.span, &self.query.annotations);
                        points
                            .histograms
                            .extend(h.map(|h| HistogramPoint { step, h }));
                    }
                    (None, None) => {}
                }
            }
            if !points.is_empty() {
                sink(head, &mut points)?;
            }
        }
        Ok(())
    }
}

#[inline]
fn fold(op: AggregateOp, states: &mut [Option<State>], step: u32, v: f64) {
    if let Some(state) = states.get_mut(step as usize) {
        match state {
            Some(state) => state.add(v),
            None => *state = State::first(op, v),
        }
    }
}
