//! The registry behind `/metrics`, in the OpenMetrics text format 1.0.
//!
//! Counters are registered without `_total`: the format adds it. Every registry starts with
//! `thanos_build_info` and the process's own metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry as Inner};

use crate::process::ProcessCollector;

/// What a scrape of [`Registry::text`] must carry as its `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A handle on one registry. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Mutex<Inner>>);

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry with the process's metrics and `thanos_build_info`.
    #[must_use]
    pub fn new() -> Self {
        let mut inner = Inner::default();
        inner.register_collector(Box::new(ProcessCollector::new()));
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", option_env!("TKS_REVISION").unwrap_or("")),
            ("goos", std::env::consts::OS),
            ("goarch", std::env::consts::ARCH),
        ];
        inner.register(
            "thanos_build",
            "What this binary was built from",
            Info::new(build),
        );
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Registers a metric and returns it, for
    /// `let hits = registry.register("x_hits", "…", Counter::default());`.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().register(name, help, metric.clone());
        metric
    }

    /// Registers something that encodes its metrics at each scrape.
    pub fn register_collector(&self, collector: impl Collector) {
        self.0.lock().register_collector(Box::new(collector));
    }

    /// Everything as OpenMetrics text, `# EOF` included.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.0.lock()).is_err() {
            // Only a collector can fail, and only by its own choice.
            text.clear();
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn a_registered_counter_ends_in_total() {
        let registry = Registry::new();
        let hits: Counter = registry.register("x_hits", "Hits", Counter::default());
        hits.inc_by(3);
        let text = registry.text();
        assert!(text.contains("\nx_hits_total 3\n"), "{text}");
        assert!(text.contains("thanos_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
