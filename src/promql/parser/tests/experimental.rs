//! What has to be enabled: duration expressions, extended ranges, fill modifiers, functions.

use super::*;
use crate::parser::duration::resolve;

fn all(text: &str) -> String {
    parse_with(text, Features::all()).map_or_else(|e| e.to_string(), |expr| expr.to_string())
}

#[test]
fn what_is_enabled_is_understood_and_printed() {
    for (text, expected) in [
        ("a[1m+2m]", "a[1m + 2m]"),
        ("a[(1m)]", "a[(1m)]"),
        ("a[-(1m)+step()]", "a[-(1m) + step()]"),
        ("a[+5m]", "a[5m]"),
        (
            "a[MIN_OF(step(), range()*2)]",
            "a[min_of(step(), range() * 2)]",
        ),
        ("a[2^3^2]", "a[2 ^ 3 ^ 2]"),
        ("a[5m:step()/2]", "a[5m:step() / 2]"),
        ("a offset -step()", "a offset -step()"),
        ("a offset -(5m*2)", "a offset -(5m * 2)"),
        // Without parentheses an offset ends before the operator.
        ("a offset 5m * 2", "a offset 5m * 2"),
        ("a offset (5m) * 2", "a offset (5m) * 2"),
        ("a anchored", "a anchored"),
        (
            "a[5m] smoothed @ 5 offset 1m",
            "a[5m] smoothed @ 5.000 offset 1m",
        ),
        ("a offset 1m anchored @ 5", "a @ 5.000 anchored offset 1m"),
        ("a + fill(0) b", "a + fill (0) b"),
        (
            "a + on(x) fill_left(-1) fill_right(2) b",
            "a + on (x) fill_left (-1) fill_right (2) b",
        ),
        ("a + fill_right(2) fill_left(2) b", "a + fill (2) b"),
        ("fill + fill_left", "fill + fill_left"),
        ("a </ 5 >/ b", "a </ 5 >/ b"),
        (
            "step() + range() + start() + end()",
            "step() + range() + start() + end()",
        ),
        ("max_of(1, step())", "max_of(1, step())"),
        ("info(a, {b=\"c\"})", "info(a, {b=\"c\"})"),
        ("info(a, {})", "info(a, {})"),
        (
            "histogram_quantiles(a, \"q\", 0.5, 0.9)",
            "histogram_quantiles(a, \"q\", 0.5, 0.9)",
        ),
    ] {
        assert_eq!(all(text), expected, "{text}");
        assert_eq!(all(expected), expected, "{text}");
    }
}

#[test]
fn mistakes_in_it_are_told_in_prometheus_words_and_places() {
    for (text, expected) in [
        (
            "a[-5m]",
            "1:3: parse error: duration must be greater than 0",
        ),
        ("a[5m/0]", "1:5: parse error: division by zero"),
        ("a[5m%0d]", "1:5: parse error: modulo by zero"),
        ("a[1e10]", "1:3: parse error: duration out of range"),
        ("a offset -1e10", "1:10: parse error: duration out of range"),
        (
            "a[5m+]",
            "1:6: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "a[(5m]",
            "1:6: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "a[5m:+]",
            "1:7: parse error: unexpected \"]\" in subquery selector, expected number, duration, step(), range(), or \"]\"",
        ),
        (
            "a[foo()]",
            "1:3: parse error: unexpected character in duration expression: 'f'",
        ),
        (
            "a[stop()]",
            "1:3: parse error: unexpected character in duration expression: 's'",
        ),
        (
            "a[5m] + b[:5m]",
            "1:11: parse error: unexpected \":\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "a anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        (
            "a[5m:1m] anchored",
            "1:1: parse error: anchored modifier is not supported for subqueries",
        ),
        (
            "(a) smoothed",
            "1:1: parse error: smoothed modifier not implemented",
        ),
        (
            "a + fill(0) 1",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        (
            "a or fill(0) b",
            "1:1: parse error: filling in missing series not allowed for set operators",
        ),
        (
            "a + fill(b) c",
            "1:10: parse error: unexpected identifier \"b\"",
        ),
        (
            "STEP()",
            "1:1: parse error: unknown function with name \"STEP\"",
        ),
        (
            "info(a, b)",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        (
            "info(a, sum(b))",
            "1:9: parse error: expected label selectors only",
        ),
        (
            "info(a, 1)",
            "1:1: parse error: expected type instant vector in call to function \"info\", got scalar",
        ),
        (
            "histogram_quantiles(a, \"q\")",
            "1:1: parse error: expected at least 3 argument(s) in call to \"histogram_quantiles\", got 2",
        ),
        (
            "sum by (without) (a)",
            "1:9: parse error: unexpected <without> in grouping opts, expected label",
        ),
        (
            "abs(a @,)",
            "1:8: parse error: unexpected \",\" in @, expected timestamp",
        ),
    ] {
        assert_eq!(all(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_enabled_says_so() {
    for (text, expected) in [
        (
            "a[1m+2m]",
            "1:3: parse error: experimental duration expression is not enabled",
        ),
        (
            "a[(1m)]",
            "1:4: parse error: experimental duration expression is not enabled",
        ),
        (
            "a offset -step()",
            "1:10: parse error: experimental duration expression is not enabled",
        ),
        (
            "a anchored",
            "1:1: parse error: anchored modifier is experimental and not enabled",
        ),
        (
            "a[5m] smoothed",
            "1:1: parse error: smoothed modifier is experimental and not enabled",
        ),
        (
            "a + fill(0) b",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
        (
            "step()",
            "1:1: parse error: function \"step\" is not enabled",
        ),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
    // This one slips through in Prometheus too.
    assert_eq!(printed("a offset -(5m)"), "a offset -(5m)");
}

fn resolved(text: &str) -> String {
    let expr = parse_with(text, Features::all()).expect(text);
    match resolve(&expr, 15_000, 3_600_000) {
        Ok(expr) => expr.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn durations_are_computed_from_step_and_range() {
    for (text, expected) in [
        ("a[step()]", "a[15s]"),
        ("a[range()/2] offset -(step()*2)", "a[30m] offset -30s"),
        ("a[max_of(step(), 1m)%7s]", "a[4s]"),
        (
            "rate(a[5m:step()+1] offset step())",
            "rate(a[5m:16s] offset 15s)",
        ),
        ("a[step()-1m]", "2:11: duration must be greater than 0"),
        ("a[5m/(step()-15)]", "2:15: division by zero"),
        ("a[1d^3]", "2:6: duration is out of range"),
        ("a[1d^1000]", "2:9: duration is NaN or infinite"),
        ("a[(step()-1m)^0.5]", "3:17: duration is NaN or infinite"),
    ] {
        assert_eq!(resolved(text), expected, "{text}");
    }
}
