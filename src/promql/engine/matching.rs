//! Operators between two vectors: series find each other by the labels that `on` or `ignoring` leave. Both sides are
//! held; the series of one signature are worked through together, step by step.

use std::collections::{HashMap, HashSet};

use model::{Labels, METRIC_NAME, Symbols};

use super::evaluate::{Evaluation, Held, Sink};
use super::merged::Merged;
use super::points::{Head, Interleaved, Point, Points, Row, Seen};
use super::{Evaluated, QueryError};
use crate::Span;
use crate::lexer::text::quote;
use crate::parser::ast::{Binary, Cardinality, Matching};

/// Which labels series are matched by.
pub(super) struct Signature {
    on: bool,
    names: Vec<u32>,
}

impl Signature {
    pub(super) fn new(matching: &Matching, symbols: &Symbols) -> Self {
        let names = matching.labels.iter().map(|name| symbols.intern(name));
        let mut names: Vec<u32> = names.collect();
        if !matching.on {
            names.push(symbols.intern(METRIC_NAME));
        }
        Self {
            on: matching.on,
            names,
        }
    }

    pub(super) fn of(&self, labels: &Labels) -> Labels {
        let mut labels = labels.clone();
        labels.retain(|name, _| self.names.contains(&name) == self.on);
        labels
    }
}

/// The series of one signature: the side that may have many, and the other one.
#[derive(Debug, Default)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// One operator on its way.
struct Match<'m> {
    evaluation: &'m Evaluation<'m>,
    binary: &'m Binary,
    span: Span,
    /// Whether the "one" side is the left one.
    swapped: bool,
    many: &'m [Row],
    one: &'m [Row],
    signature: Signature,
    /// The labels of results by the rows they come from.
    results: HashMap<(usize, usize), Labels>,
    /// What was computed, by the row that comes first.
    pieces: Vec<(usize, Head, Points)>,
    /// How many points there are in them.
    produced: usize,
}

/// After so many points the limit and the flag are looked at.
const CHECKED_EVERY: usize = 4096;

/// No row: a `fill` value stands for it.
const FILLED: usize = usize::MAX;

impl Evaluation<'_> {
    pub(super) fn matched(&self, binary: &Binary, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let left = self.rows(&binary.left, &self.hints())?;
        let right = self.rows(&binary.right, &self.hints())?;
        let weight = left.weight + right.weight;
        let swapped = binary.matching.cardinality == Cardinality::OneToMany;
        let sides: [Held; 2] = if swapped {
            [right, left]
        } else {
            [left, right]
        };
        let [many, one] = &sides;
        let mut matched = Match {
            evaluation: self,
            binary,
            span,
            swapped,
            many: &many.rows,
            one: &one.rows,
            signature: Signature::new(&binary.matching, &self.query.symbols),
            results: HashMap::new(),
            pieces: Vec::new(),
            produced: 0,
        };
        for group in matched.groups() {
            self.query.cancel.check()?;
            matched.group(&group)?;
        }
        let mut pieces = matched.pieces;
        pieces.sort_by_key(|(order, ..)| *order);
        let mut merged = Merged::default();
        for (_, head, mut points) in pieces {
            merged.add(head, &mut points);
        }
        drop(sides);
        self.query.release(weight);
        self.send(merged.finish()?, sink)
    }
}

impl<'m> Match<'m> {
    fn groups(&self) -> Vec<Group> {
        let mut ids: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut place = |labels: &Labels| {
            *ids.entry(self.signature.of(labels)).or_insert_with(|| {
                groups.push(Group::default());
                groups.len() - 1
            })
        };
        let many: Vec<usize> = self
            .many
            .iter()
            .map(|row| place(&row.head.labels))
            .collect();
        let one: Vec<usize> = self.one.iter().map(|row| place(&row.head.labels)).collect();
        for (row, group) in many.into_iter().enumerate() {
            groups[group].many.push(row);
        }
        for (row, group) in one.into_iter().enumerate() {
            groups[group].one.push(row);
        }
        groups
    }

    /// The values that stand for a missing side: of the "one" side, of the "many" side. With `group_right` they do not
    /// change sides, in Prometheus neither.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        let matching = &self.binary.matching;
        (matching.fill_right, matching.fill_left)
    }

    fn group(&mut self, group: &Group) -> Evaluated {
        let (one_fill, many_fill) = self.fills();
        let lonely = group.one.is_empty() && one_fill.is_none()
            || group.many.is_empty() && many_fill.is_none() && group.one.len() < 2;
        if lonely {
            return Ok(());
        }
        let (many, one) = (self.many, self.one);
        let mut many: Vec<(usize, Interleaved<'m>)> = group
            .many
            .iter()
            .map(|row| (*row, many[*row].points.iter()))
            .collect();
        let mut one: Vec<(usize, Interleaved<'m>)> = group
            .one
            .iter()
            .map(|row| (*row, one[*row].points.iter()))
            .collect();
        let mut step_of_group = StepOfGroup::default();
        for step in self.evaluation.steps.all() {
            let right = self.only_one(&mut one, step)?;
            self.step(&mut many, right, step, &mut step_of_group)?;
        }
        self.pieces.append(&mut step_of_group.pieces);
        Ok(())
    }

    /// The one series of the "one" side at a step.
    fn only_one<'s>(
        &self,
        one: &mut [(usize, Interleaved<'s>)],
        step: u32,
    ) -> Evaluated<Option<(usize, Seen<'s>)>> {
        let mut found: Option<(usize, Seen<'s>)> = None;
        for (row, points) in one {
            if let Some(seen) = points.take_at(step) {
                if let Some((before, _)) = found {
                    if self.is_idle(step) {
                        return Ok(None);
                    }
                    return Err(self.not_unique(before, *row));
                }
                found = Some((*row, seen));
            }
        }
        Ok(found)
    }

    /// Whether there is nothing to match at all at a step.
    fn is_idle(&self, step: u32) -> bool {
        let filled = self.fills() != (None, None);
        !filled && !self.many.iter().any(|row| row.points.at(step).is_some())
    }

    fn not_unique(&self, a: usize, b: usize) -> QueryError {
        let symbols = &self.evaluation.query.symbols;
        let text = |row: usize| series_text(&self.one[row].head.labels, symbols);
        let (mut a, mut b, group) = (text(a), text(b), self.one[b].head.labels.clone());
        if a > b {
            std::mem::swap(&mut a, &mut b);
        }
        let group = series_text(&self.signature.of(&group), symbols);
        let side = if self.swapped { "left" } else { "right" };
        QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the \
             operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be \
             unique on one side"
        ))
    }

    fn step(
        &mut self,
        many: &mut [(usize, Interleaved<'m>)],
        right: Option<(usize, Seen<'m>)>,
        step: u32,
        group: &mut StepOfGroup,
    ) -> Evaluated {
        let (one_fill, many_fill) = self.fills();
        let one_to_one = self.binary.matching.cardinality == Cardinality::OneToOne;
        let fill = one_fill.map(|v| (FILLED, Seen::Float(v)));
        group.seen.clear();
        let mut matches = 0;
        for (row, points) in many {
            let Some(left) = points.take_at(step) else {
                continue;
            };
            let Some(right) = right.or(fill) else {
                continue;
            };
            if self.pair((*row, left), right, step, group)? {
                matches += 1;
            }
            if one_to_one && matches > 1 {
                return Err(QueryError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                        .to_owned(),
                ));
            }
        }
        if let (0, Some(v), Some(right)) = (matches, many_fill, right) {
            self.pair((FILLED, Seen::Float(v)), right, step, group)?;
        }
        Ok(())
    }

    /// Computes one result; whether there was one at all, if only one that does not hold.
    fn pair(
        &mut self,
        (many, left): (usize, Seen<'m>),
        (one, right): (usize, Seen<'m>),
        step: u32,
        group: &mut StepOfGroup,
    ) -> Evaluated<bool> {
        let (l, r) = if self.swapped {
            (right, left)
        } else {
            (left, right)
        };
        let element = self.evaluation.element(self.binary, self.span, l, r)?;
        let Some((value, holds)) = element else {
            return Ok(false);
        };
        let place = match group.place(many, one) {
            Some(place) => place,
            None => {
                let labels = self.result(many, one);
                let head = Head {
                    labels,
                    drop_name: self.binary.return_bool,
                };
                // Unmatched series of the "one" side come behind all others.
                let order = if many == FILLED {
                    self.many.len() + one
                } else {
                    many
                };
                group.pieces.push((order, head, Points::default()));
                group.places.insert((many, one), group.pieces.len() - 1);
                group.last = Some(((many, one), group.pieces.len() - 1));
                group.pieces.len() - 1
            }
        };
        let one_to_one = self.binary.matching.cardinality == Cardinality::OneToOne;
        if !one_to_one && !group.seen.insert(group.pieces[place].1.labels.clone()) {
            return Err(QueryError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches"
                    .to_owned(),
            ));
        }
        let points = &mut group.pieces[place].2;
        if self.binary.return_bool {
            let v = f64::from(u8::from(holds));
            points.floats.push(Point { step, v });
        } else if holds {
            points.push(step, value);
        }
        self.produced += 1;
        if self.produced.is_multiple_of(CHECKED_EVERY) {
            self.evaluation.query.cancel.check()?;
            self.evaluation.query.check_limit(self.produced)?;
        }
        Ok(true)
    }

    /// The labels of a result.
    fn result(&mut self, many: usize, one: usize) -> Labels {
        if let Some(labels) = self.results.get(&(many, one)) {
            return labels.clone();
        }
        let empty = Labels::default();
        let of = |rows: &'m [Row], row: usize| rows.get(row).map(|row| &row.head.labels);
        let (many_labels, one_labels) = (of(self.many, many), of(self.one, one));
        // A filled side has the labels that it would be matched by.
        let filled = |other: Option<&Labels>| self.signature.of(other.unwrap_or(&empty));
        let mut labels = match many_labels {
            Some(labels) => labels.clone(),
            None => filled(one_labels),
        };
        let one_labels = match one_labels {
            Some(labels) => labels.clone(),
            None => filled(many_labels),
        };
        let query = self.evaluation.query;
        let delayed = query.options.delayed_name_removal;
        if self.binary.op.changes_meaning() || self.binary.return_bool && !delayed {
            query.remove_metadata(&mut labels);
        }
        let matching = &self.binary.matching;
        if matching.cardinality == Cardinality::OneToOne {
            let named = |name: u32| matching.labels.iter().any(|l| l == query.symbols.get(name));
            labels.retain(|name, _| named(name) == matching.on);
        }
        for name in &matching.include {
            let value = one_labels.get(name, &query.symbols).unwrap_or_default();
            labels.set(name, value, &query.symbols);
        }
        self.results.insert((many, one), labels.clone());
        labels
    }
}

/// What a group has computed so far.
#[derive(Default)]
struct StepOfGroup {
    places: HashMap<(usize, usize), usize>,
    /// The rows and the place of the last result: mostly the next one's too.
    last: Option<((usize, usize), usize)>,
    pieces: Vec<(usize, Head, Points)>,
    /// The results of the step.
    seen: HashSet<Labels>,
}

impl StepOfGroup {
    fn place(&mut self, many: usize, one: usize) -> Option<usize> {
        match self.last {
            Some((rows, place)) if rows == (many, one) => Some(place),
            _ => {
                let place = *self.places.get(&(many, one))?;
                self.last = Some(((many, one), place));
                Some(place)
            }
        }
    }
}

/// As Prometheus prints a label set in errors.
pub(super) fn series_text(labels: &Labels, symbols: &Symbols) -> String {
    let plain = |name: &str| {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let label = |(name, value): (&str, &str)| match plain(name) {
        true => format!("{name}={}", quote(value)),
        false => format!("{}={}", quote(name), quote(value)),
    };
    let labels: Vec<String> = labels.iter(symbols).map(label).collect();
    format!("{{{}}}", labels.join(", "))
}
