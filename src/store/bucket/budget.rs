//! The bytes that all requests of the process together may hold.
//!
//! A request takes its share before it reads anything, in one step, so requests that wait for each other's
//! bytes cannot hold any. Who waits too long is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget is counted in units of so many bytes.
const UNIT: u64 = 1 << 10;
/// Most that one request reads ahead, in all of its blocks.
const MAX_AHEAD: u64 = 24 << 20;
/// Least that a block of a request can work with.
const MIN_WINDOW: u64 = 64 << 10;
/// A block holds a window that is merged, one that waits, one that is read; the fourth is in frames.
const WINDOWS: u64 = 4;

/// A request that the budget has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error(
        "the request needs {wanted} bytes of memory at once, the memory budget is {budget} bytes"
    )]
    TooLarge { wanted: u64, budget: u64 },
    #[error("no {wanted} bytes of the memory budget of {budget} bytes became free within {}s", .waited.as_secs())]
    Busy {
        wanted: u64,
        budget: u64,
        waited: Duration,
    },
}

/// The budget of a process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    bytes: u64,
    patience: Duration,
}

/// Bytes taken from the budget; dropped, they are free again.
#[derive(Debug)]
pub(crate) struct Lease {
    _units: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes`; a request waits for `patience` at most.
    #[must_use]
    pub fn new(bytes: u64, patience: Duration) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            bytes,
            patience,
        }
    }

    /// The share of a request over `blocks` blocks: bytes that each may read ahead, `most` at most, and the lease
    /// for all, with `more` bytes on top. Many blocks get smaller windows, so that the windows of one request take
    /// a quarter of the budget at most.
    pub(crate) async fn share(
        &self,
        blocks: usize,
        most: u64,
        more: u64,
    ) -> Result<(u64, Lease), BudgetError> {
        let blocks = (blocks as u64).max(1);
        let together = (self.bytes / 4).min(MAX_AHEAD);
        let window = (together / WINDOWS / blocks).clamp(MIN_WINDOW, most.max(MIN_WINDOW));
        Ok((window, self.take(window * WINDOWS * blocks + more).await?))
    }

    /// Takes bytes, waiting for those of other requests.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Lease, BudgetError> {
        let too_large = BudgetError::TooLarge {
            wanted: bytes,
            budget: self.bytes,
        };
        if bytes > self.bytes {
            return Err(too_large);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| too_large)?;
        let acquired = self.free.clone().acquire_many_owned(units);
        match tokio::time::timeout(self.patience, acquired).await {
            Ok(Ok(units)) => Ok(Lease { _units: units }),
            Ok(Err(_)) | Err(_) => Err(BudgetError::Busy {
                wanted: bytes,
                budget: self.bytes,
                waited: self.patience,
            }),
        }
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        let free = self.free.available_permits() as u64 * UNIT;
        self.bytes.saturating_sub(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_bytes_and_are_refused_in_the_end() {
        let budget = Budget::new(1 << 20, Duration::from_secs(30));
        let first = budget.take(1 << 20).await.expect("all of it");
        assert_eq!(budget.used(), 1 << 20);
        let error = budget.take(1).await.expect_err("refused");
        assert!(error.to_string().contains("within 30s"), "{error}");

        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(1000).await.map(drop) }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(first);
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn more_than_everything_is_refused_at_once() {
        let budget = Budget::new(1000, Duration::from_secs(3600));
        assert!(matches!(
            budget.take(1001).await,
            Err(BudgetError::TooLarge { .. })
        ));
    }

    #[tokio::test]
    async fn many_blocks_share_a_quarter_of_the_budget() {
        let budget = Budget::new(1 << 30, Duration::ZERO);
        let (few, _lease) = budget.share(3, 1 << 20, 0).await.expect("room");
        assert_eq!(few, 1 << 20);
        let (many, _lease) = budget.share(500, 1 << 20, 0).await.expect("room");
        assert!((MIN_WINDOW..1 << 20).contains(&many));
    }
}
