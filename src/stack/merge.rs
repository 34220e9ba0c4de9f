//! Layers of maps become one map, weak to strong: maps merge deep, scalars and lists replace, `key: null` deletes what
//! is there so far, `key+:` appends to the list so far. Maps inside lists are values, not layers: nothing merges there.

use crate::{Diagnostic, Diagnostics, Key, Node, NodeValue, Position};

/// Merges layers, weak to strong. Every value keeps the position it has in the layer that won; keys stand in the order in which
/// layers first name them. No layers make an empty map.
///
/// # Errors
/// Every misuse of `key+:`: a value that is no list, a list so far that is none, and `key:` beside it in one map.
pub fn merge(layers: &[&Node]) -> Result<Node, Diagnostics> {
    let mut mistakes = Diagnostics::default();
    let start = layers.first().map_or_else(
        || Position::start("".as_ref()),
        |layer| layer.position.clone(),
    );
    let merged = layers
        .iter()
        .fold(None, |so_far, layer| over(so_far, layer, &mut mistakes));
    mistakes.or(merged.unwrap_or_else(|| Node::new(start, NodeValue::Map(Vec::new()))))
}

/// `layer` over what there is so far; `None` when it deletes.
fn over(so_far: Option<Node>, layer: &Node, mistakes: &mut Diagnostics) -> Option<Node> {
    match &layer.value {
        NodeValue::Null => None,
        NodeValue::Map(entries) => {
            let mut merged = match so_far {
                Some(Node {
                    value: NodeValue::Map(entries),
                    ..
                }) => entries,
                _ => Vec::new(),
            };
            for (key, value) in entries {
                apply(&mut merged, entries, key, value, mistakes);
            }
            Some(Node::new(layer.position.clone(), NodeValue::Map(merged)))
        }
        _ => Some(layer.clone()),
    }
}

/// One entry of a layer's map (`beside`: the whole map) over the map so far.
fn apply(
    merged: &mut Vec<(Key, Node)>,
    beside: &[(Key, Node)],
    key: &Key,
    value: &Node,
    mistakes: &mut Diagnostics,
) {
    let Some(name) = key.name.strip_suffix('+') else {
        let place = merged.iter().position(|(k, _)| k.name == key.name);
        let so_far = place.map(|at| {
            let taken = Node::new(key.position.clone(), NodeValue::Null);
            std::mem::replace(&mut merged[at].1, taken)
        });
        match (place, over(so_far, value, mistakes)) {
            (Some(at), Some(node)) => merged[at] = (key.clone(), node),
            (Some(at), None) => drop(merged.remove(at)),
            (None, Some(node)) => merged.push((key.clone(), node)),
            (None, None) => {}
        }
        return;
    };
    if let Err(mistake) = append(merged, beside, name, key, value) {
        mistakes.push(*mistake);
    }
}

fn append(
    merged: &mut Vec<(Key, Node)>,
    beside: &[(Key, Node)],
    name: &str,
    key: &Key,
    value: &Node,
) -> Result<(), Box<Diagnostic>> {
    if let Some((other, _)) = beside.iter().find(|(k, _)| k.name == name) {
        return Err(Box::new(
            Diagnostic::at(
                key.position.clone(),
                format!("`{name}` and `{name}+` stand in one map"),
            )
            .help(format!(
                "`{name}` replaces the list, `{name}+` appends to it: keep one"
            ))
            .related(other.position.clone(), format!("`{name}` stands here")),
        ));
    }
    let NodeValue::List(more) = &value.value else {
        return Err(Box::new(
            Diagnostic::at(
                value.position.clone(),
                format!(
                    "`{name}+` appends to a list, and this is {}",
                    value.type_name()
                ),
            )
            .label("not a list")
            .help(format!(
                "write `{name}+: [ … ]`, or `{name}:` to replace the value"
            )),
        ));
    };
    let Some((_, so_far)) = merged.iter_mut().find(|(k, _)| k.name == name) else {
        let key = Key {
            name: name.to_owned(),
            position: key.position.clone(),
        };
        merged.push((key, value.clone()));
        return Ok(());
    };
    let type_name = so_far.type_name();
    let NodeValue::List(items) = &mut so_far.value else {
        return Err(Box::new(
            Diagnostic::at(
                key.position.clone(),
                format!("`{name}+` appends to a list, and `{name}` is {type_name} so far"),
            )
            .related(so_far.position.clone(), "the value so far"),
        ));
    };
    items.extend(more.iter().cloned());
    so_far.position = value.position.clone();
    Ok(())
}

/// Where a value of the merged tree comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The merged value; `None` when no layer has it, or the strongest that speaks of it deletes it.
    pub value: Option<Node>,
    /// Every layer that speaks of it, strong to weak: the first won, the rest is overridden (a map or an appended
    /// list: added to).
    pub sources: Vec<Source>,
}

/// What one layer says of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub layer: String,
    pub position: Position,
    /// What stands there; for a layer that replaces or deletes a map above the value, that scalar, list or null.
    pub value: Node,
    /// Whether the layer appends (`key+:`) and so overrides nothing.
    pub appended: bool,
}

/// The value at `path` of the merged tree, and all that it overrode.
///
/// # Errors
/// As [`merge`].
pub fn explain(layers: &[(&str, &Node)], path: &[&str]) -> Result<Explanation, Diagnostics> {
    let nodes: Vec<&Node> = layers.iter().map(|(_, node)| *node).collect();
    let merged = merge(&nodes)?;
    let sources = layers
        .iter()
        .rev()
        .filter_map(|(layer, node)| {
            let (value, appended) = said(node, path)?;
            let position = value.position.clone();
            Some(Source {
                layer: (*layer).to_owned(),
                position,
                value: value.clone(),
                appended,
            })
        })
        .collect();
    Ok(Explanation {
        value: merged.at(path).cloned(),
        sources,
    })
}

/// What a layer says of `path`, and whether it appends.
fn said<'a>(layer: &'a Node, path: &[&str]) -> Option<(&'a Node, bool)> {
    let mut node = layer;
    let mut appended = false;
    for step in path {
        match &node.value {
            NodeValue::Map(entries) => {
                let matches = |key: &Key| {
                    key.name == *step || key.name.strip_suffix('+').is_some_and(|k| k == *step)
                };
                let (key, value) = entries.iter().find(|(key, _)| matches(key))?;
                appended |= key.name != *step;
                node = value;
            }
            NodeValue::List(items) if step.parse::<usize>().is_ok_and(|n| n < items.len()) => {
                node = &items[step.parse::<usize>().unwrap_or(0)];
            }
            _ => return Some((node, appended)),
        }
    }
    Some((node, appended))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::{Value, parse};

    fn layers(texts: &[&str]) -> Vec<Node> {
        let name = |n: usize| format!("{n}.yaml");
        let read = |(n, text): (usize, &&str)| parse(Path::new(&name(n)), text).expect(text);
        texts.iter().enumerate().map(read).collect()
    }

    fn merged(texts: &[&str]) -> Result<Node, Diagnostics> {
        let layers = layers(texts);
        merge(&layers.iter().collect::<Vec<_>>())
    }

    fn value(text: &str) -> Value {
        parse(Path::new("x"), text).expect(text).to_value()
    }

    #[test]
    fn maps_merge_deep_and_the_rest_replaces() {
        let node = merged(&[
            "retention: { raw: 30d, 5m: 30d, 1h: 10y }\nargs: [a, b]\nx: 1",
            "retention: { 5m: 14d }\nargs: [c]\nx: { y: 2 }",
        ])
        .expect("merge");
        let expected = "retention: { raw: 30d, 5m: 14d, 1h: 10y }\nargs: [c]\nx: { y: 2 }";
        assert_eq!(node.to_value(), value(expected));
        let place = |path: &[&str]| node.at(path).expect("value").position.to_string();
        assert_eq!(place(&["retention", "raw"]), "0.yaml:1:19");
        assert_eq!(place(&["retention", "5m"]), "1.yaml:1:18");
    }

    #[test]
    fn null_deletes_what_is_there_so_far() {
        let texts = [
            "a: { b: 1, c: 2 }\nd: 1",
            "a: { b: null, z: { y: ~ } }\nd:\ne:",
            "d: 3",
        ];
        let node = merged(&texts).expect("merge");
        assert_eq!(node.to_value(), value("a: { c: 2, z: {} }\nd: 3"));
    }

    #[test]
    fn a_plus_appends_to_the_list_so_far() {
        let texts = ["args: [a]", "args+: [b]\nnew+: [x]", "args+: [c]"];
        let node = merged(&texts).expect("merge");
        assert_eq!(node.to_value(), value("args: [a, b, c]\nnew: [x]"));
    }

    #[test]
    fn every_misuse_of_plus_is_told_with_its_place() {
        let texts = [
            "a: 1\nb: [1]\nc: [1]",
            "a+: [2]\nb+: 2\nc: [2]\nc+: [3]\nm: { d+: [x], d: [] }",
        ];
        let mistakes = merged(&texts).expect_err("mistakes");
        let told: Vec<String> = mistakes
            .0
            .iter()
            .map(|m| format!("{} {}", m.position.as_ref().expect("position"), m.message))
            .collect();
        assert_eq!(
            told,
            [
                "1.yaml:1:1 `a+` appends to a list, and `a` is a number so far",
                "1.yaml:2:5 `b+` appends to a list, and this is a number",
                "1.yaml:4:1 `c` and `c+` stand in one map",
                "1.yaml:5:6 `d` and `d+` stand in one map",
            ]
        );
        assert_eq!(mistakes.0[0].related[0].0.to_string(), "0.yaml:1:4");
        assert_eq!(mistakes.0[2].related[0].0.to_string(), "1.yaml:3:1");
    }

    #[test]
    fn an_explanation_names_all_that_was_overridden() {
        let texts = [
            "r: { 5m: 30d }",
            "r: { 5m: 20d }\nl: [1]",
            "x: 1",
            "r: { 5m: 14d }\nl+: [2]",
        ];
        let nodes = layers(&texts);
        let names = ["default", "fleet", "region", "cluster"];
        let named: Vec<(&str, &Node)> = names.into_iter().zip(&nodes).collect();
        let five = explain(&named, &["r", "5m"]).expect("explain");
        assert_eq!(five.value.as_ref().and_then(Node::as_str), Some("14d"));
        let from: Vec<String> = five
            .sources
            .iter()
            .map(|s| format!("{} {}", s.layer, s.position))
            .collect();
        assert_eq!(
            from,
            [
                "cluster 3.yaml:1:10",
                "fleet 1.yaml:1:10",
                "default 0.yaml:1:10"
            ]
        );
        let list = explain(&named, &["l"]).expect("explain");
        assert!(list.sources[0].appended && !list.sources[1].appended);
        assert_eq!(
            list.value.map(|v| v.to_value()),
            Some([1, 2].into_iter().collect())
        );
        assert_eq!(explain(&named, &["nothing"]).expect("explain").sources, []);
    }

    #[test]
    fn an_explanation_shows_who_deleted_a_value() {
        let nodes = layers(&["a: { b: 1 }", "a: null"]);
        let told = explain(&[("fleet", &nodes[0]), ("cluster", &nodes[1])], &["a", "b"]);
        let told = told.expect("explain");
        assert_eq!(told.value, None);
        assert!(told.sources[0].value.is_null());
        assert_eq!(told.sources[1].value.as_int(), Some(1));
    }

    fn number(value: i64) -> Node {
        Node::new(Position::start(Path::new("p")), NodeValue::Int(value))
    }

    fn list(values: Vec<i64>) -> Node {
        let items = values.into_iter().map(number).collect();
        Node::new(Position::start(Path::new("p")), NodeValue::List(items))
    }

    fn map(entries: impl IntoIterator<Item = (String, Node)>) -> Node {
        let position = Position::start(Path::new("p"));
        let key = |name| Key {
            name,
            position: position.clone(),
        };
        let entries = entries
            .into_iter()
            .map(|(name, node)| (key(name), node))
            .collect();
        Node::new(position.clone(), NodeValue::Map(entries))
    }

    /// Trees in which `a` to `c` are always maps and `x` to `z` never are: what merges of one schema look like.
    fn tree() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            (0i64..5).prop_map(number),
            prop::collection::vec(0i64..5, 0..3).prop_map(list),
        ];
        let leaves = prop::collection::btree_map("[x-z]", leaf, 0..4);
        let flat = leaves.clone().prop_map(map);
        flat.prop_recursive(3, 24, 3, move |inner| {
            let maps = prop::collection::btree_map("[a-c]", inner, 0..3);
            (leaves.clone(), maps).prop_map(|(leaves, maps)| map(leaves.into_iter().chain(maps)))
        })
    }

    proptest! {
        #[test]
        fn merging_is_associative_without_deletes(a in tree(), b in tree(), c in tree()) {
            let two = |x: &Node, y: &Node| merge(&[x, y]).expect("merge");
            let all = merge(&[&a, &b, &c]).expect("merge").to_value();
            prop_assert_eq!(&two(&two(&a, &b), &c).to_value(), &all);
            prop_assert_eq!(&two(&a, &two(&b, &c)).to_value(), &all);
            let empty = merge(&[]).expect("merge");
            prop_assert_eq!(two(&empty, &a).to_value(), a.to_value());
            prop_assert_eq!(two(&a, &empty).to_value(), a.to_value());
        }

        #[test]
        fn the_strongest_layer_always_wins(a in tree(), b in tree()) {
            let both = merge(&[&a, &b]).expect("merge");
            prop_assert_eq!(merge(&[&both, &b]).expect("merge").to_value(), both.to_value());
            for (key, value) in b.as_map().expect("map") {
                if value.as_map().is_none() {
                    prop_assert_eq!(both.get(&key.name).map(Node::to_value), Some(value.to_value()));
                }
            }
        }
    }
}
