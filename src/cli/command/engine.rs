//! What plan, apply and destroy share: an engine over a fleet, its failures in words.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use plan::{
    Applied, ApplyError, Engine, LockError, Options, Plan, PlanError, PlanMode, Providers,
    Selection, StateStore, Stop,
};
use stack::Diagnostic;
use tokio_util::sync::CancellationToken;

use super::events::Events;
use super::summary::Summary;
use crate::Exit;
use crate::args::{HowArgs, PartArgs, PatienceArgs, PlanningArgs};
use crate::diagnostic::{Failure, Result};
use crate::extension::Heard;
use crate::session::Fleet;
use crate::term::{ApplyProgress, Paint, Printer, Watched};

/// A fleet with all that an engine needs.
pub(crate) struct Workshop {
    pub(crate) fleet: Fleet,
    pub(crate) store: StateStore,
    providers: Providers,
    progress: Arc<dyn Watched>,
    /// Instead of words, if asked for.
    pub(crate) events: Option<Arc<Events>>,
    printer: Printer,
    options: Options,
}

impl Workshop {
    pub(crate) fn open(fleet: Fleet, printer: &Printer) -> Result<Self> {
        fleet.must_be_built()?;
        let mut options = Options::default();
        options.selection.clusters.clone_from(&fleet.live.selection);
        Ok(Self {
            store: fleet.store(),
            providers: fleet.providers()?,
            progress: Arc::new(ApplyProgress::new(*printer)),
            events: None,
            printer: *printer,
            options,
            fleet,
        })
    }

    /// Tells events instead of words, where they are given.
    pub(crate) fn telling(mut self, events: Option<Arc<Events>>) -> Self {
        if let Some(events) = events {
            self.progress = Arc::clone(&events) as Arc<dyn Watched>;
            self.events = Some(events);
        }
        self
    }

    pub(crate) fn planning(mut self, planning: &PlanningArgs) -> Result<Self> {
        self.options.replace.clone_from(&planning.replace);
        self.options.refresh = planning.refresh;
        self.part(&planning.part)
    }

    pub(crate) fn part(mut self, part: &PartArgs) -> Result<Self> {
        self.options.selection = Selection {
            targets: part.target.clone(),
            excludes: part.exclude.clone(),
            with_dependencies: part.with_dependencies,
            ..self.fleet.selection(&part.choice)?
        };
        Ok(self)
    }

    pub(crate) fn patience(mut self, patience: &PatienceArgs) -> Self {
        self.options.fail_fast = patience.fail_fast;
        self.options.timeout = patience.timeout;
        self
    }

    pub(crate) fn how(mut self, how: &HowArgs, operation: &str) -> Self {
        self.options.parallelism = how.parallelism.max(1);
        self.options.lock_timeout = how.lock_timeout;
        self.options.operation = operation.to_owned();
        self.patience(&how.patience)
    }

    fn engine<'e>(&'e self, progress: &'e Heard<'e>) -> Engine<'e> {
        Engine {
            desired: &self.fleet.stack,
            providers: &self.providers,
            store: &self.store,
            progress,
            options: self.options.clone(),
        }
    }

    /// What would change.
    pub(crate) fn plan(&self, mode: PlanMode) -> Result<Plan> {
        let impatience = Impatience::begin(Arc::clone(&self.progress));
        let progress = Heard(self.progress.as_ref());
        let planned = runtime()?.block_on(self.engine(&progress).plan(mode));
        impatience.end();
        planned.map_err(plan_failure)
    }

    /// What would be recorded of something that was there before.
    pub(crate) fn import(&self, address: &stack::Address, id: &str) -> Result<plan::Recorded> {
        let progress = Heard(self.progress.as_ref());
        runtime()?
            .block_on(self.engine(&progress).import(address, id))
            .map_err(plan_failure)
    }

    /// Makes it so, and says what was done. The summary is for whoever asked for one.
    pub(crate) fn apply(&self, plan: &Plan) -> Result<(Result<Exit>, Summary)> {
        let watcher = Watcher::begin(self.options.stop.clone(), Arc::clone(&self.progress))?;
        let progress = Heard(self.progress.as_ref());
        let applied = runtime()?.block_on(self.engine(&progress).apply(plan));
        watcher.end();
        self.progress.finish();
        let applied = applied.map_err(apply_failure)?;
        if let Some(events) = &self.events {
            events.applied(plan.mode, &applied);
        }
        let summary = Summary::applied(plan, &applied);
        if plan.is_empty() && applied.is_complete() {
            return Ok((Ok(Exit::Done), summary));
        }
        Ok((self.say(plan.mode, &applied), summary))
    }

    fn say(&self, mode: PlanMode, applied: &Applied) -> Result<Exit> {
        if applied.is_complete() {
            self.say_complete(mode, applied)?;
            return Ok(Exit::Done);
        }
        let hooks = applied.hooks_failed.iter().map(|hook| {
            let (around, when, message) = (&hook.around, hook.when, &hook.message);
            Diagnostic::new(format!("the hook {when} of {around} failed: {message}"))
        });
        let problems = applied.failed.iter().map(problem).chain(hooks).collect();
        let mut failure = Failure::of(problems);
        if failure.problems.is_empty() {
            failure = Failure::new(format!(
                "interrupted: {} changes were not begun",
                applied.not_started.len()
            ));
        }
        if self.events.is_none() {
            for left in &applied.skipped {
                let (address, because) = (&left.address, &left.because);
                self.printer
                    .note(&format!("left out: {address}, because {because} failed"));
            }
        }
        let exit = if applied.is_partial() {
            Exit::PartlyApplied
        } else {
            Exit::Error
        };
        Err(failure.exit(exit))
    }

    fn say_complete(&self, mode: PlanMode, applied: &Applied) -> Result<()> {
        if self.events.is_some() {
            return Ok(());
        }
        let text = complete(mode, applied);
        self.printer
            .out(&Paint::Create.on(&text, self.printer.colours_stdout()))
    }
}

/// One runtime for a command; a thread is enough, since changes wait more than they compute.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("cannot start", &e))
}

/// Before it is asked for the first time how far a plan has come: nobody looks at nothing for longer.
const SILENCE: Duration = Duration::from_millis(150);

/// Asks again and again how far a plan has come. On a thread of its own: a plan computes without a pause.
struct Impatience {
    thread: std::thread::JoinHandle<()>,
    over: std::sync::mpsc::Sender<()>,
}

impl Impatience {
    fn begin(progress: Arc<dyn Watched>) -> Self {
        let (over, ended) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut wait = SILENCE;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                progress.planning();
                wait = Duration::from_secs(1);
            }
        });
        Self { thread, over }
    }

    fn end(self) {
        drop(self.over);
        let _ = self.thread.join();
    }
}

/// The first interrupt stops gently, the second one ends the process; and time passes for whoever watches. On a thread of
/// its own: what is applied may compute for long without a pause.
struct Watcher {
    thread: std::thread::JoinHandle<()>,
    over: Arc<tokio::sync::Notify>,
}

impl Watcher {
    /// Returns once interrupts are caught.
    fn begin(stop: Stop, progress: Arc<dyn Watched>) -> Result<Self> {
        let runtime = runtime()?;
        let over = Arc::new(tokio::sync::Notify::new());
        let (ready, caught) = std::sync::mpsc::channel();
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let shutdown = net::shutdown::on_signals();
                let _ = ready.send(());
                tokio::select! {
                    () = watch(stop, shutdown, progress) => {}
                    () = ended.notified() => {}
                }
            });
        });
        let _ = caught.recv();
        Ok(Self { thread, over })
    }

    fn end(self) {
        self.over.notify_one();
        let _ = self.thread.join();
    }
}

async fn watch(stop: Stop, shutdown: CancellationToken, progress: Arc<dyn Watched>) {
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
        PlanMode::RefreshOnly => "Apply complete! What is there is recorded.".to_owned(),
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

pub(super) fn plan_failure(error: PlanError) -> Failure {
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
        PlanError::NothingSelected { ref candidates, .. } => {
            let mut failure = Failure::from_error(&error);
            for problem in &mut failure.problems {
                problem.candidates.clone_from(candidates);
            }
            failure
        }
        error @ PlanError::NotThere(_) => Failure::from_error(&error)
            .help("apply that first, or take it along: --with-dependencies"),
        error @ PlanError::StillNeeded(_) => Failure::from_error(&error)
            .help("select what uses it too, or take it along: --with-dependencies"),
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
