//! What a compactor counts, with Thanos's names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tsdb::meta::{DeletionMark, Mark as _, NoCompactMark};

type Labels = Vec<(&'static str, String)>;
type ByLabel = Family<Labels, Counter>;

/// The metrics of a compactor.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) halted: Gauge,
    pub(super) retries: Counter,
    pub(super) iterations: Counter,
    pub(super) cleanups: Counter,
    pub(super) partial_deletions: Counter,
    pub(super) blocks_cleaned: Counter,
    pub(super) cleanup_failures: Counter,
    marked: ByLabel,
    pub(super) garbage_collected: Counter,
    pub(super) garbage_collections: Counter,
    pub(super) garbage_failures: Counter,
    pub(super) garbage_seconds: Histogram,
    runs_started: ByLabel,
    runs_completed: ByLabel,
    compactions: ByLabel,
    failures: ByLabel,
    vertical: ByLabel,
    downsamples: ByLabel,
    downsample_failures: ByLabel,
    downsample_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    pub(super) syncs: Counter,
    pub(super) sync_failures: Counter,
    pub(super) sync_seconds: Histogram,
    synced: Family<Labels, Gauge>,
    modified: Family<Labels, Gauge>,
    pub(super) todo_compactions: Gauge,
    pub(super) todo_compaction_blocks: Gauge,
    pub(super) todo_downsample_blocks: Gauge,
    pub(super) todo_deletion_blocks: Gauge,
}

const SECONDS: [f64; 16] = [
    0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
];
const SYNC_SECONDS: [f64; 5] = [0.01, 1.0, 10.0, 100.0, 1000.0];
/// From a minute to nearly three hours.
const DOWNSAMPLE_SECONDS: [f64; 8] = [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0];

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry, delete_delay: Duration, consistency_delay: Duration) -> Self {
        for (name, help, delay) in [
            (
                "thanos_delete_delay_seconds",
                "Configured delete delay in seconds",
                delete_delay,
            ),
            (
                "thanos_consistency_delay_seconds",
                "Configured consistency delay in seconds",
                consistency_delay,
            ),
        ] {
            let gauge: Gauge<f64, AtomicU64> = registry.register(name, help, Gauge::default());
            gauge.set(delay.as_secs_f64());
        }
        let counter = |name: &str, help: &str| -> Counter {
            registry.register(&format!("thanos_{name}"), help, Counter::default())
        };
        let family = |name: &str, help: &str| -> ByLabel {
            registry.register(&format!("thanos_{name}"), help, Family::default())
        };
        let gauge = |name: &str, help: &str| -> Gauge {
            registry.register(&format!("thanos_{name}"), help, Gauge::default())
        };
        let seconds = |name: &str, help: &str, buckets: &[f64]| {
            let histogram = Histogram::new(buckets.iter().copied());
            registry.register(&format!("thanos_{name}"), help, histogram)
        };
        let metrics = Self {
            halted: gauge(
                "compact_halted",
                "Set to 1 if the compactor halted due to an unexpected error",
            ),
            retries: counter(
                "compact_retries",
                "Total number of retries after retriable compactor error",
            ),
            iterations: counter(
                "compact_iterations",
                "Total number of iterations that were executed successfully",
            ),
            cleanups: counter(
                "compact_block_cleanup_loops",
                "Total number of concurrent cleanup loops of partially uploaded blocks and marked blocks that were executed successfully",
            ),
            partial_deletions: counter(
                "compact_aborted_partial_uploads_deletion_attempts",
                "Total number of started deletions of blocks that are assumed aborted and only partially uploaded",
            ),
            blocks_cleaned: counter(
                "compact_blocks_cleaned",
                "Total number of blocks deleted in compactor",
            ),
            cleanup_failures: counter(
                "compact_block_cleanup_failures",
                "Failures encountered while deleting blocks in compactor",
            ),
            marked: family(
                "compact_blocks_marked",
                "Total number of blocks marked in compactor",
            ),
            garbage_collected: counter(
                "compact_garbage_collected_blocks",
                "Total number of blocks marked for deletion by compactor",
            ),
            garbage_collections: counter(
                "compact_garbage_collection",
                "Total number of garbage collection operations",
            ),
            garbage_failures: counter(
                "compact_garbage_collection_failures",
                "Total number of failed garbage collection operations",
            ),
            garbage_seconds: seconds(
                "compact_garbage_collection_duration_seconds",
                "Time it took to perform garbage collection iteration",
                &SECONDS,
            ),
            runs_started: family(
                "compact_group_compaction_runs_started",
                "Total number of group compaction attempts",
            ),
            runs_completed: family(
                "compact_group_compaction_runs_completed",
                "Total number of group completed compaction runs. This also includes compactor group runs that resulted with no compaction",
            ),
            compactions: family(
                "compact_group_compactions",
                "Total number of group compaction attempts that resulted in a new block",
            ),
            failures: family(
                "compact_group_compactions_failures",
                "Total number of failed group compactions",
            ),
            vertical: family(
                "compact_group_vertical_compactions",
                "Total number of group compaction attempts that resulted in a new block based on overlapping blocks",
            ),
            downsamples: family(
                "compact_downsample",
                "Total number of downsampling attempts",
            ),
            downsample_failures: family(
                "compact_downsample_failures",
                "Total number of failed downsampling attempts",
            ),
            downsample_seconds: registry.register(
                "thanos_compact_downsample_duration_seconds",
                "Duration of downsample runs",
                Family::new_with_constructor(
                    (|| Histogram::new(DOWNSAMPLE_SECONDS)) as fn() -> Histogram,
                ),
            ),
            syncs: counter(
                "blocks_meta_syncs",
                "Total blocks metadata synchronization attempts",
            ),
            sync_failures: counter(
                "blocks_meta_sync_failures",
                "Total blocks metadata synchronization failures",
            ),
            sync_seconds: seconds(
                "blocks_meta_sync_duration_seconds",
                "Duration of the blocks metadata synchronization in seconds",
                &SYNC_SECONDS,
            ),
            synced: registry.register(
                "thanos_blocks_meta_synced",
                "Number of block metadata synced",
                Family::default(),
            ),
            modified: registry.register(
                "thanos_blocks_meta_modified",
                "Number of blocks whose metadata changed",
                Family::default(),
            ),
            todo_compactions: gauge(
                "compact_todo_compactions",
                "number of compactions to be done",
            ),
            todo_compaction_blocks: gauge(
                "compact_todo_compaction_blocks",
                "number of blocks planned to be compacted",
            ),
            todo_downsample_blocks: gauge(
                "compact_todo_downsample_blocks",
                "number of blocks to be downsampled",
            ),
            todo_deletion_blocks: gauge(
                "compact_todo_deletion_blocks",
                "number of blocks that have crossed their retention period",
            ),
        };
        // There from the start, so that alerts see them rise.
        for (file, reason) in [
            (NoCompactMark::FILE, "block-index-out-of-order-chunk"),
            (NoCompactMark::FILE, "index-size-exceeding"),
            (DeletionMark::FILE, ""),
        ] {
            metrics.marked(file, reason, 0);
        }
        metrics
    }

    /// Counts marks on blocks.
    pub(super) fn marked(&self, file: &str, reason: &str, count: u64) {
        let labels = vec![("marker", file.to_owned()), ("reason", reason.to_owned())];
        self.marked.get_or_create(&labels).inc_by(count);
    }

    fn by_resolution(resolution: i64) -> Labels {
        vec![("resolution", resolution.to_string())]
    }

    pub(super) fn run_started(&self, resolution: i64) {
        let labels = Self::by_resolution(resolution);
        for family in [
            &self.compactions,
            &self.failures,
            &self.vertical,
            &self.runs_completed,
        ] {
            drop(family.get_or_create(&labels));
        }
        self.runs_started.get_or_create(&labels).inc();
    }

    pub(super) fn run_ended(&self, resolution: i64, well: bool) {
        let family = if well {
            &self.runs_completed
        } else {
            &self.failures
        };
        family.get_or_create(&Self::by_resolution(resolution)).inc();
    }

    pub(super) fn compacted(&self, resolution: i64, vertical: bool) {
        let labels = Self::by_resolution(resolution);
        self.compactions.get_or_create(&labels).inc();
        if vertical {
            self.vertical.get_or_create(&labels).inc();
        }
    }

    pub(super) fn downsampled(&self, resolution: i64, took: Option<Duration>) {
        let labels = Self::by_resolution(resolution);
        self.downsamples.get_or_create(&labels).inc();
        let failures = self.downsample_failures.get_or_create(&labels);
        match took {
            Some(took) => {
                let seconds = self.downsample_seconds.get_or_create(&labels);
                seconds.observe(took.as_secs_f64());
            }
            None => {
                failures.inc();
            }
        }
    }

    pub(super) fn synced(&self, state: &str, count: usize) {
        let labels = vec![("state", state.to_owned())];
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.synced.get_or_create(&labels).set(count);
    }

    pub(super) fn modified(&self, count: usize) {
        let labels = vec![("modified", "replica-label-removed".to_owned())];
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.modified.get_or_create(&labels).set(count);
    }
}
