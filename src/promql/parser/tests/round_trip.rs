//! Random queries of the whole language: what is printed, on one line or many, reads back as the same tree.

use super::*;

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "foo_total",
        "job:x:rate5m",
        "sum",
        "start",
        "step",
        "offset",
        "fill",
        "by",
        "group_left",
    ])
}

fn matchers() -> impl Strategy<Value = String> {
    let matcher = prop::sample::select(vec![
        "x=\"1\"",
        "x!=\"\"",
        "y=~\"a|b\"",
        "y!~\"c.*\"",
        "\"l l\"=`d\"\\e`",
        "z='\\n'",
    ]);
    prop::collection::vec(matcher, 0..4).prop_map(|all| all.join(","))
}

fn duration() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "5m", "1h30m", "300", "1.5", "step()", "range()", "1d1h",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 8, 2, |inner| {
            let op = prop::sample::select(vec!["+", "-", "*", "/", "%", "^"]);
            prop_oneof![
                (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
                inner.clone().prop_map(|d| format!("({d})")),
                inner.clone().prop_map(|d| format!("-{d}")),
                (inner.clone(), inner).prop_map(|(l, r)| format!("min_of({l}, {r})")),
            ]
        })
}

/// A selector with its modifiers.
fn selector() -> impl Strategy<Value = String> {
    let extended = prop::sample::select(vec!["", " anchored", " smoothed"]);
    let at = prop::sample::select(vec!["", " @ 5", " @ -1.5", " @ start()", " @ end()"]);
    let offset = prop::option::of(duration());
    (word(), matchers(), extended, at, offset).prop_map(|(name, matchers, extended, at, offset)| {
        let offset = offset.map(|d| format!(" offset ({d})")).unwrap_or_default();
        format!("{name}{{{matchers}}}{extended}{at}{offset}")
    })
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "atan2",
        "==",
        "!= bool",
        "<",
        ">= bool",
        "</",
        ">/",
        "and",
        "or on (x)",
        "unless ignoring (x)",
        "+ on (x, \"l l\") group_left (y)",
        "* ignoring () group_right",
        "+ fill (0)",
        "/ on (x) fill_left (-1.5) fill_right (2)",
        "> bool on (x) fill (1e-9)",
    ])
}

fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        selector(),
        Just("1".to_owned()),
        Just("5m".to_owned()),
        Just("NaN".to_owned()),
        Just("time()".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), operator(), inner.clone())
                .prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.clone().prop_map(|e| format!("-{e}")),
            inner
                .clone()
                .prop_map(|e| format!("sum by (x, \"l l\") ({e})")),
            inner
                .clone()
                .prop_map(|e| format!("count without (x) ({e})")),
            inner.clone().prop_map(|e| format!("topk(3, {e})")),
            inner
                .clone()
                .prop_map(|e| format!("label_replace({e}, \"a\", \"$1\", 'b', `(.*)`)")),
            (selector(), duration()).prop_map(|(_, d)| format!("rate(a[{d}])")),
            (inner, duration(), prop::option::of(duration())).prop_map(|(e, d, step)| {
                format!("max_over_time(({e})[{d}:{}])", step.unwrap_or_default())
            }),
        ]
    })
}

/// Matchers are printed in order.
fn sort_matchers(expr: &mut Expr) {
    let matchers = match &mut expr.kind {
        ExprKind::Selector(selector) => &mut selector.matchers,
        ExprKind::Range(range) => &mut range.selector.matchers,
        kind => return kind.children_mut().into_iter().for_each(sort_matchers),
    };
    matchers.sort_by_cached_key(ToString::to_string);
}

/// The tree without the places.
fn shape(expr: &Expr) -> String {
    let mut expr = expr.clone();
    sort_matchers(&mut expr);
    let mut text = format!("{expr:?}");
    while let Some(at) = text.find("Span {") {
        let end = text[at..].find('}').map_or(text.len(), |end| at + end + 1);
        text.replace_range(at..end, "-");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(text in query()) {
        if let Ok(expr) = parse_with(&text, Features::all()) {
            for printed in [expr.to_string(), prettify(&expr)] {
                let again = parse_with(&printed, Features::all());
                let again = again.map_err(|e| TestCaseError::fail(format!("{text}: {printed}: {e}")))?;
                prop_assert_eq!(shape(&again), shape(&expr), "{}: {}", text, printed);
            }
        }
    }
}

#[test]
fn most_random_queries_are_well_typed() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = query();
    let good = (0..300)
        .filter_map(|_| strategy.new_tree(&mut runner).ok())
        .filter(|tree| parse_with(&tree.current(), Features::all()).is_ok());
    assert!(good.count() > 60);
}
