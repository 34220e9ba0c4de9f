//! Whether a file is still the one that was read.

use std::path::Path;
use std::time::SystemTime;

/// What changes when a file is written, replaced or re-linked. `None` inside: there is no such file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    /// The file's present stamp; links are followed, as Kubernetes swaps mounted secrets by links.
    pub(crate) fn of(path: &Path) -> Self {
        Self(std::fs::metadata(path).ok().map(|file| {
            (
                file.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                file.len(),
                inode(&file),
            )
        }))
    }

    /// A folder's identity: not its time, which changes with every file in it.
    pub(crate) fn of_folder(path: &Path) -> Self {
        let folder = std::fs::metadata(path).ok();
        Self(folder.map(|folder| (SystemTime::UNIX_EPOCH, 0, inode(&folder))))
    }
}

#[cfg(unix)]
fn inode(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}
