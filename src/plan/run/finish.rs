//! How a run ends: outputs, leftovers, numbers to release, and the report.

use std::collections::{BTreeMap, BTreeSet};

use stack::{Address, Attributes, ClusterPath, Reading, UnitPath, Value};

use super::Run;
use super::board::Board;
use super::truth::record;
use crate::change::Touched;
use crate::schedule::Schedule;
use crate::{Action, Applied, ApplyError, Event, PlanMode, Read, allocations, store};

impl Run<'_> {
    pub(super) fn finish(
        mut self,
        schedule: &Schedule<'_>,
        board: &Board,
    ) -> Result<Applied, ApplyError> {
        self.note_not_started(schedule, board);
        self.note_outputs();
        self.note_readings();
        let unsaved = self.unsaved.take();
        self.save().map_err(ApplyError::NotSaved)?;
        self.tell_settled(schedule);
        for (cluster, journal) in &mut self.journals {
            journal.finish(self.states.get(cluster), self.key)?;
            let cluster = cluster.clone();
            self.engine.progress.event(Event::Closed { cluster });
        }
        for state in self.states.values().filter(|state| state.is_empty()) {
            self.engine.store.retire(state)?;
        }
        let present = |address: &Address| {
            let state = self.states.get(&address.unit.cluster);
            state.is_some_and(|state| state.resources.contains_key(address))
        };
        let ended = self.plan.changes.iter().filter(|change| {
            matches!(change.action, Action::Delete | Action::Forget) && !present(&change.address)
        });
        let ended: BTreeSet<Address> = ended.map(|change| change.address.clone()).collect();
        let released = allocations::released(self.draft.recorded(), &ended);
        record(self.engine, &[], &released)?;
        self.applied.interrupted = self.engine.options.stop.is_stopped();
        self.applied
            .skipped
            .sort_by(|a, b| a.address.cmp(&b.address));
        self.applied
            .failed
            .sort_by(|a, b| a.address.cmp(&b.address));
        self.applied.outputs = store::outputs(&self.states);
        match unsaved {
            Some(error) if !self.applied.is_complete() => Err(ApplyError::NotSaved(error)),
            _ => Ok(self.applied),
        }
    }

    fn note_not_started(&mut self, schedule: &Schedule<'_>, board: &Board) {
        let told: BTreeSet<&Address> = self
            .applied
            .skipped
            .iter()
            .map(|left| &left.address)
            .collect();
        let idle = schedule.nodes.iter().enumerate().filter(|(at, node)| {
            !board.started.contains(at)
                && node.change.is_change()
                && !told.contains(&node.change.address)
        });
        let idle: BTreeSet<(Address, Action)> = idle
            .map(|(_, node)| (node.change.address.clone(), node.change.action))
            .collect();
        let failed: BTreeSet<&Address> = self
            .applied
            .failed
            .iter()
            .map(|failed| &failed.address)
            .collect();
        self.applied.not_started = idle
            .into_iter()
            .filter(|(address, _)| !failed.contains(address))
            .collect();
    }

    /// The outputs of every unit of the plan's clusters, with what is known now. One that is not known keeps its value.
    fn note_outputs(&mut self) {
        self.attain_what_is_left();
        let units: BTreeSet<UnitPath> = self.engine.desired.units().into_iter().collect();
        let touched = self.plan.touched();
        let mut now = self.untouched_outputs(&touched);
        for unit in units.iter().filter(|unit| touched.has(unit)) {
            let Some(old) = self.old_outputs(unit) else {
                continue;
            };
            let found = match self.plan.mode {
                PlanMode::Apply => self.engine.desired.outputs(unit, &self.attained),
                PlanMode::Destroy | PlanMode::RefreshOnly => Ok(Attributes::new()),
            };
            let outputs = found.map_or(old.clone(), |found| known_or(found, &old));
            now.entry(unit.cluster.clone())
                .or_default()
                .insert(unit.unit.clone(), outputs);
        }
        let clusters: Vec<ClusterPath> = self
            .plan
            .clusters
            .iter()
            .map(|cluster| cluster.path.clone())
            .collect();
        for cluster in clusters {
            self.replace_outputs(&cluster, now.remove(&cluster).unwrap_or_default());
        }
    }

    /// What units were made from that are now as the tree says, whole. Those that are gone are forgotten.
    fn note_readings(&mut self) {
        let wanted = match self.plan.mode {
            PlanMode::Apply => self.engine.desired.readings(),
            PlanMode::Destroy | PlanMode::RefreshOnly => Vec::new(),
        };
        let incomplete = self.incomplete_units();
        let mut now: BTreeMap<ClusterPath, BTreeMap<String, Read>> = BTreeMap::new();
        for Reading {
            unit,
            digest,
            files,
            ..
        } in wanted
        {
            if !incomplete.contains(&unit) {
                let cluster = now.entry(unit.cluster).or_default();
                cluster.insert(unit.unit, Read { digest, files });
            }
        }
        let units: BTreeSet<UnitPath> = match self.plan.mode {
            PlanMode::Destroy => BTreeSet::new(),
            PlanMode::Apply | PlanMode::RefreshOnly => {
                self.engine.desired.units().into_iter().collect()
            }
        };
        for (cluster, state) in self
            .states
            .iter_mut()
            .filter(|(_, state)| !state.is_empty())
        {
            let mut read = state.units.clone();
            let there: BTreeSet<&String> = state
                .resources
                .keys()
                .map(|address| &address.unit.unit)
                .collect();
            let path = |unit: &String| UnitPath {
                cluster: cluster.clone(),
                unit: unit.clone(),
            };
            read.retain(|unit, _| there.contains(unit) || units.contains(&path(unit)));
            read.extend(now.remove(cluster).unwrap_or_default());
            if state.units != read {
                state.units = read;
                // The next serial, if nothing else changed it.
                state.serial += u64::from(self.dirty.insert(cluster.clone()));
            }
        }
    }

    /// Units of which something was not selected, or not done.
    fn incomplete_units(&self) -> BTreeSet<UnitPath> {
        let applied = &self.applied;
        let undone = applied.failed.iter().map(|failed| &failed.address);
        let undone = undone.chain(applied.skipped.iter().map(|left| &left.address));
        let undone = undone.chain(applied.not_started.iter().map(|(address, _)| address));
        let left_out = self
            .plan
            .changes
            .iter()
            .filter(|change| change.is_left_out());
        let all = undone.chain(left_out.map(|change| &change.address));
        all.map(|address| address.unit.clone()).collect()
    }

    /// What units tell that are outside of the selection.
    fn untouched_outputs(
        &self,
        touched: &Touched,
    ) -> BTreeMap<ClusterPath, BTreeMap<String, Attributes>> {
        let mut outputs = BTreeMap::<ClusterPath, BTreeMap<String, Attributes>>::new();
        for (unit, values) in store::outputs(&self.states) {
            if !touched.has(&unit) {
                let cluster = outputs.entry(unit.cluster).or_default();
                cluster.insert(unit.unit, values);
            }
        }
        outputs
    }

    fn old_outputs(&self, unit: &UnitPath) -> Option<Attributes> {
        self.plan
            .clusters
            .iter()
            .find(|cluster| cluster.path == unit.cluster)?;
        let state = self.states.get(&unit.cluster);
        Some(
            state
                .and_then(|state| state.outputs.get(&unit.unit))
                .cloned()
                .unwrap_or_default(),
        )
    }

    fn replace_outputs(&mut self, cluster: &ClusterPath, mut now: BTreeMap<String, Attributes>) {
        let left = self.states.get(cluster);
        if let Some(left) = left {
            // A unit that could not be removed keeps what it told.
            let units: BTreeSet<&str> = left
                .resources
                .keys()
                .map(|address| address.unit.unit.as_str())
                .collect();
            for (unit, outputs) in left
                .outputs
                .iter()
                .filter(|(unit, _)| units.contains(unit.as_str()))
            {
                let entry = now.entry(unit.clone()).or_default();
                if entry.is_empty()
                    && (self.plan.mode == PlanMode::Destroy || !self.in_tree(cluster, unit))
                {
                    entry.clone_from(outputs);
                }
            }
        }
        now.retain(|_, outputs| !outputs.is_empty());
        if left.map_or(!now.is_empty(), |left| left.outputs != now) {
            self.touch(cluster).outputs = now;
        }
    }

    fn in_tree(&self, cluster: &ClusterPath, unit: &str) -> bool {
        let path = UnitPath {
            cluster: cluster.clone(),
            unit: unit.to_owned(),
        };
        self.engine.desired.units().contains(&path)
    }

    /// What was to change and did not is still what it was.
    fn attain_what_is_left(&mut self) {
        // Outputs of a part of the fleet may read what lies beyond it.
        let beyond = match self.plan.selection {
            Some(_) => self.engine.store.load_all().unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let states = self.states.values().chain(beyond.values());
        for (address, recorded) in states.flat_map(|state| &state.resources) {
            if !self.attained.0.contains_key(address) {
                self.attained
                    .0
                    .insert(address.clone(), recorded.attributes.clone());
            }
        }
    }
}

fn known_or(found: Attributes, old: &Attributes) -> Attributes {
    let keep = |(name, value): (String, Value)| {
        if value.is_known() {
            Some((name, value))
        } else {
            Some((name.clone(), old.get(&name)?.clone()))
        }
    };
    found.into_iter().filter_map(keep).collect()
}
