//! Writes the segments of a block.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cursor::{CRC, put_uvarint};
use crate::index::ChunkRef;

use super::{HEAD, MAGIC, VERSION, file_name};

/// Bytes of a segment at most, as Prometheus cuts them.
pub const MOST_BYTES: u64 = 512 << 20;
/// What the length of a chunk takes at most.
const LENGTH: u64 = 5;

/// Chunks on their way into `<block>/chunks`.
#[derive(Debug)]
pub struct SegmentWriter {
    block: PathBuf,
    /// The one that is written; the ones before are whole.
    current: Option<BufWriter<File>>,
    segments: u32,
    position: u64,
    most_bytes: u64,
    largest_chunk: u64,
}

impl SegmentWriter {
    /// Makes the folder `chunks` in the folder of a block.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(block: &Path) -> io::Result<Self> {
        fs::create_dir_all(block.join("chunks"))?;
        Ok(Self {
            block: block.to_owned(),
            current: None,
            segments: 0,
            position: 0,
            most_bytes: MOST_BYTES,
            largest_chunk: 0,
        })
    }

    /// Cuts segments at other than 512 MiB.
    #[must_use]
    pub fn cut_at(mut self, most_bytes: u64) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// Appends a chunk: `encoding` as a segment's byte, and its data.
    ///
    /// # Errors
    /// What the system says.
    pub fn push(&mut self, encoding: u8, data: &[u8]) -> io::Result<ChunkRef> {
        let mut frame = Vec::with_capacity(LENGTH as usize + 1 + data.len() + CRC);
        put_uvarint(&mut frame, data.len() as u64);
        let start = frame.len();
        frame.push(encoding);
        frame.extend_from_slice(data);
        let crc = crc32c::crc32c(&frame[start..]);
        frame.extend_from_slice(&crc.to_be_bytes());
        self.push_frame(&frame)
    }

    /// Appends a chunk as it lies in a segment: length, encoding, data and checksum.
    ///
    /// # Errors
    /// What the system says.
    pub fn push_frame(&mut self, frame: &[u8]) -> io::Result<ChunkRef> {
        // Prometheus counts the length at its longest.
        let needs = LENGTH - 1 + frame.len() as u64;
        if self.current.is_none() || self.position + needs > self.most_bytes {
            self.cut()?;
        }
        let Some(file) = &mut self.current else {
            return Err(io::Error::other("no segment is open"));
        };
        let offset = u32::try_from(self.position).map_err(io::Error::other)?;
        file.write_all(frame)?;
        self.position += frame.len() as u64;
        self.largest_chunk = self.largest_chunk.max(frame.len() as u64);
        Ok(ChunkRef::new(self.segments - 1, offset))
    }

    /// Ends the segment, and begins the next.
    fn cut(&mut self) -> io::Result<()> {
        self.end()?;
        let mut file = BufWriter::with_capacity(
            1 << 18,
            File::create(self.block.join(file_name(self.segments)))?,
        );
        file.write_all(&MAGIC.to_be_bytes())?;
        file.write_all(&[VERSION, 0, 0, 0])?;
        self.current = Some(file);
        self.segments += 1;
        self.position = HEAD;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(file) => file.into_inner()?.sync_all(),
            None => Ok(()),
        }
    }

    /// Makes everything last; returns how many segments there are, and the bytes of the largest chunk.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> io::Result<(u32, u64)> {
        if self.segments == 0 {
            self.cut()?;
        }
        self.end()?;
        File::open(self.block.join("chunks"))?.sync_all()?;
        Ok((self.segments, self.largest_chunk))
    }
}
