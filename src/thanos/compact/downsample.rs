//! Downsampling of the bucket: what is long enough and has no coarser version yet.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use tsdb::Ulid;
use tsdb::compact::{FIVE_MINUTES, ONE_HOUR};
use tsdb::meta::Meta;

use super::config::{DOWNSAMPLE_FIVE_MINUTES, DOWNSAMPLE_RAW};
use super::plan::Block;
use super::work::{Worker, health, is_out_of_space};
use super::{Failure, sync::View};

/// A block, and the resolution that it is thinned out to.
pub(super) type Task = (Block, i64);

/// What there is to do, in the order of ids.
///
/// # Errors
/// [`Failure::Fatal`] for a resolution that nobody knows.
pub(super) fn tasks(view: &View) -> Result<Vec<Task>, Failure> {
    let blocks = view
        .blocks
        .values()
        .filter(|block| !view.no_downsample.contains_key(&block.ulid));
    let (mut five_minutes, mut one_hour) = (HashSet::new(), HashSet::new());
    for block in blocks.clone() {
        let sources = block.compaction.sources.iter().copied();
        match resolution(block) {
            0 => {}
            FIVE_MINUTES => five_minutes.extend(sources),
            ONE_HOUR => one_hour.extend(sources),
            other => {
                let id = block.ulid;
                return Err(Failure::Fatal(format!(
                    "unexpected downsampling resolution {other} of block {id}"
                )));
            }
        }
    }
    let missing = |block: &Block, done: &HashSet<Ulid>| {
        let sources = &block.compaction.sources;
        sources.iter().any(|source| !done.contains(source))
    };
    let task = |block: &Block| {
        let range = block.max_time - block.min_time;
        let to = match resolution(block) {
            0 if range >= DOWNSAMPLE_RAW && missing(block, &five_minutes) => FIVE_MINUTES,
            FIVE_MINUTES if range >= DOWNSAMPLE_FIVE_MINUTES && missing(block, &one_hour) => {
                ONE_HOUR
            }
            _ => return None,
        };
        Some((block.clone(), to))
    };
    Ok(blocks.filter_map(task).collect())
}

fn resolution(block: &Meta) -> i64 {
    let thanos = block.thanos.as_ref();
    thanos.map_or(0, |thanos| thanos.downsample.resolution)
}

impl Worker {
    /// Does everything there is to do, some blocks at a time.
    ///
    /// # Errors
    /// The worst [`Failure`], after what was begun is done.
    pub(super) async fn downsample(&self, view: &View) -> Result<(), Failure> {
        let folder = self.downsample_dir();
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|e| Failure::fatal("create dir", &e))?;
        remove_others(
            &folder,
            &view.blocks.keys().map(ToString::to_string).collect(),
        )
        .await;
        let failed = &AtomicBool::new(false);
        let tasks: Vec<_> = tasks(view)?
            .into_iter()
            .map(|(block, to)| async move {
                // After a failure nothing new is begun; what runs beside is finished.
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let outcome = self.downsample_one(block, to).await;
                failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                outcome
            })
            .collect();
        let running =
            futures::stream::iter(tasks).buffer_unordered(self.config.downsample_concurrency);
        let outcomes: Vec<Result<(), Failure>> = running.collect().await;
        let failures = outcomes.into_iter().filter_map(Result::err).collect();
        match Failure::worst(failures) {
            Some(failure) => Err(failure),
            None => {
                let _ = tokio::fs::remove_dir_all(&folder).await;
                Ok(())
            }
        }
    }

    fn downsample_dir(&self) -> PathBuf {
        self.config.data_dir.join("downsample")
    }

    async fn downsample_one(&self, block: Block, to: i64) -> Result<(), Failure> {
        let from = resolution(&block);
        let begun = Instant::now();
        let outcome = self.downsample_to(&block, to).await;
        let took = outcome.is_ok().then(|| begun.elapsed());
        self.metrics.downsampled(from, took);
        let minutes = to / 60_000;
        outcome.map_err(|failure| failure.during(format!("downsampling to {minutes} min")))
    }

    async fn downsample_to(&self, block: &Block, to: i64) -> Result<(), Failure> {
        let folder = self.downsample_dir();
        let source = folder.join(block.ulid.to_string());
        let files = block.thanos.iter().flat_map(|thanos| &thanos.files);
        let size = files.map(|file| file.size_bytes).sum::<u64>();
        let _space = self.disk.reserve(size * 2).await;
        self.fetch_one(block, &source).await?;
        let (mint, maxt) = (block.min_time, block.max_time);
        let invalid = |why: String| Failure::Fatal(format!("input block index not valid: {why}"));
        let walked = health(source.clone(), mint, maxt).await;
        let walked = walked.map_err(|error| invalid(net::log::chain(&error)))?;
        match walked.first_issue() {
            Some(issue) if !self.config.accept_malformed_index => {
                return Err(invalid(format!("{}: {issue}", source.display())));
            }
            _ => {}
        }
        let begun = Instant::now();
        let id = Ulid::generate();
        let (options, cancel) = (self.options(), self.cancel.clone());
        let (from, parent) = (source.clone(), folder.clone());
        let made = tokio::task::spawn_blocking(move || {
            tsdb::compact::downsample(&from, &parent, id, to, &options, &cancel)
        });
        let doing = || format!("downsample block {} to window {to}", block.ulid);
        let meta = match made.await {
            Ok(Ok(meta)) => meta,
            Ok(Err(error)) if self.cancel.check().is_err() || is_out_of_space(&error) => {
                return Err(Failure::retry(doing(), &error));
            }
            Ok(Err(error)) => return Err(Failure::fatal(doing(), &error)),
            Err(error) => return Err(Failure::fatal(doing(), &error)),
        };
        let Some(mut meta) = meta else {
            tracing::warn!(block = %block.ulid, "nothing of the block is left after downsampling");
            return Ok(());
        };
        tracing::info!(from = %block.ulid, to = %id, duration = ?begun.elapsed(), "downsampled block");
        // Replica labels were taken from the block's meta, but not from the bucket's.
        if let (Some(made), Some(seen)) = (&mut meta.thanos, &block.thanos) {
            made.labels = seen.labels.clone();
        }
        let path = folder.join(id.to_string());
        self.upload(&path, &meta).await?;
        for done in [path, source] {
            let _ = tokio::fs::remove_dir_all(done).await;
        }
        Ok(())
    }
}

/// Removes what an earlier try left of blocks that are gone.
pub(super) async fn remove_others(folder: &std::path::Path, keep: &HashSet<String>) {
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !keep.contains(&name) {
            let _ = tokio::fs::remove_dir_all(entry.path()).await;
        }
    }
}
