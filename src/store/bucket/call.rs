//! What all blocks of one request share: limits, statistics, and the table of strings.

use std::sync::Arc;

use model::Symbols;
use parking_lot::Mutex;
use proto::hintspb::QueryStats;

use super::error::ReadError;
use super::limits::{Limiter, Limits, SAMPLES_PER_CHUNK};
use super::metrics::RequestMetrics;

/// What is read of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Postings,
    Series,
    Chunks,
}

impl Reading {
    /// Where it happens, and which limit it passes, in the words of Thanos.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Postings => (
                "expanded matching posting: fetch and expand postings: get postings: ",
                "exceeded bytes limit while fetching postings",
            ),
            Self::Series => (
                "preload series: ",
                "exceeded bytes limit while fetching series",
            ),
            Self::Chunks => (
                "load chunks: ",
                "exceeded bytes limit while fetching chunks",
            ),
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) symbols: Arc<Symbols>,
    pub(crate) metrics: RequestMetrics,
    series: Limiter,
    chunks: Limiter,
    bytes: Limiter,
    stats: Mutex<QueryStats>,
}

impl Call {
    pub(crate) fn new(limits: &Limits, metrics: RequestMetrics) -> Self {
        let chunks = limits.request_samples / SAMPLES_PER_CHUNK;
        Self {
            symbols: Arc::default(),
            series: Limiter::new(limits.request_series, metrics.dropped("series")),
            chunks: Limiter::new(chunks, metrics.dropped("chunks")),
            bytes: Limiter::new(limits.downloaded_bytes, metrics.dropped("bytes")),
            stats: Mutex::default(),
            metrics,
        }
    }

    pub(crate) fn reserve_series(&self, count: usize) -> Result<(), ReadError> {
        let what = "exceeded series limit";
        let reserved = self.series.reserve(count as u64);
        reserved.map_err(|source| ReadError::Limit {
            doing: "",
            what,
            source,
        })
    }

    pub(crate) fn reserve_chunks(&self, count: usize) -> Result<(), ReadError> {
        let what = "exceeded chunks limit";
        let reserved = self.chunks.reserve(count as u64);
        reserved.map_err(|source| ReadError::Limit {
            doing: "",
            what,
            source,
        })
    }

    /// Takes bytes that are about to be read.
    pub(crate) fn reserve_bytes(&self, reading: Reading, bytes: u64) -> Result<(), ReadError> {
        let (doing, what) = reading.words();
        let reserved = self.bytes.reserve(bytes);
        reserved.map_err(|source| ReadError::Limit {
            doing,
            what,
            source,
        })
    }

    /// Adds to the statistics.
    pub(crate) fn count(&self, add: impl FnOnce(&mut QueryStats)) {
        add(&mut self.stats.lock());
    }

    /// The statistics so far.
    pub(crate) fn stats(&self) -> QueryStats {
        let mut stats = *self.stats.lock();
        stats.data_downloaded_size_sum = stats.postings_fetched_size_sum
            + stats.series_fetched_size_sum
            + stats.chunks_fetched_size_sum;
        stats
    }
}

/// A count as statistics carry it.
pub(crate) fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
