//! `thanos compact`: blocks of a bucket become larger ones, then coarser ones, and go when their time is over.
//!
//! An iteration: compact until no group has anything to do; downsample twice, so that an hour's windows are made of the five
//! minutes' ones of the same iteration; mark what is past its retention; delete what was marked long enough ago, and what
//! uploads that were given up left behind. Samples are only ever marked for deletion when the block that replaces them
//! is whole in the bucket.

mod clean;
mod config;
mod disk;
mod downsample;
mod error;
mod group;
mod metrics;
mod once;
mod plan;
mod progress;
mod repair;
mod sync;
mod viewer;
mod work;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use model::Cancel;
use net::metrics::Registry;
use net::probe::Probe;
use objstore::Bucket;
use tokio_util::sync::CancellationToken;

use tsdb::meta::{Mark as _, NoCompactMark};

pub use config::{Config, RANGES, Retention, Viewer};
pub use error::{Error, Failure};
pub use metrics::Metrics;
pub use once::{Part, Planned};
pub use store::block::{Discovery, Relabel, RelabelError};
pub use tsdb::compact::Merge;

use disk::Disk;
use group::{Group, groups};
use plan::Excluded;
use sync::{Syncer, View};
use work::Worker;

/// Runs until `shutdown`, or until everything is done if it is not to wait.
///
/// # Errors
/// [`Error`]
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    config.check()?;
    for name in ["compact", "downsample"] {
        let path = config.data_dir.join(name);
        let made = tokio::fs::create_dir_all(&path).await;
        made.map_err(|source| Error::Folder { path, source })?;
    }
    let registry = Registry::new();
    let probe = Probe::new("compact");
    let bucket = Bucket::open(&config.bucket, &registry)?;
    let metrics = Metrics::new(&registry, config.delete_delay, config.consistency_delay);
    let compactor = Arc::new(Compactor::new(config.clone(), bucket, metrics));

    // Whichever part ends first ends the others.
    let all = shutdown.child_token();
    let cancel = compactor.worker.cancel.clone();
    let stop = all.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        cancel.cancel(model::Cancelled::Asked);
    });
    let mut router = net::http::admin_router(probe.clone(), registry);
    let viewed = config.wait && config.viewer.enabled;
    if viewed {
        router = router.merge(viewer::router(compactor.clone()));
    }
    let http = async {
        let served = net::http::serve(
            config.http_address,
            router,
            net::Limits::default(),
            all.clone(),
        )
        .await;
        all.cancel();
        served.map_err(Error::from)
    };
    let work = async {
        probe.ready();
        let done = compactor.work(&all).await;
        probe.not_ready("shutting down");
        all.cancel();
        done
    };
    let beside = async {
        if config.wait {
            tokio::join!(
                compactor.clean_up(&all),
                compactor.count_progress(&all),
                async {
                    if viewed {
                        viewer::keep_current(&compactor, &all).await;
                    }
                }
            );
        }
    };
    let (http, work, ()) = tokio::join!(http, work, beside);
    work.and(http)
}

/// A compactor over one bucket.
#[derive(Debug)]
pub struct Compactor {
    worker: Worker,
    syncer: Syncer,
    /// Partial uploads are cleaned up by one at a time.
    cleaning: tokio::sync::Mutex<()>,
    viewed: viewer::Viewed,
}

impl Compactor {
    /// Over an open bucket.
    #[must_use]
    pub fn new(config: Config, bucket: Bucket, metrics: Metrics) -> Self {
        Self {
            syncer: Syncer::new(&config, &bucket, &metrics),
            viewed: viewer::Viewed::new(&config, &bucket),
            worker: Worker {
                disk: Disk::new(config.disk_budget),
                config,
                bucket,
                metrics,
                cancel: Cancel::new(),
            },
            cleaning: tokio::sync::Mutex::default(),
        }
    }

    /// Iterates once, or for ever.
    async fn work(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let config = &self.worker.config;
        loop {
            let iteration = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                iteration = self.iterate() => iteration,
            };
            if shutdown.is_cancelled() {
                return Ok(());
            }
            match iteration {
                Ok(()) if !config.wait => return Ok(()),
                Ok(()) => {
                    self.worker.metrics.iterations.inc();
                }
                Err(Failure::Halt(why)) if config.wait && config.halt_on_error => {
                    tracing::error!(
                        err = why,
                        what_to_do = error::HALTED,
                        "critical error detected; halting"
                    );
                    self.worker.metrics.halted.set(1);
                    shutdown.cancelled().await;
                    return Ok(());
                }
                Err(Failure::Halt(why)) => return Err(Error::Halted(why)),
                Err(Failure::Retry(why)) if config.wait => {
                    tracing::error!(err = why, "retriable error");
                    self.worker.metrics.retries.inc();
                }
                Err(failure) => return Err(Error::Failed(failure.to_string())),
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(config.wait_interval) => {}
            }
        }
    }

    /// One iteration.
    ///
    /// # Errors
    /// [`Failure`], of the first step that failed.
    pub async fn iterate(&self) -> Result<(), Failure> {
        self.compact()
            .await
            .map_err(|failure| failure.during("compaction"))?;
        if self.worker.config.downsampling {
            for pass in ["first", "second"] {
                tracing::info!("start {pass} pass of downsampling");
                let view = self.syncer.sync().await?;
                let done = self.worker.downsample(&view).await;
                done.map_err(|failure| {
                    failure.during(format!("{pass} pass of downsampling failed"))
                })?;
            }
            tracing::info!("downsampling iterations done");
        } else {
            tracing::info!("downsampling was explicitly disabled");
        }
        let view = self.syncer.sync().await?;
        self.worker.apply_retention(&view).await?;
        self.clean_partial(&view).await;
        Ok(())
    }

    /// Compacts until no group has anything to do.
    async fn compact(&self) -> Result<(), Failure> {
        let folder = self.worker.compact_dir();
        loop {
            tracing::info!("start sync of metas");
            let view = self.syncer.sync().await?;
            let deleted = self.worker.delete_marked(&view).await?;
            let garbage = self.worker.collect_garbage(&view, &deleted).await?;
            self.syncer.forget(&garbage);
            let blocks = view
                .blocks
                .iter()
                .filter(|(id, _)| !garbage.contains(id) && !deleted.contains(id));
            let groups = groups(blocks.map(|(_, block)| block));
            let keep: HashSet<String> = groups.iter().map(|group| group.key.clone()).collect();
            downsample::remove_others(&folder, &keep).await;
            tracing::info!(groups = groups.len(), "start of compactions");
            if !self.compact_all(&groups, &view).await? {
                break;
            }
        }
        let _ = tokio::fs::remove_dir_all(&folder).await;
        tracing::info!("compaction iterations done");
        Ok(())
    }

    /// Compacts groups, some at a time. Whether there may be more to do.
    async fn compact_all(&self, groups: &[Group], view: &View) -> Result<bool, Failure> {
        let excluded: Excluded = view.no_compact.keys().copied().collect();
        // A block alone has nothing to be compacted with.
        let groups = groups.iter().filter(|group| group.blocks.len() > 1);
        let (excluded, failed) = (&excluded, &AtomicBool::new(false));
        let work: Vec<_> = groups
            .map(|group| async move {
                // After a failure nothing new is begun; what runs beside is finished.
                if failed.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let outcome = self.worker.compact(group, excluded).await;
                let outcome = self.repair(outcome).await;
                failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                outcome
            })
            .collect();
        let mut running =
            futures::stream::iter(work).buffer_unordered(self.worker.config.compact_concurrency);
        let (mut more, mut failures) = (false, Vec::new());
        while let Some(outcome) = running.next().await {
            match outcome {
                Ok(again) => more |= again,
                Err(failure) => failures.push(failure),
            }
        }
        Failure::worst(failures).map_or(Ok(more), Err)
    }

    /// What can be done about a block that cannot be compacted.
    async fn repair(&self, outcome: Result<bool, Failure>) -> Result<bool, Failure> {
        match outcome {
            Err(Failure::OutOfOrderChunks { id, .. })
                if self.worker.config.skip_out_of_order_chunks =>
            {
                let details = "OutofOrderChunk: marking block with out-of-order series/chunks to as no compact to unblock compaction";
                let reason = "block-index-out-of-order-chunk";
                self.worker.mark_no_compact(id, reason, details).await?;
                tracing::warn!(block = %id, mark = NoCompactMark::FILE, "block with chunks out of order is left out of compaction");
                Ok(true)
            }
            Err(Failure::Issue347 { id, why }) => {
                self.worker.repair_347(id, &why).await.map(|()| true)
            }
            outcome => outcome,
        }
    }

    async fn clean_partial(&self, view: &View) {
        let _one = self.cleaning.lock().await;
        self.worker.clean_partial(view).await;
    }

    /// Cleans up beside the iterations, which may take long.
    async fn clean_up(&self, shutdown: &CancellationToken) {
        let interval = self.worker.config.cleanup_interval;
        every(interval, shutdown, async || {
            let view = self.syncer.view();
            if view.taken.is_some() {
                self.clean_partial(&view).await;
            }
        })
        .await;
    }

    async fn count_progress(&self, shutdown: &CancellationToken) {
        let interval = self.worker.config.progress_interval;
        every(interval, shutdown, async || {
            match self.syncer.sync().await {
                Ok(view) => progress::count(&self.worker, &view),
                Err(failure) => {
                    tracing::error!(err = %failure, "retriable error");
                    self.worker.metrics.retries.inc();
                }
            }
        })
        .await;
    }
}

/// Does something at once and at every interval, until `shutdown`; never, if the interval is zero.
async fn every(interval: Duration, shutdown: &CancellationToken, work: impl AsyncFn()) {
    if interval.is_zero() {
        return;
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = work() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970.
pub(crate) fn seconds() -> i64 {
    now() / 1000
}
