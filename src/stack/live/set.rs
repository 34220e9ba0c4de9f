//! `--set a.b=YAML`: one more layer, the strongest. The arguments are read as the lines of a file called `--set`, which is what
//! positions mean.

use std::path::Path;

use crate::node::parse_value;
use crate::{Diagnostic, Diagnostics, Key, Node, NodeValue, Position};

/// The name of the layer, and of the file in positions.
pub(crate) const LAYER: &str = "--set";

/// One layer per argument.
pub(crate) fn layers(arguments: &[String], mistakes: &mut Diagnostics) -> Vec<Node> {
    let mut layers = Vec::new();
    let mut start = Position::start(Path::new(LAYER));
    for argument in arguments {
        match layer(argument, &start) {
            Ok(node) => layers.push(node),
            Err(mistake) => mistakes.push(*mistake),
        }
        start.line += 1 + argument.matches('\n').count();
        start.offset += argument.len() + 1;
    }
    layers
}

/// A part of a key, with its byte offset in the argument.
type Step = (usize, String);

fn layer(argument: &str, start: &Position) -> Result<Node, Box<Diagnostic>> {
    let here = |from: usize, len: usize| Position {
        column: start.column + argument[..from].chars().count(),
        offset: start.offset + from,
        len,
        ..start.clone()
    };
    let wrong = |from: usize, message: &str| {
        Box::new(
            Diagnostic::at(here(from, 0), message)
                .help("write `--set key.below=value`; a part with a dot is written [\"a.b\"]"),
        )
    };
    let (steps, equals) = steps(argument).map_err(|(at, message)| wrong(at, message))?;
    let text = &argument[equals + 1..];
    let mut node = parse_value(Path::new(LAYER), text).map_err(|mistake| {
        let position = mistake
            .position
            .clone()
            .map(|at| moved(at, &here(equals + 1, 0)));
        Box::new(Diagnostic {
            position,
            ..mistake
        })
    })?;
    move_all(&mut node, &here(equals + 1, 0));
    for (at, name) in steps.into_iter().rev() {
        let position = here(at, name.len());
        let key = Key {
            name,
            position: position.clone(),
        };
        node = Node::new(position, NodeValue::Map(vec![(key, node)]));
    }
    Ok(node)
}

/// The parts of the key, and where the `=` is.
fn steps(argument: &str) -> Result<(Vec<Step>, usize), (usize, &'static str)> {
    let mut steps = Vec::new();
    let mut at = 0;
    loop {
        let rest = &argument[at..];
        let (name, from, end) = if let Some(quoted) = rest.strip_prefix("[\"") {
            let len = quoted
                .find("\"]")
                .ok_or((at, "a `[\"` that nothing ends"))?;
            (&quoted[..len], at + 2, at + len + 4)
        } else {
            let len = rest
                .find(['.', '=', '['])
                .ok_or((at, "no `=` behind the key"))?;
            (&rest[..len], at, at + len)
        };
        if name.is_empty() {
            return Err((at, "a part of the key is empty"));
        }
        steps.push((from, name.to_owned()));
        match argument.as_bytes().get(end) {
            Some(b'=') => return Ok((steps, end)),
            Some(b'.') => at = end + 1,
            Some(b'[') => at = end,
            _ => return Err((end, "no `=` behind the key")),
        }
    }
}

/// A position in a text that begins at `start`.
fn moved(at: Position, start: &Position) -> Position {
    Position {
        column: if at.line == 1 {
            at.column + start.column - 1
        } else {
            at.column
        },
        line: at.line + start.line - 1,
        offset: at.offset + start.offset,
        ..at
    }
}

fn move_all(node: &mut Node, start: &Position) {
    node.position = moved(node.position.clone(), start);
    match &mut node.value {
        NodeValue::List(items) => items.iter_mut().for_each(|item| move_all(item, start)),
        NodeValue::Map(entries) => {
            for (key, value) in entries {
                key.position = moved(key.position.clone(), start);
                move_all(value, start);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> (Vec<Node>, Diagnostics) {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let mut mistakes = Diagnostics::default();
        (layers(&arguments, &mut mistakes), mistakes)
    }

    #[test]
    fn a_set_is_a_layer_with_places() {
        let arguments = [
            "compact.retention.5m=14d",
            "query[\"a.b\"].x={y: [1, 2]}",
            "a=",
            "l+=[=]",
        ];
        let (layers, mistakes) = read(&arguments);
        assert_eq!(mistakes.0, []);
        let five = layers[0].at(&["compact", "retention", "5m"]).expect("5m");
        assert_eq!(
            (five.as_str(), five.position.to_string()),
            (Some("14d"), "--set:1:22".into())
        );
        let two = layers[1].at(&["query", "a.b", "x", "y", "1"]).expect("2");
        assert_eq!(two.as_int(), Some(2));
        assert_eq!(two.position.to_string(), "--set:2:24");
        let all = arguments.join("\n");
        assert_eq!(
            &all[two.position.offset..two.position.offset + two.position.len],
            "2"
        );
        assert!(layers[2].get("a").is_some_and(Node::is_null));
        assert_eq!(layers[3].at(&["l+", "0"]).and_then(Node::as_str), Some("="));
    }

    #[test]
    fn what_is_no_set_is_told() {
        for (argument, message) in [
            ("a.b", "no `=` behind the key"),
            ("=1", "a part of the key is empty"),
            ("a..b=1", "a part of the key is empty"),
            ("a[\"b=1", "a `[\"` that nothing ends"),
        ] {
            let (_, mistakes) = read(&[argument]);
            assert_eq!(mistakes.0[0].message, message, "{argument}");
        }
        let (_, mistakes) = read(&["x=1", "a=[1"]);
        assert_eq!(mistakes.0[0].position.as_ref().map(|p| p.line), Some(2));
    }
}
