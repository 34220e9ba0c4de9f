//! What plan, apply and destroy share: an engine over a fleet, its failures in words.

use std::sync::Arc;
use std::time::Duration;

use plan::{
    Applied, ApplyError, Engine, LockError, Options, Plan, PlanError, PlanMode, Providers,
    StateStore, Stop,
};
use stack::Diagnostic;

use crate::Exit;
use crate::args::HowArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::Fleet;
use crate::term::{ApplyProgress, Paint, Printer};

/// A fleet with all that an engine needs.
pub(crate) struct Workshop {
    pub(crate) fleet: Fleet,
    pub(crate) store: StateStore,
    providers: Providers,
    progress: Arc<ApplyProgress>,
    printer: Printer,
    options: Options,
}

impl Workshop {
    pub(crate) fn open(fleet: Fleet, printer: &Printer) -> Result<Self> {
        fleet.must_be_built()?;
        fleet.must_be_whole()?;
        Ok(Self {
            store: fleet.store(),
            providers: fleet.providers()?,
            progress: Arc::new(ApplyProgress::new(*printer)),
            printer: *printer,
            options: Options::default(),
            fleet,
        })
    }

    pub(crate) fn how(mut self, how: &HowArgs, operation: &str) -> Self {
        self.options.parallelism = how.parallelism.max(1);
        self.options.lock_timeout = how.lock_timeout;
        self.options.operation = operation.to_owned();
        self
    }

    fn engine(&self) -> Engine<'_> {
        Engine {
            desired: &self.fleet.stack,
            providers: &self.providers,
            store: &self.store,
            progress: self.progress.as_ref(),
            options: self.options.clone(),
        }
    }

    /// What would change.
    pub(crate) fn plan(&self, mode: PlanMode) -> Result<Plan> {
        runtime()?
            .block_on(self.engine().plan(mode))
            .map_err(plan_failure)
    }

    /// Makes it so, and says what was done.
    pub(crate) fn apply(&self, plan: &Plan) -> Result<Exit> {
        let applied = runtime()?.block_on(async {
            let watcher =
                tokio::spawn(watch(self.options.stop.clone(), Arc::clone(&self.progress)));
            let applied = self.engine().apply(plan).await;
            watcher.abort();
            applied
        });
        self.progress.finish();
        let applied = applied.map_err(apply_failure)?;
        if plan.is_empty() && applied.is_complete() {
            return Ok(Exit::Done);
        }
        self.say(plan.mode, &applied)
    }

    fn say(&self, mode: PlanMode, applied: &Applied) -> Result<Exit> {
        if applied.is_complete() {
            let text = complete(mode, applied);
            self.printer
                .out(&Paint::Create.on(&text, self.printer.colours_stdout()))?;
            return Ok(Exit::Done);
        }
        let problems = applied.failed.iter().map(problem).collect();
        let mut failure = Failure::of(problems);
        if failure.problems.is_empty() {
            failure = Failure::new(format!(
                "interrupted: {} changes were not begun",
                applied.not_started.len()
            ));
        }
        for left in &applied.skipped {
            self.printer.note(&format!(
                "left out: {}, because {} failed",
                left.address, left.because
            ));
        }
        let exit = if applied.is_partial() {
            Exit::PartlyApplied
        } else {
            Exit::Error
        };
        Err(failure.exit(exit))
    }
}

/// One runtime for a command; a thread is enough, since changes wait more than they compute.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("cannot start", &e))
}

/// The first interrupt stops gently, the second one ends the process; and time passes for whoever watches.
async fn watch(stop: Stop, progress: Arc<ApplyProgress>) {
    let shutdown = net::shutdown::on_signals();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = shutdown.cancelled(), if !stop.is_stopped() => stop.stop(),
            _ = second.tick() => progress.tick(),
        }
    }
}

fn complete(mode: PlanMode, applied: &Applied) -> String {
    let counts = applied.counts;
    match mode {
        PlanMode::Apply => format!(
            "Apply complete! Resources: {} added, {} changed, {} destroyed.",
            counts.to_add(),
            counts.to_change(),
            counts.to_destroy()
        ),
        PlanMode::Destroy => format!(
            "Destroy complete! Resources: {} destroyed.",
            counts.to_destroy()
        ),
    }
}

fn problem(failed: &plan::Failed) -> Diagnostic {
    let mut message = format!("{}: {}", failed.address, failed.error);
    let mut cause = std::error::Error::source(&failed.error);
    let mut help = None;
    while let Some(error) = cause {
        if let Some(provider) = error.downcast_ref::<plan::ProviderError>() {
            help.clone_from(&provider.help);
        }
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    if let plan::Failure::Provider(provider) = &failed.error {
        help = help.or_else(|| provider.help.clone());
    }
    let mut diagnostic = Diagnostic::new(message);
    diagnostic.help = help;
    diagnostic
}

fn plan_failure(error: PlanError) -> Failure {
    match error {
        PlanError::Diagnostics(diagnostics) => diagnostics.into(),
        PlanError::Refresh(failed) => {
            let problem = |failed: &plan::ResourceError| {
                let mut diagnostic =
                    Diagnostic::new(format!("cannot read {}: {}", failed.address, failed.source));
                diagnostic.help.clone_from(&failed.source.help);
                diagnostic
            };
            Failure::of(failed.iter().map(problem).collect())
        }
        error @ PlanError::Protected(_) => Failure::from_error(&error)
            .help("take `lifecycle: { protect: true }` away and apply first"),
        error => Failure::from_error(&error),
    }
}

fn apply_failure(error: ApplyError) -> Failure {
    match error {
        ApplyError::Diagnostics(diagnostics) => diagnostics.into(),
        ApplyError::Lock(error @ LockError::Held { .. }) => Failure::from_error(&error)
            .exit(Exit::LockHeld)
            .help("wait for it, for example with --lock-timeout 5m"),
        error => Failure::from_error(&error),
    }
}
