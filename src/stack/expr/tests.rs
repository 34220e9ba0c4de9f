use std::collections::BTreeMap;

use super::*;
use crate::{Diagnostic, Diagnostics, Node, NodeValue, Secret, Value, parse};

type World = BTreeMap<String, Value>;

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    )
}

fn world() -> World {
    let observer = |id: &str, port: Value| {
        map(&[
            ("id", id.into()),
            ("hosts", map(&[("sidecar", id.into())])),
            ("port", port),
        ])
    };
    let Value::Map(world) = map(&[
        (
            "cluster",
            map(&[
                ("id", "a-b".into()),
                ("5m", "14d".into()),
                ("replicas", Value::Int(2)),
            ]),
        ),
        (
            "observers",
            [observer("o1", Value::Int(1)), observer("o2", Value::Null)]
                .into_iter()
                .collect(),
        ),
        (
            "units",
            map(&[
                ("z", map(&[("http", "z:1".into())])),
                ("a", map(&[("http", "a:1".into())])),
            ]),
        ),
        (
            "odd",
            map(&[("a.b c", "quoted".into()), ("nothing", Value::Null)]),
        ),
        ("key", "a".into()),
        ("field", "http".into()),
        ("number", Value::Int(7)),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("later", Value::unknown("r.x")),
        ("other", Value::unknown("r.y")),
        ("secret", Value::Secret(Secret::new("s3cret"))),
        (
            "lists",
            map(&[
                ("b", ["3"].into_iter().collect()),
                ("a", ["1", "2"].into_iter().collect()),
            ]),
        ),
    ]) else {
        unreachable!("a map is a map")
    };
    world
}

fn compiled(text: &str) -> Result<Term, Diagnostic> {
    let node = parse("t.yaml".as_ref(), text).expect(text);
    let mut mistakes = Vec::new();
    let term = Term::compile(&node, &mut mistakes);
    mistakes.pop().map_or(Ok(term), Err)
}

/// The value of the YAML document `text`.
fn value(text: &str) -> Result<Value, Diagnostics> {
    evaluate(&world(), &compiled(text)?)
}

fn good(text: &str) -> Value {
    value(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn bad(text: &str) -> Diagnostic {
    value(text).expect_err(text).0.remove(0)
}

#[test]
fn a_whole_expression_keeps_its_type() {
    for (text, wanted) in [
        ("plain", "plain".into()),
        ("${cluster.id}", "a-b".into()),
        ("${cluster.replicas}", Value::Int(2)),
        ("${ cluster.5m }", "14d".into()),
        ("${odd[\"a.b c\"]}", "quoted".into()),
        ("${odd['a.b c']}", "quoted".into()),
        ("${odd.nothing}", Value::Null),
        ("${odd.nothing.further}", Value::Null),
        ("${true}", Value::Bool(true)),
        ("${'text'}", "text".into()),
    ] {
        assert_eq!(good(text), wanted, "{text}");
    }
}

#[test]
fn brackets_take_what_gives_a_name() {
    for (text, wanted) in [
        ("${units[key].http}", Value::from("a:1")),
        ("${units[odd.nothing ?? 'z'].http}", "z:1".into()),
        ("${units[number] ?? 'none'}", "none".into()),
        ("${units.*[field]}", ["a:1", "z:1"].into_iter().collect()),
    ] {
        assert_eq!(good(text), wanted, "{text}");
    }
    assert!(matches!(good("${units[later].http}"), Value::Unknown(_)));
    for (text, message) in [
        ("${units[kye]}", "unknown name `kye`"),
        ("${units[odd.nothing]}", "null is no name of a member"),
        ("${units[observers.*.id]}", "a list is no name of a member"),
        ("${units[key}", "expected `]`"),
        ("${units[]}", "expected a text in quotes or a path"),
    ] {
        let mistake = bad(text);
        assert!(
            mistake.message.contains(message),
            "{text}: {}",
            mistake.message
        );
    }
}

#[test]
fn text_takes_scalars_and_leaves_escapes_alone() {
    for (text, wanted) in [
        ("x-${cluster.id}-${cluster.replicas}", "x-a-b-2"),
        ("$${cluster.id}", "${cluster.id}"),
        ("'$${1}:${cluster.replicas}'", "${1}:2"),
        ("$1 costs 5$", "$1 costs 5$"),
        ("${yes}/${'}'}", "true/}"),
    ] {
        assert_eq!(good(text), wanted.into(), "{text}");
    }
}

#[test]
fn stars_go_over_lists_and_over_maps_in_key_order() {
    let list = |items: &[&str]| items.iter().copied().collect::<Value>();
    assert_eq!(good("${observers.*.id}"), list(&["o1", "o2"]));
    assert_eq!(good("${observers.*.hosts.sidecar}"), list(&["o1", "o2"]));
    assert_eq!(good("${units.*.http}"), list(&["a:1", "z:1"]));
    assert_eq!(
        good("${observers.*.port}"),
        Value::List(vec![Value::Int(1)])
    );
    assert_eq!(
        good("${lists.*}"),
        Value::List(vec![list(&["1", "2"]), list(&["3"])])
    );
    assert_eq!(good("${lists.*.*}"), list(&["1", "2", "3"]));
    assert_eq!(good("${odd.nothing.*.x}"), list(&[]));
}

#[test]
fn operators_follow_their_precedence() {
    for (text, wanted) in [
        ("${cluster.id == 'a-b'}", true),
        ("${cluster.id != \"a-b\"}", false),
        ("${cluster.replicas == 2 && yes}", true),
        ("${no || yes && no}", false),
        ("${!no && !!yes}", true),
        ("${odd.missing ?? 'x' == 'x'}", true),
        ("${secret == 's3cret'}", true),
        ("${odd.nothing == null}", true),
    ] {
        assert_eq!(good(text), Value::Bool(wanted), "{text}");
    }
    assert_eq!(good("${odd.missing ?? odd.nothing ?? 'end'}"), "end".into());
    assert_eq!(good("${cluster.id ?? 'end'}"), "a-b".into());
}

#[test]
fn unknown_spreads_with_its_origins_and_a_known_side_may_decide() {
    assert_eq!(good("${later.some.member}"), Value::unknown("r.x"));
    assert_eq!(good("${later ?? 'x'}"), Value::unknown("r.x"));
    assert_eq!(good("${later.*.x}"), Value::unknown("r.x"));
    assert_eq!(good("${!later}"), Value::unknown("r.x"));
    assert_eq!(good("${later == 'x'}"), Value::unknown("r.x"));
    let both = good("${later}:${other}").waits_for();
    assert_eq!(both.into_iter().collect::<Vec<_>>(), ["r.x", "r.y"]);
    assert_eq!(good("${later && no}"), Value::Bool(false));
    assert_eq!(good("${yes || later}"), Value::Bool(true));
    assert_eq!(good("${later && yes}"), Value::unknown("r.x"));
}

#[test]
fn text_with_a_secret_is_a_secret() {
    assert_eq!(good("a${secret}b"), Value::Secret(Secret::new("as3cretb")));
    assert_eq!(good("${secret}"), Value::Secret(Secret::new("s3cret")));
    assert_eq!(good("${secret}${later}"), Value::unknown("r.x"));
}

#[test]
fn what_is_no_expression_says_why() {
    for (text, message, help) in [
        ("${1}", "`${1}` is no expression", "`$${1}`"),
        ("a${12}b", "`${12}` is no expression", ""),
        ("${}", "an empty expression", "`$${}`"),
        ("${cluster.id", "`${` without its closing `}`", "`$${`"),
        ("${upper(cluster.id)}", "unexpected `(`", "no functions"),
        ("${cluster.replicas + 1}", "unexpected `+`", "no arithmetic"),
        ("${cluster.replicas - 1}", "unexpected `-`", "no arithmetic"),
        ("${2 * 3}", "unexpected `*`", "no arithmetic"),
        ("'${a:-b}'", "unexpected `:`", "`${a ?? b}`"),
        ("${a | b}", "unexpected `|`", "no filters"),
        ("${a.}", "expected a name or `*`", ""),
        ("${a[0]}", "expected a text in quotes", "`.*`"),
        ("${a b}", "unexpected `b`", "operator"),
        ("${a ??}", "the expression ends here", ""),
        ("${a['b}", "this text is not closed", ""),
    ] {
        let mistake = bad(text);
        assert!(
            mistake.message.contains(message),
            "{text}: {}",
            mistake.message
        );
        assert!(mistake.help.unwrap_or_default().contains(help), "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    for (text, message, candidates) in [
        ("${clutser.id}", "unknown name `clutser`", &["cluster"][..]),
        ("${cluster.idd}", "there is no `idd` here", &["id"]),
        ("${cluster.id.x}", "a string has no member `x`", &[]),
        ("${observers.id}", "a list has no member `id`", &[]),
        ("${observers.*.idd}", "there is no `idd`", &["id"]),
        ("${yes.*}", "a boolean has no members", &[]),
        ("${!cluster.id}", "this is a string", &[]),
        ("a ${observers.*.id}", "a list inside text", &[]),
        ("a ${odd.nothing}", "null inside text", &[]),
    ] {
        let mistake = bad(text);
        assert!(
            mistake.message.contains(message),
            "{text}: {}",
            mistake.message
        );
        assert_eq!(mistake.candidates, candidates, "{text}");
    }
    assert!(
        bad("${clutser.id ?? 'x'}").message.contains("unknown name"),
        "`??` hides no typo"
    );
}

#[test]
fn a_mistake_points_into_a_plain_or_quoted_scalar() {
    let place = |text: &str| {
        let place = bad(text).position.expect("a place");
        (place.line, place.column, place.offset, place.len)
    };
    assert_eq!(place("a: x ${cluster.idd} y"), (1, 16, 15, 3));
    assert_eq!(place("a: \"é ${cluster.idd}\""), (1, 17, 17, 3));
    assert_eq!(place("b: 1\na: ${clutser.id}"), (2, 6, 10, 7));
    assert_eq!(place("a: ${cluster.replicas + 1}").1, 23);
    // Lines of a block are indented in the file: only the scalar itself can be pointed at.
    assert_eq!(
        place("a: |\n  x\n  ${cluster.idd}\n").1,
        place("a: |\n  x\n  ${clutser.id}\n").1
    );
}

#[test]
fn every_mistake_of_a_document_is_told() {
    let Diagnostics(mistakes) =
        value("{ a: '${x}', b: ['${y}', '${cluster.id}'] }").expect_err("two");
    assert_eq!(mistakes.len(), 2);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[$]\\{[a-z.*\\[\\]\"'!=&|? 0-9é{}$-]{0,40}\\}?") {
            let position = Position::start("t".as_ref());
            let node = Node::new(position, NodeValue::String(text));
            let mut mistakes = Vec::new();
            let term = Term::compile(&node, &mut mistakes);
            if mistakes.is_empty() {
                let _ = evaluate(&world(), &term);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for deep in ["!", "yes[", "yes ?? "] {
            let text = format!("'${{{}yes}}'", deep.repeat(100_001));
            let node = parse("t".as_ref(), &text).expect("YAML");
            let mut mistakes = Vec::new();
            let _ = Term::compile(&node, &mut mistakes);
            assert_eq!(mistakes.len(), 1);
        }
        let (open, close) = ("odd[".repeat(150), "]".repeat(150));
        assert!(!bad(&format!("${{{open}odd{close}}}")).message.is_empty());
    }
}
