//! From a live fleet to its [`Stack`]: units and resources are made out, every expression is evaluated once with nothing known (so
//! that every mistake shows offline), and what each resource reads becomes its dependencies.
//!
//! ```text
//! clusters -> who observes whom -> units (for_each, when) -> inputs merged -> resources (for_each, when) -> dependencies, cycles
//! ```
//!
//! * `for_each` takes a list (one per element; the key is the text itself, or the element's `key` or `name`), a map (`each.key`,
//!   `each.value`) or null (none).
//! * `when` takes a boolean; null and an empty list or map mean no.
//! * How many units and resources there are is decided by the tree alone: neither may depend on what is known after apply.

mod check;
mod evaluation;
mod expand;
mod federation;
mod graph;
mod reading;
mod sources;
mod view;

pub(crate) use check::{inputs, outputs, properties, value};
pub(crate) use evaluation::{Evaluation, Scope};
pub(crate) use reading::readings;
pub(crate) use sources::Sources;

use crate::{Catalog, Cluster, Diagnostic, Diagnostics, Fleet, LiveFleet, Refactoring, Stack};

/// Renders a fleet of the live tree for its platform.
///
/// # Errors
/// Every mistake in the tree and in the modules it uses, in file order.
pub fn build(fleet: &LiveFleet, catalog: &Catalog) -> Result<Stack, Diagnostics> {
    let mut mistakes = Vec::new();
    let mut sources = Sources::new(fleet, catalog, &mut mistakes);
    federation::relate(&mut sources, fleet);
    expand::units(&mut sources, fleet, catalog, &mut mistakes);
    let resources = if sources.built {
        expand::resources(&mut sources, &mut mistakes);
        check::resources(&sources, &mut mistakes)
    } else {
        Vec::new()
    };
    check::units(&sources, &mut mistakes);
    if mistakes.is_empty() {
        graph::check(&resources, &mut mistakes);
    }
    let refactoring = Refactoring::read(fleet, &mut mistakes);
    finish(mistakes)?;
    let described = (describe(fleet), clusters(fleet));
    Ok(Stack::new(described, resources, refactoring, sources))
}

/// Mistakes in file order, each once: one that many units read is found many times.
fn finish(mut mistakes: Vec<Diagnostic>) -> Result<(), Diagnostics> {
    mistakes.sort_by(|left, right| {
        (&left.position, &left.message).cmp(&(&right.position, &right.message))
    });
    mistakes.dedup();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Diagnostics(mistakes))
    }
}

fn describe(fleet: &LiveFleet) -> Fleet {
    Fleet {
        name: fleet.name.clone(),
        dir: fleet.dir.clone(),
        platform: fleet.platform.clone(),
        data_dir: fleet.data_dir.clone(),
    }
}

fn clusters(fleet: &LiveFleet) -> Vec<Cluster> {
    let describe = |cluster: &crate::LiveCluster| Cluster {
        path: cluster.path.clone(),
        id: cluster.id.clone(),
        key: cluster.key.clone(),
        role: cluster.role.clone(),
        file: cluster.file.clone(),
    };
    let mut clusters: Vec<_> = fleet.clusters.iter().map(describe).collect();
    clusters.sort_by(|left, right| left.path.cmp(&right.path));
    clusters
}

#[cfg(test)]
mod tests;
