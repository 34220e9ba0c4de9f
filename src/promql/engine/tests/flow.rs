//! How series flow: on one thread or many, from the source or from what another selector was given.

use model::{Cancel, METRIC_NAME};

use super::memory::Memory;
use crate::engine::{Engine, Options};
use crate::{Features, parse_with};

/// Some hundred series whose sums depend on the order of the terms.
fn many() -> Memory {
    let mut memory = Memory::load(60_000, "");
    for series in 0..700 {
        let (instance, job) = (format!("{series:03}"), (series % 7).to_string());
        let labels = [
            (METRIC_NAME, "many"),
            ("instance", instance.as_str()),
            ("job", job.as_str()),
        ];
        let scale = 10f64.powi(series % 30 - 15);
        let sample = |at: i64| (at * 60_000, (at % 17) as f64 * scale / 3.0);
        let samples: Vec<_> = (0..40).map(sample).collect();
        memory.push(&labels, &samples);
    }
    memory
}

fn asked(source: &Memory, query: &str, threads: usize) -> String {
    let engine = Engine::new(Options {
        threads,
        ..Options::default()
    });
    let expr = parse_with(query, Features::all()).expect("a query");
    let answer = engine.range(source, &expr, 0, 2_000_000, 60_000, &Cancel::new());
    match answer {
        Ok(answer) => {
            let notes = (&answer.warnings, &answer.infos, answer.stats.series);
            format!("{:?} {notes:?} {:?}", answer.value, answer.stats.samples)
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_bits_of_an_answer_are_the_same_on_any_number_of_threads() {
    let source = many();
    for query in [
        "sum(many)",
        "avg by (job) (rate(many[5m]))",
        "stddev(delta(many[3m])) + quantile(0.3, many)",
        "topk(3, sum by (instance) (rate(many[5m])))",
        "many > 1e10",
        "sum(many / on (instance) group_left many @ 600)",
        "max_over_time(sum(rate(many[2m]))[10m:1m])",
        "quantile_over_time(2, many[5m])",
    ] {
        // What is written of an answer names symbols by number, which the order of threads does not change.
        let one = asked(&source, query, 1);
        for threads in [2, 3, 8] {
            assert_eq!(asked(&source, query, threads), one, "{query} on {threads}");
        }
    }
}

#[test]
fn a_mistake_in_a_series_ends_the_query_on_any_number_of_threads() {
    let mut source = many();
    let labels = [(METRIC_NAME, "more"), ("instance", "500"), ("job", "3")];
    source.push(&labels, &[(0, 1.0), (60_000, 2.0)]);
    for threads in [1, 2, 8] {
        let error = asked(&source, "rate({__name__=~'many|more'}[5m])", threads);
        assert_eq!(
            error,
            "vector cannot contain metrics with the same labelset"
        );
        let error = asked(
            &source,
            "double_exponential_smoothing(many[5m], 2, 0.5)",
            threads,
        );
        assert!(error.contains("invalid smoothing factor"), "{error}");
    }
}

/// How often the source is asked.
fn asks(source: &Memory, query: &str) -> usize {
    source.asked.lock().expect("not poisoned").clear();
    asked(source, query, 1);
    source.asked.lock().expect("not poisoned").len()
}

#[test]
fn selectors_of_the_same_series_are_asked_for_once() {
    let source = many();
    for (query, times) in [
        ("many + many", 1),
        ("sum(rate(many[5m])) / sum by (job) (rate(many[5m]))", 1),
        ("sum(many{job='1'}) / sum(many)", 1),
        ("sum(many) / sum(many{job='1'})", 1),
        ("many{job='1'} or many{job=~'1|2'}", 2),
        ("many or more", 2),
        ("sum(rate(many[5m])) / sum(rate(many[10m]))", 2),
        ("sum(rate(many[5m])) / sum(increase(many[5m]))", 2),
        ("sum(many) - sum(many offset 1m)", 1),
        ("sum(many) - sum(many offset 1d)", 2),
        ("sum(many) + max_over_time(sum(many)[5m:1m])", 1),
    ] {
        assert_eq!(asks(&source, query), times, "{query}");
    }
}

#[test]
fn what_is_shared_answers_as_if_it_were_asked_for_alone() {
    let source = many();
    let alone = |query: &str| super::over(&source, query, 0, 2000, 60);
    // Without a name that is told, nothing is shared.
    for (shared, apart) in [
        (
            "sum(many{job='1'}) / sum(many)",
            "sum(many{job='1'}) / sum({__name__=~'many'})",
        ),
        (
            "sum by (job) (many) - sum by (job) (many{instance=~'.*5'})",
            "sum by (job) (many) - sum by (job) ({__name__=~'many', instance=~'.*5'})",
        ),
        (
            "sum(many) - sum(many offset 1m)",
            "sum(many) - sum({__name__=~'many'} offset 1m)",
        ),
    ] {
        assert_eq!(alone(shared), alone(apart), "{shared}");
    }
}
