//! What goes: blocks that were marked long enough ago, blocks that others replace, blocks past their time, and what uploads that
//! were not finished left behind.

use std::collections::HashSet;
use std::time::Instant;

use futures::StreamExt;
use tsdb::Ulid;

use super::group::time;
use super::sync::View;
use super::work::Worker;
use super::{Failure, now};
use crate::bucket;

/// Partial uploads older than this many milliseconds were given up. Blocks may take long to upload.
pub(crate) const PARTIAL_AGE: i64 = 2 * 24 * 3_600_000;
/// Blocks that are deleted at a time.
const DELETIONS: usize = 32;

impl Worker {
    /// Deletes blocks whose mark is older than the delay; returns them.
    ///
    /// # Errors
    /// [`Failure::Fatal`] as in Thanos, after all were tried.
    pub(super) async fn delete_marked(&self, view: &View) -> Result<HashSet<Ulid>, Failure> {
        let delay = i64::try_from(self.config.delete_delay.as_secs()).unwrap_or(i64::MAX);
        let due = |time: i64| super::seconds().saturating_sub(time) > delay;
        let due = view
            .deletions
            .values()
            .filter(|mark| due(mark.deletion_time));
        let deletions: Vec<_> = due
            .map(|mark| async move { (mark.id, bucket::delete(&self.bucket, mark.id).await) })
            .collect();
        let mut running = futures::stream::iter(deletions).buffer_unordered(DELETIONS);
        let (mut deleted, mut failed) = (HashSet::new(), Vec::new());
        while let Some((id, outcome)) = running.next().await {
            match outcome {
                Ok(_) => {
                    self.metrics.blocks_cleaned.inc();
                    tracing::info!(block = %id, "deleted block marked for deletion");
                    deleted.insert(id);
                }
                Err(error) => {
                    self.metrics.cleanup_failures.inc();
                    failed.push(format!("delete block {id}: {}", net::log::chain(&error)));
                }
            }
        }
        if failed.is_empty() {
            Ok(deleted)
        } else {
            // The bucket may answer later: nothing is lost by trying again.
            Err(Failure::Retry(format!(
                "cleaning marked blocks: {}",
                failed.join("; ")
            )))
        }
    }

    /// Marks blocks whose samples are all in another one, but for those that were `deleted` just now; returns them.
    ///
    /// # Errors
    /// [`Failure::Retry`]
    pub(super) async fn collect_garbage(
        &self,
        view: &View,
        deleted: &HashSet<Ulid>,
    ) -> Result<Vec<Ulid>, Failure> {
        let begun = Instant::now();
        let garbage = view
            .duplicates
            .iter()
            .filter(|id| !view.deletions.contains_key(id) && !deleted.contains(id));
        let mut marked = Vec::new();
        for id in garbage {
            tracing::info!(block = %id, "marking outdated block for deletion");
            if let Err(error) = self.mark_deleted(*id, "outdated block").await {
                self.metrics.garbage_failures.inc();
                return Err(Failure::retry(
                    format!("garbage: mark block {id} for deletion"),
                    &error,
                ));
            }
            self.metrics.garbage_collected.inc();
            marked.push(*id);
        }
        self.metrics.garbage_collections.inc();
        let seconds = begun.elapsed().as_secs_f64();
        self.metrics.garbage_seconds.observe(seconds);
        Ok(marked)
    }

    /// Marks blocks past the retention of their resolution.
    ///
    /// # Errors
    /// [`Failure::Retry`]
    pub(super) async fn apply_retention(&self, view: &View) -> Result<(), Failure> {
        for (id, block) in &view.blocks {
            let thanos = block.thanos.as_ref();
            let resolution = thanos.map_or(0, |thanos| thanos.downsample.resolution);
            let kept = self.config.retention.of(resolution);
            if !is_past(block.max_time, kept) || view.deletions.contains_key(id) {
                continue;
            }
            tracing::info!(%id, maxTime = time(block.max_time), "applying retention: marking block for deletion");
            let details = format!("block exceeding retention of {}", go_duration(kept));
            let marked = self.mark_deleted(*id, &details).await;
            marked.map_err(|e| Failure::retry("retention failed: delete block", &e))?;
        }
        Ok(())
    }

    /// Deletes what is left of uploads that were given up. Failures are told, and left to the next time.
    pub(super) async fn clean_partial(&self, view: &View) {
        for id in &view.partial {
            if view.deletions.contains_key(id) {
                continue;
            }
            let before = now().saturating_sub(PARTIAL_AGE);
            match bucket::delete_partial(&self.bucket, *id, before).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    self.metrics.partial_deletions.inc();
                    self.metrics.blocks_cleaned.inc();
                    tracing::info!(block = %id, "deleted aborted partial upload");
                }
                Err(error) => {
                    self.metrics.partial_deletions.inc();
                    self.metrics.cleanup_failures.inc();
                    let err = net::log::chain(&error);
                    tracing::warn!(block = %id, %err, "failed to delete aborted partial upload; will retry in next iteration");
                }
            }
        }
        self.metrics.cleanups.inc();
    }
}

/// Whether what ends at `max_time` (milliseconds) has been kept for longer than `kept`; zero keeps for ever.
pub(crate) fn is_past(max_time: i64, kept: std::time::Duration) -> bool {
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    kept_ms > 0 && now() > (max_time / 1000 * 1000).saturating_add(kept_ms)
}

/// As Go prints durations.
fn go_duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
