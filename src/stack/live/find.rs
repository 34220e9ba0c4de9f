//! Which files make a tree: `fleet.yaml` marks a fleet, below it lie account, region and cluster.

use std::path::{Path, PathBuf};

use super::check::Kind;
use super::format::{Format, is_name};
use super::place::{absolute, shown};
use crate::diagnostic::closest;
use crate::{ClusterPath, Diagnostic, Diagnostics, Position};

pub(crate) const FLEET_FILE: &str = "fleet.yaml";
pub(crate) const CLUSTER_FILE: &str = "cluster.yaml";
const DOCUMENTS: [&str; 4] = [FLEET_FILE, "account.yaml", "region.yaml", CLUSTER_FILE];
/// Folders of a fleet that are no accounts.
const NO_ACCOUNTS: [&str; 2] = ["modules", "templates"];
/// How deep fleets are looked for below a folder, and stray files below a cluster.
const DEPTH: usize = 6;

/// A document of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub kind: Kind,
    /// Absolute.
    pub file: PathBuf,
    /// Empty parts above the document's own level.
    pub path: ClusterPath,
}

impl Found {
    /// Whether the document is on the way to `cluster`.
    pub(crate) fn is_layer_of(&self, cluster: &ClusterPath) -> bool {
        let same = |mine: &str, other: &str| mine.is_empty() || mine == other;
        same(&self.path.account, &cluster.account)
            && same(&self.path.region, &cluster.region)
            && same(&self.path.cluster, &cluster.cluster)
    }
}

/// The folders (absolute) of the fleets that `path` means; without it, the nearest fleet upward from `working_dir`, else all below `live`.
pub(crate) fn fleets(path: Option<&Path>, working_dir: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let start = match path {
        Some(path) => existing(working_dir, path)?,
        None => absolute(working_dir, Path::new("")),
    };
    if let Some(fleet) = start.ancestors().find(|dir| dir.join(FLEET_FILE).is_file()) {
        return Ok(vec![fleet.to_owned()]);
    }
    let top = if path.is_some() {
        start
    } else {
        start.join("live")
    };
    let mut below = Vec::new();
    fleets_below(&top, DEPTH, &mut below);
    below.sort();
    if below.is_empty() {
        Err(no_fleet(path, &top, working_dir).into())
    } else {
        Ok(below)
    }
}

/// The file or folder that `path` means; `…/observer` also means the short form `…/observer.yaml`.
pub(crate) fn existing(working_dir: &Path, path: &Path) -> Result<PathBuf, Diagnostic> {
    let target = absolute(working_dir, path);
    let mut short = target.clone().into_os_string();
    short.push(".yaml");
    let short = PathBuf::from(short);
    match (target.exists(), short.is_file()) {
        (true, _) => Ok(target),
        (false, true) => Ok(short),
        (false, false) => {
            let parent = target.parent().unwrap_or(&target);
            let names = names_in(parent);
            let name = target
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            Err(
                Diagnostic::new(format!("`{}` does not exist", path.display()))
                    .meant(&name, names.iter().map(String::as_str)),
            )
        }
    }
}

fn no_fleet(path: Option<&Path>, top: &Path, working_dir: &Path) -> Diagnostic {
    let message = match path {
        Some(path) => format!("no fleet in `{}`, above it or below it", path.display()),
        None => "no fleet here: no fleet.yaml in this folder, above it, or below ./live".to_owned(),
    };
    let near = names_in(top)
        .iter()
        .any(|name| !closest(name, [FLEET_FILE]).is_empty());
    let mistake =
        Diagnostic::new(message).help("a fleet is a folder with `fleet.yaml`: it may be empty");
    if near {
        let file = shown(working_dir, top).join(FLEET_FILE);
        return Diagnostic {
            candidates: vec![file.display().to_string()],
            ..mistake
        };
    }
    mistake
}

fn fleets_below(dir: &Path, depth: usize, fleets: &mut Vec<PathBuf>) {
    if dir.join(FLEET_FILE).is_file() {
        fleets.push(dir.to_owned());
    } else if depth > 0 {
        let skipped = |name: &str| {
            name.starts_with('.')
                || NO_ACCOUNTS.contains(&name)
                || ["target", "node_modules"].contains(&name)
        };
        for name in names_in(dir).iter().filter(|name| !skipped(name)) {
            let below = dir.join(name);
            if below.is_dir() && !below.is_symlink() {
                fleets_below(&below, depth - 1, fleets);
            }
        }
    }
}

/// Names in a folder, sorted; none when it cannot be read.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// All documents of the fleet in `dir`, in path order, level by level: what is above stands before what is below it.
pub(crate) fn documents(dir: &Path, working_dir: &Path, mistakes: &mut Diagnostics) -> Vec<Found> {
    let mut walk = Walk {
        working_dir,
        mistakes,
        found: Vec::new(),
    };
    walk.fleet(dir);
    walk.found
}

/// What lies in a folder of the tree.
#[derive(Default)]
struct Listing {
    folders: Vec<String>,
    /// Names of YAML files.
    files: Vec<String>,
}

struct Walk<'a> {
    working_dir: &'a Path,
    mistakes: &'a mut Diagnostics,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn fleet(&mut self, dir: &Path) {
        let listing = self.list(dir);
        self.add(Kind::Fleet, dir.join(FLEET_FILE), ["", "", ""]);
        let others = listing.files.iter().filter(|name| *name != FLEET_FILE);
        others.for_each(|name| {
            self.stray(
                &dir.join(name),
                "a fleet's folder holds `fleet.yaml` and account folders",
            );
        });
        for account in &listing.folders {
            let below = dir.join(account);
            // A folder without any YAML is somebody's notes.
            if !NO_ACCOUNTS.contains(&account.as_str()) && holds_yaml(&below, DEPTH) {
                self.account(&below, account);
            }
        }
    }

    fn account(&mut self, dir: &Path, account: &str) {
        self.check_name(dir, account, "an account");
        let listing = self.list(dir);
        for name in &listing.files {
            match name.as_str() {
                "account.yaml" => self.add(Kind::Account, dir.join(name), [account, "", ""]),
                _ => self.stray(
                    &dir.join(name),
                    "an account's folder holds `account.yaml` and region folders",
                ),
            }
        }
        if listing.folders.is_empty() && listing.files == ["account.yaml"] {
            let shown = shown(self.working_dir, dir);
            self.mistakes.push(
                Diagnostic::new(format!("account `{}` holds no region", shown.display())).help(
                    format!(
                        "add {}, or remove the folder",
                        shown.join("<region>/<cluster>.yaml").display()
                    ),
                ),
            );
        }
        for region in &listing.folders {
            self.region(&dir.join(region), account, region);
        }
    }

    fn region(&mut self, dir: &Path, account: &str, region: &str) {
        self.check_name(dir, region, "a region");
        let listing = self.list(dir);
        let before = self.found.len();
        let told = self.mistakes.0.len();
        if listing.files.iter().any(|name| name == "region.yaml") {
            self.add(Kind::Region, dir.join("region.yaml"), [account, region, ""]);
        }
        let holds = "a region's folder holds `region.yaml`, `<cluster>.yaml` and cluster folders";
        let mut short_forms = Vec::new();
        for name in listing.files.iter().filter(|name| *name != "region.yaml") {
            match name.strip_suffix(".yaml") {
                Some(cluster) if !self.is_slip(&dir.join(name), name) => {
                    short_forms.push(cluster.to_owned());
                }
                _ => self.stray(&dir.join(name), holds),
            }
        }
        let mut clusters: Vec<(&str, bool)> = short_forms
            .iter()
            .map(|name| (name.as_str(), true))
            .collect();
        clusters.extend(listing.folders.iter().map(|name| (name.as_str(), false)));
        clusters.sort_unstable();
        for (cluster, short) in &clusters {
            if *short {
                self.short_form(dir, [account, region, cluster], &listing);
            } else {
                self.cluster(&dir.join(cluster), [account, region, cluster]);
            }
        }
        let any = self.found[before..]
            .iter()
            .any(|found| found.kind == Kind::Cluster);
        if !any && self.mistakes.0.len() == told {
            self.no_cluster(dir);
        }
    }

    fn no_cluster(&mut self, dir: &Path) {
        let shown = shown(self.working_dir, dir);
        let file = shown.join("<cluster>.yaml");
        self.mistakes.push(
            Diagnostic::new(format!("region `{}` holds no cluster", shown.display())).help(
                format!(
                    "add {} with the line `role: observee`, or remove the folder",
                    file.display()
                ),
            ),
        );
    }

    fn short_form(&mut self, region_dir: &Path, path: [&str; 3], listing: &Listing) {
        let file = region_dir.join(format!("{}.yaml", path[2]));
        self.check_name(&file, path[2], "a cluster");
        let long = region_dir.join(path[2]).join(CLUSTER_FILE);
        if listing.folders.iter().any(|folder| folder == path[2]) && long.is_file() {
            let at = |file: &Path| Position::start(&shown(self.working_dir, file));
            self.mistakes.push(
                Diagnostic::at(
                    at(&file),
                    format!("cluster `{}` has two files", path.join("/")),
                )
                .help("keep one of them")
                .related(at(&long), "the other file"),
            );
            return;
        }
        self.add(Kind::Cluster, file, path);
    }

    fn cluster(&mut self, dir: &Path, path: [&str; 3]) {
        self.check_name(dir, path[2], "a cluster");
        let listing = self.list(dir);
        let told = self.mistakes.0.len();
        for name in listing.files.iter().filter(|name| *name != CLUSTER_FILE) {
            self.stray(
                &dir.join(name),
                "a cluster's folder holds `cluster.yaml` and nothing else",
            );
        }
        for folder in listing
            .folders
            .iter()
            .filter(|name| !NO_ACCOUNTS.contains(&name.as_str()))
        {
            self.strays_below(&dir.join(folder), DEPTH);
        }
        if listing.files.iter().any(|name| name == CLUSTER_FILE) {
            self.add(Kind::Cluster, dir.join(CLUSTER_FILE), path);
        } else if self.mistakes.0.len() == told {
            let shown = shown(self.working_dir, dir);
            self.mistakes.push(
                Diagnostic::new(format!("`{}` holds no cluster.yaml", shown.display()))
                    .help("add it, or remove the folder"),
            );
        }
    }

    fn strays_below(&mut self, dir: &Path, depth: usize) {
        let listing = self.list(dir);
        for name in &listing.files {
            self.stray(
                &dir.join(name),
                "nothing of the tree lies below a cluster's folder",
            );
        }
        if depth > 0 {
            for folder in &listing.folders {
                self.strays_below(&dir.join(folder), depth - 1);
            }
        }
    }

    /// Whether a file among the short forms of a region is rather a slip: a document's name of another level, or almost
    /// one in a file that names no role.
    fn is_slip(&self, file: &Path, name: &str) -> bool {
        if DOCUMENTS.contains(&name) {
            return true;
        }
        let near = !closest(name, DOCUMENTS).is_empty();
        let text = if near {
            std::fs::read_to_string(file).unwrap_or_default()
        } else {
            return false;
        };
        !crate::parse(file, &text).is_ok_and(|document| document.get("role").is_some())
    }

    /// A YAML file that is no document of its place.
    fn stray(&mut self, file: &Path, place: &str) {
        let file = shown(self.working_dir, file);
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let message = format!("`{name}` is no document of the tree");
        let mistake = Diagnostic::at(Position::start(&file), message).label("nobody would read it");
        let elsewhere = DOCUMENTS.contains(&name.as_str());
        let yaml = Path::new(&name).with_extension("yaml");
        let candidates = match yaml.to_str() {
            Some(yaml) if !elsewhere && DOCUMENTS.contains(&yaml) => vec![yaml.to_owned()],
            _ if elsewhere => Vec::new(),
            _ => closest(&name, DOCUMENTS),
        };
        let help = if elsewhere {
            format!("it is in the wrong folder: {place}")
        } else {
            place.to_owned()
        };
        self.mistakes.push(Diagnostic {
            candidates,
            ..mistake.help(help)
        });
    }

    fn check_name(&mut self, at: &Path, name: &str, what: &str) {
        if !is_name(name) {
            let shown = shown(self.working_dir, at);
            let message = format!("`{name}` cannot name {what}: `{}`", shown.display());
            let (_, help) = Format::Name.describe();
            self.mistakes.push(Diagnostic::new(message).help(help));
        }
    }

    fn add(&mut self, kind: Kind, file: PathBuf, path: [&str; 3]) {
        let [account, region, cluster] = path.map(str::to_owned);
        self.found.push(Found {
            kind,
            file,
            path: ClusterPath {
                account,
                region,
                cluster,
            },
        });
    }

    fn list(&mut self, dir: &Path) -> Listing {
        if let Err(error) = std::fs::read_dir(dir) {
            let shown = shown(self.working_dir, dir);
            let message = format!("cannot read the folder `{}`: {error}", shown.display());
            self.mistakes.push(Diagnostic::new(message));
        }
        let mut listing = Listing::default();
        for name in names_in(dir)
            .into_iter()
            .filter(|name| !name.starts_with('.'))
        {
            if dir.join(&name).is_dir() {
                listing.folders.push(name);
            } else if is_yaml(&name) {
                listing.files.push(name);
            }
        }
        listing
    }
}

fn is_yaml(name: &str) -> bool {
    let extension = Path::new(name)
        .extension()
        .unwrap_or_default()
        .to_ascii_lowercase();
    extension == "yaml" || extension == "yml"
}

fn holds_yaml(dir: &Path, depth: usize) -> bool {
    names_in(dir)
        .iter()
        .filter(|name| !name.starts_with('.'))
        .any(|name| {
            let path = dir.join(name);
            if path.is_dir() {
                depth > 0 && holds_yaml(&path, depth - 1)
            } else {
                is_yaml(name)
            }
        })
}
