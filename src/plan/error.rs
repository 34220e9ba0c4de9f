//! How planning and applying can fail, and what an apply leaves behind.

use std::collections::BTreeMap;
use std::fmt;

use stack::{Address, Attributes, ClusterPath, Diagnostics, UnitPath};

use crate::key::KeyError;
use crate::{Action, Counts, LockError, ProviderError, StateError};

/// No plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The tree is wrong, or a provider refuses what it says; positions are those of resources.
    #[error(transparent)]
    Diagnostics(#[from] Diagnostics),
    /// What is recorded cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is really there cannot be told.
    #[error("cannot read {}", list(.0.iter().map(|failed| &failed.address)))]
    Refresh(Vec<ResourceError>),
    /// Resources with `lifecycle.protect` would be destroyed or replaced.
    #[error("protected, and the plan would destroy: {}", list(.0.iter()))]
    Protected(Vec<Address>),
    /// A pattern of the selection means nothing that is wanted or recorded.
    #[error("`{pattern}` of {option} is nothing in the tree, nor in the state")]
    NothingSelected {
        option: &'static str,
        pattern: String,
        /// What may have been meant.
        candidates: Vec<String>,
    },
    /// What is selected (first) needs something outside of the selection (second) that does not exist yet.
    #[error("outside of what is selected, and not there yet: {}", pairs(.0, "is needed by", false))]
    NotThere(Vec<(Address, Address)>),
    /// What is selected (first) would go, and something outside of the selection (second) was made with it.
    #[error("selected to go, and still in use outside of what is selected: {}", pairs(.0, "is used by", true))]
    StillNeeded(Vec<(Address, Address)>),
    /// What is to be imported is managed by now.
    #[error("`{0}` is recorded already")]
    RecordedAlready(Address),
    /// What the tree runs before or after a plan failed.
    #[error("the hook {when} of {cluster} failed: {message}")]
    Hook {
        cluster: ClusterPath,
        when: &'static str,
        message: String,
    },
    /// Stopped before the plan was ready.
    #[error("interrupted while planning")]
    Interrupted,
}

/// What a provider said of one resource.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
pub struct ResourceError {
    pub address: Address,
    #[source]
    pub source: ProviderError,
}

/// Nothing was applied, but for [`Self::NotSaved`]. What fails in single resources is told in [`Applied`].
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Exit code 3 when it is [`LockError::Held`].
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The states are no longer those that the plan was made from.
    #[error(transparent)]
    Stale(#[from] StalePlan),
    /// The plan is for another fleet or platform.
    #[error("the plan is for fleet {planned}, this is {found}")]
    OtherFleet { planned: String, found: String },
    /// The tree says something else than when the plan was made.
    #[error("the tree changed since the plan was made: {}; plan again", list(.0.iter()))]
    TreeChanged(Vec<Address>),
    /// A port of the plan was given to somebody else meanwhile.
    #[error("port {port} of the plan (for {owner}) was given out meanwhile; plan again")]
    AllocationTaken { owner: String, port: u16 },
    /// The tree no longer evaluates, or a provider is missing.
    #[error(transparent)]
    Diagnostics(#[from] Diagnostics),
    /// What is recorded cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// What was done could not be recorded, and nothing more was begun. The journal tells the next run what to look for.
    #[error("what is done cannot be recorded, so nothing more was begun")]
    NotSaved(#[source] StateError),
    /// There is no key to seal secrets with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A plan made from a state that is no longer the present one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan is stale: {cluster} was planned at {}, and is now at {}; plan again",
    version(.planned), version(.found)
)]
pub struct StalePlan {
    pub cluster: ClusterPath,
    /// Lineage and serial; `None` is no state.
    pub planned: Option<(String, u64)>,
    pub found: Option<(String, u64)>,
}

/// What an apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What is done and saved.
    pub counts: Counts,
    pub failed: Vec<Failed>,
    /// What waited for something that failed, in address order.
    pub skipped: Vec<LeftOut>,
    /// What was not begun because stopping was asked for, in address order.
    pub not_started: Vec<(Address, Action)>,
    /// What runs after a unit or a cluster, and failed.
    pub hooks_failed: Vec<HookFailed>,
    /// Stopping was asked for.
    pub interrupted: bool,
    /// Of every unit, as they are recorded now.
    pub outputs: BTreeMap<UnitPath, Attributes>,
}

impl Applied {
    /// Everything that was planned is done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
            && self.skipped.is_empty()
            && self.not_started.is_empty()
            && self.hooks_failed.is_empty()
    }

    /// Some of it is done and some is not: exit code 4.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let done = Counts {
            unchanged: 0,
            skipped: 0,
            ..self.counts
        };
        !self.is_complete() && done != Counts::default()
    }
}

/// A change that failed.
#[derive(Debug)]
pub struct Failed {
    pub address: Address,
    pub action: Action,
    pub error: Failure,
}

/// Why a change failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The properties cannot be evaluated now that everything is known.
    #[error(transparent)]
    Diagnostics(#[from] Diagnostics),
    /// A value that was known when the plan was reviewed is another one now.
    #[error("`{path}` is not what the plan says; plan again")]
    NotAsPlanned { path: String },
    /// The provider says that it made something else than it was asked for. It is recorded as it is.
    #[error("`{path}` was made otherwise than planned: the provider does not do what it says")]
    MadeOtherwise { path: String },
    /// Now that everything is known it cannot change in place, and nobody reviewed a replacement.
    #[error("`{property}` cannot change in place ({why}), and the plan says update; plan again")]
    NeedsReplacement { property: String, why: String },
    /// A property is still unknown although all it depends on is applied.
    #[error("`{property}` is still not known; it waits for {of}")]
    StillUnknown { property: String, of: String },
    /// It is not to be had here any more.
    #[error("it cannot be here now: {0}")]
    Unavailable(String),
    /// What the tree runs before it failed.
    #[error("the hook before {around} failed: {message}")]
    Hook { around: String, message: String },
    /// What was done could not be recorded.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A command that runs after something and failed: what it ran after is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailed {
    /// A unit or a cluster.
    pub around: String,
    /// `after_apply`.
    pub when: &'static str,
    pub message: String,
}

/// A change left out because another failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub address: Address,
    pub action: Action,
    pub because: Address,
}

fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// At most a few of them, and how many more.
fn pairs(pairs: &[(Address, Address)], verb: &str, first: bool) -> String {
    const SHOWN: usize = 5;
    let word = |(one, other): &(Address, Address)| match first {
        true => format!("{one} ({verb} {other})"),
        false => format!("{other} ({verb} {one})"),
    };
    let shown: Vec<String> = pairs.iter().take(SHOWN).map(word).collect();
    match pairs.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

fn version(state: &Option<(String, u64)>) -> String {
    match state {
        Some((lineage, serial)) => format!("serial {serial} (lineage {lineage})"),
        None => "no state".to_owned(),
    }
}
