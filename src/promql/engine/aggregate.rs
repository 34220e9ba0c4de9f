//! Aggregations as folds: each series' points go into the states of its group as the series passes by, in series
//! order, with Prometheus's own compensated steps.

use std::collections::HashMap;

use model::{Grouping, Labels, Symbols};

use super::steps::Point;
use crate::parser::ast::AggregateOp;

/// Neumaier's compensated sum.
#[derive(Clone, Copy, Debug)]
struct Compensated {
    sum: f64,
    compensation: f64,
}

impl Compensated {
    fn add(self, v: f64) -> Self {
        let sum = self.sum + v;
        let compensation = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= v.abs() {
            self.compensation + ((self.sum - sum) + v)
        } else {
            self.compensation + ((v - sum) + self.sum)
        };
        Self { sum, compensation }
    }
}

/// What is known of a group at one step.
#[derive(Clone, Copy, Debug)]
enum State {
    Sum(Compensated),
    Mean {
        sum: Compensated,
        count: f64,
    },
    /// The mean itself, once the sum has left the range of floats.
    RunningMean {
        mean: Compensated,
        count: f64,
    },
    Count(f64),
    Min(f64),
    Max(f64),
    Group,
}

impl State {
    /// The state after one value; `None` for an aggregation that is no fold.
    fn first(op: AggregateOp, v: f64) -> Option<Self> {
        let sum = Compensated {
            sum: v,
            compensation: 0.0,
        };
        Some(match op {
            AggregateOp::Sum => Self::Sum(sum),
            AggregateOp::Avg => Self::Mean { sum, count: 1.0 },
            AggregateOp::Count => Self::Count(1.0),
            AggregateOp::Min => Self::Min(v),
            AggregateOp::Max => Self::Max(v),
            AggregateOp::Group => Self::Group,
            _ => return None,
        })
    }

    fn next(self, v: f64) -> Self {
        match self {
            Self::Sum(sum) => Self::Sum(sum.add(v)),
            Self::Mean { sum, count } => {
                let (next, count) = (sum.add(v), count + 1.0);
                if !next.sum.is_infinite() {
                    return Self::Mean { sum: next, count };
                }
                let before = count - 1.0;
                let mean = Compensated {
                    sum: sum.sum / before,
                    compensation: sum.compensation / before,
                };
                running_mean(mean, count, v)
            }
            Self::RunningMean { mean, count } => running_mean(mean, count + 1.0, v),
            Self::Count(count) => Self::Count(count + 1.0),
            // NaN gives way to anything.
            Self::Min(least) => Self::Min(if least > v || least.is_nan() {
                v
            } else {
                least
            }),
            Self::Max(most) => Self::Max(if most < v || most.is_nan() { v } else { most }),
            Self::Group => Self::Group,
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::Sum(Compensated { sum, compensation }) => sum + compensation,
            Self::Mean { sum, count } => sum.sum / count + sum.compensation / count,
            Self::RunningMean { mean, .. } => mean.sum + mean.compensation,
            Self::Count(v) | Self::Min(v) | Self::Max(v) => v,
            Self::Group => 1.0,
        }
    }
}

/// Takes `v`, the `count`th value, into a mean.
fn running_mean(mean: Compensated, count: f64, v: f64) -> State {
    let weight = (count - 1.0) / count;
    let scaled = Compensated {
        sum: weight * mean.sum,
        compensation: weight * mean.compensation,
    };
    State::RunningMean {
        mean: scaled.add(v / count),
        count,
    }
}

/// Whether the engine has `op`.
pub(super) fn is_supported(op: AggregateOp) -> bool {
    State::first(op, 0.0).is_some()
}

/// Which labels make a group.
struct Key {
    without: bool,
    names: Vec<u32>,
}

impl Key {
    fn new(grouping: &Grouping, symbols: &Symbols) -> Self {
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

    fn of(&self, mut labels: Labels) -> Labels {
        labels.retain(|name, _| self.names.contains(&name) != self.without);
        labels
    }
}

/// The groups seen so far and their states at each step.
pub(super) struct Groups {
    op: AggregateOp,
    key: Key,
    steps: usize,
    ids: HashMap<Labels, usize>,
    labels: Vec<Labels>,
    /// Group by group, `steps` each; empty where no series had a value.
    states: Vec<Option<State>>,
}

impl Groups {
    pub(super) fn new(op: AggregateOp, grouping: &Grouping, steps: u32, symbols: &Symbols) -> Self {
        Self {
            op,
            key: Key::new(grouping, symbols),
            steps: steps as usize,
            ids: HashMap::new(),
            labels: Vec::new(),
            states: Vec::new(),
        }
    }

    /// How many states are held.
    pub(super) fn held(&self) -> usize {
        self.states.len()
    }

    /// Folds a series in.
    pub(super) fn add(&mut self, labels: Labels, points: &[Point]) {
        let group = self.group(self.key.of(labels));
        let states = &mut self.states[group * self.steps..][..self.steps];
        for point in points {
            if let Some(state) = states.get_mut(point.step as usize) {
                *state = match *state {
                    Some(state) => Some(state.next(point.v)),
                    None => State::first(self.op, point.v),
                };
            }
        }
    }

    fn group(&mut self, labels: Labels) -> usize {
        if let Some(id) = self.ids.get(&labels) {
            return *id;
        }
        let id = self.labels.len();
        self.labels.push(labels.clone());
        self.ids.insert(labels, id);
        self.states.resize(self.states.len() + self.steps, None);
        id
    }

    /// The groups' labels and points, in the order in which they were first seen.
    pub(super) fn finish<E>(
        self,
        mut sink: impl FnMut(Labels, &mut Vec<Point>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut points = Vec::new();
        for (labels, states) in self
            .labels
            .into_iter()
            .zip(self.states.chunks(self.steps.max(1)))
        {
            points.clear();
            let seen = (0..)
                .zip(states)
                .filter_map(|(step, state)| Some((step, (*state)?)));
            points.extend(seen.map(|(step, state)| Point {
                step,
                v: state.value(),
            }));
            sink(labels, &mut points)?;
        }
        Ok(())
    }
}
