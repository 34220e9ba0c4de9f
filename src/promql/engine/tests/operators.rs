//! Operators between vectors, and aggregations. Values by arithmetic.

use super::memory::Memory;
use super::{at, over};

fn shop() -> Memory {
    Memory::load(
        60_000,
        r#"
        sold{shop="a", kind="tea"} 10 20 30
        sold{shop="a", kind="coffee"} 1 _ 3
        sold{shop="b", kind="tea"} 5 5 NaN
        price{kind="tea"} 2 2 2
        price{kind="coffee"} 3 3 3
        open{shop="a"} 1 stale
        open{shop="c"} 1 1 1
        "#,
    )
}

#[test]
fn series_find_each_other_by_their_labels() {
    for (query, expected) in [
        (
            "sold * on(kind) group_left price",
            "{kind=\"coffee\", shop=\"a\"} 3\n{kind=\"tea\", shop=\"a\"} 20\n{kind=\"tea\", shop=\"b\"} 10",
        ),
        (
            "price * on(kind) group_right sold",
            "{kind=\"coffee\", shop=\"a\"} 3\n{kind=\"tea\", shop=\"a\"} 20\n{kind=\"tea\", shop=\"b\"} 10",
        ),
        (
            "sum by (shop) (sold) - ignoring(x) sum by (shop) (sold)",
            "{shop=\"a\"} 0\n{shop=\"b\"} 0",
        ),
        (
            "sold > on(kind) group_left price",
            "{__name__=\"sold\", kind=\"tea\", shop=\"a\"} 10\n{__name__=\"sold\", kind=\"tea\", shop=\"b\"} 5",
        ),
        (
            "sold{kind='tea'} == bool on(shop) sold{kind='tea'}",
            "{shop=\"a\"} 1\n{shop=\"b\"} 1",
        ),
    ] {
        assert_eq!(at(&shop(), query, 0), expected, "{query}");
    }
}

#[test]
fn series_that_match_more_than_one_are_an_error() {
    for (query, expected) in [
        (
            "price * on(kind) sold",
            "found duplicate series for the match group {kind=\"tea\"} on the right hand-side of the \
             operation: [{__name__=\"sold\", kind=\"tea\", shop=\"a\"}, {__name__=\"sold\", \
             kind=\"tea\", shop=\"b\"}];many-to-many matching not allowed: matching labels must be \
             unique on one side",
        ),
        (
            "sold * on(kind) price",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "sold * on(kind) group_left(shop) price",
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
    ] {
        assert_eq!(at(&shop(), query, 0), expected, "{query}");
    }
}

#[test]
fn sets_look_at_each_step_by_itself() {
    for (query, expected) in [
        ("sold and on(shop) open", 2),
        ("sold unless on(shop) open", 1),
        ("open or on(shop) sold", 3),
    ] {
        assert_eq!(at(&shop(), query, 0).lines().count(), expected, "{query}");
    }
    assert_eq!(
        over(&shop(), "sold{kind='tea'} and on(shop) open", 0, 120, 60),
        "{__name__=\"sold\", kind=\"tea\", shop=\"a\"} 10@0"
    );
    assert_eq!(
        over(
            &shop(),
            "open{shop='a'} or on(shop) open{shop='a'} offset 1m",
            0,
            120,
            60
        ),
        "{__name__=\"open\", shop=\"a\"} 1@0 1@60"
    );
}

#[test]
fn groups_are_folded() {
    for (query, expected) in [
        ("topk(2, sold)", "10 5"),
        ("bottomk(2, sold)", "1 5"),
        ("topk by (shop) (1, sold)", "10 5"),
        ("quantile(0.5, sold)", "5"),
        ("stddev(sold{kind='tea'})", "2.5"),
        ("stdvar(sold{kind='tea'})", "6.25"),
        ("group(sold)", "1"),
        ("count_values('v', sold >= bool 5)", "1 2"),
        ("sum by (v) (count_values('v', sold >= bool 5))", "1 2"),
        ("scalar(sum(sold))", "16"),
        ("scalar(sold)", "NaN"),
        ("topk(0, sold)", ""),
    ] {
        let answer = at(&shop(), query, 0);
        let values: Vec<_> = answer
            .lines()
            .filter_map(|line| line.rsplit(' ').next())
            .collect();
        assert_eq!(values.join(" "), expected, "{query}: {answer}");
    }
    assert_eq!(
        at(&shop(), "topk(scalar(nothing), sold)", 0),
        "Parameter value is NaN"
    );
}

#[test]
fn what_is_pinned_is_the_same_at_every_step() {
    for query in [
        "sum(sold @ 60)",
        "sold{kind='tea', shop='a'} @ 60 + 6",
        "vector(26)",
    ] {
        let answer = over(&shop(), query, 0, 120, 60);
        assert_eq!(
            answer.split_once("} ").map(|(_, v)| v),
            Some("26@0 26@60 26@120"),
            "{query}"
        );
    }
}

#[test]
fn subqueries_look_at_multiples_of_their_step() {
    let source = Memory::load(10_000, "c 0+1x100");
    for (query, expected) in [
        ("sum_over_time(c[1m:20s])", "288"),
        ("sum_over_time((c + 1)[1m:20s])", "291"),
        ("count_over_time(c[5m:])", "5"),
        ("max_over_time(c[1m:20s] offset 100s)", "88"),
        ("max_over_time(c[1m:20s] @ 100)", "10"),
        (
            "sum(sum_over_time(sum_over_time(c[40s:20s])[1m:30s]))",
            "384",
        ),
    ] {
        let answer = at(&source, query, 990);
        assert_eq!(
            answer.rsplit(' ').next(),
            Some(expected),
            "{query}: {answer}"
        );
    }
}

#[test]
fn a_deep_expression_is_evaluated_on_a_small_stack() {
    let minus = vec!["-a"; 400].join(" or ");
    let calls = format!("{}a{}", "abs(".repeat(100), ")".repeat(100));
    for query in [vec!["a"; 500].join(" + "), calls, minus] {
        let start = query[..8].to_owned();
        let on_stack = |bytes: usize| std::thread::Builder::new().stack_size(bytes);
        let parsed = on_stack(64 << 20).spawn(move || crate::parse(&query));
        let expr = parsed
            .expect("a thread")
            .join()
            .expect("no panic")
            .expect("a query");
        let evaluate = move || {
            let source = Memory::load(60_000, "a 1");
            let answer = crate::Engine::default().instant(&source, &expr, 0, &model::Cancel::new());
            // Dropping the tree recurses too; whoever parsed it has the stack for it.
            (answer.is_ok(), expr)
        };
        let evaluated = on_stack(2 << 20).spawn(evaluate).expect("a thread").join();
        let (is_ok, expr) = evaluated.expect("no panic");
        assert!(is_ok, "{start}");
        drop(expr);
    }
}
