//! What a run did, in the states and their journals.

use std::collections::BTreeSet;

use stack::{Address, ClusterPath};

use super::Run;
use super::call::Made;
use crate::journal::{Doing, Intent};
use crate::shroud::Shroud;
use crate::{Action, Change, Event, Origin, Recorded, State, StateError, state};

impl Run<'_> {
    pub(super) fn made(&mut self, change: &Change, made: Made) -> Result<(), StateError> {
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
            .get(&change.address)
            .filter(|_| change.before.is_some());
        let deposed = match (change.action, created_first) {
            (Action::Replace, true) => {
                let earlier = change.deposed.iter().chain(&change.before);
                earlier.cloned().collect()
            }
            // They are gone by now, as what is replaced is.
            (Action::Replace, false) => Vec::new(),
            _ => change.deposed.clone(),
        };
        let kept = old
            .filter(|_| change.action == Action::Update)
            .map(|old| old.created.clone());
        let recorded = Recorded {
            properties: made.properties,
            attributes,
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            deposed,
            created: kept.unwrap_or_else(state::now),
        };
        self.record(&change.address, recorded)
    }

    /// A resource is recorded so from now on.
    fn record(&mut self, address: &Address, recorded: Recorded) -> Result<(), StateError> {
        let key = self.key;
        if let Some(journal) = self.journals.get_mut(&address.unit.cluster) {
            journal.made(address, &recorded, key)?;
        }
        let state = self.state_of(address);
        state.resources.insert(address.clone(), recorded);
        Ok(())
    }

    /// Resources are recorded anew as they are in the states.
    pub(super) fn rerecord(&mut self, addresses: &BTreeSet<Address>) -> Result<(), StateError> {
        for address in addresses {
            let recorded = self.state_of(address).resources.get(address).cloned();
            if let Some(recorded) = recorded {
                self.record(address, recorded)?;
            }
        }
        Ok(())
    }

    /// A resource is no longer recorded.
    pub(super) fn drop_record(&mut self, address: &Address) {
        self.state_of(address).resources.remove(address);
        if let Some(journal) = self.journals.get_mut(&address.unit.cluster) {
            journal.removed(address);
        }
    }

    pub(super) fn removed(&mut self, change: &Change) -> Result<(), StateError> {
        let stays = match change.action {
            Action::Replace => self.created_first.contains(&change.address),
            Action::Delete => false,
            _ => true,
        };
        if !stays {
            self.drop_record(&change.address);
            return Ok(());
        }
        let state = self.state_of(&change.address);
        match state.resources.get(&change.address).cloned() {
            Some(mut recorded) => {
                recorded.deposed.clear();
                self.record(&change.address, recorded)
            }
            None => Ok(()),
        }
    }

    pub(super) fn forget(&mut self, change: &Change) {
        self.drop_record(&change.address);
    }

    pub(super) fn note_unchanged(&mut self, change: &Change) -> Result<(), StateError> {
        // A skipped one reads as null from the beginning.
        let Some(after) = &change.after else {
            return Ok(());
        };
        self.attained
            .0
            .insert(change.address.clone(), after.clone());
        let state = self.states.get(&change.address.unit.cluster);
        let old = state.and_then(|state| state.resources.get(&change.address));
        let adopted = Recorded {
            created: state::now(),
            ..Recorded::default()
        };
        let recorded = match old {
            Some(recorded) => recorded,
            None if change.origin.is_some() => &adopted,
            None => return Ok(()),
        };
        let same = recorded.properties == change.properties
            && recorded.attributes == *after
            && recorded.depends_on == change.depends_on
            && recorded.lifecycle == change.lifecycle;
        if same {
            return Ok(());
        }
        let now = Recorded {
            properties: change.properties.clone(),
            attributes: after.clone(),
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            deposed: recorded.deposed.clone(),
            created: recorded.created.clone(),
        };
        self.record(&change.address, now)
    }

    /// The state that holds a resource, which is about to change.
    pub(super) fn state_of(&mut self, address: &Address) -> &mut State {
        self.touch(&address.unit.cluster)
    }

    /// The state of a cluster, which is about to change: it has the next serial from now on.
    pub(super) fn touch(&mut self, cluster: &ClusterPath) -> &mut State {
        let is_first = self.dirty.insert(cluster.clone());
        let state = self
            .states
            .entry(cluster.clone())
            .or_insert_with(|| State::new(cluster.clone()));
        state.serial += u64::from(is_first);
        state
    }

    /// A step is about to begin; it may once [`Self::commit`] succeeded.
    pub(super) fn intend(
        &mut self,
        change: &Change,
        doing: Doing,
        planned: &stack::Attributes,
    ) -> Result<String, StateError> {
        let is_found = self.is_found(change);
        let Some(journal) = self.journals.get_mut(&change.address.unit.cluster) else {
            return Ok(String::new());
        };
        // What an earlier create made and the plan found is taken over or removed: with its token it would be both.
        let token = match is_found {
            true => ulid::Ulid::generate().to_string(),
            false => journal.token(&change.address),
        };
        let intent = Intent {
            doing,
            token: token.clone(),
            at: state::now(),
            planned: planned.clone(),
            depends_on: change.depends_on.clone(),
        };
        journal.begin(&change.address, intent, self.key)?;
        Ok(token)
    }

    /// Before another create begins, what an interrupted one made is recorded: the intent that told of it ends here.
    pub(super) fn keep_found(&mut self, change: &Change) -> Result<(), StateError> {
        if !self.is_found(change) {
            return Ok(());
        }
        let state = self.states.get(&change.address.unit.cluster);
        let recorded = state.and_then(|state| state.resources.get(&change.address));
        let adopted = || Recorded {
            attributes: change.before.clone().unwrap_or_default(),
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            created: state::now(),
            ..Recorded::default()
        };
        let recorded = Recorded {
            deposed: change.deposed.clone(),
            ..recorded.cloned().unwrap_or_else(adopted)
        };
        self.record(&change.address, recorded)
    }

    /// Whether the plan found what an interrupted run made of this resource.
    fn is_found(&self, change: &Change) -> bool {
        let state = self.states.get(&change.address.unit.cluster);
        let recorded = state.and_then(|state| state.resources.get(&change.address));
        let known = recorded.map_or(0, |recorded| recorded.deposed.len());
        change.origin == Some(Origin::Interrupted) || change.deposed.len() > known
    }

    /// Syncs the results and intents so far. When that fails they stay pending.
    pub(super) fn commit(&mut self) -> bool {
        self.unsaved = self.try_commit().err();
        self.unsaved.is_none()
    }

    pub(super) fn try_commit(&mut self) -> Result<(), StateError> {
        for (cluster, journal) in &mut self.journals {
            if journal.commit(self.states.get(cluster), self.key)? {
                let cluster = cluster.clone();
                self.engine.progress.event(Event::Journaled { cluster });
            }
        }
        Ok(())
    }

    /// Writes the documents of the states that changed, the earlier version into the history first.
    pub(super) fn save(&mut self) -> Result<(), StateError> {
        let dirty: BTreeSet<ClusterPath> = self.dirty.clone();
        for cluster in dirty {
            if let Some(state) = self.states.get(&cluster) {
                if let Some((lineage, serial)) = self.versions.get(&cluster) {
                    self.engine.store.keep(&cluster, lineage, *serial)?;
                }
                self.engine.store.write(state)?;
                let cluster = cluster.clone();
                self.engine.progress.event(Event::Saved { cluster });
            }
            self.dirty.remove(&cluster);
        }
        Ok(())
    }
}
