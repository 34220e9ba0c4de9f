//! What the bucket has: metas of all blocks, filtered as Thanos's compactor filters them, and their marks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use objstore::Bucket;
use parking_lot::Mutex;
use store::block::{BlockInfo, Blocks, Excluded, Fetcher, Filter};
use tsdb::Ulid;
use tsdb::meta::{DeletionMark, Meta, NoCompactMark, NoDownsampleMark};

use super::plan::Block;
use super::{Config, Failure, Metrics, now};

/// The bucket as it was at the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Blocks to work on, without replica labels.
    pub(super) blocks: BTreeMap<Ulid, Block>,
    /// Blocks without a readable meta.
    pub(super) partial: Vec<Ulid>,
    /// All marks for deletion.
    pub(super) deletions: HashMap<Ulid, DeletionMark>,
    /// Blocks whose sources are all in another one.
    pub(super) duplicates: Vec<Ulid>,
    pub(super) no_compact: HashMap<Ulid, NoCompactMark>,
    pub(super) no_downsample: HashMap<Ulid, NoDownsampleMark>,
    /// When it was taken.
    pub(super) taken: Option<jiff::Timestamp>,
}

/// Looks at the bucket.
#[derive(Debug)]
pub(super) struct Syncer {
    fetcher: Fetcher<Arc<Meta>>,
    filter: Filter,
    min_time: crate::sidecar::MinTime,
    max_time: crate::sidecar::MinTime,
    replica_labels: Vec<String>,
    downsampling: bool,
    timeout: Option<Duration>,
    metrics: Metrics,
    /// Only one look at a time.
    turn: tokio::sync::Mutex<()>,
    view: Mutex<Arc<View>>,
}

impl Syncer {
    pub(super) fn new(config: &Config, bucket: &Bucket, metrics: &Metrics) -> Self {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self {
            fetcher: Fetcher::new(
                bucket.clone(),
                Some(&config.data_dir),
                config.block_meta_fetch_concurrency,
                config.discovery,
            ),
            filter: Filter {
                min_time: 0,
                max_time: 0,
                relabel: config.relabel.clone(),
                consistency_delay: millis(config.consistency_delay),
                // What is to be deleted is still compacted for half of its time, so that no gap arises.
                deletion_delay: millis(config.delete_delay) / 2,
            },
            min_time: config.min_time,
            max_time: config.max_time,
            replica_labels: config.replica_labels.clone(),
            downsampling: config.downsampling,
            timeout: config.wait.then_some(config.wait_interval),
            metrics: metrics.clone(),
            turn: tokio::sync::Mutex::default(),
            view: Mutex::default(),
        }
    }

    /// The bucket as it was at the last look.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.lock().clone()
    }

    /// Takes blocks out of the view that were marked since.
    pub(super) fn forget(&self, ids: &[Ulid]) {
        let mut view = self.view.lock();
        let view = Arc::make_mut(&mut view);
        for id in ids {
            view.blocks.remove(id);
        }
    }

    /// Looks at the bucket.
    ///
    /// # Errors
    /// [`Failure::Retry`]
    pub(super) async fn sync(&self) -> Result<Arc<View>, Failure> {
        let _turn = self.turn.lock().await;
        self.metrics.syncs.inc();
        let begun = Instant::now();
        let looked = match self.timeout {
            None => self.look().await,
            Some(limit) => match tokio::time::timeout(limit, self.look()).await {
                Ok(looked) => looked,
                Err(_) => Err(Failure::Retry(format!(
                    "meta sync: the bucket was not read within {limit:?}"
                ))),
            },
        };
        self.metrics
            .sync_seconds
            .observe(begun.elapsed().as_secs_f64());
        match looked {
            Ok(view) => {
                let view = Arc::new(view);
                *self.view.lock() = view.clone();
                Ok(view)
            }
            Err(failure) => {
                self.metrics.sync_failures.inc();
                Err(failure)
            }
        }
    }

    async fn look(&self) -> Result<View, Failure> {
        let failed = |error: store::block::FetchError| Failure::retry("meta sync", &error);
        let found = self.fetcher.fetch().await.map_err(failed)?;
        self.metrics.synced("no-meta-json", found.partial.len());
        self.metrics
            .synced("corrupted-meta-json", found.corrupted.len());
        self.metrics.synced("failed", found.failed.len());
        // An incomplete view could make gaps.
        if let Some(error) = found.failed.into_iter().next() {
            return Err(failed(error));
        }
        let now = now();
        let filter = Filter {
            min_time: self.min_time.at(now),
            max_time: self.max_time.at(now),
            ..self.filter.clone()
        };
        let mut metas: BTreeMap<String, Arc<Meta>> = found.blocks;
        let mut infos = self.infos(&metas);
        let mut counts = filter.before_marks(&mut infos, now);
        let deletions = self.fetcher.marked::<DeletionMark>(infos.keys());
        let deletions = deletions.await.map_err(failed)?;
        let times = deletions.iter().map(|(id, mark)| {
            let time = mark.deletion_time.saturating_mul(1000);
            (id.clone(), time)
        });
        let modified = self.without_replica_labels(&mut infos, &mut metas);
        self.metrics.modified(modified);
        let before: Vec<String> = infos.keys().cloned().collect();
        let times: HashMap<String, i64> = times.collect();
        counts.extend(filter.after_marks(&mut infos, &times, now));
        let hidden = |id: &String| {
            let marked = times.get(id);
            marked.is_some_and(|at| now.saturating_sub(*at) > filter.deletion_delay)
        };
        let duplicates = before
            .iter()
            .filter(|id| !infos.contains_key(*id) && !hidden(id))
            .filter_map(|id| parse(id))
            .collect();
        let no_compact = self.fetcher.marked::<NoCompactMark>(infos.keys());
        let no_compact = no_compact.await.map_err(failed)?;
        let mut no_downsample = HashMap::new();
        if self.downsampling {
            let marked = self.fetcher.marked::<NoDownsampleMark>(infos.keys());
            no_downsample = marked.await.map_err(failed)?;
        }
        for excluded in Excluded::ALL {
            let count = counts.get(&excluded).copied().unwrap_or_default();
            self.metrics.synced(excluded.state(), count);
        }
        self.metrics.synced("loaded", infos.len());
        self.metrics
            .synced("marked-for-no-compact", no_compact.len());
        self.metrics
            .synced("marked-for-no-downsample", no_downsample.len());
        metas.retain(|id, _| infos.contains_key(id));
        let partial = found.partial.iter().chain(&found.corrupted);
        Ok(View {
            blocks: metas.into_values().map(|meta| (meta.ulid, meta)).collect(),
            partial: partial.filter_map(|id| parse(id)).collect(),
            deletions: by_id(deletions),
            duplicates,
            no_compact: by_id(no_compact),
            no_downsample: by_id(no_downsample),
            taken: Some(jiff::Timestamp::now()),
        })
    }

    /// What filters look at. Replica labels do not choose blocks.
    fn infos(&self, metas: &BTreeMap<String, Arc<Meta>>) -> Blocks {
        let info = |(id, meta): (&String, &Arc<Meta>)| {
            let mut info = BlockInfo::from(&**meta);
            info.labels
                .retain(|name, _| !self.replica_labels.contains(name));
            (id.clone(), info)
        };
        metas.iter().map(info).collect()
    }

    /// Takes replica labels away; a block never ends without any label.
    fn without_replica_labels(
        &self,
        infos: &mut Blocks,
        metas: &mut BTreeMap<String, Arc<Meta>>,
    ) -> usize {
        let Some(first) = self.replica_labels.first() else {
            return 0;
        };
        let mut modified = 0;
        for (id, info) in infos {
            let Some(meta) = metas.get_mut(id) else {
                continue;
            };
            let labels = |meta: &Meta| meta.thanos.as_ref().map(|thanos| thanos.labels.clone());
            let before = labels(meta).unwrap_or_default();
            if before.len() == info.labels.len() {
                continue;
            }
            if info.labels.is_empty() {
                info.labels.insert(first.clone(), "deduped".to_owned());
            }
            let thanos = &mut Arc::make_mut(meta).thanos;
            thanos.get_or_insert_default().labels = info.labels.clone();
            modified += 1;
        }
        modified
    }
}

fn parse(id: &str) -> Option<Ulid> {
    Ulid::from_string(id).ok()
}

fn by_id<M>(marks: HashMap<String, M>) -> HashMap<Ulid, M> {
    let parsed = |(id, mark): (String, M)| Some((parse(&id)?, mark));
    marks.into_iter().filter_map(parsed).collect()
}
