//! `tks apply`: plan, ask, change; or a reviewed plan file, as it is.

use std::path::Path;

use plan::{Plan, PlanMode};

use super::engine::Workshop;
use crate::Exit;
use crate::args::{ApplyArgs, TreeArgs};
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::{Printer, render_plan};

/// `tks up`: apply on this machine.
pub(crate) fn up(mut args: ApplyArgs, printer: &Printer) -> Result<Exit> {
    args.tree.platform = Some("local".to_owned());
    run(&args, printer)
}

pub(crate) fn run(args: &ApplyArgs, printer: &Printer) -> Result<Exit> {
    match args.path.as_deref() {
        Some(file) if file.is_file() => planned(file, args, printer),
        path => fresh(path, args, printer),
    }
}

/// What was reviewed is what is applied: no question.
fn planned(file: &Path, args: &ApplyArgs, printer: &Printer) -> Result<Exit> {
    let fleet = Plan::fleet_of(file).map_err(|e| Failure::from_error(&e))?;
    let tree = TreeArgs {
        platform: Some(fleet.platform),
        ..args.tree.clone()
    };
    let workshop = Workshop::open(session::fleet_at(Some(&fleet.dir), &tree)?, printer)?
        .how(&args.how, "apply");
    let plan = Plan::load(file, &workshop.store).map_err(|e| Failure::from_error(&e))?;
    printer.out(&render_plan(&plan, printer.colours_stdout()))?;
    workshop.apply(&plan)
}

fn fresh(path: Option<&Path>, args: &ApplyArgs, printer: &Printer) -> Result<Exit> {
    let workshop =
        Workshop::open(session::fleet_at(path, &args.tree)?, printer)?.how(&args.how, "apply");
    let plan = workshop.plan(PlanMode::Apply)?;
    printer.out(&render_plan(&plan, printer.colours_stdout()))?;
    if !plan.is_empty() {
        removals_are_wanted(&plan, args)?;
        let question = "Do you want to perform these actions?";
        let consequence = "tks will perform the actions described above.";
        approved(args.how.auto_approve, printer, question, consequence)?;
    }
    let exit = workshop.apply(&plan)?;
    if !plan.is_empty() {
        hints(&workshop, args.tree.platform.as_deref(), printer);
    }
    Ok(exit)
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
