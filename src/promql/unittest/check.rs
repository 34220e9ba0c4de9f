//! Runs the tests of a file, and says what is not as expected.

use std::collections::BTreeMap;

use model::{Cancel, METRIC_NAME, Timestamp, format_duration};
use regex::Regex;

use super::file::{AlertTest, ExprTest, TestFile, TestGroup};
use super::manager::{Produced, RunningGroup, Setting, samples};
use super::rules::{Group, RuleFile};
use super::template_run::LabelMap;
use super::{Pairs, display};
use crate::testlang::{Memory, SeriesLine, Value, parse_series, parse_values};
use crate::{Engine, Features, Options, format_float, parse_selector, parse_with};

/// The most evaluations of one test.
const MAX_EVALUATIONS: i64 = 10_000_000;
/// The most samples of one query, as promtool has it.
const MAX_SAMPLES: usize = 10_000;

/// How one test of a file went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its name, or `unnamed#1`.
    pub name: String,
    /// Empty when all is as expected.
    pub failures: Vec<Failure>,
}

/// What is not as expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// A rule, a query or the test itself is wrong.
    Error(String),
    Alerts {
        alertname: String,
        time: String,
        expected: Vec<String>,
        got: Vec<String>,
    },
    Samples {
        expr: String,
        time: String,
        expected: Vec<String>,
        got: Vec<String>,
    },
}

/// How all tests of a file are run.
struct Run<'r> {
    file: &'r TestFile,
    rules: &'r [RuleFile],
    engine: Engine,
    features: Features,
}

impl TestFile {
    /// Runs the tests whose names match `selected` (all without it) with the groups of `rules`.
    #[must_use]
    pub fn run(
        &self,
        rules: &[RuleFile],
        features: Features,
        selected: Option<&Regex>,
    ) -> Vec<Outcome> {
        let run = Run {
            file: self,
            rules,
            engine: engine(self.evaluation_interval.0),
            features,
        };
        let named = self.tests.iter().enumerate();
        let selected = named.filter(|(_, test)| selected.is_none_or(|s| s.is_match(&test.name)));
        let outcome = |(at, test): (usize, &TestGroup)| Outcome {
            name: if test.name.is_empty() {
                format!("unnamed#{at}")
            } else {
                test.name.clone()
            },
            failures: run.test(test),
        };
        selected.map(outcome).collect()
    }
}

/// The engine of rule tests.
fn engine(evaluation_interval: i64) -> Engine {
    Engine::new(Options {
        max_samples: MAX_SAMPLES,
        subquery_step: evaluation_interval,
        ..Options::default()
    })
}

/// Input series on their way into memory: nothing of a later time is there yet.
struct Input {
    interval: i64,
    start: Timestamp,
    series: Vec<(SeriesLine, usize)>,
}

impl Input {
    fn parse(test: &TestGroup, interval: i64) -> Result<Self, String> {
        let mut series = Vec::new();
        for input in &test.input_series {
            let line = format!("{} {}", input.series, input.values);
            let told = |error| format!("input series {:?}: {error}", input.series);
            series.push((parse_series(&line).map_err(told)?, 0));
        }
        Ok(Self {
            interval,
            start: test.start_timestamp,
            series,
        })
    }

    fn load_until(&mut self, time: Timestamp, memory: &mut Memory) {
        for (line, next) in &mut self.series {
            while let Some(value) = line.values.get(*next) {
                let t = self.start + i64::try_from(*next).unwrap_or(i64::MAX) * self.interval;
                if t > time {
                    break;
                }
                memory.push(&line.labels, t, value, None);
                *next += 1;
            }
        }
    }
}

impl Run<'_> {
    fn test(&self, test: &TestGroup) -> Vec<Failure> {
        if let Some(nameless) = test
            .alert_rule_test
            .iter()
            .find(|alert| alert.alertname.is_empty())
        {
            let time = format_duration(nameless.eval_time.0);
            let why = format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {time}"
            );
            return vec![Failure::Error(why)];
        }
        let interval = test.interval.or(self.file.evaluation_interval).0;
        let mut input = match Input::parse(test, interval) {
            Ok(input) => input,
            Err(why) => return vec![Failure::Error(why)],
        };
        let mut memory = Memory::default();
        match self.evaluate(test, &mut input, &mut memory) {
            Ok(mut failures) => {
                let checks = test.promql_expr_test.iter();
                failures.extend(checks.filter_map(|check| self.check_expr(check, test, &memory)));
                failures
            }
            Err(failures) => failures,
        }
    }

    /// Evaluates all groups up to the last time that is asked about. An error of a rule ends the test.
    fn evaluate(
        &self,
        test: &TestGroup,
        input: &mut Input,
        memory: &mut Memory,
    ) -> Result<Vec<Failure>, Vec<Failure>> {
        let interval = self.file.evaluation_interval.0;
        let alerts = test.alert_rule_test.iter().map(|alert| alert.eval_time.0);
        let last = alerts
            .chain(test.promql_expr_test.iter().map(|expr| expr.eval_time.0))
            .max();
        let last = last.unwrap_or(0);
        if last / interval > MAX_EVALUATIONS {
            let why = format!(
                "more than {MAX_EVALUATIONS} evaluations up to {}",
                format_duration(last)
            );
            return Err(vec![Failure::Error(why)]);
        }
        let setting = Setting {
            engine: &self.engine,
            features: self.features,
            external_labels: &test.external_labels,
            external_url: &test.external_url,
        };
        let mut groups = self.groups();
        let mut failures = Vec::new();
        for step in 0..=last / interval {
            let passed = step * interval;
            let now = test.start_timestamp + passed;
            input.load_until(now, memory);
            let mut broken = Vec::new();
            for group in &mut groups {
                let errors = group.evaluate(memory, now, &setting);
                broken.extend(errors.into_iter().map(|(rule, why)| {
                    Failure::Error(format!(
                        "rule: {rule}, time: {}, err: {why}",
                        format_duration(now)
                    ))
                }));
            }
            if !broken.is_empty() {
                failures.append(&mut broken);
                return Err(failures);
            }
            let due = |alert: &&AlertTest| (passed..passed + interval).contains(&alert.eval_time.0);
            let due = test.alert_rule_test.iter().filter(due);
            failures.extend(due.filter_map(|alert| check_alerts(alert, &groups)));
        }
        Ok(failures)
    }

    /// The groups in the order of the file, those without a place first: as promtool counts, their place is 0.
    fn groups(&self) -> Vec<RunningGroup<'_>> {
        let order = &self.file.group_eval_order;
        let place = |group: &&Group| {
            order
                .iter()
                .position(|name| *name == group.name)
                .unwrap_or(0)
        };
        let mut groups: Vec<&Group> = self.rules.iter().flat_map(|file| &file.groups).collect();
        groups.sort_by_key(place);
        groups.into_iter().map(RunningGroup::new).collect()
    }

    fn check_expr(&self, check: &ExprTest, test: &TestGroup, memory: &Memory) -> Option<Failure> {
        let time = format_duration(check.eval_time.0);
        let error = |why: String| {
            let expr = &check.expr;
            Some(Failure::Error(format!(
                "expr: {expr:?}, time: {time}, err: {why}"
            )))
        };
        let mut got = match self.ask(
            &check.expr,
            test.start_timestamp + check.eval_time.0,
            memory,
        ) {
            Ok(got) => got,
            Err(why) => return error(why),
        };
        let mut expected = match expected_samples(check) {
            Ok(expected) => expected,
            Err(why) => return error(why),
        };
        got.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let same = |((a, v), (b, w)): (&Produced, &Produced)| a == b && self.same_value(v, w);
        if got.len() == expected.len() && expected.iter().zip(&got).all(same) {
            return None;
        }
        let lines = |samples: &[Produced]| samples.iter().map(sample_text).collect();
        Some(Failure::Samples {
            expr: check.expr.clone(),
            time,
            expected: lines(&expected),
            got: lines(&got),
        })
    }

    fn ask(&self, text: &str, time: Timestamp, memory: &Memory) -> Result<Vec<Produced>, String> {
        let expr = parse_with(text, self.features).map_err(|error| error.to_string())?;
        let answer = self.engine.instant(memory, &expr, time, &Cancel::new());
        samples(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    /// NaN is as nothing, as it is for promtool.
    fn same_value(&self, expected: &Value, got: &Value) -> bool {
        match (expected, got) {
            (Value::Float(a), Value::Float(b)) => {
                a == b || self.file.fuzzy_compare && (a.next_up() == *b || a.next_down() == *b)
            }
            (Value::Histogram { histogram: a, .. }, Value::Histogram { histogram: b, .. }) => {
                a.test_expression() == b.test_expression()
            }
            _ => false,
        }
    }
}

fn sample_text((labels, value): &Produced) -> String {
    let value = match value {
        Value::Omitted => "nothing".to_owned(),
        Value::Float(v) => format_float(*v),
        Value::Histogram { histogram, .. } => histogram.test_expression(),
    };
    let name = labels.iter().find(|(name, _)| name == METRIC_NAME);
    let name = name.map_or("", |(_, value)| value);
    let rest: Pairs = labels
        .iter()
        .filter(|(name, _)| name != METRIC_NAME)
        .cloned()
        .collect();
    match (name, rest.is_empty()) {
        ("", _) => format!("{} {value}", display(&rest)),
        (name, true) => format!("{name} {value}"),
        (name, false) => format!("{name}{} {value}", display(&rest)),
    }
}

fn expected_samples(check: &ExprTest) -> Result<Vec<Produced>, String> {
    let mut samples = Vec::new();
    for sample in &check.exp_samples {
        let told = |why: String| format!("labels {:?}: {why}", sample.labels);
        let matchers = match sample.labels.trim() {
            "" => Vec::new(),
            metric => parse_selector(metric).map_err(|error| told(error.to_string()))?,
        };
        let labels: LabelMap = matchers.into_iter().map(|m| (m.name, m.value)).collect();
        let value = match sample.histogram.as_str() {
            "" => Value::Float(sample.value),
            text => match parse_values(text)
                .map_err(|error| told(error.to_string()))?
                .as_slice()
            {
                [histogram @ Value::Histogram { .. }] => histogram.clone(),
                [other] => return Err(told(format!("expected histogram, got {other:?}"))),
                values => return Err(told(format!("expected 1 value, got {}", values.len()))),
            },
        };
        samples.push((super::alerting::set(labels), value));
    }
    Ok(samples)
}

/// Labels and annotations of an alert, as they are compared.
type Seen = (BTreeMap<String, String>, BTreeMap<String, String>);

fn check_alerts(check: &AlertTest, groups: &[RunningGroup<'_>]) -> Option<Failure> {
    let rules = groups.iter().flat_map(|group| &group.rules);
    let named = rules
        .filter(|running| running.rule.alert.is_some() && running.rule.name == check.alertname);
    let firing = named.flat_map(|running| running.alerts.firing());
    let seen = |(labels, alert): (&Pairs, &super::alerting::Alert)| {
        (
            labels.iter().cloned().collect(),
            alert.annotations.iter().cloned().collect(),
        )
    };
    let mut got: Vec<Seen> = firing.map(seen).collect();
    let expected = check.exp_alerts.iter().map(|alert| {
        let mut labels = alert.exp_labels.clone();
        labels.insert("alertname".to_owned(), check.alertname.clone());
        (labels, alert.exp_annotations.clone())
    });
    let mut expected: Vec<Seen> = expected.collect();
    got.sort();
    expected.sort();
    let lines = |alerts: &[Seen]| alerts.iter().flat_map(alert_lines).collect();
    (got != expected).then(|| Failure::Alerts {
        alertname: check.alertname.clone(),
        time: format_duration(check.eval_time.0),
        expected: lines(&expected),
        got: lines(&got),
    })
}

fn alert_lines((labels, annotations): &Seen) -> [String; 2] {
    let pairs = |map: &BTreeMap<String, String>| {
        let pairs: Pairs = map.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        display(&pairs)
    };
    [
        format!("labels:      {}", pairs(labels)),
        format!("annotations: {}", pairs(annotations)),
    ]
}
