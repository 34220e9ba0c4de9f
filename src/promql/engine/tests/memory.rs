//! Series in memory, written as in Prometheus's test language: `name{a="b"} 0+10x5 _ stale 3`.

use std::sync::Mutex;

use model::{
    Batch, Cancel, Columns, Labels, MAX_BATCH, MatchKind, Matcher, Queryable, Select, SelectError,
    Series, SeriesStream, stale_nan,
};

type Pairs = Vec<(String, String)>;

/// Has the series it was given, and remembers what it was asked for.
pub(super) struct Memory {
    series: Vec<(Pairs, Columns)>,
    pub(super) asked: Mutex<Vec<Select>>,
}

impl Memory {
    /// One series a line; a sample every `interval` milliseconds from 0.
    pub(super) fn load(interval: i64, text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut series: Vec<_> = lines.map(|line| series(interval, line)).collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            series,
            asked: Mutex::default(),
        }
    }

    pub(super) fn push(&mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let mut columns = Columns::default();
        samples.iter().for_each(|(t, v)| columns.push_float(*t, *v));
        let pairs = labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        self.series.push((pairs, columns));
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

fn series(interval: i64, line: &str) -> (Pairs, Columns) {
    let cut = line
        .find("} ")
        .map_or_else(|| line.find(' ').unwrap_or(line.len()), |at| at + 1);
    let (metric, values) = line.split_at(cut);
    let matchers = crate::parse_selector(metric).expect("a metric");
    assert!(
        matchers
            .iter()
            .all(|matcher| matcher.kind == MatchKind::Equal)
    );
    let mut pairs: Pairs = matchers.into_iter().map(|m| (m.name, m.value)).collect();
    pairs.sort();
    let mut columns = Columns::default();
    for (at, v) in values.split_whitespace().flat_map(expand).enumerate() {
        if let Some(v) = v {
            columns.push_float(at as i64 * interval, v);
        }
    }
    (pairs, columns)
}

/// `a+bxn`, `a-bxn`, `axn`, `_`, `_xn`, `stale` or a number.
fn expand(item: &str) -> Vec<Option<f64>> {
    let number = |text: &str| -> f64 { text.parse().expect("a number") };
    if item == "stale" {
        return vec![Some(stale_nan())];
    }
    let (start, times) = match item.split_once('x') {
        Some((start, times)) => (start, times.parse().expect("a count")),
        None => (item, 0usize),
    };
    if start == "_" {
        return vec![None; times.max(1)];
    }
    let sign = start
        .get(1..)
        .and_then(|rest| rest.find(['+', '-']))
        .map(|at| at + 1);
    let (first, step) = sign.map_or((start, 0.0), |at| (&start[..at], number(&start[at..])));
    let first = number(first);
    (0..=times)
        .map(|at| Some(first + step * at as f64))
        .collect()
}

fn matches(pairs: &Pairs, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| {
        let value = pairs.iter().find(|(name, _)| *name == matcher.name);
        matcher.matches(value.map_or("", |(_, value)| value))
    })
}

impl Queryable for Memory {
    fn select(&self, select: &Select, _: &Cancel) -> Result<Box<dyn SeriesStream>, SelectError> {
        self.asked
            .lock()
            .expect("not poisoned")
            .push(select.clone());
        let found = self
            .series
            .iter()
            .filter(|(pairs, _)| matches(pairs, &select.matchers));
        let mut series: Vec<_> = found
            .map(|(pairs, columns)| {
                let pairs = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let labels = Labels::from_pairs(pairs, &select.symbols);
                Series {
                    labels,
                    samples: Box::new(columns.clone()),
                }
            })
            .collect();
        series.reverse();
        Ok(Box::new(Stream(series)))
    }
}

struct Stream(Batch);

impl SeriesStream for Stream {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let mut batch = Batch::new();
        while batch.len() < MAX_BATCH.min(3) {
            let Some(series) = self.0.pop() else { break };
            batch.push(series);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn warnings(&mut self) -> Vec<String> {
        vec!["memory forgets".to_owned()]
    }
}

impl Memory {
    pub(super) fn push_histogram(&mut self, labels: &[(&str, &str)]) {
        self.push(labels, &[]);
        let pairs: Pairs = labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        for (_, columns) in self.series.iter_mut().filter(|(there, _)| *there == pairs) {
            columns.push_histogram(0, model::FloatHistogram::default());
        }
    }
}
