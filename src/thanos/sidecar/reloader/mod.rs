//! Has Prometheus load its configuration anew whenever the configuration file or a folder of rules changes.
//!
//! The configuration may refer to environment variables, `$(NAME)`, and be packed with gzip: what it comes to is written
//! to a second file, the one that Prometheus reads. What was there before stays until the new one is whole. A reload
//! that fails is tried again until Prometheus took what the files say by then.

mod content;
mod expand;
mod metrics;
mod trigger;

use std::path::PathBuf;
use std::time::Duration;

use net::metrics::Registry;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

pub use content::SourceError;
pub use expand::ExpandError;

use super::prometheus::Prometheus;
use content::{Fingerprint, Sources};
use metrics::Metrics;
use trigger::Trigger;

/// What is watched, and how Prometheus is told.
#[derive(Clone, Debug)]
pub struct Reloads {
    pub config_file: Option<PathBuf>,
    /// Where the configuration goes once its variables are replaced; nothing is written when absent.
    pub config_envsubst_file: Option<PathBuf>,
    pub rule_dirs: Vec<PathBuf>,
    /// Between two looks at the files when no change is noticed. Zero: the configuration is written once, and nothing
    /// is watched or reloaded.
    pub watch_interval: Duration,
    /// Between two tries of a reload that failed.
    pub retry_interval: Duration,
    pub method: Method,
}

impl Default for Reloads {
    fn default() -> Self {
        Self {
            config_file: None,
            config_envsubst_file: None,
            rule_dirs: Vec::new(),
            watch_interval: Duration::from_secs(180),
            retry_interval: Duration::from_secs(5),
            method: Method::Http,
        }
    }
}

/// How Prometheus is told to load its configuration anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `POST /-/reload`.
    Http,
    /// SIGHUP to the process of this name.
    Signal { process_name: String },
}

/// Why the files could not be brought to Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Expand(#[from] ExpandError),
    #[error("a task ended by itself")]
    Task(#[from] tokio::task::JoinError),
}

/// Keeps one Prometheus on what its files say.
pub(super) struct Reloader {
    sources: Sources,
    watch_interval: Duration,
    retry_interval: Duration,
    trigger: Trigger,
    metrics: Metrics,
    watched: Vec<PathBuf>,
    changes: Option<Receiver<()>>,
    /// What Prometheus took last.
    loaded: Option<Fingerprint>,
}

impl Reloader {
    pub(super) fn new(reloads: &Reloads, prometheus: Prometheus, registry: &Registry) -> Self {
        let metrics = Metrics::new(&reloads.method, registry);
        Self {
            sources: Sources::new(reloads),
            watch_interval: reloads.watch_interval,
            retry_interval: reloads.retry_interval,
            trigger: Trigger::new(&reloads.method, prometheus),
            metrics,
            watched: Vec::new(),
            changes: None,
            loaded: None,
        }
    }

    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// When the files cannot be used at the start; later the error is counted and logged, and they are read again.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), ReloadError> {
        if self.sources.is_empty() {
            tracing::info!(component = "reloader", "nothing to be watched");
            shutdown.cancelled().await;
            return Ok(());
        }
        let mut applied = Some(self.apply().await?);
        if self.watch_interval.is_zero() {
            shutdown.cancelled().await;
            return Ok(());
        }
        self.started();
        loop {
            let done = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                done = self.bring(applied) => done,
            };
            let pause = if done {
                self.watch_interval
            } else {
                self.retry_interval
            };
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = changed(&mut self.changes) => {
                    self.metrics.watch_events.inc();
                }
                () = tokio::time::sleep(pause) => {}
            }
            applied = self.apply_again().await;
        }
    }

    fn started(&self) {
        let shown = |path: &Option<PathBuf>| path.clone().unwrap_or_default().display().to_string();
        tracing::info!(
            component = "reloader",
            cfg = shown(&self.sources.config_file),
            out = shown(&self.sources.output),
            dirs = ?self.sources.rule_dirs,
            "started watching config file and directories for changes"
        );
    }

    /// Reads the files and writes the configuration; what they hold, if it is all that is watched now.
    async fn apply(&mut self) -> Result<Applied, ReloadError> {
        let sources = self.sources.clone();
        let listed = tokio::task::spawn_blocking(move || sources.paths()).await?;
        // The watch begins before the files are read: no change falls between.
        self.watch(listed.inspect_err(|_| {
            self.metrics.watch_errors.inc();
        })?);
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || sources.apply()).await?;
        let unset = match &read {
            Err(ReloadError::Expand(error)) => error.names.len(),
            _ => 0,
        };
        self.metrics
            .expansion_errors
            .set(i64::try_from(unset).unwrap_or(i64::MAX));
        let read = read?;
        Ok(Applied {
            settled: read.paths == self.watched,
            fingerprint: read.fingerprint,
        })
    }

    async fn apply_again(&mut self) -> Option<Applied> {
        match self.apply().await {
            Ok(applied) => {
                self.metrics.applies.inc();
                Some(applied)
            }
            Err(error) => {
                self.metrics.apply_failures.inc();
                tracing::error!(component = "reloader", err = %net::log::chain(&error), "apply error");
                None
            }
        }
    }

    fn watch(&mut self, paths: Vec<PathBuf>) {
        if self.watched == paths {
            return;
        }
        self.metrics
            .watches
            .set(i64::try_from(paths.len()).unwrap_or(i64::MAX));
        self.changes = Some(net::watch::files(paths.clone()));
        self.watched = paths;
    }

    /// Whether Prometheus has what the files say.
    async fn bring(&mut self, applied: Option<Applied>) -> bool {
        let Some(applied) = applied else {
            return false;
        };
        if self.loaded != Some(applied.fingerprint) && !self.reload().await {
            return false;
        }
        self.loaded = Some(applied.fingerprint);
        applied.settled
    }

    async fn reload(&self) -> bool {
        self.metrics.reloads.inc();
        let error = match tokio::time::timeout(self.watch_interval, self.trigger.pull()).await {
            Ok(Ok(())) => {
                tracing::info!(component = "reloader", "Reload triggered");
                self.metrics.reloaded();
                return true;
            }
            Ok(Err(error)) => net::log::chain(&error),
            Err(_) => format!("no answer within {:?}", self.watch_interval),
        };
        self.metrics.reload_failed();
        tracing::error!(
            component = "reloader",
            err = error,
            "Failed to trigger reload. Retrying."
        );
        false
    }
}

/// What the files hold.
struct Applied {
    fingerprint: Fingerprint,
    /// No file came or went while they were read.
    settled: bool,
}

/// Never resolves without a watch, nor after one that ended.
async fn changed(changes: &mut Option<Receiver<()>>) {
    if let Some(receiver) = changes
        && receiver.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}
