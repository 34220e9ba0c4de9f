//! Flags that plan, apply and destroy share: which part of a fleet, how changes are made, what is told of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use plan::{Filter, Pattern};

use super::duration;

/// Which part of a fleet.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct PartArgs {
    /// Only this, and what it needs: an address, or the path of a unit, cluster, region or account; with `*`, `**` and `?`
    /// (repeatable)
    #[arg(long, value_name = "ADDRESS|PATH|GLOB")]
    pub(crate) target: Vec<Pattern>,
    /// All but this, and but what needs it (repeatable)
    #[arg(long, value_name = "ADDRESS|PATH|GLOB")]
    pub(crate) exclude: Vec<Pattern>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Beyond PATH too: what is needed there, or (to destroy) what must go before
    #[arg(long, visible_alias = "with-dependents")]
    pub(crate) with_dependencies: bool,
}

/// Which units: one language for plans, lists and graphs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct ChoiceArgs {
    /// Only these: a name, a path, a glob, or role=, unit=, module=, type=, account=, region=, cluster=, reading=FILE; `!x` all
    /// but x, `x...` with what it needs, `...x` with what needs it, `x | y` both at once (repeatable: any of them)
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<Filter>,
    /// As --filter, one a line; `#` begins a comment
    #[arg(long, value_name = "FILE")]
    pub(crate) filters_file: Option<PathBuf>,
    /// Only what has changed since it was applied, and what needs that; with a commit or branch of git: since then
    #[arg(long, value_name = "REF", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) affected: Option<String>,
}

/// What a plan does beyond comparing.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanningArgs {
    #[command(flatten)]
    pub(crate) part: PartArgs,
    /// Replace this although nothing about it asks for it (repeatable)
    #[arg(long, value_name = "ADDRESS|PATH|GLOB")]
    pub(crate) replace: Vec<Pattern>,
    /// Change nothing real: record what was changed outside of tks
    #[arg(long, conflicts_with_all = ["replace"])]
    pub(crate) refresh_only: bool,
    /// `--refresh=false` takes what is recorded for what is there
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) refresh: bool,
}

/// What is told of a plan or an apply.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct TellArgs {
    /// Print events as JSON, one a line, in Terraform's shapes
    #[arg(long)]
    pub(crate) json: bool,
    /// Write counts and results per unit to FILE: JSON, or JUnit when it ends in .xml
    #[arg(long, value_name = "FILE")]
    pub(crate) summary_file: Option<PathBuf>,
}

/// How failures end, of single resources.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PatienceArgs {
    /// Begin nothing new once something failed
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Give up on one read or change of one resource after this long, retries included
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}
