//! What the engine answers, over series in memory.

mod flow;
mod functions;
mod hostile;
mod memory;
mod operators;
mod properties;

use model::{Cancel, Cancelled, Grouping};

use super::*;
use crate::parse;
use memory::Memory;

/// The answer at `t` seconds as lines: `{labels} value`; or the error.
fn at(source: &Memory, query: &str, t: i64) -> String {
    let expr = match parse(query) {
        Ok(expr) => expr,
        Err(error) => return error.to_string(),
    };
    let answer = Engine::default().instant(source, &expr, t * 1000, &Cancel::new());
    answer.map_or_else(|error| error.to_string(), |answer| text(&answer))
}

/// The answer over a range in seconds.
fn over(source: &Memory, query: &str, start: i64, end: i64, step: i64) -> String {
    let expr = match parse(query) {
        Ok(expr) => expr,
        Err(error) => return error.to_string(),
    };
    let engine = Engine::default();
    let answer = engine.range(
        source,
        &expr,
        start * 1000,
        end * 1000,
        step * 1000,
        &Cancel::new(),
    );
    answer.map_or_else(|error| error.to_string(), |answer| text(&answer))
}

fn text(answer: &Answer) -> String {
    let number = crate::format_float;
    let points = |points: &[(i64, f64)]| -> String {
        points
            .iter()
            .map(|(t, v)| format!(" {}@{}", number(*v), *t as f64 / 1000.0))
            .collect()
    };
    match &answer.value {
        AnswerValue::Scalar(_, v) => number(*v),
        AnswerValue::String(_, text) => text.clone(),
        AnswerValue::Vector(samples) => {
            let lines = samples.iter();
            let lines =
                lines.map(|s| format!("{} {}", s.labels.display(&answer.symbols), number(s.v)));
            lines.collect::<Vec<_>>().join("\n")
        }
        AnswerValue::Matrix(series) => {
            let lines = series.iter();
            let lines = lines
                .map(|s| format!("{}{}", s.labels.display(&answer.symbols), points(&s.points)));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn requests() -> Memory {
    Memory::load(
        60_000,
        r#"
        requests_total{job="api", instance="0"} 0+10x10
        requests_total{job="api", instance="1"} 0+20x10
        requests_total{job="db", instance="0"} 0+30x4 0+30x5
        temp{job="api"} 5 NaN 3 _ _ 7 stale _ _ 8
        up{job="api"} 1x10
        up{job="db"} 0x10
        "#,
    )
}

#[test]
fn a_sample_is_current_for_the_lookback_and_not_at_its_end() {
    let source = Memory::load(60_000, "a 1\nb 1 stale");
    assert_eq!(at(&source, "a", 0), r#"{__name__="a"} 1"#);
    assert_eq!(at(&source, "a", 299), r#"{__name__="a"} 1"#);
    assert_eq!(at(&source, "a", 300), "");
    assert_eq!(at(&source, "a", -1), "");
    assert_eq!(at(&source, "b", 59), r#"{__name__="b"} 1"#);
    assert_eq!(at(&source, "b", 60), "");
}

#[test]
fn a_range_is_open_at_its_start_and_sees_no_stale_marker() {
    let source = requests();
    assert_eq!(
        at(&source, r#"temp[4m]"#, 540),
        r#"{__name__="temp", job="api"} 8@540"#
    );
    assert_eq!(
        at(&source, r#"temp[4m1ms]"#, 540),
        r#"{__name__="temp", job="api"} 7@300 8@540"#
    );
    assert_eq!(at(&source, "temp[2m]", 480), "");
}

#[test]
fn steps_follow_a_series_through_gaps() {
    assert_eq!(
        over(&requests(), "temp", 0, 600, 60),
        "{__name__=\"temp\", job=\"api\"} 5@0 NaN@60 3@120 3@180 3@240 7@300 8@540 8@600"
    );
}

#[test]
fn offset_and_at_move_the_eye() {
    let source = Memory::load(60_000, "a 0+1x20");
    for (query, expected) in [
        ("a offset 2m", "8"),
        ("a offset -2m", "12"),
        ("a @ 60", "1"),
        ("a @ 60 offset -1m", "2"),
        ("a @ end()", "10"),
        ("a @ start() offset 1m", "9"),
        ("increase(a[2m] @ 300)", "2"),
    ] {
        let answer = at(&source, query, 600);
        assert_eq!(
            answer.rsplit(' ').next(),
            Some(expected),
            "{query}: {answer}"
        );
    }
    assert_eq!(
        over(&source, "sum(a @ end())", 0, 120, 60),
        "{} 2@0 2@60 2@120"
    );
    assert_eq!(
        over(&source, "a @ start()", 60, 120, 60),
        "{__name__=\"a\"} 1@60 1@120"
    );
    assert_eq!(
        over(&source, "increase(a[2m] @ 300)", 0, 60, 60),
        "{} 2@0 2@60"
    );
}

#[test]
fn rates_extrapolate_as_prometheus_does() {
    // Worked by hand from the definition; the window is (t - 5m, t].
    let source = Memory::load(
        60_000,
        "c_total 0+10x10\nr_total 0 10 20 5 15 25\ng 5-1x10\nlate_total _ _ _ 100 110 120",
    );
    for (query, t, expected) in [
        // Five samples of 60 s, the first 60 s after the border: to both borders exactly.
        ("increase(c_total[5m])", 600, "50"),
        ("rate(c_total[5m])", 600, "0.16666666666666666"),
        // The reset from 20 to 5 adds 20; zero is not reached: 5 samples, 240 s + 60 s.
        ("increase(r_total[5m])", 300, "43.75"),
        ("delta(g[5m])", 600, "-5"),
        // Samples at 180, 240, 300; the border at 0 is too far: half an interval is added.
        ("increase(late_total[5m])", 300, "25"),
        // The counter starts at zero: nothing before it.
        ("increase(c_total[10m])", 120, "20"),
        ("rate(c_total[1m])", 600, ""),
    ] {
        let answer = at(&source, query, t);
        assert_eq!(
            answer.rsplit(' ').next(),
            Some(expected),
            "{query}: {answer}"
        );
    }
}

#[test]
fn aggregations_group_by_and_without() {
    let source = requests();
    for (query, expected) in [
        ("sum(requests_total)", "{} 450"),
        (
            "sum by (job) (requests_total)",
            "{job=\"api\"} 300\n{job=\"db\"} 150",
        ),
        (
            "sum without (instance) (requests_total)",
            "{job=\"api\"} 300\n{job=\"db\"} 150",
        ),
        ("sum by (nothing) (requests_total)", "{} 450"),
        ("sum by (__name__) (up)", "{__name__=\"up\"} 1"),
        (
            "count(requests_total) by (job)",
            "{job=\"api\"} 2\n{job=\"db\"} 1",
        ),
        ("avg(requests_total)", "{} 150"),
        ("min(requests_total)", "{} 100"),
        (
            "max by (job) (requests_total)",
            "{job=\"api\"} 200\n{job=\"db\"} 150",
        ),
        ("group(requests_total)", "{} 1"),
        ("sum(nothing)", ""),
        (
            "sum by (job) (rate(requests_total[5m]))",
            "{job=\"api\"} 0.5\n{job=\"db\"} 0.5",
        ),
        ("max(sum by (job) (requests_total))", "{} 300"),
        ("count(requests_total > 100)", "{} 2"),
    ] {
        assert_eq!(at(&source, query, 600), expected, "{query}");
    }
}

#[test]
fn nan_gives_way_in_min_and_max_and_spoils_sums() {
    let source = Memory::load(60_000, "a{x=\"1\"} NaN\na{x=\"2\"} 2\na{x=\"3\"} 1");
    for (query, expected) in [("min(a)", "{} 1"), ("max(a)", "{} 2"), ("sum(a)", "{} NaN")] {
        assert_eq!(at(&source, query, 0), expected);
    }
}

#[test]
fn sums_are_compensated_and_means_do_not_overflow() {
    let mut source = Memory::load(60_000, "");
    for (at, v) in [1e100, 1.0, -1e100].into_iter().enumerate() {
        source.push(&[("__name__", "a"), ("x", &at.to_string())], &[(0, v)]);
    }
    source.push(&[("__name__", "b"), ("x", "0")], &[(0, f64::MAX)]);
    source.push(&[("__name__", "b"), ("x", "1")], &[(0, f64::MAX)]);
    assert_eq!(at(&source, "sum(a)", 0), "{} 1");
    assert_eq!(
        at(&source, "avg(b)", 0),
        format!("{{}} {}", crate::format_float(f64::MAX))
    );
    assert_eq!(at(&source, "sum(b)", 0), "{} +Inf");
}

#[test]
fn scalars_calculate_and_vectors_keep_their_value_in_comparisons() {
    let source = requests();
    for (query, expected) in [
        ("1 + 2 * 3 ^ 2", "19"),
        ("-7 % 3", "-1"),
        ("1 / 0", "+Inf"),
        ("1 > bool 2", "0"),
        ("time()", "600"),
        ("-(time() - 1)", "-599"),
        ("\"text\"", "text"),
        ("vector(3)", "{} 3"),
        ("up * 2 + 1", "{job=\"api\"} 3\n{job=\"db\"} 1"),
        ("2 - up", "{job=\"api\"} 1\n{job=\"db\"} 2"),
        ("-up", "{job=\"api\"} -1\n{job=\"db\"} -0"),
        ("+up > 0", "{__name__=\"up\", job=\"api\"} 1"),
        ("0 < up", "{__name__=\"up\", job=\"api\"} 1"),
        ("up == bool 0", "{job=\"api\"} 0\n{job=\"db\"} 1"),
        ("sum(up) / 2", "{} 0.5"),
    ] {
        assert_eq!(at(&source, query, 600), expected, "{query}");
    }
    assert_eq!(over(&source, "1 + 1", 0, 60, 60), "{} 2@0 2@60");
    assert_eq!(
        over(&source, "up > time()", 0, 60, 30),
        "{__name__=\"up\", job=\"api\"} 1@0"
    );
}

#[test]
fn series_that_fall_together_are_an_error_unless_they_take_turns() {
    let source = Memory::load(60_000, "a 1 stale\nb _ 1\nc_total 0+1x5\nd_total 0+1x5");
    let same = "vector cannot contain metrics with the same labelset";
    assert_eq!(
        at(&source, r#"rate({__name__=~"[cd]_total"}[5m])"#, 300),
        same
    );
    assert_eq!(at(&source, r#"-{__name__=~"[cd]_total"}"#, 300), same);
    assert_eq!(
        over(&source, r#"-{__name__=~"a|b"}"#, 0, 60, 60),
        "{} -1@0 -1@60"
    );
    assert_eq!(
        at(&source, r#"sum(1 + {__name__=~"[cd]_total"})"#, 300),
        same
    );
}

#[test]
fn native_histograms_are_values_like_others() {
    let mut source = Memory::load(60_000, "a 1");
    source.push_histogram(&[("__name__", "h")]);
    let expr = parse("{__name__=~'a|h'}").expect("a query");
    let answer = Engine::default().instant(&source, &expr, 0, &Cancel::new());
    let AnswerValue::Vector(samples) = answer.expect("an answer").value else {
        panic!("no vector");
    };
    let kinds: Vec<bool> = samples.iter().map(|s| s.histogram.is_some()).collect();
    assert_eq!(kinds, [false, true]);
    assert_eq!(at(&source, "count({__name__=~'a|h'})", 0), "{} 2");
    assert_eq!(at(&source, "sum({__name__=~'a|h'})", 0), "");
}

#[test]
fn range_queries_want_vectors_or_scalars() {
    let source = requests();
    for (query, value_type) in [("up[5m]", "range vector"), ("'a'", "string")] {
        assert_eq!(
            over(&source, query, 0, 60, 60),
            format!(
                "invalid expression type \"{value_type}\" for range query, must be Scalar or instant Vector"
            )
        );
    }
    assert_eq!(over(&source, "up", 60, 0, 60), "");
    assert!(over(&source, "up", 0, 60, 0).starts_with("zero or negative query resolution step"));
}

#[test]
fn selects_say_what_is_needed() {
    let source = requests();
    let asked = |query: &str| {
        over(&source, query, 600, 1200, 60);
        source
            .asked
            .lock()
            .expect("not poisoned")
            .pop()
            .expect("a select")
    };
    let select = asked("sum by (job) (rate(requests_total[5m] offset 1m))");
    assert_eq!((select.mint, select.maxt), (240_001, 1_140_000));
    assert_eq!(
        (select.hints.function.as_str(), select.hints.range),
        ("rate", 300_000)
    );
    assert_eq!((select.hints.step, &select.hints.grouping), (60_000, &None));
    let select = asked("max without (a) (up)");
    assert_eq!((select.mint, select.maxt), (300_001, 1_200_000));
    assert_eq!(select.hints.function, "max");
    let grouping = Grouping {
        without: true,
        labels: vec!["a".to_owned()],
    };
    assert_eq!(select.hints.grouping, Some(grouping));
    let select = asked("up @ 100");
    assert_eq!((select.mint, select.maxt), (-199_999, 100_000));
    assert_eq!(asked("sum(up * 2)").hints.function, "");
    // Subqueries: from the start of the window, not from the first step in it.
    let select = asked("max_over_time(up[10m:7m])");
    assert_eq!(select.mint, -299_999);
    let select = asked("max_over_time(rate(up[1m] offset 30s)[5m:7m] offset 10s)");
    assert_eq!(
        select.mint,
        600_000 - 10_000 - 300_000 - 30_000 - 60_000 + 1
    );
    let select = asked("max_over_time(max_over_time(up[2m:11s])[5m:7m])");
    assert_eq!(select.mint, 600_000 - 300_000 - 120_000 - 300_000 + 1);
    let select = asked("max_over_time(up[10m:7m] @ 1000)");
    assert_eq!(select.mint, 1_000_000 - 600_000 - 300_000 + 1);
}

#[test]
fn limits_and_cancellation_end_a_query() {
    let source = requests();
    let expr = parse("sum by (instance, job) (requests_total)").expect("a query");
    let engine = Engine::new(Options {
        max_samples: 20,
        ..Options::default()
    });
    let error = engine.range(&source, &expr, 0, 600_000, 60_000, &Cancel::new());
    assert!(matches!(error, Err(QueryError::Limit(_))));
    let cancel = Cancel::new();
    cancel.cancel(Cancelled::TimedOut);
    let error = Engine::default()
        .instant(&source, &expr, 0, &cancel)
        .map(|_| ());
    assert_eq!(
        error.map_err(|e| e.to_string()),
        Err("query timed out in expression evaluation".to_owned())
    );
}

#[test]
fn an_answer_brings_warnings_notes_and_counts() {
    let expr = parse("sum(rate(up[5m]))").expect("a query");
    let answer = Engine::default().instant(&requests(), &expr, 600_000, &Cancel::new());
    let answer = answer.expect("an answer");
    assert_eq!(answer.warnings, ["memory forgets"]);
    assert_eq!(
        answer.infos,
        [
            "PromQL info: metric might not be a counter, name does not end in \
          _total/_sum/_count/_bucket: \"up\" (1:10)"
        ]
    );
    assert_eq!((answer.stats.series, answer.stats.samples), (2, 22));
}

#[test]
fn odd_timestamps_do_not_panic() {
    let mut source = Memory::load(60_000, "");
    source.push(
        &[("__name__", "a")],
        &[(i64::MIN, 1.0), (i64::MAX, 2.0), (5, 3.0), (5, 1.0)],
    );
    for query in [
        "a",
        "rate(a[5m])",
        "sum(a) + 1",
        "a @ 1e15",
        "a offset -100y",
    ] {
        for t in [i64::MIN, 0, i64::MAX] {
            let expr = parse(query).expect("a query");
            let _ = Engine::default().instant(&source, &expr, t, &Cancel::new());
        }
        let expr = parse(query).expect("a query");
        let _ = Engine::default().range(&source, &expr, i64::MIN, i64::MAX, 1, &Cancel::new());
        let _ = Engine::default().range(&source, &expr, 0, i64::MAX, i64::MAX, &Cancel::new());
    }
}

#[test]
fn the_deepest_query_that_parses_fits_the_stack() {
    let source = requests();
    let chain = format!("up{}", " + 1".repeat(500));
    assert!(at(&source, &chain, 0).starts_with("{job=\"api\"} 501"));
    assert_eq!(at(&source, &format!("1{}", " + 1".repeat(500)), 0), "501");
    let sums = format!("{}up{}", "sum(".repeat(120), ")".repeat(120));
    assert_eq!(at(&source, &sums, 0), "{} 1");
    let negations = format!("{}up", "-(".repeat(60)) + &")".repeat(60);
    assert_eq!(at(&source, &format!("sum({negations})"), 0), "{} 1");
}
