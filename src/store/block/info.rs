//! What the gateway needs to know of a block: its `meta.json`, read once and reduced.

use std::collections::BTreeMap;

use proto::thanos::Label;
use tsdb::meta::{Meta, MetaError};

/// The label under which relabel rules and request hints see a block's id.
pub const BLOCK_ID: &str = "__block_id";

/// One block of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockInfo {
    pub id: String,
    /// First time, in milliseconds.
    pub min_time: i64,
    /// The time after the last.
    pub max_time: i64,
    /// External labels.
    pub labels: BTreeMap<String, String>,
    /// Milliseconds of one downsampled window; 0 for raw samples.
    pub resolution: i64,
    /// Who wrote it (`sidecar`, `compactor`, …).
    pub source: String,
    /// The blocks that it was made of, at first hand.
    pub sources: Vec<String>,
    /// When it was uploaded, in milliseconds since 1970, if known.
    pub upload_time: Option<i64>,
    /// Names of its chunk segments, if listed.
    pub segments: Vec<String>,
    /// Bytes of its largest series entry, if known.
    pub series_max_size: Option<u64>,
    /// Bytes of its largest chunk, if known.
    pub chunk_max_size: Option<u64>,
}

impl From<&Meta> for BlockInfo {
    fn from(meta: &Meta) -> Self {
        let known = |size: u64| (size > 0).then_some(size);
        let thanos = meta.thanos.clone().unwrap_or_default();
        Self {
            id: meta.ulid.to_string(),
            min_time: meta.min_time,
            max_time: meta.max_time,
            resolution: thanos.downsample.resolution,
            upload_time: thanos.upload_time.map(|time| time.as_millisecond()),
            series_max_size: known(thanos.index_stats.series_max_size),
            chunk_max_size: known(thanos.index_stats.chunk_max_size),
            source: thanos.source,
            sources: meta
                .compaction
                .sources
                .iter()
                .map(ToString::to_string)
                .collect(),
            segments: thanos.segment_files,
            labels: thanos.labels,
        }
    }
}

impl BlockInfo {
    /// Reads a `meta.json`.
    ///
    /// # Errors
    /// [`MetaError`], when it is none, or of an unknown version.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetaError> {
        Ok(Self::from(&Meta::parse(bytes)?))
    }

    /// External labels, sorted by name, as they travel.
    #[must_use]
    pub fn label_set(&self) -> Vec<Label> {
        let label = |(name, value): (&String, &String)| Label {
            name: name.clone(),
            value: value.clone(),
        };
        self.labels.iter().map(label).collect()
    }

    /// External labels and the block's id.
    #[must_use]
    pub fn selector_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(BLOCK_ID.to_owned(), self.id.clone());
        labels
    }

    /// When it was made: its id says so, in milliseconds since 1970.
    #[must_use]
    pub fn created(&self) -> i64 {
        let time = tsdb::Ulid::from_string(&self.id).map(|id| id.timestamp_ms());
        time.map_or(0, |time| i64::try_from(time).unwrap_or(i64::MAX))
    }

    /// Whether it may have samples from `min_time` to `max_time`, both inclusive.
    #[must_use]
    pub fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        self.min_time <= max_time && min_time < self.max_time
    }
}
