//! What the watched files hold: the configuration, rendered, and every file below the folders of rules.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::{ReloadError, Reloads, expand};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}, what it said before stays", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Read { path, source }
    }
}

/// A hash of all that matters to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// The files that are watched, and where the configuration goes.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) config_file: Option<PathBuf>,
    pub(super) output: Option<PathBuf>,
    pub(super) rule_dirs: Vec<PathBuf>,
}

/// What was read, and of which files and folders.
pub(super) struct Read {
    pub(super) fingerprint: Fingerprint,
    pub(super) paths: Vec<PathBuf>,
}

impl Sources {
    pub(super) fn new(reloads: &Reloads) -> Self {
        Self {
            config_file: reloads.config_file.clone(),
            output: reloads.config_envsubst_file.clone(),
            rule_dirs: reloads.rule_dirs.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.config_file.is_none() && self.rule_dirs.is_empty()
    }

    /// The configuration file, and all files and folders of rules.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, SourceError> {
        let mut paths = Vec::from_iter(self.config_file.clone());
        let mut folders = BTreeSet::new();
        for dir in &self.rule_dirs {
            fs::metadata(dir).map_err(SourceError::read(dir))?;
            walk(dir, &mut paths, &mut folders)?;
        }
        Ok(paths)
    }

    /// Renders the configuration, and hashes it with all rules.
    pub(super) fn apply(&self) -> Result<Read, ReloadError> {
        let mut hash = Context::new(&SHA256);
        if let Some(path) = &self.config_file {
            add(&mut hash, path, &self.render(path)?);
        }
        let paths = self.paths()?;
        for path in paths.iter().skip(usize::from(self.config_file.is_some())) {
            if let Some(content) = rules(path)? {
                add(&mut hash, path, &content);
            }
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.finish().as_ref());
        Ok(Read {
            fingerprint: Fingerprint(fingerprint),
            paths,
        })
    }

    fn render(&self, path: &Path) -> Result<Vec<u8>, ReloadError> {
        let packed = fs::read(path).map_err(SourceError::read(path))?;
        let Some(output) = &self.output else {
            return Ok(packed);
        };
        let content = expand::unpacked(packed).map_err(SourceError::read(path))?;
        let content = expand::expanded(path, &content, |name| std::env::var_os(name))?;
        replace(output, &content).map_err(|source| SourceError::Write {
            path: output.clone(),
            source,
        })?;
        Ok(content)
    }
}

/// Lengths between the parts: no two sets of files hash the same bytes.
fn add(hash: &mut Context, path: &Path, content: &[u8]) {
    for part in [path.as_os_str().as_encoded_bytes(), content] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
}

/// Adds what lies at a path, in order. Links are followed, as Kubernetes mounts its ConfigMaps by links, and no
/// folder is gone through twice. What is gone meanwhile, or a link to nothing, is no file.
fn walk(
    path: &Path,
    paths: &mut Vec<PathBuf>,
    folders: &mut BTreeSet<PathBuf>,
) -> Result<(), SourceError> {
    let Some(metadata) = unless_gone(path, fs::metadata(path))? else {
        return Ok(());
    };
    // Reading a pipe would not end.
    if !metadata.is_dir() && !metadata.is_file() {
        return Ok(());
    }
    paths.push(path.to_owned());
    if !metadata.is_dir() {
        return Ok(());
    }
    let Some(real) = unless_gone(path, fs::canonicalize(path))? else {
        return Ok(());
    };
    if !folders.insert(real) {
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = unless_gone(path, entries)?.unwrap_or_default();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        walk(&entry.path(), paths, folders)?;
    }
    Ok(())
}

/// The content of a file; nothing of a folder, or of what is gone since it was listed.
fn rules(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    if path.is_dir() {
        return Ok(None);
    }
    unless_gone(path, fs::read(path))
}

fn unless_gone<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, SourceError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SourceError::read(path)(error)),
    }
}

/// Whole or not at all. Equal content is not written again: the file may lie in a folder that is watched.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.at(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        }

        fn rules(&self, dir: &str) -> Sources {
            Sources {
                config_file: None,
                output: None,
                rule_dirs: vec![self.at(dir)],
            }
        }
    }

    fn fingerprint(sources: &Sources) -> Fingerprint {
        sources.apply().unwrap().fingerprint
    }

    #[test]
    fn the_rendered_configuration_is_written_and_hashed() {
        let folder = Folder::new();
        let sources = Sources {
            config_file: Some(folder.write("in.yaml", "home: $(HOME)\n")),
            output: Some(folder.at("out.yaml")),
            rule_dirs: Vec::new(),
        };
        let first = fingerprint(&sources);
        let home = std::env::var("HOME").unwrap();
        let written = || fs::read_to_string(folder.at("out.yaml")).unwrap();
        assert_eq!(written(), format!("home: {home}\n"));
        assert_eq!(fingerprint(&sources), first);
        folder.write("in.yaml", "home: $(TKS_THERE_IS_NO_SUCH_VARIABLE)\n");
        assert!(matches!(sources.apply(), Err(ReloadError::Expand(_))));
        assert_eq!(written(), format!("home: {home}\n"), "what was there stays");
        folder.write("in.yaml", "plain\n");
        assert_ne!(fingerprint(&sources), first);
        assert_eq!(written(), "plain\n");
    }

    #[test]
    fn equal_content_is_not_written_again() {
        let folder = Folder::new();
        let path = folder.write("out", "same");
        let old = fs::metadata(&path).unwrap().modified().unwrap();
        replace(&path, b"same").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), old);
        replace(&path, b"other").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"other");
        assert!(!folder.at("out.tmp").exists());
    }

    #[test]
    fn every_file_below_a_folder_counts() {
        let folder = Folder::new();
        folder.write("rules/a.yaml", "a");
        folder.write("rules/deep/er/b.yaml", "b");
        let sources = folder.rules("rules");
        let mut seen = vec![fingerprint(&sources)];
        let mut is_new = |what: &str| {
            let now = fingerprint(&sources);
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        folder.write("rules/deep/er/b.yaml", "c");
        is_new("other content");
        folder.write("rules/c.yaml", "");
        is_new("a file more");
        fs::rename(folder.at("rules/c.yaml"), folder.at("rules/d.yaml")).unwrap();
        is_new("another name");
        fs::remove_file(folder.at("rules/a.yaml")).unwrap();
        is_new("a file less");
    }

    #[test]
    fn a_configmap_is_followed_through_its_links() {
        let folder = Folder::new();
        folder.write("rules/..v1/a.yaml", "1");
        symlink("..v1", folder.at("rules/..data")).unwrap();
        symlink("..data/a.yaml", folder.at("rules/a.yaml")).unwrap();
        let sources = folder.rules("rules");
        let first = fingerprint(&sources);
        folder.write("rules/..v2/a.yaml", "2");
        symlink("..v2", folder.at("rules/new")).unwrap();
        fs::rename(folder.at("rules/new"), folder.at("rules/..data")).unwrap();
        fs::remove_dir_all(folder.at("rules/..v1")).unwrap();
        let read = sources.apply().unwrap();
        assert_ne!(read.fingerprint, first);
        assert!(read.paths.contains(&folder.at("rules/a.yaml")));
    }

    #[test]
    fn links_in_a_circle_and_links_to_nothing_end() {
        let folder = Folder::new();
        folder.write("elsewhere/b.yaml", "b");
        folder.write("rules/a.yaml", "a");
        symlink(folder.at("elsewhere"), folder.at("rules/team")).unwrap();
        symlink("..", folder.at("rules/up")).unwrap();
        symlink("nothing", folder.at("rules/.#a.yaml")).unwrap();
        let sources = folder.rules("rules");
        let read = sources.apply().unwrap();
        assert!(read.paths.contains(&folder.at("rules/team/b.yaml")));
        folder.write("elsewhere/b.yaml", "c");
        assert_ne!(fingerprint(&sources), read.fingerprint);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_that_names_it() {
        let folder = Folder::new();
        let error = folder.rules("absent").paths().unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }
}
