//! Room on the disk: work on several groups at a time waits until all of it fits the budget.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What permits count.
const UNIT: u64 = 1 << 20;

/// A budget of bytes.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    units: Option<(Arc<Semaphore>, u32)>,
}

impl Disk {
    /// Of `bytes`; zero: as many as there are.
    pub(super) fn new(bytes: u64) -> Self {
        let most = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX >> 4);
        let semaphore = || (Arc::new(Semaphore::new(most as usize)), most);
        Self {
            units: (bytes > 0).then(semaphore),
        }
    }

    /// Waits for room. What is larger than the budget waits for all of it.
    pub(super) async fn reserve(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let (semaphore, most) = self.units.clone()?;
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(most)
            .min(most);
        semaphore.acquire_many_owned(units).await.ok()
    }
}
