//! `tks promql format` and `tks promql parse`.

use std::io::Read as _;

use thanos::api::Places;

use super::{mistake, tree};
use crate::Exit;
use crate::args::{FormatArgs, ParseArgs};
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

/// More is no expression that anybody typed.
const MAX_EXPRESSION: u64 = 16 << 20;

pub(super) fn format(args: &FormatArgs, printer: &Printer) -> Result<Exit> {
    let text = text_of(&args.expr)?;
    let expr = promql::parse_with(&text, promql::Features::all());
    let expr = expr.map_err(|error| mistake(&text, &error))?;
    printer.out(&promql::parser::prettify(&expr))?;
    Ok(Exit::Done)
}

pub(super) fn parse(args: &ParseArgs, printer: &Printer) -> Result<Exit> {
    let text = text_of(&args.expr)?;
    let expr = promql::parse_with(&text, args.features.features());
    let expr = expr.map_err(|error| mistake(&text, &error))?;
    let shown = match args.json {
        true => format!("{:#}", thanos::api::tree(&expr, Places::Told)),
        false => tree::text(&expr),
    };
    printer.out(&shown)?;
    Ok(Exit::Done)
}

/// What was typed, or what stdin has.
fn text_of(typed: &str) -> Result<String> {
    if typed != "-" {
        return Ok(typed.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_EXPRESSION)
        .read_to_string(&mut text);
    read.map_err(|e| Failure::io("cannot read the expression from stdin", &e))?;
    Ok(text.trim_end().to_owned())
}
