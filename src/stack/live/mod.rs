//! The live tree: fleets, and in each accounts, regions, clusters. Found on disk, checked against `schema`, merged level by level,
//! named. Every mistake of a tree is told in one run.

mod check;
mod cluster;
mod distinct;
mod federation;
mod find;
pub(crate) mod format;
mod place;
mod set;

use std::path::{Component, Path, PathBuf};

use check::{Kind, Vocabulary, listed};
use find::Found;

use crate::names::Names;
use crate::node::{Node, parse};
use crate::reading::{Chain, ReadFile};
use crate::{ClusterPath, Diagnostic, Diagnostics, Position};

pub use federation::{OBSERVEE, OBSERVER};
pub use format::is_name;

/// What the tree must know of roles and modules.
pub trait RoleCatalog {
    /// The names of all roles.
    fn roles(&self) -> Vec<String>;
    /// The units of a role; `None` when there is no such role.
    fn units(&self, role: &str) -> Option<Vec<String>>;
    /// The platforms that modules are written for.
    fn platforms(&self) -> Vec<String>;
}

/// Every fleet that a command sees.
#[derive(Clone, Debug)]
pub struct LiveTree {
    pub fleets: Vec<LiveFleet>,
}

/// One fleet: a folder with `fleet.yaml`.
#[derive(Clone, Debug)]
pub struct LiveFleet {
    /// The folder's name.
    pub name: String,
    /// Absolute.
    pub dir: PathBuf,
    /// `--platform`, else the tree's, else `local`. One for all clusters.
    pub platform: String,
    /// Where this fleet keeps state, keys, logs and buckets on this machine: absolute, `<dir>/.tks/<platform>` or
    /// `$TKS_DATA_DIR/<name>/<platform>`. Nothing is made here.
    pub data_dir: PathBuf,
    /// The `fleet.yaml`, as the user would type it.
    pub file: PathBuf,
    /// All of `fleet.yaml`, with `state` and `secrets`.
    pub document: Node,
    /// In path order.
    pub clusters: Vec<LiveCluster>,
    /// Every file that was read, as the user would type it: what is above before what is below.
    pub files: Vec<PathBuf>,
    /// What the given path selects, when it lies inside the fleet; empty: everything.
    pub selection: Vec<ClusterPath>,
}

/// One cluster of the tree.
#[derive(Clone, Debug)]
pub struct LiveCluster {
    pub path: ClusterPath,
    /// As `names.id`.
    pub id: String,
    /// As `names.key`.
    pub key: String,
    pub role: String,
    /// As the user would type it.
    pub file: PathBuf,
    /// `fleet` (without `state` and `secrets`), `account`, `region`, `cluster`, and `--set` once per argument, weak to
    /// strong; levels without a file are left out.
    pub layers: Vec<(String, Node)>,
    /// All layers merged: reserved keys and units. May hold expressions. What a unit says here has lost its `key+:` and its
    /// deletions: to merge it over weaker defaults take [`Self::unit_layers`].
    pub merged: Node,
    pub names: Names,
    /// The documents that `layers` come from, and those that are not there.
    pub(crate) chain: Chain,
}

impl LiveCluster {
    /// What the layers say of a unit's inputs, weak to strong, with `key+:` and `key: null` still in them: to be merged over the
    /// module's defaults and the role's inputs. `unit: null` takes back what weaker layers of the tree said.
    #[must_use]
    pub fn unit_layers(&self, unit: &str) -> Vec<(&str, &Node)> {
        let mut layers = Vec::new();
        for (layer, document) in &self.layers {
            match document.get(unit) {
                Some(node) if node.is_null() => layers.clear(),
                Some(node) => layers.push((layer.as_str(), node)),
                None => {}
            }
        }
        layers
    }
}

/// What the command line and the environment say of a tree.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--platform`.
    pub platform: Option<String>,
    /// `--set a.b=YAML`, in order. Positions in it are of a file `--set` with one line per argument.
    pub set: Vec<String>,
    /// `TKS_DATA_DIR`.
    pub data_dir: Option<PathBuf>,
    /// Absolute; what paths are relative to, when they are typed and when they are shown.
    pub working_dir: PathBuf,
}

/// The folders (absolute, sorted) of the fleets that `path` means: the fleet it lies in, else all fleets below it. Without
/// `path`: the nearest fleet upward from `working_dir`, else all fleets below `live` in it.
///
/// # Errors
/// The path does not exist, or there is no fleet.
pub fn discover(path: Option<&Path>, working_dir: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    find::fleets(path, working_dir)
}

/// Reads and checks the fleets that `path` means. A path inside a fleet loads it whole and selects the clusters below.
///
/// # Errors
/// Every mistake of the tree: first those of its shape, which have no position, then file by file.
pub fn load(
    path: Option<&Path>,
    options: &LoadOptions,
    catalog: &dyn RoleCatalog,
) -> Result<LiveTree, Diagnostics> {
    let mut mistakes = Diagnostics::default();
    let vocabulary = Vocabulary::of(catalog);
    check_platform(options, &vocabulary, &mut mistakes);
    let sets = set::layers(&options.set, &mut mistakes);
    for set in &sets {
        check::document(Kind::Set, set, &vocabulary, &mut mistakes);
    }
    let target = path
        .map(|path| find::existing(&options.working_dir, path))
        .transpose()?;
    let mut fleets = Vec::new();
    for dir in find::fleets(path, &options.working_dir)? {
        let reader = Reader {
            options,
            catalog,
            vocabulary: &vocabulary,
            sets: &sets,
        };
        fleets.extend(reader.fleet(&dir, target.as_deref(), &mut mistakes));
    }
    distinct::fleets(&fleets, &mut mistakes);
    mistakes
        .0
        .sort_by_key(|mistake| mistake.position.as_ref().map(reading_order));
    mistakes.or(LiveTree { fleets })
}

fn check_platform(options: &LoadOptions, vocabulary: &Vocabulary, mistakes: &mut Diagnostics) {
    let known: Vec<&str> = vocabulary.platforms.iter().map(String::as_str).collect();
    if let Some(name) = options
        .platform
        .as_deref()
        .filter(|name| !known.contains(name))
    {
        mistakes.push(
            Diagnostic::new(format!("unknown platform `{name}`"))
                .help(format!("`--platform` is one of {}", listed(&known)))
                .meant(name, known.iter().copied()),
        );
    }
}

/// Files in the order of the walk: the document of a level before all that lies below it.
fn reading_order(at: &Position) -> (PathBuf, usize, usize) {
    let name = at.file.file_name().unwrap_or_default();
    let level = ["fleet.yaml", "account.yaml", "region.yaml", "cluster.yaml"];
    let place = if level.iter().any(|level| *level == name) {
        at.file.parent().map(Path::to_owned).unwrap_or_default()
    } else {
        at.file.clone()
    };
    (place, at.line, at.column)
}

/// A document that could be read.
struct Document {
    found: Found,
    /// As the user would type it.
    file: PathBuf,
    /// `None`: it is broken, and that is told already.
    node: Option<Node>,
    /// `None`: it cannot be read.
    read: Option<ReadFile>,
}

struct Reader<'a> {
    options: &'a LoadOptions,
    catalog: &'a dyn RoleCatalog,
    vocabulary: &'a Vocabulary,
    sets: &'a [Node],
}

impl Reader<'_> {
    fn fleet(
        &self,
        dir: &Path,
        target: Option<&Path>,
        mistakes: &mut Diagnostics,
    ) -> Option<LiveFleet> {
        let name = match dir.components().next_back() {
            Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
            _ => "fleet".to_owned(),
        };
        let documents = self.read(dir, mistakes);
        let clusters: Vec<LiveCluster> = documents
            .iter()
            .filter(|document| document.found.kind == Kind::Cluster)
            .filter_map(|document| self.cluster(&name, document, &documents, mistakes))
            .collect();
        let fleet = documents
            .iter()
            .find(|document| document.found.kind == Kind::Fleet)?;
        let root = fleet.node.clone()?;
        let platform = self.platform_of(&root, &clusters, mistakes);
        distinct::clusters(&clusters, mistakes);
        federation::check(&clusters, mistakes);
        let data_dir = match &self.options.data_dir {
            Some(data_dir) => place::absolute(&self.options.working_dir, data_dir).join(&name),
            None => dir.join(".tks"),
        };
        Some(LiveFleet {
            data_dir: data_dir.join(&platform),
            dir: dir.to_owned(),
            platform,
            file: fleet.file.clone(),
            document: root,
            selection: select(dir, target, &documents, mistakes),
            files: documents
                .iter()
                .map(|document| document.file.clone())
                .collect(),
            clusters,
            name,
        })
    }

    fn read(&self, dir: &Path, mistakes: &mut Diagnostics) -> Vec<Document> {
        let found = find::documents(dir, &self.options.working_dir, mistakes);
        found
            .into_iter()
            .map(|found| {
                let file = place::shown(&self.options.working_dir, &found.file);
                let (node, read) = self.document(&found, &file, mistakes);
                Document {
                    found,
                    file,
                    node,
                    read,
                }
            })
            .collect()
    }

    fn document(
        &self,
        found: &Found,
        file: &Path,
        mistakes: &mut Diagnostics,
    ) -> (Option<Node>, Option<ReadFile>) {
        let text = match std::fs::read_to_string(&found.file) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", file.display());
                mistakes.push(Diagnostic::new(message));
                return (None, None);
            }
        };
        let read = ReadFile::new(&found.file, &text);
        let node = match parse(file, &text) {
            Ok(node) => {
                check::document(found.kind, &node, self.vocabulary, mistakes);
                node.as_map().is_some().then_some(node)
            }
            Err(mistake) => {
                mistakes.push(mistake);
                None
            }
        };
        (node, Some(read))
    }

    /// The one platform of a fleet.
    fn platform_of(
        &self,
        root: &Node,
        clusters: &[LiveCluster],
        mistakes: &mut Diagnostics,
    ) -> String {
        if let Some(platform) = &self.options.platform {
            return platform.clone();
        }
        let said = |node: &Node| {
            node.get("platform")
                .and_then(Node::as_str)
                .map(str::to_owned)
        };
        let place = |cluster: &LiveCluster| {
            let value = cluster
                .merged
                .get("platform")
                .map(|node| node.position.clone());
            value.unwrap_or_else(|| Position::start(&cluster.file))
        };
        let of = |cluster: &LiveCluster| {
            said(&cluster.merged).unwrap_or_else(|| cluster::DEFAULT_PLATFORM.to_owned())
        };
        let Some(first) = clusters.first() else {
            return said(root).unwrap_or_else(|| cluster::DEFAULT_PLATFORM.to_owned());
        };
        let platform = of(first);
        if let Some(other) = clusters.iter().find(|cluster| of(cluster) != platform) {
            let (a, b) = (&first.path, &other.path);
            let message = format!(
                "one fleet on two platforms: `{b}` is on {}, `{a}` on {platform}",
                of(other)
            );
            mistakes.push(
                Diagnostic::at(place(other), message)
                    .help("all clusters of a fleet share one platform: set it in fleet.yaml")
                    .related(place(first), format!("`{a}` is on {platform}")),
            );
        }
        platform
    }
}

/// The clusters below `target`; empty when it is the fleet itself or lies above it.
fn select(
    dir: &Path,
    target: Option<&Path>,
    documents: &[Document],
    mistakes: &mut Diagnostics,
) -> Vec<ClusterPath> {
    let Some(target) = target.filter(|target| target.starts_with(dir) && *target != dir) else {
        return Vec::new();
    };
    let level = documents
        .iter()
        .find(|document| document.found.file == target && document.found.kind != Kind::Cluster)
        .and_then(|_| target.parent());
    let target = level.unwrap_or(target);
    if target == dir {
        return Vec::new();
    }
    let selected: Vec<ClusterPath> = documents
        .iter()
        .filter(|document| document.found.kind == Kind::Cluster)
        .filter(|document| {
            let file = &document.found.file;
            let folder = file.parent().filter(|_| file.ends_with(find::CLUSTER_FILE));
            file.starts_with(target) || folder.is_some_and(|folder| target.starts_with(folder))
        })
        .map(|document| document.found.path.clone())
        .collect();
    if selected.is_empty() {
        let below = target.strip_prefix(dir).unwrap_or(target).display();
        mistakes.push(
            Diagnostic::new(format!("no cluster below `{below}` of the fleet"))
                .help("name a fleet's, an account's, a region's or a cluster's folder"),
        );
    }
    selected
}

#[cfg(test)]
mod tests;
