//! In which order a plan's steps may run.
//!
//! A resource is *made* (created, updated, or found as it should be) after all that it depends on is made; it is *removed*
//! after all that depended on it, by the edges recorded when it was made, is removed. A replacement has both steps:
//! removed and then made, or with `create_before_destroy` (which reaches all that the resource depends on) the other
//! way round. What goes for good also waits for the update of those that no longer need it, unless that would be a circle.

use std::collections::{BTreeMap, BTreeSet};

use stack::Address;

use crate::{Action, Change};

/// What a step does to its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Make,
    Remove,
}

/// One step and the steps it waits for.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) change: &'a Change,
    pub(crate) step: Step,
    pub(crate) waits: BTreeSet<usize>,
}

/// All steps of a plan.
#[derive(Debug)]
pub(crate) struct Schedule<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    at: BTreeMap<(&'a Address, Step), usize>,
}

/// The recorded edges: by resource, what it depended on when it was made.
pub(crate) type Edges = BTreeMap<Address, BTreeSet<Address>>;

impl<'a> Schedule<'a> {
    pub(crate) fn new(changes: &'a [Change], recorded: &Edges) -> Self {
        let strict = Self::build(changes, recorded, true);
        // Edges recorded by different applies may contradict each other.
        if strict.is_acyclic() {
            strict
        } else {
            Self::build(changes, recorded, false)
        }
    }

    fn build(changes: &'a [Change], recorded: &Edges, strict: bool) -> Self {
        let mut schedule = Self::of_steps(changes);
        let late = created_first(changes);
        let dependents = reversed(changes, recorded);
        let mut soft = Vec::new();
        for change in changes {
            schedule.make_after_dependencies(change);
            schedule.order_own_steps(change, late.contains(&change.address));
            for dependent in dependents.get(&change.address).into_iter().flatten() {
                let removed = schedule.pair(&change.address, Step::Remove, dependent, Step::Remove);
                let forced = strict && !late.contains(*dependent);
                match removed {
                    Some((node, on)) if forced => drop(schedule.nodes[node].waits.insert(on)),
                    removed => soft.extend(removed),
                }
                let stays = change.action != Action::Replace || late.contains(&change.address);
                let made = schedule.pair(&change.address, Step::Remove, dependent, Step::Make);
                soft.extend(made.filter(|_| stays));
            }
        }
        for (node, on) in soft {
            if !schedule.waits_for(on, node) {
                schedule.nodes[node].waits.insert(on);
            }
        }
        schedule
    }

    fn of_steps(changes: &'a [Change]) -> Self {
        let mut schedule = Self {
            nodes: Vec::new(),
            at: BTreeMap::new(),
        };
        for change in changes {
            for step in steps(change) {
                schedule
                    .at
                    .insert((&change.address, *step), schedule.nodes.len());
                schedule.nodes.push(Node {
                    change,
                    step: *step,
                    waits: BTreeSet::new(),
                });
            }
        }
        schedule
    }

    fn make_after_dependencies(&mut self, change: &Change) {
        for on in &change.depends_on {
            if let Some((node, on)) = self.pair(&change.address, Step::Make, on, Step::Make) {
                self.nodes[node].waits.insert(on);
            }
        }
    }

    fn order_own_steps(&mut self, change: &Change, created_first: bool) {
        let own = self.pair(&change.address, Step::Make, &change.address, Step::Remove);
        let Some((make, remove)) = own else { return };
        let (later, earlier) = match change.action {
            Action::Replace if !created_first => (make, remove),
            _ => (remove, make),
        };
        self.nodes[later].waits.insert(earlier);
    }

    fn pair(&self, a: &Address, step: Step, b: &Address, on: Step) -> Option<(usize, usize)> {
        Some((*self.at.get(&(a, step))?, *self.at.get(&(b, on))?))
    }

    /// Whether `node` waits for `on`, through others too.
    fn waits_for(&self, node: usize, on: usize) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![node]);
        while let Some(node) = next.pop() {
            if node == on {
                return true;
            }
            next.extend(
                self.nodes[node]
                    .waits
                    .iter()
                    .filter(|waits| seen.insert(**waits)),
            );
        }
        false
    }

    fn is_acyclic(&self) -> bool {
        let mut waits: Vec<usize> = self.nodes.iter().map(|node| node.waits.len()).collect();
        let dependents = self.dependents();
        let mut ready: Vec<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
        let mut done = 0;
        while let Some(at) = ready.pop() {
            done += 1;
            for dependent in &dependents[at] {
                waits[*dependent] -= 1;
                if waits[*dependent] == 0 {
                    ready.push(*dependent);
                }
            }
        }
        done == self.nodes.len()
    }

    /// By node, the nodes that wait for it.
    pub(crate) fn dependents(&self) -> Vec<Vec<usize>> {
        let mut dependents = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            node.waits.iter().for_each(|on| dependents[*on].push(at));
        }
        dependents
    }
}

fn steps(change: &Change) -> &'static [Step] {
    match change.action {
        Action::Replace => &[Step::Make, Step::Remove],
        Action::Delete | Action::Forget => &[Step::Remove],
        _ if change.deposed.is_empty() => &[Step::Make],
        _ => &[Step::Make, Step::Remove],
    }
}

/// The replaced resources whose successor is made first: those that say so, and those that they depend on.
pub(crate) fn created_first(changes: &[Change]) -> BTreeSet<Address> {
    let by_address: BTreeMap<&Address, &Change> = changes
        .iter()
        .map(|change| (&change.address, change))
        .collect();
    let replaced = |change: &&&Change| change.action == Action::Replace;
    let says_so = by_address.values().filter(replaced);
    let mut next: Vec<&Change> = says_so
        .filter(|change| change.lifecycle.create_before_destroy)
        .copied()
        .collect();
    let (mut seen, mut first) = (BTreeSet::new(), BTreeSet::new());
    while let Some(change) = next.pop() {
        if !seen.insert(&change.address) {
            continue;
        }
        if change.action == Action::Replace {
            first.insert(change.address.clone());
        }
        next.extend(change.depends_on.iter().filter_map(|on| by_address.get(on)));
    }
    first
}

/// By resource, those that depended on it when they were made.
fn reversed<'e>(
    changes: &'e [Change],
    recorded: &'e Edges,
) -> BTreeMap<&'e Address, BTreeSet<&'e Address>> {
    let mut dependents = BTreeMap::<_, BTreeSet<_>>::new();
    for change in changes {
        // What is not recorded is an intent of an interrupted run, which has its edges itself.
        let edges = recorded.get(&change.address).or(match change.action {
            Action::Delete => Some(&change.depends_on),
            _ => None,
        });
        for on in edges.into_iter().flatten() {
            dependents.entry(on).or_default().insert(&change.address);
        }
    }
    dependents
}
