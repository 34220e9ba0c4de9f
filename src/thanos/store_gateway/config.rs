//! What a store gateway is told; defaults are those of Thanos's flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use net::tls::ServerTls;
use store::block::{Discovery, Relabel};
use store::bucket::{Estimates, Limits};

use crate::sidecar::MinTime;

/// The settings of a store gateway.
#[derive(Clone, Debug)]
pub struct Config {
    pub bucket: objstore::Config,
    pub grpc_address: SocketAddr,
    pub http_address: SocketAddr,
    /// Plaintext when absent.
    pub grpc_server_tls: Option<ServerTls>,
    /// `--grpc-grace-period`: for calls in flight at shutdown.
    pub grpc_grace: Duration,
    /// `--http-grace-period`
    pub http_grace: Duration,
    /// For index headers and metas.
    pub data_dir: PathBuf,
    /// Whether [`Self::data_dir`] is used; else all is kept in memory.
    pub cache_index_header: bool,
    /// Between two looks at the bucket.
    pub sync_interval: Duration,
    pub block_sync_concurrency: usize,
    pub block_meta_fetch_concurrency: usize,
    pub discovery: Discovery,
    /// Blocks that end before are not served.
    pub min_time: MinTime,
    /// Blocks that begin after are not served.
    pub max_time: MinTime,
    /// Chooses blocks by their external labels.
    pub relabel: Relabel,
    /// Younger blocks wait.
    pub consistency_delay: Duration,
    /// Blocks that are marked for deletion longer ago are hidden.
    pub ignore_deletion_marks_delay: Duration,
    pub limits: Limits,
    /// Series calls at a time.
    pub max_concurrency: usize,
    /// Bytes that all requests together may hold.
    pub memory_budget: u64,
    /// How long a request waits for its share of the budget.
    pub memory_patience: Duration,
    /// Index headers are opened by the first request that needs them, and closed when idle.
    pub lazy_headers: bool,
    pub lazy_idle_timeout: Duration,
    /// With [`Self::lazy_headers`]: they are downloaded by that request too.
    pub lazy_download: bool,
    pub estimates: Estimates,
    pub series_batch: usize,
}

/// The last millisecond of 9999.
const END_OF_TIME: i64 = 253_402_300_799_000;

impl Config {
    /// The defaults, over this bucket.
    #[must_use]
    pub fn new(bucket: objstore::Config) -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            bucket,
            grpc_address: any(10901),
            http_address: any(10902),
            grpc_server_tls: None,
            grpc_grace: Duration::from_secs(120),
            http_grace: Duration::from_secs(120),
            data_dir: PathBuf::from("./data"),
            cache_index_header: true,
            sync_interval: Duration::from_secs(15 * 60),
            block_sync_concurrency: 20,
            block_meta_fetch_concurrency: 32,
            discovery: Discovery::Concurrent,
            min_time: MinTime::default(),
            max_time: MinTime::At(END_OF_TIME),
            relabel: Relabel::default(),
            consistency_delay: Duration::ZERO,
            ignore_deletion_marks_delay: Duration::from_secs(24 * 3600),
            limits: Limits::default(),
            max_concurrency: 20,
            memory_budget: 512 << 20,
            memory_patience: Duration::from_secs(30),
            lazy_headers: false,
            lazy_idle_timeout: Duration::from_secs(5 * 60),
            lazy_download: false,
            estimates: Estimates::default(),
            series_batch: 10_000,
        }
    }
}
