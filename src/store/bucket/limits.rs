//! What one request may take, counted over all blocks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;

/// The limits of every request; 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Series of a request, in all blocks together.
    pub request_series: u64,
    /// Samples of a request, counted as 120 per chunk.
    pub request_samples: u64,
    /// Bytes that a request may read from the bucket.
    pub downloaded_bytes: u64,
}

/// Samples that a chunk is counted as.
pub const SAMPLES_PER_CHUNK: u64 = 120;

/// A limit that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {limit} violated (got {got})")]
pub struct LimitError {
    limit: u64,
    got: u64,
}

/// One limit of one request.
#[derive(Debug)]
pub struct Limiter {
    limit: u64,
    used: AtomicU64,
    dropped: Counter,
    failed: AtomicBool,
}

impl Limiter {
    /// `dropped` counts the requests that fail by this limit, each once.
    #[must_use]
    pub fn new(limit: u64, dropped: Counter) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
            dropped,
            failed: AtomicBool::new(false),
        }
    }

    /// Takes `count` more.
    ///
    /// # Errors
    /// [`LimitError`], when that is more than the limit.
    pub fn reserve(&self, count: u64) -> Result<(), LimitError> {
        if self.limit == 0 {
            return Ok(());
        }
        let got = self.used.fetch_add(count, Ordering::Relaxed) + count;
        if got <= self.limit {
            return Ok(());
        }
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.dropped.inc();
        }
        Err(LimitError {
            limit: self.limit,
            got,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_everything_together_and_counts_a_request_once() {
        let dropped = Counter::default();
        let limiter = Limiter::new(10, dropped.clone());
        assert_eq!(limiter.reserve(10), Ok(()));
        let error = limiter.reserve(2).expect_err("over");
        assert_eq!(error.to_string(), "limit 10 violated (got 12)");
        assert!(limiter.reserve(1).is_err());
        assert_eq!(dropped.get(), 1);
        assert_eq!(
            Limiter::new(0, Counter::default()).reserve(u64::MAX),
            Ok(())
        );
    }
}
