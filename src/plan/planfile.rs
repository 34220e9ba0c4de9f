//! A plan in a file: one JSON document with everything that was reviewed, secrets sealed with the fleet's key.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use stack::{Address, Attributes, UnitPath, Value};

use crate::codec::{self, CodecError};
use crate::document::{DocumentError, Format};
use crate::key::{Key, KeyError};
use crate::state::{LifecycleDoc, address, cluster, object};
use crate::{
    Action, Allocation, Change, ClusterPlan, Diff, Drift, Origin, OutputChange, Plan, PlanMode,
    PlannedFleet, Reason, StateStore, disk,
};

const FORMAT: Format = Format {
    name: "tks plan",
    // 2: what is selected; version 1 knew whole plans only. 3: where things come from. A plan is made anew, not migrated.
    version: 3,
    migrations: &[],
};

/// No plan in a file.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    #[error("{} is not a usable plan", path.display())]
    Damaged {
        path: PathBuf,
        source: DocumentError,
    },
    #[error("cannot read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot seal or open the secrets of {}", path.display())]
    Key { path: PathBuf, source: KeyError },
}

#[derive(Serialize, Deserialize)]
struct PlanDoc {
    tks: String,
    created: String,
    fleet: FleetDoc,
    destroy: bool,
    #[serde(default)]
    refresh_only: bool,
    #[serde(default)]
    selection: Option<String>,
    bookkeeping: bool,
    clusters: Vec<ClusterDoc>,
    changes: Vec<ChangeDoc>,
    drift: Vec<DriftDoc>,
    outputs: Vec<OutputDoc>,
    allocations: BTreeMap<String, u16>,
    released: BTreeMap<String, u16>,
}

#[derive(Serialize, Deserialize)]
struct FleetDoc {
    name: String,
    dir: PathBuf,
    platform: String,
}

#[derive(Serialize, Deserialize)]
struct ClusterDoc {
    path: String,
    lineage: Option<String>,
    serial: u64,
    in_tree: bool,
}

#[derive(Serialize, Deserialize)]
struct ChangeDoc {
    address: String,
    action: ActionDoc,
    reason: Option<ReasonDoc>,
    before: Option<Json>,
    after: Option<Json>,
    diffs: Vec<DiffDoc>,
    properties: Json,
    depends_on: Vec<String>,
    lifecycle: LifecycleDoc,
    deposed: Vec<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginDoc>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OriginDoc {
    Interrupted,
    Moved(String),
    Imported(String),
}

#[derive(Serialize, Deserialize)]
struct DiffDoc {
    path: String,
    before: Option<Json>,
    after: Option<Json>,
    forces: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct DriftDoc {
    address: String,
    gone: bool,
    diffs: Vec<DiffDoc>,
}

#[derive(Serialize, Deserialize)]
struct OutputDoc {
    unit: String,
    diffs: Vec<DiffDoc>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Action", rename_all = "snake_case")]
enum ActionRemote {
    Create,
    Update,
    Replace,
    Delete,
    Forget,
    NoOp,
    Skipped,
}

#[derive(Serialize, Deserialize)]
struct ActionDoc(#[serde(with = "ActionRemote")] Action);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reason", rename_all = "snake_case")]
enum ReasonRemote {
    ResourceNotInTree,
    UnitNotInTree,
    ClusterNotInTree,
    Destroy,
    Gone,
    Interrupted,
    CannotUpdate(Vec<(String, String)>),
    Requested,
    NotSelected,
    Skipped(String),
}

#[derive(Serialize, Deserialize)]
struct ReasonDoc(#[serde(with = "ReasonRemote")] Reason);

impl Plan {
    /// Writes the plan to a file; secrets are sealed with the fleet's key.
    ///
    /// # Errors
    /// [`PlanFileError::Key`] with [`KeyError::NotYet`] if a secret is planned before the fleet has a key.
    pub fn save(&self, path: &Path, store: &StateStore) -> Result<(), PlanFileError> {
        let key_error = |source| PlanFileError::Key {
            path: path.to_owned(),
            source,
        };
        let key = store.key().map_err(key_error)?;
        let doc = to_doc(self, key).map_err(key_error)?;
        let written = disk::write(&from_here(path), &FORMAT.write(object(&doc)));
        written.map_err(|source| PlanFileError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a plan from a file.
    ///
    /// # Errors
    /// [`PlanFileError`].
    pub fn load(path: &Path, store: &StateStore) -> Result<Self, PlanFileError> {
        let key = store.key();
        let key = key.map_err(|source| PlanFileError::Key {
            path: path.to_owned(),
            source,
        })?;
        let doc: PlanDoc =
            serde_json::from_value(Json::Object(fields(path)?)).map_err(|error| {
                PlanFileError::Damaged {
                    path: path.to_owned(),
                    source: error.into(),
                }
            })?;
        from_doc(doc, key).map_err(|error| match error {
            CodecError::Key(source) => PlanFileError::Key {
                path: path.to_owned(),
                source,
            },
            CodecError::Meaningless(_) => {
                let source = DocumentError::Meaning(error.to_string());
                PlanFileError::Damaged {
                    path: path.to_owned(),
                    source,
                }
            }
        })
    }

    /// Whose plan is in a file: before its store can be opened.
    ///
    /// # Errors
    /// [`PlanFileError`].
    pub fn fleet_of(path: &Path) -> Result<PlannedFleet, PlanFileError> {
        let fleet = fields(path)?.remove("fleet").unwrap_or_default();
        let doc: Result<FleetDoc, _> = serde_json::from_value(fleet);
        let doc = doc.map_err(|error| PlanFileError::Damaged {
            path: path.to_owned(),
            source: error.into(),
        })?;
        Ok(PlannedFleet {
            name: doc.name,
            dir: doc.dir,
            platform: doc.platform,
        })
    }
}

/// A bare file name has no folder.
fn from_here(path: &Path) -> PathBuf {
    if path.parent() == Some(Path::new("")) {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}

fn fields(path: &Path) -> Result<Map<String, Json>, PlanFileError> {
    let bytes = std::fs::read(path).map_err(|source| PlanFileError::Io {
        path: path.to_owned(),
        source,
    })?;
    FORMAT
        .read(&bytes)
        .map_err(|source| PlanFileError::Damaged {
            path: path.to_owned(),
            source,
        })
}

fn to_doc(plan: &Plan, key: Option<&Key>) -> Result<PlanDoc, KeyError> {
    let PlannedFleet {
        name,
        dir,
        platform,
    } = plan.fleet.clone();
    Ok(PlanDoc {
        tks: plan.tks.clone(),
        created: plan.created.clone(),
        fleet: FleetDoc {
            name,
            dir,
            platform,
        },
        destroy: plan.mode == PlanMode::Destroy,
        refresh_only: plan.mode == PlanMode::RefreshOnly,
        selection: plan.selection.clone(),
        bookkeeping: plan.bookkeeping,
        clusters: plan.clusters.iter().map(cluster_doc).collect(),
        changes: plan
            .changes
            .iter()
            .map(|change| change_doc(change, key))
            .collect::<Result<_, _>>()?,
        drift: plan
            .drift
            .iter()
            .map(|drift| drift_doc(drift, key))
            .collect::<Result<_, _>>()?,
        outputs: plan
            .outputs
            .iter()
            .map(|output| output_doc(output, key))
            .collect::<Result<_, _>>()?,
        allocations: ports(&plan.allocations),
        released: ports(&plan.released),
    })
}

fn from_doc(doc: PlanDoc, key: Option<&Key>) -> Result<Plan, CodecError> {
    let FleetDoc {
        name,
        dir,
        platform,
    } = doc.fleet;
    let changes = doc.changes.into_iter().map(|change| change_of(change, key));
    let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    Ok(Plan {
        tks: doc.tks,
        created: doc.created,
        mode: match (doc.destroy, doc.refresh_only) {
            (true, _) => PlanMode::Destroy,
            (false, true) => PlanMode::RefreshOnly,
            (false, false) => PlanMode::Apply,
        },
        selection: doc.selection,
        fleet: PlannedFleet {
            name,
            dir,
            platform,
        },
        clusters: doc
            .clusters
            .into_iter()
            .map(cluster_of)
            .collect::<Result<_, _>>()?,
        changes,
        drift: doc
            .drift
            .into_iter()
            .map(|drift| drift_of(drift, key))
            .collect::<Result<_, _>>()?,
        outputs: doc
            .outputs
            .into_iter()
            .map(|output| output_of(output, key))
            .collect::<Result<_, _>>()?,
        allocations: allocations(doc.allocations),
        released: allocations(doc.released),
        bookkeeping: doc.bookkeeping,
    })
}

fn cluster_doc(cluster: &ClusterPlan) -> ClusterDoc {
    ClusterDoc {
        path: cluster.path.to_string(),
        lineage: cluster.lineage.clone(),
        serial: cluster.serial,
        in_tree: cluster.in_tree,
    }
}

fn cluster_of(doc: ClusterDoc) -> Result<ClusterPlan, CodecError> {
    let ClusterDoc {
        path,
        lineage,
        serial,
        in_tree,
    } = doc;
    Ok(ClusterPlan {
        path: cluster(&path).map_err(meaningless)?,
        lineage,
        serial,
        in_tree,
    })
}

fn change_doc(change: &Change, key: Option<&Key>) -> Result<ChangeDoc, KeyError> {
    let encode = |attributes: &Attributes| codec::encode(attributes, key);
    Ok(ChangeDoc {
        address: change.address.to_string(),
        action: ActionDoc(change.action),
        reason: change.reason.clone().map(ReasonDoc),
        before: change.before.as_ref().map(encode).transpose()?,
        after: change.after.as_ref().map(encode).transpose()?,
        diffs: diff_docs(&change.diffs, key)?,
        properties: encode(&change.properties)?,
        depends_on: change.depends_on.iter().map(Address::to_string).collect(),
        lifecycle: (&change.lifecycle).into(),
        deposed: change
            .deposed
            .iter()
            .map(encode)
            .collect::<Result<_, _>>()?,
        origin: change.origin.as_ref().map(|origin| match origin {
            Origin::Interrupted => OriginDoc::Interrupted,
            Origin::Moved(from) => OriginDoc::Moved(from.to_string()),
            Origin::Imported(id) => OriginDoc::Imported(id.clone()),
        }),
    })
}

fn change_of(doc: ChangeDoc, key: Option<&Key>) -> Result<Change, CodecError> {
    let decode = |json: &Json| codec::decode(json, key);
    let depends_on = doc
        .depends_on
        .iter()
        .map(|text| address(text).map_err(meaningless));
    Ok(Change {
        address: address(&doc.address).map_err(meaningless)?,
        action: doc.action.0,
        reason: doc.reason.map(|reason| reason.0),
        before: doc.before.as_ref().map(decode).transpose()?,
        after: doc.after.as_ref().map(decode).transpose()?,
        diffs: diffs_of(doc.diffs, key)?,
        properties: decode(&doc.properties)?,
        depends_on: depends_on.collect::<Result<_, _>>()?,
        lifecycle: doc.lifecycle.into(),
        deposed: doc.deposed.iter().map(decode).collect::<Result<_, _>>()?,
        origin: match doc.origin {
            None => None,
            Some(OriginDoc::Interrupted) => Some(Origin::Interrupted),
            Some(OriginDoc::Imported(id)) => Some(Origin::Imported(id)),
            Some(OriginDoc::Moved(from)) => {
                Some(Origin::Moved(address(&from).map_err(meaningless)?))
            }
        },
    })
}

fn drift_doc(drift: &Drift, key: Option<&Key>) -> Result<DriftDoc, KeyError> {
    let diffs = diff_docs(&drift.diffs, key)?;
    Ok(DriftDoc {
        address: drift.address.to_string(),
        gone: drift.gone,
        diffs,
    })
}

fn drift_of(doc: DriftDoc, key: Option<&Key>) -> Result<Drift, CodecError> {
    let address = address(&doc.address).map_err(meaningless)?;
    Ok(Drift {
        address,
        gone: doc.gone,
        diffs: diffs_of(doc.diffs, key)?,
    })
}

fn output_doc(output: &OutputChange, key: Option<&Key>) -> Result<OutputDoc, KeyError> {
    Ok(OutputDoc {
        unit: output.unit.to_string(),
        diffs: diff_docs(&output.diffs, key)?,
    })
}

fn output_of(doc: OutputDoc, key: Option<&Key>) -> Result<OutputChange, CodecError> {
    let unit: UnitPath = doc
        .unit
        .parse()
        .map_err(|_| CodecError::Meaningless(doc.unit.clone()))?;
    Ok(OutputChange {
        unit,
        diffs: diffs_of(doc.diffs, key)?,
    })
}

fn diff_docs(diffs: &[Diff], key: Option<&Key>) -> Result<Vec<DiffDoc>, KeyError> {
    let encode = |value: &Option<Value>| {
        value
            .as_ref()
            .map(|value| codec::value_to_json(value, key))
            .transpose()
    };
    let doc = |diff: &Diff| {
        Ok(DiffDoc {
            path: diff.path.clone(),
            before: encode(&diff.before)?,
            after: encode(&diff.after)?,
            forces: diff.forces.clone(),
        })
    };
    diffs.iter().map(doc).collect()
}

fn diffs_of(docs: Vec<DiffDoc>, key: Option<&Key>) -> Result<Vec<Diff>, CodecError> {
    let decode = |json: Option<Json>| {
        json.map(|json| codec::json_to_value(&json, key))
            .transpose()
    };
    let diff = |doc: DiffDoc| {
        Ok(Diff {
            path: doc.path,
            before: decode(doc.before)?,
            after: decode(doc.after)?,
            forces: doc.forces,
        })
    };
    docs.into_iter().map(diff).collect()
}

fn ports(allocations: &[Allocation]) -> BTreeMap<String, u16> {
    allocations
        .iter()
        .map(|allocation| (allocation.owner.clone(), allocation.port))
        .collect()
}

fn allocations(ports: BTreeMap<String, u16>) -> Vec<Allocation> {
    ports
        .into_iter()
        .map(|(owner, port)| Allocation { owner, port })
        .collect()
}

fn meaningless(error: DocumentError) -> CodecError {
    CodecError::Meaningless(error.to_string())
}
