//! The flags of the components, with Thanos's names and defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{LogArgs, duration};

#[derive(Debug, Subcommand)]
pub(crate) enum ThanosCommand {
    /// Serve a Prometheus server's series over StoreAPI
    Sidecar(Box<SidecarArgs>),
    /// Answer PromQL over many StoreAPIs
    Query(Box<QueryArgs>),
}

/// Where a component listens.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Listen address of probes, metrics and API
    #[arg(long = "http-address", default_value = "0.0.0.0:10902", value_name = "ADDRESS", value_parser = address)]
    pub(crate) http_address: SocketAddr,
    /// Listen address of gRPC
    #[arg(long = "grpc-address", default_value = "0.0.0.0:10901", value_name = "ADDRESS", value_parser = address)]
    pub(crate) grpc_address: SocketAddr,
    /// Certificate of the gRPC server; empty: no TLS
    #[arg(
        long = "grpc-server-tls-cert",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) server_cert: String,
    /// Key of the gRPC server
    #[arg(
        long = "grpc-server-tls-key",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) server_key: String,
    /// CA that clients must be signed by; empty: no client certificate is asked for
    #[arg(
        long = "grpc-server-tls-client-ca",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) server_client_ca: String,
}

impl ListenArgs {
    pub(crate) fn server_tls(&self) -> Option<net::tls::ServerTls> {
        (!self.server_cert.is_empty()).then(|| net::tls::ServerTls {
            cert: PathBuf::from(&self.server_cert),
            key: PathBuf::from(&self.server_key),
            client_ca: file(&self.server_client_ca),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct SidecarArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Prometheus's API
    #[arg(
        long = "prometheus.url",
        default_value = "http://localhost:9090",
        value_name = "URL"
    )]
    pub(crate) prometheus_url: String,
    /// How long uploads wait for Prometheus to be ready
    #[arg(long = "prometheus.ready_timeout", default_value = "10m", value_name = "DURATION", value_parser = duration)]
    pub(crate) ready_timeout: Duration,
    /// How often Prometheus's configuration is read
    #[arg(long = "prometheus.get_config_interval", default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub(crate) get_config_interval: Duration,
    /// How long reading it may take
    #[arg(long = "prometheus.get_config_timeout", default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub(crate) get_config_timeout: Duration,
    /// The most series of one Series call; 0: no limit
    #[arg(
        long = "store.limits.request-series",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_series: u64,
    /// The most samples of one Series call; 0: no limit
    #[arg(
        long = "store.limits.request-samples",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_samples: u64,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// A StoreAPI to ask (repeatable)
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
    /// Give up on a store that sends nothing for this long; 0: never
    #[arg(long = "store.response-timeout", default_value = "0ms", value_name = "DURATION", value_parser = duration)]
    pub(crate) store_response_timeout: Duration,
    /// A label of this querier itself: name="value" (repeatable)
    #[arg(long = "selector-label", value_name = "NAME=\"VALUE\"", value_parser = selector_label)]
    pub(crate) selector_label: Vec<(String, String)>,
    /// Dial endpoints over TLS
    #[arg(long = "grpc-client-tls-secure")]
    pub(crate) tls_secure: bool,
    /// Do not verify endpoints' certificates
    #[arg(long = "grpc-client-tls-skip-verify")]
    pub(crate) tls_skip_verify: bool,
    /// Client certificate
    #[arg(
        long = "grpc-client-tls-cert",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) tls_cert: String,
    /// Client key
    #[arg(
        long = "grpc-client-tls-key",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) tls_key: String,
    /// CA of the endpoints; empty: the system's
    #[arg(
        long = "grpc-client-tls-ca",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub(crate) tls_ca: String,
    /// The name that endpoints' certificates must have
    #[arg(
        long = "grpc-client-server-name",
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) server_name: String,
}

impl QueryArgs {
    pub(crate) fn grpc_client(&self) -> thanos::query::GrpcClient {
        thanos::query::GrpcClient {
            secure: self.tls_secure,
            ca: file(&self.tls_ca),
            cert: file(&self.tls_cert),
            key: file(&self.tls_key),
            server_name: (!self.server_name.is_empty()).then(|| self.server_name.clone()),
            skip_verify: self.tls_skip_verify,
        }
    }
}

fn file(name: &str) -> Option<PathBuf> {
    (!name.is_empty()).then(|| PathBuf::from(name))
}

/// Go's listen addresses: `:10902` is every interface.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    let full = full.replace("localhost:", "127.0.0.1:");
    full.parse()
        .map_err(|_| format!("`{text}` is not host:port"))
}

fn selector_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=\"value\"")?;
    let value = value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value);
    Ok((name.to_owned(), value.to_owned()))
}
