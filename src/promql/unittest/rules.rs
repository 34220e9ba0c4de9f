//! Rule files: groups of recording and alerting rules (Prometheus `model/rulefmt`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::file::{Interval, or_default, read_yaml};
use super::template::Template;
use crate::{Expr, Features, ParseError, parse_with};

/// What is wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("{0}")]
    Yaml(String),
    #[error("group name must not be empty")]
    Nameless,
    #[error("group name {0:?} is repeated in the same file")]
    Repeated(String),
    #[error("group {group:?}, rule {rule}, {name:?}: could not parse expression: {source}")]
    Expression {
        group: String,
        /// From 1.
        rule: usize,
        name: String,
        text: String,
        source: ParseError,
    },
    #[error("group {group:?}, rule {rule}, {name:?}: {why}")]
    Rule {
        group: String,
        rule: usize,
        name: String,
        why: String,
    },
}

/// The groups of a file, checked.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub(super) groups: Vec<Group>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) query_offset: i64,
    /// The most series or alerts of one rule; 0 is no limit.
    pub(super) limit: usize,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) expr: Expr,
    /// Of the group and of the rule; templates in an alerting rule.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) alert: Option<AlertingRule>,
}

/// What only alerting rules have.
#[derive(Clone, Debug)]
pub(super) struct AlertingRule {
    pub(super) hold: i64,
    pub(super) keep_firing: i64,
    pub(super) labels: BTreeMap<String, Template>,
    pub(super) annotations: BTreeMap<String, Template>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileYaml {
    #[serde(default, deserialize_with = "or_default")]
    groups: Vec<GroupYaml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupYaml {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    /// Unit tests evaluate all groups at the interval of the test.
    #[serde(default, rename = "interval")]
    _interval: Interval,
    #[serde(default)]
    query_offset: Interval,
    #[serde(default)]
    limit: i64,
    #[serde(default, deserialize_with = "or_default")]
    rules: Vec<RuleYaml>,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleYaml {
    #[serde(default, deserialize_with = "or_default")]
    record: String,
    #[serde(default, deserialize_with = "or_default")]
    alert: String,
    #[serde(default, deserialize_with = "or_default")]
    expr: String,
    #[serde(default, rename = "for")]
    hold: Interval,
    #[serde(default)]
    keep_firing_for: Interval,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

impl RuleFile {
    /// Reads a rule file and checks every rule of it.
    ///
    /// # Errors
    /// All [`RuleError`]s of the file.
    pub fn parse(text: &str, features: Features) -> Result<Self, Vec<RuleError>> {
        // An empty file has no groups.
        let yaml: Option<FileYaml> =
            read_yaml(text).map_err(|error| vec![RuleError::Yaml(error)])?;
        let (mut groups, mut errors) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for group in yaml.map(|yaml| yaml.groups).unwrap_or_default() {
            if group.name.is_empty() {
                errors.push(RuleError::Nameless);
            }
            if !names.insert(group.name.clone()) {
                errors.push(RuleError::Repeated(group.name.clone()));
            }
            groups.push(group.check(features, &mut errors));
        }
        if errors.is_empty() {
            Ok(Self { groups })
        } else {
            Err(errors)
        }
    }
}

impl GroupYaml {
    fn check(self, features: Features, errors: &mut Vec<RuleError>) -> Group {
        let mut rules = Vec::new();
        for (at, yaml) in self.rules.into_iter().enumerate() {
            let place = Place {
                group: &self.name,
                rule: at + 1,
                name: yaml.name().to_owned(),
            };
            let wrong: Vec<_> = yaml
                .mistakes()
                .into_iter()
                .map(|why| place.error(why))
                .collect();
            let is_fine = wrong.is_empty();
            errors.extend(wrong);
            match yaml.check(&self.labels, features, &place) {
                Ok(rule) if is_fine => rules.push(rule),
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        Group {
            name: self.name,
            query_offset: self.query_offset.0,
            limit: usize::try_from(self.limit).unwrap_or(0),
            rules,
        }
    }
}

/// Where a rule stands.
struct Place<'g> {
    group: &'g str,
    rule: usize,
    name: String,
}

impl Place<'_> {
    fn error(&self, why: impl Into<String>) -> RuleError {
        RuleError::Rule {
            group: self.group.to_owned(),
            rule: self.rule,
            name: self.name.clone(),
            why: why.into(),
        }
    }
}

impl RuleYaml {
    fn name(&self) -> &str {
        if self.alert.is_empty() {
            &self.record
        } else {
            &self.alert
        }
    }

    /// What does not fit together.
    fn mistakes(&self) -> Vec<String> {
        let is_record = !self.record.is_empty();
        let bad_label = |name: &&String| name.is_empty() || name.as_str() == model::METRIC_NAME;
        let checks = [
            (
                is_record && !self.alert.is_empty(),
                "only one of 'record' and 'alert' must be set",
            ),
            (
                !is_record && self.alert.is_empty(),
                "one of 'record' or 'alert' must be set",
            ),
            (self.expr.is_empty(), "field 'expr' must be set in rule"),
            (
                is_record && !self.annotations.is_empty(),
                "invalid field 'annotations' in recording rule",
            ),
            (
                is_record && self.hold.0 != 0,
                "invalid field 'for' in recording rule",
            ),
            (
                is_record && self.keep_firing_for.0 != 0,
                "invalid field 'keep_firing_for' in recording rule",
            ),
            (
                self.record.contains(['{', '}']),
                "braces present in the recording rule name; should it be in expr?",
            ),
        ];
        let found = checks.iter().filter(|(wrong, _)| *wrong);
        let labels = self.labels.keys().filter(bad_label);
        found
            .map(|(_, why)| (*why).to_owned())
            .chain(labels.map(|name| format!("invalid label name: {name}")))
            .collect()
    }

    fn check(
        self,
        of_group: &BTreeMap<String, String>,
        features: Features,
        place: &Place<'_>,
    ) -> Result<Rule, RuleError> {
        let name = self.name().to_owned();
        let expr = parse_with(&self.expr, features).map_err(|source| RuleError::Expression {
            group: place.group.to_owned(),
            rule: place.rule,
            name: name.clone(),
            text: self.expr.clone(),
            source,
        })?;
        let mut labels = of_group.clone();
        labels.extend(self.labels);
        let alert = (!self.alert.is_empty()).then(|| {
            Ok(AlertingRule {
                hold: self.hold.0,
                keep_firing: self.keep_firing_for.0,
                labels: templates("label", &labels, place)?,
                annotations: templates("annotation", &self.annotations, place)?,
            })
        });
        Ok(Rule {
            name,
            expr,
            alert: alert.transpose()?,
            labels,
        })
    }
}

fn templates(
    what: &str,
    texts: &BTreeMap<String, String>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, Template>, RuleError> {
    let parse = |(name, text): (&String, &String)| match Template::parse(text) {
        Ok(template) => Ok((name.clone(), template)),
        Err(error) => Err(place.error(format!("{what} {name:?}: {error}"))),
    };
    texts.iter().map(parse).collect()
}
