//! One process through all its lives: start, watch, restart with growing delays, stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::process::Child;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::child::{self, Launcher};
use super::protocol::{Phase, ProcessStatus, Ready, Spec};
use super::{logfile, probe};

/// Between two looks at a ready process, and at a log's length.
const RELAXED: Duration = Duration::from_secs(10);
const LOG_CHECK: Duration = Duration::from_secs(30);

/// A process under supervision.
pub(super) struct Process {
    pub(super) spec: Arc<Spec>,
    pub(super) owner: String,
    state: Arc<Mutex<State>>,
    created: i64,
    stopping: CancellationToken,
    ended: CancellationToken,
}

struct State {
    phase: Phase,
    ready: bool,
    since: i64,
    pid: Option<u32>,
    restarts: u32,
    last_exit: Option<String>,
}

impl State {
    fn enter(&mut self, phase: Phase, pid: Option<u32>) {
        self.phase = phase;
        self.pid = pid;
        self.ready = false;
        self.since = now();
    }
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

impl Process {
    pub(super) fn start(spec: Spec, owner: String, launcher: &Launcher) -> Self {
        let spec = Arc::new(spec);
        let (stopping, ended) = (CancellationToken::new(), CancellationToken::new());
        let state = Arc::new(Mutex::new(State {
            phase: Phase::Starting,
            ready: false,
            since: now(),
            pid: None,
            restarts: 0,
            last_exit: None,
        }));
        let life = Life {
            spec: Arc::clone(&spec),
            state: Arc::clone(&state),
            launcher: launcher.clone(),
            stopping: stopping.clone(),
            _ended: ended.clone().drop_guard(),
        };
        tokio::spawn(life.run());
        Self {
            spec,
            owner,
            state,
            created: now(),
            stopping,
            ended,
        }
    }

    /// Whether this spec runs, or is about to: not in a delay after a crash, and not ending.
    pub(super) fn is(&self, spec: &Spec) -> bool {
        *self.spec == *spec
            && !self.stopping.is_cancelled()
            && matches!(self.state.lock().phase, Phase::Starting | Phase::Running)
    }

    /// Begins its end, which is when the token is cancelled.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stopping.cancel();
        self.ended.clone()
    }

    /// Whether it was stopped, and is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn status(&self) -> ProcessStatus {
        let state = self.state.lock();
        ProcessStatus {
            id: self.spec.id.clone(),
            owner: self.owner.clone(),
            fingerprint: self.spec.fingerprint(),
            phase: state.phase,
            ready: state.ready,
            restarts: state.restarts,
            pid: state.pid,
            created: self.created,
            since: state.since,
            last_exit: state.last_exit.clone(),
            log: self.spec.log.clone(),
            addresses: self.spec.addresses.clone(),
        }
    }
}

/// What the task of a process holds.
struct Life {
    spec: Arc<Spec>,
    state: Arc<Mutex<State>>,
    launcher: Launcher,
    stopping: CancellationToken,
    _ended: DropGuard,
}

impl Life {
    async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            let exit = self.live().await;
            if self.stopping.is_cancelled() {
                info!(process = %self.spec.id, "stopped");
                return;
            }
            let delay = backoff.after(started.elapsed());
            warn!(process = %self.spec.id, exit, delay = ?delay, "ended, will be restarted");
            {
                let mut state = self.state.lock();
                state.enter(Phase::Backoff, None);
                state.last_exit = Some(exit);
            }
            tokio::select! {
                () = sleep(delay) => self.state.lock().restarts += 1,
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// From start to end; how it ended.
    async fn live(&self) -> String {
        let mut child = match self.launcher.spawn(&self.spec) {
            Ok(child) => child,
            Err(error) => return format!("cannot start: {error}"),
        };
        info!(process = %self.spec.id, pid = child.id(), "started");
        self.state.lock().enter(Phase::Running, child.id());
        tokio::select! {
            status = child::wait(&mut child) => describe(status),
            () = self.watch() => String::new(),
            () = self.stopping.cancelled() => self.end(&mut child).await,
        }
    }

    async fn end(&self, child: &mut Child) -> String {
        self.state.lock().enter(Phase::Stopping, child.id());
        child::stop(child).await;
        "stopped".to_owned()
    }

    /// Never ends.
    async fn watch(&self) {
        tokio::join!(self.watch_readiness(), self.watch_log());
    }

    async fn watch_readiness(&self) {
        let Some(ready) = &self.spec.ready else {
            self.state.lock().ready = true;
            return std::future::pending().await;
        };
        self.probe(ready).await;
    }

    /// Often at first, because others wait for it; every second until it is ready; rarely after.
    async fn probe(&self, ready: &Ready) {
        let mut impatience = Duration::from_millis(50);
        loop {
            let is_ready = probe::is_ready(ready).await;
            self.state.lock().ready = is_ready;
            if is_ready {
                sleep(RELAXED).await;
            } else {
                sleep(impatience).await;
                impatience = (impatience * 2).min(Duration::from_secs(1));
            }
        }
    }

    async fn watch_log(&self) {
        loop {
            sleep(LOG_CHECK).await;
            if let Err(error) = logfile::rotate(&self.spec.log) {
                warn!(process = %self.spec.id, %error, "cannot cut the log");
            }
        }
    }
}

fn describe(status: io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => child::describe(status),
        Err(error) => format!("cannot be waited for: {error}"),
    }
}

/// Delays between restarts: 1 s doubling to 30 s, and 1 s again after a minute of health.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= Duration::from_secs(60) {
            self.failures = 0;
        }
        let delay = 1_u64 << self.failures.min(5);
        self.failures += 1;
        Duration::from_secs(delay.min(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_half_a_minute_and_start_again_after_health() {
        let mut backoff = Backoff::default();
        let moment = Duration::from_millis(5);
        let delays: Vec<u64> = (0..8).map(|_| backoff.after(moment).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.after(Duration::from_secs(60)).as_secs(), 1);
        assert_eq!(backoff.after(moment).as_secs(), 2);
    }
}
