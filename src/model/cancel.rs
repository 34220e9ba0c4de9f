//! One flag per request, checked per series and every few thousand samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why work stops before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cancelled {
    /// The client went away, or asked to stop.
    #[error("query was canceled")]
    Asked,
    /// The request's time is up.
    #[error("query timed out")]
    TimedOut,
}

/// A flag that everyone who works for one request looks at. Cloning shares the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicU8>);

impl Cancel {
    /// A flag that nobody has raised yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag. The first reason stays.
    pub fn cancel(&self, why: Cancelled) {
        let code = match why {
            Cancelled::Asked => 1,
            Cancelled::TimedOut => 2,
        };
        let _ = self
            .0
            .compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// `Err` with the reason once the flag is raised.
    ///
    /// # Errors
    /// [`Cancelled`] with the first reason given.
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            2 => Err(Cancelled::TimedOut),
            _ => Err(Cancelled::Asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let cancel = Cancel::new();
        assert_eq!(cancel.check(), Ok(()));
        let shared = cancel.clone();
        cancel.cancel(Cancelled::TimedOut);
        shared.cancel(Cancelled::Asked);
        assert_eq!(shared.check(), Err(Cancelled::TimedOut));
    }
}
