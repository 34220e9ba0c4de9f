//! `tks graph`: what needs what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::engine::plan_failure;
use super::list::near;
use crate::Exit;
use crate::args::{GraphArgs, GraphFormat};
use crate::diagnostic::Result;
use crate::session::{self, Fleet};
use crate::term::{Branch, Printer};

pub(crate) fn run(args: &GraphArgs, printer: &Printer) -> Result<Exit> {
    let mut graphs = Vec::new();
    for fleet in session::fleets(args.path.as_deref(), &args.tree)? {
        graphs.push(graph(&fleet, args)?);
    }
    let text = match args.format {
        GraphFormat::Dot => dot(&graphs),
        GraphFormat::Json => format!("{:#}", graphs.iter().map(Graph::json).collect::<Json>()),
        GraphFormat::Tree => {
            let trees: Vec<String> = graphs.iter().map(Graph::tree).collect();
            trees.join("\n")
        }
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// What needs what, in one fleet.
struct Graph {
    fleet: String,
    nodes: BTreeMap<String, Node>,
}

struct Node {
    cluster: String,
    /// Without the cluster.
    label: String,
    needs: BTreeSet<String>,
}

fn graph(fleet: &Fleet, args: &GraphArgs) -> Result<Graph> {
    let mut universe = fleet.universe(&fleet.states()?);
    let selection = fleet.selection(&args.choice)?;
    if selection.asks_for_files() {
        universe = universe.read(&fleet.stack);
    }
    let picked = selection.pick(&universe).map_err(plan_failure)?;
    let mut nodes = BTreeMap::new();
    if args.resources {
        let resources = fleet.stack.resources.iter();
        let resources = resources
            .filter(|it| fleet.selects(&it.address.unit.cluster) && picked.has(&it.address));
        for resource in resources {
            let address = &resource.address;
            let text = address.to_string();
            let cluster = address.unit.cluster.to_string();
            let label = text
                .strip_prefix(&format!("{cluster}/"))
                .unwrap_or(&text)
                .to_owned();
            let needs = resource
                .depends_on
                .iter()
                .map(ToString::to_string)
                .collect();
            nodes.insert(
                text,
                Node {
                    cluster,
                    label,
                    needs,
                },
            );
        }
    } else {
        let units = universe.units.iter();
        let units = units.filter(|(unit, facts)| {
            facts.in_tree && fleet.selects(&unit.cluster) && picked.has_some_of(unit)
        });
        for (unit, facts) in units {
            let node = Node {
                cluster: unit.cluster.to_string(),
                label: near(unit, unit),
                needs: facts.needs.iter().map(ToString::to_string).collect(),
            };
            nodes.insert(unit.to_string(), node);
        }
    }
    let names: BTreeSet<String> = nodes.keys().cloned().collect();
    for node in nodes.values_mut() {
        node.needs.retain(|name| names.contains(name));
    }
    Ok(Graph {
        fleet: fleet.live.name.clone(),
        nodes,
    })
}

/// Arrows point to what is needed, as Terraform's do.
fn dot(graphs: &[Graph]) -> String {
    let mut text = String::from("digraph tks {\n  rankdir = \"LR\";\n  node [shape = \"box\"];\n");
    for graph in graphs {
        let clusters: BTreeSet<&str> = graph.nodes.values().map(|it| it.cluster.as_str()).collect();
        for cluster in clusters {
            let name = format!("{} {cluster}", graph.fleet);
            let _ = writeln!(
                text,
                "  subgraph {:?} {{\n    label = {name:?};",
                format!("cluster {name}")
            );
            for (id, node) in graph.nodes.iter().filter(|(_, it)| it.cluster == cluster) {
                let _ = writeln!(text, "    {:?} [label = {:?}];", graph.id(id), node.label);
            }
            text.push_str("  }\n");
        }
        for (id, node) in &graph.nodes {
            for needed in &node.needs {
                let _ = writeln!(text, "  {:?} -> {:?};", graph.id(id), graph.id(needed));
            }
        }
    }
    text.push('}');
    text
}

impl Graph {
    /// Two fleets may have units of one name.
    fn id(&self, name: &str) -> String {
        format!("{} {name}", self.fleet)
    }

    fn json(&self) -> Json {
        let node = |(id, node): (&String, &Node)| json!({ "id": id, "cluster": node.cluster, "needs": node.needs });
        json!({
            "fleet": self.fleet,
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    }

    /// What nothing needs, with what it needs below. What was shown before is not unfolded again.
    fn tree(&self) -> String {
        let needed: BTreeSet<&String> = self.nodes.values().flat_map(|it| &it.needs).collect();
        let mut root = Branch::new(&self.fleet);
        let mut shown = BTreeSet::new();
        let tops = self.nodes.keys().filter(|name| !needed.contains(name));
        // Units that need each other in turn have no top: what is left is shown too.
        for name in tops.chain(self.nodes.keys()) {
            if !shown.contains(name) {
                root.below.push(self.branch(name, &mut shown));
            }
        }
        root.render()
    }

    fn branch<'a>(&'a self, name: &'a String, shown: &mut BTreeSet<&'a String>) -> Branch {
        let needs = self.nodes.get(name).map(|node| &node.needs);
        let needs = needs.filter(|needs| !needs.is_empty());
        if !shown.insert(name) {
            let more = if needs.is_some() { " …" } else { "" };
            return Branch::new(format!("{name}{more}"));
        }
        let mut branch = Branch::new(name);
        for needed in needs.into_iter().flatten() {
            branch.below.push(self.branch(needed, shown));
        }
        branch
    }
}
