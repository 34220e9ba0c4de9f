//! What a querier is told, with the names and defaults of `thanos query`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use net::channel::Compression;
use net::tls::{ClientTls, ServerTls, Version};
use promql::Features;
use store::block::Relabel;
use store::{Deduplication, EndpointSpec, ProxyConfig};

use crate::api::{Settings, Tenancy};

/// The flags of `thanos query`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--http-address`
    pub http_address: SocketAddr,
    /// `--grpc-address`
    pub grpc_address: SocketAddr,
    /// `--grpc-server-tls-…`; plaintext when absent.
    pub grpc_server_tls: Option<ServerTls>,
    /// `--grpc-grace-period`: for calls in flight at shutdown.
    pub grpc_grace: Duration,
    /// `--http-grace-period`
    pub http_grace: Duration,
    /// `--grpc-client-…`, for endpoints whose file says nothing of TLS.
    pub grpc_client: GrpcClient,
    /// `--web.route-prefix`; without it, the external prefix.
    pub web_route_prefix: String,
    /// `--web.external-prefix`
    pub web_external_prefix: String,
    /// `--endpoint`: `host:port`, or a name to look up: `dns+host:port`, `dnssrv+_service._proto.name`, `dnssrvnoa+…`.
    pub endpoints: Vec<String>,
    /// `--endpoint-strict`: asked even while their Info fails.
    pub endpoint_strict: Vec<String>,
    /// `--endpoint-group`: a name whose addresses are equal: each call goes to one of them, in turn.
    pub endpoint_groups: Vec<String>,
    /// `--endpoint-group-strict`
    pub endpoint_groups_strict: Vec<String>,
    /// `--endpoint.sd-config`: what such a file holds.
    pub endpoint_sd_config: Option<String>,
    /// `--endpoint.sd-config-file`: paths, or patterns with `*` and `?` in the file's name.
    pub endpoint_sd_config_files: Vec<String>,
    /// `--endpoint.sd-config-reload-interval`: at the latest; a changed file is read at once.
    pub sd_reload_interval: Duration,
    /// `--store.sd-files`: patterns of Prometheus's target files.
    pub store_sd_files: Vec<String>,
    /// `--store.sd-dns-interval`
    pub sd_dns_interval: Duration,
    /// `--query.replica-label`; an item may be a comma list.
    pub replica_labels: Vec<String>,
    /// `--query.timeout`
    pub timeout: Duration,
    /// `--query.lookback-delta`
    pub lookback_delta: Duration,
    /// `--query.dynamic-lookback-delta`
    pub dynamic_lookback_delta: bool,
    /// `--query.max-concurrent`
    pub max_concurrent: usize,
    /// `--query.max-concurrent-select`: taken for compatibility; a query here opens its selects one by one.
    pub max_concurrent_select: usize,
    /// `--query.partial-response`
    pub partial_response: bool,
    /// `--query.auto-downsampling`
    pub auto_downsampling: bool,
    /// `--query.instant.default.max_source_resolution`
    pub instant_max_source_resolution: Duration,
    /// `--query.default-step`
    pub default_step: Duration,
    /// `--query.metadata.default-time-range`; zero is all of time.
    pub metadata_default_time_range: Duration,
    /// Samples that one query may hold.
    pub max_samples: usize,
    /// Bytes that one store may make this querier hold for one request, beside samples: what it sends beyond is left out.
    pub held_limit: usize,
    /// `--deduplication.func`
    pub deduplication: Deduplication,
    /// `--query.mode=distributed`: queriers below evaluate what they can.
    pub distributed: bool,
    /// `--query.partition-label`: what tells them apart; none: all labels of their series.
    pub partition_labels: Vec<String>,
    /// `--enable-feature`
    pub features: Features,
    /// `--query.default-evaluation-interval`
    pub default_evaluation_interval: Duration,
    /// `--query.…tenan…`
    pub tenancy: Tenancy,
    /// Unless `--web.disable-cors`.
    pub cors: bool,
    /// `--selector.relabel-config`: which of the endpoints' label sets are asked.
    pub relabel: Relabel,
    /// `--query.conn-metric.label`
    pub connection_labels: Vec<ConnectionLabel>,
    /// `--store.limits.request-series`: of a Series call to this querier; 0 is no limit.
    pub request_series: u64,
    /// `--store.limits.request-samples`
    pub request_samples: u64,
    /// `--store.response-timeout`; zero is none.
    pub store_response_timeout: Duration,
    /// `--endpoint.info-timeout`: between two checks of an endpoint, and for one.
    pub endpoint_info_timeout: Duration,
    /// `--store.unhealthy-timeout`
    pub store_unhealthy_timeout: Duration,
    /// `--selector-label`
    pub selector_labels: Vec<(String, String)>,
    /// The flags as they were given, for `/api/v1/status/flags`; they win over what this structure knows.
    pub flags: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        let api = Settings::default();
        Self {
            http_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 10902)),
            grpc_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 10901)),
            grpc_server_tls: None,
            grpc_grace: Duration::from_secs(120),
            http_grace: Duration::from_secs(120),
            grpc_client: GrpcClient::default(),
            web_route_prefix: String::new(),
            web_external_prefix: String::new(),
            endpoints: Vec::new(),
            endpoint_strict: Vec::new(),
            endpoint_groups: Vec::new(),
            endpoint_groups_strict: Vec::new(),
            endpoint_sd_config: None,
            endpoint_sd_config_files: Vec::new(),
            sd_reload_interval: Duration::from_secs(300),
            store_sd_files: Vec::new(),
            sd_dns_interval: Duration::from_secs(30),
            replica_labels: Vec::new(),
            timeout: api.timeout,
            lookback_delta: api.lookback,
            dynamic_lookback_delta: api.dynamic_lookback,
            max_concurrent: api.max_concurrent,
            max_concurrent_select: 4,
            partial_response: api.partial_response,
            auto_downsampling: api.auto_downsampling,
            instant_max_source_resolution: api.instant_resolution,
            default_step: api.default_step,
            metadata_default_time_range: api.metadata_range,
            max_samples: api.max_samples,
            held_limit: ProxyConfig::default().held_limit,
            deduplication: Deduplication::default(),
            distributed: false,
            partition_labels: Vec::new(),
            features: api.features,
            default_evaluation_interval: api.subquery_step,
            tenancy: api.tenancy,
            cors: api.cors,
            relabel: Relabel::default(),
            connection_labels: vec![ConnectionLabel::ExternalLabels, ConnectionLabel::StoreType],
            request_series: 0,
            request_samples: 0,
            store_response_timeout: Duration::ZERO,
            endpoint_info_timeout: Duration::from_secs(5),
            store_unhealthy_timeout: Duration::from_secs(300),
            selector_labels: Vec::new(),
            flags: BTreeMap::new(),
        }
    }
}

/// What endpoints are told apart by in `thanos_store_nodes_grpc_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLabel {
    ExternalLabels,
    StoreType,
}

/// `--grpc-client-tls-…`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcClient {
    /// `--grpc-client-tls-secure`: without it, connections are plaintext.
    pub secure: bool,
    /// `--grpc-client-tls-cert`
    pub cert: Option<PathBuf>,
    /// `--grpc-client-tls-key`
    pub key: Option<PathBuf>,
    /// `--grpc-client-tls-ca`
    pub ca: Option<PathBuf>,
    /// `--grpc-client-server-name`
    pub server_name: Option<String>,
    /// `--grpc-client-tls-skip-verify`
    pub skip_verify: bool,
    /// `--grpc-client-tls-min-version`
    pub min_version: Version,
    /// `--grpc-compression`
    pub compression: Compression,
}

impl GrpcClient {
    /// An endpoint of which nothing else is known.
    pub(super) fn spec(&self) -> EndpointSpec {
        EndpointSpec {
            tls: self.tls(),
            compression: self.compression,
            ..EndpointSpec::default()
        }
    }

    /// How endpoints are connected to; `None` is plaintext.
    #[must_use]
    pub fn tls(&self) -> Option<ClientTls> {
        self.secure.then(|| ClientTls {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            server_name: self.server_name.clone(),
            skip_verify: self.skip_verify,
            min_version: self.min_version,
        })
    }
}

impl Config {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            replica_labels: self.replica_labels(),
            timeout: self.timeout,
            lookback: self.lookback(),
            dynamic_lookback: self.dynamic_lookback_delta,
            partial_response: self.partial_response,
            auto_downsampling: self.auto_downsampling,
            instant_resolution: self.instant_max_source_resolution,
            default_step: self.default_step,
            metadata_range: self.metadata_default_time_range,
            max_concurrent: self.max_concurrent,
            max_samples: self.max_samples,
            features: self.features,
            subquery_step: self.default_evaluation_interval,
            tenancy: self.tenancy.clone(),
            cors: self.cors,
            flags: self.flags(),
        }
    }

    pub(super) fn replica_labels(&self) -> Vec<String> {
        let labels = self
            .replica_labels
            .iter()
            .flat_map(|list| list.split(','))
            .map(str::trim);
        labels
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Zero asks for Prometheus's default.
    fn lookback(&self) -> Duration {
        if self.lookback_delta.is_zero() {
            Settings::default().lookback
        } else {
            self.lookback_delta
        }
    }

    /// The prefix of all routes, `/x/y` or empty.
    pub(super) fn prefix(&self) -> String {
        let given = [&self.web_route_prefix, &self.web_external_prefix];
        let path = given
            .into_iter()
            .find(|prefix| !prefix.is_empty())
            .map_or("", String::as_str);
        match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        }
    }

    fn flags(&self) -> BTreeMap<String, String> {
        let duration =
            |d: Duration| model::format_duration(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let known = [
            ("http-address", self.http_address.to_string()),
            ("grpc-address", self.grpc_address.to_string()),
            ("endpoint", self.endpoints.join(", ")),
            ("endpoint-strict", self.endpoint_strict.join(", ")),
            (
                "endpoint.sd-config-file",
                self.endpoint_sd_config_files.join(", "),
            ),
            (
                "endpoint.sd-config-reload-interval",
                duration(self.sd_reload_interval),
            ),
            (
                "endpoint.info-timeout",
                duration(self.endpoint_info_timeout),
            ),
            ("store.sd-files", self.store_sd_files.join(", ")),
            ("store.sd-dns-interval", duration(self.sd_dns_interval)),
            (
                "store.response-timeout",
                duration(self.store_response_timeout),
            ),
            (
                "store.unhealthy-timeout",
                duration(self.store_unhealthy_timeout),
            ),
            ("query.replica-label", self.replica_labels().join(", ")),
            ("query.timeout", duration(self.timeout)),
            ("query.lookback-delta", duration(self.lookback())),
            ("query.max-concurrent", self.max_concurrent.to_string()),
            (
                "query.max-concurrent-select",
                self.max_concurrent_select.to_string(),
            ),
            ("query.partial-response", self.partial_response.to_string()),
            (
                "query.auto-downsampling",
                self.auto_downsampling.to_string(),
            ),
            ("query.default-step", duration(self.default_step)),
            (
                "query.metadata.default-time-range",
                duration(self.metadata_default_time_range),
            ),
            (
                "grpc-client-tls-secure",
                self.grpc_client.secure.to_string(),
            ),
            ("web.route-prefix", self.web_route_prefix.clone()),
            ("web.external-prefix", self.web_external_prefix.clone()),
        ];
        let mut flags: BTreeMap<_, _> = known
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        flags.extend(self.flags.clone());
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_labels_may_be_comma_lists() {
        let replica_labels = vec!["a,b".to_owned(), " c".to_owned(), String::new()];
        let config = Config {
            replica_labels,
            ..Config::default()
        };
        assert_eq!(config.settings().replica_labels, ["a", "b", "c"]);
    }

    #[test]
    fn the_route_prefix_wins_over_the_external_one() {
        let prefix = |route: &str, external: &str| {
            let (web_route_prefix, web_external_prefix) = (route.to_owned(), external.to_owned());
            Config {
                web_route_prefix,
                web_external_prefix,
                ..Config::default()
            }
            .prefix()
        };
        assert_eq!(prefix("", ""), "");
        assert_eq!(prefix("/", "/x/"), "");
        assert_eq!(prefix("", "x/y/"), "/x/y");
        assert_eq!(prefix("/r", "/x"), "/r");
    }

    #[test]
    fn plaintext_is_the_default() {
        assert_eq!(
            GrpcClient {
                skip_verify: true,
                ..GrpcClient::default()
            }
            .tls(),
            None
        );
        let secure = GrpcClient {
            secure: true,
            ..GrpcClient::default()
        };
        assert_eq!(secure.tls(), Some(ClientTls::default()));
    }
}
