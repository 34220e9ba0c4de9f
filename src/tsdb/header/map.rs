//! Mapping a file that this program wrote and renamed: nobody cuts it short while it is mapped.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

/// The file's bytes, mapped; the map lives as long as they do.
#[expect(
    unsafe_code,
    reason = "a map is sound only while nobody writes to the file or cuts it short"
)]
pub(crate) fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: index headers are written under another name and renamed when they are whole; after that they are
    // replaced or removed, which leaves a map of the old file as it is, and never written to.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
