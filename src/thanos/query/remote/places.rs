//! Distributed mode: what can be evaluated by the queriers below is evaluated there, and their answers are series of selectors here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use model::{
    Batch, Cancel, Columns, FloatHistogram, Labels, MAX_BATCH, Queryable, Select, SelectError,
    Series, SeriesStream, Symbols, Timestamp, stale_nan,
};
use promql::Expr;
use promql::distribute::{Distributed, PART, distribute};
use proto::prometheus::TimeSeries;
use store::services::{Gathered, Place, QueryCall, QueryWhen};
use store::{CallOptions, FanOut, Proxy};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::wire;
use crate::api::When;

/// What is divided, and how.
#[derive(Clone, Debug)]
pub(in crate::query) struct Mode {
    /// `--query.partition-label`; none: all labels that the places have.
    pub(in crate::query) partition: Vec<String>,
    pub(in crate::query) replica_labels: Vec<String>,
}

/// Series of the queriers below, and of what they gave for the parts of one query.
pub(in crate::query) struct Places {
    proxy: Arc<Proxy>,
    runtime: Handle,
    places: Vec<Place>,
    pub(in crate::query) parts: Vec<Expr>,
    when: When,
    call: QueryCall,
    options: CallOptions,
    /// For what is read here.
    all: FanOut,
}

impl Mode {
    /// Divides a query among the queriers behind `proxy`: what is left of it, and where it reads. `None` if that cannot be, or
    /// would not pay. `call` has what all parts have in common.
    pub(in crate::query) fn divide(
        &self,
        proxy: &Arc<Proxy>,
        expr: &Expr,
        when: When,
        call: QueryCall,
        all: &FanOut,
    ) -> Option<(Expr, Places)> {
        let options = all.call().clone();
        // The protocol has no sub-second times; `storeMatch[]` names stores, not places.
        let when_there = seconds(when)?;
        if !options.store_matchers.is_empty() {
            return None;
        }
        let Some(places) = proxy.places() else {
            tracing::debug!("not distributed: not all endpoints with series are queriers");
            return None;
        };
        let Distributed { expr, parts } = distribute(expr, &self.labels(&places))?;
        let places = Places {
            proxy: proxy.clone(),
            runtime: Handle::current(),
            places,
            parts,
            when,
            call: QueryCall {
                when: when_there,
                ..call
            },
            options,
            all: all.clone(),
        };
        Some((expr, places))
    }

    fn labels(&self, places: &[Place]) -> BTreeSet<String> {
        let mut labels: BTreeSet<String> = match self.partition.as_slice() {
            [] => places.iter().flat_map(Place::label_names).collect(),
            given => given.iter().cloned().collect(),
        };
        labels.retain(|label| !self.replica_labels.contains(label));
        labels
    }
}

fn seconds(when: When) -> Option<QueryWhen> {
    let whole = |ms: i64| (ms % 1000 == 0).then_some(ms / 1000);
    Some(match when {
        When::Instant(time) => QueryWhen::Instant(whole(time)?),
        When::Range { start, end, step } => QueryWhen::Range {
            start: whole(start)?,
            end: end.div_euclid(1000),
            step: whole(step)?,
        },
    })
}

impl Queryable for Places {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        match select.matchers.as_slice() {
            [part] if part.name == PART => self.part(&part.value, &select.symbols, cancel),
            _ => self.all.select(select, cancel),
        }
    }

    fn start_matters(&self) -> bool {
        self.all.start_matters()
    }
}

impl Places {
    /// Asks all places that may have something for a part, at the same time.
    fn part(
        &self,
        number: &str,
        symbols: &Arc<Symbols>,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        let part = number.parse().ok().and_then(|n: usize| self.parts.get(n));
        let Some(part) = part else {
            return Err(SelectError::Rejected(format!("{PART} is a name of ours")));
        };
        let answers = self.ask(part, cancel)?;
        let (mut warnings, mut found) = (Vec::new(), Union::default());
        for answer in answers {
            match answer {
                Ok(gathered) => {
                    warnings.extend(gathered.warnings);
                    for one in gathered.items.into_iter().flatten() {
                        found.add(one);
                    }
                }
                Err(text) if self.call.partial_response => warnings.push(text),
                Err(text) => return Err(SelectError::Source(text)),
            }
        }
        Ok(Box::new(Stream {
            series: found.series(self.when, symbols)?.into_iter(),
            warnings,
        }))
    }

    fn ask(&self, part: &Expr, cancel: &Cancel) -> Result<Vec<Answer>, SelectError> {
        let selectors = part.selectors();
        let may_have = |place: &&Place| selectors.iter().any(|matchers| place.may_have(matchers));
        let places: Vec<Place> = self.places.iter().filter(may_have).cloned().collect();
        let call = QueryCall {
            query: part.to_string(),
            ..self.call.clone()
        };
        let (proxy, options) = (self.proxy.clone(), self.options.clone());
        let (out, mut answers) = mpsc::channel(1);
        let cancelled = cancel.clone();
        let _task = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let calls = places
                .iter()
                .map(|place| proxy.query_at(place, call.clone(), &options));
            tokio::select! {
                all = join_all(calls) => { let _ = out.send(all).await; }
                _ = store::raised(&cancelled) => {}
            }
        }));
        match answers.blocking_recv() {
            Some(answers) => Ok(answers),
            None => {
                cancel.check()?;
                Err(SelectError::Source(
                    "the queriers were not asked".to_owned(),
                ))
            }
        }
    }
}

type Answer = Result<Gathered<Vec<TimeSeries>>, String>;
type Points = BTreeMap<Timestamp, Value>;

enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// The series of several places, each once: where two have a value at one time, they see the same data.
#[derive(Default)]
struct Union(BTreeMap<Vec<(String, String)>, Points>);

impl Union {
    fn add(&mut self, one: TimeSeries) {
        let labels = one.labels.into_iter();
        let mut labels: Vec<_> = labels.map(|label| (label.name, label.value)).collect();
        labels.sort();
        let points = self.0.entry(labels).or_default();
        for sample in one.samples {
            let value = points.entry(sample.timestamp);
            value.or_insert(Value::Float(sample.value));
        }
        for histogram in &one.histograms {
            let value = points.entry(histogram.timestamp);
            value.or_insert_with(|| Value::Histogram(Arc::new(wire::histogram_of(histogram))));
        }
    }

    /// In label order, with a stale marker at each step without a value, so that nothing is looked back for.
    fn series(self, when: When, symbols: &Arc<Symbols>) -> Result<Vec<Series>, SelectError> {
        let mut all: Vec<Series> = Vec::with_capacity(self.0.len());
        for (labels, points) in self.0 {
            let pairs = labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            all.push(Series {
                labels: Labels::from_pairs(pairs, symbols),
                samples: Box::new(columns(&points, when)?),
            });
        }
        all.sort_by(|a, b| a.labels.compare(&b.labels, symbols));
        Ok(all)
    }
}

fn columns(points: &Points, when: When) -> Result<Columns, SelectError> {
    let (start, end, step) = match when {
        When::Instant(time) => (time, time, 1),
        When::Range { start, end, step } => (start, end, step),
    };
    let mut columns = Columns::default();
    let (mut at, mut taken) = (start, 0);
    while at <= end {
        match points.get(&at) {
            Some(Value::Float(v)) => columns.push_float(at, *v),
            Some(Value::Histogram(h)) => columns.push_histogram(at, h.clone()),
            None => columns.push_float(at, stale_nan()),
        }
        taken += usize::from(points.contains_key(&at));
        at = at.saturating_add(step.max(1));
    }
    if taken < points.len() {
        let text = "a querier answered for other times than it was asked for";
        return Err(SelectError::Source(text.to_owned()));
    }
    Ok(columns)
}

struct Stream {
    series: std::vec::IntoIter<Series>,
    warnings: Vec<String>,
}

impl SeriesStream for Stream {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let batch: Batch = self.series.by_ref().take(MAX_BATCH).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}
