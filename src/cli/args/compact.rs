//! The flags of `tks thanos compact`, with Thanos's names and defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use thanos::compact::{Config, Discovery, Merge, Relabel, Retention, Viewer};
use thanos::shipper::Hash;
use thanos::sidecar::MinTime;

use super::thanos::{ObjstoreArgs, RelabelArgs, address, bytes, hash};
use super::{LogArgs, duration};

const EXAMPLES: &str = "\
Examples:
  Compact and downsample once, and end:
    tks thanos compact --objstore.config-file bucket.yaml --data-dir /var/lib/compact

  For ever; raw samples stay 30 days, those of 5 minutes 90 days:
    tks thanos compact --wait --objstore.config-file bucket.yaml \\
      --retention.resolution-raw 30d --retention.resolution-5m 90d

  Two replicas of a Prometheus become one (this cannot be undone):
    tks thanos compact --wait --objstore.config-file bucket.yaml \\
      --deduplication.replica-label prometheus_replica --deduplication.func penalty";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Listen address of probes, metrics, API and the page of blocks
    #[arg(long = "http-address", default_value = "0.0.0.0:10902", value_name = "ADDRESS", value_parser = address)]
    http_address: SocketAddr,
    #[command(flatten)]
    objstore: ObjstoreArgs,
    #[command(flatten)]
    relabel: RelabelArgs,
    /// Folder in which blocks are fetched and compacted; what is in it is made anew when it is gone
    #[arg(long = "data-dir", default_value = "./data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Go on for ever, and look for new blocks
    #[arg(long = "wait", short = 'w')]
    wait: bool,
    /// Between two looks, with --wait
    #[arg(long = "wait-interval", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    wait_interval: Duration,
    /// Younger blocks that no compactor made wait
    #[arg(long = "consistency-delay", default_value = "30m", value_name = "DURATION", value_parser = duration)]
    consistency_delay: Duration,
    /// How long raw samples stay; 0d: for ever
    #[arg(long = "retention.resolution-raw", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    retention_raw: Duration,
    /// How long samples of 5 minutes stay; 0d: for ever
    #[arg(long = "retention.resolution-5m", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    retention_five_minutes: Duration,
    /// How long samples of an hour stay; 0d: for ever
    #[arg(long = "retention.resolution-1h", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    retention_one_hour: Duration,
    /// Blocks marked for deletion are deleted after this; 0s: at once
    #[arg(long = "delete-delay", default_value = "48h", value_name = "DURATION", value_parser = duration)]
    delete_delay: Duration,
    /// Do not downsample: queries over long times become slow
    #[arg(long = "downsampling.disable")]
    no_downsampling: bool,
    /// How replicas become one; empty: samples at the same time once; penalty: one replica, the others fill its gaps
    #[arg(long = "deduplication.func", default_value = "", hide_default_value = true, value_name = "NAME", value_parser = merge)]
    merge: Merge,
    /// A label that only tells replicas apart; their blocks become one, which cannot be undone (repeatable)
    #[arg(
        long = "deduplication.replica-label",
        value_name = "LABEL",
        value_delimiter = ','
    )]
    replica_labels: Vec<String>,
    #[arg(long = "compact.enable-vertical-compaction", hide = true)]
    vertical_compaction: bool,
    /// Groups of blocks that are compacted at a time
    #[arg(long = "compact.concurrency", default_value_t = 1, value_name = "N")]
    compact_concurrency: usize,
    /// Blocks of a compaction that are fetched at a time
    #[arg(
        long = "compact.blocks-fetch-concurrency",
        default_value_t = 1,
        value_name = "N"
    )]
    blocks_fetch_concurrency: usize,
    /// Blocks that are downsampled at a time
    #[arg(long = "downsample.concurrency", default_value_t = 1, value_name = "N")]
    downsample_concurrency: usize,
    /// Threads that work on the chunks of one block; 0: as many as there are cores
    #[arg(long = "compact.threads", default_value_t = 0, value_name = "N")]
    threads: usize,
    /// The most bytes on the disk of all groups together, over which groups wait for each other; 0: no limit
    #[arg(long = "compact.disk-budget", default_value = "0", value_name = "BYTES", value_parser = bytes)]
    disk_budget: u64,
    /// How often what was marked and partial uploads are cleaned up, with --wait; 0s: only at the end of an iteration
    #[arg(long = "compact.cleanup-interval", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    cleanup_interval: Duration,
    /// How often what is to do is counted, with --wait; 0s: never
    #[arg(long = "compact.progress-interval", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    progress_interval: Duration,
    /// concurrent: one call per block; recursive: one listing of everything
    #[arg(long = "block-discovery-strategy", default_value = "concurrent", value_name = "HOW", value_parser = ["concurrent", "recursive"])]
    discovery: String,
    /// Metas that are read at a time
    #[arg(
        long = "block-meta-fetch-concurrency",
        default_value_t = 32,
        value_name = "N"
    )]
    block_meta_fetch_concurrency: usize,
    /// Files of a block that are fetched or stored at a time
    #[arg(
        long = "block-files-concurrency",
        default_value_t = 1,
        value_name = "N"
    )]
    block_files_concurrency: usize,
    /// Compact no block that ends before: a time (RFC 3339), or a duration from now such as -2w
    #[arg(
        long = "min-time",
        default_value = "0000-01-01T00:00:00Z",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    min_time: MinTime,
    /// Compact no block that begins after: a time (RFC 3339), or a duration from now such as -2h
    #[arg(
        long = "max-time",
        default_value = "9999-12-31T23:59:59Z",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    max_time: MinTime,
    /// The hash that metas list of each file: SHA256, or none when empty
    #[arg(long = "hash-func", default_value = "", hide_default_value = true, value_name = "NAME", value_parser = hash)]
    hash: Hash,
    /// Serve no page of blocks
    #[arg(long = "web.disable")]
    no_web: bool,
    /// The external label that titles groups on the page of blocks
    #[arg(
        long = "bucket-web-label",
        default_value = "",
        hide_default_value = true,
        value_name = "LABEL"
    )]
    web_label: String,
    /// Let nobody mark blocks through the API
    #[arg(long = "disable-admin-operations")]
    no_admin: bool,
    /// How often the page of blocks looks at the whole bucket
    #[arg(long = "block-viewer.global.sync-block-interval", default_value = "1m", value_name = "DURATION", value_parser = duration)]
    viewer_interval: Duration,
    /// How long that may take
    #[arg(long = "block-viewer.global.sync-block-timeout", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    viewer_timeout: Duration,
    #[arg(
        long = "debug.halt-on-error",
        hide = true,
        overrides_with = "no_halt_on_error"
    )]
    halt_on_error: bool,
    #[arg(long = "no-debug.halt-on-error", hide = true)]
    no_halt_on_error: bool,
    #[arg(long = "debug.accept-malformed-index", hide = true)]
    accept_malformed_index: bool,
    #[arg(long = "debug.max-compaction-level", default_value_t = 4, hide = true)]
    max_compaction_level: usize,
    #[arg(long = "compact.block-max-index-size", default_value = "64GB", hide = true, value_parser = bytes)]
    max_index_size: u64,
    #[arg(long = "compact.skip-block-with-out-of-order-chunks", hide = true)]
    skip_out_of_order_chunks: bool,
}

fn merge(name: &str) -> Result<Merge, String> {
    match name {
        "" => Ok(Merge::OneToOne),
        "penalty" => Ok(Merge::Penalty),
        _ => Err("penalty, or nothing".to_owned()),
    }
}

impl CompactArgs {
    /// The settings of the component.
    pub(crate) fn config(self) -> crate::diagnostic::Result<Config> {
        let bucket = self.objstore.required()?;
        let relabel: Relabel = self.relabel.load()?;
        let defaults = Config::new(bucket);
        Ok(Config {
            http_address: self.http_address,
            data_dir: self.data_dir,
            consistency_delay: self.consistency_delay,
            retention: Retention {
                raw: self.retention_raw,
                five_minutes: self.retention_five_minutes,
                one_hour: self.retention_one_hour,
            },
            wait: self.wait,
            wait_interval: self.wait_interval,
            downsampling: !self.no_downsampling,
            discovery: match self.discovery.as_str() {
                "recursive" => Discovery::Recursive,
                _ => Discovery::Concurrent,
            },
            block_meta_fetch_concurrency: self.block_meta_fetch_concurrency,
            block_files_concurrency: self.block_files_concurrency,
            blocks_fetch_concurrency: self.blocks_fetch_concurrency,
            compact_concurrency: self.compact_concurrency,
            downsample_concurrency: self.downsample_concurrency,
            cleanup_interval: self.cleanup_interval,
            progress_interval: self.progress_interval,
            delete_delay: self.delete_delay,
            merge: self.merge,
            replica_labels: self.replica_labels,
            vertical_compaction: self.vertical_compaction,
            hash: self.hash,
            min_time: self.min_time,
            max_time: self.max_time,
            relabel,
            viewer: Viewer {
                enabled: !self.no_web,
                sync_interval: self.viewer_interval,
                sync_timeout: self.viewer_timeout,
                label: self.web_label,
                admin: !self.no_admin,
            },
            halt_on_error: !self.no_halt_on_error,
            accept_malformed_index: self.accept_malformed_index,
            max_compaction_level: self.max_compaction_level,
            max_index_size: self.max_index_size,
            skip_out_of_order_chunks: self.skip_out_of_order_chunks,
            threads: match self.threads {
                0 => defaults.threads,
                threads => threads,
            },
            disk_budget: self.disk_budget,
            ..defaults
        })
    }
}
