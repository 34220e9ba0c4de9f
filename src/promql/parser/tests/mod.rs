mod experimental;
mod limits;
mod round_trip;

use super::ast::*;
use super::*;
use proptest::prelude::*;

fn printed(text: &str) -> String {
    parse(text).map_or_else(|e| e.to_string(), |expr| expr.to_string())
}

#[test]
fn queries_are_understood_and_printed_as_prometheus_prints_them() {
    for (text, expected) in [
        ("1 + 2 * 3 ^ 2 ^ -1", "1 + 2 * 3 ^ 2 ^ -1"),
        ("-1", "-1"),
        ("+-+1", "-1"),
        ("010", "8"),
        ("1e3", "1000"),
        ("Inf", "+Inf"),
        ("5m", "5m"),
        ("'it\\'s'", "\"it's\""),
        ("up", "up"),
        ("sum", "sum"),
        ("offset offset 5m", "offset offset 5m"),
        (
            "up{job='a', instance!=\"b\",x=~`c.*`,y!~\"d\",}",
            r#"up{instance!="b",job="a",x=~"c.*",y!~"d"}"#,
        ),
        (
            r#"{"metric.name", "label x"="v"}"#,
            r#"{"label x"="v",__name__="metric.name"}"#,
        ),
        ("up offset 1h30m", "up offset 1h30m"),
        ("up offset -5m", "up offset -5m"),
        ("up offset 90", "up offset 1m30s"),
        ("up @ 1.5 offset 1m", "up @ 1.500 offset 1m"),
        ("up offset 1m @ start()", "up @ start() offset 1m"),
        ("up[5m] @ end()", "up[5m] @ end()"),
        ("up[300]", "up[5m]"),
        (
            "rate(up[5m])[1h:1m] offset 5m",
            "rate(up[5m])[1h:1m] offset 5m",
        ),
        ("up[1h:]", "up[1h:]"),
        ("-up ^ 2", "-up ^ 2"),
        ("sum(up) by (job, \"a b\")", "sum by (job, \"a b\") (up)"),
        ("sum without () (up)", "sum without () (up)"),
        ("sum by () (up)", "sum(up)"),
        ("topk(3, up)", "topk(3, up)"),
        ("count_values('v', up)", "count_values(\"v\", up)"),
        ("a + on (x) group_left (y) b", "a + on (x) group_left (y) b"),
        (
            "a * ignoring(x,) group_right b",
            "a * ignoring (x) group_right () b",
        ),
        ("a > bool 1", "a > bool 1"),
        ("a and b or c unless d", "a and b or c unless d"),
        ("a + on () b", "a + on () b"),
        ("(a)", "(a)"),
        ("time() # now\n + 1", "time() + 1"),
        ("round(a, 5)", "round(a, 5)"),
        ("label_join(a, 'b', ',')", "label_join(a, \"b\", \",\")"),
        ("a atan2 b", "a atan2 b"),
    ] {
        assert_eq!(printed(text), expected, "{text}");
        assert_eq!(printed(expected), expected, "{text}");
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    fn shape(expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Binary(b) => {
                format!("({} {} {})", shape(&b.left), b.op.as_str(), shape(&b.right))
            }
            ExprKind::Unary { operand, .. } => format!("-({})", shape(operand)),
            ExprKind::Paren(inner) => shape(inner),
            _ => expr.to_string(),
        }
    }
    for (text, expected) in [
        ("a + b * c ^ d ^ e", "(a + (b * (c ^ (d ^ e))))"),
        ("a - b - c", "((a - b) - c)"),
        ("a * b % c / d atan2 e", "((((a * b) % c) / d) atan2 e)"),
        ("a == b + c", "(a == (b + c))"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("-a ^ b", "-((a ^ b))"),
        ("-a * b", "(-(a) * b)"),
        ("a ^ -b * c", "((a ^ -(b)) * c)"),
        ("a + b offset 5m", "(a + b offset 5m)"),
        ("-a offset 5m", "-(a offset 5m)"),
    ] {
        let expr = parse(text).map_err(|e| e.to_string());
        assert_eq!(expr.map(|e| shape(&e)).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes_are_told_in_prometheus_words_and_places() {
    for (text, expected) in [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        (" ", "1:1: parse error: no expression found in input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        (
            "foo{",
            "1:5: parse error: unexpected end of input inside braces",
        ),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "sum by (a (up)",
            "1:11: parse error: unexpected \"(\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "rate(up[5m]) + ",
            "1:16: parse error: unexpected end of input",
        ),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{x=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "nosuchfunc(up)",
            "1:1: parse error: unknown function with name \"nosuchfunc\"",
        ),
        (
            "topk(up, 3)",
            "1:10: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "up @ foo",
            "1:6: parse error: unexpected identifier \"foo\" in @, expected timestamp",
        ),
        (
            "sum(up) by",
            "1:11: parse error: unexpected end of input in grouping opts, expected \"(\"",
        ),
        (
            "histogram_quantile(up, up)",
            "1:20: parse error: expected type scalar in call to function \"histogram_quantile\", got instant vector",
        ),
        (
            "\"a\" + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "up{job=\"a\" job=\"b\"}",
            "1:12: parse error: unexpected identifier \"job\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "rate(up[0s])",
            "1:9: parse error: duration must be greater than 0",
        ),
        ("up up", "1:4: parse error: unexpected identifier \"up\""),
        (
            "sum(up up)",
            "1:8: parse error: unexpected identifier \"up\" in aggregation",
        ),
        (
            "up{job}",
            "1:7: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "up{job=}",
            "1:8: parse error: unexpected \"}\" in label matching, expected string",
        ),
        (
            "up{,}",
            "1:4: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        (
            "a + on b",
            "1:8: parse error: unexpected identifier \"b\" in grouping opts, expected \"(\"",
        ),
        (
            "1 == 1",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "a + bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "a and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a and on(x) group_left b",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a + on(x) 1",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        (
            "sum(a)[5m]",
            "1:7: parse error: ranges only allowed for vector selectors",
        ),
        (
            "a offset 1m [5m]",
            "1:13: parse error: no offset modifiers allowed before range",
        ),
        (
            "sum(a) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "a offset 1m offset 1m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "a offset foo",
            "1:10: parse error: unexpected identifier \"foo\" in offset, expected number, duration, step(), or range()",
        ),
        (
            "a[5m:foo]",
            "1:6: parse error: unexpected character: 'f', expected ':'",
        ),
        (
            "a[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "a[5m5m]",
            "1:3: parse error: not a valid duration string: \"5m5m\"",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "sum(a, b)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "abs()",
            "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0",
        ),
        (
            "abs(a,)",
            "1:6: parse error: trailing commas not allowed in function call args",
        ),
        (
            "round(a, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "foo{__name__=\"bar\"}",
            "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
        ),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "mad_over_time(a[5m])",
            "1:1: parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "1[5m:]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "a\n+\n)",
            "3:2: parse error: unexpected right parenthesis ')'",
        ),
        ("a + + ", "1:7: parse error: unexpected end of input"),
        ("a == by (b)", "1:9: parse error: unexpected \"(\""),
        ("@@", "1:1: parse error: unexpected <op:@>"),
        (
            "a[-1m + 5m]",
            "1:3: parse error: experimental duration expression is not enabled",
        ),
        (
            "a[step()]",
            "1:3: parse error: experimental duration expression is not enabled",
        ),
        (
            "1e999",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
        ),
        (
            "a @ Inf",
            "1:1: parse error: timestamp out of bounds for @ modifier: +Inf",
        ),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
    assert!(printed("up{a=~\"(\"}").starts_with("1:4: parse error: error parsing regexp: "));
}

#[test]
fn experimental_functions_are_there_when_enabled() {
    let features = Features {
        experimental_functions: true,
        ..Features::default()
    };
    assert!(parse_with("limitk(1, mad_over_time(a[5m]))", features).is_ok());
}

#[test]
fn selectors_are_read_alone() {
    let matchers = parse_selector(r#"up{job=~"a|b"}"#).map_err(|e| e.to_string());
    let printed: Vec<_> = matchers.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(printed, [r#"job=~"a|b""#, r#"__name__="up""#]);
    assert_eq!(parse_selector("{}"), Ok(Vec::new()));
    for text in ["up + 1", "rate(up[5m])", "", "5"] {
        assert!(parse_selector(text).is_err(), "{text}");
    }
}

#[test]
fn nodes_know_their_places() {
    let expr = parse("1 + sum by (x) (\n rate(up[5m] offset 1m))").map_err(|e| e.to_string());
    let expr = expr.expect("a query");
    let ExprKind::Binary(binary) = &expr.kind else {
        panic!("{expr}")
    };
    let ExprKind::Aggregate(aggregate) = &binary.right.kind else {
        panic!("{expr}")
    };
    let ExprKind::Call(call) = &aggregate.expr.kind else {
        panic!("{expr}")
    };
    assert_eq!(aggregate.expr.span.to_string(), "2:2");
    assert_eq!((call.args[0].span.start, call.args[0].span.end), (23, 39));
    assert_eq!(binary.op_span.to_string(), "1:3");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = parse_selector(&text);
    }

    #[test]
    fn no_sequence_of_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "up", "sum", "rate", "(", ")", "[", "]", "{", "}", ",", "5m", "1", "-", "+", "^", "==", "bool", "on",
            "by", "group_left", "offset", "@", "start", "\"x\"", "=", "!=", "=~", ":", "and", "#", "\n", "step", "é",
        ]), 0..25)
    ) {
        let text = words.join(" ");
        if let Ok(expr) = parse(&text) {
            let again = parse(&expr.to_string()).map(|e| e.to_string());
            prop_assert_eq!(again, Ok(expr.to_string()));
        }
    }
}
