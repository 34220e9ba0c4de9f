//! The endpoints of a querier, kept current by their Info.
//!
//! A new endpoint is listed once its Info answered, a strict one at once. One that fails later is not
//! asked any more, but stays listed with its error until the unhealthy timeout. A strict one is always asked.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use net::calls::Calls;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, EndpointSpec, EndpointStatus};
use crate::services::Offers;

/// How endpoints are watched; the default is Thanos's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSetConfig {
    /// Between two rounds of Info.
    pub info_interval: Duration,
    /// For one Info.
    pub info_timeout: Duration,
    /// After which a failing endpoint is forgotten.
    pub unhealthy_timeout: Duration,
}

impl Default for StoreSetConfig {
    fn default() -> Self {
        Self {
            info_interval: Duration::from_secs(5),
            info_timeout: Duration::from_secs(5),
            unhealthy_timeout: Duration::from_secs(300),
        }
    }
}

/// The endpoints of a querier. Its loop is [`Self::run`].
#[derive(Debug)]
pub struct StoreSet {
    config: StoreSetConfig,
    calls: Option<Calls>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    changed: Notify,
    rounds: watch::Sender<u64>,
}

impl StoreSet {
    /// A set without endpoints, whose calls are counted if there is something to count them with.
    #[must_use]
    pub fn new(config: StoreSetConfig, calls: Option<Calls>) -> Arc<Self> {
        Arc::new(Self {
            config,
            calls,
            endpoints: ArcSwap::default(),
            changed: Notify::new(),
            rounds: watch::Sender::new(0),
        })
    }

    /// Replaces the endpoints and has them checked at once. What did not change keeps its connection and
    /// state; of two specs with one address the later wins. An address that cannot be one is logged and left out.
    pub fn set_endpoints(&self, specs: Vec<EndpointSpec>) {
        let known = self.endpoints.load_full();
        let count = specs.len();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(count);
        for spec in specs {
            let same = known.iter().find(|endpoint| endpoint.is(&spec));
            let endpoint = match same {
                Some(endpoint) => endpoint.regroup(&spec).map(|()| endpoint.clone()),
                None => Endpoint::new(spec, count, self.calls.clone()).map(Arc::new),
            };
            let endpoint = match endpoint {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    tracing::error!(err = %error, "endpoint left out");
                    continue;
                }
            };
            endpoints.retain(|other| other.spec.address != endpoint.spec.address);
            endpoints.push(endpoint);
        }
        self.endpoints.store(Arc::new(endpoints));
        self.changed.notify_one();
    }

    /// Checks all endpoints every interval, and whenever they are replaced, until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.update() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(self.config.info_interval) => {}
            }
        }
    }

    /// One round of Info, all endpoints at the same time.
    pub async fn update(&self) {
        let endpoints = self.endpoints.load_full();
        let config = &self.config;
        let check = |endpoint: &Arc<Endpoint>| {
            let endpoint = endpoint.clone();
            async move {
                endpoint
                    .check(config.info_timeout, config.unhealthy_timeout)
                    .await;
            }
        };
        join_all(endpoints.iter().map(check)).await;
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Resolves once the first round is over.
    pub async fn first_update(&self) {
        let mut rounds = self.rounds.subscribe();
        // The sender lives in self, so waiting ends only with a round.
        let _ = rounds.wait_for(|rounds| *rounds > 0).await;
    }

    /// All endpoints that are listed, in the order they were configured.
    #[must_use]
    pub fn statuses(&self) -> Vec<EndpointStatus> {
        let endpoints = self.endpoints.load();
        endpoints
            .iter()
            .filter(|e| e.is_listed())
            .map(|e| e.status())
            .collect()
    }

    /// Endpoints that requests go to.
    pub(crate) fn queryable(&self) -> Vec<Arc<Endpoint>> {
        self.those(Endpoint::is_queryable)
    }

    /// Endpoints that offer a service beside StoreAPI.
    pub(crate) fn offering(&self, service: fn(&Offers) -> bool) -> Vec<Arc<Endpoint>> {
        self.those(|endpoint| endpoint.offers(service))
    }

    fn those(&self, wanted: impl Fn(&Endpoint) -> bool) -> Vec<Arc<Endpoint>> {
        let endpoints = self.endpoints.load();
        endpoints.iter().filter(|e| wanted(e)).cloned().collect()
    }
}
