//! Every unit that is wanted or recorded, and what a selection can ask of it. One table for plans and lists, so that they
//! never disagree on what is selected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stack::{Address, ClusterPath, Reading, UnitPath};

use crate::{Desired, Read, State};

/// Units by path.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    /// The fleet's folder, absolute.
    pub dir: PathBuf,
    pub units: BTreeMap<UnitPath, UnitFacts>,
}

/// What is known of a unit.
#[derive(Clone, Debug, Default)]
pub struct UnitFacts {
    /// Of its cluster; `None` when it is no longer in the tree.
    pub role: Option<String>,
    pub module: Option<String>,
    /// Whether the tree has it.
    pub in_tree: bool,
    pub wanted: BTreeSet<Address>,
    pub recorded: BTreeSet<Address>,
    /// Units that it needs: what its resources read, and what they were made with.
    pub needs: BTreeSet<UnitPath>,
    /// What the tree makes it from; only after [`Universe::read`].
    pub reading: Option<Reading>,
    /// What it was made from when it was last applied.
    pub applied: Option<Read>,
}

/// Which units are affected: by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// The tree says something else than when they were last applied.
    SinceApplied,
    /// They read, or read when they were last applied, or would read one of these files.
    By {
        /// What the files were compared with, for the plan's reader.
        reference: String,
        /// Absolute.
        files: BTreeSet<PathBuf>,
    },
}

impl Universe {
    /// The units of a tree and of its states.
    #[must_use]
    pub fn of(desired: &dyn Desired, states: &BTreeMap<ClusterPath, State>) -> Self {
        let mut universe = Self {
            dir: desired.fleet().dir.clone(),
            units: BTreeMap::new(),
        };
        for described in desired.described() {
            let facts = universe.units.entry(described.path).or_default();
            facts.in_tree = true;
            facts.role = described.role;
            facts.module = described.module;
        }
        for resource in desired.resources() {
            let facts = universe.unit(&resource.address);
            facts.wanted.insert(resource.address.clone());
            facts.need(&resource.address.unit, &resource.depends_on);
        }
        for state in states.values() {
            for (address, recorded) in &state.resources {
                let facts = universe.unit(address);
                facts.recorded.insert(address.clone());
                facts.need(&address.unit, &recorded.depends_on);
            }
            for (unit, read) in &state.units {
                let path = UnitPath {
                    cluster: state.cluster.clone(),
                    unit: unit.clone(),
                };
                universe.units.entry(path).or_default().applied = Some(read.clone());
            }
        }
        universe
    }

    /// Adds what the tree makes each unit from.
    #[must_use]
    pub fn read(mut self, desired: &dyn Desired) -> Self {
        for reading in desired.readings() {
            let facts = self.units.entry(reading.unit.clone()).or_default();
            facts.reading = Some(reading);
        }
        self
    }

    /// What an interrupted run began to make is there to be selected too.
    pub(crate) fn begun(&mut self, address: &Address, needs: &BTreeSet<Address>) {
        let facts = self.unit(address);
        facts.recorded.insert(address.clone());
        facts.need(&address.unit, needs);
    }

    fn unit(&mut self, address: &Address) -> &mut UnitFacts {
        self.units.entry(address.unit.clone()).or_default()
    }

    /// By unit, those that need it.
    #[must_use]
    pub fn users(&self) -> BTreeMap<&UnitPath, BTreeSet<&UnitPath>> {
        let mut users: BTreeMap<&UnitPath, BTreeSet<&UnitPath>> = BTreeMap::new();
        for (unit, facts) in &self.units {
            for needed in &facts.needs {
                users.entry(needed).or_default().insert(unit);
            }
        }
        users
    }

    /// The affected units, and all that need them. Call [`Self::read`] first.
    #[must_use]
    pub fn affected(&self, by: &Affected) -> BTreeSet<UnitPath> {
        let hit = self.units.iter().filter(|(_, facts)| match by {
            Affected::SinceApplied => facts.has_changed(),
            Affected::By { files, .. } => facts.touches(&self.dir, files),
        });
        let users = self.users();
        let mut affected: BTreeSet<&UnitPath> = hit.map(|(unit, _)| unit).collect();
        let mut next: Vec<&UnitPath> = affected.iter().copied().collect();
        while let Some(unit) = next.pop() {
            let above = users.get(unit).into_iter().flatten().copied();
            next.extend(above.filter(|user| affected.insert(user)));
        }
        affected.into_iter().cloned().collect()
    }
}

impl UnitFacts {
    fn need(&mut self, own: &UnitPath, on: &BTreeSet<Address>) {
        let others = on.iter().map(|address| &address.unit);
        let new = others.filter(|unit| *unit != own && !self.needs.contains(*unit));
        let new: Vec<UnitPath> = new.cloned().collect();
        self.needs.extend(new);
    }

    /// Whether the tree no longer says what was applied: it is new, gone, or made from something else.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let digest = |reading: &Reading| reading.digest.clone();
        let applied = self.applied.as_ref().map(|read| read.digest.clone());
        self.reading.as_ref().map(digest) != applied
    }

    /// The files that it reads or read, and would read.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &str> {
        let now = self
            .reading
            .iter()
            .flat_map(|it| it.files.iter().chain(&it.absent));
        let then = self.applied.iter().flat_map(|read| &read.files);
        now.chain(then).map(String::as_str)
    }

    fn touches(&self, dir: &Path, files: &BTreeSet<PathBuf>) -> bool {
        self.reads()
            .any(|file| files.contains(&plain(&dir.join(file))))
    }
}

/// `path` without `..`.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
