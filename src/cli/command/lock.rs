//! `tks lock`: who changes what now.

use plan::{Holder, LockError, Locked};
use serde_json::json;

use super::state::{cluster, fleet};
use crate::Exit;
use crate::args::{LockCommand, LockListArgs, LockReleaseArgs};
use crate::diagnostic::{Failure, Result};
use crate::term::{Printer, table};

pub(crate) fn run(command: &LockCommand, printer: &Printer) -> Result<Exit> {
    match command {
        LockCommand::List(args) => list(args, printer),
        LockCommand::Release(args) => release(args, printer),
    }?;
    Ok(Exit::Done)
}

fn list(args: &LockListArgs, printer: &Printer) -> Result<()> {
    let locks = fleet(&args.fleet)?.store().locks();
    let locks = locks.map_err(|e| Failure::from_error(&e))?;
    if args.json {
        let locks: Vec<_> = locks.iter().map(lock_json).collect();
        return printer.out(&format!("{:#}", json!(locks)));
    }
    if locks.is_empty() {
        printer.note("No cluster is locked.");
        return Ok(());
    }
    let head = ["CLUSTER", "HOLDER", "PROCESS", "DOES", "SINCE"];
    printer.out(&table(&head, locks.iter().map(row)))
}

fn row(lock: &Locked) -> Vec<String> {
    let of = |text: fn(&Holder) -> String| lock.holder.as_ref().map_or("?".to_owned(), text);
    vec![
        lock.cluster.to_string(),
        of(|holder| format!("{}@{}", holder.user, holder.host)),
        of(|holder| holder.pid.to_string()),
        of(|holder| holder.operation.clone()),
        of(|holder| holder.since.clone()),
    ]
}

fn lock_json(lock: &Locked) -> serde_json::Value {
    let holder = lock.holder.as_ref().map(|holder| {
        json!({
            "pid": holder.pid,
            "user": holder.user,
            "host": holder.host,
            "operation": holder.operation,
            "since": holder.since,
        })
    });
    json!({ "cluster": lock.cluster.to_string(), "holder": holder })
}

fn release(args: &LockReleaseArgs, printer: &Printer) -> Result<()> {
    let cluster = cluster(&args.cluster)?;
    match fleet(&args.fleet)?.store().release_lock(&cluster) {
        Ok(true) => printer.out(&format!("{cluster}: what was left of a lock is removed")),
        Ok(false) => printer.out(&format!("{cluster}: it is not locked")),
        Err(error @ LockError::Held { .. }) => {
            let help =
                "it ends with its process: interrupt that, and what is in flight is finished first";
            Err(Failure::from_error(&error).exit(Exit::LockHeld).help(help))
        }
        Err(error) => Err(Failure::from_error(&error)),
    }
}
