//! The work on one group: plan, fetch, check, compact, check again, store, mark what it was made of.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use model::Cancel;
use objstore::Bucket;
use tsdb::Ulid;
use tsdb::compact::{Health, Options};
use tsdb::meta::{DeletionMark, Downsample, Mark as _, Meta, NoCompactMark, ThanosMeta};

use super::disk::Disk;
use super::group::Group;
use super::plan::{Block, Excluded, first_overlapping, plan};
use super::{Config, Failure, Metrics, seconds};
use crate::bucket;

/// What all work on groups needs.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) config: Config,
    pub(super) bucket: Bucket,
    pub(super) metrics: Metrics,
    pub(super) disk: Disk,
    pub(super) cancel: Cancel,
}

impl Worker {
    /// The folder of all compactions.
    pub(super) fn compact_dir(&self) -> PathBuf {
        self.config.data_dir.join("compact")
    }

    /// Compacts the next blocks of a group, `excluded` being marked as not to be compacted. Whether there may be more to do.
    pub(super) async fn compact(
        &self,
        group: &Group,
        excluded: &Excluded,
    ) -> Result<bool, Failure> {
        self.metrics.run_started(group.resolution);
        let folder = self.compact_dir().join(&group.key);
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|e| Failure::fatal("create compaction group dir", &e))?;
        let outcome = self.compact_in(group, excluded, &folder).await;
        self.metrics.run_ended(group.resolution, outcome.is_ok());
        if outcome.is_ok() {
            // After a failure it stays: for a person to look at, or for the next try to go on with.
            if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
                tracing::error!(path = %folder.display(), %error, "failed to remove compaction group work directory");
            }
        }
        outcome.map_err(|failure| failure.during(format!("group {}", group.title())))
    }

    async fn compact_in(
        &self,
        group: &Group,
        excluded: &Excluded,
        folder: &Path,
    ) -> Result<bool, Failure> {
        let overlaps = group.overlaps(&[], None);
        if let (Some(overlaps), false) = (&overlaps, self.config.overlaps_allowed()) {
            return Err(Failure::Halt(format!(
                "pre compaction overlap check: {overlaps}"
            )));
        }
        let blocks = self.plan(group, excluded).await?;
        if blocks.is_empty() {
            return Ok(false);
        }
        let plan = shown(&blocks);
        tracing::info!(group = group.title(), %plan, "compaction available and planned");
        self.check_sources(&blocks)?;
        let _space = self.disk.reserve(self.needed(&blocks).await).await;
        let begun = Instant::now();
        let folders = self.fetch(&blocks, folder).await?;
        tracing::info!(%plan, duration = ?begun.elapsed(), "downloaded and verified blocks; compacting blocks");
        let begun = Instant::now();
        let id = Ulid::generate();
        let Some(meta) = self.merge(folders, folder, id).await? else {
            return self.drop_empty(&blocks, folder).await.map(|()| true);
        };
        self.metrics.compacted(group.resolution, overlaps.is_some());
        tracing::info!(new = %id, duration = ?begun.elapsed(), overlapping_blocks = overlaps.is_some(), blocks = %plan, "compacted blocks");
        self.store(group, &blocks, folder, meta).await?;
        for block in &blocks {
            let _ = tokio::fs::remove_dir_all(folder.join(block.ulid.to_string())).await;
            self.mark_deleted(block.ulid, "source of compacted block")
                .await
                .map_err(|e| Failure::retry("mark old block for deletion from bucket", &e))?;
            self.metrics.garbage_collected.inc();
        }
        Ok(true)
    }

    /// What to compact. Blocks that must not be are marked so on the way, and the plan is made anew.
    async fn plan(&self, group: &Group, excluded: &Excluded) -> Result<Vec<Block>, Failure> {
        let mut excluded = excluded.clone();
        let ranges = &super::RANGES[..=self.config.max_compaction_level];
        loop {
            let planned = plan(ranges, &excluded, &group.blocks);
            if let Some(block) = self.too_large(&planned).await? {
                let limit = self.config.max_index_size;
                let details = format!(
                    "largeTotalIndexSizeFilter: Total compacted block's index size could exceed: {limit} with this block. See https://github.com/thanos-io/thanos/issues/1424"
                );
                self.mark_no_compact(block, "index-size-exceeding", &details)
                    .await?;
                excluded.insert(block);
                continue;
            }
            let downsampled = group.resolution > 0 && self.config.overlaps_allowed();
            if !downsampled || first_overlapping(&planned).is_empty() {
                return Ok(planned);
            }
            for block in planned {
                let details = "verticalCompactionDownsampleFilter: Downsampled block, see https://github.com/thanos-io/thanos/issues/6775";
                self.mark_no_compact(block.ulid, "downsample-vertical-compaction", details)
                    .await?;
                excluded.insert(block.ulid);
            }
        }
    }

    /// The block with the largest index, if all indices together may be too large for one.
    async fn too_large(&self, planned: &[Block]) -> Result<Option<Ulid>, Failure> {
        let (mut total, mut largest) = (0u64, None);
        for block in planned {
            let size = self.index_size(block).await?;
            if largest.is_none_or(|(before, _)| size > before) {
                largest = Some((size, block.ulid));
            }
            total += size;
            // Some room for what compaction adds.
            if total as f64 >= self.config.max_index_size as f64 * 0.85 {
                return Ok(largest.map(|(_, id)| id));
            }
        }
        Ok(None)
    }

    async fn index_size(&self, block: &Meta) -> Result<u64, Failure> {
        let files = block.thanos.iter().flat_map(|thanos| &thanos.files);
        let listed = files.into_iter().find(|file| file.rel_path == "index");
        if let Some(file) = listed.filter(|file| file.size_bytes > 0) {
            return Ok(file.size_bytes);
        }
        let object = format!("{}/index", block.ulid);
        let attributes = self.bucket.attributes(&object).await;
        match attributes {
            Ok(attributes) => Ok(attributes.size),
            Err(error) => Err(Failure::retry(format!("get attr of {object}"), &error)),
        }
    }

    /// How many bytes the sources have; the block that is made takes about as many.
    async fn needed(&self, blocks: &[Block]) -> u64 {
        let mut total = 0;
        for block in blocks {
            let files = block.thanos.iter().flat_map(|thanos| &thanos.files);
            total += files.map(|file| file.size_bytes).sum::<u64>();
        }
        total * 2
    }

    /// Two blocks with a common source hold the same samples.
    fn check_sources(&self, blocks: &[Block]) -> Result<(), Failure> {
        let mut seen = std::collections::HashSet::new();
        let sources = blocks.iter().flat_map(|block| &block.compaction.sources);
        for source in sources {
            if seen.insert(source) {
                continue;
            }
            let blocks = shown(blocks);
            if !self.config.overlaps_allowed() {
                return Err(Failure::Halt(format!(
                    "overlapping sources detected for plan {blocks}: {source} is in two of them"
                )));
            }
            tracing::warn!(duplicated_block = %source, to_compact_blocks = %blocks, "overlapping sources detected for plan");
        }
        Ok(())
    }

    /// Downloads blocks and checks their indices.
    async fn fetch(&self, blocks: &[Block], folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let fetches: Vec<_> = blocks
            .iter()
            .map(|block| async move {
                let path = folder.join(block.ulid.to_string());
                self.fetch_one(block, &path).await?;
                self.check_input(block, path.clone()).await?;
                Ok::<_, Failure>(path)
            })
            .collect();
        futures::stream::iter(fetches)
            .buffered(self.config.blocks_fetch_concurrency.max(1))
            .try_collect()
            .await
    }

    /// Downloads a block.
    pub(super) async fn fetch_one(&self, block: &Meta, path: &Path) -> Result<(), Failure> {
        let concurrency = self.config.block_files_concurrency;
        let fetched = bucket::download(&self.bucket, block.ulid, path, concurrency).await;
        match fetched {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::retry(
                format!("download block {}", block.ulid),
                &error,
            )),
        }
    }

    async fn check_input(&self, block: &Meta, path: PathBuf) -> Result<(), Failure> {
        let (mint, maxt, id) = (block.min_time, block.max_time, block.ulid);
        let health = health(path.clone(), mint, maxt).await.map_err(|error| {
            Failure::fatal(
                format!("gather index issues for block {}", path.display()),
                &error,
            )
        })?;
        if let Some(issue) = health.critical() {
            let (level, labels) = (block.compaction.level, &block.thanos);
            let labels = labels.as_ref().map(|thanos| &thanos.labels);
            return Err(Failure::Halt(format!(
                "block with not healthy index found {}; Compaction level {level}; Labels: {labels:?}: {issue}",
                path.display()
            )));
        }
        if let Some(issue) = health.chunks_out_of_order() {
            let why = issue.to_string();
            return Err(Failure::OutOfOrderChunks { id, why });
        }
        if let Some(issue) = health.issue_347() {
            let why = issue.to_string();
            return Err(Failure::Issue347 { id, why });
        }
        match health.labels_out_of_order() {
            Some(issue) if !self.config.accept_malformed_index => Err(Failure::Fatal(format!(
                "block id {id}, try running with --debug.accept-malformed-index: {issue}"
            ))),
            _ => Ok(()),
        }
    }

    async fn merge(
        &self,
        sources: Vec<PathBuf>,
        folder: &Path,
        id: Ulid,
    ) -> Result<Option<Meta>, Failure> {
        let options = self.options();
        let (folder, cancel) = (folder.to_owned(), self.cancel.clone());
        let named = format!("compact blocks {sources:?}");
        let merged = tokio::task::spawn_blocking(move || {
            tsdb::compact::compact(&sources, &folder, id, &options, &cancel)
        });
        match merged.await {
            Ok(Ok(meta)) => Ok(meta),
            Ok(Err(error)) if self.cancel.check().is_err() || is_out_of_space(&error) => {
                Err(Failure::retry(named, &error))
            }
            Ok(Err(error)) => Err(Failure::halt(named, &error)),
            Err(error) => Err(Failure::fatal(named, &error)),
        }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            merge: self.config.merge,
            threads: self.config.threads,
            ..Options::default()
        }
    }

    /// Nothing was left of the blocks: those that say so themselves go.
    async fn drop_empty(&self, blocks: &[Block], folder: &Path) -> Result<(), Failure> {
        tracing::info!(blocks = %shown(blocks), "no compacted blocks, deleting source blocks");
        for block in blocks.iter().filter(|block| block.stats.num_samples == 0) {
            let _ = tokio::fs::remove_dir_all(folder.join(block.ulid.to_string())).await;
            let marked = self.mark_deleted(block.ulid, "source of compacted block");
            if let Err(error) = marked.await {
                let err = net::log::chain(&error);
                tracing::warn!(block = %block.ulid, %err, "failed to mark for deletion an empty block found during compaction");
            }
        }
        if blocks.iter().all(|block| block.stats.num_samples > 0) {
            return Err(Failure::Halt(format!(
                "compaction of {} left no samples, although the metas tell of some",
                shown(blocks)
            )));
        }
        Ok(())
    }

    /// Completes the meta of a block, and uploads it.
    async fn store(
        &self,
        group: &Group,
        sources: &[Block],
        folder: &Path,
        mut meta: Meta,
    ) -> Result<(), Failure> {
        let path = folder.join(meta.ulid.to_string());
        // Its index was checked when it was made.
        let made = meta.thanos.take().unwrap_or_default();
        meta.thanos = Some(ThanosMeta {
            version: 1,
            labels: group.labels.clone(),
            downsample: Downsample {
                resolution: group.resolution,
            },
            source: "compactor".to_owned(),
            segment_files: made.segment_files,
            extensions: group.extensions(),
            index_stats: made.index_stats,
            ..ThanosMeta::default()
        });
        if !self.config.overlaps_allowed()
            && let Some(overlaps) = group.overlaps(sources, Some(&meta))
        {
            return Err(Failure::Halt(format!(
                "resulted compacted block {} overlaps with something: {overlaps}",
                path.display()
            )));
        }
        self.upload(&path, &meta).await
    }

    /// Uploads a block.
    pub(super) async fn upload(&self, path: &Path, meta: &Meta) -> Result<(), Failure> {
        let begun = Instant::now();
        let (hash, concurrency) = (self.config.hash, self.config.block_files_concurrency);
        let uploaded = bucket::upload(&self.bucket, path, meta, hash, concurrency).await;
        match uploaded {
            Ok(_) => {
                tracing::info!(result_block = %meta.ulid, duration = ?begun.elapsed(), "uploaded block");
                Ok(())
            }
            Err(error) => Err(Failure::retry(
                format!("upload of {} failed", meta.ulid),
                &error,
            )),
        }
    }

    /// Marks a block for deletion.
    pub(super) async fn mark_deleted(
        &self,
        id: Ulid,
        details: &str,
    ) -> Result<(), objstore::Error> {
        let mark = DeletionMark::new(id, details, seconds());
        if bucket::mark(&self.bucket, id, &mark).await? == bucket::Marked::New {
            self.metrics.marked(DeletionMark::FILE, "", 1);
        }
        Ok(())
    }

    /// Marks a block as not to be compacted.
    pub(super) async fn mark_no_compact(
        &self,
        id: Ulid,
        reason: &str,
        details: &str,
    ) -> Result<(), Failure> {
        let mark = NoCompactMark::new(id, details, seconds(), reason);
        match bucket::mark(&self.bucket, id, &mark).await {
            Ok(bucket::Marked::New) => {
                self.metrics.marked(NoCompactMark::FILE, reason, 1);
                Ok(())
            }
            Ok(bucket::Marked::Already) => Ok(()),
            Err(error) => Err(Failure::retry(
                format!("mark {id} for no compaction"),
                &error,
            )),
        }
    }
}

/// Walks an index on a thread that may block.
pub(super) async fn health(
    folder: PathBuf,
    mint: i64,
    maxt: i64,
) -> Result<Health, tsdb::compact::CompactError> {
    let walked = tokio::task::spawn_blocking(move || Health::of_index(&folder, mint, maxt));
    walked
        .await
        .unwrap_or(Err(tsdb::compact::CompactError::Ended))
}

/// A full disk says nothing of the blocks: there may be room later.
pub(super) fn is_out_of_space(error: &tsdb::compact::CompactError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{QuotaExceeded, StorageFull};
            return matches!(io.kind(), StorageFull | QuotaExceeded);
        }
        cause = error.source();
    }
    false
}

/// Blocks as people read them.
pub(super) fn shown(blocks: &[Block]) -> String {
    let shown = blocks.iter().map(|block| {
        let (from, to) = (
            super::group::time(block.min_time),
            super::group::time(block.max_time),
        );
        format!("{} ({from} to {to})", block.ulid)
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}
