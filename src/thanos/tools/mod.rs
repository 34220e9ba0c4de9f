//! `thanos tools bucket`: looking at a bucket, and doing by hand what a compactor does by itself.

mod cost;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use objstore::Bucket;
use store::block::{Discovery, FetchError, Fetcher};
use tsdb::Ulid;
use tsdb::meta::{DeletionMark, Meta, NoCompactMark, NoDownsampleMark};

pub use cost::{AGES, Cost, Freed, Prices, Row, cost};
pub use verify::{Issue, Verify, verify};

/// Metas and marks that are read at a time.
const CONCURRENCY: usize = 32;

/// A block of a bucket, and the marks on it.
#[derive(Clone, Debug)]
pub struct Block {
    pub meta: Arc<Meta>,
    pub deletion: Option<DeletionMark>,
    pub no_compact: Option<NoCompactMark>,
    pub no_downsample: Option<NoDownsampleMark>,
}

impl Block {
    /// Milliseconds of a window; 0 for raw samples.
    #[must_use]
    pub fn resolution(&self) -> i64 {
        let thanos = self.meta.thanos.as_ref();
        thanos.map_or(0, |thanos| thanos.downsample.resolution)
    }

    /// An external label, or nothing.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        let thanos = self.meta.thanos.as_ref();
        let value = thanos.and_then(|thanos| thanos.labels.get(name));
        value.map_or("", String::as_str)
    }
}

/// What a bucket has.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// By beginning, then id.
    pub blocks: Vec<Block>,
    /// Blocks without a readable meta.
    pub partial: Vec<Ulid>,
}

/// All blocks of a bucket, with their marks.
///
/// # Errors
/// [`FetchError`]; a view that is not complete is none.
pub async fn contents(bucket: &Bucket) -> Result<Contents, FetchError> {
    let fetcher: Fetcher<Arc<Meta>> =
        Fetcher::new(bucket.clone(), None, CONCURRENCY, Discovery::Concurrent);
    let found = fetcher.fetch().await?;
    if let Some(error) = found.failed.into_iter().next() {
        return Err(error);
    }
    let ids: Vec<String> = found.blocks.keys().cloned().collect();
    let mut deletions: HashMap<String, DeletionMark> = fetcher.marked(ids.iter()).await?;
    let mut no_compact: HashMap<String, NoCompactMark> = fetcher.marked(ids.iter()).await?;
    let mut no_downsample: HashMap<String, NoDownsampleMark> = fetcher.marked(ids.iter()).await?;
    let block = |(id, meta): (String, Arc<Meta>)| Block {
        meta,
        deletion: deletions.remove(&id),
        no_compact: no_compact.remove(&id),
        no_downsample: no_downsample.remove(&id),
    };
    let mut blocks: Vec<Block> = found.blocks.into_iter().map(block).collect();
    blocks.sort_by_key(|block| (block.meta.min_time, block.meta.ulid));
    let partial = found.partial.iter().chain(&found.corrupted);
    Ok(Contents {
        blocks,
        partial: partial
            .filter_map(|id| Ulid::from_string(id).ok())
            .collect(),
    })
}

/// The bytes of all objects of a block: as its meta lists them, or as the bucket does.
///
/// # Errors
/// [`objstore::Error`]
pub async fn size(bucket: &Bucket, meta: &Meta) -> Result<u64, objstore::Error> {
    let files = meta.thanos.iter().flat_map(|thanos| &thanos.files);
    let listed: u64 = files.map(|file| file.size_bytes).sum();
    if listed > 0 {
        return Ok(listed);
    }
    let objects = bucket.iter_recursive(&meta.ulid.to_string());
    objects
        .try_fold(
            0,
            |sum, object| async move { Ok(sum + object.attributes.size) },
        )
        .await
}

/// [`size`] of many, in their order; `done` is called after each.
///
/// # Errors
/// The first [`objstore::Error`].
pub async fn sizes(
    bucket: &Bucket,
    blocks: &[Block],
    done: impl Fn(),
) -> Result<Vec<u64>, objstore::Error> {
    let sizes: Vec<_> = blocks
        .iter()
        .map(|block| size(bucket, &block.meta))
        .collect();
    let told = futures::stream::iter(sizes)
        .buffered(CONCURRENCY)
        .inspect(|_| done());
    told.try_collect().await
}
