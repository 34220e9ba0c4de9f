//! Deleting a block: its meta first, so that nobody takes it for whole; its deletion mark last, so that whoever comes after an
//! interruption goes on.

use futures::TryStreamExt;
use objstore::{Bucket, Error};
use tsdb::Ulid;
use tsdb::meta::{DeletionMark, Mark as _};

use super::META;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub objects: u64,
    pub bytes: u64,
}

/// Deletes a block.
///
/// # Errors
/// [`Error`]; what is left is deleted by the next try.
pub async fn delete(bucket: &Bucket, id: Ulid) -> Result<Deleted, Error> {
    let (meta, mark) = (
        format!("{id}/{META}"),
        format!("{id}/{}", DeletionMark::FILE),
    );
    let mut deleted = Deleted::default();
    let objects: Vec<_> = bucket.iter_recursive(&id.to_string()).try_collect().await?;
    if objects.iter().any(|object| object.name == meta) {
        remove(bucket, &meta).await?;
    }
    for object in &objects {
        deleted.objects += 1;
        deleted.bytes += object.attributes.size;
        if object.name != meta && object.name != mark {
            remove(bucket, &object.name).await?;
        }
    }
    if objects.iter().any(|object| object.name == mark) {
        remove(bucket, &mark).await?;
    }
    // Consoles make empty objects for folders.
    for folder in [format!("{id}/chunks/"), format!("{id}/")] {
        if let Err(error) = bucket.delete(&folder).await {
            tracing::debug!(object = folder, %error, "no object of a folder was deleted");
        }
    }
    Ok(deleted)
}

/// Deletes what an upload that was not finished left behind, if nothing of it changed since `before` (milliseconds since
/// 1970). `None` if something did.
///
/// # Errors
/// [`Error`]
pub async fn delete_partial(
    bucket: &Bucket,
    id: Ulid,
    before: i64,
) -> Result<Option<Deleted>, Error> {
    let mut newest = None;
    let mut objects = bucket.iter_recursive(&id.to_string());
    while let Some(object) = objects.try_next().await? {
        newest = newest.max(Some(object.attributes.last_modified.as_millisecond()));
    }
    let created = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
    if newest.unwrap_or(created) >= before {
        return Ok(None);
    }
    delete(bucket, id).await.map(Some)
}

async fn remove(bucket: &Bucket, object: &str) -> Result<(), Error> {
    match bucket.delete(object).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
