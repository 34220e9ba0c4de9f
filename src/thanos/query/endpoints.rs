//! Where the endpoints come from: flags, files and names to resolve; kept current while the querier runs.
//!
//! A file that cannot be used leaves what it said before in force. A file of a pattern that is gone takes its
//! endpoints along. A name that cannot be resolved keeps its addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use net::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use store::{EndpointSpec, StoreSet};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::dns::{self, Names};
use super::pattern::Pattern;
use super::sdfile::{self, Format, SdFileError};

/// Keeps the endpoints of a [`StoreSet`] current.
pub(super) struct Endpoints {
    stores: Arc<StoreSet>,
    fixed: Vec<EndpointSpec>,
    files: Vec<(Pattern, Format)>,
    /// For what says nothing of its connection.
    default: EndpointSpec,
    reload_interval: Duration,
    dns_interval: Duration,
    /// The last good content of each file.
    read: BTreeMap<PathBuf, Vec<EndpointSpec>>,
    pub(super) names: Names,
    /// The last addresses of each name, as it is configured.
    resolved: HashMap<String, Vec<String>>,
    current: Option<Vec<EndpointSpec>>,
    changes: Option<Receiver<()>>,
    metrics: Metrics,
}

impl Endpoints {
    /// # Errors
    /// When `--endpoint.sd-config` cannot be used.
    pub(super) fn new(
        config: &Config,
        stores: Arc<StoreSet>,
        registry: &Registry,
    ) -> Result<Self, SdFileError> {
        let default = config.grpc_client.spec();
        let fixed = |addresses: &[String], strict, group: Option<Vec<String>>| {
            let spec = |address: &String| EndpointSpec {
                address: address.clone(),
                strict,
                group: group.clone(),
                ..default.clone()
            };
            addresses.iter().map(spec).collect::<Vec<_>>()
        };
        let group = Some(Vec::new());
        let inline = config.endpoint_sd_config.as_ref();
        let inline =
            inline.map(|text| sdfile::parse(Path::new("--endpoint.sd-config"), text, &default));
        let inline = inline.transpose()?.unwrap_or_default();
        let files = |paths: &[String], format| {
            paths
                .iter()
                .map(|path| (Pattern::new(path), format))
                .collect::<Vec<_>>()
        };
        Ok(Self {
            stores,
            fixed: [
                fixed(&config.endpoints, false, None),
                fixed(&config.endpoint_strict, true, None),
                fixed(&config.endpoint_groups, false, group.clone()),
                fixed(&config.endpoint_groups_strict, true, group),
                inline,
            ]
            .concat(),
            files: [
                files(&config.endpoint_sd_config_files, Format::Endpoints),
                files(&config.store_sd_files, Format::Targets),
            ]
            .concat(),
            default,
            reload_interval: config.sd_reload_interval,
            dns_interval: config.sd_dns_interval,
            read: BTreeMap::new(),
            names: Names::default(),
            resolved: HashMap::new(),
            current: None,
            changes: None,
            metrics: Metrics::new(registry),
        })
    }

    /// Reads all files, resolves all names, and hands the endpoints to the stores if they are others than before.
    pub(super) async fn refresh(&mut self) {
        // The watch begins before the files are read: no change falls between.
        self.watch();
        self.read_files();
        let configured: Vec<EndpointSpec> = self
            .fixed
            .iter()
            .chain(self.read.values().flatten())
            .cloned()
            .collect();
        let mut specs = Vec::with_capacity(configured.len());
        for spec in configured {
            specs.extend(self.resolve(spec).await);
        }
        if self.current.as_ref() != Some(&specs) {
            tracing::info!(endpoints = specs.len(), "endpoints changed");
            self.metrics.duplicates.inc_by(duplicates(&specs));
            self.stores.set_endpoints(specs.clone());
            self.current = Some(specs);
        }
    }

    /// [`Self::refresh`] whenever a file changes or an interval is over, until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let pause = if self.resolved.is_empty() {
                self.reload_interval
            } else {
                self.reload_interval.min(self.dns_interval)
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changed(&mut self.changes) => {}
                () = tokio::time::sleep(pause) => {}
            }
            self.refresh().await;
        }
    }

    fn watch(&mut self) {
        let paths: Vec<PathBuf> = self
            .files
            .iter()
            .flat_map(|(pattern, _)| pattern.watched())
            .collect();
        self.changes = (!paths.is_empty()).then(|| net::watch::files(paths));
    }

    fn read_files(&mut self) {
        let mut seen = BTreeSet::new();
        let mut failures = 0;
        for (pattern, format) in &self.files {
            for path in pattern.files() {
                match sdfile::read(&path, *format, &self.default) {
                    Ok(specs) => {
                        self.read.insert(path.clone(), specs);
                    }
                    Err(error) => {
                        failures += 1;
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(err = %error, cause, "endpoint file not used, what it said before stays");
                    }
                }
                seen.insert(path);
            }
        }
        self.read.retain(|path, _| seen.contains(path));
        if !self.files.is_empty() {
            self.metrics.reloaded(failures);
        }
    }

    /// A name to look up becomes one endpoint for each of its addresses; a group, one with all of them.
    async fn resolve(&mut self, spec: EndpointSpec) -> Vec<EndpointSpec> {
        let is_group = spec.group.is_some();
        let (kind, name) = match dns::asked(&spec.address) {
            Some(asked) => asked,
            None if is_group => (dns::Kind::Addresses, spec.address.as_str()),
            None => return vec![spec],
        };
        self.metrics.lookups.inc();
        let known = self.resolved.entry(spec.address.clone()).or_default();
        match self.names.lookup(kind, name).await {
            Ok(found) => *known = found,
            Err(error) => {
                self.metrics.lookup_failures.inc();
                tracing::error!(name, err = %error, "cannot resolve endpoint, its addresses stay");
            }
        }
        if is_group {
            return vec![EndpointSpec {
                group: Some(known.clone()),
                ..spec
            }];
        }
        let at = |address: &String| EndpointSpec {
            address: address.clone(),
            ..spec.clone()
        };
        known.iter().map(at).collect()
    }
}

/// Never resolves without a watch, nor after one that ended.
async fn changed(changes: &mut Option<Receiver<()>>) {
    if let Some(receiver) = changes
        && receiver.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn duplicates(specs: &[EndpointSpec]) -> u64 {
    let unique: BTreeSet<&str> = specs.iter().map(|spec| spec.address.as_str()).collect();
    (specs.len() - unique.len()) as u64
}

struct Metrics {
    successful: Gauge,
    success_time: Gauge,
    failures: Counter,
    duplicates: Counter,
    lookups: Counter,
    lookup_failures: Counter,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        Self {
            successful: registry.register(
                "thanos_query_endpoint_config_last_reload_successful",
                "Whether all endpoint files could be used when they were read last",
                Gauge::default(),
            ),
            success_time: registry.register(
                "thanos_query_endpoint_config_last_reload_success_timestamp_seconds",
                "When all endpoint files could be used last",
                Gauge::default(),
            ),
            failures: registry.register(
                "thanos_query_endpoint_config_reload_failures",
                "Endpoint files that could not be used, counted at each reading",
                Counter::default(),
            ),
            duplicates: registry.register(
                "thanos_query_duplicated_endpoint_addresses",
                "The number of times a duplicated endpoint address is configured",
                Counter::default(),
            ),
            lookups: registry.register(
                "thanos_query_endpoints_dns_lookups",
                "The number of DNS lookups of endpoints",
                Counter::default(),
            ),
            lookup_failures: registry.register(
                "thanos_query_endpoints_dns_failures",
                "The number of DNS lookups of endpoints that failed",
                Counter::default(),
            ),
        }
    }

    fn reloaded(&self, failures: u64) {
        self.failures.inc_by(failures);
        self.successful.set(i64::from(failures == 0));
        if failures == 0 {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            self.success_time
                .set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        }
    }
}
