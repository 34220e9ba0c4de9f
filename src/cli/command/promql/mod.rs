//! `tks promql`: PromQL at the terminal.

mod answer;
mod csv;
mod engine;
mod expression;
mod glob;
mod http;
mod plot;
mod query;
mod table;
mod test;
mod time;
mod tree;

use std::path::PathBuf;

use promql::{ParseError, Span};

use crate::Exit;
use crate::args::{PromqlArgs, PromqlCommand};
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

pub(crate) fn run(args: &PromqlArgs, printer: &Printer) -> Result<Exit> {
    match &args.command {
        None => query::run(&args.query, printer),
        Some(PromqlCommand::Query(args)) => query::run(args, printer),
        Some(PromqlCommand::Format(args)) => expression::format(args, printer),
        Some(PromqlCommand::Parse(args)) => expression::parse(args, printer),
        Some(PromqlCommand::Test(args)) => test::run(args, printer),
    }
}

/// A mistake in an expression, with its place drawn.
fn mistake(text: &str, error: &ParseError) -> Failure {
    at(text, error.span, &error.message, "parse error")
}

/// `message` about `span` of `text`. What is no place in the text is told without one.
fn at(text: &str, span: Span, label: &str, message: &str) -> Failure {
    let (start, end) = (span.start as usize, span.end as usize);
    if span.line == 0 || start > text.len() || !text.is_char_boundary(start) {
        return Failure::new(format!("{message}: {label}"));
    }
    let end = end.clamp(start, text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let position = stack::Position {
        file: PathBuf::from("expression"),
        line: span.line as usize,
        column: text[line_start..start].chars().count() + 1,
        offset: start,
        len: end - start,
    };
    let problem = stack::Diagnostic::at(position.clone(), message).label(label);
    // One blank more, for a caret right behind the end.
    Failure::of(vec![problem]).source_text(position.file, &format!("{text} "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::render;

    #[test]
    fn a_mistake_is_shown_with_a_caret() {
        let text = "sum(rate(a[5m])) by (job";
        let error = promql::parse(text).expect_err("a mistake");
        let drawn = render(&mistake(text, &error), false);
        for part in ["parse error", text, "expression:1:25", &error.message] {
            assert!(drawn.contains(part), "{part} is missing in\n{drawn}");
        }
    }

    #[test]
    fn a_place_that_is_none_is_no_panic() {
        let span = Span {
            start: 99,
            end: 1,
            line: 1,
            column: 1,
        };
        assert!(render(&at("é", span, "x", "y"), false).contains("y: x"));
        let inside = Span { start: 1, ..span };
        assert!(render(&at("é", inside, "x", "y"), false).contains("y: x"));
    }
}
