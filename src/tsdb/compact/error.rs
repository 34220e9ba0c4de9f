//! Why no block was made.

use std::path::PathBuf;

use model::Cancelled;

use crate::block::{BlockError, WriteError};
use crate::chunk::ChunkError;

/// Why no block was made. What is at fault is named: a file of a source, or the block that was to be.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("there is no block to compact")]
    NoSource,
    #[error("{count} blocks are more than are compacted at once")]
    TooManySources { count: usize },
    /// A list of series, or of symbols, that cannot be walked.
    #[error("{path}: {what}")]
    Unsound { path: PathBuf, what: String },
    #[error("cannot merge the chunks of a series of block {block}")]
    Merge {
        block: PathBuf,
        #[source]
        source: MergeError,
    },
    #[error("cannot downsample from a resolution of {from} ms to one of {to} ms")]
    Resolution { from: i64, to: i64 },
    #[error("a thread of the compaction ended")]
    Ended,
}

impl From<Cancelled> for CompactError {
    fn from(why: Cancelled) -> Self {
        Self::Block(why.into())
    }
}

/// Why chunks cannot be merged or downsampled.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("the aggregates of a chunk cannot be told apart")]
    Aggregates(#[from] crate::corrupt::Corrupt),
    #[error("chunks overlap, of which those with encoding {encoding} cannot be merged")]
    NotMergeable { encoding: u8 },
    #[error(
        "samples are deleted from a chunk with encoding {encoding}, which cannot be written anew"
    )]
    NotRewritable { encoding: u8 },
    #[error("chunks overlap: one that ends at {before} is followed by one that begins at {begins}")]
    Overlap { before: i64, begins: i64 },
    #[error("a chunk of {from} ms has no aggregate {aggregate}")]
    NoAggregate { from: i64, aggregate: &'static str },
    #[error("histograms with custom buckets cannot be downsampled")]
    CustomBuckets,
    #[error("a histogram does not fit the chunk that its aggregates began")]
    HistogramLayout,
    #[error("a chunk has no samples, or only some without a time")]
    NoSamples,
    #[error("what was written is not read back the same")]
    Verification,
}
