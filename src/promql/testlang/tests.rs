use super::*;

fn floats(text: &str) -> Vec<String> {
    let values = parse_values(text).expect("values");
    values.iter().map(|value| format!("{value:?}")).collect()
}

#[test]
fn items_stand_for_values() {
    assert_eq!(
        floats("_ 1+2x2 -1-.5x1 _x2 Inf 1e+3x1"),
        [
            "Omitted",
            "Float(1.0)",
            "Float(3.0)",
            "Float(5.0)",
            "Float(-1.0)",
            "Float(-1.5)",
            "Omitted",
            "Omitted",
            "Float(inf)",
            "Float(1000.0)",
            "Float(1000.0)",
        ]
    );
}

#[test]
fn what_is_no_value_is_named() {
    for text in [
        "1+2",
        "x3",
        "1x",
        "one",
        "{{schema:1",
        "{{a:1}}",
        "{{count:1 count:2}}",
        "1x99999999999",
    ] {
        assert!(parse_values(text).is_err(), "{text}");
    }
}

#[test]
fn histograms_are_read_and_repeated() {
    let values = parse_values(
        "{{schema:1 count:3 sum:4 buckets:[1 2] offset:-1 counter_reset_hint:gauge}} {{count:1}}+{{count:2}}x2",
    )
    .expect("values");
    assert_eq!(values.len(), 4);
    let Value::Histogram {
        histogram,
        hint_given,
    } = &values[0]
    else {
        panic!("a histogram");
    };
    assert!(hint_given);
    assert_eq!(
        *histogram.positive_spans,
        [model::Span {
            offset: -1,
            length: 2
        }]
    );
    assert_eq!(histogram.positive_buckets, [1.0, 2.0]);
    let Value::Histogram { histogram, .. } = &values[3] else {
        panic!("a histogram");
    };
    assert_eq!(histogram.count, 5.0);
}

fn run(text: &str) -> Vec<Result<(), String>> {
    let script = Script::parse(text).expect("a script");
    let outcomes = script.run(&engine());
    outcomes.into_iter().map(|outcome| outcome.result).collect()
}

const LOADED: &str = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 0+2x10\n\n";

#[test]
fn answers_as_expected_pass() {
    let text = format!(
        "{LOADED}eval instant at 5m a\n  a{{x=\"1\"}} 5\n  a{{x=\"2\"}} 10\n\n\
         eval range from 0 to 2m step 1m sum(a)\n  {{}} 0 3 6\n\nclear\n\neval instant at 5m a\n"
    );
    assert_eq!(run(&text), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn each_difference_fails() {
    for (query, expected) in [
        ("a", "a{x=\"1\"} 5"),
        ("a", "a{x=\"1\"} 5\n  a{x=\"2\"} 11"),
        ("a", "a{x=\"1\"} 5\n  a{x=\"2\"} 10\n  b 1"),
        ("a", "expect fail\n"),
        ("a", "expect warn\n  a{x=\"1\"} 5\n  a{x=\"2\"} 10"),
        ("sum(a)", "15"),
        (
            "rate(a[5m])",
            "expect no_info\n  {x=\"1\"} 1\n  {x=\"2\"} 2",
        ),
    ] {
        let got = run(&format!(
            "{LOADED}eval instant at 5m {query}\n  {expected}\n"
        ));
        assert!(got[0].is_err(), "{query}: {expected}");
    }
}

#[test]
fn a_malformed_script_names_its_line() {
    for (text, line) in [
        ("load", 1),
        ("\nload 1m\n  a{", 3),
        ("eval instant at 5x a", 1),
        ("# a\nwhat", 2),
        ("eval instant at 5m a\n  expect maybe", 2),
    ] {
        let error = Script::parse(text).expect_err(text);
        assert_eq!(error.line, line, "{text}: {error}");
    }
}
