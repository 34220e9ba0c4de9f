//! The states of a fleet on this machine: one document per cluster, each write whole or not at all, earlier versions kept.
//!
//! What a run does is first in its journal (`journal`); it writes a document at its end, with the next serial, and copies the
//! version before to the history. A state is its document and what a journal holds beyond it, so a killed run loses nothing. A file
//! that is empty, cut or foreign is an error that names it and the newest good version: it is never taken for "no state".

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stack::{Attributes, ClusterPath, UnitPath};

use crate::allocations::Allocations;
use crate::disk;
use crate::document::DocumentError;
use crate::journal::{self, JournalError, Left};
use crate::key::{Key, KeyError, KeySource, Keyring};
use crate::lock::{self, LockError, Locked};
use crate::state::{State, Unreadable};

/// How many versions of a cluster's state are kept.
const KEPT: usize = 20;

/// The states of one fleet on one platform.
#[derive(Debug)]
pub struct StateStore {
    data_dir: PathBuf,
    keyring: Keyring,
}

/// An earlier state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub path: PathBuf,
    pub lineage: String,
    pub serial: u64,
}

/// What is recorded cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Never taken for "no state".
    #[error("{} is damaged{}{}", path.display(), restore(path, newest_good.as_deref()), push(source))]
    Damaged {
        path: PathBuf,
        newest_good: Option<PathBuf>,
        source: DocumentError,
    },
    /// Nothing is wrong with it.
    #[error("{} is from a newer tks: go on with that one", path.display())]
    Newer {
        path: PathBuf,
        source: DocumentError,
    },
    #[error("cannot read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot open the secrets of {}", path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error("{} is sealed with key {wanted}, and the key here is {found}{}", path.display(), half(path))]
    OtherKey {
        path: PathBuf,
        wanted: String,
        found: String,
    },
}

/// What a `state rekey` left that was interrupted.
fn half(path: &Path) -> &'static str {
    let mut folders = path.ancestors();
    match folders.any(|folder| folder.join("key.new").exists()) {
        true => "; `tks state rekey` was interrupted: run it again",
        false => "",
    }
}

fn restore(path: &Path, newest_good: Option<&Path>) -> String {
    match newest_good {
        Some(good) => format!(
            "; the newest good version is {}: copy it to {}",
            good.display(),
            path.display()
        ),
        None => "; there is no earlier version".to_owned(),
    }
}

/// A change by hand may be meant.
fn push(source: &DocumentError) -> &'static str {
    match source {
        DocumentError::Checksum => {
            "; a change that was meant: `tks state push FILE` of a copy without its `checksum`"
        }
        _ => "",
    }
}

impl StateStore {
    /// The states in `data_dir`, sealed with the key that the environment or the folder holds. Makes nothing.
    #[must_use]
    pub fn open(data_dir: impl Into<PathBuf>) -> Self {
        Self::with_key(data_dir, KeySource::from_env())
    }

    /// As [`Self::open`], with the key from `source`.
    #[must_use]
    pub fn with_key(data_dir: impl Into<PathBuf>, source: KeySource) -> Self {
        let data_dir = data_dir.into();
        Self {
            keyring: Keyring::new(source, &data_dir),
            data_dir,
        }
    }

    /// The folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The clusters that have a state, or a journal that may hold one, in path order.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn clusters(&self) -> Result<Vec<ClusterPath>, StateError> {
        let mut clusters = clusters_in(&self.data_dir.join("state"), ".json")?;
        clusters.extend(self.journaled()?);
        clusters.sort();
        clusters.dedup();
        Ok(clusters)
    }

    /// The clusters in which a run was interrupted, in path order.
    pub(crate) fn journaled(&self) -> Result<Vec<ClusterPath>, StateError> {
        clusters_in(&self.data_dir.join("journal"), ".jsonl")
    }

    /// The state of a cluster, `None` when it has none.
    ///
    /// # Errors
    /// [`StateError`]; [`StateError::Damaged`] names the newest good version.
    pub fn load(&self, cluster: &ClusterPath) -> Result<Option<State>, StateError> {
        // The journal first: what a run writes meanwhile is then in the document.
        let left = self.left(cluster)?;
        let document = self.load_document(cluster)?;
        match left {
            Some(left) => self.replayed(cluster, &left, document),
            None => Ok(document),
        }
    }

    /// What an interrupted run left in the journal of a cluster.
    pub(crate) fn left(&self, cluster: &ClusterPath) -> Result<Option<Left>, StateError> {
        let path = journal::journal_of(&self.data_dir, cluster);
        let key = self.key().map_err(|source| StateError::Key {
            path: path.clone(),
            source,
        })?;
        journal::left(&self.data_dir, cluster, key).map_err(|error| match error {
            JournalError::Io(source) => io_error(&path, source),
            JournalError::Content(error) => self.unreadable(&path, error, None),
        })
    }

    /// A document with what a journal holds beyond it.
    pub(crate) fn replayed(
        &self,
        cluster: &ClusterPath,
        left: &Left,
        document: Option<State>,
    ) -> Result<Option<State>, StateError> {
        let replayed = left.replay(cluster, document);
        replayed.map_err(|source| StateError::Damaged {
            path: journal::journal_of(&self.data_dir, cluster),
            newest_good: None,
            source,
        })
    }

    pub(crate) fn load_document(&self, cluster: &ClusterPath) -> Result<Option<State>, StateError> {
        let path = self.path(cluster);
        let Some(bytes) = disk::read(&path).map_err(|source| io_error(&path, source))? else {
            return Ok(None);
        };
        self.parse(cluster, &path, &bytes).map(Some)
    }

    /// All states, by cluster.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_all(&self) -> Result<BTreeMap<ClusterPath, State>, StateError> {
        let mut states = BTreeMap::new();
        for cluster in self.clusters()? {
            if let Some(state) = self.load(&cluster)? {
                states.insert(cluster, state);
            }
        }
        Ok(states)
    }

    /// The recorded outputs of all units.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn outputs(&self) -> Result<BTreeMap<UnitPath, Attributes>, StateError> {
        Ok(outputs(&self.load_all()?))
    }

    /// The sticky numbers of the fleet.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn allocations(&self) -> Result<Allocations, StateError> {
        Allocations::load(&self.data_dir)
    }

    /// Earlier versions of a cluster's state, oldest first.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn history(&self, cluster: &ClusterPath) -> Result<Vec<Version>, StateError> {
        let folder = self.history_folder(cluster);
        let mut files = names(&folder)?;
        files.sort();
        let version = |file: String| {
            let (lineage, serial) = file.strip_suffix(".json")?.split_once('.')?;
            let (lineage, serial) = (lineage.to_owned(), serial.parse().ok()?);
            Some(Version {
                path: folder.join(&file),
                lineage,
                serial,
            })
        };
        Ok(files.into_iter().filter_map(version).collect())
    }

    /// The document of a cluster as it is kept, secrets sealed; `None` when it has none.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn document(&self, cluster: &ClusterPath) -> Result<Option<Vec<u8>>, StateError> {
        let left = self.left(cluster)?;
        let path = self.path(cluster);
        let kept = disk::read(&path).map_err(|source| io_error(&path, source))?;
        let document = self.load_document(cluster)?;
        match left.filter(|left| left.unwritten(document.as_ref()) > 0) {
            None => Ok(kept),
            Some(left) => {
                let state = self.replayed(cluster, &left, document)?;
                state.map(|state| self.bytes(&state)).transpose()
            }
        }
    }

    /// A state from a file: one that was pulled, or kept in the history. Without its checksum it may have been changed by hand.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read_file(&self, path: &Path) -> Result<State, StateError> {
        let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
        let key = self.key().map_err(|source| StateError::Key {
            path: path.to_owned(),
            source,
        })?;
        State::from_edited(&bytes, key).map_err(|error| self.unreadable(path, error, None))
    }

    /// The clusters that somebody changes now, in path order.
    ///
    /// # Errors
    /// [`LockError::Io`], or what the folder says.
    pub fn locks(&self) -> Result<Vec<Locked>, LockError> {
        let folder = self.data_dir.join("locks");
        let clusters = clusters_in(&folder, ".lock").map_err(|error| LockError::Io {
            path: folder,
            source: io::Error::other(error),
        })?;
        let mut locks = Vec::new();
        for cluster in clusters {
            locks.extend(lock::locked(&self.data_dir, &cluster)?);
        }
        Ok(locks)
    }

    /// Removes what a killed process left of a cluster's lock; `false`: nothing was left. A lock that is held ends with
    /// its process, and in no other way.
    ///
    /// # Errors
    /// [`LockError::Held`].
    pub fn release_lock(&self, cluster: &ClusterPath) -> Result<bool, LockError> {
        lock::release(&self.data_dir, cluster)
    }

    /// Removes what a destroyed fleet leaves: history, keys, the folder itself when nothing else is in it.
    ///
    /// # Errors
    /// [`StateError::Io`]. Refuses with [`io::ErrorKind::DirectoryNotEmpty`] while a cluster has a state.
    pub fn purge(&self) -> Result<(), StateError> {
        if !self.clusters()?.is_empty() {
            return Err(io_error(
                &self.data_dir.join("state"),
                io::ErrorKind::DirectoryNotEmpty.into(),
            ));
        }
        for folder in ["history", "journal", "locks", "state"] {
            let path = self.data_dir.join(folder);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&path, error));
                }
                _ => {}
            }
        }
        for file in [
            "allocations.json",
            "key",
            "key.new",
            "key.salt",
            ".gitignore",
        ] {
            let path = self.data_dir.join(file);
            disk::remove(&path).map_err(|source| io_error(&path, source))?;
        }
        // What is not ours stays, and keeps the folder.
        let _ = fs::remove_dir(&self.data_dir);
        if let Some(parent) = self.data_dir.parent().filter(|parent| is_dot_tks(parent)) {
            let alone = names(parent)?.iter().all(|name| name == ".gitignore");
            let _ = alone && fs::remove_dir_all(parent).is_ok();
        }
        Ok(())
    }

    /// The key, made if this is the first apply.
    pub(crate) fn key_to_write(&self) -> Result<&Key, KeyError> {
        let has_state = self
            .clusters()
            .map_or(true, |clusters| !clusters.is_empty());
        self.keyring.or_make(has_state)
    }

    /// The key, if there is one.
    pub(crate) fn key(&self) -> Result<Option<&Key>, KeyError> {
        self.keyring.existing()
    }

    /// Makes the folder and its `.gitignore`.
    pub(crate) fn prepare(&self) -> Result<(), StateError> {
        let top = self.data_dir.parent().filter(|parent| is_dot_tks(parent));
        let ignore = top.unwrap_or(&self.data_dir).join(".gitignore");
        let written = disk::make_folder(&self.data_dir).and_then(|()| match ignore.exists() {
            true => Ok(()),
            false => disk::write(&ignore, b"*\n"),
        });
        written.map_err(|source| io_error(&ignore, source))
    }

    /// Keeps the version of a cluster's state that is on the disk, and forgets the oldest.
    pub(crate) fn keep_present(&self, cluster: &ClusterPath) -> Result<(), StateError> {
        match self.load_document(cluster)? {
            Some(state) => self.keep(cluster, &state.lineage, state.serial),
            None => Ok(()),
        }
    }

    /// As [`Self::keep_present`], where lineage and serial are known.
    pub(crate) fn keep(
        &self,
        cluster: &ClusterPath,
        lineage: &str,
        serial: u64,
    ) -> Result<(), StateError> {
        let path = self.path(cluster);
        let Some(bytes) = disk::read(&path).map_err(|source| io_error(&path, source))? else {
            return Ok(());
        };
        let name = format!("{lineage}.{serial:08}.json");
        let kept = self.history_folder(cluster).join(name);
        disk::write(&kept, &bytes).map_err(|source| io_error(&kept, source))?;
        let versions = self.history(cluster)?;
        for old in versions.iter().rev().skip(KEPT) {
            disk::remove(&old.path).map_err(|source| io_error(&old.path, source))?;
        }
        Ok(())
    }

    /// Writes a state with the next serial.
    pub(crate) fn save(&self, state: &mut State) -> Result<(), StateError> {
        state.serial += 1;
        self.write(state)
    }

    /// Writes a state as it is.
    pub(crate) fn write(&self, state: &State) -> Result<(), StateError> {
        let path = self.path(&state.cluster);
        disk::write(&path, &self.bytes(state)?).map_err(|source| io_error(&path, source))
    }

    fn bytes(&self, state: &State) -> Result<Vec<u8>, StateError> {
        let path = self.path(&state.cluster);
        let key_error = |source| StateError::Key {
            path: path.clone(),
            source,
        };
        let key = self.key().map_err(key_error)?;
        state.to_bytes(key).map_err(key_error)
    }

    /// Removes the document of a cluster in which nothing is left; its last version goes to the history.
    pub(crate) fn retire(&self, state: &State) -> Result<(), StateError> {
        self.keep_present(&state.cluster)?;
        let path = self.path(&state.cluster);
        disk::remove(&path).map_err(|source| io_error(&path, source))?;
        disk::prune(path.parent().unwrap_or(&self.data_dir), &self.data_dir);
        Ok(())
    }

    fn parse(&self, cluster: &ClusterPath, path: &Path, bytes: &[u8]) -> Result<State, StateError> {
        let key = self.key().map_err(|source| StateError::Key {
            path: path.to_owned(),
            source,
        })?;
        State::from_bytes(cluster, bytes, key)
            .map_err(|error| self.unreadable(path, error, self.newest_good(cluster)))
    }

    pub(crate) fn unreadable(
        &self,
        path: &Path,
        error: Unreadable,
        newest_good: Option<PathBuf>,
    ) -> StateError {
        let path = path.to_owned();
        match error {
            Unreadable::Document(source @ DocumentError::Newer { .. }) => {
                StateError::Newer { path, source }
            }
            Unreadable::Document(source) => StateError::Damaged {
                path,
                newest_good,
                source,
            },
            Unreadable::Key(source) => {
                let known = self.key().is_ok_and(|key| key.is_some());
                let missing = || KeyError::Missing(self.keyring.own_file());
                let source = if known { source } else { missing() };
                StateError::Key { path, source }
            }
            Unreadable::OtherKey(wanted, found) => StateError::OtherKey {
                path,
                wanted,
                found,
            },
        }
    }

    fn newest_good(&self, cluster: &ClusterPath) -> Option<PathBuf> {
        let key = self.key().ok().flatten();
        let versions = self.history(cluster).ok()?;
        let good = |version: &Version| {
            let bytes = disk::read(&version.path).ok().flatten()?;
            State::from_bytes(cluster, &bytes, key)
                .ok()
                .map(|_| version.path.clone())
        };
        versions.iter().rev().find_map(good)
    }

    pub(crate) fn path(&self, cluster: &ClusterPath) -> PathBuf {
        file_of(&self.data_dir.join("state"), cluster, "json")
    }

    fn history_folder(&self, cluster: &ClusterPath) -> PathBuf {
        self.data_dir.join("history").join(cluster.to_string())
    }
}

/// Lineages and serials.
pub(crate) fn versions(
    states: &BTreeMap<ClusterPath, State>,
) -> BTreeMap<ClusterPath, (String, u64)> {
    let version = |(cluster, state): (&ClusterPath, &State)| {
        (cluster.clone(), (state.lineage.clone(), state.serial))
    };
    states.iter().map(version).collect()
}

/// The outputs in some states.
pub(crate) fn outputs(states: &BTreeMap<ClusterPath, State>) -> BTreeMap<UnitPath, Attributes> {
    let mut all = BTreeMap::new();
    for (cluster, state) in states {
        for (unit, values) in &state.outputs {
            all.insert(
                UnitPath {
                    cluster: cluster.clone(),
                    unit: unit.clone(),
                },
                values.clone(),
            );
        }
    }
    all
}

/// `<folder>/<account>/<region>/<cluster>.<extension>`; a cluster's name may have dots.
pub(crate) fn file_of(folder: &Path, cluster: &ClusterPath, extension: &str) -> PathBuf {
    folder.join(format!("{cluster}.{extension}"))
}

/// Clusters with a file in `folder`. Names that begin with a dot are files being written.
fn clusters_in(folder: &Path, extension: &str) -> Result<Vec<ClusterPath>, StateError> {
    let mut clusters = Vec::new();
    for account in names(folder)? {
        for region in names(&folder.join(&account))? {
            for file in names(&folder.join(&account).join(&region))? {
                let name = file
                    .strip_suffix(extension)
                    .filter(|name| !name.starts_with('.'));
                clusters.extend(name.map(|cluster| ClusterPath {
                    account: account.clone(),
                    region: region.clone(),
                    cluster: cluster.to_owned(),
                }));
            }
        }
    }
    clusters.sort();
    Ok(clusters)
}

fn is_dot_tks(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == ".tks")
}

fn names(folder: &Path) -> Result<Vec<String>, StateError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(io_error(folder, error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names
        .collect::<io::Result<_>>()
        .map_err(|source| io_error(folder, source))
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        source,
    }
}
