//! Our parser and printer against another one's, the crate `promql-parser`: what that accepts ours accepts, and both take it for
//! the same, before and after they printed it. (It is older than Prometheus 3.15: what it refuses says nothing.)

#![allow(clippy::print_stdout, reason = "the figures are the point")]

#[allow(dead_code, reason = "the series are for others")]
mod queries;

use promql::parser::prettify;
use promql::{Features, parse_with};
use queries::Random;

const QUERIES: usize = 1000;

/// Beside the random ones: forms that those have not.
const FORMS: &[&str] = &[
    "a",
    "{__name__=\"a\", b!=\"c\", d=~\"e.*\", f!~\"g|h\"}",
    "a{b='single \\' quote', c=`raw \\n`, d=\"\\u00fc\\x41\"}",
    "-a ^ -2 ^ b",
    "a + b * c - d / e % f atan2 g",
    "a == bool b > c <= d",
    "a and b or c unless d",
    "a / on (x, y) group_left (z) b",
    "a * ignoring (x) group_right () b",
    "sum(a) by (x, y)",
    "sum without (x) (a)",
    "topk(3, a) by (x)",
    "quantile(0.9, a)",
    "count_values(\"v\", a)",
    "rate(a[5m])",
    "rate(a[1h30m] offset 5m)",
    "a offset -1w2d",
    "a @ 1609746000.5",
    "a @ start()",
    "rate(a[5m] @ end())",
    "max_over_time(rate(a[5m])[1h:1m])",
    "max_over_time(a[1h:] @ 10 offset 1m)",
    "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
    "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")",
    "absent_over_time(a[5m])",
    "0x1F + 1e-3 + .5 + Inf - NaN",
    "\"text\"",
    "time() - vector(1)",
    "a:b:c",
    "((a))",
];

/// The query as the other one prints it.
fn theirs(query: &str) -> Option<String> {
    // It may panic on what it does not know.
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(query));
    parsed.ok()?.ok().map(|expr| expr.to_string())
}

/// The query as ours prints it, on a line and laid out.
fn ours(query: &str) -> [String; 2] {
    let features = Features {
        experimental_functions: true,
        ..Features::default()
    };
    match parse_with(query, features) {
        Ok(expr) => [expr.to_string(), prettify(&expr)],
        Err(error) => panic!("{query}: only ours says {error}"),
    }
}

#[test]
fn another_parser_takes_queries_for_the_same() {
    let mut random = Random::new(7);
    let random = (0..QUERIES).map(|_| random.query());
    let (mut read, mut asked) = (0, 0);
    for query in FORMS.iter().map(|form| (*form).to_owned()).chain(random) {
        asked += 1;
        let Some(printed) = theirs(&query) else {
            continue;
        };
        read += 1;
        // By way of ours matchers are sorted, by way of the other one numbers are written alike.
        let wanted = theirs(&ours(&printed)[0]);
        for line in ours(&query) {
            assert_eq!(
                theirs(&line),
                wanted,
                "{query} is to ours {line}, to the other one {printed}"
            );
        }
    }
    println!("{read} of {asked} queries are read by both, and are the same to both");
    assert!(read > asked * 2 / 3, "{read} of {asked}");
}
