//! Commands that read a tree, or write one, and change nothing real.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChoiceArgs, TreeArgs};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tks validate\n  tks validate live/thanos")]
pub(crate) struct ValidateArgs {
    /// A folder of the tree; without it the nearest fleet upward, else all below ./live
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks list                              every unit and how it stands
  tks list --drift                      reads what is really there, too
  tks list --dag                        in the order in which they are made
  tks list --affected=main --json       for the matrix of a pipeline

STATUS: new (not applied), partly, changed (the tree says something else than what was applied), applied, drifted (changed
outside of tks; with --drift), orphaned (applied, and no longer in the tree: apply destroys it), empty (nothing to make)")]
pub(crate) struct ListArgs {
    /// A folder of the tree; without it the nearest fleet upward, else all below ./live
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// As a tree of accounts, regions, clusters and units
    #[arg(long = "tree", conflicts_with = "dag")]
    pub(crate) as_tree: bool,
    /// In the order in which units are made, with what each one needs
    #[arg(long)]
    pub(crate) dag: bool,
    /// Read what is really there, to tell what has drifted
    #[arg(long)]
    pub(crate) drift: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["as_tree", "dag"])]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks graph live/demo | dot -Tsvg > demo.svg
  tks graph --format tree --filter 'query...'
  tks graph --resources --format json")]
pub(crate) struct GraphArgs {
    /// A folder of the tree; without it the nearest fleet upward, else all below ./live
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// dot for Graphviz, json, or an indented tree
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot, value_name = "FORM")]
    pub(crate) format: GraphFormat,
    /// Resources instead of units
    #[arg(long)]
    pub(crate) resources: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Dot,
    Json,
    Tree,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks explain live/demo/local/eu-west-3/observee prometheus.scrape_interval")]
pub(crate) struct ExplainArgs {
    /// The folder of a cluster
    pub(crate) cluster: PathBuf,
    /// A key, with dots: compact.retention.5m
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks render live/demo/local/eu-west-3/observee                    all units of a cluster
  tks render live/demo --filter unit=compact                       one unit everywhere
  tks render live/demo --filter '**:local.file.*'                  files as they will be written

What is known only after apply, and is not recorded, is shown as such; secrets stay covered.")]
pub(crate) struct RenderArgs {
    /// A folder of the tree; without it the nearest fleet upward, else all below ./live
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Print JSON instead of YAML
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks schema cluster > .cluster.schema.json")]
pub(crate) struct SchemaArgs {
    /// fleet, account, region or cluster
    pub(crate) kind: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks fmt                     all files of the tree
  tks fmt --check             for a pipeline: exits with 2 if a file would change
  tks fmt --diff live/demo    what would change; writes nothing

Comments and the order of keys stay; a file is only written if it still means the same.")]
pub(crate) struct FmtArgs {
    /// Files and folders; without them the nearest fleet upward, else ./live
    pub(crate) paths: Vec<PathBuf>,
    /// Write nothing; exit with 2 if a file would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Write nothing; print what would change
    #[arg(long)]
    pub(crate) diff: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks console live/demo/local/eu-west-1/observer
  > cluster.id
  > unit.query.http
  > observees.*.hosts.sidecar
  echo 'input' | tks console live/demo --unit local/eu-west-1/observer/query

Reads what is recorded; what is not yet applied is `(known after apply)`. An empty line or the end of input ends it.")]
pub(crate) struct ConsoleArgs {
    /// The folder of a cluster
    pub(crate) path: Option<PathBuf>,
    /// In this unit, with the names of its module: input, local, resource
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: Option<String>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks new fleet live/mine
  tks new cluster live/mine/acme/eu-west-1/central --role observer
  tks new cluster live/mine/acme/eu-west-3/edge")]
pub(crate) struct NewArgs {
    #[command(subcommand)]
    pub(crate) what: NewCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NewCommand {
    /// A folder with fleet.yaml
    Fleet(NewFleetArgs),
    /// A folder of a fleet, with account.yaml
    Account(NewLevelArgs),
    /// A folder of an account, with region.yaml
    Region(NewLevelArgs),
    /// A folder of a region, with cluster.yaml
    Cluster(NewClusterArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NewFleetArgs {
    /// The folder, such as live/mine
    pub(crate) path: PathBuf,
    /// Where it runs: local, kubernetes or aws
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub(crate) platform: String,
    /// The domain below which hosts are named; needed on every platform but local
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NewLevelArgs {
    /// The folder; what is above it must be there
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct NewClusterArgs {
    /// The folder: <fleet>/<account>/<region>/<cluster>
    pub(crate) path: PathBuf,
    /// What the cluster is
    #[arg(long, default_value = "observee", value_name = "ROLE")]
    pub(crate) role: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tks eject prometheus        the module, into ./modules/prometheus"
)]
pub(crate) struct EjectArgs {
    /// A module, `roles/observer`, or a template
    pub(crate) name: String,
    /// Where `modules/` and `templates/` are to be
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) into: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(tks completions bash)
  tks completions zsh > ~/.zfunc/_tks
  tks completions fish > ~/.config/fish/completions/tks.fish")]
pub(crate) struct CompletionsArgs {
    /// For which shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks man | man -l -                     the page of tks
  tks man --into ~/.local/share/man/man1   a page per command")]
pub(crate) struct ManArgs {
    /// Write a page per command into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
