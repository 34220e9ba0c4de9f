//! Ranges of objects in a folder, read without a round trip.
//!
//! What the page cache holds is read where the caller runs (`preadv2` with `RWF_NOWAIT`): that takes microseconds, and a
//! change of threads takes more. What it does not hold is read where blocking is allowed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use tokio::sync::Semaphore;

/// Threads that block at a time: each keeps what its buffers took.
const BLOCKING: usize = 4;

/// The folder of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Near {
    root: PathBuf,
    blocking: Arc<Semaphore>,
}

/// A range that is read in part.
struct Reading {
    at: u64,
    buffer: Vec<u8>,
    filled: usize,
}

impl Near {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            blocking: Arc::new(Semaphore::new(BLOCKING)),
        }
    }

    /// The bytes of ranges, fewer where the object ends; a range that begins behind its end is an error.
    pub(crate) async fn read(
        &self,
        object: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        let path = self.root.join(object.as_ref());
        let wrong = |source| failed(&path, source);
        let file = File::open(&path).map_err(wrong)?;
        let mut read = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut reading = Reading::of(range);
            if !reading.fill_from_cache(&file).map_err(wrong)? {
                reading = self.fill_blocking(&file, reading).await.map_err(wrong)?;
            }
            read.push(reading.finish().map_err(wrong)?);
        }
        Ok(read)
    }

    async fn fill_blocking(&self, file: &File, mut reading: Reading) -> io::Result<Reading> {
        let _turn = self.blocking.acquire().await;
        let file = file.try_clone()?;
        let fill = move || reading.fill(&file).map(|()| reading);
        tokio::task::spawn_blocking(fill).await?
    }
}

impl Reading {
    fn of(range: &Range<u64>) -> Self {
        let length = range.end.saturating_sub(range.start);
        Self {
            at: range.start,
            buffer: vec![0; usize::try_from(length).unwrap_or(usize::MAX)],
            filled: 0,
        }
    }

    /// `false` when something is not in the page cache.
    #[cfg(target_os = "linux")]
    fn fill_from_cache(&mut self, file: &File) -> io::Result<bool> {
        use rustix::io::{Errno, IoSliceMut, ReadWriteFlags, preadv2};
        while self.filled < self.buffer.len() {
            let at = self.at + self.filled as u64;
            let rest = &mut self.buffer[self.filled..];
            match preadv2(
                file,
                &mut [IoSliceMut::new(rest)],
                at,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(0) => return Ok(true),
                Ok(count) => self.filled += count,
                Err(Errno::INTR) => {}
                // Not in the cache, or a file system that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    #[cfg(not(target_os = "linux"))]
    fn fill_from_cache(&mut self, _: &File) -> io::Result<bool> {
        Ok(false)
    }

    fn fill(&mut self, file: &File) -> io::Result<()> {
        while self.filled < self.buffer.len() {
            let at = self.at + self.filled as u64;
            match file.read_at(&mut self.buffer[self.filled..], at) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Bytes> {
        if self.filled == 0 && !self.buffer.is_empty() {
            let why = format!("the object ends before byte {}", self.at);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        self.buffer.truncate(self.filled);
        Ok(self.buffer.into())
    }
}

fn failed(path: &FilePath, source: io::Error) -> object_store::Error {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::NotFound => object_store::Error::NotFound {
            path,
            source: source.into(),
        },
        io::ErrorKind::PermissionDenied => object_store::Error::PermissionDenied {
            path,
            source: source.into(),
        },
        _ => object_store::Error::Generic {
            store: "LocalFileSystem",
            source: format!("{path}: {source}").into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ranges_come_in_their_order_and_end_with_the_object() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("object"), b"0123456789").expect("written");
        let near = Near::new(folder.path().to_owned());
        let object = Path::from("object");
        let read = near.read(&object, &[3..5, 0..1, 8..100, 4..4]).await;
        let read = read.expect("read");
        assert_eq!(read, [&b"34"[..], b"0", b"89", b""]);
        assert!(near.read(&object, &[0..1, 10..11]).await.is_err());
        let error = near.read(&Path::from("none"), &[0..1, 1..2]).await;
        assert!(matches!(error, Err(object_store::Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn what_is_not_cached_is_read_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(folder.path().join("object"), &bytes).expect("written");
        let near = Near::new(folder.path().to_owned());
        let file = File::open(folder.path().join("object")).expect("there");
        let reading = near.fill_blocking(&file, Reading::of(&(10..90_000))).await;
        let read = reading.and_then(Reading::finish).expect("read");
        assert_eq!(read, bytes[10..90_000]);
    }
}
