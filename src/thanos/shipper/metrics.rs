//! What a shipper counts, with Thanos's names.

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) dir_syncs: Counter,
    pub(super) dir_sync_failures: Counter,
    pub(super) uploads: Counter,
    pub(super) upload_failures: Counter,
    pub(super) corrupted_blocks: Counter,
    pub(super) upload_compacted_done: Gauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            registry.register(&format!("thanos_shipper_{name}"), help, Counter::default())
        };
        Self {
            dir_syncs: counter("dir_syncs", "Total number of dir syncs"),
            dir_sync_failures: counter("dir_sync_failures", "Total number of failed dir syncs"),
            uploads: counter("uploads", "Total number of uploaded blocks"),
            upload_failures: counter("upload_failures", "Total number of block upload failures"),
            corrupted_blocks: counter(
                "corrupted_blocks",
                "Total number of corrupted blocks that were found",
            ),
            upload_compacted_done: registry.register(
                "thanos_shipper_upload_compacted_done",
                "If 1 it means shipper uploaded all compacted blocks from the filesystem",
                Gauge::default(),
            ),
        }
    }
}
