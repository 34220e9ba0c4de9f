//! Marks on blocks.

use objstore::{Bucket, Error};
use tsdb::Ulid;
use tsdb::meta::Mark;

/// Whether a mark was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    New,
    /// There was one; it stays as it is.
    Already,
}

/// Puts a mark on a block. One that is there is left alone.
///
/// # Errors
/// [`Error`]
pub async fn mark<M: Mark>(bucket: &Bucket, id: Ulid, mark: &M) -> Result<Marked, Error> {
    let object = format!("{id}/{}", M::FILE);
    if bucket.exists(&object).await? {
        tracing::warn!(block = %id, mark = M::FILE, "requested to mark, but the mark exists already; this should not happen; investigate");
        return Ok(Marked::Already);
    }
    bucket.upload(&object, mark.to_json().into()).await?;
    tracing::info!(block = %id, mark = M::FILE, "block has been marked");
    Ok(Marked::New)
}

/// Takes a mark of a block away; `file` is the mark's file.
///
/// # Errors
/// [`Error`]; one that is not there is none.
pub async fn unmark(bucket: &Bucket, id: Ulid, file: &str) -> Result<(), Error> {
    match bucket.delete(&format!("{id}/{file}")).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
