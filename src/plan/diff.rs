//! What differs between two sets of attributes, value by value.

use std::collections::BTreeSet;

use stack::{Attributes, Value};

/// One value that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    /// `flags.log.level` is written `flags["log.level"]`; elements are `args[2]`.
    pub path: String,
    /// `None`: there was no such value.
    pub before: Option<Value>,
    /// `None`: there will be none. May be (or hold) an unknown.
    pub after: Option<Value>,
    /// Why this forces a replacement, if it does.
    pub forces: Option<String>,
}

/// What differs from `before` to `after`, in path order. Null is the same as absent; maps are compared key by key, lists of
/// one length element by element.
#[must_use]
pub fn compare(before: &Attributes, after: &Attributes) -> Vec<Diff> {
    let mut diffs = Vec::new();
    maps("", before, after, &mut diffs);
    diffs
}

fn maps(path: &str, before: &Attributes, after: &Attributes, diffs: &mut Vec<Diff>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        values(path, Step::Key(key), before.get(key), after.get(key), diffs);
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn values(
    path: &str,
    step: Step<'_>,
    before: Option<&Value>,
    after: Option<&Value>,
    diffs: &mut Vec<Diff>,
) {
    let (before, after) = (present(before), present(after));
    if before == after {
        return;
    }
    let path = join(path, &step);
    match (before, after) {
        (Some(Value::Map(before)), Some(Value::Map(after))) => maps(&path, before, after, diffs),
        (Some(Value::List(before)), Some(Value::List(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                values(&path, Step::Index(index), Some(before), Some(after), diffs);
            }
        }
        _ => diffs.push(Diff {
            path,
            before: before.cloned(),
            after: after.cloned(),
            forces: None,
        }),
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| **value != Value::Null)
}

fn join(path: &str, step: &Step<'_>) -> String {
    match step {
        Step::Index(index) => format!("{path}[{index}]"),
        Step::Key(key) if key.contains(['.', '[']) => format!("{path}[{key:?}]"),
        Step::Key(key) if path.is_empty() => (*key).to_owned(),
        Step::Key(key) => format!("{path}.{key}"),
    }
}

/// The first path at which `now` differs from what `planned` already knew; what was unknown may be anything.
pub(crate) fn contradiction(planned: &Attributes, now: &Attributes) -> Option<String> {
    compare(planned, now)
        .into_iter()
        .find(|diff| !open(diff.before.as_ref(), diff.after.as_ref()))
        .map(|diff| diff.path)
}

/// Whether `planned` leaves room for `now`.
fn open(planned: Option<&Value>, now: Option<&Value>) -> bool {
    match (planned, now) {
        (Some(Value::Unknown(_)), _) => true,
        (Some(Value::List(planned)), Some(Value::List(now))) => {
            planned.len() == now.len()
                && planned
                    .iter()
                    .zip(now)
                    .all(|(planned, now)| open(Some(planned), Some(now)))
        }
        (planned, now) => present(planned) == present(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, Value)]) -> Attributes {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn maps_and_equally_long_lists_are_compared_inside() {
        let map = |level: &str| {
            Value::Map(attributes(&[
                ("log.level", level.into()),
                ("x", true.into()),
            ]))
        };
        let before = attributes(&[
            ("args", ["a", "b"].into_iter().collect()),
            ("flags", map("info")),
            ("gone", 1.into()),
            ("null", Value::Null),
        ]);
        let after = attributes(&[
            ("args", ["a", "c"].into_iter().collect()),
            ("flags", map("debug")),
        ]);
        let paths: Vec<String> = compare(&before, &after)
            .into_iter()
            .map(|diff| diff.path)
            .collect();
        assert_eq!(paths, ["args[1]", "flags[\"log.level\"]", "gone"]);
    }

    #[test]
    fn what_was_unknown_may_become_anything_and_what_was_known_may_not() {
        let planned = attributes(&[("a", Value::unknown("x")), ("b", "same".into())]);
        assert_eq!(
            contradiction(
                &planned,
                &attributes(&[("a", 7.into()), ("b", "same".into())])
            ),
            None
        );
        let other = attributes(&[("a", 7.into()), ("b", "other".into())]);
        assert_eq!(contradiction(&planned, &other), Some("b".to_owned()));
    }
}
