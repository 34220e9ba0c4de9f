//! What exists in one cluster, as recorded: resources and outputs of units.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use stack::{Address, Attributes, ClusterPath, Lifecycle, OnDestroy};

use crate::codec::{self, CodecError};
use crate::document::{DocumentError, Format};
use crate::key::{Key, KeyError};

/// The version that writes.
pub(crate) const TKS: &str = env!("CARGO_PKG_VERSION");
const FORMAT: Format = Format {
    name: "tks state",
    // 2: what each unit was made from, which a tks of version 1 would lose.
    version: 2,
    migrations: &[|state| drop(state.insert("units".to_owned(), Json::Object(Map::new())))],
};

/// The state of one cluster.
#[derive(Clone, Debug)]
pub struct State {
    pub cluster: ClusterPath,
    /// A ULID, from the first write on; another state of the same cluster has another.
    pub lineage: String,
    /// One more with each run that changes it.
    pub serial: u64,
    pub resources: BTreeMap<Address, Recorded>,
    /// By unit name.
    pub outputs: BTreeMap<String, Attributes>,
    /// By unit name, what it was made from when it was last applied whole.
    pub units: BTreeMap<String, Read>,
}

/// What a unit was made from: a [`stack::Reading`], without what was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub digest: String,
    pub files: Vec<String>,
}

/// One resource that exists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// As the tree said them.
    pub properties: Attributes,
    /// As the provider told them.
    pub attributes: Attributes,
    pub depends_on: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
    /// Attributes of earlier ones that were to be removed after their successor was made, and are still there.
    pub deposed: Vec<Attributes>,
    /// RFC 3339, UTC.
    pub created: String,
}

/// Why a document is no state.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Document(DocumentError),
    Key(KeyError),
    /// Sealed with the first key; the second is here.
    OtherKey(String, String),
}

#[derive(Serialize, Deserialize)]
struct StateDoc {
    tks: String,
    cluster: String,
    lineage: String,
    serial: u64,
    /// The id of the key that secrets are sealed with.
    key: Option<String>,
    resources: Vec<ResourceDoc>,
    outputs: Map<String, Json>,
    units: BTreeMap<String, Read>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResourceDoc {
    address: String,
    created: String,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default, skip_serializing_if = "LifecycleDoc::is_default")]
    lifecycle: LifecycleDoc,
    properties: Json,
    attributes: Json,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deposed: Vec<Json>,
}

/// [`Lifecycle`] as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LifecycleDoc {
    protect: bool,
    ignore_changes: Vec<String>,
    create_before_destroy: bool,
    retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

impl LifecycleDoc {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&Lifecycle> for LifecycleDoc {
    fn from(lifecycle: &Lifecycle) -> Self {
        Self {
            protect: lifecycle.protect,
            ignore_changes: lifecycle.ignore_changes.clone(),
            create_before_destroy: lifecycle.create_before_destroy,
            retain: lifecycle.on_destroy == OnDestroy::Retain,
            timeout_ms: lifecycle
                .timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl From<LifecycleDoc> for Lifecycle {
    fn from(doc: LifecycleDoc) -> Self {
        Self {
            protect: doc.protect,
            ignore_changes: doc.ignore_changes,
            create_before_destroy: doc.create_before_destroy,
            on_destroy: if doc.retain {
                OnDestroy::Retain
            } else {
                OnDestroy::Delete
            },
            timeout: doc.timeout_ms.map(Duration::from_millis),
        }
    }
}

impl State {
    /// A state of nothing, with a lineage of its own.
    pub(crate) fn new(cluster: ClusterPath) -> Self {
        Self {
            cluster,
            lineage: ulid::Ulid::generate().to_string(),
            serial: 0,
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
            units: BTreeMap::new(),
        }
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.outputs.is_empty()
    }

    pub(crate) fn to_bytes(&self, key: Option<&Key>) -> Result<Vec<u8>, KeyError> {
        let resources = self
            .resources
            .iter()
            .map(|(address, found)| found.to_doc(address, key));
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|(unit, values)| Ok((unit.clone(), codec::encode(values, key)?)));
        let doc = StateDoc {
            tks: TKS.to_owned(),
            cluster: self.cluster.to_string(),
            lineage: self.lineage.clone(),
            serial: self.serial,
            key: key.map(|key| key.id().to_owned()),
            resources: resources.collect::<Result<_, _>>()?,
            outputs: outputs.collect::<Result<_, KeyError>>()?,
            units: self.units.clone(),
        };
        Ok(FORMAT.write(object(&doc)))
    }

    pub(crate) fn from_bytes(
        cluster: &ClusterPath,
        bytes: &[u8],
        key: Option<&Key>,
    ) -> Result<Self, Unreadable> {
        Self::from_fields(cluster, FORMAT.read(bytes)?, key)
    }

    /// As [`Self::from_bytes`], of whatever cluster, and without a checksum too: somebody changed it on purpose.
    pub(crate) fn from_edited(bytes: &[u8], key: Option<&Key>) -> Result<Self, Unreadable> {
        let fields = FORMAT.read_edited(bytes)?;
        let name = fields.get("cluster").and_then(Json::as_str);
        let cluster = cluster(name.unwrap_or_default())?;
        Self::from_fields(&cluster, fields, key)
    }

    fn from_fields(
        cluster: &ClusterPath,
        fields: Map<String, Json>,
        key: Option<&Key>,
    ) -> Result<Self, Unreadable> {
        let doc: StateDoc = serde_json::from_value(Json::Object(fields))?;
        if doc.cluster != cluster.to_string() {
            let meaning = format!("it is the state of {}", doc.cluster);
            return Err(DocumentError::Meaning(meaning).into());
        }
        if let (Some(wanted), Some(key)) = (&doc.key, key)
            && wanted != key.id()
        {
            return Err(Unreadable::OtherKey(wanted.clone(), key.id().to_owned()));
        }
        let outputs = doc.outputs.iter();
        let outputs = outputs.map(|(unit, json)| Ok((unit.clone(), codec::decode(json, key)?)));
        Ok(Self {
            cluster: cluster.clone(),
            lineage: doc.lineage,
            serial: doc.serial,
            units: doc.units,
            outputs: outputs.collect::<Result<_, CodecError>>()?,
            resources: doc
                .resources
                .into_iter()
                .map(|resource| Recorded::from_doc(resource, key))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Recorded {
    pub(crate) fn to_doc(
        &self,
        address: &Address,
        key: Option<&Key>,
    ) -> Result<ResourceDoc, KeyError> {
        let deposed = self
            .deposed
            .iter()
            .map(|attributes| codec::encode(attributes, key));
        Ok(ResourceDoc {
            address: address.to_string(),
            created: self.created.clone(),
            depends_on: self.depends_on.iter().map(Address::to_string).collect(),
            lifecycle: (&self.lifecycle).into(),
            properties: codec::encode(&self.properties, key)?,
            attributes: codec::encode(&self.attributes, key)?,
            deposed: deposed.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn from_doc(
        doc: ResourceDoc,
        key: Option<&Key>,
    ) -> Result<(Address, Self), Unreadable> {
        let deposed = doc.deposed.iter().map(|json| codec::decode(json, key));
        let recorded = Self {
            properties: codec::decode(&doc.properties, key)?,
            attributes: codec::decode(&doc.attributes, key)?,
            depends_on: doc
                .depends_on
                .iter()
                .map(|text| address(text))
                .collect::<Result<_, _>>()?,
            lifecycle: doc.lifecycle.into(),
            deposed: deposed.collect::<Result<_, _>>()?,
            created: doc.created,
        };
        Ok((address(&doc.address)?, recorded))
    }
}

/// An address in a document.
pub(crate) fn address(text: &str) -> Result<Address, DocumentError> {
    text.parse()
        .map_err(|error: stack::AddressError| DocumentError::Meaning(error.to_string()))
}

/// A cluster in a document.
pub(crate) fn cluster(text: &str) -> Result<ClusterPath, DocumentError> {
    // A unit path is a cluster path and one name more.
    let unit: stack::UnitPath = format!("{text}/x")
        .parse()
        .map_err(|_| DocumentError::Meaning(format!("`{text}` is not a cluster")))?;
    Ok(unit.cluster)
}

/// A struct's fields.
pub(crate) fn object(doc: &impl Serialize) -> Map<String, Json> {
    match serde_json::to_value(doc) {
        Ok(Json::Object(fields)) => fields,
        // Structs of strings, numbers and JSON always serialise to objects.
        _ => Map::new(),
    }
}

/// Now, as it is written.
pub(crate) fn now() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

impl From<DocumentError> for Unreadable {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Document(error.into())
    }
}

impl From<CodecError> for Unreadable {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Key(error) => Self::Key(error),
            CodecError::Meaningless(_) => Self::Document(DocumentError::Meaning(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form in which the first tks wrote states.
    const OF_VERSION_1: &[u8] = include_bytes!("tests/state-v1.json");

    #[test]
    fn a_state_of_version_1_is_read_whole_and_written_as_it_is_now() {
        let one = cluster("a/r/one").unwrap();
        let state = State::from_bytes(&one, OF_VERSION_1, None).unwrap();
        assert_eq!((state.serial, state.resources.len()), (3, 2));
        let note = address("a/r/one/note:local.file.note").unwrap();
        let copy = &state.resources[&address("a/r/one/copy:local.file.copy").unwrap()];
        assert!(state.resources[&note].lifecycle.protect);
        assert!(copy.depends_on.contains(&note));
        assert_eq!(copy.deposed.len(), 1);
        assert_eq!(state.outputs["note"]["path"], "note.txt".into());

        let written = state.to_bytes(None).unwrap();
        let fields = FORMAT.read(&written).unwrap();
        assert_eq!(
            (&fields["version"], &fields["units"]),
            (&2.into(), &Json::Object(Map::new()))
        );
        let again = State::from_bytes(&one, &written, None).unwrap();
        assert_eq!(again.resources, state.resources);
    }
}
