//! What a tree says about what is recorded already: `moved`, `removed` and `import` of `fleet.yaml`. They are planned, reviewed and
//! applied with everything else, and may stay in the file: what is done is not done again.
//!
//! ```yaml
//! moved:   [{ from: acc/eu/one/base, to: acc/eu/one/core }]            # units, clusters, or addresses
//! removed: [{ from: "acc/eu/one/base:local.file.x", destroy: false }]  # forgotten, and left where it is
//! import:  [{ to: "acc/eu/one/base:local.file.x", id: /srv/x }]        # was there before
//! ```

use std::collections::BTreeSet;

use crate::{Address, ClusterPath, Diagnostic, LiveFleet, Node, Position, UnitPath};

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Refactoring {
    /// In the order of the file.
    pub moved: Vec<Moved>,
    pub removed: Vec<Removed>,
    pub imports: Vec<Import>,
}

/// Something has another name now.
#[derive(Clone, Debug)]
pub struct Moved {
    pub what: Move,
    pub from: Position,
    pub to: Position,
}

/// Something is no longer in the tree.
#[derive(Clone, Debug)]
pub struct Removed {
    pub from: Subject,
    /// `false`: it is left where it is.
    pub destroy: bool,
    pub position: Position,
}

/// Something was there before tks.
#[derive(Clone, Debug)]
pub struct Import {
    pub to: Address,
    /// Its provider's name for it.
    pub id: String,
    pub position: Position,
}

/// A resource, a unit or a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Resource(Address),
    Unit(UnitPath),
    Cluster(ClusterPath),
}

/// From one name to another; a resource keeps its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    Resource(Address, Address),
    Unit(UnitPath, UnitPath),
    Cluster(ClusterPath, ClusterPath),
}

impl Subject {
    /// What a text names; `None`: nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        if text.contains(':') {
            return text.parse().ok().map(Self::Resource);
        }
        if let Ok(unit) = text.parse() {
            return Some(Self::Unit(unit));
        }
        // A unit path is a cluster path and one name more.
        let unit = format!("{text}/x").parse::<UnitPath>().ok()?;
        (unit.unit == "x").then_some(Self::Cluster(unit.cluster))
    }

    /// Whether a resource is it, or in it. Without a key all of a `for_each` are meant.
    #[must_use]
    pub fn holds(&self, address: &Address) -> bool {
        match self {
            Self::Resource(own) if own.key.is_none() => {
                (&own.unit, &own.kind, &own.name) == (&address.unit, &address.kind, &address.name)
            }
            Self::Resource(own) => own == address,
            Self::Unit(unit) => address.unit == *unit,
            Self::Cluster(cluster) => address.unit.cluster == *cluster,
        }
    }
}

impl Move {
    /// What two texts mean.
    ///
    /// # Errors
    /// Why one cannot become the other.
    pub fn parse(from: &str, to: &str) -> Result<Self, &'static str> {
        match (Subject::parse(from), Subject::parse(to)) {
            (Some(from), Some(to)) if from == to => Err("they are the same"),
            (Some(Subject::Resource(from)), Some(Subject::Resource(to)))
                if from.kind != to.kind =>
            {
                Err("a resource keeps its type")
            }
            (Some(Subject::Resource(from)), Some(Subject::Resource(to))) => {
                Ok(Self::Resource(from, to))
            }
            (Some(Subject::Unit(from)), Some(Subject::Unit(to))) => Ok(Self::Unit(from, to)),
            (Some(Subject::Cluster(from)), Some(Subject::Cluster(to))) => {
                Ok(Self::Cluster(from, to))
            }
            _ => Err("write two addresses, two units or two clusters (account/region/cluster)"),
        }
    }

    /// What a resource is called from now on; `None`: as before.
    #[must_use]
    pub fn apply(&self, address: &Address) -> Option<Address> {
        let mut new = address.clone();
        match self {
            Self::Resource(from, to) if address == from => new = to.clone(),
            Self::Unit(from, to) if address.unit == *from => new.unit = to.clone(),
            Self::Cluster(from, to) if address.unit.cluster == *from => {
                new.unit.cluster = to.clone();
            }
            _ => return None,
        }
        Some(new)
    }

    /// As [`Self::apply`], of a unit's outputs.
    #[must_use]
    pub fn apply_unit(&self, unit: &UnitPath) -> Option<UnitPath> {
        match self {
            Self::Unit(from, to) if unit == from => Some(to.clone()),
            Self::Cluster(from, to) if unit.cluster == *from => Some(UnitPath {
                cluster: to.clone(),
                unit: unit.unit.clone(),
            }),
            _ => None,
        }
    }
}

impl Refactoring {
    /// What `fleet.yaml` says.
    pub(crate) fn read(fleet: &LiveFleet, mistakes: &mut Vec<Diagnostic>) -> Self {
        let list = |name| fleet.document.get(name).and_then(Node::as_list);
        let list = |name| list(name).unwrap_or_default().iter();
        let read = Self {
            moved: list("moved").filter_map(|it| moved(it, mistakes)).collect(),
            removed: list("removed")
                .filter_map(|it| removed(it, mistakes))
                .collect(),
            imports: list("import")
                .filter_map(|it| import(it, mistakes))
                .collect(),
        };
        read.refuse_twice(mistakes);
        read
    }

    fn refuse_twice(&self, mistakes: &mut Vec<Diagnostic>) {
        let mut sources = BTreeSet::new();
        for moved in &self.moved {
            let from = match &moved.what {
                Move::Resource(from, _) => from.to_string(),
                Move::Unit(from, _) => from.to_string(),
                Move::Cluster(from, _) => from.to_string(),
            };
            if !sources.insert(from.clone()) {
                let message = format!("`{from}` is moved twice");
                mistakes.push(Diagnostic::at(moved.from.clone(), message));
            }
        }
        let mut targets = BTreeSet::new();
        for import in &self.imports {
            if !targets.insert(&import.to) {
                let message = format!("`{}` is imported twice", import.to);
                mistakes.push(Diagnostic::at(import.position.clone(), message));
            }
        }
    }
}

/// The text of a key; a missing one is told by the schema already.
fn text<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a Position)> {
    let value = node.get(key)?;
    Some((value.as_str()?, &value.position))
}

fn moved(node: &Node, mistakes: &mut Vec<Diagnostic>) -> Option<Moved> {
    let ((from, from_at), (to, to_at)) = (text(node, "from")?, text(node, "to")?);
    match Move::parse(from, to) {
        Ok(what) => Some(Moved {
            what,
            from: from_at.clone(),
            to: to_at.clone(),
        }),
        Err(why) => {
            let at = if Subject::parse(from).is_none() {
                from_at
            } else {
                to_at
            };
            let message = format!("`{from}` cannot become `{to}`");
            mistakes.push(Diagnostic::at(at.clone(), message).label(why));
            None
        }
    }
}

fn removed(node: &Node, mistakes: &mut Vec<Diagnostic>) -> Option<Removed> {
    let (from, at) = text(node, "from")?;
    let Some(place) = Subject::parse(from) else {
        mistakes.push(no_place(from, at));
        return None;
    };
    let destroy = node
        .get("destroy")
        .is_none_or(|it| it.as_bool() != Some(false));
    Some(Removed {
        from: place,
        destroy,
        position: at.clone(),
    })
}

fn import(node: &Node, mistakes: &mut Vec<Diagnostic>) -> Option<Import> {
    let ((to, at), (id, _)) = (text(node, "to")?, text(node, "id")?);
    let Some(Subject::Resource(to)) = Subject::parse(to) else {
        mistakes.push(no_place(to, at));
        return None;
    };
    Some(Import {
        to,
        id: id.to_owned(),
        position: at.clone(),
    })
}

fn no_place(text: &str, at: &Position) -> Diagnostic {
    Diagnostic::at(at.clone(), format!("`{text}` names nothing")).help(
        "write an address: account/region/cluster/unit:type.name (or, but for an import, the path of a unit or a cluster)",
    )
}
