//! `tks state`: what is recorded, looked at and put right by hand.

use plan::{Options, Pattern, Recorded, Repair, RepairError, Silent, State, StateStore};
use serde_json::json;
use stack::{Address, ClusterPath, UnitPath};

use super::engine::{Workshop, runtime};
use super::show::resource_json;
use crate::Exit;
use crate::args::{
    FleetArgs, StateCommand, StateImportArgs, StateListArgs, StateMvArgs, StatePullArgs,
    StatePushArgs, StateRekeyArgs, StateRmArgs, StateShowArgs, WaitArgs,
};
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, short};

pub(crate) fn run(command: &StateCommand, printer: &Printer) -> Result<Exit> {
    match command {
        StateCommand::List(args) => list(args, printer),
        StateCommand::Show(args) => show(args, printer),
        StateCommand::Mv(args) => mv(args, printer),
        StateCommand::Rm(args) => rm(args, printer),
        StateCommand::Import(args) => import(args, printer),
        StateCommand::Rekey(args) => rekey(args, printer),
        StateCommand::Pull(args) => pull(args, printer),
        StateCommand::Push(args) => push(args, printer),
    }?;
    Ok(Exit::Done)
}

/// The fleet that is meant.
pub(crate) fn fleet(args: &FleetArgs) -> Result<Fleet> {
    session::fleet_at(args.path.as_deref(), &args.tree)
}

/// What is recorded, of the clusters below the path and of what matches.
pub(crate) fn recorded(fleet: &Fleet, patterns: &[Pattern]) -> Result<Vec<(Address, Recorded)>> {
    let states = fleet.store().load_all();
    let states = states.map_err(|e| Failure::from_error(&e))?;
    let all = states
        .into_values()
        .flat_map(|state: State| state.resources);
    let meant = |address: &Address| {
        let matches = |pattern: &Pattern| pattern.matches(address);
        fleet.selects(&address.unit.cluster)
            && (patterns.is_empty() || patterns.iter().any(matches))
    };
    Ok(all.filter(|(address, _)| meant(address)).collect())
}

fn list(args: &StateListArgs, printer: &Printer) -> Result<()> {
    let found = recorded(&fleet(&args.fleet)?, &args.pattern)?;
    let names: Vec<String> = found.iter().map(|(it, _)| it.to_string()).collect();
    match (args.json, names.is_empty()) {
        (true, _) => printer.out(&format!("{:#}", json!(names))),
        (false, true) => Ok(()),
        (false, false) => printer.out(&names.join("\n")),
    }
}

fn show(args: &StateShowArgs, printer: &Printer) -> Result<()> {
    let found = recorded(&fleet(&args.fleet)?, &args.pattern)?;
    if found.is_empty() {
        let patterns: Vec<String> = args.pattern.iter().map(ToString::to_string).collect();
        return Err(nothing(&patterns.join(", ")));
    }
    if args.json {
        let resources = found.iter().map(|(address, it)| resource_json(address, it));
        return printer.out(&format!("{:#}", resources.collect::<serde_json::Value>()));
    }
    let texts: Vec<String> = found.iter().map(|(it, of)| described(it, of)).collect();
    printer.out(&texts.join("\n\n"))
}

fn nothing(what: &str) -> Failure {
    Failure::new(format!("nothing is recorded for `{what}`")).help("tks state list")
}

/// One resource, for a person.
pub(crate) fn described(address: &Address, recorded: &Recorded) -> String {
    let width = recorded.attributes.keys().map(|name| name.chars().count());
    let width = width.max().unwrap_or(0);
    let attributes = recorded
        .attributes
        .iter()
        .map(|(name, value)| format!("    {name:width$} = {}", short(value)));
    let head = format!("# {address} (created {})", recorded.created);
    let needs = recorded
        .depends_on
        .iter()
        .map(|on| format!("    # needs {on}"));
    let lines: Vec<String> = std::iter::once(head)
        .chain(attributes)
        .chain(needs)
        .collect();
    lines.join("\n")
}

fn mv(args: &StateMvArgs, printer: &Printer) -> Result<()> {
    let to = Repair::destination(&args.from, &args.to).map_err(failure)?;
    let moved = repair(&args.fleet, &args.wait, "state mv", &[to], |repair, _| {
        repair.rename(&args.from, &args.to).map_err(failure)
    })?;
    for (from, to) in &moved {
        printer.out(&format!("{from} -> {to}"))?;
    }
    Ok(())
}

fn rm(args: &StateRmArgs, printer: &Printer) -> Result<()> {
    let dropped = repair(&args.fleet, &args.wait, "state rm", &[], |repair, _| {
        repair.forget(&args.pattern).map_err(failure)
    })?;
    for address in &dropped {
        printer.out(&format!("{address}: dropped, and left where it is"))?;
    }
    Ok(())
}

fn import(args: &StateImportArgs, printer: &Printer) -> Result<()> {
    let workshop = Workshop::open(fleet(&args.fleet)?, printer)?;
    let found = workshop.import(&args.address, &args.id)?;
    let cluster = args.address.unit.cluster.clone();
    repair(
        &args.fleet,
        &args.wait,
        "state import",
        &[cluster],
        |repair, _| repair.record(&args.address, found).map_err(failure),
    )?;
    let (address, id) = (&args.address, &args.id);
    printer.out(&format!(
        "{address}: recorded as {id:?} is; `tks plan` shows what differs from the tree"
    ))
}

fn rekey(args: &StateRekeyArgs, printer: &Printer) -> Result<()> {
    let store = fleet(&args.fleet)?.store();
    let options = Options {
        lock_timeout: args.wait.lock_timeout,
        operation: "state rekey".to_owned(),
        ..Options::default()
    };
    let done = runtime()?.block_on(store.rekey(args.to.as_deref(), &options, &Silent));
    let done = done.map_err(failure)?;
    let (documents, key) = (done.documents, done.key.display());
    printer.out(&format!(
        "{documents} documents are sealed anew; the key is in {key}"
    ))?;
    let names = ["TKS_KEY", "TKS_KEY_FILE", "TKS_PASSPHRASE"];
    for name in names
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
    {
        printer.note(&format!(
            "{name} is set, and names the key as it was: change it"
        ));
    }
    Ok(())
}

fn pull(args: &StatePullArgs, printer: &Printer) -> Result<()> {
    let document = fleet(&args.fleet)?
        .store()
        .document(&cluster(&args.cluster)?);
    let document = document.map_err(|e| Failure::from_error(&e))?;
    let document = document.ok_or_else(|| nothing(&args.cluster))?;
    printer.out(String::from_utf8_lossy(&document).trim_end())
}

fn push(args: &StatePushArgs, printer: &Printer) -> Result<()> {
    // The cluster is in the document, which the fleet's key opens.
    let store = fleet(&args.fleet)?.store();
    let read = |store: &StateStore| {
        let state = store.read_file(&args.file);
        state.map_err(|e| edited(Failure::from_error(&e)))
    };
    let cluster = read(&store)?.cluster;
    let name = cluster.to_string();
    repair(
        &args.fleet,
        &args.wait,
        "state push",
        &[cluster],
        |repair, store| repair.put(read(store)?, args.force).map_err(failure),
    )?;
    printer.out(&format!(
        "{name}: put back; the earlier version is in the history"
    ))
}

fn edited(failure: Failure) -> Failure {
    failure.help("if it was changed by hand and that is meant, take its line `checksum` out")
}

/// Under all locks: changes the record, and writes it.
fn repair<T>(
    fleet_args: &FleetArgs,
    wait: &WaitArgs,
    operation: &str,
    others: &[ClusterPath],
    change: impl FnOnce(&mut Repair<'_>, &StateStore) -> Result<T>,
) -> Result<T> {
    let store = fleet(fleet_args)?.store();
    let options = Options {
        lock_timeout: wait.lock_timeout,
        operation: operation.to_owned(),
        ..Options::default()
    };
    let begun = runtime()?.block_on(Repair::begin(&store, others, &options, &Silent));
    let mut repair = begun.map_err(failure)?;
    let changed = change(&mut repair, &store)?;
    repair.commit().map_err(failure)?;
    Ok(changed)
}

/// account/region/cluster.
pub(crate) fn cluster(text: &str) -> Result<ClusterPath> {
    let text = text.trim_end_matches('/');
    // A unit path is a cluster path and one name more.
    let unit: std::result::Result<UnitPath, _> = format!("{text}/x").parse();
    match unit {
        Ok(unit) if unit.unit == "x" => Ok(unit.cluster),
        _ => Err(Failure::new(format!("`{text}` is no cluster"))
            .help("write account/region/cluster")
            .exit(Exit::Usage)),
    }
}

fn failure(error: RepairError) -> Failure {
    let told = Failure::from_error(&error);
    match error {
        RepairError::Lock(plan::LockError::Held { .. }) => told
            .exit(Exit::LockHeld)
            .help("wait for it, for example with --lock-timeout 5m"),
        RepairError::NothingThere(_) => told.help("tks state list"),
        RepairError::OtherLineage { .. } => {
            told.help("it is the state of something else; --force puts it there anyway")
        }
        RepairError::Older { .. } => {
            told.help("pull again and change that; --force puts the older one back anyway")
        }
        _ => told,
    }
}
