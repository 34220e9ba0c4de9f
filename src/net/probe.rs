//! Health and readiness of one component: `/-/healthy`, `/-/ready` and `thanos_status`.

use std::sync::Arc;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use crate::metrics::Registry;

/// The state of one component. Cloning shares it. A new probe is healthy and not ready.
#[derive(Clone, Debug)]
pub struct Probe {
    component: Arc<str>,
    state: Arc<watch::Sender<State>>,
    status: Family<Vec<(&'static str, String)>, Gauge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    healthy: bool,
    ready: bool,
}

impl Probe {
    /// The probe of a component (`sidecar`, `query`, …), healthy and not yet ready.
    #[must_use]
    pub fn new(component: impl Into<Arc<str>>) -> Self {
        let state = watch::Sender::new(State {
            healthy: true,
            ready: false,
        });
        let probe = Self {
            component: component.into(),
            state: Arc::new(state),
            status: Family::default(),
        };
        probe.export("healthy", true);
        probe.export("ready", false);
        probe
    }

    /// The component's name.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// From now on requests can be served.
    pub fn ready(&self) {
        if self.change(|state| &mut state.ready, true) {
            self.export("ready", true);
            tracing::info!(component = %self.component, status = "ready", "changing probe status");
        }
    }

    /// From now on requests should not be sent here, and why.
    pub fn not_ready(&self, reason: impl std::fmt::Display) {
        if self.change(|state| &mut state.ready, false) {
            self.export("ready", false);
            tracing::warn!(component = %self.component, status = "not-ready", %reason, "changing probe status");
        }
    }

    /// The process works.
    pub fn healthy(&self) {
        if self.change(|state| &mut state.healthy, true) {
            self.export("healthy", true);
            tracing::info!(component = %self.component, status = "healthy", "changing probe status");
        }
    }

    /// The process cannot recover and wants to be restarted, and why.
    pub fn not_healthy(&self, reason: impl std::fmt::Display) {
        if self.change(|state| &mut state.healthy, false) {
            self.export("healthy", false);
            tracing::warn!(component = %self.component, status = "not-healthy", %reason, "changing probe status");
        }
    }

    /// Whether requests can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.borrow().ready
    }

    /// Whether the process works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state.borrow().healthy
    }

    /// Resolves when readiness is (or becomes) `ready`.
    pub async fn wait_ready(&self, ready: bool) {
        // The sender lives in `self`, so the channel cannot close under us.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| state.ready == ready)
            .await;
    }

    /// Exports `thanos_status{component,check}` in this registry.
    pub(crate) fn register(&self, registry: &Registry) {
        registry.register(
            "thanos_status",
            "Represents status (0 indicates failure, 1 indicates success) of the component",
            self.status.clone(),
        );
    }

    fn change(&self, field: impl FnOnce(&mut State) -> &mut bool, to: bool) -> bool {
        self.state
            .send_if_modified(|state| std::mem::replace(field(state), to) != to)
    }

    fn export(&self, check: &str, value: bool) {
        let labels = vec![
            ("component", self.component.to_string()),
            ("check", check.to_owned()),
        ];
        self.status.get_or_create(&labels).set(i64::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exported_status_follows_the_probe() {
        let registry = Registry::new();
        let probe = Probe::new("query");
        probe.register(&registry);
        assert!(
            registry
                .text()
                .contains(r#"thanos_status{component="query",check="ready"} 0"#)
        );
        let same = probe.clone();
        same.ready();
        probe.not_healthy("disk gone");
        let text = registry.text();
        assert!(
            text.contains(r#"thanos_status{component="query",check="ready"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"thanos_status{component="query",check="healthy"} 0"#),
            "{text}"
        );
    }
}
