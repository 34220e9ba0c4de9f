//! `meta.json`: Prometheus's part, then Thanos's under `thanos` (Thanos `pkg/block/metadata`). Fields that are not known
//! here are kept, behind those that are. It is written as Thanos writes it: indented by tabs, in this order of keys.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use ulid::Ulid;

use crate::durable;

use super::{MetaError, VERSION, check_version, escape_as_go, parse};

const DOCUMENT: &str = "meta.json";

/// A block's `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub ulid: Ulid,
    /// Of the first sample, inclusive.
    pub min_time: i64,
    /// After the last sample, exclusive.
    pub max_time: i64,
    #[serde(default)]
    pub stats: Stats,
    pub compaction: Compaction,
    pub version: i64,
    /// `None` in blocks of Prometheus that no Thanos has touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What is in a block. Zeros are not written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a block was made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compaction {
    pub level: i64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub sources: Vec<Ulid>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletable: bool,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub parents: Vec<BlockDesc>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub hints: Vec<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A block and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDesc {
    pub ulid: Ulid,
    pub min_time: i64,
    pub max_time: i64,
}

/// Thanos's part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThanosMeta {
    /// 0 is read as 1, and not written.
    #[serde(default, skip_serializing_if = "is_zero_signed")]
    pub version: i64,
    /// External labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub downsample: Downsample,
    /// Which component made the block.
    #[serde(default)]
    pub source: String,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub segment_files: Vec<String>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub files: Vec<File>,
    /// Of `tools bucket rewrite`; kept as they are.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub rewrites: Vec<Value>,
    #[serde(default)]
    pub index_stats: IndexStats,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// When the block was uploaded; Go's zero time is none.
    #[serde(default, deserialize_with = "read_time", serialize_with = "write_time")]
    pub upload_time: Option<jiff::Timestamp>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How far samples are thinned out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downsample {
    /// Milliseconds; 0 for what was scraped.
    #[serde(default)]
    pub resolution: i64,
}

/// A file of the block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub rel_path: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// What a file's content hashes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileHash {
    #[serde(rename = "hashFunc")]
    pub function: String,
    pub value: String,
}

/// The largest pieces of a block: how much is to be fetched by a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub series_max_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub chunk_max_size: u64,
}

impl Meta {
    /// The file in a block's folder.
    pub const FILE: &'static str = DOCUMENT;

    /// The meta of a new block of level 1, which is its own source.
    #[must_use]
    pub fn new(ulid: Ulid, min_time: i64, max_time: i64) -> Self {
        Self {
            ulid,
            min_time,
            max_time,
            stats: Stats::default(),
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: VERSION,
            thanos: None,
            other: Map::new(),
        }
    }

    /// Reads a `meta.json`.
    ///
    /// # Errors
    /// [`MetaError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetaError> {
        let meta: Self = parse(DOCUMENT, bytes)?;
        check_version(DOCUMENT, meta.version)?;
        match meta.thanos.as_ref().map(|thanos| thanos.version) {
            None | Some(0) => Ok(meta),
            Some(version) => {
                check_version("the thanos section of meta.json", version).map(|()| meta)
            }
        }
    }

    /// Reads that of a block's folder.
    ///
    /// # Errors
    /// [`MetaError`].
    pub fn read(block: &Path) -> Result<Self, MetaError> {
        let path = block.join(DOCUMENT);
        let bytes = std::fs::read(&path).map_err(|source| MetaError::Read { path, source })?;
        Self::parse(&bytes)
    }

    /// The document as it is written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, tabs);
        // Structs of numbers, texts and JSON always have a form.
        let _ = self.serialize(&mut serializer);
        out.push(b'\n');
        escape_as_go(&String::from_utf8_lossy(&out))
    }

    /// Writes it into a block's folder: whole, or not at all.
    ///
    /// # Errors
    /// [`MetaError::Write`].
    pub fn write(&self, block: &Path) -> Result<(), MetaError> {
        let path = block.join(DOCUMENT);
        durable::write(&path, self.to_json().as_bytes())
            .map_err(|source| MetaError::Write { path, source })
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_signed(number: &i64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How Go writes a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn read_time<'de, D: Deserializer<'de>>(source: D) -> Result<Option<jiff::Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(source)?;
    match text.as_deref() {
        None | Some("" | NEVER) => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

fn write_time<S: serde::Serializer>(
    time: &Option<jiff::Timestamp>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => out.collect_str(time),
        None => out.serialize_str(NEVER),
    }
}

/// Go writes empty lists and maps as `null`, at times.
fn or_default<'de, D, T>(source: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(source).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
