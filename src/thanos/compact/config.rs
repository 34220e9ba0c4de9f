//! What a compactor is told; defaults are those of Thanos's flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use store::block::{Discovery, Relabel};
use tsdb::compact::Merge;

use super::Error;
use crate::shipper::Hash;
use crate::sidecar::MinTime;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The settings of a compactor.
#[derive(Clone, Debug)]
pub struct Config {
    pub bucket: objstore::Config,
    pub http_address: SocketAddr,
    /// Blocks are fetched, compacted and downsampled here.
    pub data_dir: PathBuf,
    /// Younger blocks wait.
    pub consistency_delay: Duration,
    pub retention: Retention,
    /// Whether it goes on for ever.
    pub wait: bool,
    pub wait_interval: Duration,
    pub downsampling: bool,
    pub discovery: Discovery,
    pub block_meta_fetch_concurrency: usize,
    /// Files of a block that are fetched or stored at a time.
    pub block_files_concurrency: usize,
    /// Blocks of a compaction that are fetched at a time.
    pub blocks_fetch_concurrency: usize,
    /// Groups that are compacted at a time.
    pub compact_concurrency: usize,
    pub downsample_concurrency: usize,
    /// How often partial uploads and marked blocks are cleaned up beside the iterations; zero: not.
    pub cleanup_interval: Duration,
    /// How often what is to do is counted; zero: not.
    pub progress_interval: Duration,
    /// How long a mark stands before the block is deleted.
    pub delete_delay: Duration,
    pub merge: Merge,
    /// Labels that only tell replicas apart.
    pub replica_labels: Vec<String>,
    pub vertical_compaction: bool,
    pub hash: Hash,
    pub min_time: MinTime,
    pub max_time: MinTime,
    pub relabel: Relabel,
    pub viewer: Viewer,
    pub halt_on_error: bool,
    pub accept_malformed_index: bool,
    /// The index of the longest range in [`RANGES`].
    pub max_compaction_level: usize,
    pub max_index_size: u64,
    pub skip_out_of_order_chunks: bool,
    /// Threads that work on the chunks of one block.
    pub threads: usize,
    /// Bytes that all groups together may take on the disk; zero: as much as there is.
    pub disk_budget: u64,
}

/// The page of blocks.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub enabled: bool,
    pub sync_interval: Duration,
    pub sync_timeout: Duration,
    /// The external label that titles groups.
    pub label: String,
    /// Whether blocks can be marked by it.
    pub admin: bool,
}

/// How long blocks stay, by resolution; zero: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub raw: Duration,
    pub five_minutes: Duration,
    pub one_hour: Duration,
}

impl Retention {
    /// That of a resolution in milliseconds.
    #[must_use]
    pub fn of(&self, resolution: i64) -> Duration {
        match resolution {
            0 => self.raw,
            tsdb::compact::FIVE_MINUTES => self.five_minutes,
            tsdb::compact::ONE_HOUR => self.one_hour,
            _ => Duration::ZERO,
        }
    }
}

/// The ranges that blocks are compacted to, in milliseconds. The first is only what comes in.
pub const RANGES: [i64; 5] = [
    3_600_000,
    2 * 3_600_000,
    8 * 3_600_000,
    2 * 24 * 3_600_000,
    14 * 24 * 3_600_000,
];

/// The shortest raw block that is downsampled, in milliseconds.
pub(super) const DOWNSAMPLE_RAW: i64 = 40 * 3_600_000;
/// The shortest block of five minutes that is downsampled, in milliseconds.
pub(super) const DOWNSAMPLE_FIVE_MINUTES: i64 = 10 * 24 * 3_600_000;

impl Config {
    /// The defaults, over this bucket.
    #[must_use]
    pub fn new(bucket: objstore::Config) -> Self {
        Self {
            bucket,
            http_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 10902)),
            data_dir: PathBuf::from("./data"),
            consistency_delay: Duration::from_secs(HOUR / 2),
            retention: Retention::default(),
            wait: false,
            wait_interval: Duration::from_secs(300),
            downsampling: true,
            discovery: Discovery::Concurrent,
            block_meta_fetch_concurrency: 32,
            block_files_concurrency: 1,
            blocks_fetch_concurrency: 1,
            compact_concurrency: 1,
            downsample_concurrency: 1,
            cleanup_interval: Duration::from_secs(300),
            progress_interval: Duration::from_secs(300),
            delete_delay: Duration::from_secs(2 * DAY),
            merge: Merge::OneToOne,
            replica_labels: Vec::new(),
            vertical_compaction: false,
            hash: Hash::None,
            min_time: MinTime::default(),
            max_time: MinTime::At(253_402_300_799_000),
            relabel: Relabel::default(),
            viewer: Viewer {
                enabled: true,
                sync_interval: Duration::from_secs(60),
                sync_timeout: Duration::from_secs(300),
                label: String::new(),
                admin: true,
            },
            halt_on_error: true,
            accept_malformed_index: false,
            max_compaction_level: RANGES.len() - 1,
            max_index_size: 64 << 30,
            skip_out_of_order_chunks: false,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            disk_budget: 0,
        }
    }

    pub(super) fn overlaps_allowed(&self) -> bool {
        self.vertical_compaction || !self.replica_labels.is_empty()
    }

    /// What cannot be meant.
    pub(super) fn check(&self) -> Result<(), Error> {
        let short = |kept: Duration, range: i64| {
            let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            self.downsampling && kept != 0 && kept < range
        };
        if short(self.retention.raw, DOWNSAMPLE_RAW) {
            return Err(Error::Config(
                "raw resolution must be higher than the minimum block size after which 5m resolution downsampling will occur (40 hours)",
            ));
        }
        if short(self.retention.five_minutes, DOWNSAMPLE_FIVE_MINUTES) {
            return Err(Error::Config(
                "5m resolution retention must be higher than the minimum block size after which 1h resolution downsampling will occur (10 days)",
            ));
        }
        if self.merge == Merge::Penalty && self.replica_labels.is_empty() {
            return Err(Error::Config(
                "penalty based deduplication needs at least one replica label specified",
            ));
        }
        if self.max_compaction_level >= RANGES.len() {
            return Err(Error::Config(
                "there are no more than 4 levels of compaction (--debug.max-compaction-level)",
            ));
        }
        if self.compact_concurrency == 0 || self.downsample_concurrency == 0 {
            return Err(Error::Config("a concurrency of 0 does no work"));
        }
        Ok(())
    }
}
