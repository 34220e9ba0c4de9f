//! Queries that ask for more than there can be: a clear error within limits, soon, and no panic.

use std::sync::Arc;

use model::{
    Batch, Cancel, Columns, Labels, MAX_BATCH, Queryable, Select, SelectError, Series,
    SeriesStream, Symbols,
};

use super::memory::Memory;
use crate::engine::{AnswerValue, Engine, Options, QueryError};
use crate::{Answer, parse};

const YEAR: i64 = 365 * 24 * 3_600_000;

fn range(
    source: &dyn Queryable,
    query: &str,
    (start, end, step): (i64, i64, i64),
    max_samples: usize,
) -> Result<Answer, QueryError> {
    let engine = Engine::new(Options {
        max_samples,
        ..Options::default()
    });
    let expr = parse(query).expect("a query");
    engine.range(source, &expr, start, end, step, &Cancel::new())
}

fn points(answer: &Answer) -> usize {
    match &answer.value {
        AnswerValue::Matrix(series) => series.iter().map(|s| s.points.len()).sum(),
        _ => 0,
    }
}

/// Ten million series of one sample.
struct TenMillion;

struct Numbered {
    symbols: Arc<Symbols>,
    next: u32,
}

impl Queryable for TenMillion {
    fn select(&self, select: &Select, _: &Cancel) -> Result<Box<dyn SeriesStream>, SelectError> {
        let symbols = Arc::clone(&select.symbols);
        Ok(Box::new(Numbered { symbols, next: 0 }))
    }
}

impl SeriesStream for Numbered {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        let end = (self.next + MAX_BATCH as u32).min(10_000_000);
        let series = |number: u32| {
            let mut samples = Columns::default();
            samples.push_float(0, 1.0);
            Series {
                // Names of labels need not be names of this table to be different.
                labels: Labels::from_sorted_ids([(self.symbols.intern("n"), number)]),
                samples: Box::new(samples),
            }
        };
        let batch: Batch = (self.next..end).map(series).collect();
        self.next = end;
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}

fn too_many(outcome: Result<Answer, QueryError>) {
    match outcome {
        Err(QueryError::Limit(text)) => {
            assert!(text.contains("would load too many samples"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_million_steps_are_answered_as_long_as_they_fit() {
    let source = Memory::load(1000, "up 1x100");
    let million = (0, 1_000_000, 1);
    let answer = range(&source, "sum(up)", million, 5_000_000).expect("an answer");
    assert_eq!(points(&answer), 400_000);
    assert_eq!(
        points(&range(&source, "vector(1)", million, 5_000_000).expect("it")),
        1_000_001
    );
    too_many(range(&source, "sum(up)", million, 100_000));
    too_many(range(&source, "up", million, 300_000));
}

#[test]
fn a_century_is_refused_or_answered_by_its_steps() {
    let source = Memory::load(60_000, "up 1x100");
    let century = 100 * YEAR;
    too_many(range(&source, "up", (0, century, 1), 50_000_000));
    let answer = range(&source, "sum(up)", (0, century, YEAR), 50_000_000);
    assert_eq!(points(&answer.expect("an answer")), 1);
    let long = "sum(count_over_time(up[100y])) + sum(up offset -90y or up offset 90y or up)";
    assert!(range(&source, long, (0, century, YEAR), 50_000_000).is_ok());
    // A minute's steps of a century are 52 million.
    too_many(range(
        &source,
        "max_over_time(up[100y:1m])",
        (0, 0, 1),
        50_000_000,
    ));
}

#[test]
fn steps_that_lead_nowhere_are_refused() {
    let source = Memory::load(60_000, "up 1x100");
    for step in [0, -1, i64::MIN] {
        let refused = range(&source, "up", (0, 60_000, step), 1000);
        let text = refused.map(|_| ()).map_err(|error| error.to_string());
        let words = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        assert_eq!(text, Err(words.to_owned()));
    }
}

#[test]
fn ten_million_series_are_counted_or_refused_but_never_all_held() {
    for query in ["x", "topk(5, x)", "sort(x)", "x + x", "-x", "abs(x)"] {
        too_many(range(&TenMillion, query, (0, 0, 1), 100_000));
    }
    too_many(range(&TenMillion, "sum by (n) (x)", (0, 0, 1), 100_000));
    too_many(range(&TenMillion, "quantile(0.5, x)", (0, 0, 1), 100_000));
}

#[test]
fn a_regular_expression_that_would_not_fit_memory_is_refused() {
    let bombs = [
        "((((a{1,100}){1,100}){1,100}){1,100})",
        "(x+x+)+y{1000}{1000}{1000}",
        "\\\\pL{1,1000}{1,1000}",
    ];
    for bomb in bombs {
        let error = parse(&format!("up{{a=~\"{bomb}\"}}")).map(|_| ());
        let text = error.expect_err("refused").to_string();
        assert!(text.starts_with("1:"), "{text:.200}");
    }
    // What would take others an exponential time takes a linear one.
    let source = Memory::load(60_000, &format!("up{{a=\"{}\"}} 1x3", "a".repeat(5000)));
    let answer = range(
        &source,
        "up{a=\"x\"} or up{b=~\"(a*)*(b|(a+)+)+$\"}",
        (0, 60_000, 60_000),
        1000,
    );
    assert!(answer.is_ok());
    let replaced = "label_replace(up, \"b\", \"$1\", \"a\", \"(a|aa)+(b+)+\")";
    assert!(range(&source, replaced, (0, 60_000, 60_000), 1000).is_ok());
}
