//! The modules, roles and templates that a fleet can use: its own, those beside its `live/`, and the built-in ones.
//!
//! They override each other file by file: first found wins, and what is not overridden stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::closest;
use crate::live::RoleCatalog;
use crate::module::{Body, Document, Module, PLATFORMS, Role};
use crate::reading::ReadFile;
use crate::template::Templates;
use crate::{Diagnostic, Diagnostics, Position, parse};

/// The files of the repository's `modules/`, in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../modules"]
struct BuiltInModules;

/// The files of the repository's `templates/`, in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../templates"]
struct BuiltInTemplates;

/// Everything that a fleet's clusters can be made of.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) modules: BTreeMap<String, Arc<Module>>,
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    pub(crate) templates: Arc<Templates>,
    pub(crate) files: Arc<CatalogFiles>,
}

/// The files that modules, roles and templates were read from.
#[derive(Debug, Default)]
pub(crate) struct CatalogFiles {
    /// By path with its folder: `modules/query/local.yaml`.
    pub(crate) read: BTreeMap<String, ReadFile>,
    /// Where files are looked for that override the built-in ones, absolute.
    pub(crate) roots: Vec<PathBuf>,
}

/// A text with the name that people know it by.
struct Source {
    name: PathBuf,
    text: String,
}

/// Path below `modules/` or `templates/`, with `/`, to text.
type Sources = BTreeMap<String, Source>;

impl Catalog {
    /// Reads what the fleet in `fleet_dir` can use.
    ///
    /// # Errors
    /// Every mistake in any of the files, in file order.
    pub fn load(fleet_dir: &Path) -> Result<Self, Diagnostics> {
        let mut document = Document::default();
        let modules = sources::<BuiltInModules>("modules", fleet_dir, &mut document);
        let templates = sources::<BuiltInTemplates>("templates", fleet_dir, &mut document);
        let mut catalog = Self {
            modules: BTreeMap::new(),
            roles: BTreeMap::new(),
            files: Arc::new(CatalogFiles {
                read: read_files("modules", &modules)
                    .chain(read_files("templates", &templates))
                    .collect(),
                roots: roots(fleet_dir),
            }),
            templates: Arc::new(read_templates(templates, &mut document)),
        };
        catalog.read_declarations(&modules, &mut document);
        catalog.read_rest(&modules, &mut document);
        catalog.check_roles(&mut document);
        let mut mistakes = document.mistakes;
        if mistakes.is_empty() {
            return Ok(catalog);
        }
        mistakes.sort_by(|left, right| left.position.cmp(&right.position));
        Err(Diagnostics(mistakes))
    }

    /// The platforms that at least one module is written for: what `tks` can build.
    #[must_use]
    pub fn platforms(&self) -> BTreeSet<String> {
        self.modules
            .values()
            .flat_map(|module| module.bodies.keys().cloned())
            .collect()
    }

    /// The files of a built-in module (`prometheus`), role (`roles/observer`) or template (`prometheus.yaml.hbs`), as paths
    /// below the folder they are written out to, with their texts. `None` when nothing built in has that name.
    #[must_use]
    pub fn eject(name: &str) -> Option<Vec<(PathBuf, String)>> {
        let wanted = |path: &str| {
            path == name
                || path.strip_suffix(".yaml") == Some(name)
                || path
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let modules = built_in::<BuiltInModules>("modules").into_iter();
        let templates = built_in::<BuiltInTemplates>("templates").into_iter();
        let modules = modules.map(|(path, source)| ("modules", path, source));
        let found: Vec<_> = modules
            .chain(templates.map(|(path, source)| ("templates", path, source)))
            .filter(|(_, path, _)| wanted(path))
            .map(|(folder, path, source)| (Path::new(folder).join(path), source.text))
            .collect();
        (!found.is_empty()).then_some(found)
    }

    /// The text of a built-in file, by the name that a [`Position`] has for it (`<built-in>/modules/…`).
    #[must_use]
    pub fn built_in_text(file: &Path) -> Option<String> {
        let path = file.strip_prefix("<built-in>").ok()?;
        let path = path.to_str()?;
        let embedded = match path.split_once('/')? {
            ("modules", path) => BuiltInModules::get(path),
            ("templates", path) => BuiltInTemplates::get(path),
            _ => None,
        };
        String::from_utf8(embedded?.data.into_owned()).ok()
    }

    fn read_declarations(&mut self, sources: &Sources, document: &mut Document) {
        for (path, source) in sources {
            let Some(name) = path.strip_suffix("/module.yaml") else {
                continue;
            };
            if let Some(node) = read_yaml(source, document) {
                let module = Module::read(name, &node, document);
                self.modules.insert(name.to_owned(), Arc::new(module));
            }
        }
    }

    fn read_rest(&mut self, sources: &Sources, document: &mut Document) {
        for (path, source) in sources {
            let Some(stem) = path.strip_suffix(".yaml") else {
                continue;
            };
            match stem.rsplit_once('/') {
                Some(("roles", role)) => {
                    if let Some(node) = read_yaml(source, document) {
                        let read = Arc::new(Role::read(&node, document));
                        self.roles.insert(role.to_owned(), read);
                    }
                }
                Some((_, "module")) => {}
                Some((module, platform)) => self.read_body(module, platform, source, document),
                None => document.mistake(
                    stray(source, "a file outside of any module")
                        .help("modules lie in folders: `modules/<name>/module.yaml`"),
                ),
            }
        }
    }

    fn read_body(&mut self, name: &str, platform: &str, source: &Source, document: &mut Document) {
        if !PLATFORMS.contains(&platform) {
            let mut mistake = stray(source, format!("`{platform}` is no platform"))
                .help(format!("platforms are {}", PLATFORMS.join(", ")));
            mistake.candidates = closest(platform, PLATFORMS);
            return document.mistake(mistake);
        }
        let Some(module) = self.modules.get_mut(name) else {
            let message = format!("the module `{name}` has no `module.yaml`");
            return document.mistake(stray(source, message));
        };
        if let Some(node) = read_yaml(source, document) {
            let body = Arc::new(Body::read(module, &node, document));
            if let Some(module) = Arc::get_mut(module) {
                module.bodies.insert(platform.to_owned(), body);
            }
        }
    }

    fn check_roles(&self, document: &mut Document) {
        for unit in self.roles.values().flat_map(|role| &role.units) {
            let Some(module) = self.modules.get(&unit.module) else {
                let message = format!("there is no module `{}`", unit.module);
                let mut mistake = Diagnostic::at(unit.module_position.clone(), message);
                let names = self.modules.keys().map(String::as_str);
                mistake.candidates = closest(&unit.module, names);
                document.mistake(mistake);
                continue;
            };
            self.check_templates(module, document);
        }
    }

    fn check_templates(&self, module: &Module, document: &mut Document) {
        let resources = module.bodies.values().flat_map(|body| &body.resources);
        for template in resources.filter_map(|resource| resource.template.as_ref()) {
            if !self.templates.has(&template.name) {
                let message = format!("there is no template `{}`", template.name);
                let mut mistake = Diagnostic::at(template.position.clone(), message);
                mistake.candidates = closest(&template.name, self.templates.names());
                document.mistake(mistake);
            }
        }
    }
}

impl RoleCatalog for Catalog {
    fn roles(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    fn units(&self, role: &str) -> Option<Vec<String>> {
        let role = self.roles.get(role)?;
        Some(role.units.iter().map(|unit| unit.name.clone()).collect())
    }

    fn platforms(&self) -> Vec<String> {
        PLATFORMS.map(str::to_owned).to_vec()
    }
}

fn read_yaml(source: &Source, document: &mut Document) -> Option<crate::Node> {
    parse(&source.name, &source.text)
        .map_err(|mistake| document.mistake(mistake))
        .ok()
}

fn read_templates(sources: Sources, document: &mut Document) -> Templates {
    let mut templates = Templates::new();
    for (path, source) in sources.iter().filter(|(path, _)| path.ends_with(".hbs")) {
        if let Err(mistake) = templates.add(path, &source.name, &source.text) {
            document.mistake(*mistake);
        }
    }
    templates
}

/// The built-in files of a folder, overridden by those beside `live/`, overridden by the fleet's own.
fn sources<E: rust_embed::RustEmbed>(
    folder: &str,
    fleet_dir: &Path,
    document: &mut Document,
) -> Sources {
    let mut sources = built_in::<E>(folder);
    for root in roots(fleet_dir) {
        read_folder(&root.join(folder), "", &mut sources, document);
    }
    sources
}

/// Where a fleet's overrides lie, weak to strong: beside its `live/`, then its own folder.
fn roots(fleet_dir: &Path) -> Vec<PathBuf> {
    let live = fleet_dir
        .ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "live"));
    let beside = live.map(|live| live.parent().unwrap_or(Path::new("")).to_owned());
    beside.into_iter().chain([fleet_dir.to_owned()]).collect()
}

fn read_files(folder: &str, sources: &Sources) -> impl Iterator<Item = (String, ReadFile)> {
    sources.iter().map(move |(path, source)| {
        let read = ReadFile::new(&source.name, &source.text);
        (format!("{folder}/{path}"), read)
    })
}

fn built_in<E: rust_embed::RustEmbed>(folder: &str) -> Sources {
    let read = |path: std::borrow::Cow<'static, str>| {
        let text = String::from_utf8(E::get(&path)?.data.into_owned()).ok()?;
        let name = Path::new("<built-in>").join(folder).join(&*path);
        Some((path.into_owned(), Source { name, text }))
    };
    E::iter().filter_map(read).collect()
}

fn read_folder(root: &Path, below: &str, sources: &mut Sources, document: &mut Document) {
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        if name.starts_with('.') {
            continue;
        }
        let file = root.join(&path);
        if file.is_dir() {
            read_folder(root, &path, sources, document);
            continue;
        }
        match fs::read_to_string(&file) {
            Ok(text) => {
                sources.insert(path, Source { name: file, text });
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", file.display());
                document.mistake(Diagnostic::new(message));
            }
        }
    }
}

fn stray(source: &Source, message: impl Into<String>) -> Diagnostic {
    let start = Position {
        file: source.name.clone(),
        line: 1,
        column: 1,
        offset: 0,
        len: 1,
    };
    Diagnostic::at(start, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().expect("below root")).expect("folder");
        fs::write(file, text).expect("file");
    }

    #[test]
    fn every_built_in_file_loads() {
        let dir = tempfile::tempdir().expect("folder");
        let catalog = Catalog::load(dir.path()).expect("built-in modules are right");
        assert!(catalog.roles().contains(&"observer".to_owned()));
        assert!(
            catalog
                .units("observee")
                .expect("role")
                .contains(&"ingress".to_owned())
        );
        assert!(Catalog::platforms(&catalog).iter().eq(["local"]));
    }

    #[test]
    fn a_fleets_own_file_overrides_only_that_file() {
        let dir = tempfile::tempdir().expect("folder");
        let root = dir.path();
        write(
            root,
            "modules/storage/local.yaml",
            "resources: {}\noutputs: { bucket: { name: x } }\n",
        );
        write(root, "live/f/fleet.yaml", "");
        let catalog = Catalog::load(&root.join("live/f")).expect("overridden beside live");
        assert!(
            catalog.modules["storage"].bodies["local"]
                .resources
                .is_empty()
        );
        assert!(catalog.modules["storage"].output("bucket").is_some());
        write(
            root,
            "live/f/modules/storage/local.yaml",
            "outputs: { bukcet: { name: x } }\n",
        );
        let Diagnostics(mistakes) = Catalog::load(&root.join("live/f")).expect_err("two mistakes");
        assert_eq!(mistakes[1].candidates, ["bucket"]);
        assert!(
            mistakes[0].message.contains("`bucket` has no value"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn unknown_platforms_modules_and_keys_are_mistakes_at_their_place() {
        let dir = tempfile::tempdir().expect("folder");
        let root = dir.path();
        write(root, "modules/storage/locla.yaml", "");
        write(root, "modules/x/module.yaml", "inptus: {}\n");
        write(
            root,
            "modules/roles/edge.yaml",
            "units:\n  a: { module: storaeg }\n",
        );
        let Diagnostics(mistakes) = Catalog::load(root).expect_err("three mistakes");
        let candidates: Vec<_> = mistakes.iter().map(|m| m.candidates.clone()).collect();
        assert_eq!(
            candidates,
            [vec!["storage", "store"], vec!["local"], vec!["inputs"]]
        );
        let place = mistakes[0].position.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (2, 16));
    }

    #[test]
    fn a_built_in_module_can_be_written_out() {
        let files = Catalog::eject("storage").expect("built in");
        let paths: Vec<_> = files
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            ["modules/storage/local.yaml", "modules/storage/module.yaml"]
        );
        assert_eq!(Catalog::eject("stor"), None);
        let name = Path::new("<built-in>/modules/storage/local.yaml");
        assert_eq!(Catalog::built_in_text(name).as_ref(), Some(&files[0].1));
    }
}
