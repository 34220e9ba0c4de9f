//! The blocks that are served now, and keeping them current.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures::StreamExt;
use model::Matcher;
use objstore::Bucket;
use proto::info::{StoreInfo, TsdbInfo};
use proto::thanos::{Label, LabelSet};
use tokio::sync::Semaphore;

use super::block::Block;
use super::budget::Budget;
use super::error::ReadError;
use super::limits::Limits;
use super::metrics::Metrics;
use super::set::BlockSet;
use crate::block::{Blocks, Discovery, Excluded, FetchError, Fetcher, Filter, is_id};
use crate::matchers;

/// Bytes that are read by a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimates {
    pub series: u64,
    pub chunk: u64,
}

impl Default for Estimates {
    fn default() -> Self {
        Self {
            series: 64 << 10,
            chunk: 16_000,
        }
    }
}

/// The settings of a gateway.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where index headers and metas are kept; in memory when absent.
    pub data_dir: Option<PathBuf>,
    pub discovery: Discovery,
    pub meta_fetch_concurrency: usize,
    pub block_sync_concurrency: usize,
    pub limits: Limits,
    /// Series calls at a time; more wait.
    pub max_concurrency: usize,
    pub estimates: Estimates,
    /// Series that are read together at most.
    pub series_batch: usize,
    /// Headers are opened by the first request that needs them.
    pub lazy_headers: bool,
    /// With [`Self::lazy_headers`]: even their files are made by the first request.
    pub lazy_download: bool,
}

/// Why the view of the bucket is not complete. Blocks that could be loaded are served.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("incomplete view: {first} ({more} more)")]
    Incomplete { first: FetchError, more: usize },
}

/// What is served at one time.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) blocks: BTreeMap<String, Arc<Block>>,
    pub(crate) sets: Vec<(Vec<Label>, BlockSet<Arc<Block>>)>,
}

impl View {
    fn new(blocks: BTreeMap<String, Arc<Block>>) -> Self {
        let mut sets: BTreeMap<&BTreeMap<String, String>, BlockSet<Arc<Block>>> = BTreeMap::new();
        for block in blocks.values() {
            sets.entry(&block.info.labels)
                .or_default()
                .add(block.clone());
        }
        let sets = sets.into_iter().map(|(labels, set)| {
            let label = |(name, value): (&String, &String)| crate::labels::label(name, value);
            (labels.iter().map(label).collect(), set)
        });
        Self {
            sets: sets.collect(),
            blocks,
        }
    }
}

/// A gateway over one bucket.
pub struct BucketStore {
    pub(crate) config: StoreConfig,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) view: ArcSwap<View>,
    bucket: Bucket,
    fetcher: Fetcher,
    filter: Box<dyn Fn() -> Filter + Send + Sync>,
}

impl std::fmt::Debug for BucketStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BucketStore")
            .field("bucket", &self.bucket)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl BucketStore {
    /// A gateway that serves nothing until [`Self::initial_sync`]. `filter` is asked at every sync: its times may
    /// move with the clock.
    #[must_use]
    pub fn new(
        bucket: Bucket,
        config: StoreConfig,
        budget: Budget,
        metrics: Metrics,
        filter: impl Fn() -> Filter + Send + Sync + 'static,
    ) -> Self {
        let data_dir = config.data_dir.as_deref();
        let concurrency = config.meta_fetch_concurrency;
        metrics
            .gate_max
            .set(i64::try_from(config.max_concurrency).unwrap_or(i64::MAX));
        metrics.budget(&budget);
        Self {
            fetcher: Fetcher::new(bucket.clone(), data_dir, concurrency, config.discovery),
            gate: Arc::new(Semaphore::new(config.max_concurrency.max(1))),
            view: ArcSwap::default(),
            filter: Box::new(filter),
            bucket,
            config,
            budget,
            metrics,
        }
    }

    /// [`Self::sync`], and removes what the data folder holds of blocks that are gone.
    ///
    /// # Errors
    /// [`SyncError`]
    pub async fn initial_sync(&self) -> Result<(), SyncError> {
        self.sync().await?;
        let Some(entries) = self
            .config
            .data_dir
            .as_ref()
            .and_then(|dir| std::fs::read_dir(dir).ok())
        else {
            return Ok(());
        };
        let view = self.view.load();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let unknown = |name: &str| is_id(name) && !view.blocks.contains_key(name);
            if name.to_str().is_some_and(unknown) {
                remove(&entry.path());
            }
        }
        Ok(())
    }

    /// Looks at the bucket: loads new blocks, drops those that are gone.
    ///
    /// # Errors
    /// [`SyncError`]; new blocks that could be loaded are served even so.
    pub async fn sync(&self) -> Result<(), SyncError> {
        let start = Instant::now();
        self.metrics.meta_syncs.inc();
        let result = self.sync_blocks().await;
        self.metrics
            .meta_sync_seconds
            .observe(start.elapsed().as_secs_f64());
        if result.is_err() {
            self.metrics.meta_sync_failures.inc();
        }
        result
    }

    async fn sync_blocks(&self) -> Result<(), SyncError> {
        let mut found = self.fetcher.fetch().await?;
        self.metrics.synced("no-meta-json", found.partial.len());
        self.metrics
            .synced("corrupted-meta-json", found.corrupted.len());
        self.metrics.synced("failed", found.failed.len());
        self.choose(&mut found.blocks).await?;
        self.metrics.synced("loaded", found.blocks.len());
        let served = self.view.load_full();
        let mut blocks = served.blocks.clone();
        if found.failed.is_empty() {
            blocks.retain(|id, _| found.blocks.contains_key(id));
        }
        let new: Vec<_> = found
            .blocks
            .into_values()
            .filter(|info| !blocks.contains_key(&info.id))
            .collect();
        let loads: Vec<_> = new.into_iter().map(|info| self.load(info)).collect();
        let mut loads = futures::stream::iter(loads)
            .buffer_unordered(self.config.block_sync_concurrency.max(1));
        while let Some(loaded) = loads.next().await {
            blocks.extend(loaded.map(|block| (block.info.id.clone(), Arc::new(block))));
        }
        self.serve(&served, blocks);
        let more = found.failed.len().saturating_sub(1);
        match found.failed.into_iter().next() {
            Some(first) => Err(SyncError::Incomplete { first, more }),
            None => Ok(()),
        }
    }

    async fn choose(&self, blocks: &mut Blocks) -> Result<(), FetchError> {
        let (filter, now) = ((self.filter)(), now());
        let mut counts = filter.before_marks(blocks, now);
        let marks = self.fetcher.marks(blocks).await?;
        counts.extend(filter.after_marks(blocks, &marks, now));
        for excluded in Excluded::ALL {
            let count = counts.get(&excluded).copied().unwrap_or_default();
            self.metrics.synced(excluded.state(), count);
        }
        Ok(())
    }

    async fn load(&self, info: crate::block::BlockInfo) -> Option<Block> {
        let (id, start) = (info.id.clone(), Instant::now());
        self.metrics.block_loads.inc();
        match self.try_load(info).await {
            Ok(block) => {
                tracing::info!(elapsed = ?start.elapsed(), id, "loaded new block");
                self.metrics
                    .block_load_seconds
                    .observe(start.elapsed().as_secs_f64());
                self.metrics.last_loaded.set(now() as f64 / 1000.0);
                Some(block)
            }
            Err(error) => {
                self.metrics.block_load_failures.inc();
                tracing::warn!(elapsed = ?start.elapsed(), id, err = %error, "loading block failed");
                self.remove_local(&id);
                None
            }
        }
    }

    async fn try_load(&self, info: crate::block::BlockInfo) -> Result<Block, ReadError> {
        if !super::set::RESOLUTIONS.contains(&info.resolution) {
            return Err(ReadError::Resolution(info.resolution));
        }
        let config = &self.config;
        let data_dir = config.data_dir.as_deref();
        let (bucket, budget) = (self.bucket.clone(), self.budget.clone());
        let block = Block::new(bucket, info, data_dir, &config.estimates, budget);
        if !config.lazy_headers {
            block.header.get().await?;
        } else if !config.lazy_download {
            block.header.download().await?;
        }
        Ok(block)
    }

    /// Shows these blocks to requests from now on.
    fn serve(&self, before: &View, blocks: BTreeMap<String, Arc<Block>>) {
        let dropped = before.blocks.keys().filter(|id| !blocks.contains_key(*id));
        for id in dropped {
            tracing::info!(block = id, "dropped outdated block");
            self.metrics.block_drops.inc();
            if !self.remove_local(id) {
                self.metrics.block_drop_failures.inc();
            }
        }
        self.metrics
            .blocks_loaded
            .set(i64::try_from(blocks.len()).unwrap_or(i64::MAX));
        self.view.store(Arc::new(View::new(blocks)));
    }

    fn remove_local(&self, id: &str) -> bool {
        let folder = self.config.data_dir.as_ref().map(|folder| folder.join(id));
        folder.is_none_or(|folder| remove(&folder))
    }

    /// Closes index headers that no request used for `idle`, where they are opened lazily.
    pub async fn close_idle_headers(&self, idle: Duration) {
        if !self.config.lazy_headers || idle.is_zero() {
            return;
        }
        let view = self.view.load_full();
        for block in view.blocks.values() {
            block.header.close_idle(idle).await;
        }
    }

    /// The times that are served, both ends; the range of a request is cut to it.
    pub(crate) fn limits(&self) -> (i64, i64) {
        let filter = (self.filter)();
        (filter.min_time, filter.max_time)
    }

    /// The blocks that answer a Series call, with the matchers that external labels leave.
    pub(crate) fn choose_blocks(
        &self,
        asked: &[Matcher],
        times: (i64, i64),
        max_resolution: i64,
        block_matchers: &[Matcher],
    ) -> Vec<(Arc<Block>, Arc<[Matcher]>)> {
        let view = self.view.load();
        let mut chosen = Vec::new();
        for (labels, set) in &view.sets {
            let Some(left) = matchers::without_external(labels, asked) else {
                continue;
            };
            let left: Arc<[Matcher]> = left.into();
            let blocks = set.choose(times.0, times.1, max_resolution).into_iter();
            let blocks = blocks.filter(|block| block.is_chosen(block_matchers));
            chosen.extend(blocks.map(|block| (block, left.clone())));
        }
        chosen
    }

    /// What Info says.
    #[must_use]
    pub fn info(&self) -> (Vec<LabelSet>, StoreInfo) {
        let view = self.view.load();
        let blocks = view.blocks.values();
        let first = blocks.clone().map(|block| block.info.min_time).min();
        let last = blocks.map(|block| block.info.max_time).max();
        let limits = self.limits();
        let sets = view.sets.iter().map(|(labels, _)| LabelSet {
            labels: labels.clone(),
        });
        let info = StoreInfo {
            min_time: first.unwrap_or(i64::MAX).max(limits.0),
            max_time: last.unwrap_or(i64::MIN).min(limits.1),
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: tsdb_infos(&view),
            supports_projections: false,
        };
        (sets.collect(), info)
    }
}

/// Per label set, the times of its blocks, adjacent and overlapping ones as one.
fn tsdb_infos(view: &View) -> Vec<TsdbInfo> {
    let mut times: HashMap<&BTreeMap<String, String>, Vec<(i64, i64)>> = HashMap::new();
    for block in view.blocks.values() {
        let info = &block.info;
        times
            .entry(&info.labels)
            .or_default()
            .push((info.min_time, info.max_time));
    }
    let mut infos = Vec::new();
    for (labels, _) in &view.sets {
        let key: BTreeMap<_, _> = labels
            .iter()
            .map(|l| (l.name.clone(), l.value.clone()))
            .collect();
        let ranges = times.remove(&key).unwrap_or_default();
        infos.extend(
            joined(ranges)
                .into_iter()
                .map(|(min_time, max_time)| TsdbInfo {
                    labels: Some(LabelSet {
                        labels: labels.clone(),
                    }),
                    min_time,
                    max_time,
                }),
        );
    }
    infos
}

fn joined(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => joined.push(range),
        }
    }
    joined
}

fn remove(folder: &Path) -> bool {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), err = %error, "failed to remove block which is not needed");
            false
        }
        _ => true,
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_that_touch_are_announced_as_one() {
        let ranges = vec![(10, 20), (0, 10), (30, 60), (40, 50)];
        assert_eq!(super::joined(ranges), [(0, 20), (30, 60)]);
        assert_eq!(super::joined(Vec::new()), []);
    }
}
