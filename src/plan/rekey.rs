//! Another key for a fleet's secrets: every document, those of the history too, is sealed anew, each whole or not at all. The new
//! key lies in `key.new` until all of them are, and takes the place of `key` then. What was interrupted is completed by the
//! same again: a document tells which key it is sealed with.

use std::fs;
use std::path::{Path, PathBuf};

use stack::ClusterPath;

use crate::key::{Key, KeyError, file_key, fresh_key};
use crate::lock::{Locks, Waiting};
use crate::state::{State, Unreadable};
use crate::store::{StateError, StateStore, io_error};
use crate::{Options, Progress, RepairError, disk};

/// What was sealed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// States and their earlier versions.
    pub documents: usize,
    /// Where the new key is.
    pub key: PathBuf,
}

impl StateStore {
    /// Seals everything anew: with the key in the file `to`, else with a new one of the fleet's own.
    ///
    /// # Errors
    /// [`RepairError`]; what is sealed anew by then stays so, and the same again completes it.
    pub async fn rekey(
        &self,
        to: Option<&Path>,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Rekeyed, RepairError> {
        let clusters = self.clusters()?;
        let waiting = Waiting {
            timeout: options.lock_timeout,
            operation: &options.operation,
            progress,
            stop: &options.stop,
        };
        let _locks = Locks::take(self.data_dir(), &clusters, &waiting).await?;
        if let Some(cluster) = self.journaled()?.into_iter().next() {
            return Err(RepairError::Interrupted(cluster));
        }
        let own = self.data_dir().join("key");
        let next = self.data_dir().join("key.new");
        let key_error = |path: &Path| {
            let path = path.to_owned();
            |source: KeyError| StateError::Key { path, source }
        };
        let new = match to {
            Some(file) => file_key(file).map_err(key_error(file))?,
            None => fresh_key(&next).map_err(key_error(&next))?,
        };
        let mut documents = 0;
        for cluster in &clusters {
            for path in self.documents(cluster)? {
                documents += usize::from(self.reseal(cluster, &path, &new)?);
            }
        }
        if to.is_none() {
            fs::rename(&next, &own).map_err(|source| io_error(&own, source))?;
            disk::sync_folder(self.data_dir()).map_err(|source| io_error(&own, source))?;
        }
        Ok(Rekeyed {
            documents,
            key: to.map_or(own, Path::to_owned),
        })
    }

    /// The state of a cluster and its earlier versions.
    fn documents(&self, cluster: &ClusterPath) -> Result<Vec<PathBuf>, StateError> {
        let history = self.history(cluster)?.into_iter();
        let mut documents: Vec<PathBuf> = history.map(|version| version.path).collect();
        documents.push(self.path(cluster));
        Ok(documents)
    }

    /// `false`: it is sealed with the new key already.
    fn reseal(&self, cluster: &ClusterPath, path: &Path, new: &Key) -> Result<bool, StateError> {
        let bytes = disk::read(path).map_err(|source| io_error(path, source))?;
        let Some(bytes) = bytes else {
            return Ok(false);
        };
        if State::from_bytes(cluster, &bytes, Some(new)).is_ok() {
            return Ok(false);
        }
        let key = self.key().map_err(|source| StateError::Key {
            path: path.to_owned(),
            source,
        })?;
        let state = match State::from_bytes(cluster, &bytes, key) {
            Ok(state) => state,
            // An earlier version that cannot be read is none, now as before.
            Err(Unreadable::Document(_)) if path != self.path(cluster) => return Ok(false),
            Err(error) => return Err(self.unreadable(path, error, None)),
        };
        let sealed = state.to_bytes(Some(new));
        let sealed = sealed.map_err(|source| StateError::Key {
            path: path.to_owned(),
            source,
        })?;
        disk::write(path, &sealed).map_err(|source| io_error(path, source))?;
        Ok(true)
    }
}
