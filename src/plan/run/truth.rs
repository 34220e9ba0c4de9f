//! Whether a plan is still true when it is applied: the fleet, the states, the tree, the numbers.

use std::collections::{BTreeMap, BTreeSet};

use stack::ClusterPath;

use crate::allocations::{self, Allocation};
use crate::planner::Attained;
use crate::{ApplyError, Change, Engine, Plan, Reason, StalePlan, State};

pub(super) fn check_fleet(engine: &Engine<'_>, plan: &Plan) -> Result<(), ApplyError> {
    let fleet = engine.desired.fleet();
    if (&fleet.name, &fleet.platform) == (&plan.fleet.name, &plan.fleet.platform) {
        return Ok(());
    }
    let planned = format!("{} on {}", plan.fleet.name, plan.fleet.platform);
    Err(ApplyError::OtherFleet {
        planned,
        found: format!("{} on {}", fleet.name, fleet.platform),
    })
}

pub(super) fn current_states(
    engine: &Engine<'_>,
    plan: &Plan,
) -> Result<BTreeMap<ClusterPath, State>, ApplyError> {
    let mut states = BTreeMap::new();
    for planned in &plan.clusters {
        let state = engine.store.load(&planned.path)?;
        let found = state
            .as_ref()
            .map(|state| (state.lineage.clone(), state.serial));
        let expected = planned
            .lineage
            .clone()
            .map(|lineage| (lineage, planned.serial));
        if found != expected {
            let cluster = planned.path.clone();
            return Err(StalePlan {
                cluster,
                planned: expected,
                found,
            }
            .into());
        }
        states.extend(state.map(|state| (planned.path.clone(), state)));
    }
    Ok(states)
}

/// Whether the tree still says what it said when the plan was made.
pub(super) fn check_tree(engine: &Engine<'_>, plan: &Plan) -> Result<(), ApplyError> {
    let mut attained = Attained::default();
    for change in &plan.changes {
        let after = match change.after.clone() {
            None if is_skip(change) => Some(engine.providers.nothing(&change.address.kind)),
            after => after,
        };
        attained
            .0
            .extend(after.map(|after| (change.address.clone(), after)));
    }
    let mut changed = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    let planned: BTreeSet<&ClusterPath> = plan.clusters.iter().map(|it| &it.path).collect();
    let beyond = |cluster| plan.selection.is_some() && !planned.contains(cluster);
    for resource in engine.desired.resources() {
        wanted.insert(&resource.address);
        let left_out = plan
            .change(&resource.address)
            .is_some_and(Change::is_left_out);
        if left_out || beyond(&resource.address.unit.cluster) {
            continue;
        }
        let properties = engine.desired.properties(&resource.address, &attained)?;
        let same = plan.change(&resource.address).is_some_and(|change| {
            change.properties == properties
                && change.depends_on == resource.depends_on
                && change.lifecycle == resource.lifecycle
        });
        if !same {
            changed.insert(resource.address.clone());
        }
    }
    let made = plan
        .changes
        .iter()
        .filter(|change| change.after.is_some() || is_skip(change))
        .filter(|change| !change.is_left_out());
    let gone = made.filter(|change| !wanted.contains(&change.address));
    changed.extend(gone.map(|change| change.address.clone()));
    if changed.is_empty() {
        Ok(())
    } else {
        Err(ApplyError::TreeChanged(changed.into_iter().collect()))
    }
}

pub(super) fn is_skip(change: &Change) -> bool {
    matches!(change.reason, Some(Reason::Skipped(_)))
}

pub(super) fn record(
    engine: &Engine<'_>,
    new: &[Allocation],
    released: &[Allocation],
) -> Result<(), ApplyError> {
    let recorded = allocations::record(engine.store.data_dir(), new, released)?;
    recorded.map_err(|Allocation { owner, port }| ApplyError::AllocationTaken { owner, port })
}
