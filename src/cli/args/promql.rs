//! `tks promql`: queries, expressions and rule tests at the terminal.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  tks promql --url http://localhost:9090 'sum by (job) (up)'
  tks promql --tsdb data 'rate(http_requests_total[5m])' --start -6h -o plot
  tks promql format 'sum(rate(a[5m]))by(b)'
  tks promql test rules_test.yml

A query that is called like a command is asked with `tks promql query`."
)]
pub(crate) struct PromqlArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PromqlCommand>,
    #[command(flatten)]
    pub(crate) query: PromqlQueryArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PromqlCommand {
    /// Ask an endpoint or blocks
    Query(Box<PromqlQueryArgs>),
    /// Print an expression in a readable form
    Format(FormatArgs),
    /// Print the tree of an expression
    Parse(ParseArgs),
    /// Run unit tests of rules, the files of `promtool test rules`
    Test(TestArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks promql query --url http://localhost:9090 'up'
  tks promql query --url http://localhost:10902 'rate(a_total[5m])' --start -1d --step 5m -o plot
  tks promql query --tsdb data 'count(up)' --time 2026-01-02T03:04:05Z -o json
  tks promql query --block data/01ABC… 'sum by (job) (up)' -o csv
  tks promql query --objstore.config-file bucket.yaml 'up' --start -30d --step 1h --max-source-resolution 1h

Times are RFC 3339, seconds since 1970, `now`, or durations before or after now (-1h, +5m).
With --start, --end or --step, or for a plot, all steps of a range are asked for: the last hour
if nothing else is said.")]
pub(crate) struct PromqlQueryArgs {
    /// PromQL
    pub(crate) expr: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// At this time instead of now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["start", "end", "step"])]
    pub(crate) time: Option<String>,
    /// The first step
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) start: Option<String>,
    /// The last step
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) end: Option<String>,
    /// From step to step; without it 250 steps, whole seconds each
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) step: Option<std::time::Duration>,
    /// table, json as the HTTP API answers, csv, or a plot in the terminal
    #[arg(short, long, value_enum, default_value_t = PromqlOutput::Table, value_name = "FORM")]
    pub(crate) output: PromqlOutput,
    /// Give up after this time
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: std::time::Duration,
    /// Over a bucket: the coarsest downsampled data that is taken
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
    pub(crate) max_source_resolution: std::time::Duration,
    /// Over blocks: the most samples held at a time
    #[arg(long, default_value_t = 50_000_000, value_name = "N")]
    pub(crate) max_samples: usize,
    /// Over blocks: how long a sample counts as the current one
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub(crate) lookback_delta: std::time::Duration,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
}

/// Who is asked.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct SourceArgs {
    /// A Prometheus or a Thanos querier
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A block's folder (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(crate) block: Vec<PathBuf>,
    /// A folder of blocks, such as Prometheus's data folder (what is not in a block yet is not seen)
    #[arg(long, value_name = "DIR")]
    pub(crate) tsdb: Option<PathBuf>,
    /// A bucket of blocks, by its configuration as YAML
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub(crate) objstore: Option<PathBuf>,
}

/// Parts of the language that have to be enabled, by Prometheus's names.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FeatureArgs {
    /// Enable a part of the language (repeatable)
    #[arg(
        long = "enable-feature",
        value_enum,
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(crate) enabled: Vec<Feature>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Feature {
    #[value(name = "promql-experimental-functions")]
    ExperimentalFunctions,
    #[value(name = "promql-duration-expr")]
    DurationExpr,
    #[value(name = "promql-extended-range-selectors")]
    ExtendedRangeSelectors,
    #[value(name = "promql-binop-fill-modifiers")]
    BinopFillModifiers,
}

impl FeatureArgs {
    pub(crate) fn features(&self) -> promql::Features {
        let has = |feature| self.enabled.contains(&feature);
        promql::Features {
            experimental_functions: has(Feature::ExperimentalFunctions),
            duration_expressions: has(Feature::DurationExpr),
            extended_ranges: has(Feature::ExtendedRangeSelectors),
            fill_modifiers: has(Feature::BinopFillModifiers),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromqlOutput {
    Table,
    Json,
    Csv,
    Plot,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks promql format 'sum(rate(http_requests_total{job=\"api\"}[5m]))by(code)'
  tks promql format - < query.promql")]
pub(crate) struct FormatArgs {
    /// PromQL; `-` reads it from stdin
    pub(crate) expr: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks promql parse 'sum by (job) (rate(a[5m]))'
  tks promql parse --json 'a + on (b) c'")]
pub(crate) struct ParseArgs {
    /// PromQL; `-` reads it from stdin
    pub(crate) expr: String,
    /// Print the tree as JSON, with positions
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tks promql test alerts_test.yml
  tks promql test --run 'api|db' tests/*.yml

Exit codes: 0 all as expected, 1 something is not.
The files: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/")]
pub(crate) struct TestArgs {
    /// Test files
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only tests whose name matches (repeatable)
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<String>,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
}
