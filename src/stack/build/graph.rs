//! Resources must not need each other in a circle.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::{Address, Diagnostic, Resource};

/// Adds a mistake per circle, which names the way around.
pub(super) fn check(resources: &[Resource], mistakes: &mut Vec<Diagnostic>) {
    let number = |address: &Address| {
        resources
            .binary_search_by(|resource| resource.address.cmp(address))
            .ok()
    };
    let mut graph = DiGraphMap::<usize, ()>::new();
    for (from, resource) in resources.iter().enumerate() {
        graph.add_node(from);
        for to in resource.depends_on.iter().filter_map(number) {
            graph.add_edge(from, to, ());
        }
    }
    for circle in tarjan_scc(&graph) {
        let alone = circle.len() == 1 && !graph.contains_edge(circle[0], circle[0]);
        if !alone {
            let way = way_around(&graph, &circle);
            mistakes.push(describe(resources, &way));
        }
    }
}

/// A walk from the smallest member back to where it has been.
fn way_around(graph: &DiGraphMap<usize, ()>, circle: &[usize]) -> Vec<usize> {
    let members: BTreeSet<usize> = circle.iter().copied().collect();
    let mut way: Vec<usize> = members.first().copied().into_iter().collect();
    while let Some(&last) = way.last() {
        let Some(next) = graph.neighbors(last).find(|next| members.contains(next)) else {
            break;
        };
        if let Some(start) = way.iter().position(|seen| *seen == next) {
            way.drain(..start);
            way.push(next);
            break;
        }
        way.push(next);
    }
    way
}

fn describe(resources: &[Resource], way: &[usize]) -> Diagnostic {
    let names: Vec<_> = way
        .iter()
        .map(|&number| resources[number].address.to_string())
        .collect();
    let message = format!("these need each other: {}", names.join(" -> "));
    let mut mistake = Diagnostic::at(resources[way[0]].position.clone(), message)
        .help("take the shared part out into a resource of its own");
    let others = way.iter().skip(1).take(way.len().saturating_sub(2));
    mistake.related = others
        .map(|&number| {
            (
                resources[number].position.clone(),
                "in the circle".to_owned(),
            )
        })
        .collect();
    mistake
}
