//! What happens, as JSON lines in the shapes of `terraform -json`: one object a line, with `@level`, `@message`, `@module`,
//! `@timestamp` and `type`; the first one tells the version.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use plan::{Action, Applied, Change, Drift, Event, Plan, PlanMode, Progress, Reason};
use serde_json::{Map, Value as Json, json};
use stack::{Address, Value};

use super::plan_json;
use crate::diagnostic::Failure;
use crate::term::{Printer, Watched, doing, done, interrupted, verdict};

/// How often it is said that something still goes on.
const STILL: Duration = Duration::from_secs(10);
const UI_VERSION: &str = "1.2";

/// Writes events to stdout.
pub(crate) struct Events {
    printer: Printer,
    running: Mutex<HashMap<Address, Running>>,
}

struct Running {
    action: Action,
    since: Instant,
    said: Instant,
}

impl Events {
    /// Tells the version: before anything is read.
    pub(crate) fn begin(printer: Printer) -> Self {
        let events = Self {
            printer,
            running: Mutex::default(),
        };
        let version = env!("CARGO_PKG_VERSION");
        let more = json!({ "tks": version, "ui": UI_VERSION });
        events.tell("info", "version", &format!("tks {version}"), more);
        events
    }

    fn tell(&self, level: &str, kind: &str, message: &str, more: Json) {
        let mut line = Map::from_iter([
            ("@level".to_owned(), json!(level)),
            ("@message".to_owned(), json!(message)),
            ("@module".to_owned(), json!("tks.ui")),
            (
                "@timestamp".to_owned(),
                json!(jiff::Timestamp::now().to_string()),
            ),
            ("type".to_owned(), json!(kind)),
        ]);
        if let Json::Object(more) = more {
            line.extend(more);
        }
        // Whoever closed the pipe wants no more lines.
        let _ = self.printer.out(&Json::Object(line).to_string());
    }

    /// All of a plan: drift, changes, outputs, counts.
    pub(crate) fn plan(&self, plan: &Plan) {
        if let Some(selection) = &plan.selection {
            let message = format!("the plan is for a part of the fleet: {selection}");
            self.tell("warn", "log", &message, json!({}));
        }
        for drift in &plan.drift {
            let message = format!("{}: Drift detected", drift.address);
            self.tell("info", "resource_drift", &message, drifted(drift));
        }
        for change in plan.changes.iter().filter(|change| change.is_change()) {
            let message = format!("{}: Plan to {}", change.address, action(change.action));
            self.tell("info", "planned_change", &message, planned(change));
        }
        let outputs: Map<String, Json> = plan.outputs.iter().flat_map(output_changes).collect();
        if !outputs.is_empty() {
            let message = format!("Outputs: {}", outputs.len());
            self.tell("info", "outputs", &message, json!({ "outputs": outputs }));
        }
        let counts = plan.counts();
        let message = format!(
            "Plan: {} to add, {} to change, {} to destroy.",
            counts.to_add(),
            counts.to_change(),
            counts.to_destroy()
        );
        self.summary("plan", &message, &counts);
    }

    /// How an apply ended.
    pub(crate) fn applied(&self, mode: PlanMode, applied: &Applied) {
        let (operation, word) = match mode {
            PlanMode::Destroy => ("destroy", "Destroy"),
            _ => ("apply", "Apply"),
        };
        let counts = applied.counts;
        let how = if applied.is_complete() {
            "complete!"
        } else {
            "incomplete."
        };
        let message = format!(
            "{word} {how} Resources: {} added, {} changed, {} destroyed.",
            counts.to_add(),
            counts.to_change(),
            counts.to_destroy()
        );
        self.summary(operation, &message, &counts);
        let outputs = applied.outputs.iter().flat_map(|(unit, values)| {
            let name = move |(name, value): (&String, &Value)| {
                let sensitive = matches!(value, Value::Secret(_));
                let told = json!({ "sensitive": sensitive, "value": plan_json::json(value) });
                (format!("{unit}.{name}"), told)
            };
            values.iter().map(name)
        });
        let outputs: Map<String, Json> = outputs.collect();
        let message = format!("Outputs: {}", outputs.len());
        self.tell("info", "outputs", &message, json!({ "outputs": outputs }));
    }

    fn summary(&self, operation: &str, message: &str, counts: &plan::Counts) {
        let changes = json!({
            "add": counts.to_add(),
            "change": counts.to_change(),
            "import": counts.import,
            "remove": counts.to_destroy(),
            "forget": counts.forget,
            "operation": operation,
        });
        self.tell(
            "info",
            "change_summary",
            message,
            json!({ "changes": changes }),
        );
    }

    /// Every problem of a failure, and its exit code with nothing more to be said.
    pub(crate) fn failure(&self, failure: &Failure) {
        for diagnostic in failure.to_json() {
            let mut diagnostic = diagnostic;
            if !failure.causes.is_empty() && diagnostic["detail"].is_null() {
                diagnostic["detail"] = json!(failure.causes.join(": "));
            }
            let summary = diagnostic["summary"].as_str().unwrap_or_default();
            let message = format!("Error: {summary}");
            let more = json!({ "diagnostic": diagnostic });
            self.tell("error", "diagnostic", &message, more);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Running>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ended(&self, address: &Address, action: Action, elapsed: Duration, error: Option<&str>) {
        self.lock().remove(address);
        let seconds = elapsed.as_secs();
        let (level, kind, how) = match error {
            None => ("info", "apply_complete", "complete"),
            Some(_) => ("error", "apply_errored", "errored"),
        };
        let message = format!("{address}: {} {how} after {seconds}s", done(action));
        self.tell(
            level,
            kind,
            &message,
            hook(address, action, Some(seconds), error),
        );
    }
}

impl Watched for Events {
    fn tick(&self) {
        let mut still = Vec::new();
        for (address, running) in self.lock().iter_mut() {
            if running.said.elapsed() >= STILL {
                running.said = Instant::now();
                let seconds = running.since.elapsed().as_secs();
                still.push((address.clone(), running.action, seconds));
            }
        }
        for (address, action, seconds) in still {
            let doing = doing(action).to_lowercase();
            let message = format!("{address}: Still {doing}... [{seconds}s elapsed]");
            let more = hook(&address, action, Some(seconds), None);
            self.tell("info", "apply_progress", &message, more);
        }
    }

    fn finish(&self) {}
}

impl Progress for Events {
    fn event(&self, event: Event) {
        match event {
            Event::Started { address, action } => {
                let message = format!("{address}: {}...", doing(action));
                self.tell(
                    "info",
                    "apply_start",
                    &message,
                    hook(&address, action, None, None),
                );
                let now = Instant::now();
                let running = Running {
                    action,
                    since: now,
                    said: now,
                };
                self.lock().insert(address, running);
            }
            Event::Finished {
                address,
                action,
                elapsed,
            } => self.ended(&address, action, elapsed, None),
            Event::Failed {
                address,
                action,
                elapsed,
                error,
            } => self.ended(&address, action, elapsed, Some(&error)),
            Event::Skipped {
                address, because, ..
            } => {
                let message = format!("{address}: left out, because {because} failed");
                self.tell("warn", "log", &message, json!({}));
            }
            Event::Retrying {
                address,
                attempt,
                delay,
                error,
                ..
            } => {
                let wait = delay.as_secs_f32();
                let message =
                    format!("{address}: try {attempt} failed ({error}), next in {wait:.1}s");
                self.tell("warn", "log", &message, json!({}));
            }
            Event::WaitingForLock { cluster, .. } => {
                let message = format!("waiting for the lock of {cluster}");
                self.tell("info", "log", &message, json!({}));
            }
            Event::Stopping { in_flight } => {
                let message = format!(
                    "interrupted: finishing {in_flight} changes in flight, starting nothing new"
                );
                self.tell("warn", "log", &message, json!({}));
            }
            Event::Interrupted {
                cluster,
                run,
                recorded,
                in_flight,
            } => {
                let message = interrupted(&cluster, &run, recorded, &in_flight);
                self.tell("warn", "log", &message, json!({}));
            }
            Event::Hook {
                around,
                when,
                command,
            } => {
                let message = format!("{around}: {when}: {}", command.join(" "));
                self.tell("info", "log", &message, json!({}));
            }
            Event::Refreshing { .. }
            | Event::Refreshed { .. }
            | Event::Planned { .. }
            | Event::Journaled { .. }
            | Event::Saved { .. }
            | Event::Closed { .. }
            | Event::Applying { .. } => {}
        }
    }
}

fn resource(address: &Address) -> Json {
    let own = format!("{}.{}", address.kind, address.name);
    json!({
        "addr": address.to_string(),
        "module": address.unit.to_string(),
        "resource": own,
        "implied_provider": address.kind.split('.').next(),
        "resource_type": address.kind,
        "resource_name": address.name,
        "resource_key": address.key,
    })
}

fn hook(address: &Address, action: Action, seconds: Option<u64>, error: Option<&str>) -> Json {
    let mut hook = Map::from_iter([
        ("resource".to_owned(), resource(address)),
        ("action".to_owned(), json!(self::action(action))),
    ]);
    hook.extend(seconds.map(|seconds| ("elapsed_seconds".to_owned(), json!(seconds))));
    hook.extend(error.map(|error| ("error".to_owned(), json!(error))));
    json!({ "hook": hook })
}

fn drifted(drift: &Drift) -> Json {
    let action = if drift.gone { "delete" } else { "update" };
    json!({ "change": { "resource": resource(&drift.address), "action": action } })
}

fn planned(change: &Change) -> Json {
    let mut told = Map::from_iter([
        ("resource".to_owned(), resource(&change.address)),
        ("action".to_owned(), json!(action(change.action))),
        ("unit".to_owned(), json!(change.address.unit.to_string())),
        ("verdict".to_owned(), json!(verdict(change))),
    ]);
    told.extend(reason(change).map(|reason| ("reason".to_owned(), json!(reason))));
    json!({ "change": told })
}

fn output_changes(output: &plan::OutputChange) -> Vec<(String, Json)> {
    let change = |diff: &plan::Diff| {
        let action = match (&diff.before, &diff.after) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        };
        let secret = |value: &Option<Value>| matches!(value, Some(Value::Secret(_)));
        let told = json!({
            "action": action,
            "sensitive": secret(&diff.before) || secret(&diff.after),
        });
        (format!("{}.{}", output.unit, diff.path), told)
    };
    output.diffs.iter().map(change).collect()
}

/// Terraform's words.
fn action(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Forget => "forget",
        Action::NoOp | Action::Skipped => "noop",
    }
}

/// Terraform's words, where it has one.
pub(crate) fn reason(change: &Change) -> Option<&'static str> {
    match change.reason.as_ref()? {
        Reason::CannotUpdate(_) => Some("cannot_update"),
        Reason::Requested => Some("requested"),
        Reason::ResourceNotInTree => Some("delete_because_no_resource_config"),
        Reason::UnitNotInTree | Reason::ClusterNotInTree => Some("delete_because_no_module"),
        _ => None,
    }
}
