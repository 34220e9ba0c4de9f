//! What an engine tells while it works, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stack::{Address, ClusterPath};
use tokio::sync::Notify;

use crate::{Action, Holder};

/// Hears what happens, in the order in which it happens.
pub trait Progress: Send + Sync {
    /// Called on the engine's task: must not block.
    fn event(&self, event: Event);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Reading what is really there begins.
    Refreshing { resources: usize },
    /// One resource was read.
    Refreshed { address: Address },
    /// The plan is ready.
    Planned { changes: usize },
    /// Somebody else holds the lock of a cluster; said once per cluster.
    WaitingForLock {
        cluster: ClusterPath,
        holder: Option<Holder>,
    },
    /// A run in this cluster was interrupted: what its journal tells.
    Interrupted {
        cluster: ClusterPath,
        /// `apply of 2026-01-01T00:00:00Z`.
        run: String,
        /// Results that its journal holds beyond the state's document.
        recorded: usize,
        /// Steps that nobody saw end, in address order.
        in_flight: Vec<(Address, Action)>,
    },
    /// The apply begins with so many steps (a replacement has two).
    Applying { steps: usize },
    /// A step begins. A replacement has two, told as a delete and a create.
    Started { address: Address, action: Action },
    /// It failed in a way that may pass; the next try is after `delay`. `attempt` counts from 1.
    Retrying {
        address: Address,
        action: Action,
        attempt: u32,
        delay: Duration,
        error: String,
    },
    /// A step is done and journalled.
    Finished {
        address: Address,
        action: Action,
        elapsed: Duration,
    },
    /// A step failed; what does not depend on it goes on.
    Failed {
        address: Address,
        action: Action,
        elapsed: Duration,
        error: String,
    },
    /// A change was left out because `because` failed.
    Skipped {
        address: Address,
        action: Action,
        because: Address,
    },
    /// A command of the tree begins.
    Hook {
        /// A unit or a cluster.
        around: String,
        /// `before_apply`.
        when: &'static str,
        command: Vec<String>,
    },
    /// Results and intents of a cluster are synced to its journal.
    Journaled { cluster: ClusterPath },
    /// The state of a cluster is written as a document.
    Saved { cluster: ClusterPath },
    /// The journal of a cluster is gone, or holds only what is still open.
    Closed { cluster: ClusterPath },
    /// Stopping was asked for: so many changes in flight are finished, nothing new starts.
    Stopping { in_flight: usize },
}

/// Tells an engine to finish what is in flight and to start nothing new. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// Asks to stop; there is no way back.
    pub fn stop(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Returns once stopping is asked for.
    pub async fn stopped(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }
}
