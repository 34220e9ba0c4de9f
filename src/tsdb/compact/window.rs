//! A file that is read from front to back, in large pieces.

use std::path::{Path, PathBuf};

use crate::block::BlockError;
use crate::corrupt::Corrupt;
use crate::range::{FileRange, RangeRead};

/// What of a file is at hand.
#[derive(Debug)]
pub(super) struct Window {
    file: FileRange,
    path: PathBuf,
    bytes: Vec<u8>,
    start: u64,
    /// How much is read at a time.
    ahead: u64,
}

impl Window {
    pub(super) fn open(path: &Path, ahead: u64) -> Result<Self, BlockError> {
        let file = FileRange::open(path).map_err(|source| BlockError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes: Vec::new(),
            start: 0,
            ahead,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.file.size()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn damaged(&self, source: Corrupt) -> BlockError {
        BlockError::Damaged {
            path: self.path.clone(),
            source,
        }
    }

    /// What is at hand from byte `at` on.
    fn held(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.start);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..))
            .unwrap_or_default()
    }

    /// `length` bytes from `at` on, fewer at the end of the file.
    pub(super) fn bytes(&mut self, at: u64, length: u64) -> Result<&[u8], BlockError> {
        let length = length.min(self.size().saturating_sub(at));
        if (self.held(at).len() as u64) < length {
            self.fill(at, length)?;
        }
        let held = self.held(at);
        Ok(&held[..held.len().min(length as usize)])
    }

    /// What `parse` makes of the bytes from `at` on: it is called again with more bytes where it says that it needs them.
    pub(super) fn parse<T>(
        &mut self,
        at: u64,
        mut parse: impl FnMut(&[u8]) -> Result<T, Corrupt>,
    ) -> Result<T, BlockError> {
        let mut length = 0;
        loop {
            let held = self.held(at);
            let short = (held.len() as u64) < length.min(self.size().saturating_sub(at));
            if !held.is_empty() && !short {
                match parse(held) {
                    Ok(parsed) => return Ok(parsed),
                    Err(error) => match error.needs() {
                        // A length that lies asks for more than the file has.
                        Some(needs) if needs > length && self.has(at, needs) => length = needs,
                        _ => return Err(self.damaged(error)),
                    },
                }
            } else if at >= self.size() {
                return parse(&[]).map_err(|error| self.damaged(error));
            }
            self.fill(at, length)?;
        }
    }

    fn has(&self, at: u64, length: u64) -> bool {
        at.checked_add(length).is_some_and(|end| end <= self.size())
    }

    fn fill(&mut self, at: u64, length: u64) -> Result<(), BlockError> {
        let length = length.max(self.ahead).min(self.size().saturating_sub(at));
        self.start = at;
        // Never more than the file has.
        self.bytes.resize(length as usize, 0);
        let read = self.file.read_into(at, &mut self.bytes);
        read.map_err(|source| BlockError::Read {
            path: self.path.clone(),
            source,
        })
    }
}
