//! `label_replace` and `label_join`: functions of labels, whatever the values are.

use model::Labels;
use regex::{Captures, Regex};

use super::evaluate::{Evaluation, Sink};
use super::merged::Merged;
use super::points::Head;
use super::sorting::text;
use super::{Evaluated, QueryError};
use crate::lexer::text::is_utf8;
use crate::parser::ast::{Call, Expr};

impl Evaluation<'_> {
    pub(super) fn label_replace(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let argument = |at: usize| call.args.get(at).and_then(text).unwrap_or_default();
        let (target, replacement, source) = (argument(1), argument(2), argument(3));
        let pattern = model::anchored_regex(argument(4)).map_err(|_| {
            let pattern = argument(4);
            invalid(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ))
        })?;
        if !is_label_name(target) {
            let message = format!("invalid destination label name in label_replace(): {target}");
            return Err(invalid(message));
        }
        let symbols = &self.query.symbols;
        self.relabel(call, target, sink, &|labels: &Labels| {
            let source = labels.get(source, symbols).unwrap_or_default();
            pattern
                .captures(source)
                .map(|found| expand(replacement, &pattern, &found))
        })
    }

    pub(super) fn label_join(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let argument = |at: usize| call.args.get(at).and_then(text).unwrap_or_default();
        let (target, separator) = (argument(1), argument(2));
        let sources: Vec<&str> = call.args.iter().skip(3).filter_map(text).collect();
        if let Some(source) = sources.iter().find(|name| !is_label_name(name)) {
            let message = format!("invalid source label name in label_join(): {source}");
            return Err(invalid(message));
        }
        if !is_label_name(target) {
            let message = format!("invalid destination label name in label_join(): {target}");
            return Err(invalid(message));
        }
        let symbols = &self.query.symbols;
        self.relabel(call, target, sink, &|labels: &Labels| {
            let values = sources
                .iter()
                .map(|s| labels.get(s, symbols).unwrap_or_default());
            Some(values.collect::<Vec<_>>().join(separator))
        })
    }

    /// Sets `target` to what `value` says, where it says something.
    fn relabel(
        &self,
        call: &Call,
        target: &str,
        sink: &mut Sink<'_>,
        value: &dyn Fn(&Labels) -> Option<String>,
    ) -> Evaluated {
        let arg: &Expr = &call.args[0];
        let (mut merged, mut held) = (Merged::default(), 0);
        self.vector(
            arg,
            &self.function_hints(call),
            &mut |mut head: Head, points| {
                if points.is_empty() {
                    return Ok(());
                }
                if let Some(value) = value(&head.labels) {
                    head.labels.set(target, &value, &self.query.symbols);
                    // A new name stays.
                    head.drop_name &= target != model::METRIC_NAME;
                }
                let weight = points.weight();
                self.query.hold(weight)?;
                held += weight;
                merged.add(head, points);
                Ok(())
            },
        )?;
        self.send(merged.finish()?, sink)?;
        self.query.release(held);
        Ok(())
    }
}

/// Whether a label can be called so.
pub(super) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && is_utf8(name)
}

fn invalid(message: String) -> QueryError {
    QueryError::Execution(message)
}

/// Fills `$1`, `${1}`, `$name` in as Go's `regexp.Expand` does: the longest name counts, `$$` is a dollar, and what is
/// no name stays as it is.
fn expand(template: &str, pattern: &Regex, found: &Captures<'_>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        match reference(after) {
            Some((name, after)) => {
                text.push_str(group(name, pattern, found));
                rest = after;
            }
            None => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// The name after a dollar, and what comes behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c == '_' || c.is_alphanumeric();
    let (braced, text) = match text.strip_prefix('{') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    match braced {
        true => Some((name, after.strip_prefix('}')?)),
        false => Some((name, after)),
    }
}

fn group<'t>(name: &str, pattern: &Regex, found: &Captures<'t>) -> &'t str {
    let index = match name.parse::<usize>() {
        Ok(index) => Some(index),
        Err(_) => pattern.capture_names().position(|n| n == Some(name)),
    };
    let found = index.and_then(|index| found.get(index));
    found.map_or("", |found| found.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_expanded_as_in_go() {
        let pattern = model::anchored_regex("(?P<host>[a-z]+)-(\\d+)").expect("a pattern");
        let found = pattern.captures("web-12").expect("a match");
        for (template, text) in [
            ("$1:$2", "web:12"),
            ("${host}x$2", "webx12"),
            ("$hostx", ""),
            ("$$1", "$1"),
            ("$ ${ $", "$ ${ $"),
            ("$9", ""),
        ] {
            assert_eq!(expand(template, &pattern, &found), text, "{template}");
        }
    }
}
