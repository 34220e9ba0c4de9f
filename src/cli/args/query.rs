//! The flags of `thanos query`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use net::channel::Compression;
use thanos::api::Tenancy;
use thanos::query::{self, Config, GrpcClient};

use super::promql::FeatureArgs;
use super::thanos::{ListenArgs, RelabelArgs, file};
use super::{LogArgs, duration};
use crate::diagnostic;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) endpoints: EndpointArgs,
    #[command(flatten)]
    pub(crate) evaluation: EvaluationArgs,
    #[command(flatten)]
    pub(crate) tenancy: TenancyArgs,
    #[command(flatten)]
    pub(crate) web: WebArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) idle: IdleArgs,
}

/// What a command line of Thanos may have and what means nothing here: of Go's runtime, of its interface, of its logs.
#[derive(Debug, Args)]
#[allow(dead_code, reason = "read by nobody")]
pub(crate) struct IdleArgs {
    #[arg(long = "enable-auto-gomemlimit", hide = true)]
    auto_memory_limit: bool,
    #[arg(long = "auto-gomemlimit.ratio", hide = true)]
    memory_ratio: Option<f64>,
    /// Pages here have relative links: they need to know no prefix
    #[arg(long = "web.prefix-header", hide = true)]
    prefix_header: Option<String>,
    #[arg(long = "alert.query-url", hide = true)]
    alert_query_url: Option<String>,
    #[arg(long = "query.active-query-path", hide = true)]
    active_query_path: Option<String>,
    #[arg(
        long = "query.telemetry.request-duration-seconds-quantiles",
        hide = true
    )]
    duration_quantiles: Vec<f64>,
    #[arg(long = "query.telemetry.request-samples-quantiles", hide = true)]
    sample_quantiles: Vec<f64>,
    #[arg(long = "query.telemetry.request-series-seconds-quantiles", hide = true)]
    series_quantiles: Vec<f64>,
    /// Answers of stores are always merged as they come, within bounds
    #[arg(long = "grpc.proxy-strategy", hide = true, value_parser = ["eager", "lazy"])]
    proxy_strategy: Option<String>,
    #[arg(long = "query.lazy-retrieval-max-buffered-responses", hide = true)]
    buffered_responses: Option<u64>,
}

/// How endpoints are dialled.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Dial endpoints over TLS
    #[arg(long = "grpc-client-tls-secure")]
    tls_secure: bool,
    /// Do not verify endpoints' certificates
    #[arg(long = "grpc-client-tls-skip-verify")]
    tls_skip_verify: bool,
    /// Client certificate
    #[arg(
        long = "grpc-client-tls-cert",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    tls_cert: String,
    /// Client key
    #[arg(
        long = "grpc-client-tls-key",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    tls_key: String,
    /// CA of the endpoints; empty: the system's
    #[arg(
        long = "grpc-client-tls-ca",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    tls_ca: String,
    /// The name that endpoints' certificates must have
    #[arg(
        long = "grpc-client-server-name",
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    server_name: String,
    /// The oldest version of TLS that endpoints may speak: 1.2 or 1.3 (1.0 and 1.1 mean 1.2)
    #[arg(
        long = "grpc-client-tls-min-version",
        default_value = "1.3",
        value_name = "VERSION"
    )]
    tls_min_version: net::tls::Version,
    /// How messages to endpoints are compressed
    #[arg(long = "grpc-compression", default_value = "none", value_enum)]
    grpc_compression: GrpcCompression,
}

/// Who is asked.
#[derive(Debug, Args)]
pub(crate) struct EndpointArgs {
    /// A StoreAPI to ask: host:port, or a name to look up, dns+host:port or dnssrv+_grpc._tcp.name (repeatable)
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    pub(crate) endpoint: Vec<String>,
    /// A StoreAPI that is asked even while it does not answer (repeatable)
    #[arg(long = "endpoint-strict", value_name = "ADDRESS")]
    pub(crate) endpoint_strict: Vec<String>,
    /// A file of endpoints with TLS each, or a glob of such files; read again when they change (repeatable)
    #[arg(long = "endpoint.sd-config-file", value_name = "FILE")]
    pub(crate) endpoint_sd_config_file: Vec<String>,
    /// How often endpoint files are read again even without a change
    #[arg(long = "endpoint.sd-config-reload-interval", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub(crate) endpoint_sd_reload_interval: Duration,
    /// A name of equal StoreAPIs, of which each call goes to one, in turn (repeatable)
    #[arg(long = "endpoint-group", value_name = "NAME")]
    pub(crate) endpoint_group: Vec<String>,
    /// Such a name that is asked even while it does not answer (repeatable)
    #[arg(long = "endpoint-group-strict", value_name = "NAME")]
    pub(crate) endpoint_group_strict: Vec<String>,
    /// Endpoints as in such a file
    #[arg(
        long = "endpoint.sd-config",
        value_name = "YAML",
        conflicts_with = "endpoint_sd_config_file"
    )]
    pub(crate) endpoint_sd_config: Option<String>,
    /// A file of targets as Prometheus reads them, or a glob of such files (repeatable)
    #[arg(long = "store.sd-files", value_name = "FILE")]
    pub(crate) store_sd_files: Vec<String>,
    /// How often files of targets are read again even without a change
    #[arg(long = "store.sd-interval", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub(crate) store_sd_interval: Duration,
    /// How often names are looked up
    #[arg(long = "store.sd-dns-interval", default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub(crate) sd_dns_interval: Duration,
    /// How long an endpoint that does not answer stays in the list
    #[arg(long = "store.unhealthy-timeout", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub(crate) unhealthy_timeout: Duration,
    #[arg(long = "endpoint.info-timeout", default_value = "5s", hide = true, value_parser = duration)]
    pub(crate) info_timeout: Duration,
    /// Give up on a store that sends nothing for this long; 0: never
    #[arg(long = "store.response-timeout", default_value = "0ms", value_name = "DURATION", value_parser = duration)]
    pub(crate) store_response_timeout: Duration,
    /// A label of this querier itself: name="value" (repeatable)
    #[arg(long = "selector-label", value_name = "NAME=\"VALUE\"", value_parser = selector_label)]
    pub(crate) selector_label: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) relabel: RelabelArgs,
    /// Labels that tell the endpoints apart in the metric of connections (repeatable)
    #[arg(long = "query.conn-metric.label", value_enum, value_name = "LABEL", default_values = ["external_labels", "store_type"])]
    pub(crate) connection_labels: Vec<ConnectionLabel>,
    /// The most series of one Series call to this querier; 0: no limit
    #[arg(
        long = "store.limits.request-series",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_series: u64,
    /// The most samples of one Series call to this querier, counted as 120 per chunk; 0: no limit
    #[arg(
        long = "store.limits.request-samples",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_samples: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ConnectionLabel {
    ExternalLabels,
    StoreType,
}

/// How queries are evaluated.
#[derive(Debug, Args)]
pub(crate) struct EvaluationArgs {
    /// A label that only tells replicas apart (repeatable)
    #[arg(
        long = "query.replica-label",
        value_name = "LABEL",
        value_delimiter = ','
    )]
    pub(crate) replica_label: Vec<String>,
    /// The longest a query may take
    #[arg(long = "query.timeout", default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// How far back an instant looks for a sample
    #[arg(long = "query.lookback-delta", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub(crate) lookback_delta: Duration,
    /// The most queries at a time
    #[arg(long = "query.max-concurrent", default_value_t = 20, value_name = "N")]
    pub(crate) max_concurrent: usize,
    /// The step of a range query that gives none
    #[arg(long = "query.default-step", default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub(crate) default_step: Duration,
    /// Answer with what there is when a store fails
    #[arg(
        long = "query.partial-response",
        overrides_with = "no_partial_response"
    )]
    pub(crate) partial_response: bool,
    /// Fail when a store fails
    #[arg(long = "no-query.partial-response", hide = true)]
    pub(crate) no_partial_response: bool,
    /// How replicas become one: penalty follows one of them until it has a gap, chain takes each sample once
    #[arg(
        long = "deduplication.func",
        default_value = "penalty",
        value_enum,
        value_name = "HOW"
    )]
    pub(crate) deduplication: Deduplication,
    /// The most selectors of a query that are fetched at a time (taken for compatibility: one by one here)
    #[arg(
        long = "query.max-concurrent-select",
        default_value_t = 4,
        value_name = "N"
    )]
    pub(crate) max_concurrent_select: usize,
    /// Answer range queries from downsampled data, at least five samples a step, unless they say what they want
    #[arg(long = "query.auto-downsampling")]
    pub(crate) auto_downsampling: bool,
    #[arg(long = "query.instant.default.max_source_resolution", default_value = "0s", hide = true, value_parser = duration)]
    pub(crate) instant_resolution: Duration,
    #[arg(
        long = "query.dynamic-lookback-delta",
        hide = true,
        overrides_with = "no_dynamic_lookback"
    )]
    pub(crate) dynamic_lookback: bool,
    #[arg(long = "no-query.dynamic-lookback-delta", hide = true)]
    pub(crate) no_dynamic_lookback: bool,
    /// The step of subqueries that give none
    #[arg(long = "query.default-evaluation-interval", default_value = "1m", value_name = "DURATION", value_parser = duration)]
    pub(crate) default_evaluation_interval: Duration,
    /// How far back labels and series are looked for by default; 0: all of time
    #[arg(long = "query.metadata.default-time-range", default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub(crate) metadata_range: Duration,
    /// The engine (taken for compatibility: both are the same here)
    #[arg(long = "query.promql-engine", default_value = "prometheus", value_name = "NAME", value_parser = ["prometheus", "thanos"])]
    pub(crate) engine: String,
    /// Where queries are evaluated: local, or distributed over endpoints that are queriers themselves
    #[arg(
        long = "query.mode",
        default_value = "local",
        value_enum,
        value_name = "WHERE"
    )]
    pub(crate) mode: Mode,
    /// A label that tells those queriers apart; without any, all labels of theirs do (repeatable)
    #[arg(
        long = "query.partition-label",
        value_name = "LABEL",
        value_delimiter = ','
    )]
    pub(crate) partition_label: Vec<String>,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    Local,
    Distributed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Deduplication {
    Penalty,
    Chain,
}

/// Whose data is whose.
#[derive(Debug, Args)]
pub(crate) struct TenancyArgs {
    /// The HTTP header that names the tenant
    #[arg(
        long = "query.tenant-header",
        default_value = "THANOS-TENANT",
        value_name = "NAME"
    )]
    header: String,
    /// The tenant of a request without that header
    #[arg(
        long = "query.default-tenant-id",
        default_value = "default-tenant",
        value_name = "NAME"
    )]
    default_id: String,
    /// Answer with series only whose tenant label is the tenant
    #[arg(long = "query.enforce-tenancy")]
    enforce: bool,
    /// The label that says whose a series is
    #[arg(
        long = "query.tenant-label-name",
        default_value = "tenant_id",
        value_name = "LABEL"
    )]
    label: String,
}

impl TenancyArgs {
    fn tenancy(self) -> Tenancy {
        Tenancy {
            header: self.header,
            default_tenant: self.default_id,
            enforced: self.enforce.then_some(self.label),
        }
    }
}

/// The API and its pages.
#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// The path under which the API and the pages are; empty: --web.external-prefix
    #[arg(
        long = "web.route-prefix",
        default_value = "",
        hide_default_value = true,
        value_name = "PATH"
    )]
    route_prefix: String,
    /// The path under which a proxy offers them
    #[arg(
        long = "web.external-prefix",
        default_value = "",
        hide_default_value = true,
        value_name = "PATH"
    )]
    external_prefix: String,
    /// Do not let pages of other origins read the API
    #[arg(long = "web.disable-cors")]
    disable_cors: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GrpcCompression {
    None,
    Snappy,
}

impl QueryArgs {
    /// What the querier is told.
    pub(crate) fn config(self) -> diagnostic::Result<Config> {
        let (endpoints, evaluation, web) = (self.endpoints, self.evaluation, self.web);
        Ok(Config {
            grpc_server_tls: self.listen.server_tls(),
            http_address: self.listen.http_address,
            grpc_address: self.listen.grpc_address,
            http_grace: self.listen.http_grace,
            grpc_grace: self.listen.grpc_grace,
            grpc_client: self.client.config(),
            endpoints: endpoints.endpoint,
            endpoint_strict: endpoints.endpoint_strict,
            endpoint_groups: endpoints.endpoint_group,
            endpoint_groups_strict: endpoints.endpoint_group_strict,
            endpoint_sd_config: endpoints.endpoint_sd_config,
            endpoint_sd_config_files: endpoints.endpoint_sd_config_file,
            sd_reload_interval: endpoints
                .endpoint_sd_reload_interval
                .min(endpoints.store_sd_interval),
            store_sd_files: endpoints.store_sd_files,
            sd_dns_interval: endpoints.sd_dns_interval,
            store_unhealthy_timeout: endpoints.unhealthy_timeout,
            endpoint_info_timeout: endpoints.info_timeout,
            store_response_timeout: endpoints.store_response_timeout,
            selector_labels: endpoints.selector_label,
            relabel: endpoints.relabel.load()?,
            connection_labels: endpoints
                .connection_labels
                .into_iter()
                .map(|label| match label {
                    ConnectionLabel::ExternalLabels => query::ConnectionLabel::ExternalLabels,
                    ConnectionLabel::StoreType => query::ConnectionLabel::StoreType,
                })
                .collect(),
            request_series: endpoints.request_series,
            request_samples: endpoints.request_samples,
            replica_labels: evaluation.replica_label,
            timeout: evaluation.timeout,
            lookback_delta: evaluation.lookback_delta,
            dynamic_lookback_delta: !evaluation.no_dynamic_lookback,
            max_concurrent: evaluation.max_concurrent,
            max_concurrent_select: evaluation.max_concurrent_select,
            default_step: evaluation.default_step,
            partial_response: !evaluation.no_partial_response,
            auto_downsampling: evaluation.auto_downsampling,
            instant_max_source_resolution: evaluation.instant_resolution,
            default_evaluation_interval: evaluation.default_evaluation_interval,
            metadata_default_time_range: evaluation.metadata_range,
            deduplication: match evaluation.deduplication {
                Deduplication::Penalty => query::Deduplication::Penalty,
                Deduplication::Chain => query::Deduplication::Chain,
            },
            distributed: matches!(evaluation.mode, Mode::Distributed),
            partition_labels: evaluation.partition_label,
            features: evaluation.features.features(),
            tenancy: self.tenancy.tenancy(),
            web_route_prefix: web.route_prefix,
            web_external_prefix: web.external_prefix,
            cors: !web.disable_cors,
            ..Config::default()
        })
    }
}

impl ClientArgs {
    fn config(&self) -> GrpcClient {
        GrpcClient {
            secure: self.tls_secure,
            ca: file(&self.tls_ca),
            cert: file(&self.tls_cert),
            key: file(&self.tls_key),
            server_name: (!self.server_name.is_empty()).then(|| self.server_name.clone()),
            skip_verify: self.tls_skip_verify,
            min_version: self.tls_min_version,
            compression: match self.grpc_compression {
                GrpcCompression::None => Compression::None,
                GrpcCompression::Snappy => Compression::Snappy,
            },
        }
    }
}

pub(super) fn selector_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=\"value\"")?;
    let value = value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value);
    Ok((name.to_owned(), value.to_owned()))
}
