//! Which part of a fleet a plan is for.
//!
//! What must be done before (or with) a resource is *forward* of it: a wanted resource needs what it depends on, and what
//! goes needs those gone that depended on it. Targets take along all that is forward of them; excluding takes along
//! all that this is forward of. A selection of clusters takes nothing along, unless it is asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use stack::{Address, ClusterPath, closest};

use crate::filter::{self, Filter, Picked};
use crate::universe::{Affected, Universe};
use crate::{PlanError, PlanMode};

/// What a plan is to be about. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// None: all.
    pub clusters: Vec<ClusterPath>,
    /// Only these, and what they need. None: all.
    pub targets: Vec<Pattern>,
    /// Not these, and not what needs them.
    pub excludes: Vec<Pattern>,
    /// Only what they select together. None: all.
    pub filters: Vec<Filter>,
    /// Only what is affected.
    pub affected: Option<Affected>,
    /// Beyond `clusters` too: what the selected ones need to be made, or what must go before they go.
    pub with_dependencies: bool,
}

impl Selection {
    /// Whether it leaves nothing out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.clusters.is_empty()
            && self.targets.is_empty()
            && self.excludes.is_empty()
            && self.is_unfiltered()
    }

    /// Whether neither a filter nor what is affected narrows it.
    #[must_use]
    pub fn is_unfiltered(&self) -> bool {
        self.filters.is_empty() && self.affected.is_none()
    }

    /// Whether it asks which files units read: then [`Universe::read`] must have been called.
    #[must_use]
    pub fn asks_for_files(&self) -> bool {
        self.affected.is_some() || filter::ask_for_files(&self.filters)
    }

    /// What filters and files select, of whatever cluster.
    ///
    /// # Errors
    /// [`PlanError::NothingSelected`] when a part of a filter means nothing. Nothing affected is no error.
    pub fn pick(&self, universe: &Universe) -> Result<Picked, PlanError> {
        let picked = filter::pick(&self.filters, universe)?;
        Ok(match &self.affected {
            None => picked,
            Some(affected) => picked.and(Picked::units(&universe.affected(affected))),
        })
    }
}

/// As it is typed, for the plan's reader.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clusters = self.clusters.iter().map(ToString::to_string);
        let targets = self.targets.iter().map(|it| format!("--target {it}"));
        let excludes = self.excludes.iter().map(|it| format!("--exclude {it}"));
        let filters = self.filters.iter().map(|it| format!("--filter '{it}'"));
        let affected = self.affected.iter().map(|affected| match affected {
            Affected::SinceApplied => "--affected".to_owned(),
            Affected::By { reference, .. } => format!("--affected={reference}"),
        });
        let with = self.with_dependencies.then(|| "--with-dependencies".into());
        let words: Vec<String> = clusters
            .chain(targets)
            .chain(excludes)
            .chain(filters)
            .chain(affected)
            .chain(with)
            .collect();
        f.write_str(&words.join(" "))
    }
}

/// An address, or the path of a unit, a cluster, a region or an account, which mean all that is below; with `*` (within a
/// name), `**` (across names) and `?`: `**/query`, `a/*/observer`, `**:tls.ca.*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

/// A text that can match no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, path or glob: write for example a/r/c/unit, or **/unit")]
pub struct PatternError(String);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let trimmed = text.trim_end_matches('/');
        if trimmed.is_empty() || trimmed.starts_with('/') || trimmed.contains(char::is_whitespace) {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Whether it means `address`, or something that the address lies in.
    #[must_use]
    pub fn matches(&self, address: &Address) -> bool {
        self.matches_text(&address.to_string())
    }

    /// Whether it means this path, or something that the path lies in.
    #[must_use]
    pub fn matches_text(&self, text: &str) -> bool {
        let wanted: Vec<char> = self.0.chars().collect();
        // Which beginnings of the pattern match the text so far.
        let mut reached = vec![false; wanted.len() + 1];
        reached[0] = true;
        skip_stars(&wanted, &mut reached);
        for char in text.chars() {
            if matches!(char, '/' | ':' | '[') && reached[wanted.len()] {
                return true;
            }
            reached = step(&wanted, &reached, char);
        }
        reached[wanted.len()]
    }
}

fn step(wanted: &[char], reached: &[bool], char: char) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for at in (0..wanted.len()).filter(|at| reached[*at]) {
        let across = is_double(wanted, at);
        match wanted[at] {
            '*' if across || !matches!(char, '/' | ':') => next[at] = true,
            '*' => {}
            '?' if !matches!(char, '/' | ':') => next[at + 1] = true,
            literal if literal == char => next[at + 1] = true,
            _ => {}
        }
    }
    skip_stars(wanted, &mut next);
    next
}

/// A star also stands for nothing.
fn skip_stars(wanted: &[char], reached: &mut [bool]) {
    for at in 0..wanted.len() {
        if reached[at] && wanted[at] == '*' {
            reached[at + 1] = true;
        }
        // `**/x` means `x` at the top too.
        if reached[at] && is_double(wanted, at) && wanted.get(at + 1) == Some(&'/') && at < 2 {
            reached[at + 2] = true;
        }
    }
}

/// Whether the star at `at` is one of two.
fn is_double(wanted: &[char], at: usize) -> bool {
    let star = |at: usize| wanted.get(at) == Some(&'*');
    star(at) && (star(at + 1) || (at > 0 && star(at - 1)))
}

/// By resource, what it depends on.
pub(crate) type Dependencies<'a> = BTreeMap<&'a Address, &'a BTreeSet<Address>>;

/// What is there to select from.
pub(crate) struct Known<'a> {
    pub(crate) wanted: Dependencies<'a>,
    pub(crate) recorded: Dependencies<'a>,
    pub(crate) mode: PlanMode,
    /// What filters select; `None` where there are none.
    pub(crate) picked: Option<Picked>,
}

/// The resources that a selection means.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// `None`: all.
    selected: Option<BTreeSet<Address>>,
}

impl Scope {
    pub(crate) fn of(selection: &Selection, known: &Known<'_>) -> Result<Self, PlanError> {
        if selection.is_whole() {
            return Ok(Self::default());
        }
        let all: BTreeSet<&Address> = known
            .wanted
            .keys()
            .chain(known.recorded.keys())
            .copied()
            .collect();
        matched("--target", &selection.targets, &all)?;
        matched("--exclude", &selection.excludes, &all)?;
        let inside = |address: &Address| {
            let picked = known.picked.as_ref().is_none_or(|it| it.has(address));
            let clusters = &selection.clusters;
            picked && (clusters.is_empty() || clusters.contains(&address.unit.cluster))
        };
        let targets = &selection.targets;
        let meant = |address: &&Address| targets.is_empty() || any(targets, address);
        let mut chosen: BTreeSet<&Address> = all.iter().copied().filter(meant).collect();
        let forward = known.forward();
        if !targets.is_empty() {
            chosen = closure(chosen, &forward);
        }
        chosen.retain(|address| inside(address));
        if selection.with_dependencies {
            chosen = closure(chosen, &forward);
        }
        let out = all.iter().copied();
        let out = out.filter(|address| any(&selection.excludes, address));
        let out = closure(out.collect(), &turned(&forward));
        let kept = chosen.into_iter().filter(|address| !out.contains(address));
        let selected: BTreeSet<Address> = kept.cloned().collect();
        still_needed(&selected, known)?;
        Ok(Self {
            selected: Some(selected),
        })
    }

    pub(crate) fn has(&self, address: &Address) -> bool {
        self.selected
            .as_ref()
            .is_none_or(|selected| selected.contains(address))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.selected.is_none()
    }
}

/// Every pattern must mean something: a slip of the pen must not select nothing, or leave nothing out.
pub(crate) fn matched(
    option: &'static str,
    patterns: &[Pattern],
    all: &BTreeSet<&Address>,
) -> Result<(), PlanError> {
    for pattern in patterns {
        if !all.iter().any(|address| pattern.matches(address)) {
            let names = names(all);
            let near = closest(&pattern.0, names.iter().map(String::as_str));
            return Err(PlanError::NothingSelected {
                option,
                pattern: pattern.to_string(),
                candidates: near,
            });
        }
    }
    Ok(())
}

/// All that could have been meant: clusters, units, resources.
fn names(all: &BTreeSet<&Address>) -> BTreeSet<String> {
    let of = |address: &&Address| {
        [
            address.unit.cluster.to_string(),
            address.unit.to_string(),
            address.to_string(),
        ]
    };
    all.iter().flat_map(of).collect()
}

fn any(patterns: &[Pattern], address: &Address) -> bool {
    patterns.iter().any(|pattern| pattern.matches(address))
}

type Forward<'a> = BTreeMap<&'a Address, BTreeSet<&'a Address>>;

impl<'a> Known<'a> {
    fn stays(&self, address: &Address) -> bool {
        self.mode != PlanMode::Destroy && self.wanted.contains_key(address)
    }

    fn forward(&self) -> Forward<'a> {
        let mut forward = Forward::new();
        if self.mode == PlanMode::RefreshOnly {
            return forward;
        }
        for (address, needs) in &self.wanted {
            if self.stays(address) {
                let there = needs.iter().filter(|on| self.wanted.contains_key(on));
                forward.entry(address).or_default().extend(there);
            }
        }
        // What stays and was made with something that goes is changed first.
        for (address, needs) in &self.recorded {
            let there = needs.iter().filter(|on| self.recorded.contains_key(on));
            for on in there.filter(|on| !self.stays(on)) {
                forward.entry(on).or_default().insert(address);
            }
        }
        forward
    }
}

/// Nothing may go while something that stays was made with it.
fn still_needed(selected: &BTreeSet<Address>, known: &Known<'_>) -> Result<(), PlanError> {
    if known.mode == PlanMode::RefreshOnly {
        return Ok(());
    }
    let mut needed = Vec::new();
    for (address, needs) in &known.recorded {
        if selected.contains(*address) {
            continue;
        }
        let going = needs.iter().filter(|on| {
            selected.contains(*on) && known.recorded.contains_key(on) && !known.stays(on)
        });
        needed.extend(going.map(|on| (on.clone(), (*address).clone())));
    }
    if needed.is_empty() {
        Ok(())
    } else {
        Err(PlanError::StillNeeded(needed))
    }
}

fn closure<'a>(from: BTreeSet<&'a Address>, edges: &Forward<'a>) -> BTreeSet<&'a Address> {
    let mut next: Vec<&Address> = from.iter().copied().collect();
    let mut found = from;
    while let Some(address) = next.pop() {
        let beyond = edges.get(address).into_iter().flatten();
        next.extend(beyond.copied().filter(|address| found.insert(address)));
    }
    found
}

fn turned<'a>(edges: &Forward<'a>) -> Forward<'a> {
    let mut turned = Forward::new();
    for (from, to) in edges {
        for to in to {
            turned.entry(to).or_default().insert(from);
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_is_below_a_path_and_stars_stop_at_names() {
        let address = "acc/eu-west-1/observer/federation/eu-west-3-x:tls.ca.root[\"k\"]";
        let address: Address = address.parse().unwrap();
        for pattern in [
            "acc",
            "acc/eu-west-1/",
            "acc/*/observer",
            "acc/eu-west-1/observer/federation",
            "**/federation",
            "**:tls.ca.*",
            "a??/**/federation/*",
            "acc/eu-west-1/observer/federation/eu-west-3-x:tls.ca.root",
            "acc/eu-west-1/observer/federation/eu-west-3-x:tls.ca.root[\"k\"]",
            "**/acc",
            "**",
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(pattern.matches(&address), "{pattern}");
        }
        for pattern in [
            "ac",
            "*/observer",
            "acc/eu-west",
            "**/query",
            "acc/*/federation",
            "acc/eu-west-1/observer/federation/*:tls.key.*",
            "acc/eu-west-1/observer/federation/eu-west-3-x:tls.ca.root[\"j\"]",
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(!pattern.matches(&address), "{pattern}");
        }
        assert!("".parse::<Pattern>().is_err() && "/a".parse::<Pattern>().is_err());
    }
}
