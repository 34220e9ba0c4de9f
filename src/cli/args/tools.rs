//! `tks thanos tools bucket`: looking at a bucket, and doing by hand what a compactor does by itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use thanos::compact::{Config, Retention};
use thanos::shipper::Hash;

use super::duration;
use super::thanos::{ObjstoreArgs, RelabelArgs, hash};

#[derive(Debug, Args)]
pub(crate) struct ToolsArgs {
    #[command(subcommand)]
    pub(crate) tool: Tool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Look at a bucket, and do by hand what a compactor does by itself
    Bucket(BucketArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks thanos tools bucket ls --objstore.config-file bucket.yaml -o wide
  tks thanos tools bucket verify --objstore.config-file bucket.yaml
  tks thanos tools bucket mark --objstore.config-file bucket.yaml --id ULID --marker no-compact-mark.json --details 'it is wrong'
  tks thanos tools bucket cost --objstore.config-file bucket.yaml --retention.resolution-raw 30d")]
pub(crate) struct BucketArgs {
    #[command(subcommand)]
    pub(crate) command: BucketCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// List the blocks
    Ls(LsArgs),
    /// Show what each block holds
    Inspect(InspectArgs),
    /// Check that blocks are sound
    Verify(VerifyArgs),
    /// Put marks on blocks, or take them away
    Mark(MarkArgs),
    /// Delete what was marked, and what uploads that were given up left behind
    Cleanup(CleanupArgs),
    /// Downsample what is long enough
    Downsample(DownsampleArgs),
    /// Mark what is past its retention for deletion
    Retention(RetentionArgs),
    /// Bytes per cluster, resolution and age, and what will be freed when
    Cost(CostArgs),
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListOutput {
    Table,
    Wide,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    /// Without it: one id a line
    #[arg(short = 'o', long = "output", value_name = "FORMAT")]
    pub(crate) output: Option<ListOutput>,
    /// Leave out blocks that are marked for deletion
    #[arg(long = "exclude-delete")]
    pub(crate) exclude_delete: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    #[arg(
        short = 'o',
        long = "output",
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: ListOutput,
    /// Only blocks with this external label: name="value" (repeatable)
    #[arg(short = 'l', long = "selector", value_name = "NAME=\"VALUE\"", value_parser = super::query::selector_label)]
    pub(crate) selector: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    /// What is checked: index_known_issues, overlapped_blocks, duplicated_compaction, chunks (every chunk decoded)
    #[arg(short = 'i', long = "issues", value_delimiter = ',', default_values = ["index_known_issues", "overlapped_blocks"], value_name = "CHECK")]
    pub(crate) issues: Vec<String>,
    /// Only this block (repeatable)
    #[arg(long = "id", value_name = "ULID")]
    pub(crate) id: Vec<String>,
    #[arg(
        short = 'o',
        long = "output",
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: ListOutput,
}

#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    /// The block (repeatable)
    #[arg(long = "id", value_name = "ULID", required = true)]
    pub(crate) id: Vec<String>,
    /// Which mark
    #[arg(long = "marker", value_name = "FILE", required = true, value_parser = ["deletion-mark.json", "no-compact-mark.json", "no-downsample-mark.json"])]
    pub(crate) marker: String,
    /// Why; people read it
    #[arg(
        long = "details",
        value_name = "TEXT",
        required_unless_present = "remove"
    )]
    pub(crate) details: Option<String>,
    /// Take the mark away
    #[arg(long = "remove")]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) dry: DryArgs,
}

/// Whether anything is changed.
#[derive(Debug, Args)]
pub(crate) struct DryArgs {
    /// Say what would be done, and do nothing
    #[arg(long = "dry-run")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    #[command(flatten)]
    pub(crate) relabel: RelabelArgs,
    /// Blocks marked for deletion are deleted after this
    #[arg(long = "delete-delay", default_value = "48h", value_name = "DURATION", value_parser = duration)]
    pub(crate) delete_delay: Duration,
    /// Younger blocks are left alone
    #[arg(long = "consistency-delay", default_value = "30m", value_name = "DURATION", value_parser = duration)]
    pub(crate) consistency_delay: Duration,
    #[command(flatten)]
    pub(crate) dry: DryArgs,
}

/// How long samples stay.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// How long raw samples stay; 0d: for ever
    #[arg(long = "retention.resolution-raw", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    raw: Duration,
    /// How long samples of 5 minutes stay; 0d: for ever
    #[arg(long = "retention.resolution-5m", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    five_minutes: Duration,
    /// How long samples of an hour stay; 0d: for ever
    #[arg(long = "retention.resolution-1h", default_value = "0d", value_name = "DURATION", value_parser = duration)]
    one_hour: Duration,
}

impl KeepArgs {
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            raw: self.raw,
            five_minutes: self.five_minutes,
            one_hour: self.one_hour,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RetentionArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    #[command(flatten)]
    pub(crate) relabel: RelabelArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Younger blocks are left alone
    #[arg(long = "consistency-delay", default_value = "30m", value_name = "DURATION", value_parser = duration)]
    pub(crate) consistency_delay: Duration,
    #[command(flatten)]
    pub(crate) dry: DryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DownsampleArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    /// Folder in which blocks are fetched and downsampled
    #[arg(long = "data-dir", default_value = "./data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Blocks that are downsampled at a time
    #[arg(long = "downsample.concurrency", default_value_t = 1, value_name = "N")]
    pub(crate) concurrency: usize,
    /// The hash that metas list of each file: SHA256, or none when empty
    #[arg(long = "hash-func", default_value = "", hide_default_value = true, value_name = "NAME", value_parser = hash)]
    pub(crate) hash: Hash,
    #[command(flatten)]
    pub(crate) dry: DryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    #[command(flatten)]
    pub(crate) objstore: ObjstoreArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// How long blocks that are marked for deletion stay
    #[arg(long = "delete-delay", default_value = "48h", value_name = "DURATION", value_parser = duration)]
    pub(crate) delete_delay: Duration,
    /// The external label whose values are told apart
    #[arg(long = "by", default_value = "cluster", value_name = "LABEL")]
    pub(crate) by: String,
    /// What a GiB costs a month
    #[arg(long = "price", default_value_t = 0.023, value_name = "PRICE")]
    pub(crate) price: f64,
    #[arg(
        short = 'o',
        long = "output",
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: ListOutput,
}

/// The settings of a compactor that does nothing by itself.
pub(crate) fn quiet(bucket: objstore::Config) -> Config {
    Config {
        wait: false,
        consistency_delay: Duration::ZERO,
        data_dir: std::env::temp_dir().join(format!("tks-bucket-{}", std::process::id())),
        ..Config::new(bucket)
    }
}
