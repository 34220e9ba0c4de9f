//! Selectors of one query that ask for the same series, or for some of those of another: the source is asked once, for what
//! all of them need. What it gave is kept, encoded, for the others, as long as that is little.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{
    Batch, Columns, Labels, MAX_BATCH, METRIC_NAME, MatchKind, Matcher, Samples, Select,
    SelectError, Series, SeriesStream, Symbols, Timestamp,
};

use super::Evaluated;
use super::evaluate::Evaluation;
use super::query::Query;
use super::samples::{Borders, Windows};
use crate::parser::ast::{Expr, ExprKind, VectorSelector};

/// Encoded bytes that are kept at most. With more, the source is asked again.
const KEPT_BYTES: usize = 32 << 20;
/// Selectors share when the time of all is at most so many times the longest of each.
const LONGEST: f64 = 1.5;

/// Something that will be read.
struct Read<'e> {
    selector: &'e VectorSelector,
    mint: Timestamp,
    maxt: Timestamp,
    /// What the source is told about it: sources may answer differently for another function.
    function: &'e str,
    range: i64,
    projection: Option<Vec<String>>,
}

/// Selectors that are asked for at once.
#[derive(Clone, Debug)]
struct Group {
    /// Those of the widest selector.
    matchers: Vec<Matcher>,
    mint: Timestamp,
    maxt: Timestamp,
    longest: i64,
    function: String,
    range: i64,
    projection: Option<Vec<String>>,
    members: Vec<usize>,
    kept: Arc<Mutex<Kept>>,
}

/// What the source gave.
#[derive(Debug, Default)]
enum Kept {
    /// Nothing yet, or more than is kept.
    #[default]
    Nothing,
    All(Vec<Whole>),
}

#[derive(Clone)]
struct Whole {
    labels: Labels,
    samples: Arc<dyn Samples>,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.labels.fmt(f)
    }
}

impl Whole {
    fn series(&self) -> Series {
        Series {
            labels: self.labels.clone(),
            samples: Box::new(Kin(Arc::clone(&self.samples))),
        }
    }
}

/// Samples that several selectors read.
struct Kin(Arc<dyn Samples>);

impl Samples for Kin {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        self.0.read(out)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The groups of a query, and to which of them a selector belongs, by where it lies in the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Sharing {
    groups: Vec<Group>,
    of: HashMap<usize, usize>,
}

impl Sharing {
    pub(super) fn of(expr: &Expr, evaluation: &Evaluation<'_>) -> Self {
        let mut reads = Vec::new();
        find(expr, "", evaluation, &mut reads);
        let mut groups: Vec<Group> = Vec::new();
        for read in reads {
            let accepts = |group: &&mut Group| {
                let from_there = !evaluation.query.start_matters() || group.mint == read.mint;
                from_there && group.accepts(&read)
            };
            match groups.iter_mut().find(accepts) {
                Some(group) => group.add(read),
                None => groups.push(Group::new(read)),
            }
        }
        groups.retain(|group| group.members.len() > 1);
        let of = (0..).zip(&groups);
        let of = of.flat_map(|(at, group)| group.members.iter().map(move |member| (*member, at)));
        Self {
            of: of.collect(),
            groups,
        }
    }
}

impl Group {
    fn new(read: Read<'_>) -> Self {
        Self {
            matchers: read.selector.matchers.clone(),
            mint: read.mint,
            maxt: read.maxt,
            longest: read.maxt.saturating_sub(read.mint),
            function: read.function.to_owned(),
            range: read.range,
            projection: read.projection,
            members: vec![std::ptr::from_ref(read.selector).addr()],
            kept: Arc::default(),
        }
    }

    fn accepts(&self, read: &Read<'_>) -> bool {
        let (mint, maxt) = (self.mint.min(read.mint), self.maxt.max(read.maxt));
        let longest = self.longest.max(read.maxt.saturating_sub(read.mint));
        let together = maxt.saturating_sub(mint) as f64 <= longest as f64 * LONGEST;
        let others = &read.selector.matchers;
        together
            && (self.function == read.function && self.range == read.range)
            && (name(&self.matchers).is_some() && name(&self.matchers) == name(others))
            && (has_all(&self.matchers, others) || has_all(others, &self.matchers))
    }

    fn add(&mut self, read: Read<'_>) {
        let others = &read.selector.matchers;
        if has_all(&self.matchers, others) {
            self.matchers.clone_from(others);
        }
        self.longest = self.longest.max(read.maxt.saturating_sub(read.mint));
        (self.mint, self.maxt) = (self.mint.min(read.mint), self.maxt.max(read.maxt));
        self.projection = match (self.projection.take(), read.projection) {
            (Some(mut all), Some(more)) => {
                let new = more.into_iter().filter(|name| !all.contains(name));
                let new: Vec<String> = new.collect();
                all.extend(new);
                Some(all)
            }
            _ => None,
        };
        self.members.push(std::ptr::from_ref(read.selector).addr());
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The metric's name, if it is told.
fn name(matchers: &[Matcher]) -> Option<&str> {
    let named = |m: &&Matcher| m.name == METRIC_NAME && m.kind == MatchKind::Equal;
    matchers.iter().find(named).map(|m| m.value.as_str())
}

fn same(a: &Matcher, b: &Matcher) -> bool {
    (a.kind, &a.name, &a.value) == (b.kind, &b.name, &b.value)
}

/// Whether `matchers` are among `all`, which then match no other series.
fn has_all(all: &[Matcher], matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|m| all.iter().any(|other| same(m, other)))
}

/// Finds what will be read. `function` stands right around `expr`.
fn find<'e>(
    expr: &'e Expr,
    function: &'e str,
    evaluation: &Evaluation<'_>,
    reads: &mut Vec<Read<'e>>,
) {
    let mut read = |selector: &'e VectorSelector, windows: Windows, range| {
        let projection = evaluation.query.projections.get(selector).cloned();
        reads.push(Read {
            selector,
            mint: windows.first_time(),
            maxt: windows.last_time(),
            function,
            range,
            projection,
        });
    };
    let function = match &expr.kind {
        ExprKind::Paren(inner) => return find(inner, function, evaluation, reads),
        ExprKind::Selector(selector) => {
            let lookback = evaluation.query.options.lookback;
            let (range, borders) = match selector.borders() {
                Borders::Smoothed => (0, Borders::Smoothed),
                _ => (lookback, Borders::Plain),
            };
            let windows = Windows {
                steps: evaluation.steps,
                ends: evaluation.shifted(selector.shift),
                range,
                borders,
                lookback,
                lead: evaluation.lead_at(selector.shift),
            };
            return read(selector, windows, 0);
        }
        ExprKind::Range(range) => {
            if let Ok(ranged) = evaluation.ranged(expr, evaluation.hints()) {
                read(&range.selector, *ranged.windows(), range.range);
            }
            return;
        }
        ExprKind::Subquery(subquery) => {
            // What is wrong with its steps is told when it is evaluated.
            if let Ok(inside) = evaluation.within(expr) {
                find(&subquery.expr, function, &inside, reads);
            }
            return;
        }
        // It reads in its own way.
        ExprKind::Call(call) if call.function.name == "info" => return,
        ExprKind::Call(call) => call.function.name,
        ExprKind::Aggregate(aggregate) => aggregate.op.as_str(),
        ExprKind::Unary { .. } => function,
        _ => "",
    };
    for child in expr.kind.children() {
        find(child, function, evaluation, reads);
    }
}

impl Query<'_> {
    /// The series of a selector: from the source, or those that it gave to another one.
    pub(super) fn open_shared(
        &self,
        select: &Select,
        selector: &VectorSelector,
    ) -> Evaluated<Box<dyn SeriesStream>> {
        let sharing = &self.sharing;
        let place = sharing.of.get(&std::ptr::from_ref(selector).addr());
        let group = place.map(|place| &sharing.groups[*place]);
        let as_planned = |group: &&Group| {
            (group.function == select.hints.function && group.range == select.hints.range)
                && (group.mint <= select.mint && select.maxt <= group.maxt)
        };
        let Some(group) = group.filter(as_planned) else {
            return self.open(select);
        };
        let only: Vec<Matcher> = select
            .matchers
            .iter()
            .filter(|matcher| !group.matchers.iter().any(|other| same(matcher, other)))
            .cloned()
            .collect();
        let symbols = Arc::clone(&self.symbols);
        if let Kept::All(all) = &*group.kept() {
            let rest = all.clone().into_iter();
            return Ok(Box::new(Again {
                rest,
                only,
                symbols,
            }));
        }
        let mut wide = select.clone();
        wide.matchers.clone_from(&group.matchers);
        (wide.mint, wide.maxt) = (group.mint, group.maxt);
        wide.hints.projection.clone_from(&group.projection);
        if let (Some(names), false) = (&mut wide.hints.projection, only.is_empty()) {
            names.extend(only.iter().map(|matcher| matcher.name.clone()));
        }
        Ok(Box::new(Keeping {
            stream: self.open(&wide)?,
            so_far: Some((Vec::new(), 0)),
            kept: Arc::clone(&group.kept),
            only,
            symbols,
        }))
    }
}

fn passes(labels: &Labels, only: &[Matcher], symbols: &Symbols) -> bool {
    only.iter().all(|matcher| {
        let value = labels.get(&matcher.name, symbols);
        matcher.matches(value.unwrap_or_default())
    })
}

/// Passes series on to the first who asks, and keeps them for the others.
struct Keeping {
    stream: Box<dyn SeriesStream>,
    /// And how many bytes they are; none once they are too many.
    so_far: Option<(Vec<Whole>, usize)>,
    kept: Arc<Mutex<Kept>>,
    /// What the first one asks of them beyond what the source was asked.
    only: Vec<Matcher>,
    symbols: Arc<Symbols>,
}

impl Keeping {
    fn keep(&mut self, batch: Batch) -> Batch {
        let Some((all, bytes)) = &mut self.so_far else {
            return batch;
        };
        *bytes += batch.iter().map(|s| s.samples.bytes()).sum::<usize>();
        if *bytes > KEPT_BYTES {
            self.so_far = None;
            return batch;
        }
        let whole = batch.into_iter().map(|Series { labels, samples }| Whole {
            labels,
            samples: Arc::from(samples),
        });
        let before = all.len();
        all.extend(whole);
        all[before..].iter().map(Whole::series).collect()
    }
}

impl SeriesStream for Keeping {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        while let Some(batch) = self.stream.next()? {
            let mut batch = self.keep(batch);
            batch.retain(|series| passes(&series.labels, &self.only, &self.symbols));
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        if let Some((all, _)) = self.so_far.take() {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::All(all);
        }
        Ok(None)
    }

    fn warnings(&mut self) -> Vec<String> {
        self.stream.warnings()
    }
}

/// Passes on what was kept.
struct Again {
    rest: std::vec::IntoIter<Whole>,
    only: Vec<Matcher>,
    symbols: Arc<Symbols>,
}

impl SeriesStream for Again {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let passing = self
            .rest
            .by_ref()
            .filter(|whole| passes(&whole.labels, &self.only, &self.symbols));
        let batch: Batch = passing
            .take(MAX_BATCH)
            .map(|whole| whole.series())
            .collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
