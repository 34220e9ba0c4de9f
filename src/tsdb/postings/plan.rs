//! Which postings a selection needs, and what becomes of them (as `PostingsForMatchers` of Prometheus's
//! `tsdb/querier.go`).
//!
//! A matcher that the empty string does not pass demands its label: the union of the postings of all values that pass is
//! intersected. One that the empty string passes is also passed by series without the label: the union of the values that do
//! *not* pass is removed, from all series if nothing is demanded.

use std::ops::Range;

use model::{MatchKind, Matcher};
use regex_syntax::hir::literal::Extractor;

use crate::corrupt::Corrupt;
use crate::header::IndexHeader;

use super::{Postings, Refs, collect, intersect, union, without};

/// More alternatives than this are not looked up one by one.
const MOST_ALTERNATIVES: usize = 256;

/// The postings that a selection needs: fetch [`Self::ranges`], parse each, and [`Self::evaluate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Places of postings in the index.
    ranges: Vec<Range<u64>>,
    groups: Vec<Group>,
}

/// A union of postings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    action: Action,
    /// Of [`Plan::ranges`].
    members: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Intersect,
    Remove,
}

impl Plan {
    /// The plan for series that pass all `matchers`.
    ///
    /// # Errors
    /// [`Corrupt`] for a table that lies.
    pub fn new(header: &IndexHeader, matchers: &[Matcher]) -> Result<Self, Corrupt> {
        let mut plan = Self::default();
        // Demands first: one that nothing meets saves looking at the rest.
        let (removing, demanding): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|matcher| matcher.matches(""));
        for matcher in &demanding {
            if plan.add(Action::Intersect, &passing(header, matcher)?) == 0 {
                return Ok(Self::default());
            }
        }
        if demanding.is_empty() {
            let all: Vec<_> = header.all_postings()?.into_iter().collect();
            plan.add(Action::Intersect, &all);
        }
        for matcher in removing {
            let failing = failing(header, matcher)?;
            if !failing.is_empty() {
                plan.add(Action::Remove, &failing);
            }
        }
        Ok(plan)
    }

    fn add(&mut self, action: Action, ranges: &[Range<u64>]) -> usize {
        let start = self.ranges.len();
        self.ranges.extend_from_slice(ranges);
        let members = start..self.ranges.len();
        self.groups.push(Group { action, members });
        ranges.len()
    }

    /// The bytes of the index that hold one postings list each.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The references of all series that pass, ascending; `lists` are those of [`Self::ranges`], in order.
    #[must_use]
    pub fn evaluate(&self, lists: &[Postings]) -> Vec<u32> {
        let set = |group: &Group| {
            let members = lists.get(group.members.clone()).unwrap_or_default();
            union(
                members
                    .iter()
                    .map(|list| Box::new(list.refs()) as Box<dyn Refs>)
                    .collect(),
            )
        };
        let of = |action| self.groups.iter().filter(move |g| g.action == action);
        let demanded = intersect(of(Action::Intersect).map(set).collect());
        let rest = of(Action::Remove).fold(demanded, |rest, group| without(rest, set(group)));
        collect(rest)
    }
}

/// The postings of the values that pass a matcher which the empty string does not pass.
fn passing(header: &IndexHeader, matcher: &Matcher) -> Result<Vec<Range<u64>>, Corrupt> {
    match matcher.kind {
        MatchKind::Equal => Ok(header
            .postings(&matcher.name, &matcher.value)?
            .into_iter()
            .collect()),
        MatchKind::Regex if matcher.value == ".+" => {
            of_values(header, &matcher.name, |value| !value.is_empty())
        }
        MatchKind::Regex => match alternatives(&matcher.value) {
            Some(values) => look_up(header, matcher, values, Keep::Passing),
            None => of_values(header, &matcher.name, |value| matcher.matches(value)),
        },
        MatchKind::NotEqual | MatchKind::NotRegex => {
            of_values(header, &matcher.name, |value| matcher.matches(value))
        }
    }
}

/// The postings of the values that do not pass a matcher which the empty string passes.
fn failing(header: &IndexHeader, matcher: &Matcher) -> Result<Vec<Range<u64>>, Corrupt> {
    let all_others = || of_values(header, &matcher.name, |value| !matcher.matches(value));
    match (matcher.kind, matcher.value.as_str()) {
        (MatchKind::NotEqual, value) => {
            Ok(header.postings(&matcher.name, value)?.into_iter().collect())
        }
        (MatchKind::Regex, ".*") => Ok(Vec::new()),
        (MatchKind::NotRegex, pattern) => match alternatives(pattern) {
            Some(values) => look_up(header, matcher, values, Keep::Failing),
            None => all_others(),
        },
        _ => all_others(),
    }
}

/// Which values are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Passing,
    Failing,
}

fn look_up(
    header: &IndexHeader,
    matcher: &Matcher,
    values: Vec<String>,
    keep: Keep,
) -> Result<Vec<Range<u64>>, Corrupt> {
    let mut ranges = Vec::new();
    // The matcher has the last word: its reading of the expression is Go's.
    let meant = |value: &&String| matcher.matches(value) == (keep == Keep::Passing);
    for value in values.iter().filter(meant) {
        ranges.extend(header.postings(&matcher.name, value)?);
    }
    Ok(ranges)
}

fn of_values(
    header: &IndexHeader,
    name: &str,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<Range<u64>>, Corrupt> {
    let mut ranges = Vec::new();
    for found in header.label_values(name) {
        let (value, range) = found?;
        if keep(value) {
            ranges.push(range);
        }
    }
    Ok(ranges)
}

/// All texts that an expression matches, sorted, if they are few: `a|b|c`, `pod-(1|2)`.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let tree = regex_syntax::parse(pattern).ok()?;
    if !tree.properties().look_set().is_empty() {
        return None;
    }
    let mut extractor = Extractor::new();
    extractor.limit_total(MOST_ALTERNATIVES);
    let found = extractor.extract(&tree);
    if !found.is_exact() {
        return None;
    }
    let texts = found.literals()?.iter();
    let mut texts: Vec<String> = texts
        .map(|text| String::from_utf8(text.as_bytes().to_vec()).ok())
        .collect::<Option<_>>()?;
    texts.sort();
    texts.dedup();
    Some(texts)
}
