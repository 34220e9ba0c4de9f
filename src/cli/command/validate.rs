//! `tks validate`: every mistake of a tree, offline.

use serde_json::json;

use crate::Exit;
use crate::args::ValidateArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::Printer;

pub(crate) fn run(args: &ValidateArgs, printer: &Printer) -> Result<Exit> {
    let read = session::fleets(args.path.as_deref(), &args.tree).and_then(checked);
    if args.json {
        return print_json(read.err(), printer);
    }
    for fleet in read? {
        printer.out(&sentence(&fleet))?;
    }
    Ok(Exit::Done)
}

/// What only those know who make resources; of all fleets in one failure.
fn checked(fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
    let failures = fleets.iter().filter_map(|fleet| fleet.check_types().err());
    let mistakes: Vec<_> = failures.flat_map(|failure| failure.problems).collect();
    if mistakes.is_empty() {
        Ok(fleets)
    } else {
        Err(Failure::of(mistakes))
    }
}

fn sentence(fleet: &Fleet) -> String {
    let (clusters, units) = (fleet.stack.clusters.len(), fleet.stack.units.len());
    let dir = fleet.dir();
    let platform = &fleet.live.platform;
    format!("{dir}: valid, {clusters} clusters, {units} units on {platform}")
}

/// Terraform's shape.
fn print_json(failure: Option<Failure>, printer: &Printer) -> Result<Exit> {
    let diagnostics = failure.map(|failure| failure.to_json()).unwrap_or_default();
    let valid = diagnostics.is_empty();
    let answer = json!({
        "format_version": "1.0",
        "valid": valid,
        "error_count": diagnostics.len(),
        "warning_count": 0,
        "diagnostics": diagnostics,
    });
    printer.out(&format!("{answer:#}"))?;
    Ok(if valid { Exit::Done } else { Exit::Error })
}
