//! `info`: adds labels of info metrics (`target_info` unless others are selected) to series of the same instance and
//! job. Of two info series with the same name, instance and job the one with the newer sample counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{Hints, Labels, METRIC_NAME, MatchKind, Matcher, Select};

use super::evaluate::{Evaluation, Held, Sink};
use super::matching::series_text;
use super::merged::Merged;
use super::points::{Head, Points, Row};
use super::selector::{Show, as_selector, current, repeat};
use super::steps::Steps;
use super::{Evaluated, QueryError};
use crate::parser::ast::{At, Call, Expr, ExprKind, Subquery, TimeShift, ValueType};

const TARGET_INFO: &str = "target_info";
/// What an info series and a series that it describes have in common.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

impl Evaluation<'_> {
    pub(super) fn info(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let [arg, selector @ ..] = call.args.as_slice() else {
            return Ok(());
        };
        let shift = reference(arg, &self.query.steps).unwrap_or_default();
        let base = self.rows(arg, &self.function_hints(call))?;
        let selected = selector.first().and_then(as_selector);
        let matchers = selected.map_or(&[][..], |selector| &selector.matchers);
        let (names, data): (Vec<_>, Vec<_>) = matchers
            .iter()
            .cloned()
            .partition(|matcher| matcher.name == METRIC_NAME);
        let names = effective_names(names)?;
        let described = |row: &Row| {
            let name = self.query.metric_name(&row.head.labels);
            !names.iter().all(|matcher| matcher.matches(name))
        };
        let described: Vec<bool> = base.rows.iter().map(described).collect();
        let mut infos = Held::default();
        for identifying in self.identifying(&base.rows, &described)? {
            let matchers = [identifying, data.clone(), names.clone()].concat();
            self.read_infos(matchers, shift, &mut infos)?;
        }
        let join = Join::new(self, &infos.rows, data)?;
        let merged = join.rows(&base.rows, &described)?;
        self.query.release(base.weight + infos.weight);
        drop((base, infos));
        self.send(merged, sink)
    }

    /// Matchers for the instances and jobs of the series, one set for each way of having or not having them.
    fn identifying(&self, rows: &[Row], described: &[bool]) -> Evaluated<Vec<Vec<Matcher>>> {
        let mut sets: BTreeMap<[bool; 2], [BTreeSet<&str>; 2]> = BTreeMap::new();
        for (row, _) in rows
            .iter()
            .zip(described)
            .filter(|(_, described)| **described)
        {
            let values = IDENTIFYING.map(|name| {
                row.head
                    .labels
                    .get(name, &self.query.symbols)
                    .unwrap_or_default()
            });
            let present = values.map(|value| !value.is_empty());
            if present == [false; 2] {
                continue;
            }
            let set = sets.entry(present).or_default();
            for (values, value) in set.iter_mut().zip(values).filter(|(_, v)| !v.is_empty()) {
                values.insert(value);
            }
        }
        let matchers = |values: [BTreeSet<&str>; 2]| -> Evaluated<Vec<Matcher>> {
            IDENTIFYING
                .into_iter()
                .zip(values)
                .map(|(name, values)| one_of(name, &values))
                .collect()
        };
        sets.into_values().map(matchers).collect()
    }

    /// Reads info series; their values are the times of their samples.
    fn read_infos(&self, matchers: Vec<Matcher>, shift: TimeShift, infos: &mut Held) -> Evaluated {
        let steps = self.shifted(shift);
        let lookback = self.query.options.lookback;
        let first = steps.start.saturating_sub(lookback).saturating_add(1);
        let symbols = Arc::clone(&self.query.symbols);
        let mut select = Select::new(symbols, matchers, first, steps.end);
        select.hints = Hints {
            function: "info".to_owned(),
            ..self.hints()
        };
        let stream = self.query.open(&select)?;
        self.query.each_series(stream, &mut |labels, samples| {
            if !samples.h.is_empty() {
                let series = series_text(&labels, &self.query.symbols);
                return Err(QueryError::Execution(format!(
                    "this should be an info metric, with float samples: {series}"
                )));
            }
            let mut points = Points::default();
            current(samples, steps, lookback, Show::Milliseconds, &mut points);
            repeat(&mut points, steps, self.steps);
            self.query.hold(points.len())?;
            infos.weight += points.len();
            if !points.is_empty() {
                let head = Head::from(labels);
                infos.rows.push(Row { head, points });
            }
            Ok(())
        })
    }
}

/// A matcher for exactly these values, or for the label not being there.
fn one_of(name: &str, values: &BTreeSet<&str>) -> Evaluated<Matcher> {
    if values.is_empty() {
        return Ok(Matcher::equal(name, ""));
    }
    let escaped: Vec<String> = values.iter().map(|value| escape(value)).collect();
    regex(name, &escaped.join("|"))
}

fn regex(name: &str, pattern: &str) -> Evaluated<Matcher> {
    Matcher::new(MatchKind::Regex, name, pattern)
        .map_err(|error| QueryError::Execution(error.to_string()))
}

/// As Go's `regexp.QuoteMeta`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The matchers for the names of info metrics: where none says which, all that end in `_info` are meant.
fn effective_names(names: Vec<Matcher>) -> Evaluated<Vec<Matcher>> {
    let says = |matcher: &Matcher| matches!(matcher.kind, MatchKind::Equal | MatchKind::Regex);
    if names.iter().any(says) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, TARGET_INFO)]);
    }
    Ok([vec![regex(METRIC_NAME, ".+_info")?], names].concat())
}

/// An info metric's name and the identifying labels, as symbols.
type Key = (u32, [Option<u32>; 2]);

/// Info series by what they describe.
struct Join<'j> {
    evaluation: &'j Evaluation<'j>,
    infos: &'j [Row],
    data: Vec<Matcher>,
    /// The names of info metrics.
    names: Vec<u32>,
    /// For each key and step the info series that counts.
    newest: HashMap<Key, Vec<Option<usize>>>,
}

impl<'j> Join<'j> {
    fn new(
        evaluation: &'j Evaluation<'j>,
        infos: &'j [Row],
        data: Vec<Matcher>,
    ) -> Evaluated<Self> {
        let mut join = Self {
            evaluation,
            infos,
            data,
            names: Vec::new(),
            newest: HashMap::new(),
        };
        let mut names = BTreeSet::new();
        for (at, row) in infos.iter().enumerate() {
            let name = join.id(&row.head.labels, METRIC_NAME).unwrap_or_default();
            names.insert(name);
            join.add(at, row, name)?;
        }
        join.names = names.into_iter().collect();
        Ok(join)
    }

    fn id(&self, labels: &Labels, name: &str) -> Option<u32> {
        let symbols = &self.evaluation.query.symbols;
        let name = symbols.find(name)?;
        labels
            .iter_ids()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    fn key(&self, labels: &Labels, name: u32) -> Key {
        (name, IDENTIFYING.map(|name| self.id(labels, name)))
    }

    fn add(&mut self, at: usize, row: &Row, name: u32) -> Evaluated {
        let key = self.key(&row.head.labels, name);
        let infos = self.infos;
        let time = |row: usize, step: u32| {
            let points = &infos[row].points.floats;
            let at = points
                .binary_search_by_key(&step, |point| point.step)
                .ok()?;
            Some(points[at].v)
        };
        let steps = self.evaluation.steps.count as usize;
        let newest = self.newest.entry(key).or_insert_with(|| vec![None; steps]);
        for point in &row.points.floats {
            let Some(there) = newest.get_mut(point.step as usize) else {
                continue;
            };
            match there.and_then(|there| time(there, point.step)) {
                Some(other) if other > point.v => {}
                Some(other) if other == point.v => {
                    let symbols = &self.evaluation.query.symbols;
                    let text = |row: usize| series_text(&infos[row].head.labels, symbols);
                    return Err(QueryError::Execution(format!(
                        "found duplicate series for info metric: existing {} @ {other}, new {} @ {}",
                        text(there.unwrap_or(at)),
                        text(at),
                        point.v
                    )));
                }
                _ => *there = Some(at),
            }
        }
        Ok(())
    }

    /// The rows with labels added.
    fn rows(&self, base: &[Row], described: &[bool]) -> Evaluated<Vec<Row>> {
        let mut merged = Merged::default();
        for (row, described) in base.iter().zip(described) {
            self.evaluation.query.cancel.check()?;
            if !described {
                merged.add(row.head.clone(), &mut row.points.clone());
                continue;
            }
            let keys = self
                .names
                .iter()
                .map(|name| self.key(&row.head.labels, *name));
            let sources: Vec<_> = keys.filter_map(|key| self.newest.get(&key)).collect();
            let mut pieces: HashMap<Vec<usize>, Option<(Labels, Points)>> = HashMap::new();
            for (step, seen) in row.points.iter() {
                let infos = sources
                    .iter()
                    .filter_map(|newest| *newest.get(step as usize)?);
                let infos: Vec<usize> = infos.collect();
                let piece = match pieces.get_mut(&infos) {
                    Some(piece) => piece,
                    None => {
                        let labels = self.enriched(&row.head.labels, &infos)?;
                        let piece = labels.map(|labels| (labels, Points::default()));
                        pieces.entry(infos).or_insert(piece)
                    }
                };
                if let Some((_, points)) = piece {
                    points.push(step, seen.to_value());
                }
            }
            let mut pieces: Vec<_> = pieces.into_values().flatten().collect();
            pieces.sort_by_key(|(_, points)| points.iter().next().map(|(step, _)| step));
            for (labels, mut points) in pieces {
                let head = Head {
                    labels,
                    drop_name: row.head.drop_name,
                };
                merged.add(head, &mut points);
            }
        }
        merged.finish()
    }

    /// The labels with those of `infos`; none if there have to be info series and are none.
    fn enriched(&self, labels: &Labels, infos: &[usize]) -> Evaluated<Option<Labels>> {
        if infos.is_empty() && !self.data.iter().all(|matcher| matcher.matches("")) {
            return Ok(None);
        }
        let symbols = &self.evaluation.query.symbols;
        let wanted: HashSet<&str> = self.data.iter().map(|m| m.name.as_str()).collect();
        let mut added = Labels::default();
        for info in infos {
            for (name, value) in self.infos[*info].head.labels.iter(symbols) {
                if name == METRIC_NAME || !wanted.is_empty() && !wanted.contains(name) {
                    continue;
                }
                if added.get(name, symbols).is_some_and(|other| other != value) {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if labels.get(name, symbols).is_none() {
                    added.set(name, value, symbols);
                }
            }
        }
        let mut enriched = labels.clone();
        for (name, value) in added.iter(symbols) {
            enriched.set(name, value, symbols);
        }
        Ok(Some(enriched))
    }
}

/// The one time that all selectors of `expr` look at, if there is one.
pub(super) fn reference(expr: &Expr, whole: &Steps) -> Option<TimeShift> {
    let mut search = References {
        whole,
        found: Vec::new(),
        free: false,
    };
    search.inspect(expr, &mut Vec::new());
    let first = *search.found.first()?;
    let same = |other: &TimeShift| match (time(first), time(*other)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => first.offset == other.offset,
        _ => false,
    };
    (!search.free && search.found.iter().all(same)).then_some(first)
}

/// When a pinned selector looks.
fn time(shift: TimeShift) -> Option<i64> {
    match shift.at? {
        At::Time(time) => Some(time.saturating_sub(shift.offset)),
        At::Start | At::End => None,
    }
}

struct References<'r> {
    whole: &'r Steps,
    found: Vec<TimeShift>,
    /// Whether there is a vector without any selector.
    free: bool,
}

impl References<'_> {
    /// Whether `expr` has selectors of vectors.
    fn inspect<'e>(&mut self, expr: &'e Expr, outside: &mut Vec<&'e Subquery>) -> bool {
        if !matches!(expr.value_type(), ValueType::Vector | ValueType::Matrix) {
            return false;
        }
        match &expr.kind {
            ExprKind::Selector(selector) => self.add(selector.shift, outside),
            ExprKind::Range(range) => self.add(range.selector.shift, outside),
            ExprKind::Call(call) if call.function.name == "info" => call
                .args
                .first()
                .is_some_and(|arg| self.inspect(arg, outside)),
            kind => {
                let depth = outside.len();
                if let ExprKind::Subquery(subquery) = kind {
                    outside.push(subquery);
                }
                let mut found = false;
                for child in kind.children() {
                    found |= self.inspect(child, outside);
                }
                outside.truncate(depth);
                self.free |= !found;
                found
            }
        }
    }

    fn add(&mut self, mut shift: TimeShift, outside: &[&Subquery]) -> bool {
        for subquery in outside.iter().rev() {
            if shift.at.is_some() {
                break;
            }
            shift.offset = shift.offset.saturating_add(subquery.shift.offset);
            shift.at = subquery.shift.at;
        }
        shift.at = shift.at.map(|at| match at {
            At::Start => At::Time(self.whole.start),
            At::End => At::Time(self.whole.end),
            time @ At::Time(_) => time,
        });
        self.found.push(shift);
        true
    }
}
