//! `tks promql query`: asks, and shows the answer.

use serde_json::Value as Json;

use super::answer::Data;
use super::time::{When, when};
use super::{csv, engine, http, plot, table};
use crate::Exit;
use crate::args::{PromqlOutput, PromqlQueryArgs, SourceArgs};
use crate::command::engine::runtime;
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

pub(super) fn run(args: &PromqlQueryArgs, printer: &Printer) -> Result<Exit> {
    let usage = |text: &str, help: &str| Failure::new(text).help(help).exit(Exit::Usage);
    let Some(expr) = &args.expr else {
        return Err(usage(
            "no expression",
            "tks promql --url http://localhost:9090 'up'",
        ));
    };
    let SourceArgs {
        url,
        block,
        tsdb,
        objstore,
    } = &args.source;
    let now = jiff::Timestamp::now().as_millisecond();
    let when = when(args, now, args.output == PromqlOutput::Plot)?;
    let (body, answer) = match url {
        Some(url) => {
            let (body, answer) = runtime()?.block_on(http::ask(url, expr, when, args.timeout))?;
            (Some(body), answer)
        }
        None if block.is_empty() && tsdb.is_none() && objstore.is_none() => {
            return Err(usage(
                "nobody to ask",
                "one of --url URL, --block DIR, --tsdb DIR, --objstore.config-file FILE",
            ));
        }
        None => (None, engine::ask(args, expr, when)?),
    };
    notes(&answer, printer);
    let text = match args.output {
        PromqlOutput::Json => {
            body.map_or_else(|| answer.to_string(), |body| body.trim_end().to_owned())
        }
        form => shown(form, &answer, when, expr, printer)?,
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// Warnings and infos go where they do not disturb the data.
fn notes(answer: &Json, printer: &Printer) {
    for (field, word) in [("warnings", "warning"), ("infos", "info")] {
        for note in answer[field].as_array().into_iter().flatten() {
            printer.note(&format!("{word}: {}", note.as_str().unwrap_or_default()));
        }
    }
}

fn shown(
    form: PromqlOutput,
    answer: &Json,
    when: When,
    expr: &str,
    printer: &Printer,
) -> Result<String> {
    let data = Data::read(&answer["data"])
        .ok_or_else(|| Failure::new("the answer is not of the form that Prometheus gives it"))?;
    match (form, data) {
        (PromqlOutput::Csv, data) => Ok(csv::csv(&data)),
        (PromqlOutput::Plot, Data::Matrix(series)) => {
            let When::Range { start, end, .. } = when else {
                return Err(Failure::new("a plot shows a range"));
            };
            let size = plot::Size::of_terminal();
            Ok(plot::draw(
                expr,
                &series,
                (start, end),
                size,
                printer.colours_stdout(),
            ))
        }
        (PromqlOutput::Plot, _) => Err(Failure::new("only a range of values can be plotted")),
        (_, data) => Ok(table::answer(&data)),
    }
}
