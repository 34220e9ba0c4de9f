//! What is recorded, put right by hand: names changed, entries dropped, a document put back. Under the locks of all clusters,
//! never while an interrupted run waits to be found out, and with the earlier versions in the history.

use std::collections::{BTreeMap, BTreeSet};

use stack::{Address, ClusterPath, Move, UnitPath};

use crate::lock::{Locks, Waiting};
use crate::{LockError, Options, Pattern, Progress, State, StateError, StateStore, allocations};

/// Nothing was put right.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    /// What it was making must be found out first.
    #[error("an interrupted run was changing {0}: a plain apply finds out what it made")]
    Interrupted(ClusterPath),
    #[error("nothing is recorded for `{0}`")]
    NothingThere(String),
    #[error("`{0}` is recorded already")]
    Occupied(Address),
    /// An address to an address, a unit to a unit, a cluster to a cluster; and the type stays.
    #[error("`{from}` cannot become `{to}`: {why}")]
    Unlike {
        from: String,
        to: String,
        why: &'static str,
    },
    #[error("the document has lineage {found}, and the state of {cluster} has {wanted}")]
    OtherLineage {
        cluster: ClusterPath,
        wanted: String,
        found: String,
    },
    #[error("the document has serial {found}, and the state of {cluster} is at {wanted} already")]
    Older {
        cluster: ClusterPath,
        wanted: u64,
        found: u64,
    },
}

/// All states of a fleet, locked.
#[derive(Debug)]
pub struct Repair<'a> {
    store: &'a StateStore,
    states: BTreeMap<ClusterPath, State>,
    /// In this order they are written: what receives before what gives, so that nothing is ever recorded nowhere.
    dirty: Vec<ClusterPath>,
    moves: Vec<(Address, Address)>,
    gone: BTreeSet<Address>,
    _locks: Locks,
}

impl<'a> Repair<'a> {
    /// Locks every cluster that has a state, and `others`.
    ///
    /// # Errors
    /// [`RepairError`]; nothing is locked then.
    pub async fn begin(
        store: &'a StateStore,
        others: &[ClusterPath],
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Self, RepairError> {
        let clusters: BTreeSet<ClusterPath> = store
            .clusters()?
            .into_iter()
            .chain(others.to_vec())
            .collect();
        let clusters: Vec<ClusterPath> = clusters.into_iter().collect();
        let waiting = Waiting {
            timeout: options.lock_timeout,
            operation: &options.operation,
            progress,
            stop: &options.stop,
        };
        let locks = Locks::take(store.data_dir(), &clusters, &waiting).await?;
        if let Some(cluster) = store.journaled()?.into_iter().next() {
            return Err(RepairError::Interrupted(cluster));
        }
        Ok(Self {
            store,
            states: store.load_all()?,
            dirty: Vec::new(),
            moves: Vec::new(),
            gone: BTreeSet::new(),
            _locks: locks,
        })
    }

    /// The cluster that a move goes to, to be locked too.
    ///
    /// # Errors
    /// [`RepairError::Unlike`].
    pub fn destination(from: &str, to: &str) -> Result<ClusterPath, RepairError> {
        Ok(match parse(from, to)? {
            Move::Resource(_, to) => to.unit.cluster,
            Move::Unit(_, to) => to.cluster,
            Move::Cluster(_, to) => to,
        })
    }

    /// Calls what is recorded as `from` (an address, a unit, a cluster) `to`, with its outputs, ports and edges. Tells what was
    /// moved.
    ///
    /// # Errors
    /// [`RepairError`]; nothing is changed then.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<Vec<(Address, Address)>, RepairError> {
        let change = parse(from, to)?;
        let all = self
            .states
            .values()
            .flat_map(|state| state.resources.keys());
        let moves: Vec<(Address, Address)> = all
            .filter_map(|address| Some((address.clone(), change.apply(address)?)))
            .collect();
        if moves.is_empty() {
            return Err(RepairError::NothingThere(from.to_owned()));
        }
        for (from, to) in &moves {
            let (old, there) = (self.recorded(from), self.recorded(to));
            // An interrupted move is only completed.
            if there.is_some() && there != old {
                return Err(RepairError::Occupied(to.clone()));
            }
        }
        let names: BTreeMap<&Address, &Address> = moves.iter().map(|(a, b)| (a, b)).collect();
        for (from, to) in &moves {
            self.carry(from, to);
        }
        self.rename_edges(&names);
        self.carry_outputs(&change);
        self.moves.extend(moves.clone());
        Ok(moves)
    }

    /// Records something that was there before.
    ///
    /// # Errors
    /// [`RepairError::Occupied`].
    pub fn record(
        &mut self,
        address: &Address,
        recorded: crate::Recorded,
    ) -> Result<(), RepairError> {
        if self.recorded(address).is_some() {
            return Err(RepairError::Occupied(address.clone()));
        }
        let cluster = address.unit.cluster.clone();
        let new = || State::new(cluster.clone());
        let state = self.states.entry(cluster.clone()).or_insert_with(new);
        state.resources.insert(address.clone(), recorded);
        self.touch(cluster);
        Ok(())
    }

    /// Drops what matches from the record, and leaves it where it is. Tells what was dropped.
    ///
    /// # Errors
    /// [`RepairError::NothingThere`] for a pattern that matches nothing.
    pub fn forget(&mut self, patterns: &[Pattern]) -> Result<Vec<Address>, RepairError> {
        let mut dropped = BTreeSet::new();
        for pattern in patterns {
            let all = self
                .states
                .values()
                .flat_map(|state| state.resources.keys());
            let found: Vec<Address> = all.filter(|it| pattern.matches(it)).cloned().collect();
            if found.is_empty() {
                return Err(RepairError::NothingThere(pattern.to_string()));
            }
            dropped.extend(found);
        }
        for address in &dropped {
            let cluster = &address.unit.cluster;
            if let Some(state) = self.states.get_mut(cluster) {
                state.resources.remove(address);
                let mut left = state.resources.keys();
                if !left.any(|other| other.unit == address.unit) {
                    state.outputs.remove(&address.unit.unit);
                }
            }
            self.touch(cluster.clone());
        }
        self.gone.extend(dropped.iter().cloned());
        Ok(dropped.into_iter().collect())
    }

    /// Puts a document in the place of its cluster's state. `force` leaves out what is checked of its history.
    ///
    /// # Errors
    /// [`RepairError::OtherLineage`], [`RepairError::Older`].
    pub fn put(&mut self, mut new: State, force: bool) -> Result<(), RepairError> {
        let cluster = new.cluster.clone();
        if let Some(old) = self.states.get(&cluster) {
            if new.lineage != old.lineage && !force {
                return Err(RepairError::OtherLineage {
                    cluster,
                    wanted: old.lineage.clone(),
                    found: new.lineage,
                });
            }
            if new.serial < old.serial && !force {
                return Err(RepairError::Older {
                    cluster,
                    wanted: old.serial,
                    found: new.serial,
                });
            }
            new.serial = new.serial.max(old.serial);
        }
        self.states.insert(cluster.clone(), new);
        self.touch(cluster);
        Ok(())
    }

    /// Writes what was changed.
    ///
    /// # Errors
    /// [`StateError`]: what is written by then stays written, and the same again completes it.
    pub fn commit(mut self) -> Result<(), RepairError> {
        allocations::rename(self.store.data_dir(), &self.moves)?;
        for cluster in &self.dirty {
            let Some(state) = self.states.get_mut(cluster) else {
                continue;
            };
            self.store.keep_present(cluster)?;
            self.store.save(state)?;
            if state.is_empty() {
                self.store.retire(state)?;
            }
        }
        let recorded = self.store.allocations()?;
        let released = allocations::released(&recorded, &self.gone);
        let _ = allocations::record(self.store.data_dir(), &[], &released)?;
        Ok(())
    }

    fn recorded(&self, address: &Address) -> Option<&crate::Recorded> {
        let state = self.states.get(&address.unit.cluster)?;
        state.resources.get(address)
    }

    fn touch(&mut self, cluster: ClusterPath) {
        if !self.dirty.contains(&cluster) {
            self.dirty.push(cluster);
        }
    }

    fn carry(&mut self, from: &Address, to: &Address) {
        let source = &from.unit.cluster;
        let Some(state) = self.states.get_mut(source) else {
            return;
        };
        let Some(recorded) = state.resources.remove(from) else {
            return;
        };
        let target = to.unit.cluster.clone();
        let state = self
            .states
            .entry(target.clone())
            .or_insert_with(|| State::new(target.clone()));
        state.resources.insert(to.clone(), recorded);
        self.touch(target);
        self.touch(source.clone());
    }

    fn rename_edges(&mut self, names: &BTreeMap<&Address, &Address>) {
        let mut touched = Vec::new();
        for (cluster, state) in &mut self.states {
            for recorded in state.resources.values_mut() {
                if recorded.depends_on.iter().any(|on| names.contains_key(on)) {
                    let new = |on: &Address| names.get(on).map_or(on, |on| *on).clone();
                    recorded.depends_on = recorded.depends_on.iter().map(new).collect();
                    touched.push(cluster.clone());
                }
            }
        }
        touched.into_iter().for_each(|cluster| self.touch(cluster));
    }

    /// Outputs go with a whole unit, or a whole cluster.
    fn carry_outputs(&mut self, change: &Move) {
        let units: Vec<(UnitPath, UnitPath)> = match change {
            Move::Resource(..) => Vec::new(),
            Move::Unit(from, to) => vec![(from.clone(), to.clone())],
            Move::Cluster(from, to) => {
                let outputs = self.states.get(from).map(|state| &state.outputs);
                let names = outputs.into_iter().flat_map(BTreeMap::keys);
                let path = |cluster: &ClusterPath, unit: &String| UnitPath {
                    cluster: cluster.clone(),
                    unit: unit.clone(),
                };
                names
                    .map(|unit| (path(from, unit), path(to, unit)))
                    .collect()
            }
        };
        for (from, to) in units {
            let state = self.states.get_mut(&from.cluster);
            let told = state.and_then(|state| state.outputs.remove(&from.unit));
            let target = self.states.get_mut(&to.cluster);
            if let (Some(told), Some(target)) = (told, target) {
                target.outputs.insert(to.unit, told);
            }
        }
    }
}

fn parse(from: &str, to: &str) -> Result<Move, RepairError> {
    Move::parse(from, to).map_err(|why| RepairError::Unlike {
        from: from.to_owned(),
        to: to.to_owned(),
        why,
    })
}
