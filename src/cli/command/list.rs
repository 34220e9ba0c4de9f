//! `tks list`: units, and how they stand.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plan::{Picked, PlanMode, UnitFacts, Universe};
use serde_json::{Value as Json, json};
use stack::{Address, ClusterPath, Resource, UnitPath};

use super::engine::{Workshop, plan_failure};
use crate::Exit;
use crate::args::ListArgs;
use crate::diagnostic::Result;
use crate::session::{self, Fleet};
use crate::term::{Branch, Printer, table};

pub(crate) fn run(args: &ListArgs, printer: &Printer) -> Result<Exit> {
    let mut lists = Vec::new();
    for fleet in session::fleets(args.path.as_deref(), &args.tree)? {
        lists.push(Listed::of(fleet, args, printer)?);
    }
    let text = if args.json {
        format!("{:#}", lists.iter().map(Listed::json).collect::<Json>())
    } else if args.as_tree {
        let trees: Vec<String> = lists.iter().map(Listed::tree).collect();
        trees.join("\n")
    } else if args.dag {
        table(
            &["STEP", "UNIT", "STATUS", "NEEDS"],
            lists.iter().flat_map(Listed::in_order),
        )
    } else {
        let rows = lists.iter().flat_map(|list| list.rows(lists.len() > 1));
        let head = ["FLEET", "UNIT", "STATUS", "RESOURCES", "ROLE", "MODULE"];
        table(&head[usize::from(lists.len() < 2)..], rows)
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// The listed units of one fleet.
struct Listed {
    fleet: Fleet,
    universe: Universe,
    picked: Picked,
    /// Units changed outside of tks; `None`: nobody looked.
    drifted: Option<BTreeSet<UnitPath>>,
}

impl Listed {
    fn of(fleet: Fleet, args: &ListArgs, printer: &Printer) -> Result<Self> {
        let universe = fleet.universe(&fleet.states()?).read(&fleet.stack);
        let selection = fleet.selection(&args.choice)?;
        let picked = selection.pick(&universe).map_err(plan_failure)?;
        let (fleet, drifted) = if args.drift {
            let workshop = Workshop::open(fleet, printer)?;
            let plan = workshop.plan(PlanMode::RefreshOnly)?;
            let units = plan.drift.into_iter().map(|drift| drift.address.unit);
            (workshop.fleet, Some(units.collect()))
        } else {
            (fleet, None)
        };
        Ok(Self {
            fleet,
            universe,
            picked,
            drifted,
        })
    }

    fn units(&self) -> impl Iterator<Item = (&UnitPath, &UnitFacts)> {
        let all = self.universe.units.iter();
        all.filter(|(unit, facts)| {
            let there = facts.in_tree || !facts.recorded.is_empty();
            there && self.fleet.selects(&unit.cluster) && self.picked.has_some_of(unit)
        })
    }

    fn has_drifted(&self, unit: &UnitPath) -> Option<bool> {
        self.drifted.as_ref().map(|drifted| drifted.contains(unit))
    }

    fn status(&self, unit: &UnitPath, facts: &UnitFacts) -> &'static str {
        match facts {
            _ if !facts.in_tree => "orphaned",
            _ if self.has_drifted(unit) == Some(true) => "drifted",
            UnitFacts {
                applied: Some(_), ..
            } if facts.has_changed() => "changed",
            UnitFacts {
                applied: Some(_), ..
            } => "applied",
            _ if !facts.recorded.is_empty() => "partly",
            _ if facts.wanted.is_empty() => "empty",
            _ => "new",
        }
    }

    fn rows(&self, with_fleet: bool) -> Vec<Vec<String>> {
        let row = |(unit, facts): (&UnitPath, &UnitFacts)| {
            let fleet = with_fleet.then(|| self.fleet.live.name.clone());
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let cells = [
                unit.to_string(),
                self.status(unit, facts).to_owned(),
                counted(facts),
                text(&facts.role),
                text(&facts.module),
            ];
            fleet.into_iter().chain(cells).collect()
        };
        self.units().map(row).collect()
    }

    fn tree(&self) -> String {
        let (live, mut last) = (&self.fleet.live, None);
        let mut root = Branch::new(format!("{} ({})", live.name, live.platform));
        for (unit, facts) in self.units() {
            let UnitPath {
                cluster,
                unit: name,
            } = unit;
            let region = root.child(&cluster.account).child(&cluster.region);
            // Two clusters may have one name, in two regions.
            if last != Some(cluster) {
                let role = facts.role.as_deref().unwrap_or("no longer in the tree");
                region
                    .below
                    .push(Branch::new(format!("{} ({role})", cluster.cluster)));
            }
            last = Some(cluster);
            let at = region.below.len() - 1;
            let status = self.status(unit, facts);
            region.below[at]
                .below
                .push(Branch::new(format!("{name}: {status}")));
        }
        root.render()
    }

    /// Units in the order in which they are made; those that go last are no longer in the tree.
    fn in_order(&self) -> Vec<Vec<String>> {
        let steps = steps(&self.fleet.stack.resources);
        let mut units: Vec<(Option<usize>, &UnitPath, &UnitFacts)> = self
            .units()
            .map(|(unit, facts)| {
                (
                    facts.in_tree.then(|| steps.get(unit).map_or(0, |it| *it)),
                    unit,
                    facts,
                )
            })
            .collect();
        units.sort_by_key(|(step, unit, _)| (step.unwrap_or(usize::MAX), *unit));
        let row = |(step, unit, facts): (Option<usize>, &UnitPath, &UnitFacts)| {
            let needs: Vec<String> = facts.needs.iter().map(|it| near(unit, it)).collect();
            vec![
                step.map_or_else(|| "-".to_owned(), |step| (step + 1).to_string()),
                unit.to_string(),
                self.status(unit, facts).to_owned(),
                needs.join(" "),
            ]
        };
        units.into_iter().map(row).collect()
    }

    fn json(&self) -> Json {
        let live = &self.fleet.live;
        let mut clusters: BTreeMap<&ClusterPath, Vec<Json>> = BTreeMap::new();
        for (unit, facts) in self.units() {
            let told = clusters.entry(&unit.cluster).or_default();
            told.push(self.unit_json(unit, facts));
        }
        let cluster = |(path, units): (&ClusterPath, Vec<Json>)| {
            let known = self.fleet.stack.clusters.iter().find(|it| it.path == *path);
            json!({
                "path": path.to_string(),
                "exists": known.is_some(),
                "id": known.map(|it| &it.id),
                "key": known.map(|it| &it.key),
                "role": known.map(|it| &it.role),
                "file": known.map(|it| &it.file),
                "units": units,
            })
        };
        json!({
            "name": live.name,
            "dir": live.dir,
            "platform": live.platform,
            "clusters": clusters.into_iter().map(cluster).collect::<Vec<_>>(),
        })
    }

    fn unit_json(&self, unit: &UnitPath, facts: &UnitFacts) -> Json {
        let needs: Vec<String> = facts.needs.iter().map(ToString::to_string).collect();
        json!({
            "path": unit.to_string(),
            "name": unit.unit,
            "module": facts.module,
            "status": self.status(unit, facts),
            "exists": facts.in_tree,
            "applied": facts.applied.is_some() || !facts.recorded.is_empty(),
            "changed": facts.has_changed(),
            "drifted": self.has_drifted(unit),
            "orphaned": !facts.in_tree,
            "resources": { "wanted": facts.wanted.len(), "recorded": facts.recorded.len() },
            "needs": needs,
            "files": facts.reading.as_ref().map(|reading| &reading.files),
        })
    }
}

/// `3` when all that is wanted is recorded, else `2/3`.
fn counted(facts: &UnitFacts) -> String {
    let (recorded, wanted) = (facts.recorded.len(), facts.wanted.len());
    if recorded == wanted || !facts.in_tree {
        recorded.to_string()
    } else {
        format!("{recorded}/{wanted}")
    }
}

/// The name of `unit` as it is called in the cluster of `from`.
pub(super) fn near(from: &UnitPath, unit: &UnitPath) -> String {
    if unit.cluster == from.cluster {
        unit.unit.clone()
    } else {
        unit.to_string()
    }
}

/// How many other units stand one behind the other before the last resource of a unit can be made.
fn steps(resources: &[Resource]) -> HashMap<&UnitPath, usize> {
    let needs: HashMap<&Address, &BTreeSet<Address>> = resources
        .iter()
        .map(|it| (&it.address, &it.depends_on))
        .collect();
    let mut depths = HashMap::new();
    let mut steps: HashMap<&UnitPath, usize> = HashMap::new();
    for resource in resources {
        let depth = depth(&resource.address, &needs, &mut depths);
        let step = steps.entry(&resource.address.unit).or_default();
        *step = depth.max(*step);
    }
    steps
}

fn depth<'a>(
    address: &'a Address,
    needs: &HashMap<&'a Address, &'a BTreeSet<Address>>,
    known: &mut HashMap<&'a Address, usize>,
) -> usize {
    if let Some(depth) = known.get(address) {
        return *depth;
    }
    let mut deepest = 0;
    for on in needs.get(address).into_iter().copied().flatten() {
        let other = usize::from(on.unit != address.unit);
        deepest = deepest.max(depth(on, needs, known) + other);
    }
    known.insert(address, deepest);
    deepest
}
