//! The gateway's metrics, with Thanos's names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use net::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use proto::hintspb::QueryStats;

use super::budget::Budget;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Tenant {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Data {
    data_type: &'static str,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: &'static str,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Upper bounds of buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buckets {
    Listed(&'static [f64]),
    /// (first, how many), each twice the one before.
    Doubling(f64, u16),
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        match *self {
            Self::Listed(bounds) => Histogram::new(bounds.iter().copied()),
            Self::Doubling(first, count) => {
                let doubled = |n| first * f64::from(n).exp2();
                Histogram::new((0..count).map(doubled))
            }
        }
    }
}

const SECONDS: Buckets = Buckets::Listed(&[
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0,
]);
const GATE_SECONDS: Buckets = Buckets::Listed(&[
    0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
]);
const LOAD_SECONDS: Buckets = Buckets::Listed(&[
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0,
]);
const SYNC_SECONDS: Buckets = Buckets::Listed(&[0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0]);
const CHUNK_BYTES: Buckets = Buckets::Listed(&[
    32.0,
    256.0,
    512.0,
    1024.0,
    32.0 * 1024.0,
    256.0 * 1024.0,
    512.0 * 1024.0,
    1024.0 * 1024.0,
    32.0 * 1024.0 * 1024.0,
    256.0 * 1024.0 * 1024.0,
    512.0 * 1024.0 * 1024.0,
]);
const COUNTS: Buckets = Buckets::Doubling(200.0, 15);
const SIZES: Buckets = Buckets::Doubling(1024.0, 15);

type Histograms<L> = Family<L, Histogram, Buckets>;

/// Everything the gateway counts. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) block_loads: Counter,
    pub(crate) block_load_failures: Counter,
    pub(crate) block_drops: Counter,
    pub(crate) block_drop_failures: Counter,
    pub(crate) blocks_loaded: Gauge,
    pub(crate) last_loaded: Gauge<f64, AtomicU64>,
    pub(crate) block_load_seconds: Histogram,
    touched: Histograms<Data>,
    fetched: Histograms<Data>,
    touched_bytes: Histograms<Data>,
    fetched_bytes: Histograms<Data>,
    blocks_queried: Histograms<Tenant>,
    get_all: Histograms<Tenant>,
    merge: Histograms<Tenant>,
    result_series: Histograms<Tenant>,
    sent_chunk_bytes: Histograms<Tenant>,
    dropped: Family<Reason, Counter>,
    series_refetches: Family<Tenant, Counter>,
    chunk_refetches: Family<Tenant, Counter>,
    empty_postings: Family<Tenant, Counter>,
    pub(crate) gate_in_flight: Gauge,
    pub(crate) gate_max: Gauge,
    pub(crate) gate_seconds: Histogram,
    pub(crate) gate_queries: Counter,
    pub(crate) meta_syncs: Counter,
    pub(crate) meta_sync_failures: Counter,
    pub(crate) meta_sync_seconds: Histogram,
    synced: Family<State, Gauge>,
    budget_used: Gauge,
    budget_bytes: Gauge,
}

impl Metrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let family = Family::<Tenant, Histogram, Buckets>::new_with_constructor;
        let data = Family::<Data, Histogram, Buckets>::new_with_constructor;
        Self {
            block_loads: registry.register("thanos_bucket_store_block_loads", "Total number of remote block loading attempts", Counter::default()),
            block_load_failures: registry.register("thanos_bucket_store_block_load_failures", "Total number of failed remote block loading attempts", Counter::default()),
            block_drops: registry.register("thanos_bucket_store_block_drops", "Total number of local blocks that were dropped", Counter::default()),
            block_drop_failures: registry.register("thanos_bucket_store_block_drop_failures", "Total number of local blocks that failed to be dropped", Counter::default()),
            blocks_loaded: registry.register("thanos_bucket_store_blocks_loaded", "Number of currently loaded blocks", Gauge::default()),
            last_loaded: registry.register("thanos_bucket_store_blocks_last_loaded_timestamp_seconds", "Timestamp when last block got loaded", Gauge::default()),
            block_load_seconds: registry.register("thanos_bucket_store_block_load_duration_seconds", "The total time taken to load a block in seconds", LOAD_SECONDS.new_metric()),
            touched: registry.register("thanos_bucket_store_series_data_touched", "Number of items of a data type touched to fulfill a single Store API series request", data(COUNTS)),
            fetched: registry.register("thanos_bucket_store_series_data_fetched", "Number of items of a data type retrieved to fulfill a single Store API series request", data(COUNTS)),
            touched_bytes: registry.register("thanos_bucket_store_series_data_size_touched_bytes", "Total size of items of a data type touched to fulfill a single Store API series request", data(SIZES)),
            fetched_bytes: registry.register("thanos_bucket_store_series_data_size_fetched_bytes", "Total size of items of a data type fetched to fulfill a single Store API series request", data(SIZES)),
            blocks_queried: registry.register("thanos_bucket_store_series_blocks_queried", "Number of blocks in a bucket store that were touched to satisfy a query", family(Buckets::Doubling(1.0, 10))),
            get_all: registry.register("thanos_bucket_store_series_get_all_duration_seconds", "Time it takes until all per-block prepares and loads for a query are finished", family(SECONDS)),
            merge: registry.register("thanos_bucket_store_series_merge_duration_seconds", "Time it takes to merge sub-results from all queried blocks into a single result", family(SECONDS)),
            result_series: registry.register("thanos_bucket_store_series_result_series", "Number of series observed in the final result of a query", family(Buckets::Doubling(100.0, 15))),
            sent_chunk_bytes: registry.register("thanos_bucket_store_sent_chunk_size_bytes", "Size in bytes of the chunks for the single series", family(CHUNK_BYTES)),
            dropped: registry.register("thanos_bucket_store_queries_dropped", "Number of queries that were dropped due to the limit", Family::default()),
            series_refetches: registry.register("thanos_bucket_store_series_refetches", "Total number of series entries that were larger than estimated and read again", Family::default()),
            chunk_refetches: registry.register("thanos_bucket_store_chunk_refetches", "Total number of chunks that were larger than estimated and read again", Family::default()),
            empty_postings: registry.register("thanos_bucket_store_empty_postings", "Total number of empty postings when fetching block series", Family::default()),
            gate_in_flight: registry.register("thanos_bucket_store_series_gate_queries_in_flight", "Number of queries that are currently in flight", Gauge::default()),
            gate_max: registry.register("thanos_bucket_store_series_gate_queries_max", "Maximum number of concurrent queries", Gauge::default()),
            gate_seconds: gate_seconds(registry),
            gate_queries: registry.register("thanos_bucket_store_series_gate_queries", "Total number of queries", Counter::default()),
            meta_syncs: registry.register("thanos_blocks_meta_syncs", "Total blocks metadata synchronization attempts", Counter::default()),
            meta_sync_failures: registry.register("thanos_blocks_meta_sync_failures", "Total blocks metadata synchronization failures", Counter::default()),
            meta_sync_seconds: registry.register("thanos_blocks_meta_sync_duration_seconds", "Duration of the blocks metadata synchronization in seconds", SYNC_SECONDS.new_metric()),
            synced: registry.register("thanos_blocks_meta_synced", "Number of block metadata synced", Family::default()),
            budget_used: registry.register("tks_store_memory_budget_used_bytes", "Bytes of the memory budget that requests hold", Gauge::default()),
            budget_bytes: registry.register("tks_store_memory_budget_bytes", "The memory budget that all requests share", Gauge::default()),
        }
    }

    /// The metrics of one request.
    pub(crate) fn of(&self, tenant: &str) -> RequestMetrics {
        RequestMetrics {
            all: self.clone(),
            tenant: tenant.to_owned(),
        }
    }

    pub(crate) fn synced(&self, state: &'static str, count: usize) {
        let gauge = self.synced.get_or_create_owned(&State { state });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn budget(&self, budget: &Budget) {
        self.budget_used
            .set(i64::try_from(budget.used()).unwrap_or(i64::MAX));
        self.budget_bytes
            .set(i64::try_from(budget.bytes()).unwrap_or(i64::MAX));
    }
}

/// Under the name that Thanos exports, and the one that its dashboards ask for.
fn gate_seconds(registry: &Registry) -> Histogram {
    let help = "How many seconds it took for queries to wait at the gate";
    let seconds = GATE_SECONDS.new_metric();
    registry.register(
        "thanos_bucket_store_series_gate_duration_seconds",
        help,
        seconds.clone(),
    );
    registry.register(
        "thanos_bucket_store_series_gate_queries_duration_seconds",
        help,
        seconds,
    )
}

/// The metrics under one tenant's name.
#[derive(Clone, Debug)]
pub(crate) struct RequestMetrics {
    all: Metrics,
    tenant: String,
}

impl RequestMetrics {
    fn tenant(&self) -> Tenant {
        Tenant {
            tenant: self.tenant.clone(),
        }
    }

    pub(crate) fn dropped(&self, reason: &'static str) -> Counter {
        let tenant = self.tenant.clone();
        self.all
            .dropped
            .get_or_create_owned(&Reason { reason, tenant })
    }

    pub(crate) fn series_refetch(&self) {
        self.all
            .series_refetches
            .get_or_create(&self.tenant())
            .inc();
    }

    pub(crate) fn chunk_refetch(&self) {
        self.all.chunk_refetches.get_or_create(&self.tenant()).inc();
    }

    pub(crate) fn empty_postings(&self) {
        self.all.empty_postings.get_or_create(&self.tenant()).inc();
    }

    pub(crate) fn got_all(&self, blocks: usize, took: Duration) {
        let tenant = self.tenant();
        self.all
            .get_all
            .get_or_create(&tenant)
            .observe(took.as_secs_f64());
        self.all
            .blocks_queried
            .get_or_create(&tenant)
            .observe(blocks as f64);
    }

    pub(crate) fn merged(&self, took: Duration) {
        self.all
            .merge
            .get_or_create(&self.tenant())
            .observe(took.as_secs_f64());
    }

    /// A histogram to observe the chunk bytes of every series with.
    pub(crate) fn sent_chunk_bytes(&self) -> Histogram {
        self.all
            .sent_chunk_bytes
            .get_or_create_owned(&self.tenant())
    }

    /// What a request came to.
    pub(crate) fn finished(&self, stats: &QueryStats) {
        let data = [
            (
                "postings",
                [
                    stats.postings_touched,
                    stats.postings_fetched,
                    stats.postings_touched_size_sum,
                    stats.postings_fetched_size_sum,
                ],
            ),
            (
                "series",
                [
                    stats.series_touched,
                    stats.series_fetched,
                    stats.series_touched_size_sum,
                    stats.series_fetched_size_sum,
                ],
            ),
            (
                "chunks",
                [
                    stats.chunks_touched,
                    stats.chunks_fetched,
                    stats.chunks_touched_size_sum,
                    stats.chunks_fetched_size_sum,
                ],
            ),
        ];
        let families = [
            &self.all.touched,
            &self.all.fetched,
            &self.all.touched_bytes,
            &self.all.fetched_bytes,
        ];
        for (data_type, values) in data {
            let labels = Data {
                data_type,
                tenant: self.tenant.clone(),
            };
            for (family, value) in families.iter().zip(values) {
                family.get_or_create(&labels).observe(value as f64);
            }
        }
        let series = self.all.result_series.get_or_create_owned(&self.tenant());
        series.observe(stats.merged_series_count as f64);
    }
}
