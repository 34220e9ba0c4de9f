//! What a reloader counts, with Thanos's names.

use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::Method;

pub(super) struct Metrics {
    pub(super) reloads: Counter,
    reload_failures: Counter,
    last_successful: Gauge,
    last_success_time: Gauge<f64, AtomicU64>,
    pub(super) applies: Counter,
    pub(super) apply_failures: Counter,
    pub(super) expansion_errors: Gauge,
    pub(super) watches: Gauge,
    pub(super) watch_events: Counter,
    pub(super) watch_errors: Counter,
}

impl Metrics {
    pub(super) fn new(method: &Method, registry: &Registry) -> Self {
        let name = |name: &str| format!("thanos_sidecar_reloader_{name}");
        let counter =
            |last: &str, help: &str| registry.register(&name(last), help, Counter::default());
        let gauge = |last: &str, help: &str| registry.register(&name(last), help, Gauge::default());
        let info: Family<Vec<(&str, &str)>, Gauge> = registry.register(
            &name("info"),
            "Always 1; its label says how Prometheus is told to reload: http or signal",
            Family::default(),
        );
        info.get_or_create(&vec![("method", method.name())]).set(1);
        Self {
            reloads: counter("reloads", "Reloads that were asked of Prometheus"),
            reload_failures: counter("reloads_failed", "Reloads that failed"),
            last_successful: gauge(
                "last_reload_successful",
                "Whether the last reload succeeded",
            ),
            last_success_time: registry.register(
                &name("last_reload_success_timestamp_seconds"),
                "When a reload succeeded last",
                Gauge::default(),
            ),
            applies: counter(
                "config_apply_operations",
                "How often the files were read and the configuration written",
            ),
            apply_failures: counter(
                "config_apply_operations_failed",
                "How often they could not be",
            ),
            expansion_errors: gauge(
                "config_environment_variable_expansion_errors",
                "Environment variables that were not set when the configuration was read last",
            ),
            watches: gauge("watches", "Files and folders that are watched"),
            watch_events: counter("watch_events", "Changes that were noticed"),
            watch_errors: counter(
                "watch_errors",
                "How often the files to watch could not be listed",
            ),
        }
    }

    pub(super) fn reloaded(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last_success_time
            .set(now.unwrap_or_default().as_secs_f64());
        self.last_successful.set(1);
    }

    pub(super) fn reload_failed(&self) {
        self.reload_failures.inc();
        self.last_successful.set(0);
    }
}

impl Method {
    fn name(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Signal { .. } => "signal",
        }
    }
}
