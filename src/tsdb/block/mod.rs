//! A block: the series of some hours in a folder named by a ULID.
//!
//! ```text
//! meta.json     what it is                          [`crate::meta`]
//! index         which series, where their chunks    [`crate::index`]
//! chunks/NNNNNN their samples                       [`crate::segment`]
//! tombstones    which of them are deleted           [`crate::tombstone`]
//! ```
//!
//! Of the index, symbols and postings offset table are kept in memory, as an index header; everything else is read when it is
//! asked for.

mod chain;
mod columns;
mod error;
mod merge;
mod read;
mod select;
mod verify;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::BlockError;
pub use merge::Blocks;
pub use verify::{Finding, Verified, verify};
pub use write::{BlockWriter, EncodedChunk, WriteError};

use crate::Ulid;
use crate::header::{self, HeaderError, IndexHeader};
use crate::meta::Meta;
use crate::range::{FileRange, RangeRead};
use crate::segment;
use crate::tombstone::Tombstones;

/// An open block. Cloning shares the files.
#[derive(Clone, Debug)]
pub struct Block(Arc<Files>);

#[derive(Debug)]
struct Files {
    folder: PathBuf,
    meta: Meta,
    header: IndexHeader,
    index: FileRange,
    segments: Vec<FileRange>,
    tombstones: Tombstones,
}

impl Block {
    /// Opens the block in `folder`.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn open(folder: &Path) -> Result<Self, BlockError> {
        let meta = Meta::read(folder).map_err(|source| BlockError::Meta {
            folder: folder.to_owned(),
            source,
        })?;
        let path = folder.join("index");
        let index = open(&path)?;
        let header = header::build(&index).map_err(|source| of_header(&path, source))?;
        let header = IndexHeader::from_bytes(&header).map_err(|source| BlockError::Damaged {
            path: path.clone(),
            source,
        })?;
        Ok(Self(Arc::new(Files {
            folder: folder.to_owned(),
            meta,
            header,
            index,
            segments: open_segments(folder)?,
            tombstones: read_tombstones(folder)?,
        })))
    }

    /// The block's name.
    #[must_use]
    pub fn id(&self) -> Ulid {
        self.0.meta.ulid
    }

    /// The block's `meta.json`.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// The symbols and postings offset table of its index.
    #[must_use]
    pub fn header(&self) -> &IndexHeader {
        &self.0.header
    }
}

fn open(path: &Path) -> Result<FileRange, BlockError> {
    FileRange::open(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> BlockError {
    BlockError::Read {
        path: path.to_owned(),
        source,
    }
}

fn of_header(path: &Path, error: HeaderError) -> BlockError {
    match error {
        HeaderError::Corrupt(source) => BlockError::Damaged {
            path: path.to_owned(),
            source,
        },
        HeaderError::ReadIndex(source) => unreadable(path, source),
        other => unreadable(path, io::Error::other(other)),
    }
}

fn open_segments(folder: &Path) -> Result<Vec<FileRange>, BlockError> {
    let mut segments = Vec::new();
    for segment in 0.. {
        let path = folder.join(segment::file_name(segment));
        let file = match FileRange::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            opened => opened.map_err(|source| unreadable(&path, source))?,
        };
        let head = file
            .read(0..segment::HEAD.min(file.size()))
            .map_err(|source| unreadable(&path, source))?;
        segment::check_head(&head).map_err(|source| BlockError::Damaged { path, source })?;
        segments.push(file);
    }
    Ok(segments)
}

pub(crate) fn read_tombstones(folder: &Path) -> Result<Tombstones, BlockError> {
    let path = folder.join(Tombstones::FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            Tombstones::parse(&bytes).map_err(|source| BlockError::Damaged { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tombstones::default()),
        Err(source) => Err(unreadable(&path, source)),
    }
}

#[cfg(test)]
mod tests;
