//! Matchers of the wire and of `model`, and what external labels decide about them.

use std::collections::{BTreeMap, BTreeSet};

use model::{MatchKind, Matcher, MatcherError};
use proto::thanos::label_matcher::Type;
use proto::thanos::{Label, LabelMatcher};

use crate::labels;

/// A matcher that cannot be understood; the text names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireMatcherError {
    #[error("matcher of label {name}: unknown type {kind}")]
    Type { name: String, kind: i32 },
    #[error("matcher of label {name}: {source}")]
    Regex { name: String, source: MatcherError },
}

impl From<WireMatcherError> for tonic::Status {
    fn from(error: WireMatcherError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// Compiles the matchers of a request.
///
/// # Errors
/// [`WireMatcherError`] for the first that cannot be understood.
pub fn from_wire(matchers: &[LabelMatcher]) -> Result<Vec<Matcher>, WireMatcherError> {
    matchers.iter().map(one_from_wire).collect()
}

fn one_from_wire(matcher: &LabelMatcher) -> Result<Matcher, WireMatcherError> {
    let name = &matcher.name;
    let kind = match Type::try_from(matcher.r#type) {
        Ok(Type::Eq) => MatchKind::Equal,
        Ok(Type::Neq) => MatchKind::NotEqual,
        Ok(Type::Re) => MatchKind::Regex,
        Ok(Type::Nre) => MatchKind::NotRegex,
        Err(_) => {
            return Err(WireMatcherError::Type {
                name: name.clone(),
                kind: matcher.r#type,
            });
        }
    };
    Matcher::new(kind, name, &matcher.value).map_err(|source| WireMatcherError::Regex {
        name: name.clone(),
        source,
    })
}

/// Matchers as a request carries them.
#[must_use]
pub fn to_wire(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    let one = |matcher: &Matcher| LabelMatcher {
        r#type: match matcher.kind {
            MatchKind::Equal => Type::Eq,
            MatchKind::NotEqual => Type::Neq,
            MatchKind::Regex => Type::Re,
            MatchKind::NotRegex => Type::Nre,
        }
        .into(),
        name: matcher.name.clone(),
        value: matcher.value.clone(),
    };
    matchers.iter().map(one).collect()
}

/// Evaluates matchers against external labels, which all series of a store have: `None` if one fails, so
/// that nothing can match; otherwise the matchers that are left to ask the series themselves.
#[must_use]
pub fn without_external(external: &[Label], matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match labels::value(external, &matcher.name) {
            "" => left.push(matcher.clone()),
            value if matcher.matches(value) => {}
            _ => return None,
        }
    }
    Some(left)
}

/// Matchers that series with any of these label sets match: for each name one of the values that it has there, the empty one
/// for a set without it.
#[must_use]
pub fn of_sets(sets: &[&Vec<Label>]) -> Vec<LabelMatcher> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in sets
        .iter()
        .flat_map(|set| set.iter().map(|label| &label.name))
    {
        let of_name = sets.iter().map(|set| labels::value(set, name));
        values.entry(name).or_insert_with(|| of_name.collect());
    }
    let one = |(name, values): (&str, BTreeSet<&str>)| {
        let values: Vec<String> = values.into_iter().map(regex::escape).collect();
        LabelMatcher {
            r#type: Type::Re.into(),
            name: name.to_owned(),
            value: values.join("|"),
        }
    };
    values.into_iter().map(one).collect()
}

/// Whether a store that announces `label_sets` may have series for `matchers`: one set must not contradict
/// any of them. No sets at all say nothing, so such a store always may.
#[must_use]
pub fn may_match(label_sets: &[Vec<Label>], matchers: &[Matcher]) -> bool {
    label_sets.is_empty()
        || label_sets
            .iter()
            .any(|set| without_external(set, matchers).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(kind: MatchKind, name: &str, value: &str) -> Matcher {
        Matcher::new(kind, name, value).expect("valid")
    }

    #[test]
    fn matchers_survive_the_wire() {
        use MatchKind::{Equal, NotEqual, NotRegex, Regex};
        let all = [Equal, NotEqual, Regex, NotRegex].map(|kind| matcher(kind, "a", "b|c"));
        assert_eq!(from_wire(&to_wire(&all)).as_deref(), Ok(all.as_slice()));
    }

    #[test]
    fn a_matcher_of_another_age_is_refused_by_name() {
        let alien = LabelMatcher {
            r#type: 9,
            name: "job".into(),
            value: String::new(),
        };
        let error = from_wire(&[alien]).expect_err("refused");
        assert_eq!(error.to_string(), "matcher of label job: unknown type 9");
        let broken = LabelMatcher {
            r#type: 2,
            name: "job".into(),
            value: "(".into(),
        };
        assert!(from_wire(&[broken]).is_err());
    }

    #[test]
    fn external_labels_answer_their_matchers() {
        let external = [labels::label("cluster", "eu")];
        let asked = [Matcher::equal("cluster", "eu"), Matcher::equal("job", "x")];
        assert_eq!(
            without_external(&external, &asked),
            Some(vec![Matcher::equal("job", "x")])
        );
        let other = matcher(MatchKind::NotRegex, "cluster", "e.");
        assert_eq!(without_external(&external, &[other]), None);
    }

    #[test]
    fn a_store_without_label_sets_is_always_asked() {
        let asked = [Matcher::equal("cluster", "eu")];
        assert!(may_match(&[], &asked));
        assert!(may_match(&[vec![labels::label("replica", "0")]], &asked));
        assert!(!may_match(&[vec![labels::label("cluster", "us")]], &asked));
        let sets = [
            vec![labels::label("cluster", "us")],
            vec![labels::label("cluster", "eu")],
        ];
        assert!(may_match(&sets, &asked));
    }
}
