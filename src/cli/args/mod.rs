//! What can be typed. The doc comments are the help texts.

mod compact;
mod part;
mod promql;
mod query;
mod state;
mod thanos;
pub(crate) mod tools;
mod tree;
mod variables;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use part::{ChoiceArgs, PartArgs, PatienceArgs, PlanningArgs, TellArgs};
pub(crate) use promql::{
    FormatArgs, ParseArgs, PromqlArgs, PromqlCommand, PromqlOutput, PromqlQueryArgs, SourceArgs,
    TestArgs,
};
pub(crate) use state::{
    FleetArgs, LockArgs, LockCommand, LockListArgs, LockReleaseArgs, ShowArgs, StateArgs,
    StateCommand, StateImportArgs, StateListArgs, StateMvArgs, StatePullArgs, StatePushArgs,
    StateRekeyArgs, StateRmArgs, StateShowArgs, WaitArgs,
};
pub(crate) use thanos::{SidecarArgs, StoreArgs, ThanosCommand};
pub(crate) use tree::{
    CompletionsArgs, ConsoleArgs, EjectArgs, ExplainArgs, FmtArgs, GraphArgs, GraphFormat,
    ListArgs, ManArgs, NewArgs, NewClusterArgs, NewCommand, NewFleetArgs, RenderArgs, SchemaArgs,
    ValidateArgs, VersionArgs,
};
pub(crate) use variables::with_variables;

/// One view of every Prometheus: plan, apply and run a multi-cluster Thanos.
///
/// A tree of YAML under `live/` says which clusters exist and which one observes the others; tks makes the rest.
#[derive(Debug, Parser)]
#[command(
    name = "tks",
    version,
    propagate_version = true,
    after_help = "Examples:
  tks apply live/demo                               two clusters on this machine
  tks query live/demo 'count by (cluster) (up)'     one answer over both
  tks destroy live/demo                             leaves nothing

Every flag of a command has an environment variable: TKS_LOCK_TIMEOUT is --lock-timeout (lists: one a line).
Not those of `tks thanos`, whose flags are Thanos's.

Exit codes: 0 done, 1 error or declined, 2 changes (plan --detailed-exitcode, fmt --check), 3 lock held,
4 partly applied, 64 wrong usage, 70 a bug in tks"
)]
pub(crate) struct Cli {
    /// When to colour: always, never, or on a terminal (NO_COLOR and CLICOLOR_FORCE are honoured)
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Go to this folder first
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) chdir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin a fleet, an account, a region or a cluster
    New(NewArgs),
    /// Check a tree offline: every mistake in one run
    Validate(ValidateArgs),
    /// Bring the files of a tree into one style, comments kept
    Fmt(FmtArgs),
    /// List units: which are applied, changed, drifted, orphaned
    List(ListArgs),
    /// Show what needs what
    Graph(GraphArgs),
    /// Show where a value of a cluster comes from
    Explain(ExplainArgs),
    /// Show what units really see: inputs, and resources with texts as they will be written
    Render(RenderArgs),
    /// Try expressions
    Console(ConsoleArgs),
    /// Print the JSON Schema of a kind of file (fleet, account, region, cluster)
    Schema(SchemaArgs),
    /// Write a built-in module, role or template out, to change it
    Eject(EjectArgs),
    /// Show what apply would change
    Plan(PlanArgs),
    /// Make it so: plan, ask, change
    Apply(ApplyArgs),
    /// Apply on this machine, whatever the tree's platform is
    Up(ApplyArgs),
    /// Tear a fleet down
    Destroy(DestroyArgs),
    /// Print what the units of a fleet offer: addresses, certificates, buckets
    Output(OutputArgs),
    /// Show a plan file, or what is recorded
    Show(ShowArgs),
    /// Look at what is recorded, and put it right by hand
    State(StateArgs),
    /// Who changes what now
    Lock(LockArgs),
    /// The table of pods of a fleet on this machine
    Status(StatusArgs),
    /// Print the log of a pod
    Logs(LogsArgs),
    /// The stores that each querier of a fleet sees
    Stores(StoresArgs),
    /// Ask the observer's central querier
    Query(QueryCommandArgs),
    /// PromQL at the terminal: ask, format, test rules
    Promql(Box<PromqlArgs>),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print manual pages
    Man(ManArgs),
    /// Print the version
    Version(VersionArgs),
    /// Run a Thanos component
    Thanos(ThanosArgs),
    /// Run the TLS gateway in front of a sidecar
    Ingress(IngressArgs),
    /// Run the processes of a fleet (started by apply)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

/// Which tree, and how to read it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TreeArgs {
    /// Plan for this platform instead of the tree's (local, kubernetes, aws)
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,
    /// Set a value of every cluster, over all files: a.b=YAML (repeatable)
    #[arg(long, value_name = "KEY=YAML")]
    pub(crate) set: Vec<String>,
    /// Keep state, keys, logs and buckets below this folder instead of the fleet's .tks
    #[arg(long, env = "TKS_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks plan live/demo
  tks plan live/demo --out demo.plan && tks apply demo.plan
  tks plan --detailed-exitcode        0 nothing to do, 1 error, 2 changes
  tks plan live/demo/local/eu-west-3  the clusters below a folder; others are read from the state
  tks plan --target '**/query'        one unit everywhere, and what it needs
  tks plan --affected=main            what this branch changes, and what needs that
  tks plan --markdown                 for a pull request")]
pub(crate) struct PlanArgs {
    /// A folder of the tree; without it the nearest fleet upward, else all below ./live
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Keep the plan in FILE, for `tks apply FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 2 when there are changes
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Plan the teardown
    #[arg(long, conflicts_with_all = ["refresh_only", "replace"])]
    pub(crate) destroy: bool,
    #[command(flatten)]
    pub(crate) planning: PlanningArgs,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    #[command(flatten)]
    pub(crate) tell: TellArgs,
    /// Show what stays as it is, too
    #[arg(long, conflicts_with_all = ["json", "markdown"], help_heading = "Output")]
    pub(crate) full: bool,
    /// Print Markdown, for a comment on a pull request
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) markdown: bool,
    /// The most bytes of Markdown: details go first, the lists of what is destroyed and of counts last
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 60_000,
        requires = "markdown",
        help_heading = "Output"
    )]
    pub(crate) markdown_limit: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks apply live/demo
  tks apply demo.plan                 what was reviewed, without a question
  tks apply live/demo --auto-approve  for pipelines
  tks apply --replace '**:tls.ca.*'   made anew, although nothing about it changed")]
pub(crate) struct ApplyArgs {
    /// A folder of the tree, or a plan file; without it the nearest fleet upward
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) planning: PlanningArgs,
    #[command(flatten)]
    pub(crate) tell: TellArgs,
    /// With --auto-approve: also destroy clusters that are no longer in the tree
    #[arg(long)]
    pub(crate) allow_cluster_removal: bool,
}

/// How changes are made.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Do not ask
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// The most changes at a time
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) parallelism: usize,
    /// Wait this long for a lock that somebody else holds
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub(crate) lock_timeout: std::time::Duration,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks destroy live/demo
  tks destroy live/demo --auto-approve --purge")]
pub(crate) struct DestroyArgs {
    /// The folder of a fleet, or of a part of one
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) part: PartArgs,
    #[command(flatten)]
    pub(crate) tell: TellArgs,
    /// Remove the key, the state's history and the logs too
    #[arg(long, conflicts_with_all = ["target", "exclude", "filter", "filters_file", "affected"])]
    pub(crate) purge: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks output live/demo
  tks output live/demo/local/eu-west-1/observer query.http     one value, bare
  tks output live/demo --json")]
pub(crate) struct OutputArgs {
    /// A folder of the tree
    pub(crate) path: PathBuf,
    /// One output: <unit>.<output>
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// A folder of the tree
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks logs thanos-query-0
  tks logs -f local/eu-west-3/observee/tks-ingress-0
  tks logs local/eu-west-1/observer/prometheus-kube-prometheus-stack-prometheus-0/thanos-sidecar")]
pub(crate) struct LogsArgs {
    /// A pod as `tks status` names it: [CLUSTER/]POD[/CONTAINER]
    pub(crate) name: String,
    /// Go on printing as the log grows
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The fleet's folder
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StoresArgs {
    /// A folder of the tree
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks query live/demo 'count by (cluster) (up)'
  tks query live/demo 'sum by (cluster) (rate(prometheus_http_requests_total[5m]))' --output json")]
pub(crate) struct QueryCommandArgs {
    /// A folder of the tree
    pub(crate) path: PathBuf,
    /// PromQL
    pub(crate) expr: String,
    /// table, or json as the HTTP API answers
    #[arg(long, value_enum, default_value_t = QueryOutput::Table, value_name = "FORM")]
    pub(crate) output: QueryOutput,
    /// At this time (RFC 3339 or seconds since 1970) instead of now
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryOutput {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ThanosArgs {
    #[command(subcommand)]
    pub(crate) component: ThanosCommand,
}

#[derive(Debug, Args)]
pub(crate) struct IngressArgs {
    /// Routes, certificates and identities; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SuperviseArgs {
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
}

/// What a server logs.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// How much to log
    #[arg(long = "log.level", default_value = "info", value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error"])]
    pub(crate) level: String,
    /// logfmt or json
    #[arg(long = "log.format", default_value = "logfmt", value_name = "FORMAT")]
    pub(crate) format: net::log::Format,
}

/// A Prometheus duration, for clap.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let ms = model::parse_duration(text).map_err(|e| e.to_string())?;
    Ok(std::time::Duration::from_millis(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_two_flags_clash() {
        super::Cli::command().debug_assert();
    }
}
