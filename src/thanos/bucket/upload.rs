//! A block out of a folder: segments, index, and last the meta that makes it whole.

use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt};
use objstore::{Bucket, Error};
use tsdb::meta::{File, Meta, MetaError};

use super::META;
use crate::shipper::Hash;

/// Why a block is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Bucket(#[from] Error),
    #[error("cannot read block {}", block.display())]
    Read {
        block: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("block {} has no external labels", .0.display())]
    NoLabels(PathBuf),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

/// The files of a block as its meta lists them: segments and index with their sizes, and the meta without.
///
/// # Errors
/// What the system says.
pub fn describe(folder: &Path, hash: Hash) -> io::Result<Vec<File>> {
    crate::shipper::listed(folder, hash)
}

/// Uploads the block in `folder`, whose meta is `meta`, and gives the meta as it was stored. When chunks or index fail, what is
/// there already is removed, or left to be cleaned up as a partial upload.
///
/// # Errors
/// [`UploadError`]
pub async fn upload(
    bucket: &Bucket,
    folder: &Path,
    meta: &Meta,
    hash: Hash,
    concurrency: usize,
) -> Result<Meta, UploadError> {
    let failed = |source| UploadError::Read {
        block: folder.to_owned(),
        source,
    };
    let mut meta = meta.clone();
    let id = meta.ulid;
    let thanos = meta.thanos.get_or_insert_default();
    if thanos.labels.is_empty() {
        return Err(UploadError::NoLabels(folder.to_owned()));
    }
    let described = tokio::task::spawn_blocking({
        let folder = folder.to_owned();
        move || describe(&folder, hash)
    });
    let described = described.await.map_err(io::Error::other);
    thanos.files = described.and_then(|files| files).map_err(failed)?;
    thanos.upload_time = Some(jiff::Timestamp::now());
    let files: Vec<String> = thanos
        .files
        .iter()
        .map(|file| file.rel_path.clone())
        .filter(|name| name != META)
        .collect();
    meta.write(folder)?;
    if let Err(error) = upload_files(bucket, folder, &id.to_string(), &files, concurrency).await {
        clean_up(bucket, &id.to_string(), &files).await;
        return Err(error.into());
    }
    bucket
        .upload(&format!("{id}/{META}"), meta.to_json().into())
        .await?;
    Ok(meta)
}

async fn upload_files(
    bucket: &Bucket,
    folder: &Path,
    id: &str,
    files: &[String],
    concurrency: usize,
) -> Result<(), Error> {
    let (segments, others): (Vec<&String>, Vec<&String>) =
        files.iter().partition(|name| name.starts_with("chunks/"));
    let uploads: Vec<_> = segments
        .into_iter()
        .map(|name| async move {
            let object = format!("{id}/{name}");
            bucket.upload_file(&object, &folder.join(name)).await
        })
        .collect();
    futures::stream::iter(uploads)
        .buffer_unordered(concurrency.max(1))
        .try_collect::<()>()
        .await?;
    for name in others {
        let object = format!("{id}/{name}");
        bucket.upload_file(&object, &folder.join(name)).await?;
    }
    Ok(())
}

async fn clean_up(bucket: &Bucket, id: &str, files: &[String]) {
    for name in files {
        match bucket.delete(&format!("{id}/{name}")).await {
            Err(error) if !error.is_not_found() => {
                let err = net::log::chain(&error);
                tracing::warn!(block = id, %err, "failed to clean block after upload issue; partial block in the bucket");
                return;
            }
            _ => {}
        }
    }
}
