//! What a fleet's tree says, rendered for one platform: clusters, units, resources, and how to evaluate them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::{self, Evaluation, Scope, Sources};
use crate::expr::Term;
use crate::reading::Reading;
use crate::{
    Address, Attributes, ClusterPath, Diagnostic, Diagnostics, Hook, Node, NodeValue, Position,
    Refactoring, UnitPath, Value,
};

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
    /// What it says about what is recorded already.
    pub refactoring: Refactoring,
    /// Whether there is any module for the fleet's platform: without, the tree is checked and there is nothing to plan.
    pub platform_built: bool,
    sources: Sources,
    /// Of the units that are listed, in `sources`.
    numbers: HashMap<UnitPath, usize>,
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
    /// How long one read or change of it may take, with its retries; `None`: as long as the command says.
    pub timeout: Option<Duration>,
}

/// What destroying a resource means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDestroy {
    #[default]
    Delete,
    /// Forget it, and leave it where it is.
    Retain,
}

/// Where an expression is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Cluster(ClusterPath),
    Unit(UnitPath),
}

/// The file that positions in an evaluated expression are of.
const EXPRESSION: &str = "expression";

/// The attributes of resources that are known so far: those of the state, those planned, those applied.
pub trait Known {
    /// All attributes of a resource (each may still be unknown), or `None` when nothing is known of it: then every attribute
    /// reads as unknown until apply.
    fn attributes(&self, address: &Address) -> Option<&Attributes>;
}

impl Stack {
    /// What was built from `sources`.
    pub(crate) fn new(
        (fleet, clusters): (Fleet, Vec<Cluster>),
        resources: Vec<Resource>,
        refactoring: Refactoring,
        sources: Sources,
    ) -> Self {
        let all = sources.units.iter().enumerate();
        let present: Vec<_> = all.filter(|(_, unit)| sources.lists(unit)).collect();
        let numbers = present
            .iter()
            .map(|(number, unit)| (unit.path.clone(), *number));
        let numbers = numbers.collect();
        let mut units: Vec<_> = present
            .iter()
            .map(|(_, unit)| Unit {
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
            refactoring,
            platform_built,
            sources,
            numbers,
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

    /// The inputs of a unit of this stack, as its module reads them.
    ///
    /// # Errors
    /// As [`Self::properties`].
    pub fn inputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        match self.unit_number(unit) {
            Some(number) => build::inputs(&self.sources, number, known),
            None => Err(not_here(unit)),
        }
    }

    /// The value of an expression (`cluster.id`), or of a text with expressions in it (`${…}`), in a cluster or, with the
    /// names of its module, in a unit. Positions are of a file `expression`.
    ///
    /// # Errors
    /// What is wrong with it, or with what it reads.
    pub fn evaluate(
        &self,
        place: &Place,
        text: &str,
        known: &dyn Known,
    ) -> Result<Value, Diagnostics> {
        let clusters = &self.sources.clusters;
        let scope = match place {
            Place::Cluster(path) => clusters
                .iter()
                .position(|cluster| cluster.path == *path)
                .map(Scope::cluster)
                .ok_or_else(|| not_here(path))?,
            Place::Unit(path) => self
                .unit_number(path)
                .map(|unit| Scope::module(self.sources.units[unit].cluster, unit))
                .ok_or_else(|| not_here(path))?,
        };
        let (before, behind) = if text.contains("${") {
            ("", "")
        } else {
            ("${", "}")
        };
        let text = format!("{before}{}{behind}", text.trim());
        let position = Position {
            len: text.len(),
            ..Position::start(Path::new(EXPRESSION))
        };
        let mut mistakes = Vec::new();
        let node = Node::new(position, NodeValue::String(text));
        let term = Term::compile(&node, &mut mistakes);
        Diagnostics(mistakes).or(())?;
        Evaluation::new(&self.sources, known).value(&term, scope)
    }

    fn unit_number(&self, unit: &UnitPath) -> Option<usize> {
        self.numbers.get(unit).copied()
    }

    /// What each unit was made from, in path order. Costs an evaluation of everything.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let mut readings = build::readings(&self.sources, &self.fleet.dir);
        readings.sort_by(|left, right| left.unit.cmp(&right.unit));
        readings
    }

    /// The outputs of a unit of this stack, with the attributes `known` so far.
    ///
    /// # Errors
    /// As [`Self::properties`].
    pub fn outputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        match self.unit_number(unit) {
            Some(number) => build::outputs(&self.sources, number, known),
            None => Err(not_here(unit)),
        }
    }
}

impl Stack {
    /// The hooks of a cluster, with the attributes `known` so far.
    ///
    /// # Errors
    /// As [`Self::properties`].
    pub fn hooks(
        &self,
        cluster: &ClusterPath,
        known: &dyn Known,
    ) -> Result<Vec<Hook>, Diagnostics> {
        let hooks = build::value(&self.sources, cluster, "hooks", known)?;
        Ok(hooks.map_or_else(Vec::new, |hooks| Hook::read(&hooks)))
    }
}

fn not_here(what: &dyn std::fmt::Display) -> Diagnostics {
    Diagnostics(vec![Diagnostic::new(format!("{what} is not in the tree"))])
}
