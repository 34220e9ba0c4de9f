//! Why a block cannot be read.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use model::{Cancelled, SelectError};

use crate::chunk::ChunkError;
use crate::corrupt::Corrupt;
use crate::meta::MetaError;

/// Why a block cannot be read. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the meta of block {folder}")]
    Meta {
        folder: PathBuf,
        #[source]
        source: MetaError,
    },
    #[error("{path} is damaged")]
    Damaged {
        path: PathBuf,
        #[source]
        source: Corrupt,
    },
    #[error("cannot decode the chunk at byte {offset} of {path}")]
    Chunk {
        path: PathBuf,
        offset: u32,
        #[source]
        source: ChunkError,
    },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<BlockError> for SelectError {
    fn from(error: BlockError) -> Self {
        if let BlockError::Cancelled(why) = error {
            return Self::Cancelled(why);
        }
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Source(text)
    }
}
