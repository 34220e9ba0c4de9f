//! `tks state`, `tks lock`, `tks show`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use plan::Pattern;
use stack::Address;

use super::{TreeArgs, duration};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks state list '**/query'
  tks state mv local/eu-west-1/observer local/eu-west-1/central     after renaming the folder
  tks state pull local/eu-west-1/observer > observer.json")]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// List the addresses of what is recorded
    List(StateListArgs),
    /// Show what is recorded of resources; secrets stay covered
    Show(StateShowArgs),
    /// Call what is recorded otherwise: an address, a unit or a cluster; nothing real changes
    Mv(StateMvArgs),
    /// Drop resources from the record; they stay where they are
    Rm(StateRmArgs),
    /// Record what was there before tks, as it is; the next plan shows what differs from the tree
    Import(StateImportArgs),
    /// Seal all secrets with another key, those of earlier versions too
    Rekey(StateRekeyArgs),
    /// Print the document of a cluster, secrets sealed
    Pull(StatePullArgs),
    /// Put a document back; an earlier or another state is refused
    Push(StatePushArgs),
}

/// Whose state.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// The folder of the fleet; without it the nearest fleet upward, else all below ./live
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait this long for a lock that somebody else holds
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub(crate) lock_timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct StateListArgs {
    /// Only these: addresses, paths, globs
    pub(crate) pattern: Vec<Pattern>,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateShowArgs {
    /// Addresses, paths, globs
    #[arg(required = true)]
    pub(crate) pattern: Vec<Pattern>,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateMvArgs {
    /// What is recorded: an address, a unit, or account/region/cluster
    pub(crate) from: String,
    /// What it is called from now on
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StateRmArgs {
    /// Addresses, paths, globs
    #[arg(required = true)]
    pub(crate) pattern: Vec<Pattern>,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks state import 'local/eu-west-1/observer/storage:local.bucket.blocks' my-blocks     a bucket by its name
  tks state import 'local/eu-west-1/observer/query:local.file.sd' /etc/sd.yaml          a file by its path

To review it in a plan, and have it done by apply, write it in fleet.yaml: import: [{ to: ADDRESS, id: ID }]")]
pub(crate) struct StateImportArgs {
    /// The address in the tree
    pub(crate) address: Address,
    /// Its provider's name for it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "What was interrupted is completed by the same command again. Plans that were saved before no longer open."
)]
pub(crate) struct StateRekeyArgs {
    /// Seal with the key in this file (32 bytes, or those in base64), to be named by TKS_KEY_FILE from then on; without it
    /// with a new key of the fleet's own
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatePullArgs {
    /// account/region/cluster
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A document that was changed by hand is taken once its line `checksum` is taken out."
)]
pub(crate) struct StatePushArgs {
    /// A document as `tks state pull` prints it, or one of the history
    pub(crate) file: PathBuf,
    /// Whatever its lineage and serial are
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    #[command(subcommand)]
    pub(crate) command: LockCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// List the clusters that somebody changes now, and who
    List(LockListArgs),
    /// Remove what a killed process left of a lock; one that is held ends with its process
    Release(LockReleaseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LockListArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LockReleaseArgs {
    /// account/region/cluster
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks show demo.plan
  tks show --json demo.plan                       for policy tools, in Terraform's shape
  tks show --json live/demo                       what is recorded")]
pub(crate) struct ShowArgs {
    /// A plan file, or a folder of a tree: its state
    pub(crate) what: PathBuf,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Of a plan: show what stays as it is, too
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
