//! The life of alerts: pending, firing, kept firing, resolved (Prometheus `rules/alerting.go`).

use std::collections::BTreeMap;

use model::{METRIC_NAME, Timestamp};

use super::Pairs;
use super::manager::{Produced, RuleFailure, Surroundings};
use super::rules::{AlertingRule, Rule};
use super::template::Template;
use super::template_run::{Context, LabelMap, Sample};
use crate::testlang::Value;

/// How long a resolved alert is remembered.
const RESOLVED_RETENTION: i64 = 15 * 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Firing,
    Inactive,
}

#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) state: State,
    pub(super) annotations: Pairs,
    active_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    keep_firing_since: Option<Timestamp>,
}

/// The alerts of one rule, by labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Alerts(BTreeMap<Pairs, Alert>);

impl Alerts {
    /// Those that fire.
    pub(super) fn firing(&self) -> impl Iterator<Item = (&Pairs, &Alert)> {
        let fires = |alert: &Alert| alert.state == State::Firing && alert.resolved_at.is_none();
        self.0.iter().filter(move |(_, alert)| fires(alert))
    }

    /// Takes the answer of the rule's expression in; gives the series `ALERTS` and `ALERTS_FOR_STATE`.
    pub(super) fn evaluate(
        &mut self,
        rule: &Rule,
        alerting: &AlertingRule,
        vector: Vec<(Pairs, Value)>,
        around: &Surroundings<'_>,
    ) -> Result<Vec<Produced>, RuleFailure> {
        let mut found: BTreeMap<Pairs, Alert> = BTreeMap::new();
        for (labels, value) in vector {
            let (labels, annotations) = described(rule, alerting, &labels, &value, around);
            let alert = Alert {
                state: State::Pending,
                annotations,
                active_at: around.time,
                resolved_at: None,
                keep_firing_since: None,
            };
            if found.insert(labels, alert).is_some() {
                return Err(RuleFailure::SameAlerts);
            }
        }
        let present: Vec<Pairs> = found.keys().cloned().collect();
        for (labels, alert) in found {
            match self.0.get_mut(&labels) {
                Some(known) if known.state != State::Inactive => {
                    known.annotations = alert.annotations;
                }
                _ => drop(self.0.insert(labels, alert)),
            }
        }
        let mut series = Vec::new();
        let mut active = 0;
        self.0.retain(|labels, alert| {
            let is_present = present.binary_search(labels).is_ok();
            let (remember, lives) = alert.step(is_present, alerting, around.time);
            if lives {
                active += 1;
                series.extend(alert.series(rule, labels));
            }
            remember
        });
        if around.limit > 0 && active > around.limit {
            self.0.clear();
            let (limit, what) = (around.limit, "alerts");
            return Err(RuleFailure::Limit {
                limit,
                got: active,
                what,
            });
        }
        Ok(series)
    }
}

impl Alert {
    /// One evaluation later: whether to remember the alert, and whether it is pending or firing.
    fn step(&mut self, is_present: bool, rule: &AlertingRule, now: Timestamp) -> (bool, bool) {
        let mut remember = true;
        if is_present {
            self.keep_firing_since = None;
        } else {
            let keeps = self.state == State::Firing && rule.keep_firing > 0 && {
                let since = *self.keep_firing_since.get_or_insert(now);
                now - since < rule.keep_firing
            };
            let forgotten = self
                .resolved_at
                .is_some_and(|at| now - at > RESOLVED_RETENTION);
            if self.state == State::Pending || forgotten {
                remember = false;
            }
            if self.state != State::Inactive && !keeps {
                self.state = State::Inactive;
                self.resolved_at = Some(now);
            }
            if !keeps {
                return (remember, false);
            }
        }
        let held = now - self.active_at >= rule.hold;
        match self.state {
            State::Pending if held => self.state = State::Firing,
            State::Firing if !held => {
                self.state = State::Pending;
                self.keep_firing_since = None;
            }
            _ => {}
        }
        (remember, true)
    }

    fn series(&self, rule: &Rule, labels: &Pairs) -> [Produced; 2] {
        let named = |name: &str| {
            let mut all = rule.labels.clone();
            all.extend(labels.iter().cloned());
            all.insert(METRIC_NAME.to_owned(), name.to_owned());
            all.insert("alertname".to_owned(), rule.name.clone());
            all
        };
        let mut alerts = named("ALERTS");
        let state = if self.state == State::Firing {
            "firing"
        } else {
            "pending"
        };
        alerts.insert("alertstate".to_owned(), state.to_owned());
        let since = self.active_at.div_euclid(1000) as f64;
        [
            (set(alerts), Value::Float(1.0)),
            (set(named("ALERTS_FOR_STATE")), Value::Float(since)),
        ]
    }
}

/// Labels as a set: what is empty is not there.
pub(super) fn set(labels: LabelMap) -> Pairs {
    labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Labels and annotations of the alert that a sample makes.
fn described(
    rule: &Rule,
    alerting: &AlertingRule,
    labels: &Pairs,
    value: &Value,
    around: &Surroundings<'_>,
) -> (Pairs, Pairs) {
    let seen: LabelMap = labels.iter().cloned().collect();
    let query = |text: &str| {
        let samples = around.query(text)?;
        let sample = |(labels, value): (Pairs, Value)| Sample {
            labels: labels.into_iter().collect(),
            value,
        };
        Ok(samples.into_iter().map(sample).collect())
    };
    let context = Context {
        labels: &seen,
        external_labels: around.external_labels,
        external_url: around.external_url,
        value,
        time: around.time,
        query: &query,
    };
    let fill = |template: &Template| {
        let told = |why| {
            format!(
                "<error expanding template: error executing template __alert_{}: {why}>",
                rule.name
            )
        };
        template.fill(&context).unwrap_or_else(told)
    };
    let mut all = seen.clone();
    all.remove(METRIC_NAME);
    all.extend(
        alerting
            .labels
            .iter()
            .map(|(name, template)| (name.clone(), fill(template))),
    );
    all.insert("alertname".to_owned(), rule.name.clone());
    let annotations = alerting.annotations.iter();
    let annotations = annotations.map(|(name, template)| (name.clone(), fill(template)));
    (set(all), annotations.collect())
}
