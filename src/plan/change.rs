//! A plan: what would change, from what to what, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use stack::{Address, Attributes, ClusterPath, Fleet, Lifecycle, UnitPath};

use crate::{Allocation, Diff};

/// What a plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanMode {
    /// Make what the tree says.
    #[default]
    Apply,
    /// Remove everything that is recorded.
    Destroy,
    /// Change nothing real: record what is really there.
    RefreshOnly,
}

/// What would change, bound to the states it was made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version that made it.
    pub tks: String,
    /// RFC 3339, UTC.
    pub created: String,
    pub mode: PlanMode,
    pub fleet: PlannedFleet,
    /// Every cluster of the tree or with a state, in path order.
    pub clusters: Vec<ClusterPlan>,
    /// Every resource wanted or recorded, in address order, unchanged ones too.
    pub changes: Vec<Change>,
    /// What changed outside of tks since the last apply, in address order.
    pub drift: Vec<Drift>,
    /// Outputs that would change, in unit order.
    pub outputs: Vec<OutputChange>,
    /// Numbers that would be given out, in owner order.
    pub allocations: Vec<Allocation>,
    /// Numbers that would be free again, in owner order.
    pub released: Vec<Allocation>,
    /// Nothing real changes for it, yet state documents differ (edges, protection, what drifted and is accepted): applying writes them.
    pub bookkeeping: bool,
    /// What was selected, as it was typed; `None`: everything. Only clusters that the selection touches are in such a plan.
    pub selection: Option<String>,
}

/// The fleet that a plan is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFleet {
    pub name: String,
    pub dir: PathBuf,
    pub platform: String,
}

impl From<&Fleet> for PlannedFleet {
    fn from(fleet: &Fleet) -> Self {
        Self {
            name: fleet.name.clone(),
            dir: fleet.dir.clone(),
            platform: fleet.platform.clone(),
        }
    }
}

/// One cluster of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPlan {
    pub path: ClusterPath,
    /// The state's, `None` when there was none.
    pub lineage: Option<String>,
    /// 0 when there was no state.
    pub serial: u64,
    /// `false`: the cluster is no longer in the tree, and this plan removes it.
    pub in_tree: bool,
}

/// What would happen to one resource.
#[derive(Clone, Debug)]
pub struct Change {
    pub address: Address,
    pub action: Action,
    pub reason: Option<Reason>,
    /// What is really there, `None` when nothing is.
    pub before: Option<Attributes>,
    /// What will be there (parts may be unknown), `None` when nothing will.
    pub after: Option<Attributes>,
    /// What differs between them, in path order; empty for no change.
    pub diffs: Vec<Diff>,
    /// The properties as the tree says them; empty for what is not in the tree.
    pub properties: Attributes,
    pub depends_on: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
    /// Earlier versions of a resource created before its destruction, which are still there.
    pub deposed: Vec<Attributes>,
    /// Where what is there came from, if not from under this address.
    pub origin: Option<Origin>,
}

/// How something that is not recorded under an address comes to be recorded there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An interrupted run made it.
    Interrupted,
    /// It was recorded under this address.
    Moved(Address),
    /// It was there before tks, under this name of its provider's.
    Imported(String),
}

impl Change {
    /// Whether applying does anything real for it.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(self.action, Action::NoOp | Action::Skipped)
            || !self.deposed.is_empty()
            || self.origin.is_some()
    }

    /// Whether the selection leaves it as it is recorded.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.reason == Some(Reason::NotSelected)
    }
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Create,
    /// In place.
    Update,
    /// Delete and create, or the other way round with `create_before_destroy`.
    Replace,
    Delete,
    /// Out of the state, and left where it is.
    Forget,
    NoOp,
    /// Wanted, and cannot be on this machine, which is no error: see [`Reason::Skipped`].
    Skipped,
}

/// Why something happens, where that is not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The resource is no longer in the tree, its unit is.
    ResourceNotInTree,
    /// The unit is no longer in the tree, its cluster is.
    UnitNotInTree,
    /// The cluster is no longer in the tree.
    ClusterNotInTree,
    /// Everything is destroyed.
    Destroy,
    /// It was deleted outside of tks.
    Gone,
    /// An interrupted run was creating it: what it made is adopted, or removed.
    Interrupted,
    /// These properties cannot change in place, with why.
    CannotUpdate(Vec<(String, String)>),
    /// It was asked for.
    Requested,
    /// It is outside of what is selected, and stays as it is recorded.
    NotSelected,
    /// It cannot be here: `not installed: prometheus-node-exporter`.
    Skipped(String),
}

/// What changed outside of tks.
#[derive(Clone, Debug)]
pub struct Drift {
    pub address: Address,
    /// It is no longer there.
    pub gone: bool,
    /// From what was recorded to what is there.
    pub diffs: Vec<Diff>,
}

/// How the outputs of a unit change.
#[derive(Clone, Debug)]
pub struct OutputChange {
    pub unit: UnitPath,
    /// Paths begin with the output's name.
    pub diffs: Vec<Diff>,
}

/// How many resources would be (or were) changed; a replacement counts under `replace` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub delete: usize,
    pub forget: usize,
    pub unchanged: usize,
    pub skipped: usize,
    /// Of these, how many were there before tks.
    pub import: usize,
}

impl Counts {
    /// Counts a change.
    pub(crate) fn note(&mut self, change: &Change) {
        self.count(change.action);
        self.import += usize::from(matches!(change.origin, Some(Origin::Imported(_))));
    }

    /// Counts one more.
    pub fn count(&mut self, action: Action) {
        let counter = match action {
            Action::Create => &mut self.create,
            Action::Update => &mut self.update,
            Action::Replace => &mut self.replace,
            Action::Delete => &mut self.delete,
            Action::Forget => &mut self.forget,
            Action::NoOp => &mut self.unchanged,
            Action::Skipped => &mut self.skipped,
        };
        *counter += 1;
    }

    /// As Terraform counts: a replacement is one more to add.
    #[must_use]
    pub fn to_add(&self) -> usize {
        self.create + self.replace
    }

    /// In place.
    #[must_use]
    pub fn to_change(&self) -> usize {
        self.update
    }

    /// As Terraform counts: a replacement is one more to destroy.
    #[must_use]
    pub fn to_destroy(&self) -> usize {
        self.delete + self.replace
    }
}

impl Plan {
    /// Whether applying would change anything that a person cares about: resources, outputs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let accepts = self.mode == PlanMode::RefreshOnly && !self.drift.is_empty();
        !accepts && self.outputs.is_empty() && !self.changes.iter().any(Change::is_change)
    }

    /// How much of each unit is selected.
    pub(crate) fn touched(&self) -> Touched {
        Touched::of(self.mode, self.selection.is_none(), &self.changes)
    }

    /// How many resources of each kind of change.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.changes
            .iter()
            .filter(|change| !change.is_left_out())
            .for_each(|change| counts.note(change));
        counts
    }

    /// The same per unit, units without any change too.
    #[must_use]
    pub fn counts_by_unit(&self) -> BTreeMap<&UnitPath, Counts> {
        let mut units = BTreeMap::<_, Counts>::new();
        for change in self.changes.iter().filter(|change| !change.is_left_out()) {
            units.entry(&change.address.unit).or_default().note(change);
        }
        units
    }

    /// The change of one resource.
    #[must_use]
    pub fn change(&self, address: &Address) -> Option<&Change> {
        let found = self
            .changes
            .binary_search_by(|change| change.address.cmp(address));
        found.ok().and_then(|at| self.changes.get(at))
    }

    /// Clusters that are no longer in the tree and still have resources.
    #[must_use]
    pub fn removed_clusters(&self) -> Vec<&ClusterPath> {
        self.clusters
            .iter()
            .filter(|cluster| !cluster.in_tree && self.removes_from(&cluster.path))
            .map(|cluster| &cluster.path)
            .collect()
    }

    fn removes_from(&self, cluster: &ClusterPath) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|it| it.address.unit.cluster == *cluster && it.is_change())
    }
}

/// Of which units the outputs are to be told anew: of those with something selected. What is destroyed only in part, and
/// what is only read anew, tells what it told.
#[derive(Debug)]
pub(crate) struct Touched {
    mode: PlanMode,
    whole: bool,
    /// Whether something is selected, and whether something is left out.
    units: BTreeMap<UnitPath, (bool, bool)>,
    clusters: BTreeMap<ClusterPath, (bool, bool)>,
}

impl Touched {
    pub(crate) fn of<'a>(
        mode: PlanMode,
        whole: bool,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Self {
        let (mut units, mut clusters) = (BTreeMap::new(), BTreeMap::new());
        for change in changes.into_iter().filter(|_| !whole) {
            let out = change.is_left_out();
            let note = |(some, left): &mut (bool, bool)| {
                *some |= !out;
                *left |= out;
            };
            let unit = &change.address.unit;
            note(units.entry(unit.clone()).or_default());
            note(clusters.entry(unit.cluster.clone()).or_default());
        }
        Self {
            mode,
            whole,
            units,
            clusters,
        }
    }

    pub(crate) fn has(&self, unit: &UnitPath) -> bool {
        let of_cluster = || {
            let cluster = self.clusters.get(&unit.cluster);
            cluster.map(|(some, left)| (*some && !left, *left))
        };
        let found = self.units.get(unit).copied().or_else(of_cluster);
        let (some, left) = found.unwrap_or((false, true));
        match self.mode {
            PlanMode::RefreshOnly => false,
            _ if self.whole => true,
            PlanMode::Apply => some,
            PlanMode::Destroy => some && !left,
        }
    }
}
