//! A staged block into the bucket: chunks, index, and last the meta that makes it whole.

use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use objstore::{Bucket, Error};

use tsdb::meta::File;

use super::META;
use super::stage::{Staged, segment};

/// Uploads a block. When its chunks or its index fail, what is there already is removed. When its meta
/// fails nothing is: it may be there nevertheless, and then the block is whole.
pub(super) async fn block(
    bucket: &Bucket,
    staged: &Staged,
    meta: Bytes,
    concurrency: usize,
) -> Result<(), Error> {
    if let Err(error) = data(bucket, staged, concurrency).await {
        clean_up(bucket, staged).await;
        return Err(error);
    }
    bucket.upload(&object(staged, META), meta).await
}

async fn data(bucket: &Bucket, staged: &Staged, concurrency: usize) -> Result<(), Error> {
    let is_segment = |file: &&File| segment(file).is_some();
    let segments = staged.files().iter().filter(is_segment);
    let uploads: Vec<_> = segments
        .map(|segment| file(bucket, staged, segment))
        .collect();
    futures::stream::iter(uploads)
        .buffer_unordered(concurrency.max(1))
        .try_collect::<()>()
        .await?;
    let others = staged.files().iter().filter(|file| !is_segment(file));
    for index in others.filter(|file| file.rel_path != META) {
        file(bucket, staged, index).await?;
    }
    Ok(())
}

async fn file(bucket: &Bucket, staged: &Staged, file: &File) -> Result<(), Error> {
    let object = object(staged, &file.rel_path);
    bucket.upload_file(&object, &staged.path(file)).await
}

/// What stays behind is overwritten by the next try.
async fn clean_up(bucket: &Bucket, staged: &Staged) {
    for file in staged.files().iter().filter(|file| file.rel_path != META) {
        match bucket.delete(&object(staged, &file.rel_path)).await {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(
                    block = %staged.id(),
                    err = &error as &dyn std::error::Error,
                    "failed to clean block after upload issue; partial block in the bucket"
                );
                return;
            }
            _ => {}
        }
    }
}

fn object(staged: &Staged, name: &str) -> String {
    format!("{}/{name}", staged.id())
}
