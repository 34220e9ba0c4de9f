//! What a sidecar knows of its Prometheus, and whether that is still true.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use net::metrics::Registry;
use parking_lot::RwLock;
use prometheus_client::metrics::gauge::Gauge;
use proto::thanos::Label;

use super::config::{Config, MinTime};
use super::prometheus::{Prometheus, PrometheusError};

/// Labels and times of one Prometheus, refreshed by [`Self::refresh`].
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) prometheus: Prometheus,
    min_time: MinTime,
    known: RwLock<Known>,
    up: Gauge,
    last_heartbeat: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Default)]
struct Known {
    ready: bool,
    external_labels: Vec<Label>,
    lowest_time: i64,
}

impl State {
    pub(crate) fn new(prometheus: Prometheus, config: &Config, registry: &Registry) -> Self {
        let up = registry.register(
            "thanos_sidecar_prometheus_up",
            "Boolean indicator whether the sidecar can reach its Prometheus peer",
            Gauge::default(),
        );
        let last_heartbeat = registry.register(
            "thanos_sidecar_last_heartbeat_success_time_seconds",
            "Timestamp of the last successful heartbeat in seconds",
            Gauge::default(),
        );
        Self {
            prometheus,
            min_time: config.min_time,
            known: RwLock::default(),
            up,
            last_heartbeat,
        }
    }

    /// Asks Prometheus for its labels and times; without an answer, what was known stays but is not ready.
    pub(crate) async fn refresh(&self, limit: Duration) -> Result<(), PrometheusError> {
        let asked = async {
            let labels = self.prometheus.external_labels().await?;
            Ok((labels, self.prometheus.lowest_time().await?))
        };
        let answer = tokio::time::timeout(limit, asked)
            .await
            .unwrap_or_else(|_| {
                Err(PrometheusError::Late {
                    url: self.prometheus.url(""),
                    limit,
                })
            });
        match answer {
            Ok((external_labels, lowest_time)) => {
                // A Prometheus without samples says the end of time: its first will come from now on.
                let lowest_time = lowest_time.min(now_ms());
                *self.known.write() = Known {
                    ready: true,
                    external_labels,
                    lowest_time,
                };
                self.up.set(1);
                self.last_heartbeat.set(now().as_secs_f64());
                Ok(())
            }
            Err(error) => {
                self.known.write().ready = false;
                self.up.set(0);
                Err(error)
            }
        }
    }

    /// The flags of Prometheus, by name.
    pub(crate) async fn flags(
        &self,
        limit: Duration,
    ) -> Result<Option<BTreeMap<String, String>>, PrometheusError> {
        let asked = tokio::time::timeout(limit, self.prometheus.flags()).await;
        asked.unwrap_or_else(|_| {
            Err(PrometheusError::Late {
                url: self.prometheus.url(""),
                limit,
            })
        })
    }

    /// Whether the last refresh succeeded.
    pub(crate) fn is_ready(&self) -> bool {
        self.known.read().ready
    }

    pub(crate) fn external_labels(&self) -> Vec<Label> {
        self.known.read().external_labels.clone()
    }

    /// The lowest time that is served, in milliseconds.
    pub(crate) fn min_time(&self) -> i64 {
        let now = i64::try_from(now().as_millis()).unwrap_or(i64::MAX);
        self.known
            .read()
            .lowest_time
            .min(now)
            .max(self.min_time.at(now))
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn now_ms() -> i64 {
    i64::try_from(now().as_millis()).unwrap_or(i64::MAX)
}
