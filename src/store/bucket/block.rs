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
use super::set::HasInfo;
use super::store::Estimates;
use crate::block::BlockInfo;

/// A loaded block.
pub(crate) struct Block {
    pub(crate) info: BlockInfo,
    pub(crate) external: Vec<Label>,
    pub(crate) budget: Budget,
    /// Bytes that a series entry is taken to have.
    pub(crate) series_size: u64,
    /// Bytes that a chunk is taken to have.
    pub(crate) chunk_size: u64,
    pub(crate) header: HeaderSlot,
    bucket: Bucket,
    index: String,
    segments: Vec<String>,
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
    /// Finds the block's segments; its header comes with the first use.
    pub(crate) async fn new(
        bucket: Bucket,
        info: BlockInfo,
        data_dir: Option<&Path>,
        estimates: &Estimates,
        budget: Budget,
    ) -> Result<Self, ReadError> {
        let segments = segments(&bucket, &info).await?;
        let index = format!("{}/index", info.id);
        let file = data_dir.map(|folder| folder.join(&info.id).join("index-header"));
        let smaller = |known: Option<u64>, estimate: u64| match known {
            Some(size) if size > 0 && size < estimate => size,
            _ => estimate,
        };
        Ok(Self {
            external: info.label_set(),
            series_size: smaller(info.series_max_size, estimates.series).max(1),
            chunk_size: smaller(info.chunk_max_size, estimates.chunk).max(1),
            header: HeaderSlot::new(bucket.clone(), index.clone(), file),
            bucket,
            index,
            segments,
            budget,
            info,
        })
    }

    /// Bytes of the index; fewer where it ends.
    pub(crate) async fn read_index(
        &self,
        doing: &'static str,
        range: Range<u64>,
    ) -> Result<Bytes, ReadError> {
        let read = self.bucket.get_range(&self.index, range).await;
        read.map_err(|source| ReadError::Bucket { doing, source })
    }

    /// Bytes of a chunk segment, counted from zero; fewer where it ends.
    pub(crate) async fn read_chunks(
        &self,
        segment: u32,
        range: Range<u64>,
    ) -> Result<Bytes, ReadError> {
        let object = self.segments.get(segment as usize);
        let object = object.ok_or(ReadError::Segment(segment))?;
        let doing = "load chunks: get range reader";
        let read = self.bucket.get_range(object, range).await;
        read.map_err(|source| ReadError::Bucket { doing, source })
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
        let object = self.segments.get(segment as usize).cloned();
        let object = object.unwrap_or_default();
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

async fn segments(bucket: &Bucket, info: &BlockInfo) -> Result<Vec<String>, ReadError> {
    let folder = format!("{}/chunks", info.id);
    let mut names: Vec<String> = if info.segments.is_empty() {
        let listed = bucket.iter(&folder).await;
        let doing = "list chunk files";
        let listed = listed.map_err(|source| ReadError::Bucket { doing, source })?;
        listed.iter().map(|entry| entry.name().to_owned()).collect()
    } else {
        info.segments
            .iter()
            .map(|name| format!("{folder}/{name}"))
            .collect()
    };
    names.sort_unstable();
    Ok(names)
}
