//! What a plan wants to be there. A [`Stack`] says it; tests say it by hand.

use stack::{
    Address, Attributes, ClusterPath, Diagnostics, Fleet, Hook, Known, Reading, Refactoring,
    Resource, Stack, UnitPath,
};

/// Resources that are wanted, and how to evaluate them with what is known so far.
pub trait Desired: Send + Sync {
    /// Whose resources these are.
    fn fleet(&self) -> &Fleet;

    /// The clusters of the tree, in path order.
    fn clusters(&self) -> Vec<ClusterPath>;

    /// The units of the tree, in path order.
    fn units(&self) -> Vec<UnitPath>;

    /// As [`Self::units`], with what they are.
    fn described(&self) -> Vec<Described> {
        let bare = |path| Described {
            path,
            role: None,
            module: None,
        };
        self.units().into_iter().map(bare).collect()
    }

    /// What each unit is made from, in path order; none where nobody knows.
    fn readings(&self) -> Vec<Reading> {
        Vec::new()
    }

    /// In address order.
    fn resources(&self) -> &[Resource];

    /// The properties of one resource; those that wait for others are unknown.
    ///
    /// # Errors
    /// [`Diagnostics`], one per expression that cannot be evaluated.
    fn properties(&self, address: &Address, known: &dyn Known) -> Result<Attributes, Diagnostics>;

    /// The outputs of one unit.
    ///
    /// # Errors
    /// As [`Self::properties`].
    fn outputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics>;

    /// What is said about what is recorded already.
    fn refactoring(&self) -> &Refactoring {
        &NOTHING
    }

    /// The commands that run before and after what is done in a cluster.
    ///
    /// # Errors
    /// As [`Self::properties`].
    fn hooks(&self, _: &ClusterPath, _: &dyn Known) -> Result<Vec<Hook>, Diagnostics> {
        Ok(Vec::new())
    }
}

/// A unit, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub path: UnitPath,
    /// Of its cluster.
    pub role: Option<String>,
    pub module: Option<String>,
}

static NOTHING: Refactoring = Refactoring {
    moved: Vec::new(),
    removed: Vec::new(),
    imports: Vec::new(),
};

impl Desired for Stack {
    fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    fn clusters(&self) -> Vec<ClusterPath> {
        self.clusters
            .iter()
            .map(|cluster| cluster.path.clone())
            .collect()
    }

    fn units(&self) -> Vec<UnitPath> {
        self.units.iter().map(|unit| unit.path.clone()).collect()
    }

    fn described(&self) -> Vec<Described> {
        let role = |path: &UnitPath| {
            let at = self
                .clusters
                .binary_search_by(|it| it.path.cmp(&path.cluster));
            at.ok().map(|at| self.clusters[at].role.clone())
        };
        let describe = |unit: &stack::Unit| Described {
            role: role(&unit.path),
            path: unit.path.clone(),
            module: Some(unit.module.clone()),
        };
        self.units.iter().map(describe).collect()
    }

    fn readings(&self) -> Vec<Reading> {
        Self::readings(self)
    }

    fn resources(&self) -> &[Resource] {
        &self.resources
    }

    fn properties(&self, address: &Address, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        Self::properties(self, address, known)
    }

    fn outputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        Self::outputs(self, unit, known)
    }

    fn refactoring(&self) -> &Refactoring {
        &self.refactoring
    }

    fn hooks(&self, cluster: &ClusterPath, known: &dyn Known) -> Result<Vec<Hook>, Diagnostics> {
        Self::hooks(self, cluster, known)
    }
}
