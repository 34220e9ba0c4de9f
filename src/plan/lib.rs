//! Desired state against real state: plan, apply, destroy, in graph order.
//!
//! [`Engine::plan`] reads what is recorded ([`StateStore`]) and what is real ([`Provider::read`]), evaluates what is
//! wanted ([`Desired`]) and answers with a [`Plan`]; [`Engine::apply`] makes it so, resource by resource, each journalled
//! before anything relies on it. Nothing prints here: an [`Engine`] tells its [`Progress`] what happens.
//!
//! What lies in a fleet's data folder:
//!
//! | path | what | module |
//! |---|---|---|
//! | `state/<account>/<region>/<cluster>.json` | what exists, one document per cluster | `store` |
//! | `history/<account>/<region>/<cluster>/<lineage>.<serial>.json` | earlier versions | `store` |
//! | `journal/<account>/<region>/<cluster>.jsonl` | results and intents of a run that goes on, or was interrupted | `journal` |
//! | `locks/<account>/<region>/<cluster>.lock` | who changes a cluster now | `lock` |
//! | `allocations.json` | sticky ports of the fleet | `allocations` |
//! | `key`, `key.salt` | what secrets are sealed with | `key` |

mod allocations;
mod change;
mod codec;
mod desired;
mod diff;
mod disk;
mod document;
mod engine;
mod error;
mod filter;
mod graph;
mod journal;
mod key;
mod lock;
mod planfile;
mod planner;
mod progress;
mod provider;
mod providers;
mod refactor;
mod refresh;
mod rekey;
mod repair;
mod run;
mod schedule;
mod selection;
mod shroud;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod universe;

pub use allocations::{Allocation, Allocations};
pub use change::{
    Action, Change, ClusterPlan, Counts, Drift, Origin, OutputChange, Plan, PlanMode, PlannedFleet,
    Reason,
};
pub use desired::{Described, Desired};
pub use diff::{Diff, compare};
pub use document::DocumentError;
pub use engine::{Engine, Options};
pub use error::{
    Applied, ApplyError, Failed, Failure, HookFailed, LeftOut, PlanError, ResourceError, StalePlan,
};
pub use filter::{Filter, FilterError, Picked, pick};
pub use key::{KeyError, KeySource};
pub use lock::{Holder, LockError, Locked};
pub use planfile::PlanFileError;
pub use progress::{Event, Progress, Silent, Stop};
pub use provider::{Allocator, Kind, PlanRequest, Planned, Provider, ProviderError};
pub use providers::Providers;
pub use rekey::Rekeyed;
pub use repair::{Repair, RepairError};
pub use selection::{Pattern, PatternError, Selection};
pub use state::{Read, Recorded, State};
pub use store::{StateError, StateStore, Version};
pub use universe::{Affected, UnitFacts, Universe};
