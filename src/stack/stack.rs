//! What a fleet's tree says, rendered for one platform: clusters, units, resources, and how to evaluate them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::build::{self, Evaluation, Sources};
use crate::{Address, Attributes, ClusterPath, Diagnostic, Diagnostics, Position, UnitPath};

/// One fleet on one platform.
#[derive(Debug)]
pub struct Stack {
    pub fleet: Fleet,
    /// In path order.
    pub clusters: Vec<Cluster>,
    /// In path order; without those that are absent on the platform, unless all are ([`Self::platform_built`]).
    pub units: Vec<Unit>,
    /// In address order.
    pub resources: Vec<Resource>,
    /// Whether there is any module for the fleet's platform: without, the tree is checked and there is nothing to plan.
    pub platform_built: bool,
    sources: Sources,
}

/// The root of a graph, a state and a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The folder's name.
    pub name: String,
    pub dir: PathBuf,
    /// `local`, `kubernetes` or `aws`.
    pub platform: String,
    /// Where this fleet keeps state, keys, logs and buckets on this machine, absolute.
    pub data_dir: PathBuf,
}

/// One cluster of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub path: ClusterPath,
    /// `<prefix>-<env>-<region>-<cluster>`.
    pub id: String,
    /// `<region>-<cluster>`.
    pub key: String,
    pub role: String,
    pub file: PathBuf,
}

/// One unit of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub path: UnitPath,
    pub module: String,
}

/// One resource, with what it needs to exist first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub address: Address,
    /// Every resource that its properties read, through however many outputs, and its `depends_on`.
    pub depends_on: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
    pub position: Position,
}

/// How a resource may change and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    pub protect: bool,
    pub ignore_changes: Vec<String>,
    pub create_before_destroy: bool,
    pub on_destroy: OnDestroy,
}

/// What destroying a resource means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDestroy {
    #[default]
    Delete,
    /// Forget it, and leave it where it is.
    Retain,
}

/// The attributes of resources that are known so far: those of the state, those planned, those applied.
pub trait Known {
    /// All attributes of a resource (each may still be unknown), or `None` when nothing is known of it: then every attribute
    /// reads as unknown until apply.
    fn attributes(&self, address: &Address) -> Option<&Attributes>;
}

impl Stack {
    /// What was built from `sources`.
    pub(crate) fn new(
        fleet: Fleet,
        clusters: Vec<Cluster>,
        resources: Vec<Resource>,
        sources: Sources,
    ) -> Self {
        let present = sources.units.iter().filter(|unit| sources.lists(unit));
        let mut units: Vec<_> = present
            .map(|unit| Unit {
                path: unit.path.clone(),
                module: unit.module.name.clone(),
            })
            .collect();
        units.sort_by(|left, right| left.path.cmp(&right.path));
        let platform_built = sources.built;
        Self {
            fleet,
            clusters,
            units,
            resources,
            platform_built,
            sources,
        }
    }

    /// The properties of a resource of this stack, with the attributes `known` so far.
    ///
    /// # Errors
    /// [`Diagnostics`] with the position of each expression that cannot be evaluated.
    pub fn properties(
        &self,
        address: &Address,
        known: &dyn Known,
    ) -> Result<Attributes, Diagnostics> {
        let Some(number) = self.sources.by_address.get(address) else {
            return Err(not_here(address));
        };
        let evaluation = Evaluation::new(&self.sources, known);
        build::properties(&evaluation, &self.sources, *number)
    }

    /// The outputs of a unit of this stack, with the attributes `known` so far.
    ///
    /// # Errors
    /// As [`Self::properties`].
    pub fn outputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        let mut units = self.sources.units.iter();
        match units.position(|source| source.path == *unit && self.sources.lists(source)) {
            Some(number) => build::outputs(&self.sources, number, known),
            None => Err(not_here(unit)),
        }
    }
}

fn not_here(what: &dyn std::fmt::Display) -> Diagnostics {
    Diagnostics(vec![Diagnostic::new(format!("{what} is not in the tree"))])
}
