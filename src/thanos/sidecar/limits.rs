//! The limits of a sidecar, and what one call has left of them.

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use proto::thanos::{AggrChunk, Series};
use store::bucket::{Limiter, SAMPLES_PER_CHUNK};

use super::config::Limits;
use super::prometheus::PrometheusError;

/// Makes an [`Allowance`] for each call.
#[derive(Clone, Debug)]
pub(super) struct Allowances {
    limits: Limits,
    series_dropped: Counter,
    chunks_dropped: Counter,
}

impl Allowances {
    pub(super) fn new(limits: Limits, registry: &Registry) -> Self {
        let dropped: Family<Vec<(&str, &str)>, Counter> = registry.register(
            "thanos_store_selects_dropped",
            "Series calls that were refused for a limit",
            Family::default(),
        );
        let dropped = |reason| dropped.get_or_create(&vec![("reason", reason)]).clone();
        Self {
            limits,
            series_dropped: dropped("series"),
            chunks_dropped: dropped("chunks"),
        }
    }

    pub(super) fn one(&self) -> Allowance {
        let limits = &self.limits;
        Allowance {
            series: Limiter::new(limits.request_series, self.series_dropped.clone()),
            samples: Limiter::new(limits.request_samples, self.chunks_dropped.clone()),
            bytes: Limiter::new(limits.request_bytes as u64, Counter::default()),
            most_bytes: limits.request_bytes,
        }
    }
}

/// What one call may take.
#[derive(Debug)]
pub(super) struct Allowance {
    series: Limiter,
    samples: Limiter,
    bytes: Limiter,
    /// Bytes in all; 0 is no limit.
    pub(super) most_bytes: usize,
}

impl Allowance {
    /// Takes `count` series more.
    pub(super) fn series(&self, count: usize) -> Result<(), PrometheusError> {
        let taken = self.series.reserve(count as u64);
        taken.map_err(|source| PrometheusError::over("series", &source))
    }

    /// Takes what a series holds; the series itself is taken by [`Self::series`].
    pub(super) fn content(&self, series: &Series) -> Result<(), PrometheusError> {
        let samples = SAMPLES_PER_CHUNK.saturating_mul(series.chunks.len() as u64);
        let taken = self.samples.reserve(samples);
        taken.map_err(|source| PrometheusError::over("samples", &source))?;
        let taken = self.bytes.reserve(size(series) as u64);
        taken.map_err(|source| PrometheusError::over("bytes", &source))
    }
}

/// Bytes that a series holds, about.
fn size(series: &Series) -> usize {
    let labels: usize = series
        .labels
        .iter()
        .map(|l| 48 + l.name.len() + l.value.len())
        .sum();
    let data = |chunk: &AggrChunk| {
        size_of::<AggrChunk>() + chunk.raw.as_ref().map_or(0, |raw| raw.data.len())
    };
    labels + series.chunks.iter().map(data).sum::<usize>()
}
