//! The order in which wanted resources are planned: dependencies first, else by address.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use stack::{Address, Diagnostic, Diagnostics, Resource};

/// Positions in `resources`, dependencies before dependents. Dependencies that are not wanted are no matter.
pub(crate) fn order(resources: &[Resource]) -> Result<Vec<usize>, Diagnostics> {
    let places: HashMap<&Address, usize> = resources
        .iter()
        .enumerate()
        .map(|(at, resource)| (&resource.address, at))
        .collect();
    let mut waits = vec![0_usize; resources.len()];
    let mut dependents = vec![Vec::new(); resources.len()];
    for (at, resource) in resources.iter().enumerate() {
        for on in resource
            .depends_on
            .iter()
            .filter_map(|address| places.get(address))
        {
            dependents[*on].push(at);
            waits[at] += 1;
        }
    }
    let mut ready: BinaryHeap<_> = (0..resources.len())
        .filter(|at| waits[*at] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(resources.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for dependent in &dependents[at] {
            waits[*dependent] -= 1;
            if waits[*dependent] == 0 {
                ready.push(Reverse(*dependent));
            }
        }
    }
    if order.len() == resources.len() {
        Ok(order)
    } else {
        Err(circle(resources, &waits))
    }
}

fn circle(resources: &[Resource], waits: &[usize]) -> Diagnostics {
    let mut inside = resources.iter().zip(waits).filter(|(_, waits)| **waits > 0);
    let Some((first, _)) = inside.next() else {
        return Diagnostics::default();
    };
    let message = format!("`{}` depends on itself, through others", first.address);
    let mut diagnostic = Diagnostic::at(first.position.clone(), message);
    let related = inside.map(|(other, _)| (other.position.clone(), other.address.to_string()));
    diagnostic.related = related.collect();
    Diagnostics(vec![diagnostic])
}
