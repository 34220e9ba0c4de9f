//! Reading pieces of something large: a file by `pread`, or bytes in memory. Files are never mapped here: one that
//! another process cuts short would end this one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

/// Gives bytes by their place.
pub trait RangeRead: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// The bytes of `range`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] for a range past the end, and what the source says.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

impl RangeRead for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let range = within(&range, self.size())?;
        Ok(self.slice(range))
    }
}

/// A file that is read in pieces.
#[derive(Debug)]
pub struct FileRange {
    file: File,
    size: u64,
}

impl FileRange {
    /// Opens a file; its size is what it is now.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }

    /// Fills `buffer` with the bytes from `start` on.
    ///
    /// # Errors
    /// As [`RangeRead::read`].
    pub fn read_into(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, start)
    }
}

impl RangeRead for FileRange {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = within(&range, self.size)?.len();
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, range.start)?;
        Ok(buffer.into())
    }
}

/// `range` as indices, when it lies within `size` bytes: what is asked for is never allocated beyond that.
fn within(range: &Range<u64>, size: u64) -> io::Result<Range<usize>> {
    let past_the_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
    if range.start > range.end || range.end > size {
        return Err(past_the_end());
    }
    let index = |at: u64| usize::try_from(at).map_err(|_| past_the_end());
    Ok(index(range.start)?..index(range.end)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_and_its_bytes_read_alike() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let file = FileRange::open(file.path()).expect("opens");
        let bytes = Bytes::from_static(b"0123456789");
        for source in [&file as &dyn RangeRead, &bytes] {
            assert_eq!(source.size(), 10);
            assert_eq!(source.read(2..5).expect("inside"), &b"234"[..]);
            assert_eq!(source.read(10..10).expect("at the end"), &b""[..]);
            for range in [5..11, 11..12, 0..u64::MAX] {
                let error = source.read(range).expect_err("past the end");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }
}
