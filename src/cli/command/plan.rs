//! `tks plan`: what apply would change.

use std::path::Path;

use plan::{Plan, PlanMode};

use super::engine::Workshop;
use crate::Exit;
use crate::args::PlanArgs;
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::{Printer, render_plan};

pub(crate) fn run(args: &PlanArgs, printer: &Printer) -> Result<Exit> {
    let fleets = session::fleets(args.path.as_deref(), &args.tree)?;
    if args.out.is_some() && fleets.len() > 1 {
        return Err(Failure::new("a plan file is for one fleet").help("name the folder of a fleet"));
    }
    let mode = if args.destroy {
        PlanMode::Destroy
    } else {
        PlanMode::Apply
    };
    let several = fleets.len() > 1;
    let mut worst = Exit::Done;
    for fleet in fleets {
        let dir = fleet.dir();
        let planned = Workshop::open(fleet, printer).and_then(|workshop| {
            let plan = workshop.plan(mode)?;
            if several {
                printer.out(&format!("Fleet {dir}:"))?;
            }
            show(&plan, args, printer)?;
            keep(&plan, args.out.as_deref(), &workshop, printer)?;
            Ok(if plan.is_empty() {
                Exit::Done
            } else {
                Exit::Changes
            })
        });
        worst = worse(worst, exit(planned, several, printer)?);
    }
    Ok(if worst == Exit::Changes && !args.detailed_exitcode {
        Exit::Done
    } else {
        worst
    })
}

/// With several fleets one that fails does not hide the others.
fn exit(planned: Result<Exit>, several: bool, printer: &Printer) -> Result<Exit> {
    match planned {
        Err(failure) if several => {
            printer.failure(&failure);
            Ok(failure.exit)
        }
        planned => planned,
    }
}

/// An error counts more than changes, changes more than nothing.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Changes => 1,
        _ => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn show(plan: &Plan, args: &PlanArgs, printer: &Printer) -> Result<()> {
    if args.json {
        return printer.out(&format!("{:#}", super::plan_json::plan(plan)));
    }
    printer.out(&render_plan(plan, printer.colours_stdout()))
}

fn keep(plan: &Plan, file: Option<&Path>, workshop: &Workshop, printer: &Printer) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    plan.save(file, &workshop.store)
        .map_err(|e| Failure::from_error(&e))?;
    printer.note(&format!(
        "\nThe plan is in {0}. To make exactly this so: tks apply {0}",
        file.display()
    ));
    Ok(())
}
