//! What a bucket counts, with Thanos's names.

use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Thanos's buckets, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0,
];

/// What is done to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Iter,
    Get,
    GetRange,
    Exists,
    Upload,
    Delete,
    Attributes,
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::Iter,
        Self::Get,
        Self::GetRange,
        Self::Exists,
        Self::Upload,
        Self::Delete,
        Self::Attributes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iter => "iter",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Exists => "exists",
            Self::Upload => "upload",
            Self::Delete => "delete",
            Self::Attributes => "attributes",
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// The metrics of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    operations: Vec<Counted>,
    last_upload: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug)]
struct Counted {
    total: Counter,
    failures: Counter,
    seconds: Histogram,
    fetched: Counter,
    transferred: Histogram,
}

/// The families, before a bucket's name is known to them.
struct Families {
    total: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    fetched: Family<Labels, Counter>,
    transferred: Family<Labels, Histogram, fn() -> Histogram>,
    last_upload: Family<Labels, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    pub(crate) fn new(bucket: &str, registry: Option<&Registry>) -> Self {
        let families = Families {
            total: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            fetched: Family::default(),
            // 32 KiB to 1 GiB.
            transferred: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(32_768.0, 2.0, 16))
            }),
            last_upload: Family::default(),
        };
        if let Some(registry) = registry {
            families.register(registry);
        }
        let bucket_label = ("bucket", bucket.to_owned());
        let counted = |operation: Operation| {
            let labels = vec![
                bucket_label.clone(),
                ("operation", operation.name().to_owned()),
            ];
            Counted {
                total: families.total.get_or_create(&labels).clone(),
                failures: families.failures.get_or_create(&labels).clone(),
                seconds: families.seconds.get_or_create(&labels).clone(),
                fetched: families.fetched.get_or_create(&labels).clone(),
                transferred: families.transferred.get_or_create(&labels).clone(),
            }
        };
        Self {
            operations: Operation::ALL.into_iter().map(counted).collect(),
            last_upload: families
                .last_upload
                .get_or_create(&vec![bucket_label.clone()])
                .clone(),
        }
    }

    /// Counts an operation that begins now.
    pub(crate) fn begin(&self, operation: Operation) -> Running<'_> {
        let counted = &self.operations[operation as usize];
        counted.total.inc();
        Running {
            counted,
            uploaded: (operation == Operation::Upload).then_some(&self.last_upload),
            since: Instant::now(),
        }
    }
}

impl Families {
    fn register(&self, registry: &Registry) {
        let name = |rest: &str| format!("thanos_objstore_bucket_{rest}");
        registry.register(
            &name("operations"),
            "Total number of all attempted operations against a bucket",
            self.total.clone(),
        );
        registry.register(
            &name("operation_failures"),
            "Total number of operations against a bucket that failed, but were not expected to fail in certain way from caller perspective",
            self.failures.clone(),
        );
        registry.register(
            &name("operation_duration_seconds"),
            "Duration of successful operations against the bucket per operation",
            self.seconds.clone(),
        );
        registry.register(
            &name("operation_fetched_bytes"),
            "Total number of bytes fetched from bucket, per operation",
            self.fetched.clone(),
        );
        registry.register(
            &name("operation_transferred_bytes"),
            "Number of bytes transferred from/to bucket per operation",
            self.transferred.clone(),
        );
        registry.register(
            &name("last_successful_upload_time"),
            "Second timestamp of the last successful upload to the bucket",
            self.last_upload.clone(),
        );
    }
}

/// An operation under way.
pub(crate) struct Running<'m> {
    counted: &'m Counted,
    uploaded: Option<&'m Gauge<f64, AtomicU64>>,
    since: Instant,
}

impl Running<'_> {
    pub(crate) fn fetched(&self, bytes: usize) {
        self.counted.fetched.inc_by(bytes as u64);
        self.transferred(bytes as u64);
    }

    pub(crate) fn transferred(&self, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        self.counted.transferred.observe(bytes as f64);
    }

    pub(crate) fn succeeded(self) {
        self.counted
            .seconds
            .observe(self.since.elapsed().as_secs_f64());
        if let Some(time) = self.uploaded {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            time.set(now.unwrap_or_default().as_secs_f64());
        }
    }

    pub(crate) fn failed(self) {
        self.counted.failures.inc();
    }
}
