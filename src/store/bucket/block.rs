//! A block that is served: its header at hand, the rest in the bucket.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::Matcher;
use objstore::Bucket;
use proto::thanos::Label;
use tsdb::Corrupt;
use tsdb::header::IndexHeader;

use super::budget::Budget;
use super::error::ReadError;
use super::header::HeaderSlot;
use super::partition::{MAX_GAP, NEAR_GAP};
use super::set::HasInfo;
use super::store::Estimates;
use crate::block::BlockInfo;

/// How far a read goes whose end is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Bytes that a series entry is taken to have.
    pub(crate) series: u64,
    /// Bytes that a chunk is taken to have.
    pub(crate) chunk: u64,
    /// Bytes between two wanted ranges that are read too.
    pub(crate) gap: u64,
}

impl Reach {
    /// In a folder a second read is cheaper than a long one.
    fn near(self) -> Self {
        Self {
            series: self.series.min(NEAR_SERIES),
            chunk: self.chunk.min(NEAR_CHUNK),
            gap: NEAR_GAP,
        }
    }
}

const NEAR_SERIES: u64 = 1 << 10;
const NEAR_CHUNK: u64 = 2 << 10;
/// Most that is read ahead of one block.
const NEAR_WINDOW: u64 = 128 << 10;
const FAR_WINDOW: u64 = 1 << 20;

/// A loaded block.
pub(crate) struct Block {
    pub(crate) info: BlockInfo,
    pub(crate) external: Vec<Label>,
    pub(crate) budget: Budget,
    /// What sizes are taken to be where bytes are counted.
    pub(crate) counted: Reach,
    /// What is really read.
    pub(crate) reach: Reach,
    pub(crate) header: HeaderSlot,
    bucket: Bucket,
    index: String,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("id", &self.info.id)
            .finish_non_exhaustive()
    }
}

impl HasInfo for Arc<Block> {
    fn info(&self) -> &BlockInfo {
        &self.info
    }
}

impl Block {
    /// Asks the bucket nothing: the header comes with its first use, and segments have the names that their numbers
    /// give them.
    pub(crate) fn new(
        bucket: Bucket,
        info: BlockInfo,
        data_dir: Option<&Path>,
        estimates: &Estimates,
        budget: Budget,
    ) -> Self {
        let index = format!("{}/index", info.id);
        let file = data_dir.map(|folder| folder.join(&info.id).join("index-header"));
        let smaller = |known: Option<u64>, estimate: u64| match known {
            Some(size) if size > 0 && size < estimate => size,
            _ => estimate,
        };
        let counted = Reach {
            series: smaller(info.series_max_size, estimates.series).max(1),
            chunk: smaller(info.chunk_max_size, estimates.chunk).max(1),
            gap: MAX_GAP,
        };
        Self {
            external: info.label_set(),
            counted,
            reach: if bucket.is_near() {
                counted.near()
            } else {
                counted
            },
            header: HeaderSlot::new(bucket.clone(), index.clone(), file),
            bucket,
            index,
            budget,
            info,
        }
    }

    /// Bytes of the index; fewer where it ends.
    pub(crate) async fn read_index(
        &self,
        doing: &'static str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, ReadError> {
        let read = self.bucket.get_ranges(&self.index, ranges).await;
        read.map_err(|source| ReadError::Bucket { doing, source })
    }

    /// Bytes of a chunk segment, counted from zero; fewer where it ends.
    pub(crate) async fn read_chunks(
        &self,
        segment: u32,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, ReadError> {
        let doing = "load chunks: get range reader";
        let read = self.bucket.get_ranges(&self.segment(segment), ranges).await;
        read.map_err(|source| ReadError::Bucket { doing, source })
    }

    /// Bytes that one request may read ahead at most: a read that costs no round trip needs no long ones.
    pub(crate) fn most_ahead(&self) -> u64 {
        if self.bucket.is_near() {
            NEAR_WINDOW
        } else {
            FAR_WINDOW
        }
    }

    /// The object of a segment, counted from zero.
    fn segment(&self, segment: u32) -> String {
        format!("{}/{}", self.info.id, tsdb::segment::file_name(segment))
    }

    pub(crate) fn corrupt_index(&self, source: Corrupt) -> ReadError {
        let object = self.index.clone();
        ReadError::Corrupt { object, source }
    }

    pub(crate) fn corrupt_header(&self, source: Corrupt) -> ReadError {
        let object = format!("{}/index-header", self.info.id);
        ReadError::Corrupt { object, source }
    }

    pub(crate) fn corrupt_segment(&self, segment: u32, source: Corrupt) -> ReadError {
        let object = self.segment(segment);
        ReadError::Corrupt { object, source }
    }

    /// Whether a request's hints choose this block.
    pub(crate) fn is_chosen(&self, matchers: &[Matcher]) -> bool {
        let labels = self.info.selector_labels();
        let value = |name: &str| labels.get(name).map_or("", String::as_str);
        matchers
            .iter()
            .all(|matcher| matcher.matches(value(&matcher.name)))
    }

    /// Whether series have one of these labels themselves.
    pub(crate) fn has_any_label(header: &IndexHeader, names: &[&str]) -> bool {
        header.label_names().any(|name| names.contains(&name))
    }
}
