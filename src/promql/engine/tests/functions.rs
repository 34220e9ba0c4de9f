//! Functions of vectors and ranges. Values by arithmetic.

use super::memory::Memory;
use super::{at, over, text};
use crate::{Engine, Features, Options, parse_with};
use model::Cancel;

fn source() -> Memory {
    Memory::load(
        60_000,
        r#"
        g{l="a-1", m="x"} 4 2 8 2 _ -4
        c_total 0 10 20 5 15 25
        n NaN NaN 1
        "#,
    )
}

/// The only value of `query` at five minutes.
fn value(query: &str) -> String {
    let expr = parse_with(query, Features::all()).expect(query);
    let answer = Engine::default().instant(&source(), &expr, 300_000, &Cancel::new());
    let answer = answer.map_or_else(|error| error.to_string(), |answer| text(&answer));
    answer.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn ranges_have_values() {
    for (query, expected) in [
        ("sum_over_time(g[5m])", "8"),
        ("avg_over_time(g[5m])", "2"),
        ("count_over_time(g[5m])", "4"),
        ("min_over_time(g[5m])", "-4"),
        ("max_over_time(g[5m])", "8"),
        ("ts_of_max_over_time(g[5m])", "120"),
        ("ts_of_min_over_time(g[5m])", "300"),
        ("first_over_time(g[5m])", "2"),
        ("last_over_time(g[5m])", "-4"),
        ("ts_of_last_over_time(g[5m])", "300"),
        ("present_over_time(g[5m])", "1"),
        ("stdvar_over_time(g[5m])", "18"),
        ("quantile_over_time(0.5, g[5m])", "2"),
        ("mad_over_time(g[5m])", "3"),
        ("changes(g[5m])", "3"),
        ("resets(c_total[6m])", "1"),
        ("idelta(g[5m])", "-6"),
        ("irate(c_total[5m])", "0.16666666666666666"),
        ("deriv(c_total[3m])", "0.16666666666666666"),
        ("predict_linear(c_total[3m], 60)", "35"),
        ("double_exponential_smoothing(c_total[3m], 0.5, 0.5)", "25"),
        ("changes(n[3m] offset 3m)", "1"),
        ("increase(c_total[4m] anchored)", "35"),
        ("delta(g[150s] smoothed)", "-9"),
        ("resets(c_total[5m] anchored)", "1"),
    ] {
        assert_eq!(value(query), expected, "{query}");
    }
}

#[test]
fn vectors_have_values() {
    for (query, expected) in [
        ("abs(g)", "4"),
        ("clamp(g, -1, 3)", "-1"),
        ("clamp_min(g, 0)", "0"),
        ("clamp_max(g, -5)", "-5"),
        ("round(g / 3)", "-1"),
        ("round(g, 3)", "-3"),
        ("sgn(g)", "-1"),
        ("deg(vector(pi()))", "180"),
        ("timestamp(g)", "300"),
        ("timestamp(g offset 1m)", "180"),
        ("timestamp(g + 0)", "300"),
        ("minute()", "5"),
        ("day_of_week(vector(86400))", "5"),
        ("max_of(1, 2) + min_of(3, 4)", "5"),
        ("absent(nothing{a='b', c=~'d'})", "1"),
        ("absent_over_time(nothing[5m])", "1"),
        ("absent(g)", ""),
        ("end() - start()", "0"),
    ] {
        assert_eq!(value(query), expected, "{query}");
    }
}

#[test]
fn labels_are_made_from_labels() {
    let source = source();
    for (query, expected) in [
        (
            r#"label_replace(g, "n", "$2", "l", "(.*)-(.*)")"#,
            r#"{__name__="g", l="a-1", m="x", n="1"} -4"#,
        ),
        (
            r#"label_join(g, "j", "/", "m", "l", "none")"#,
            r#"{__name__="g", j="x/a-1/", l="a-1", m="x"} -4"#,
        ),
        (
            r#"label_replace(g, "", "", "l", "")"#,
            "invalid destination label name in label_replace(): ",
        ),
        (
            r#"label_replace({__name__=~"g|c_total"}, "__name__", "x", "", "")"#,
            "{__name__=\"x\"} 25\n{__name__=\"x\", l=\"a-1\", m=\"x\"} -4",
        ),
        ("absent(x{a='b', a='c', d='e'})", r#"{d="e"} 1"#),
    ] {
        assert_eq!(at(&source, query, 300), expected, "{query}");
    }
}

#[test]
fn absence_is_known_at_each_step() {
    assert_eq!(
        over(
            &Memory::load(60_000, "a _ 1 stale"),
            "absent(a)",
            0,
            180,
            60
        ),
        "{} 1@0 1@120 1@180"
    );
}

#[test]
fn order_is_kept_at_one_instant() {
    let source = Memory::load(60_000, "a{i=\"1\"} 3\na{i=\"2\"} NaN\na{i=\"10\"} 1");
    let values = |query: &str| -> Vec<String> {
        let answer = at(&source, query, 0);
        answer
            .lines()
            .filter_map(|l| l.rsplit(' ').next().map(str::to_owned))
            .collect()
    };
    assert_eq!(values("sort(a)"), ["1", "3", "NaN"]);
    assert_eq!(values("sort_desc(a)"), ["3", "1", "NaN"]);
}

#[test]
fn names_go_at_once_or_with_the_answer() {
    let source = Memory::load(60_000, "a{i=\"1\"} 1\nb{i=\"1\"} 2");
    let query = "sum by (__name__) (abs({__name__=~'a|b'}))";
    assert_eq!(
        at(&source, query, 0),
        super::super::query::same_labels().to_string()
    );
    let options = Options {
        delayed_name_removal: true,
        ..Options::default()
    };
    let expr = crate::parse("label_replace(abs({__name__=~'a|b'}), 'n', '$0', '__name__', '.*')");
    let answer = Engine::new(options).instant(&source, &expr.expect("a query"), 0, &Cancel::new());
    assert_eq!(
        text(&answer.expect("an answer")),
        "{i=\"1\", n=\"a\"} 1\n{i=\"1\", n=\"b\"} 2"
    );
}
