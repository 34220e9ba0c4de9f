//! Names that change while what they mean stays: `moved` of the tree in a plan and in an apply, `tks state mv` by hand.

use std::collections::{BTreeMap, BTreeSet};

use stack::{
    Address, ClusterPath, Diagnostic, Diagnostics, Move, Moved, Refactoring, UnitPath, closest,
};

use crate::State;

/// What is recorded, by cluster.
pub(crate) type States = BTreeMap<ClusterPath, State>;

/// What is called otherwise from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renaming {
    /// By what it is called now, what it is recorded as.
    pub(crate) resources: BTreeMap<Address, Address>,
    pub(crate) units: BTreeMap<UnitPath, UnitPath>,
}

impl Renaming {
    /// What the tree asks for and is not done yet. What was moved already is no mistake.
    pub(crate) fn of(
        refactoring: &Refactoring,
        states: &States,
        wanted: &BTreeSet<&Address>,
    ) -> Result<Self, Diagnostics> {
        let mut mistakes = Diagnostics::default();
        // By present name, what it is recorded as: a second move may go on from the first.
        let all = states.values().flat_map(|state| state.resources.keys());
        let mut names: BTreeMap<Address, Address> = all
            .map(|address| (address.clone(), address.clone()))
            .collect();
        let units = states.iter().flat_map(|(cluster, state)| {
            let path = |unit: &String| UnitPath {
                cluster: cluster.clone(),
                unit: unit.clone(),
            };
            state.outputs.keys().map(path)
        });
        let mut units: BTreeMap<UnitPath, UnitPath> = units.map(|it| (it.clone(), it)).collect();
        for moved in &refactoring.moved {
            step(moved, states, wanted, &mut names, &mut mistakes);
            let going: Vec<(UnitPath, UnitPath)> = units
                .keys()
                .filter_map(|unit| Some((unit.clone(), moved.what.apply_unit(unit)?)))
                .collect();
            for (from, to) in going {
                if let Some(origin) = units.remove(&from) {
                    units.insert(to, origin);
                }
            }
        }
        mistakes.or(())?;
        names.retain(|now, then| now != then);
        units.retain(|now, then| now != then);
        Ok(Self {
            resources: names,
            units,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.units.is_empty()
    }

    /// Pairs of what it was and what it is.
    pub(crate) fn pairs(&self) -> Vec<(Address, Address)> {
        let pairs = self.resources.iter();
        pairs.map(|(to, from)| (from.clone(), to.clone())).collect()
    }

    /// Records everything under its new name too, with edges and outputs. Tells what is written anew. The old names are still
    /// there: see [`Self::drop_old`].
    pub(crate) fn copy(&self, states: &mut States) -> BTreeSet<Address> {
        let mut touched = BTreeSet::new();
        for (to, from) in &self.resources {
            let state = states.get(&from.unit.cluster);
            let Some(recorded) = state.and_then(|state| state.resources.get(from)).cloned() else {
                continue;
            };
            state_of(states, &to.unit.cluster)
                .resources
                .insert(to.clone(), recorded);
            touched.insert(to.clone());
        }
        let now: BTreeMap<&Address, &Address> =
            self.resources.iter().map(|(to, from)| (from, to)).collect();
        for state in states.values_mut() {
            for (address, recorded) in &mut state.resources {
                if recorded.depends_on.iter().any(|on| now.contains_key(on)) {
                    let new = |on: &Address| now.get(on).map_or(on, |on| *on).clone();
                    recorded.depends_on = recorded.depends_on.iter().map(new).collect();
                    touched.insert(address.clone());
                }
            }
        }
        touched
    }

    /// Records nothing under the old names any more, and outputs under the new ones. Tells what is gone.
    pub(crate) fn drop_old(&self, states: &mut States) -> BTreeSet<Address> {
        let mut gone = BTreeSet::new();
        for from in self.resources.values() {
            // Two may have changed their names with each other.
            if !self.resources.contains_key(from)
                && let Some(state) = states.get_mut(&from.unit.cluster)
                && state.resources.remove(from).is_some()
            {
                gone.insert(from.clone());
            }
        }
        let mut told = Vec::new();
        for (to, from) in &self.units {
            let state = states.get_mut(&from.cluster);
            let values = state.and_then(|state| state.outputs.remove(&from.unit));
            told.extend(values.map(|values| (to, values)));
        }
        for (to, values) in told {
            let state = state_of(states, &to.cluster);
            state.outputs.insert(to.unit.clone(), values);
        }
        gone
    }
}

fn state_of<'s>(states: &'s mut States, cluster: &ClusterPath) -> &'s mut State {
    let new = || State::new(cluster.clone());
    states.entry(cluster.clone()).or_insert_with(new)
}

/// One entry of `moved`.
fn step(
    moved: &Moved,
    states: &States,
    wanted: &BTreeSet<&Address>,
    names: &mut BTreeMap<Address, Address>,
    mistakes: &mut Diagnostics,
) {
    let going: Vec<(Address, Address)> = names
        .keys()
        .filter_map(|address| Some((address.clone(), moved.what.apply(address)?)))
        .collect();
    for (from, to) in going {
        let Some(origin) = names.get(&from).cloned() else {
            continue;
        };
        if wanted.contains(&from) {
            let message = format!("`{from}` is still in the tree");
            let mistake = Diagnostic::at(moved.from.clone(), message).label("moved from here");
            mistakes.push(mistake.help("rename it in the tree too, or take the entry out"));
        } else if let Some(there) = names.get(&to).filter(|there| !same(states, &origin, there)) {
            let message = format!("`{to}` is recorded already, as something else than `{from}`");
            let mistake = Diagnostic::at(moved.to.clone(), message);
            let help = format!("`tks state rm '{there}'` forgets it");
            mistakes.push(mistake.help(help));
        } else if !wanted.contains(&to) && is_resource(&moved.what) {
            let message = format!("`{to}` is not in the tree");
            let mut mistake = Diagnostic::at(moved.to.clone(), message).label("moved to here");
            let known: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            mistake.candidates = closest(&to.to_string(), known.iter().map(String::as_str));
            mistakes.push(mistake);
        } else {
            names.remove(&from);
            names.insert(to, origin);
        }
    }
}

fn is_resource(what: &Move) -> bool {
    matches!(what, Move::Resource(..))
}

/// Whether a move was interrupted when both names were recorded.
fn same(states: &States, one: &Address, other: &Address) -> bool {
    let of = |address: &Address| states.get(&address.unit.cluster)?.resources.get(address);
    match (of(one), of(other)) {
        (Some(one), Some(other)) => {
            one.attributes == other.attributes && one.created == other.created
        }
        _ => false,
    }
}
