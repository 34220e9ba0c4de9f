//! `tks destroy`: tear a fleet down.

use plan::PlanMode;

use super::apply::approved;
use super::engine::Workshop;
use crate::Exit;
use crate::args::DestroyArgs;
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::{Printer, render_plan};

pub(crate) fn run(args: &DestroyArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(Some(&args.path), &args.tree)?;
    let workshop = Workshop::open(fleet, printer)?.how(&args.how, "destroy");
    let plan = workshop.plan(PlanMode::Destroy)?;
    if plan.is_empty() {
        printer.out("No changes. Nothing is there to destroy.")?;
    } else {
        printer.out(&render_plan(&plan, printer.colours_stdout()))?;
        let question = "Do you really want to destroy all of it?";
        let consequence = "There is no undo.";
        approved(args.how.auto_approve, printer, question, consequence)?;
    }
    let exit = workshop.apply(&plan)?;
    if args.purge && exit == Exit::Done {
        workshop
            .store
            .purge()
            .map_err(|e| Failure::from_error(&e))?;
    }
    Ok(exit)
}
