//! One block out of several, and coarse blocks out of fine ones, byte for byte as Prometheus and Thanos make them.
//!
//! Blocks are read from front to back and written from front to back; memory does not depend on how large they are. One
//! thread reads and puts series in order ([`read`]), workers check, merge or downsample their chunks ([`overlap`],
//! [`downsample`]), one thread writes:
//!
//! ```text
//! sources ──> read: series in label order ──batches──> work on chunks ──> write: segments, index, meta.json
//! ```
//!
//! Chunks that need no work are copied as they lie, their checksums checked; those that are made are read back before they
//! are written.

mod batch;
mod downsample;
mod encode;
mod error;
mod health;
mod heap;
mod overlap;
mod penalty;
mod piece;
mod read;
mod scan;
mod symbols;
mod window;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::Cancel;

pub use downsample::{FIVE_MINUTES, ONE_HOUR};
pub use error::{CompactError, MergeError};
pub use health::{Health, Issue};
pub use overlap::Merge;

use crate::Ulid;
use crate::meta::{BlockDesc, Compaction, Meta};

use read::Source;
use write::Job;

/// How a block is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What becomes of samples of one series in blocks that overlap.
    pub merge: Merge,
    /// Threads that work on chunks.
    pub threads: usize,
    /// Bytes of a segment.
    pub segment_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism();
        Self {
            merge: Merge::OneToOne,
            threads: threads.map_or(1, std::num::NonZero::get),
            segment_size: crate::segment::MOST_BYTES,
        }
    }
}

/// The meta of the block that `metas` become, without statistics: all sources, one level higher.
#[must_use]
pub fn combined(id: Ulid, metas: &[Meta]) -> Meta {
    let mint = metas.iter().map(|meta| meta.min_time).min();
    let maxt = metas.iter().map(|meta| meta.max_time).max();
    let levels = metas.iter().map(|meta| meta.compaction.level);
    let sources: BTreeSet<Ulid> = metas
        .iter()
        .flat_map(|meta| &meta.compaction.sources)
        .copied()
        .collect();
    let parents = metas.iter().map(|meta| BlockDesc {
        ulid: meta.ulid,
        min_time: meta.min_time,
        max_time: meta.max_time,
    });
    let compaction = Compaction {
        level: levels.max().unwrap_or(0) + 1,
        sources: sources.into_iter().collect(),
        parents: parents.collect(),
        ..Compaction::default()
    };
    Meta {
        compaction,
        ..Meta::new(id, mint.unwrap_or(0), maxt.unwrap_or(0))
    }
}

/// Makes block `id` in `parent` out of the blocks in the folders `sources`, which are in the order of their beginnings. What is
/// deleted in them is left out. `None` if nothing is left: then there is no block.
///
/// Of the `thanos` section there are only the segments and the sizes of the largest pieces yet.
///
/// # Errors
/// [`CompactError`]; then there is no block.
pub fn compact(
    sources: &[PathBuf],
    parent: &Path,
    id: Ulid,
    options: &Options,
    cancel: &Cancel,
) -> Result<Option<Meta>, CompactError> {
    let sources = open(sources)?;
    let metas: Vec<Meta> = sources.iter().map(|source| source.meta.clone()).collect();
    let meta = combined(id, &metas);
    let range = (meta.min_time, meta.max_time.saturating_sub(1));
    let merge = options.merge;
    let job = Job {
        parent,
        meta,
        options,
        cancel,
    };
    let written = job.run(
        sources,
        Some(range),
        || (),
        |(), mut chunks| match chunks.len() {
            1 => Ok(chunks.pop().unwrap_or_default()),
            _ => overlap::merge(merge, chunks),
        },
    )?;
    Ok(written)
}

/// Makes block `id` in `parent` out of the one in `source`, thinned out to `resolution` milliseconds. It keeps the sources and the
/// level of that block. `None` if nothing is left: then there is no block.
///
/// # Errors
/// [`CompactError`]; then there is no block.
pub fn downsample(
    source: &Path,
    parent: &Path,
    id: Ulid,
    resolution: i64,
    options: &Options,
    cancel: &Cancel,
) -> Result<Option<Meta>, CompactError> {
    let sources = open(&[source.to_owned()])?;
    let mut meta = sources[0].meta.clone();
    let thanos = meta.thanos.get_or_insert_default();
    let from = std::mem::replace(&mut thanos.downsample.resolution, resolution);
    if from >= resolution {
        return Err(CompactError::Resolution {
            from,
            to: resolution,
        });
    }
    "compactor".clone_into(&mut thanos.source);
    meta.ulid = id;
    let job = Job {
        parent,
        meta,
        options,
        cancel,
    };
    let written = job.run(
        sources,
        None,
        || downsample::Downsampler::new(from, resolution),
        |downsampler, chunks| downsampler.series(chunks.into_iter().flatten()),
    )?;
    Ok(written)
}

/// The most blocks that are merged at once: each has files open.
const MOST_SOURCES: usize = 1000;

fn open(folders: &[PathBuf]) -> Result<Vec<Source>, CompactError> {
    match folders.len() {
        0 => Err(CompactError::NoSource),
        count if count > MOST_SOURCES => Err(CompactError::TooManySources { count }),
        _ => folders.iter().map(|folder| Source::open(folder)).collect(),
    }
}
