//! What a run did, in the states.

use stack::Address;

use super::Run;
use super::call::Made;
use crate::shroud::Shroud;
use crate::{Action, Change, Recorded, State, StateError, state};

impl Run<'_> {
    pub(super) fn made(&mut self, change: &Change, made: Made) {
        let given = [&made.properties]
            .into_iter()
            .chain(&change.before)
            .chain(&change.after);
        let mut attributes = Shroud::of(given).cover(made.attributes);
        // A state holds what is, not what may be.
        attributes.retain(|_, value| value.is_known());
        self.attained
            .0
            .insert(change.address.clone(), attributes.clone());
        let created_first = self.created_first.contains(&change.address);
        let state = self.state_of(&change.address);
        let old = state
            .resources
            .remove(&change.address)
            .filter(|_| change.before.is_some());
        let mut deposed = change.deposed.clone();
        if change.action == Action::Replace && created_first {
            deposed.extend(change.before.clone());
        }
        let kept = old
            .filter(|_| change.action == Action::Update)
            .map(|old| old.created);
        let recorded = Recorded {
            properties: made.properties,
            attributes,
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            deposed,
            created: kept.unwrap_or_else(state::now),
        };
        state.resources.insert(change.address.clone(), recorded);
    }

    pub(super) fn removed(&mut self, change: &Change) {
        let stays = match change.action {
            Action::Replace => self.created_first.contains(&change.address),
            Action::Delete => false,
            _ => true,
        };
        let state = self.state_of(&change.address);
        if !stays {
            state.resources.remove(&change.address);
        } else if let Some(recorded) = state.resources.get_mut(&change.address) {
            recorded.deposed.clear();
        }
    }

    pub(super) fn forget(&mut self, change: &Change) {
        self.state_of(&change.address)
            .resources
            .remove(&change.address);
    }

    pub(super) fn note_unchanged(&mut self, change: &Change) {
        // A skipped one reads as null from the beginning.
        let Some(after) = &change.after else { return };
        self.attained
            .0
            .insert(change.address.clone(), after.clone());
        let state = self.states.get_mut(&change.address.unit.cluster);
        let Some(recorded) = state.and_then(|state| state.resources.get_mut(&change.address))
        else {
            return;
        };
        let now = Recorded {
            properties: change.properties.clone(),
            attributes: after.clone(),
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            ..recorded.clone()
        };
        if *recorded != now {
            *recorded = now;
            self.dirty.insert(change.address.unit.cluster.clone());
        }
    }

    /// The state that holds a resource, which is about to change.
    pub(super) fn state_of(&mut self, address: &Address) -> &mut State {
        let cluster = &address.unit.cluster;
        self.dirty.insert(cluster.clone());
        self.states
            .entry(cluster.clone())
            .or_insert_with(|| State::new(cluster.clone()))
    }

    /// Writes the states that changed. When that fails they stay to be written.
    pub(super) fn save(&mut self) -> bool {
        self.unsaved = self.try_save().err();
        self.unsaved.is_none()
    }

    pub(super) fn try_save(&mut self) -> Result<(), StateError> {
        while let Some(cluster) = self.dirty.first().cloned() {
            if let Some(state) = self.states.get_mut(&cluster) {
                if !self.kept.contains(&cluster) {
                    self.engine.store.keep_version(state)?;
                    self.kept.insert(cluster.clone());
                }
                self.engine.store.save(state)?;
            }
            self.dirty.remove(&cluster);
        }
        Ok(())
    }
}
