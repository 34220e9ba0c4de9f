//! Rules: groups of the same file and name become one, rules that differ in replica labels only become one.

use std::cmp::Ordering;

use model::Matcher;
use proto::thanos::rules_client::RulesClient;
use proto::thanos::{
    Alert, Label, Rule, RuleGroup, RulesRequest, RulesResponse, rule, rules_response,
};
use tonic::Status;

use super::{Frame, Gathered, Service, of, sorted};
use crate::endpoint::MAX_MESSAGE;
use crate::labels;
use crate::proxy::{CallOptions, Proxy};

const RULES: Service<RulesResponse, RuleGroup> = Service {
    name: "rules",
    offered: |offers| offers.rules,
    read: |frame| match frame.result {
        Some(rules_response::Result::Group(group)) => Frame::Item(group),
        Some(rules_response::Result::Warning(text)) => Frame::Warning(text),
        None => Frame::Empty,
    },
};

impl Proxy {
    /// The rule groups of all endpoints, one after the other.
    ///
    /// # Errors
    /// `Aborted` when an endpoint fails and the request does not take partial answers.
    pub async fn rules(
        &self,
        request: RulesRequest,
        options: &CallOptions,
    ) -> Result<Gathered<RuleGroup>, Status> {
        let strategy = request.partial_response_strategy;
        let requests = self.for_all(&RULES, &request, options);
        let ask = |channel, request| async move {
            let client = RulesClient::new(channel);
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .rules(request)
                .await
        };
        self.gather(&RULES, strategy, requests, options, ask).await
    }
}

/// Which rules are kept; what is empty keeps all.
#[derive(Clone, Debug, Default)]
pub struct RuleFilter {
    /// Selectors on the labels of a rule. As in Thanos all of them must match, and a label whose value is a template
    /// counts as absent.
    pub matchers: Vec<Vec<Matcher>>,
    pub names: Vec<String>,
    pub groups: Vec<String>,
    pub files: Vec<String>,
}

impl RuleFilter {
    fn is_everything(&self) -> bool {
        self.matchers.is_empty()
            && self.names.is_empty()
            && self.groups.is_empty()
            && self.files.is_empty()
    }

    fn keeps_group(&self, group: &RuleGroup) -> bool {
        let among = |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn keeps(&self, rule: &Rule) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|name| name == name_of(rule));
        let value = |name: &str| match labels::value(labels_of(rule), name) {
            value if value.contains("{{") => "",
            value => value,
        };
        let mut matchers = self.matchers.iter().flatten();
        named && matchers.all(|matcher| matcher.matches(value(&matcher.name)))
    }
}

/// What a person sees of `groups`: filtered, groups of one file and name joined, rules sorted (alerts first) and those
/// that differ in `replica_labels` alone merged. Of those the most critical alert stays, then the one evaluated last.
#[must_use]
pub fn merge_rules(
    mut groups: Vec<RuleGroup>,
    filter: &RuleFilter,
    replica_labels: &[String],
) -> Vec<RuleGroup> {
    if !filter.is_everything() {
        groups.retain_mut(|group| {
            group.rules.retain(|rule| filter.keeps(rule));
            filter.keeps_group(group) && !group.rules.is_empty()
        });
    }
    let key = |group: &RuleGroup| format!("{};{}", group.file, group.name);
    groups.sort_by_key(key);
    let mut merged: Vec<RuleGroup> = Vec::with_capacity(groups.len());
    for group in groups {
        match merged.last_mut() {
            Some(last) if key(last) == key(&group) => last.rules.extend(group.rules),
            _ => merged.push(group),
        }
    }
    for group in &mut merged {
        merge_one(&mut group.rules, replica_labels);
    }
    merged
}

fn merge_one(rules: &mut Vec<Rule>, replica_labels: &[String]) {
    rules.retain(|rule| rule.result.is_some());
    for rule in rules.iter_mut() {
        let set = match &mut rule.result {
            Some(rule::Result::Recording(rule)) => &mut rule.labels,
            Some(rule::Result::Alert(rule)) => &mut rule.labels,
            None => continue,
        };
        labels::remove(sorted(set), replica_labels);
    }
    rules.sort_by(|a, b| identity(a, b).then_with(|| preference(a, b)));
    rules.dedup_by(|later, kept| identity(later, kept).is_eq());
}

/// Which rule it is: alerts come before recordings; then name, labels, query and how long an alert waits.
fn identity(a: &Rule, b: &Rule) -> Ordering {
    let duration = |rule: &Rule| alert(rule).map_or(0.0, |alert| alert.duration_seconds);
    alert(b)
        .is_some()
        .cmp(&alert(a).is_some())
        .then_with(|| name_of(a).cmp(name_of(b)))
        .then_with(|| labels::compare(labels_of(a), labels_of(b)))
        .then_with(|| query_of(a).cmp(query_of(b)))
        .then_with(|| duration(a).total_cmp(&duration(b)))
}

/// Which of two answers about one rule is shown: the more critical, then the later.
fn preference(a: &Rule, b: &Rule) -> Ordering {
    let state = |rule: &Rule| alert(rule).map_or(0, |alert| alert.state);
    let evaluated = |rule: &Rule| {
        let time = match &rule.result {
            Some(rule::Result::Recording(rule)) => rule.last_evaluation,
            Some(rule::Result::Alert(rule)) => rule.last_evaluation,
            None => None,
        };
        time.map_or((0, 0), |time| (time.seconds, time.nanos))
    };
    state(b)
        .cmp(&state(a))
        .then_with(|| evaluated(b).cmp(&evaluated(a)))
}

fn alert(rule: &Rule) -> Option<&Alert> {
    match &rule.result {
        Some(rule::Result::Alert(alert)) => Some(alert),
        _ => None,
    }
}

fn name_of(rule: &Rule) -> &str {
    match &rule.result {
        Some(rule::Result::Recording(rule)) => &rule.name,
        Some(rule::Result::Alert(rule)) => &rule.name,
        None => "",
    }
}

fn query_of(rule: &Rule) -> &str {
    match &rule.result {
        Some(rule::Result::Recording(rule)) => &rule.query,
        Some(rule::Result::Alert(rule)) => &rule.query,
        None => "",
    }
}

fn labels_of(rule: &Rule) -> &[Label] {
    match &rule.result {
        Some(rule::Result::Recording(rule)) => of(rule.labels.as_ref()),
        Some(rule::Result::Alert(rule)) => of(rule.labels.as_ref()),
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use proto::thanos::{AlertState, LabelSet, RecordingRule};

    use super::*;
    use crate::labels::label;

    fn set(pairs: &[(&str, &str)]) -> Option<LabelSet> {
        let labels = pairs.iter().map(|(n, v)| label(*n, *v)).collect();
        Some(LabelSet { labels })
    }

    fn recording(name: &str, pairs: &[(&str, &str)], evaluated: i64) -> Rule {
        let last_evaluation = Some(prost_types::Timestamp {
            seconds: evaluated,
            nanos: 0,
        });
        Rule {
            result: Some(rule::Result::Recording(RecordingRule {
                name: name.into(),
                query: "up".into(),
                labels: set(pairs),
                last_evaluation,
                ..RecordingRule::default()
            })),
        }
    }

    fn alerting(name: &str, pairs: &[(&str, &str)], state: AlertState) -> Rule {
        Rule {
            result: Some(rule::Result::Alert(Alert {
                name: name.into(),
                labels: set(pairs),
                state: state.into(),
                ..Alert::default()
            })),
        }
    }

    fn group(file: &str, name: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup {
            name: name.into(),
            file: file.into(),
            rules,
            ..RuleGroup::default()
        }
    }

    #[test]
    fn replicas_of_a_rule_become_the_most_critical_and_the_latest() {
        let groups = vec![
            group(
                "f",
                "g",
                vec![
                    recording("r", &[("replica", "0")], 10),
                    alerting("a", &[("replica", "0")], AlertState::Pending),
                ],
            ),
            group(
                "f",
                "g",
                vec![
                    recording("r", &[("replica", "1")], 20),
                    alerting("a", &[("replica", "1")], AlertState::Firing),
                ],
            ),
            group("f", "other", vec![recording("r", &[], 1)]),
        ];
        let merged = merge_rules(groups, &RuleFilter::default(), &["replica".to_owned()]);
        let expected = vec![
            group(
                "f",
                "g",
                vec![
                    alerting("a", &[], AlertState::Firing),
                    recording("r", &[], 20),
                ],
            ),
            group("f", "other", vec![recording("r", &[], 1)]),
        ];
        assert_eq!(merged, expected);
    }

    #[test]
    fn a_filter_keeps_what_matches_and_drops_groups_that_are_left_empty() {
        let groups = || {
            vec![
                group("f", "g", vec![recording("r", &[("team", "a")], 1)]),
                group("f", "h", vec![recording("s", &[("team", "{{ x }}")], 1)]),
            ]
        };
        let names = |groups: Vec<RuleGroup>| -> Vec<String> {
            groups.into_iter().map(|group| group.name).collect()
        };
        let by = |filter: RuleFilter| names(merge_rules(groups(), &filter, &[]));
        let team = |value| RuleFilter {
            matchers: vec![vec![Matcher::equal("team", value)]],
            ..RuleFilter::default()
        };
        assert_eq!(by(team("a")), ["g"]);
        assert_eq!(by(team("")), ["h"], "a template has no value yet");
        let named = RuleFilter {
            names: vec!["s".into()],
            ..RuleFilter::default()
        };
        assert_eq!(by(named), ["h"]);
        let elsewhere = RuleFilter {
            files: vec!["other".into()],
            ..RuleFilter::default()
        };
        assert!(by(elsewhere).is_empty());
    }
}
