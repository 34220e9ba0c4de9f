//! Intents to create, one JSON line each in `journal/<account>/<region>/<cluster>.jsonl`: synced before the create begins,
//! closed after its result is saved. What a killed run leaves open may exist although no state tells of it: the next plan
//! adopts it (create again) or removes it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stack::{Address, Attributes, ClusterPath};

use crate::key::{Key, KeyError};
use crate::store::{StateError, file_of, io_error};
use crate::{codec, disk, state};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A create begins; with what was planned, secrets sealed.
    Begin {
        address: String,
        planned: Json,
        depends_on: Vec<String>,
    },
    /// Its result is saved, or it is known not to exist.
    End { address: String },
}

/// A create that nobody saw end.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) planned: Attributes,
    pub(crate) depends_on: std::collections::BTreeSet<Address>,
}

/// The journal of one cluster, for its one writer.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    top: PathBuf,
    file: Option<File>,
    open: std::collections::BTreeSet<Address>,
}

/// What a killed run left open in a cluster. A last line that is cut was never acted upon.
pub(crate) fn in_flight(
    data_dir: &Path,
    cluster: &ClusterPath,
    key: Option<&Key>,
) -> Result<BTreeMap<Address, InFlight>, StateError> {
    let path = journal_of(data_dir, cluster);
    let bytes = disk::read(&path)
        .map_err(|source| io_error(&path, source))?
        .unwrap_or_default();
    let mut open = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Begin {
                address,
                planned,
                depends_on,
            }) => {
                let Ok(address) = state::address(&address) else {
                    continue;
                };
                // Without its key a planned secret is unknown; the rest still tells what to look for.
                let planned = codec::decode(&planned, key).unwrap_or_default();
                let depends_on = depends_on
                    .iter()
                    .filter_map(|text| text.parse().ok())
                    .collect();
                open.insert(
                    address,
                    InFlight {
                        planned,
                        depends_on,
                    },
                );
            }
            Ok(Line::End { address }) => {
                let address = state::address(&address).ok();
                address.and_then(|address| open.remove(&address));
            }
            Err(_) => {}
        }
    }
    Ok(open)
}

impl Journal {
    /// The journal of a cluster whose lock is held. Intents that are open in it stay so until they are closed.
    pub(crate) fn of(data_dir: &Path, cluster: &ClusterPath) -> Result<Self, StateError> {
        let open = in_flight(data_dir, cluster, None)?.into_keys().collect();
        let path = journal_of(data_dir, cluster);
        Ok(Self {
            path,
            top: data_dir.to_owned(),
            file: None,
            open,
        })
    }

    /// Records that creates begin; they may begin once this returns.
    pub(crate) fn begin(
        &mut self,
        address: &Address,
        planned: &Attributes,
        depends_on: &std::collections::BTreeSet<Address>,
        key: Option<&Key>,
    ) -> Result<(), StateError> {
        let error = |source: KeyError| StateError::Key {
            path: self.path.clone(),
            source,
        };
        let planned = codec::encode(planned, key).map_err(error)?;
        let depends_on = depends_on.iter().map(Address::to_string).collect();
        self.append(
            &Line::Begin {
                address: address.to_string(),
                planned,
                depends_on,
            },
            true,
        )?;
        self.open.insert(address.clone());
        Ok(())
    }

    /// Records that a create is saved, or made nothing. Needs no sync: an intent that is open too long is harmless.
    pub(crate) fn end(&mut self, address: &Address) -> Result<(), StateError> {
        if self.open.remove(address) {
            self.append(
                &Line::End {
                    address: address.to_string(),
                },
                false,
            )?;
        }
        Ok(())
    }

    /// Removes the file if nothing in it is open.
    pub(crate) fn finish(&mut self) -> Result<(), StateError> {
        self.file = None;
        if self.open.is_empty() {
            disk::remove(&self.path).map_err(|source| io_error(&self.path, source))?;
            disk::prune(self.path.parent().unwrap_or(&self.top), &self.top);
        }
        Ok(())
    }

    fn append(&mut self, line: &Line, sync: bool) -> Result<(), StateError> {
        let path = self.path.clone();
        self.try_append(line, sync)
            .map_err(|source| io_error(&path, source))
    }

    fn try_append(&mut self, line: &Line, sync: bool) -> std::io::Result<()> {
        if self.file.is_none() {
            let folder = self.path.parent().unwrap_or(&self.top);
            disk::make_folder(folder)?;
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            disk::sync_folder(folder)?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // The line break stands in front: a line cut by a crash must not swallow the next one.
        file.write_all(format!("\n{}", serde_json::to_string(line)?).as_bytes())?;
        if sync { file.sync_data() } else { Ok(()) }
    }
}

fn journal_of(data_dir: &Path, cluster: &ClusterPath) -> PathBuf {
    file_of(&data_dir.join("journal"), cluster, "jsonl")
}
