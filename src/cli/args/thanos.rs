//! The flags of the components, with Thanos's names and defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use thanos::shipper::Hash;
use thanos::sidecar::{HttpClient, Method, MinTime, Reloads};

use super::compact::CompactArgs;
use super::query::QueryArgs;
use super::{LogArgs, duration};
use crate::diagnostic::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum ThanosCommand {
    /// Serve a Prometheus server's series over StoreAPI
    Sidecar(Box<SidecarArgs>),
    /// Serve the blocks of a bucket over StoreAPI
    Store(Box<StoreArgs>),
    /// Answer PromQL over many StoreAPIs
    Query(Box<QueryArgs>),
    /// Compact, downsample and retire the blocks of a bucket
    Compact(Box<CompactArgs>),
    /// Tools that look at a bucket, and change it
    Tools(super::tools::ToolsArgs),
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
    /// The oldest version of TLS that the gRPC server takes: 1.2 or 1.3 (1.0 and 1.1 mean 1.2)
    #[arg(
        long = "grpc-server-tls-min-version",
        default_value = "1.3",
        value_name = "VERSION"
    )]
    pub(crate) server_min_version: net::tls::Version,
    /// How long HTTP requests in flight may take once it is told to stop
    #[arg(long = "http-grace-period", default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) http_grace: Duration,
    /// How long gRPC calls in flight may take once it is told to stop
    #[arg(long = "grpc-grace-period", default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) grpc_grace: Duration,
}

impl ListenArgs {
    pub(crate) fn server_tls(&self) -> Option<net::tls::ServerTls> {
        (!self.server_cert.is_empty()).then(|| net::tls::ServerTls {
            cert: PathBuf::from(&self.server_cert),
            key: PathBuf::from(&self.server_key),
            client_ca: file(&self.server_client_ca),
            min_version: self.server_min_version,
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
    #[command(flatten)]
    pub(crate) http_client: HttpClientArgs,
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
    /// Nothing older is served: a time (RFC 3339), or a duration back from now such as -2w
    #[arg(
        long = "min-time",
        default_value = "0000-01-01T00:00:00Z",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub(crate) min_time: MinTime,
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    #[command(flatten)]
    pub(crate) shipper: ShipperArgs,
    #[command(flatten)]
    pub(crate) reloader: ReloaderArgs,
}

/// How Prometheus is spoken to.
#[derive(Debug, Args)]
pub(crate) struct HttpClientArgs {
    /// Credentials, TLS and timeouts for Prometheus's API, as YAML
    #[arg(
        long = "prometheus.http-client",
        value_name = "YAML",
        conflicts_with = "http_client_file"
    )]
    http_client: Option<String>,
    /// A file with those
    #[arg(long = "prometheus.http-client-file", value_name = "FILE")]
    http_client_file: Option<PathBuf>,
}

impl HttpClientArgs {
    pub(crate) fn load(&self) -> crate::diagnostic::Result<HttpClient> {
        let config = HttpClient::from_yaml(&content(&self.http_client, &self.http_client_file)?);
        config.map_err(|error| Failure::from_error(&error))
    }
}

/// What is given as text or in a file; empty when neither is.
fn content(text: &Option<String>, file: &Option<PathBuf>) -> crate::diagnostic::Result<String> {
    match (text, file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Failure::io(path.display().to_string(), &error)),
        (None, None) => Ok(String::new()),
    }
}

/// Which bucket.
#[derive(Debug, Args)]
pub(crate) struct ObjstoreArgs {
    /// The bucket, as YAML
    #[arg(
        long = "objstore.config",
        value_name = "YAML",
        conflicts_with = "config_file"
    )]
    pub(crate) config: Option<String>,
    /// A file with the bucket as YAML
    #[arg(id = "config_file", long = "objstore.config-file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
}

impl ObjstoreArgs {
    /// `None` when no bucket is configured.
    pub(crate) fn load(&self) -> Result<Option<objstore::Config>, objstore::ConfigError> {
        let source = match (&self.config, &self.config_file) {
            (Some(text), _) => objstore::Source::Inline(text.clone()),
            (None, Some(path)) => objstore::Source::File(path.clone()),
            (None, None) => return Ok(None),
        };
        objstore::Config::load(&source)
    }

    /// The bucket, which must be configured.
    pub(crate) fn required(&self) -> crate::diagnostic::Result<objstore::Config> {
        let bucket = self.load().map_err(|error| Failure::from_error(&error))?;
        bucket.ok_or_else(|| {
            Failure::new("no bucket is given: --objstore.config or --objstore.config-file")
        })
    }
}

/// Which blocks of a bucket.
#[derive(Debug, Args)]
pub(crate) struct RelabelArgs {
    /// Relabel rules (keep, drop, hashmod) that choose blocks by external labels and __block_id, as YAML
    #[arg(
        long = "selector.relabel-config",
        value_name = "YAML",
        conflicts_with = "relabel_config_file"
    )]
    relabel_config: Option<String>,
    /// A file with those rules
    #[arg(long = "selector.relabel-config-file", value_name = "FILE")]
    relabel_config_file: Option<PathBuf>,
}

impl RelabelArgs {
    /// The rules, wherever they are given.
    pub(crate) fn load(&self) -> crate::diagnostic::Result<thanos::compact::Relabel> {
        let text = content(&self.relabel_config, &self.relabel_config_file)?;
        let rules = thanos::compact::Relabel::from_yaml(&text);
        rules.map_err(|error| Failure::from_error(&error))
    }
}

/// What the reloader watches, and how it tells Prometheus.
#[derive(Debug, Args)]
pub(crate) struct ReloaderArgs {
    /// Prometheus's configuration: when it changes, Prometheus loads it anew
    #[arg(
        long = "reloader.config-file",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    watched_config: String,
    /// Where it is written with the environment's values for $(NAME), for Prometheus to read
    #[arg(
        long = "reloader.config-envsubst-file",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    written_config: String,
    /// A folder of rules that is watched too (repeatable)
    #[arg(long = "reloader.rule-dir", value_name = "DIR")]
    rule_dirs: Vec<PathBuf>,
    /// How often the files are read again even without a change; 0: once
    #[arg(long = "reloader.watch-interval", default_value = "3m", value_name = "DURATION", value_parser = duration)]
    watch_interval: Duration,
    /// How long after a failed reload the next one is tried
    #[arg(long = "reloader.retry-interval", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    retry_interval: Duration,
    /// How Prometheus is told
    #[arg(long = "reloader.method", default_value = "http", value_enum)]
    method: ReloadMethod,
    /// The process that gets a SIGHUP with the method signal
    #[arg(
        long = "reloader.process-name",
        default_value = "prometheus",
        value_name = "NAME"
    )]
    process_name: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReloadMethod {
    Http,
    Signal,
}

impl ReloaderArgs {
    pub(crate) fn reloads(self) -> Reloads {
        Reloads {
            config_file: file(&self.watched_config),
            config_envsubst_file: file(&self.written_config),
            rule_dirs: self.rule_dirs,
            watch_interval: self.watch_interval,
            retry_interval: self.retry_interval,
            method: match self.method {
                ReloadMethod::Http => Method::Http,
                ReloadMethod::Signal => Method::Signal {
                    process_name: self.process_name,
                },
            },
        }
    }
}

/// What the shipper does with the blocks of a TSDB.
#[derive(Debug, Args)]
pub(crate) struct ShipperArgs {
    /// Data folder of the TSDB whose blocks are uploaded
    #[arg(long = "tsdb.path", default_value = "./data", value_name = "DIR")]
    pub(crate) tsdb_path: PathBuf,
    /// The file in it that names the uploaded blocks
    #[arg(
        long = "shipper.meta-file-name",
        default_value = "thanos.shipper.json",
        value_name = "NAME"
    )]
    pub(crate) meta_file_name: String,
    /// Upload compacted blocks too
    #[arg(long = "shipper.upload-compacted")]
    pub(crate) upload_compacted: bool,
    /// Chunk files that are uploaded at a time
    #[arg(
        long = "shipper.upload-concurrency",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) upload_concurrency: usize,
    /// Upload although Prometheus compacts blocks itself
    #[arg(long = "shipper.ignore-unequal-block-size", hide = true)]
    pub(crate) ignore_unequal_block_size: bool,
    /// Go on with the next block after a failure
    #[arg(long = "shipper.allow-out-of-order-uploads", hide = true)]
    pub(crate) allow_out_of_order: bool,
    /// Leave out blocks that cannot be read
    #[arg(long = "shipper.skip-corrupted-blocks", hide = true)]
    pub(crate) skip_corrupted: bool,
    /// The hash that metas list of each file: SHA256, or none when empty
    #[arg(long = "hash-func", default_value = "", hide_default_value = true, value_name = "NAME", value_parser = hash)]
    pub(crate) hash: Hash,
}

impl ShipperArgs {
    pub(crate) fn options(&self) -> thanos::shipper::Options {
        thanos::shipper::Options {
            meta_file_name: self.meta_file_name.clone(),
            upload_compacted: self.upload_compacted,
            allow_out_of_order: self.allow_out_of_order,
            skip_corrupted: self.skip_corrupted,
            concurrency: self.upload_concurrency,
            hash: self.hash,
            ..thanos::shipper::Options::new(&self.tsdb_path)
        }
    }
}

pub(super) fn hash(name: &str) -> Result<Hash, String> {
    match name {
        "" => Ok(Hash::None),
        "SHA256" => Ok(Hash::Sha256),
        _ => Err("SHA256, or nothing".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    /// Folder for index headers and metas; what is in it is made anew when it is gone
    #[arg(long = "data-dir", default_value = "./data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Keep index headers in the data folder (the default)
    #[arg(long = "cache-index-header", overrides_with = "no_cache_index_header")]
    pub(crate) cache_index_header: bool,
    /// Keep index headers in memory
    #[arg(long = "no-cache-index-header", hide = true)]
    pub(crate) no_cache_index_header: bool,
    /// How often the bucket is looked at
    #[arg(long = "sync-block-duration", default_value = "15m", value_name = "DURATION", value_parser = duration)]
    pub(crate) sync_interval: Duration,
    /// Blocks that are loaded at a time
    #[arg(
        long = "block-sync-concurrency",
        default_value_t = 20,
        value_name = "N"
    )]
    pub(crate) block_sync_concurrency: usize,
    /// Metas that are read at a time
    #[arg(
        long = "block-meta-fetch-concurrency",
        default_value_t = 32,
        value_name = "N"
    )]
    pub(crate) block_meta_fetch_concurrency: usize,
    /// concurrent: one call per block; recursive: one listing of everything
    #[arg(long = "block-discovery-strategy", default_value = "concurrent", value_name = "HOW", value_parser = ["concurrent", "recursive"])]
    pub(crate) discovery: String,
    /// The most series of one Series call; 0: no limit
    #[arg(
        long = "store.limits.request-series",
        alias = "store.grpc.touched-series-limit",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_series: u64,
    /// The most samples of one Series call, counted as 120 per chunk; 0: no limit
    #[arg(
        long = "store.limits.request-samples",
        alias = "store.grpc.series-sample-limit",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) request_samples: u64,
    /// The most bytes that one call reads from the bucket; 0: no limit
    #[arg(long = "store.grpc.downloaded-bytes-limit", default_value = "0", value_name = "BYTES", value_parser = bytes)]
    pub(crate) downloaded_bytes: u64,
    /// The most Series calls at a time
    #[arg(
        long = "store.grpc.series-max-concurrency",
        default_value_t = 20,
        value_name = "N"
    )]
    pub(crate) max_concurrency: usize,
    /// The most bytes that all requests together hold; over it they wait, then are refused
    #[arg(long = "store.memory-budget", default_value = "512MB", value_name = "BYTES", value_parser = bytes)]
    pub(crate) memory_budget: u64,
    /// Serve no block that ends before: a time (RFC 3339), or a duration from now such as -2w
    #[arg(
        long = "min-time",
        default_value = "0000-01-01T00:00:00Z",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub(crate) min_time: MinTime,
    /// Serve no block that begins after: a time (RFC 3339), or a duration from now such as -2h
    #[arg(
        long = "max-time",
        default_value = "9999-12-31T23:59:59Z",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub(crate) max_time: MinTime,
    #[command(flatten)]
    pub(crate) relabel: RelabelArgs,
    /// Blocks younger than this are not served yet
    #[arg(long = "consistency-delay", default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub(crate) consistency_delay: Duration,
    /// Blocks that were marked for deletion longer ago are not served
    #[arg(long = "ignore-deletion-marks-delay", default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub(crate) ignore_deletion_marks_delay: Duration,
    /// Open index headers when a request needs them
    #[arg(long = "store.enable-index-header-lazy-reader")]
    pub(crate) lazy_headers: bool,
    #[arg(long = "store.index-header-lazy-reader-idle-timeout", default_value = "5m", hide = true, value_parser = duration)]
    pub(crate) lazy_idle_timeout: Duration,
    /// eager: download index headers at the start; lazy: when a request needs them
    #[arg(long = "store.index-header-lazy-download-strategy", default_value = "eager", value_name = "WHEN", value_parser = ["eager", "lazy"])]
    pub(crate) lazy_download: String,
    #[arg(
        long = "debug.series-batch-size",
        default_value_t = 10_000,
        hide = true
    )]
    pub(crate) series_batch: usize,
    #[arg(
        long = "debug.estimated-max-series-size",
        default_value_t = 65_536,
        hide = true
    )]
    pub(crate) estimated_series: u64,
    #[arg(
        long = "debug.estimated-max-chunk-size",
        default_value_t = 16_000,
        hide = true
    )]
    pub(crate) estimated_chunk: u64,
}

/// Sizes as Thanos reads them: `512MB` counts by 1024, and so does `512MiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        "TB" | "TIB" => 40,
        _ => return Err("a size such as 512MB".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size such as 512MB".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_owned())
}

pub(super) fn file(name: &str) -> Option<PathBuf> {
    (!name.is_empty()).then(|| PathBuf::from(name))
}

/// Go's listen addresses: `:10902` is every interface.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    let full = full.replace("localhost:", "127.0.0.1:");
    full.parse()
        .map_err(|_| format!("`{text}` is not host:port"))
}
