//! From a path to what a command works with: the tree, its stack, its state, its providers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::{Affected, Filter, Plan, Providers, Selection, State, StateStore, Universe};
use stack::{
    Address, Attributes, Catalog, ClusterPath, Diagnostics, Known, LiveFleet, LoadOptions, Stack,
};

use crate::args::{ChoiceArgs, TreeArgs};
use crate::diagnostic::{Failure, Result};
use crate::{Exit, extension, git};

/// One fleet, read and rendered.
pub(crate) struct Fleet {
    pub(crate) live: LiveFleet,
    pub(crate) stack: Stack,
    pub(crate) catalog: Arc<Catalog>,
}

/// Reads every fleet that `path` means; all mistakes of all of them in one failure.
pub(crate) fn fleets(path: Option<&Path>, tree: &TreeArgs) -> Result<Vec<Fleet>> {
    let options = load_options(tree)?;
    let dirs = stack::live::discover(path, &options.working_dir)?;
    let mut fleets = Vec::new();
    let mut mistakes = Vec::new();
    let alone = dirs.len() == 1;
    for dir in &dirs {
        // A path inside of a fleet selects a part of it.
        let what = path.filter(|_| alone).unwrap_or(dir);
        match fleet(dir, what, &options) {
            Ok(mut found) => fleets.append(&mut found),
            Err(Diagnostics(mut found)) => mistakes.append(&mut found),
        }
    }
    if mistakes.is_empty() {
        Ok(fleets)
    } else {
        Err(Failure::of(mistakes))
    }
}

fn fleet(
    dir: &Path,
    path: &Path,
    options: &LoadOptions,
) -> std::result::Result<Vec<Fleet>, Diagnostics> {
    let catalog = Arc::new(Catalog::load(dir)?);
    let tree = stack::live::load(Some(path), options, catalog.as_ref())?;
    let build = |live: LiveFleet| {
        let stack = stack::build(&live, &catalog)?;
        Ok(Fleet {
            live,
            stack,
            catalog: Arc::clone(&catalog),
        })
    };
    tree.fleets.into_iter().map(build).collect()
}

fn load_options(tree: &TreeArgs) -> Result<LoadOptions> {
    let working_dir =
        std::env::current_dir().map_err(|e| Failure::io("cannot tell the working folder", &e))?;
    Ok(LoadOptions {
        platform: tree.platform.clone(),
        set: tree.set.clone(),
        data_dir: tree.data_dir.clone(),
        working_dir,
    })
}

/// The one fleet that `path` means.
pub(crate) fn fleet_at(path: Option<&Path>, tree: &TreeArgs) -> Result<Fleet> {
    let mut fleets = fleets(path, tree)?;
    if fleets.len() > 1 {
        let names: Vec<String> = fleets
            .iter()
            .map(|fleet| format!("`{}`", fleet.dir()))
            .collect();
        return Err(
            Failure::new(format!("several fleets are here: {}", names.join(", ")))
                .help("name one of them"),
        );
    }
    fleets.pop().ok_or_else(|| Failure::new("no fleet is here"))
}

/// The fleet of a plan file, read for the plan's platform. A pipeline may plan and apply in different folders: then it is the
/// one fleet here that is called so.
pub(crate) fn fleet_of_plan(file: &Path, tree: &TreeArgs) -> Result<Fleet> {
    let planned = Plan::fleet_of(file).map_err(|error| {
        Failure::from_error(&error).help("a plan is made with `tks plan --out FILE`")
    })?;
    let tree = TreeArgs {
        platform: Some(planned.platform),
        ..tree.clone()
    };
    if planned.dir.join("fleet.yaml").is_file() {
        return fleet_at(Some(&planned.dir), &tree);
    }
    let here = load_options(&tree)?.working_dir;
    let mut dirs = stack::live::discover(None, &here).unwrap_or_default();
    dirs.extend(stack::live::discover(Some(&here), &here).unwrap_or_default());
    dirs.retain(|dir| {
        dir.file_name()
            .is_some_and(|name| name.to_string_lossy() == planned.name)
    });
    dirs.sort();
    dirs.dedup();
    match dirs.as_slice() {
        [one] => fleet_at(Some(one), &tree),
        _ => {
            let (name, dir) = (planned.name, planned.dir);
            let message = format!("the plan is for fleet {name} in {}", dir.display());
            Err(Failure::new(message).help("it is not here: go to a folder above it, or into it"))
        }
    }
}

impl Fleet {
    /// The fleet's folder as a person would type it here.
    pub(crate) fn dir(&self) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let dir = self.live.dir.strip_prefix(&here).unwrap_or(&self.live.dir);
        if dir.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            dir.display().to_string()
        }
    }

    /// Refuses a platform that no module is written for yet.
    pub(crate) fn must_be_built(&self) -> Result<()> {
        let platform = &self.live.platform;
        if self
            .catalog
            .platforms()
            .iter()
            .any(|built| built == platform)
        {
            return Ok(());
        }
        let dir = self.dir();
        Err(Failure::new(format!(
            "fleet {}: platform {platform} is not built yet",
            self.live.name
        ))
        .help(format!(
            "`tks validate {dir}` checks the tree; `tks up {dir}` runs it on this machine"
        )))
    }

    /// Types of resources that nobody serves, and properties that they do not have.
    pub(crate) fn check_types(&self) -> Result<()> {
        if !self.stack.platform_built {
            return Ok(());
        }
        let providers = self.providers()?;
        let mut mistakes = Diagnostics::default();
        for resource in &self.stack.resources {
            let properties = self.stack.properties(&resource.address, &Nothing)?;
            let found = providers.check(resource, &properties);
            found.into_iter().for_each(|mistake| mistakes.push(mistake));
        }
        mistakes.or(()).map_err(Failure::from)
    }

    pub(crate) fn store(&self) -> StateStore {
        StateStore::open(&self.live.data_dir)
    }

    pub(crate) fn providers(&self) -> Result<Providers> {
        let config = provider::Config::new(&self.live.data_dir, executable()?);
        let own = provider::registry(config).into_iter();
        Ok(Providers::new(own.chain(extension::providers())))
    }

    /// Every unit of the tree and of the states.
    pub(crate) fn universe(&self, states: &BTreeMap<ClusterPath, State>) -> Universe {
        Universe::of(&self.stack, states)
    }

    /// What is recorded, by cluster.
    pub(crate) fn states(&self) -> Result<BTreeMap<ClusterPath, State>> {
        let states = self.store().load_all();
        states.map_err(|error| Failure::from_error(&error))
    }

    /// The part of the fleet that the path and `choice` mean.
    pub(crate) fn selection(&self, choice: &ChoiceArgs) -> Result<Selection> {
        let mut filters = choice.filter.clone();
        if let Some(file) = &choice.filters_file {
            filters.extend(filters_in(file)?);
        }
        let affected = match choice.affected.as_deref() {
            None => None,
            Some("") => Some(Affected::SinceApplied),
            Some(reference) => Some(Affected::By {
                reference: reference.to_owned(),
                files: git::changed(&self.live.dir, reference)?,
            }),
        };
        Ok(Selection {
            clusters: self.live.selection.clone(),
            filters,
            affected,
            ..Selection::default()
        })
    }

    /// Whether a cluster is selected by the path that was given.
    pub(crate) fn selects(&self, cluster: &ClusterPath) -> bool {
        self.live.selection.is_empty() || self.live.selection.contains(cluster)
    }
}

/// Nothing is known of any resource.
struct Nothing;

impl Known for Nothing {
    fn attributes(&self, _: &Address) -> Option<&Attributes> {
        None
    }
}

fn filters_in(file: &Path) -> Result<Vec<Filter>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    let mut filters = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let filter = line.parse().map_err(|error: plan::FilterError| {
            Failure::new(format!("{shown}:{}: {error}", at + 1)).exit(Exit::Usage)
        })?;
        filters.push(filter);
    }
    Ok(filters)
}

/// This binary.
pub(crate) fn executable() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Failure::io("cannot find the tks binary", &e))
}
