//! The language of `--filter`.
//!
//! ```text
//! filter = term { "|" term }            all of them
//! term   = [ "!" ] [ [ N ] "..." ] [ "^" ] what [ "..." [ N ] ]
//! what   = key "=" glob | path | name
//! ```
//!
//! * A name is that of an account, a region, a cluster or a unit. A path is a folder or a file (`./live/demo/a/r`), or what an
//!   address begins with (`a/r/c/unit`). Both may be globs.
//! * `x...` is x and what it needs, `...x` is x and what needs it, `^` leaves x itself out; a number says how far to go.
//! * Several filters mean any of them; those that only say what not (`!x`) take that away from the others, or from all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use stack::{Address, UnitPath, closest};

use crate::universe::{UnitFacts, Universe, plain};
use crate::{Pattern, PlanError};

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    negated: bool,
    dependents: Option<Reach>,
    dependencies: Option<Reach>,
    without_itself: bool,
    what: What,
}

/// How many steps; `None`: all.
type Reach = Option<usize>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Name(Pattern),
    /// A path on disk, absolute.
    Path(PathBuf),
    Pattern(Pattern),
    Key(Key, Pattern),
    /// A file that was read, absolute.
    Reading(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Account,
    Region,
    Cluster,
    Role,
    Unit,
    Module,
    Type,
}

const KEYS: [(&str, Key); 8] = [
    ("name", Key::Name),
    ("account", Key::Account),
    ("region", Key::Region),
    ("cluster", Key::Cluster),
    ("role", Key::Role),
    ("unit", Key::Unit),
    ("module", Key::Module),
    ("type", Key::Type),
];
const READING: &str = "reading";

/// A text that is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("a part of the filter `{0}` is empty")]
    Empty(String),
    #[error("there is no key `{key}`{}: keys are name, account, region, cluster, role, unit, module, type, reading", meant(.near))]
    Key { key: String, near: Vec<String> },
    #[error(transparent)]
    Pattern(#[from] crate::PatternError),
}

fn meant(near: &[String]) -> String {
    near.first()
        .map_or(String::new(), |near| format!(" (did you mean `{near}`?)"))
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let terms = text.split('|').map(|term| Term::parse(term.trim(), text));
        Ok(Self {
            text: text.to_owned(),
            terms: terms.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Term {
    fn parse(term: &str, whole: &str) -> Result<Self, FilterError> {
        let (negated, rest) = match term.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, term),
        };
        let (dependents, rest) = before(rest);
        let (without_itself, rest) = match rest.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (dependencies, what) = behind(rest);
        if what.is_empty() {
            return Err(FilterError::Empty(whole.to_owned()));
        }
        Ok(Self {
            negated,
            dependents,
            dependencies,
            without_itself,
            what: What::parse(what)?,
        })
    }
}

/// `2...` in front.
fn before(text: &str) -> (Option<Reach>, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match text[digits..].strip_prefix("...") {
        Some(rest) => (Some(text[..digits].parse().ok()), rest),
        None => (None, text),
    }
}

/// `...2` at the end.
fn behind(text: &str) -> (Option<Reach>, &str) {
    let bare = text.trim_end_matches(|c: char| c.is_ascii_digit());
    match bare.strip_suffix("...") {
        Some(what) => (Some(text[bare.len()..].parse().ok()), what),
        None => (None, text),
    }
}

impl What {
    fn parse(text: &str) -> Result<Self, FilterError> {
        if let Some((key, value)) = text.split_once('=')
            && !key.contains(|c: char| !c.is_ascii_alphabetic())
        {
            return Self::keyed(key, value);
        }
        let on_disk = text == "." || ["./", "../", "/"].iter().any(|it| text.starts_with(it));
        Ok(if on_disk {
            Self::Path(absolute(text))
        } else if text.contains(['/', ':']) {
            Self::Pattern(text.parse()?)
        } else {
            Self::Name(text.parse()?)
        })
    }

    fn keyed(key: &str, value: &str) -> Result<Self, FilterError> {
        if key == READING {
            return Ok(Self::Reading(absolute(value)));
        }
        let Some((_, found)) = KEYS.iter().find(|(name, _)| *name == key) else {
            let names = KEYS.iter().map(|(name, _)| *name).chain([READING]);
            return Err(FilterError::Key {
                key: key.to_owned(),
                near: closest(key, names),
            });
        };
        Ok(Self::Key(*found, value.parse()?))
    }

    /// How it is typed, for who typed it.
    fn text(&self) -> String {
        match self {
            Self::Name(pattern) | Self::Pattern(pattern) => pattern.to_string(),
            Self::Path(path) | Self::Reading(path) => path.display().to_string(),
            Self::Key(key, pattern) => {
                let name = KEYS
                    .iter()
                    .find(|(_, it)| it == key)
                    .map_or("", |(name, _)| *name);
                format!("{name}={pattern}")
            }
        }
    }

    fn pick(&self, universe: &Universe) -> Picked {
        let mut picked = Picked::default();
        let folder = match self {
            Self::Path(path) => Some(below(&universe.dir, path)),
            _ => None,
        };
        for (unit, facts) in &universe.units {
            let part = match self {
                Self::Name(pattern) => whole(is_called(pattern, unit)),
                Self::Path(_) => match folder.as_ref().and_then(Option::as_ref) {
                    Some(Below::Everything) => Some(Part::Whole),
                    Some(Below::Matching(pattern)) => {
                        whole(pattern.matches_text(&unit.to_string()))
                    }
                    None => None,
                },
                Self::Pattern(pattern) if pattern.matches_text(&unit.to_string()) => {
                    Some(Part::Whole)
                }
                Self::Pattern(pattern) => facts.some(|address| pattern.matches(address)),
                Self::Key(Key::Type, glob) => facts.some(|it| glob.matches_text(&it.kind)),
                Self::Key(key, glob) => whole(key.holds(glob, unit, facts)),
                Self::Reading(path) => {
                    let mut reads = facts.reads();
                    whole(reads.any(|file| plain(&universe.dir.join(file)) == *path))
                }
            };
            picked.0.extend(part.map(|part| (unit.clone(), part)));
        }
        picked
    }
}

fn whole(is: bool) -> Option<Part> {
    is.then_some(Part::Whole)
}

/// The name of the unit, or of where it is.
fn is_called(glob: &Pattern, unit: &UnitPath) -> bool {
    let cluster = &unit.cluster;
    let names = [
        &unit.unit,
        &cluster.cluster,
        &cluster.region,
        &cluster.account,
    ];
    names.iter().any(|name| glob.matches_text(name))
}

impl Key {
    fn holds(self, glob: &Pattern, unit: &UnitPath, facts: &UnitFacts) -> bool {
        let text = match self {
            Self::Name => return is_called(glob, unit),
            Self::Account => Some(&unit.cluster.account),
            Self::Region => Some(&unit.cluster.region),
            Self::Cluster => Some(&unit.cluster.cluster),
            Self::Role => facts.role.as_ref(),
            Self::Unit => Some(&unit.unit),
            Self::Module => facts.module.as_ref(),
            Self::Type => None,
        };
        text.is_some_and(|text| glob.matches_text(text))
    }
}

impl UnitFacts {
    /// All of its resources, wanted or recorded.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Address> {
        self.wanted.union(&self.recorded)
    }

    fn some(&self, is: impl Fn(&Address) -> bool) -> Option<Part> {
        let found: BTreeSet<Address> = self.resources().filter(|it| is(it)).cloned().collect();
        (!found.is_empty()).then_some(Part::Resources(found))
    }
}

/// What of a fleet lies below a path.
enum Below {
    Everything,
    Matching(Pattern),
}

fn below(dir: &Path, path: &Path) -> Option<Below> {
    if dir.starts_with(path) {
        return Some(Below::Everything);
    }
    let inside = path.strip_prefix(dir).ok()?.to_string_lossy().into_owned();
    let inside = match inside.rsplit_once('/') {
        // The document of a level stands for the level.
        Some((level, "account.yaml" | "region.yaml" | "cluster.yaml")) => level.to_owned(),
        _ => inside.strip_suffix(".yaml").unwrap_or(&inside).to_owned(),
    };
    if inside == "fleet" {
        return Some(Below::Everything);
    }
    inside.parse().ok().map(Below::Matching)
}

fn absolute(text: &str) -> PathBuf {
    plain(&std::path::absolute(text).unwrap_or_else(|_| text.into()))
}

/// What of a unit is picked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Resources(BTreeSet<Address>),
}

/// What is selected of a universe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked(BTreeMap<UnitPath, Part>);

impl Picked {
    /// Whether any of a unit is picked.
    #[must_use]
    pub fn has_some_of(&self, unit: &UnitPath) -> bool {
        self.0.contains_key(unit)
    }

    /// Whether a resource is picked.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        match self.0.get(&address.unit) {
            None => false,
            Some(Part::Whole) => true,
            Some(Part::Resources(some)) => some.contains(address),
        }
    }

    /// These units, whole.
    pub(crate) fn units<'u>(units: impl IntoIterator<Item = &'u UnitPath>) -> Self {
        let whole = |unit: &UnitPath| (unit.clone(), Part::Whole);
        Self(units.into_iter().map(whole).collect())
    }

    fn add(&mut self, other: Self) {
        for (unit, part) in other.0 {
            let sum = match (self.0.remove(&unit), part) {
                (None, part) => part,
                (Some(Part::Resources(mut some)), Part::Resources(more)) => {
                    some.extend(more);
                    Part::Resources(some)
                }
                _ => Part::Whole,
            };
            self.0.insert(unit, sum);
        }
    }

    /// What both have.
    pub(crate) fn and(self, mut other: Self) -> Self {
        let both = self.0.into_iter().filter_map(|(unit, part)| {
            let part = match (part, other.0.remove(&unit)?) {
                (Part::Whole, part) | (part, Part::Whole) => part,
                (Part::Resources(some), Part::Resources(others)) => {
                    let both: BTreeSet<_> = some.intersection(&others).cloned().collect();
                    return (!both.is_empty()).then_some((unit, Part::Resources(both)));
                }
            };
            Some((unit, part))
        });
        Self(both.collect())
    }

    /// All that it has not.
    fn not(mut self, universe: &Universe) -> Self {
        let rest = universe.units.iter().filter_map(|(unit, facts)| {
            let part = match self.0.remove(unit) {
                None => Part::Whole,
                Some(Part::Whole) => return None,
                Some(Part::Resources(some)) => facts.some(|address| !some.contains(address))?,
            };
            Some((unit.clone(), part))
        });
        Self(rest.collect())
    }
}

impl Filter {
    /// Whether it only says what not.
    fn only_takes_away(&self) -> bool {
        self.terms.iter().all(|term| term.negated)
    }

    /// Whether it asks which files are read.
    fn asks_for_files(&self) -> bool {
        self.terms
            .iter()
            .any(|term| matches!(term.what, What::Reading(_)))
    }

    fn pick(&self, universe: &Universe) -> Result<Picked, PlanError> {
        let mut all: Option<Picked> = None;
        for term in &self.terms {
            let picked = term.pick(universe)?;
            all = Some(match all {
                None => picked,
                Some(all) => all.and(picked),
            });
        }
        Ok(all.unwrap_or_default())
    }
}

impl Term {
    fn pick(&self, universe: &Universe) -> Result<Picked, PlanError> {
        let found = self.what.pick(universe);
        if found.0.is_empty() {
            return Err(nothing(&self.what, universe));
        }
        let mut picked = if self.without_itself {
            Picked::default()
        } else {
            found.clone()
        };
        if let Some(reach) = self.dependencies {
            let needs = |unit: &UnitPath| {
                let facts = universe.units.get(unit);
                facts
                    .into_iter()
                    .flat_map(|facts| &facts.needs)
                    .cloned()
                    .collect()
            };
            picked.add(reached(&found, reach, needs));
        }
        if let Some(reach) = self.dependents {
            let users = universe.users();
            let users = |unit: &UnitPath| {
                let above = users.get(unit).into_iter().flatten();
                above.map(|user| (*user).clone()).collect()
            };
            picked.add(reached(&found, reach, users));
        }
        Ok(if self.negated {
            picked.not(universe)
        } else {
            picked
        })
    }
}

/// The units that are `reach` steps away from `from` or less, without it.
fn reached(from: &Picked, reach: Reach, step: impl Fn(&UnitPath) -> Vec<UnitPath>) -> Picked {
    let mut seen: BTreeSet<UnitPath> = from.0.keys().cloned().collect();
    let mut found = BTreeSet::new();
    let mut edge: Vec<UnitPath> = seen.iter().cloned().collect();
    let mut left = reach.unwrap_or(usize::MAX);
    while !edge.is_empty() && left > 0 {
        let next = edge.iter().flat_map(&step);
        edge = next.filter(|unit| seen.insert(unit.clone())).collect();
        found.extend(edge.iter().cloned());
        left -= 1;
    }
    Picked::units(&found)
}

/// Whether any of `filters` asks which files units read: [`Universe::read`] must have been called then.
pub(crate) fn ask_for_files(filters: &[Filter]) -> bool {
    filters.iter().any(Filter::asks_for_files)
}

/// What `filters` select together.
///
/// # Errors
/// [`PlanError::NothingSelected`] for a part that means nothing: a slip of the pen must not select nothing.
pub fn pick(filters: &[Filter], universe: &Universe) -> Result<Picked, PlanError> {
    let (taking, adding): (Vec<&Filter>, Vec<&Filter>) =
        filters.iter().partition(|filter| filter.only_takes_away());
    let mut picked = if adding.is_empty() {
        Picked::units(universe.units.keys())
    } else {
        let mut sum = Picked::default();
        for filter in adding {
            sum.add(filter.pick(universe)?);
        }
        sum
    };
    for filter in taking {
        picked = picked.and(filter.pick(universe)?);
    }
    Ok(picked)
}

fn nothing(what: &What, universe: &Universe) -> PlanError {
    let text = what.text();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (unit, facts) in &universe.units {
        let UnitPath {
            cluster,
            unit: name,
        } = unit;
        match what {
            What::Key(Key::Type, _) => {
                names.extend(facts.resources().map(|it| format!("type={}", it.kind)));
            }
            What::Key(Key::Role, _) => {
                names.extend(facts.role.iter().map(|role| format!("role={role}")));
            }
            What::Key(Key::Module, _) => {
                names.extend(facts.module.iter().map(|it| format!("module={it}")));
            }
            What::Key(Key::Unit, _) => {
                names.insert(format!("unit={name}"));
            }
            What::Name(_) | What::Key(..) => {
                let parts = [&cluster.account, &cluster.region, &cluster.cluster, name];
                names.extend(parts.into_iter().cloned());
            }
            What::Path(_) | What::Pattern(_) | What::Reading(_) => {
                names.extend([cluster.to_string(), unit.to_string()]);
            }
        }
    }
    PlanError::NothingSelected {
        option: "--filter",
        candidates: closest(&text, names.iter().map(String::as_str)),
        pattern: text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affected;

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    /// Two clusters: query needs prometheus needs storage; the observer's query needs the observee's prometheus.
    fn universe() -> Universe {
        let mut universe = Universe {
            dir: "/x/live/f".into(),
            units: BTreeMap::new(),
        };
        for (cluster, role) in [("a/r1/main", "observer"), ("a/r2/edge", "observee")] {
            for name in ["storage", "prometheus", "query"] {
                let unit: UnitPath = format!("{cluster}/{name}").parse().expect("a unit");
                let mut facts = UnitFacts {
                    role: Some(role.to_owned()),
                    module: Some(name.to_owned()),
                    in_tree: true,
                    ..UnitFacts::default()
                };
                facts
                    .wanted
                    .insert(address(&format!("{unit}:local.file.conf")));
                if name != "storage" {
                    facts
                        .wanted
                        .insert(address(&format!("{unit}:local.process.it")));
                }
                let need = match name {
                    "query" => vec![
                        format!("{cluster}/prometheus"),
                        "a/r2/edge/prometheus".into(),
                    ],
                    "prometheus" => vec![format!("{cluster}/storage")],
                    _ => vec![],
                };
                facts.needs = need.iter().map(|it| it.parse().expect("a unit")).collect();
                facts.needs.remove(&unit);
                universe.units.insert(unit, facts);
            }
        }
        universe
    }

    #[track_caller]
    fn picks(filters: &[&str], wanted: &[&str]) {
        let parsed: Vec<Filter> = filters
            .iter()
            .map(|it| it.parse().expect("a filter"))
            .collect();
        let universe = universe();
        let picked =
            pick(&parsed, &universe).unwrap_or_else(|error| panic!("{filters:?}: {error}"));
        let units = universe
            .units
            .keys()
            .filter(|unit| picked.has_some_of(unit));
        let units: Vec<String> = units
            .map(|unit| {
                unit.to_string()
                    .replace("a/r1/main/", "m/")
                    .replace("a/r2/edge/", "e/")
            })
            .collect();
        assert_eq!(units, wanted, "{filters:?}");
    }

    #[test]
    fn names_paths_and_keys_select() {
        picks(&["query"], &["m/query", "e/query"]);
        picks(&["edge"], &["e/prometheus", "e/query", "e/storage"]);
        picks(&["r1"], &["m/prometheus", "m/query", "m/storage"]);
        picks(&["q*"], &["m/query", "e/query"]);
        picks(&["a/r1/**/query"], &["m/query"]);
        picks(
            &["/x/live/f/a/r2"],
            &["e/prometheus", "e/query", "e/storage"],
        );
        picks(
            &["/x/live/f/a/r2/edge/cluster.yaml | unit=storage"],
            &["e/storage"],
        );
        picks(&["role=observee | unit=query"], &["e/query"]);
        picks(&["type=local.process | a/r1"], &["m/prometheus", "m/query"]);
        picks(
            &["**:local.process.it"],
            &["m/prometheus", "m/query", "e/prometheus", "e/query"],
        );
    }

    #[test]
    fn filters_add_up_and_those_that_say_not_take_away() {
        picks(
            &["unit=query", "unit=storage"],
            &["m/query", "m/storage", "e/query", "e/storage"],
        );
        picks(&["unit=query", "!edge"], &["m/query"]);
        picks(
            &["!query"],
            &["m/prometheus", "m/storage", "e/prometheus", "e/storage"],
        );
        picks(&["edge | !query"], &["e/prometheus", "e/storage"]);
        picks(
            &["! type=local.process | unit=query"],
            &["m/query", "e/query"],
        );
    }

    #[test]
    fn the_graph_is_followed_as_far_as_is_said() {
        picks(
            &["a/r1/main/query..."],
            &[
                "m/prometheus",
                "m/query",
                "m/storage",
                "e/prometheus",
                "e/storage",
            ],
        );
        picks(
            &["a/r1/main/query...1"],
            &["m/prometheus", "m/query", "e/prometheus"],
        );
        picks(&["^a/r1/main/query...1"], &["m/prometheus", "e/prometheus"]);
        picks(
            &["...^a/r2/edge/storage"],
            &["m/query", "e/prometheus", "e/query"],
        );
        picks(&["1...a/r2/edge/storage"], &["e/prometheus", "e/storage"]);
        picks(
            &["...a/r1/main/prometheus..."],
            &["m/prometheus", "m/query", "m/storage"],
        );
    }

    #[test]
    fn a_part_of_a_unit_is_told_from_the_whole() {
        let universe = universe();
        let picked = pick(
            &["type=local.process".parse().expect("a filter")],
            &universe,
        );
        let picked = picked.expect("picked");
        assert!(picked.has(&address("a/r1/main/query:local.process.it")));
        assert!(!picked.has(&address("a/r1/main/query:local.file.conf")));
    }

    #[test]
    fn what_means_nothing_is_told() {
        let parse = |text: &str| text.parse::<Filter>().map_err(|error| error.to_string());
        assert!(parse("a | ").is_err_and(|it| it.contains("is empty")));
        assert!(parse("...").is_err());
        assert!(parse("typ=x").is_err_and(|it| it.contains("did you mean `type`?")));
        let universe = universe();
        for (text, near) in [("qury", "query"), ("role=obsrver", "role=observer")] {
            let found = pick(&[parse(text).expect("a filter")], &universe);
            let Err(PlanError::NothingSelected { candidates, .. }) = found else {
                panic!("{text} selects something");
            };
            assert_eq!(candidates[0], near);
        }
    }

    #[test]
    fn what_changed_takes_along_what_needs_it() {
        let mut universe = universe();
        let storage: UnitPath = "a/r2/edge/storage".parse().expect("a unit");
        for (unit, facts) in &mut universe.units {
            let read = crate::Read {
                digest: "1".into(),
                files: vec!["fleet.yaml".into(), format!("{}/gone.yaml", unit.cluster)],
            };
            facts.applied = Some(read);
            facts.reading = Some(stack::Reading {
                unit: unit.clone(),
                files: vec!["fleet.yaml".into()],
                absent: vec![format!("{}/account.yaml", unit.cluster.account)],
                digest: if *unit == storage { "2" } else { "1" }.into(),
            });
        }
        let names = |by: &Affected| -> Vec<String> {
            let found = universe.affected(by);
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            names(&Affected::SinceApplied),
            [
                "a/r1/main/query",
                "a/r2/edge/prometheus",
                "a/r2/edge/query",
                "a/r2/edge/storage"
            ]
        );
        let by = |file: &str| Affected::By {
            reference: "main".into(),
            files: BTreeSet::from([file.into()]),
        };
        assert_eq!(names(&by("/x/live/f/fleet.yaml")).len(), 6);
        assert_eq!(names(&by("/x/live/f/a/account.yaml")).len(), 6);
        assert_eq!(names(&by("/x/live/f/a/r2/edge/gone.yaml")).len(), 4);
        assert!(names(&by("/x/README.md")).is_empty());
    }
}
