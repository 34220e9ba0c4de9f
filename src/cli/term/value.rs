//! Values, and how they differ, for a person.

use std::fmt::Write as _;

use plan::Diff;
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};
use stack::{Address, Value};

use super::Paint;

/// Values of more characters than this are written over several lines.
const ONE_LINE: usize = 100;
/// How many unchanged lines stand around those that differ.
const AROUND: usize = 2;
/// How many of the things that an unknown waits for are named.
const NAMED: usize = 2;

/// Draws the differences of one resource.
pub(super) struct Differences<'a> {
    pub(super) colour: bool,
    /// Whose they are: what waits for itself only is just not known yet.
    pub(super) of: &'a Address,
}

impl Differences<'_> {
    /// One difference, `=` in column `width` of the path.
    pub(super) fn draw(&self, diff: &Diff, width: usize) -> String {
        let (sign, paint) = match (&diff.before, &diff.after) {
            (None, _) => ("+", Paint::Create),
            (_, None) => ("-", Paint::Delete),
            _ => ("~", Paint::Update),
        };
        let forces = diff
            .forces
            .as_ref()
            .map(|why| format!(" # forces replacement: {why}"));
        let forces = Paint::Delete.on(&forces.unwrap_or_default(), self.colour);
        let pad = width.saturating_sub(diff.path.chars().count());
        let sign = paint.on(sign, self.colour);
        let value = self.change(diff.before.as_ref(), diff.after.as_ref(), &forces);
        format!("      {sign} {}{:pad$} = {value}", diff.path, "")
    }

    /// What stands behind the `=`, lines included.
    fn change(&self, before: Option<&Value>, after: Option<&Value>, forces: &str) -> String {
        match (before, after) {
            (Some(Value::String(before)), Some(Value::String(after))) => {
                self.texts(before, after, forces)
            }
            (Some(Value::List(before)), Some(Value::List(after))) => {
                self.lists(before, after, forces)
            }
            (Some(before), Some(after)) => {
                format!("{} -> {}{forces}\n", self.short(before), self.short(after))
            }
            (None, Some(Value::String(text))) if text.contains('\n') => {
                format!("<<EOT{forces}\n{}        EOT\n", indent(text))
            }
            (None, Some(after)) => self.alone(after, forces),
            (Some(before), None) => format!("{} -> null{forces}\n", self.short(before)),
            (None, None) => String::new(),
        }
    }

    /// A new value; a long map or list over several lines.
    fn alone(&self, value: &Value, forces: &str) -> String {
        let line = self.short(value);
        if line.chars().count() <= ONE_LINE {
            return format!("{line}{forces}\n");
        }
        match value {
            Value::List(values) => {
                let lines = values
                    .iter()
                    .map(|it| format!("          {},\n", self.short(it)));
                format!("[{forces}\n{}        ]\n", lines.collect::<String>())
            }
            Value::Map(map) => {
                let width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0);
                let lines = map.iter().map(|(key, value)| {
                    let pad = width - key.chars().count();
                    format!("          {key}{:pad$} = {}\n", "", self.short(value))
                });
                format!("{{{forces}\n{}        }}\n", lines.collect::<String>())
            }
            _ => format!("{line}{forces}\n"),
        }
    }

    fn texts(&self, before: &str, after: &str, forces: &str) -> String {
        if before.contains('\n') || after.contains('\n') {
            return format!("<<EOT{forces}\n{}        EOT\n", self.lines(before, after));
        }
        if let (Some(before), Some(after)) = (structure(before), structure(after)) {
            return format!(
                "<<JSON{forces}\n{}        JSON\n",
                self.lines(&before, &after)
            );
        }
        format!("{before:?} -> {after:?}{forces}\n")
    }

    /// Element by element: what stays is counted.
    fn lists(&self, before: &[Value], after: &[Value], forces: &str) -> String {
        let before: Vec<String> = before.iter().map(|it| self.short(it)).collect();
        let after: Vec<String> = after.iter().map(|it| self.short(it)).collect();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        let mut lines = String::new();
        let mut same = 0;
        for change in TextDiff::from_slices(&before, &after).iter_all_changes() {
            let text = change.value();
            let line = match change.tag() {
                ChangeTag::Equal => {
                    same += 1;
                    continue;
                }
                ChangeTag::Delete => Paint::Delete.on(&format!("- {text},"), self.colour),
                ChangeTag::Insert => Paint::Create.on(&format!("+ {text},"), self.colour),
            };
            let _ = writeln!(lines, "          {line}");
        }
        if same > 0 {
            let note = format!("# ({same} unchanged element{} hidden)", plural(same));
            let _ = writeln!(lines, "          {}", Paint::Dim.on(&note, self.colour));
        }
        format!("[{forces}\n{lines}        ]\n")
    }

    /// The lines that differ, with some around them.
    fn lines(&self, before: &str, after: &str) -> String {
        let diff = TextDiff::from_lines(before, after);
        let mut text = String::new();
        for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            if at > 0 {
                let _ = writeln!(text, "          {}", Paint::Dim.on("…", self.colour));
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let line = change.value().trim_end_matches('\n');
                let line = match change.tag() {
                    ChangeTag::Delete => Paint::Delete.on(&format!("- {line}"), self.colour),
                    ChangeTag::Insert => Paint::Create.on(&format!("+ {line}"), self.colour),
                    ChangeTag::Equal => format!("  {line}"),
                };
                let _ = writeln!(text, "          {}", line.trim_end());
            }
        }
        text
    }

    /// A value on one line, with what an unknown waits for.
    pub(super) fn short(&self, value: &Value) -> String {
        let Value::Unknown(unknown) = value else {
            return short(value);
        };
        let own = self.of.to_string();
        let cluster = format!("{}/", self.of.unit.cluster);
        let others = unknown.of.iter().filter(|it| !it.starts_with(&own));
        let names: Vec<&str> = others
            .map(|it| it.strip_prefix(&cluster).unwrap_or(it))
            .collect();
        match names.len() {
            0 => short(value),
            count if count > NAMED => {
                let more = count - NAMED;
                format!(
                    "(known after apply: {}, {more} more)",
                    names[..NAMED].join(", ")
                )
            }
            _ => format!("(known after apply: {})", names.join(", ")),
        }
    }
}

/// A text that is a JSON object or list, spread out.
fn structure(text: &str) -> Option<String> {
    let trimmed = text.trim();
    if !trimmed.starts_with(['{', '[']) {
        return None;
    }
    let json: Json = serde_json::from_str(trimmed).ok()?;
    Some(format!("{json:#}\n"))
}

pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn indent(text: &str) -> String {
    let line = |line: &str| {
        if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("            {line}\n")
        }
    };
    text.lines().map(line).collect()
}

/// A value on one line.
pub(crate) fn short(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Secret(_) => "(sensitive value)".to_owned(),
        Value::Unknown(_) => "(known after apply)".to_owned(),
        Value::List(values) => {
            format!(
                "[{}]",
                values.iter().map(short).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Map(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k} = {}", short(v)))
                .collect();
            if pairs.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn draws(before: impl Into<Value>, after: impl Into<Value>, wanted: &str) {
        let address = "a/r/c/u:x.y.z".parse().expect("an address");
        let differences = Differences {
            colour: false,
            of: &address,
        };
        let diff = Diff {
            path: "it".to_owned(),
            before: Some(before.into()),
            after: Some(after.into()),
            forces: None,
        };
        assert_eq!(differences.draw(&diff, 2), wanted);
    }

    fn list(texts: &[&str]) -> Value {
        texts.iter().copied().collect()
    }

    #[test]
    fn lists_are_compared_element_by_element() {
        draws(
            list(&["a", "b", "c"]),
            list(&["a", "x", "b", "c"]),
            "      ~ it = [\n          + \"x\",\n          # (3 unchanged elements hidden)\n        ]\n",
        );
    }

    #[test]
    fn texts_are_compared_line_by_line_and_json_by_structure() {
        draws(
            "a\nb\n",
            "a\nc\n",
            "      ~ it = <<EOT\n            a\n          - b\n          + c\n        EOT\n",
        );
        draws(
            "{\"a\":1,\"b\":2}",
            "{\"a\":1,\"b\":3}",
            "      ~ it = <<JSON\n            {\n              \"a\": 1,\n          -   \"b\": 2\n          +   \"b\": 3\n            }\n        JSON\n",
        );
    }

    #[test]
    fn an_unknown_says_what_it_waits_for() {
        draws(
            1,
            Value::unknown("a/r/c/u:x.y.z.id"),
            "      ~ it = 1 -> (known after apply)\n",
        );
        draws(
            1,
            Value::unknown("a/r/c/pki:tls.ca.ca.cert"),
            "      ~ it = 1 -> (known after apply: pki:tls.ca.ca.cert)\n",
        );
    }
}
