//! Series in memory, as a [`Queryable`].

use std::collections::BTreeMap;

use model::{
    Batch, Cancel, Columns, CounterReset, FloatHistogram, Kind, Labels, MAX_BATCH, Matcher,
    Queryable, Select, SelectError, Series, SeriesStream, Timestamp,
};

use super::compare::continues;
use super::series::Value;

/// Labels, sorted by name.
pub(super) type Pairs = Vec<(String, String)>;

/// Holds series.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    series: BTreeMap<Pairs, Columns>,
}

impl Memory {
    /// Forgets all series.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// Appends a sample to the series of `labels` (sorted by name). What is not newer than its last sample is left
    /// out, as a database does. `start` is its start timestamp.
    pub fn push(
        &mut self,
        labels: &[(String, String)],
        t: Timestamp,
        value: &Value,
        start: Option<Timestamp>,
    ) {
        if matches!(value, Value::Omitted) {
            return;
        }
        let columns = self.series.entry(labels.to_vec()).or_default();
        if columns.t.last().is_some_and(|last| *last >= t) {
            return;
        }
        match value {
            Value::Omitted => {}
            Value::Float(v) => columns.push_float(t, *v),
            Value::Histogram { histogram, .. } => push_histogram(columns, t, histogram),
        }
        if let Some(start) = start {
            columns.set_start(start);
        }
    }
}

/// Appends a histogram with the hint that Prometheus's chunks give it: a chunk goes on as long as nothing was reset and
/// the layout stays, and only what follows in a chunk is known to be no reset.
fn push_histogram(columns: &mut Columns, t: Timestamp, histogram: &FloatHistogram) {
    let mut histogram = histogram.clone();
    let after_histogram = matches!(columns.runs.last(), Some(run) if run.kind == Kind::Histogram);
    let before = columns.h.last().filter(|_| after_histogram);
    if histogram.counter_reset != CounterReset::Gauge {
        histogram.counter_reset = match before {
            Some(before) if continues(before, &histogram) => CounterReset::NotReset,
            _ => CounterReset::Unknown,
        };
    }
    if model::is_stale(histogram.sum) {
        histogram = FloatHistogram {
            sum: histogram.sum,
            counter_reset: histogram.counter_reset,
            ..FloatHistogram::default()
        };
    }
    columns.push_histogram(t, histogram);
}

fn matches(labels: &Pairs, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| {
        let value = labels.iter().find(|(name, _)| *name == matcher.name);
        matcher.matches(value.map_or("", |(_, value)| value))
    })
}

impl Queryable for Memory {
    fn select(&self, select: &Select, _: &Cancel) -> Result<Box<dyn SeriesStream>, SelectError> {
        let found = self
            .series
            .iter()
            .filter(|(labels, _)| matches(labels, &select.matchers));
        let mut series: Batch = found
            .map(|(labels, columns)| {
                let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                Series {
                    labels: Labels::from_pairs(pairs, &select.symbols),
                    samples: Box::new(columns.clone()),
                }
            })
            .collect();
        series.reverse();
        Ok(Box::new(Stream(series)))
    }
}

/// What is left, last first.
struct Stream(Batch);

impl SeriesStream for Stream {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let rest = self.0.len().saturating_sub(MAX_BATCH);
        let mut batch = self.0.split_off(rest);
        batch.reverse();
        Ok((!batch.is_empty()).then_some(batch))
    }
}
