//! `tks apply`: plan, ask, change; or a reviewed plan file, as it is.

use std::path::Path;
use std::sync::Arc;

use plan::Plan;

use super::engine::Workshop;
use super::events::Events;
use super::plan::{mode, told};
use super::summary::{self, Summary};
use crate::Exit;
use crate::args::{ApplyArgs, PlanningArgs};
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::{Detail, Printer, render_plan};

/// `tks up`: apply on this machine.
pub(crate) fn up(mut args: ApplyArgs, printer: &Printer) -> Result<Exit> {
    args.tree.platform = Some("local".to_owned());
    run(&args, printer)
}

pub(crate) fn run(args: &ApplyArgs, printer: &Printer) -> Result<Exit> {
    let events = args.tell.json.then(|| Arc::new(Events::begin(*printer)));
    let done = match args.path.as_deref() {
        Some(file) if file.is_file() => planned(file, args, events.as_ref(), printer),
        path => fresh(path, args, events.as_ref(), printer),
    };
    told(events.as_deref(), done)
}

/// What was reviewed is what is applied: no question.
fn planned(
    file: &Path,
    args: &ApplyArgs,
    events: Option<&Arc<Events>>,
    printer: &Printer,
) -> Result<Exit> {
    nothing_else_is_asked_for(&args.planning)?;
    let workshop = Workshop::open(session::fleet_of_plan(file, &args.tree)?, printer)?
        .telling(events.cloned())
        .how(&args.how, "apply");
    let plan = Plan::load(file, &workshop.store).map_err(|e| Failure::from_error(&e))?;
    show(&plan, events, printer)?;
    carry_out(&workshop, &plan, args.tell.summary_file.as_deref())
}

/// A plan file is what it is.
fn nothing_else_is_asked_for(planning: &PlanningArgs) -> Result<()> {
    let part = &planning.part;
    let asked = !part.target.is_empty()
        || !part.exclude.is_empty()
        || !part.choice.filter.is_empty()
        || part.choice.filters_file.is_some()
        || part.choice.affected.is_some()
        || !planning.replace.is_empty()
        || planning.refresh_only
        || part.with_dependencies;
    if asked {
        let message = "a plan file is applied as it was reviewed";
        return Err(Failure::new(message)
            .help("give what selects, --replace and --refresh-only to `tks plan --out`")
            .exit(Exit::Usage));
    }
    Ok(())
}

fn fresh(
    path: Option<&Path>,
    args: &ApplyArgs,
    events: Option<&Arc<Events>>,
    printer: &Printer,
) -> Result<Exit> {
    let workshop = Workshop::open(session::fleet_at(path, &args.tree)?, printer)?
        .telling(events.cloned())
        .planning(&args.planning)?
        .how(&args.how, "apply");
    let plan = workshop.plan(mode(false, &args.planning))?;
    show(&plan, events, printer)?;
    if !plan.is_empty() {
        removals_are_wanted(&plan, args)?;
        let question = "Do you want to perform these actions?";
        let consequence = "tks will perform the actions described above.";
        approved(args.how.auto_approve, printer, question, consequence)?;
    }
    let exit = carry_out(&workshop, &plan, args.tell.summary_file.as_deref())?;
    if !plan.is_empty() && events.is_none() {
        hints(&workshop, args.tree.platform.as_deref(), printer);
    }
    Ok(exit)
}

/// The plan, in words or as events.
pub(crate) fn show(plan: &Plan, events: Option<&Arc<Events>>, printer: &Printer) -> Result<()> {
    match events {
        Some(events) => {
            events.plan(plan);
            Ok(())
        }
        None => printer.out(&render_plan(plan, Detail::Folded, printer.colours_stdout())),
    }
}

/// Applies, and writes the summary whatever came of it.
pub(crate) fn carry_out(workshop: &Workshop, plan: &Plan, summary: Option<&Path>) -> Result<Exit> {
    match workshop.apply(plan) {
        Ok((done, told)) => {
            summary::write(summary, &[told])?;
            done
        }
        Err(failure) => {
            let told = Summary::failed(&plan.fleet.name, "apply", &failure);
            summary::write(summary, &[told])?;
            Err(failure)
        }
    }
}

/// Nobody watches: a cluster that vanished from the tree may be a mistake.
fn removals_are_wanted(plan: &Plan, args: &ApplyArgs) -> Result<()> {
    let removed = plan.removed_clusters();
    if removed.is_empty() || !args.how.auto_approve || args.allow_cluster_removal {
        return Ok(());
    }
    let names: Vec<String> = removed.iter().map(ToString::to_string).collect();
    Err(Failure::new(format!(
        "the plan destroys what is no longer in the tree: {}",
        names.join(", ")
    ))
    .help(
        "--allow-cluster-removal lets --auto-approve do that; or review a plan file and apply it",
    ))
}

/// Asks, unless that was answered on the command line.
pub(crate) fn approved(
    already: bool,
    printer: &Printer,
    question: &str,
    consequence: &str,
) -> Result<()> {
    if already {
        return Ok(());
    }
    if !printer.can_ask() {
        return Err(Failure::new("nobody can be asked: this is not a terminal")
            .help("--auto-approve goes on without a question"));
    }
    if printer.ask(question, consequence) {
        Ok(())
    } else {
        Err(Failure::new("cancelled, nothing was changed"))
    }
}

fn hints(workshop: &Workshop, platform: Option<&str>, printer: &Printer) {
    let mut dir = workshop.fleet.dir();
    if let Some(platform) = platform {
        dir.push_str(&format!(" --platform {platform}"));
    }
    printer.note(&format!(
        "\nNext: tks status {dir}   |   tks stores {dir}   |   tks query {dir} 'count by (cluster) (up)'"
    ));
}
