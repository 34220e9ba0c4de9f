//! `tks destroy`: tear a fleet down.

use std::sync::Arc;

use plan::PlanMode;

use super::apply::{approved, carry_out, show};
use super::engine::Workshop;
use super::events::Events;
use super::plan::told;
use crate::Exit;
use crate::args::DestroyArgs;
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::Printer;

pub(crate) fn run(args: &DestroyArgs, printer: &Printer) -> Result<Exit> {
    let events = args.tell.json.then(|| Arc::new(Events::begin(*printer)));
    told(events.as_deref(), destroy(args, events.as_ref(), printer))
}

fn destroy(args: &DestroyArgs, events: Option<&Arc<Events>>, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(Some(&args.path), &args.tree)?;
    if args.purge && !fleet.live.selection.is_empty() {
        return Err(Failure::new("--purge is for a whole fleet")
            .help(format!("name its folder: {}", fleet.live.dir.display()))
            .exit(Exit::Usage));
    }
    let workshop = Workshop::open(fleet, printer)?
        .telling(events.cloned())
        .part(&args.part)?
        .how(&args.how, "destroy");
    let plan = workshop.plan(PlanMode::Destroy)?;
    if plan.is_empty() && events.is_none() {
        printer.out("No changes. Nothing is there to destroy.")?;
    } else {
        show(&plan, events, printer)?;
    }
    if !plan.is_empty() {
        let question = match &plan.selection {
            None => "Do you really want to destroy all of it?",
            Some(_) => "Do you really want to destroy this part of it?",
        };
        let consequence = "There is no undo.";
        approved(args.how.auto_approve, printer, question, consequence)?;
    }
    let exit = carry_out(&workshop, &plan, args.tell.summary_file.as_deref())?;
    if args.purge && exit == Exit::Done {
        workshop
            .store
            .purge()
            .map_err(|e| Failure::from_error(&e))?;
    }
    Ok(exit)
}
