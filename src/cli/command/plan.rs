//! `tks plan`: what apply would change.

use std::path::Path;
use std::sync::Arc;

use plan::{Plan, PlanMode};

use super::engine::Workshop;
use super::events::Events;
use super::summary::{self, Summary};
use crate::Exit;
use crate::args::{PlanArgs, PlanningArgs};
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Detail, Printer, render_markdown, render_plan};

pub(crate) fn run(args: &PlanArgs, printer: &Printer) -> Result<Exit> {
    let events = args.tell.json.then(|| Arc::new(Events::begin(*printer)));
    told(events.as_deref(), plan(args, events.as_ref(), printer))
}

/// A failure as an event, if those are told: then nothing more is to be said.
pub(crate) fn told(events: Option<&Events>, result: Result<Exit>) -> Result<Exit> {
    match (events, result) {
        (Some(events), Err(failure)) => {
            events.failure(&failure);
            Ok(failure.exit)
        }
        (_, result) => result,
    }
}

fn plan(args: &PlanArgs, events: Option<&Arc<Events>>, printer: &Printer) -> Result<Exit> {
    let fleets = session::fleets(args.path.as_deref(), &args.tree)?;
    if args.out.is_some() && fleets.len() > 1 {
        return Err(Failure::new("a plan file is for one fleet").help("name the folder of a fleet"));
    }
    let several = fleets.len() > 1;
    let mut worst = Exit::Done;
    let mut summaries = Vec::new();
    for fleet in fleets {
        let name = fleet.live.name.clone();
        let planned = one(fleet, several, args, events, printer);
        summaries.push(match &planned {
            Ok((plan, _)) => Summary::planned(plan),
            Err(failure) => Summary::failed(&name, "plan", failure),
        });
        let planned = planned.map(|(_, exit)| exit);
        worst = worse(worst, exit(planned, several, events, printer)?);
    }
    summary::write(args.tell.summary_file.as_deref(), &summaries)?;
    Ok(if worst == Exit::Changes && !args.detailed_exitcode {
        Exit::Done
    } else {
        worst
    })
}

fn one(
    fleet: Fleet,
    several: bool,
    args: &PlanArgs,
    events: Option<&Arc<Events>>,
    printer: &Printer,
) -> Result<(Plan, Exit)> {
    let dir = fleet.live.dir.clone();
    let workshop = Workshop::open(fleet, printer)?
        .telling(events.cloned())
        .planning(&args.planning)?
        .patience(&args.patience);
    let plan = workshop.plan(mode(args.destroy, &args.planning))?;
    if several && events.is_none() && !args.markdown {
        printer.out(&format!("Fleet {}:", dir.display()))?;
    }
    match events {
        Some(events) => events.plan(&plan),
        None if args.markdown => printer.out(&render_markdown(&plan, args.markdown_limit))?,
        None => {
            let detail = Detail::of(args.full);
            printer.out(&render_plan(&plan, detail, printer.colours_stdout()))?;
        }
    }
    keep(&plan, args.out.as_deref(), &workshop, printer)?;
    let exit = if plan.is_empty() {
        Exit::Done
    } else {
        Exit::Changes
    };
    Ok((plan, exit))
}

/// What a plan is for.
pub(crate) fn mode(destroy: bool, planning: &PlanningArgs) -> PlanMode {
    match (destroy, planning.refresh_only) {
        (true, _) => PlanMode::Destroy,
        (false, true) => PlanMode::RefreshOnly,
        (false, false) => PlanMode::Apply,
    }
}

/// With several fleets one that fails does not hide the others.
fn exit(
    planned: Result<Exit>,
    several: bool,
    events: Option<&Arc<Events>>,
    printer: &Printer,
) -> Result<Exit> {
    match planned {
        Err(failure) if several => {
            match events {
                Some(events) => events.failure(&failure),
                None => printer.failure(&failure),
            }
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
