//! What happens during an apply: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plan::{Action, Event, Progress};
use stack::{Address, ClusterPath};

use super::Printer;

/// How often a plain log says that something still goes on.
const STILL: Duration = Duration::from_secs(10);

/// A progress that also tells what goes on for long.
pub(crate) trait Watched: Progress {
    /// Says how far a plan has come; called every second or so until it is made.
    fn planning(&self) {}

    /// Says what still goes on; called every second or so.
    fn tick(&self);

    /// Nothing happens any more.
    fn finish(&self);
}

/// Tells a person what an engine does.
pub(crate) struct ApplyProgress {
    printer: Printer,
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reading: Option<Reading>,
    total: Option<ProgressBar>,
    running: HashMap<Address, Running>,
}

/// How far the reading of what is there has come.
#[derive(Default)]
struct Reading {
    bar: Option<ProgressBar>,
    done: usize,
    total: usize,
    said: Option<Instant>,
}

struct Running {
    bar: Option<ProgressBar>,
    action: Action,
    since: Instant,
    said: Instant,
}

impl ApplyProgress {
    pub(crate) fn new(printer: Printer) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            printer,
            bars: terminal.then(MultiProgress::new),
            state: Mutex::default(),
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => self.printer.note(text),
        }
    }

    fn begin_reading(&self, total: usize) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(total as u64));
            if let Ok(style) =
                ProgressStyle::with_template("Reading what is there {bar:30} {pos}/{len}")
            {
                bar.set_style(style);
            }
            bar
        });
        let reading = self.lock().reading.take();
        self.lock().reading = Some(Reading {
            bar,
            total,
            done: 0,
            said: reading.and_then(|reading| reading.said),
        });
    }

    fn read_one(&self) {
        if let Some(reading) = &mut self.lock().reading {
            reading.done += 1;
            if let Some(bar) = &reading.bar {
                bar.inc(1);
            }
        }
    }

    fn end_reading(&self) {
        let reading = self.lock().reading.take();
        if let Some(bar) = reading.and_then(|reading| reading.bar) {
            bar.finish_and_clear();
        }
    }

    /// What a plan is busy with, for who waits: once at first, then now and then.
    fn still_planning(&self) {
        let mut state = self.lock();
        let reading = state.reading.get_or_insert_default();
        if reading.bar.is_some() || reading.said.is_some_and(|said| said.elapsed() < STILL) {
            return;
        }
        reading.said = Some(Instant::now());
        let (done, total) = (reading.done, reading.total);
        drop(state);
        if total == 0 {
            self.say("Planning...");
        } else {
            self.say(&format!("Reading what is there: {done} of {total}..."));
        }
    }

    fn begin(&self, steps: usize) {
        let Some(bars) = &self.bars else { return };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}");
        let bar = bars.add(ProgressBar::new(steps as u64));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        self.lock().total = Some(bar);
    }

    fn started(&self, address: Address, action: Action) {
        let text = format!("{address}: {}...", doing(action));
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.insert_from_back(1, ProgressBar::new_spinner());
            bar.set_message(text.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.say(&text);
        }
        let now = Instant::now();
        self.lock().running.insert(
            address,
            Running {
                bar,
                action,
                since: now,
                said: now,
            },
        );
    }

    fn ended(&self, address: &Address, text: &str) {
        let running = self.lock().running.remove(address);
        if let Some(bar) = running.and_then(|running| running.bar) {
            bar.finish_and_clear();
        }
        if let Some(total) = &self.lock().total {
            total.inc(1);
        }
        self.say(text);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Watched for ApplyProgress {
    fn planning(&self) {
        self.still_planning();
    }

    fn tick(&self) {
        if self.bars.is_some() {
            return;
        }
        let mut lines = Vec::new();
        for (address, running) in &mut self.lock().running {
            if running.said.elapsed() >= STILL {
                running.said = Instant::now();
                let elapsed = running.since.elapsed().as_secs();
                let doing = doing(running.action).to_lowercase();
                lines.push(format!("{address}: Still {doing}... [{elapsed}s elapsed]"));
            }
        }
        lines.iter().for_each(|line| self.say(line));
    }

    fn finish(&self) {
        if let Some(total) = self.lock().total.take() {
            total.finish_and_clear();
        }
    }
}

impl Progress for ApplyProgress {
    fn event(&self, event: Event) {
        match event {
            Event::Applying { steps } => self.begin(steps),
            Event::Started { address, action } => self.started(address, action),
            Event::Finished {
                address,
                action,
                elapsed,
            } => {
                let text = format!(
                    "{address}: {} complete after {}s",
                    done(action),
                    elapsed.as_secs()
                );
                self.ended(&address, &text);
            }
            Event::Failed {
                address,
                action,
                elapsed,
                ..
            } => {
                let text = format!(
                    "{address}: {} errored after {}s",
                    done(action),
                    elapsed.as_secs()
                );
                self.ended(&address, &text);
            }
            Event::Skipped {
                address, because, ..
            } => {
                self.ended(
                    &address,
                    &format!("{address}: left out, because {because} failed"),
                );
            }
            Event::Retrying {
                address,
                attempt,
                delay,
                error,
                ..
            } => {
                let wait = delay.as_secs_f32();
                self.say(&format!(
                    "{address}: try {attempt} failed ({error}), next in {wait:.1}s"
                ));
            }
            Event::WaitingForLock { cluster, holder } => {
                let holder =
                    holder.map(|h| format!(", held by {}@{} (process {})", h.user, h.host, h.pid));
                let holder = holder.unwrap_or_default();
                self.say(&format!("waiting for the lock of {cluster}{holder}"));
            }
            Event::Stopping { in_flight } => {
                self.say(&format!(
                    "Interrupted: finishing {in_flight} changes in flight, starting nothing new"
                ));
            }
            Event::Refreshing { resources } => self.begin_reading(resources),
            Event::Refreshed { .. } => self.read_one(),
            Event::Planned { .. } => self.end_reading(),
            Event::Interrupted {
                cluster,
                run,
                recorded,
                in_flight,
            } => self.say(&interrupted(&cluster, &run, recorded, &in_flight)),
            Event::Hook {
                around,
                when,
                command,
            } => self.say(&format!("{around}: {when}: {}", command.join(" "))),
            Event::Journaled { .. } | Event::Saved { .. } | Event::Closed { .. } => {}
        }
    }
}

/// What an interrupted run left, and what becomes of it.
pub(crate) fn interrupted(
    cluster: &ClusterPath,
    run: &str,
    recorded: usize,
    in_flight: &[(Address, Action)],
) -> String {
    const SHOWN: usize = 10;
    let mut text =
        format!("{cluster}: {run} was interrupted; {recorded} results are in its journal");
    for (address, action) in in_flight.iter().take(SHOWN) {
        let found_out = match action {
            Action::Create => "it is looked for, and taken over or removed",
            _ => "it is read anew",
        };
        let doing = doing(*action).to_lowercase();
        text.push_str(&format!("\n  in flight: {doing} {address}: {found_out}"));
    }
    let more = in_flight.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// What an action is called while it goes on.
pub(crate) fn doing(action: Action) -> &'static str {
    match action {
        Action::Create => "Creating",
        Action::Update => "Modifying",
        Action::Replace => "Replacing",
        Action::Delete => "Destroying",
        Action::Forget => "Forgetting",
        Action::NoOp | Action::Skipped => "Checking",
    }
}

/// What an action is called once it ended.
pub(crate) fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "Creation",
        Action::Update => "Modifications",
        Action::Replace => "Replacement",
        Action::Delete => "Destruction",
        Action::Forget => "Forgetting",
        Action::NoOp | Action::Skipped => "Check",
    }
}
