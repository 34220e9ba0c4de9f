//! Where all the steps of a run are.

use std::collections::BTreeSet;

use crate::schedule::{Schedule, Step};

/// Where all the steps are.
pub(super) struct Board {
    pub(super) waits: Vec<BTreeSet<usize>>,
    pub(super) dependents: Vec<Vec<usize>>,
    /// Makes before removals, else in address order.
    pub(super) ready: BTreeSet<(Step, usize)>,
    pub(super) started: BTreeSet<usize>,
}

impl Board {
    pub(super) fn new(schedule: &Schedule<'_>) -> Self {
        let waits: Vec<_> = schedule
            .nodes
            .iter()
            .map(|node| node.waits.clone())
            .collect();
        let free = schedule
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.waits.is_empty());
        let ready = free.map(|(at, node)| (node.step, at)).collect();
        Self {
            dependents: schedule.dependents(),
            waits,
            ready,
            started: BTreeSet::new(),
        }
    }

    pub(super) fn done(&mut self, schedule: &Schedule<'_>, node: usize) {
        for dependent in &self.dependents[node] {
            let waits = &mut self.waits[*dependent];
            waits.remove(&node);
            if waits.is_empty() {
                self.ready
                    .insert((schedule.nodes[*dependent].step, *dependent));
            }
        }
    }

    /// All that waits for a node that failed, through others too.
    pub(super) fn abandon(&self, node: usize) -> BTreeSet<usize> {
        let (mut left, mut next) = (BTreeSet::new(), vec![node]);
        while let Some(node) = next.pop() {
            next.extend(
                self.dependents[node]
                    .iter()
                    .filter(|dependent| left.insert(**dependent)),
            );
        }
        left
    }
}
