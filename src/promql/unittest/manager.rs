//! Evaluates groups of rules, and keeps what they record.

use std::collections::BTreeSet;

use model::{Cancel, METRIC_NAME, Timestamp};

use super::Pairs;
use super::alerting::{Alerts, set};
use super::rules::{Group, Rule};
use super::template_run::LabelMap;
use crate::testlang::{Memory, Value};
use crate::{Answer, AnswerValue, Engine, Features, QueryError, parse_with};

/// A series at the time of the evaluation.
pub(super) type Produced = (Pairs, Value);

/// Why a rule has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum RuleFailure {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("rule result is not a vector or scalar")]
    NoVector,
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlerts,
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameSeries,
    #[error("exceeded limit of {limit} with {got} {what}")]
    Limit {
        limit: usize,
        got: usize,
        what: &'static str,
    },
}

/// What one evaluation of a rule sees.
pub(super) struct Surroundings<'s> {
    pub(super) engine: &'s Engine,
    pub(super) features: Features,
    pub(super) memory: &'s Memory,
    pub(super) time: Timestamp,
    pub(super) limit: usize,
    pub(super) external_labels: &'s LabelMap,
    pub(super) external_url: &'s str,
}

impl Surroundings<'_> {
    /// The answer to a query at the time of the evaluation.
    pub(super) fn query(&self, text: &str) -> Result<Vec<Produced>, String> {
        let expr = parse_with(text, self.features).map_err(|error| error.to_string())?;
        let answer = self
            .engine
            .instant(self.memory, &expr, self.time, &Cancel::new());
        samples(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }
}

/// The elements of a vector; a scalar is one without labels.
pub(super) fn samples(answer: &Answer) -> Result<Vec<Produced>, RuleFailure> {
    match &answer.value {
        AnswerValue::Scalar(_, v) => Ok(vec![(Pairs::new(), Value::Float(*v))]),
        AnswerValue::Vector(samples) => {
            let sample = |sample: &crate::InstantSample| {
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let labels = sample.labels.iter(&answer.symbols).map(owned).collect();
                let value = match &sample.histogram {
                    Some(histogram) => Value::Histogram {
                        histogram: Box::new(histogram.as_ref().clone()),
                        hint_given: true,
                    },
                    None => Value::Float(sample.v),
                };
                (labels, value)
            };
            Ok(samples.iter().map(sample).collect())
        }
        _ => Err(RuleFailure::NoVector),
    }
}

/// A group under test, its alerts and what it recorded last.
pub(super) struct RunningGroup<'g> {
    pub(super) group: &'g Group,
    pub(super) rules: Vec<RunningRule<'g>>,
}

pub(super) struct RunningRule<'g> {
    pub(super) rule: &'g Rule,
    pub(super) alerts: Alerts,
    /// The series of the evaluation before.
    series: BTreeSet<Pairs>,
}

/// What stays the same over a test.
pub(super) struct Setting<'s> {
    pub(super) engine: &'s Engine,
    pub(super) features: Features,
    pub(super) external_labels: &'s LabelMap,
    pub(super) external_url: &'s str,
}

impl<'g> RunningGroup<'g> {
    pub(super) fn new(group: &'g Group) -> Self {
        let running = |rule| RunningRule {
            rule,
            alerts: Alerts::default(),
            series: BTreeSet::new(),
        };
        Self {
            group,
            rules: group.rules.iter().map(running).collect(),
        }
    }

    /// Evaluates the rules one after the other at `time`. Failures by name of the rule.
    pub(super) fn evaluate(
        &mut self,
        memory: &mut Memory,
        time: Timestamp,
        setting: &Setting<'_>,
    ) -> Vec<(String, RuleFailure)> {
        let at = time - self.group.query_offset;
        let mut failures = Vec::new();
        for running in &mut self.rules {
            let around = Surroundings {
                engine: setting.engine,
                features: setting.features,
                memory,
                time,
                limit: self.group.limit,
                external_labels: setting.external_labels,
                external_url: setting.external_url,
            };
            match running.evaluate(&around, at) {
                Ok(produced) => running.record(produced, memory, at),
                Err(failure) => failures.push((running.rule.name.clone(), failure)),
            }
        }
        failures
    }
}

impl RunningRule<'_> {
    fn evaluate(
        &mut self,
        around: &Surroundings<'_>,
        at: Timestamp,
    ) -> Result<Vec<Produced>, RuleFailure> {
        let expr = &self.rule.expr;
        let answer = around
            .engine
            .instant(around.memory, expr, at, &Cancel::new())?;
        let vector = samples(&answer)?;
        match &self.rule.alert {
            Some(alerting) => self.alerts.evaluate(self.rule, alerting, vector, around),
            None => recorded(self.rule, vector, around.limit),
        }
    }

    /// Appends what was produced; what was there the time before and is not now goes stale.
    fn record(&mut self, produced: Vec<Produced>, memory: &mut Memory, at: Timestamp) {
        let mut series = BTreeSet::new();
        for (labels, value) in produced {
            memory.push(&labels, at, &value, None);
            series.insert(labels);
        }
        for gone in self.series.difference(&series) {
            memory.push(gone, at, &Value::Float(model::stale_nan()), None);
        }
        self.series = series;
    }
}

/// The series of a recording rule.
fn recorded(
    rule: &Rule,
    vector: Vec<Produced>,
    limit: usize,
) -> Result<Vec<Produced>, RuleFailure> {
    let mut seen = BTreeSet::new();
    let mut series = Vec::with_capacity(vector.len());
    for (labels, value) in vector {
        let mut all: LabelMap = labels.into_iter().collect();
        all.insert(METRIC_NAME.to_owned(), rule.name.clone());
        all.extend(rule.labels.clone());
        let labels = set(all);
        if !seen.insert(labels.clone()) {
            return Err(RuleFailure::SameSeries);
        }
        series.push((labels, value));
    }
    if limit > 0 && series.len() > limit {
        let got = series.len();
        return Err(RuleFailure::Limit {
            limit,
            got,
            what: "series",
        });
    }
    Ok(series)
}
