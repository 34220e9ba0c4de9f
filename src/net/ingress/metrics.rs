//! What an ingress counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::route::Table;
use crate::metrics::Registry;

type Labels = Vec<(&'static str, String)>;

/// The metrics of one ingress.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) open: Gauge,
    accepted: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    reloaded: Gauge,
    not_after: Family<Labels, Gauge>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let name = |name: &str| format!("tks_ingress_{name}");
        let accepted = "Connections whose client was let in, by host";
        let refused = "Connections that were refused, by reason";
        let requests = "Requests by host and code: the gRPC code, or the HTTP status without one";
        let reloaded = "Whether the configuration and certificates on disk are those in use";
        let not_after = "When the certificate of a host ends, in seconds since 1970";
        Self {
            open: registry.register(&name("connections"), "Open connections", Gauge::default()),
            accepted: registry.register(&name("connections_accepted"), accepted, Family::default()),
            refused: registry.register(&name("connections_refused"), refused, Family::default()),
            requests: registry.register(&name("requests"), requests, Family::default()),
            reloaded: registry.register(
                &name("config_last_reload_successful"),
                reloaded,
                Gauge::default(),
            ),
            not_after: registry.register(
                &name("certificate_not_after_timestamp_seconds"),
                not_after,
                Family::default(),
            ),
        }
    }

    pub(super) fn accepted(&self, host: &str) {
        self.accepted
            .get_or_create(&vec![("host", host.to_owned())])
            .inc();
    }

    pub(super) fn refused(&self, reason: &str) {
        self.refused
            .get_or_create(&vec![("reason", reason.to_owned())])
            .inc();
    }

    pub(super) fn request(&self, host: &str, code: &str) {
        let labels = vec![("host", host.to_owned()), ("code", code.to_owned())];
        self.requests.get_or_create(&labels).inc();
    }

    /// The table on disk is in use.
    pub(super) fn uses(&self, table: &Table) {
        self.reloaded.set(1);
        self.not_after.clear();
        for route in table.all() {
            let labels = vec![("host", route.host.clone())];
            self.not_after.get_or_create(&labels).set(route.not_after);
        }
    }

    /// What is on disk cannot be used.
    pub(super) fn keeps_the_old(&self) {
        self.reloaded.set(0);
    }
}
