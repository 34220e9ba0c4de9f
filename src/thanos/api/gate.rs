//! Work that computes runs here: on blocking threads, never more at once than the gate lets through, with a
//! flag that goes up when the client leaves or the time is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Cancel, Cancelled};
use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{ApiError, ErrorType};

const WAITS: [f64; 16] = [
    0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
];

/// A limit on how much runs at once. Whoever comes too early waits, as long as its time lasts.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    in_flight: Gauge,
    total: Counter,
    waits: Histogram,
}

/// A place inside; leaving it is dropping it.
struct Place {
    _permit: OwnedSemaphorePermit,
    in_flight: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

/// Tells the work that nobody waits for it any more.
struct Leaver(Cancel);

impl Drop for Leaver {
    fn drop(&mut self) {
        self.0.cancel(Cancelled::Asked);
    }
}

impl Gate {
    /// A gate with `places` places (at least one), without metrics.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            in_flight: Gauge::default(),
            total: Counter::default(),
            waits: Histogram::new(WAITS),
        }
    }

    /// Exports the gate as Thanos's querier does: `thanos_query_concurrent_gate_queries_…`.
    pub fn register(&self, registry: &Registry) {
        let name = |what: &str| format!("thanos_query_concurrent_gate_queries_{what}");
        let max: Gauge = Gauge::default();
        max.set(i64::try_from(self.places.available_permits()).unwrap_or(i64::MAX));
        registry.register(&name("max"), "Maximum number of concurrent queries", max);
        registry.register(
            &name("in_flight"),
            "Number of queries that are currently in flight",
            self.in_flight.clone(),
        );
        // The text format appends `_total`.
        registry.register(
            "thanos_query_concurrent_gate_queries",
            "Total number of queries",
            self.total.clone(),
        );
        registry.register(
            &name("duration_seconds"),
            "How many seconds it took for queries to wait at the gate",
            self.waits.clone(),
        );
    }

    /// How many run now.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Runs `work` on a blocking thread once there is a place, and gives up after `timeout`, waiting
    /// included. Dropping the future raises the flag; the place stays taken until `work` has noticed.
    ///
    /// # Errors
    /// `timeout`, or `internal` when `work` panicked, or what `work` gives.
    pub async fn run<T, F>(&self, timeout: Duration, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Cancel) -> Result<T, ApiError> + Send + 'static,
    {
        if timeout.is_zero() {
            return Err(Cancelled::TimedOut.into());
        }
        let cancel = Cancel::new();
        let _leaver = Leaver(cancel.clone());
        let shared = cancel.clone();
        let inside = async {
            let place = self.enter().await;
            let job = move || {
                let result = work(&shared);
                drop(place);
                result
            };
            tokio::task::spawn_blocking(job).await
        };
        match tokio::time::timeout(timeout, inside).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => {
                tracing::error!(%error, "query panicked");
                Err(ApiError::new(
                    ErrorType::Internal,
                    "unexpected error: the query panicked",
                ))
            }
            Err(_) => {
                cancel.cancel(Cancelled::TimedOut);
                Err(Cancelled::TimedOut.into())
            }
        }
    }

    async fn enter(&self) -> Option<Place> {
        let start = Instant::now();
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        self.waits.observe(start.elapsed().as_secs_f64());
        self.total.inc();
        self.in_flight.inc();
        Some(Place {
            _permit: permit,
            in_flight: self.in_flight.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn until_cancelled(cancel: &Cancel) -> Cancelled {
        loop {
            match cancel.check() {
                Ok(()) => std::thread::yield_now(),
                Err(why) => return why,
            }
        }
    }

    #[tokio::test]
    async fn work_stops_when_its_client_leaves() {
        let gate = Gate::new(1);
        let (started, start) = tokio::sync::oneshot::channel();
        let (stopped, stop) = tokio::sync::oneshot::channel();
        let inner = gate.clone();
        let client = tokio::spawn(async move {
            inner
                .run(LONG, move |cancel| {
                    let _ = started.send(());
                    let _ = stopped.send(until_cancelled(cancel));
                    Ok(())
                })
                .await
        });
        start.await.expect("the work starts");
        assert_eq!(gate.in_flight(), 1);
        client.abort();
        assert_eq!(stop.await, Ok(Cancelled::Asked));
        gate.run(LONG, |_| Ok(()))
            .await
            .expect("the place is free again");
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_told_and_refused() {
        let (stopped, stop) = tokio::sync::oneshot::channel();
        let late = Gate::new(1)
            .run(Duration::from_millis(5), move |cancel| {
                let _ = stopped.send(until_cancelled(cancel));
                Ok(())
            })
            .await;
        assert_eq!(late.map_err(|error| error.kind), Err(ErrorType::Timeout));
        assert_eq!(stop.await, Ok(Cancelled::TimedOut));
    }

    #[tokio::test]
    async fn a_full_gate_makes_the_next_one_wait_until_its_time_is_over() {
        let gate = Gate::new(1);
        let (started, start) = tokio::sync::oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let inner = gate.clone();
        let first = tokio::spawn(async move {
            inner
                .run(LONG, move |_| {
                    let _ = started.send(());
                    let _ = released.recv();
                    Ok(1)
                })
                .await
        });
        start.await.expect("the work starts");
        let refused = gate.run(Duration::from_millis(5), |_| Ok(2)).await;
        assert_eq!(refused.map_err(|error| error.kind), Err(ErrorType::Timeout));
        release.send(()).expect("it waits");
        assert_eq!(first.await.expect("no panic"), Ok(1));
        assert_eq!(gate.run(LONG, |_| Ok(3)).await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_frees_the_place() {
        let gate = Gate::new(1);
        let error = gate.run::<(), _>(LONG, |_| panic!("on purpose")).await;
        assert_eq!(error.map_err(|error| error.kind), Err(ErrorType::Internal));
        assert_eq!(gate.run(LONG, |_| Ok(1)).await, Ok(1));
    }
}
