//! Whole blocks in a bucket: fetched, stored, marked, deleted, in Thanos's order of steps, so that a reader at any moment sees a
//! block that is whole or none at all.

mod delete;
mod download;
mod mark;
mod upload;

pub use delete::{Deleted, delete, delete_partial};
pub(crate) use download::fetch;
pub use download::{DownloadError, download};
pub use mark::{Marked, mark, unmark};
pub use upload::{UploadError, describe, upload};

/// The file that makes a block whole: stored last, deleted first.
pub(crate) const META: &str = tsdb::meta::Meta::FILE;
