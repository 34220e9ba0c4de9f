//! A block into a folder. What an earlier try left there is kept where its size, or its hash if the meta lists one, is right.

use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt};
use objstore::{Bucket, Error, Object};
use tokio::io::AsyncWriteExt;
use tsdb::Ulid;
use tsdb::meta::{File, Mark as _, Meta, MetaError};

use super::META;

/// No `meta.json` is larger.
const MAX_META: u64 = 64 << 20;

/// Why a block is not there.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(transparent)]
    Bucket(#[from] Error),
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{block}/{META}")]
    Meta {
        block: Ulid,
        #[source]
        source: MetaError,
    },
}

impl DownloadError {
    /// Whether the block, or a part of it, is not in the bucket (any more).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_not_found())
    }
}

/// Downloads a block into `folder`, some files at a time, and gives its meta as it is in the bucket.
///
/// # Errors
/// [`DownloadError`]; what is there already serves the next try.
pub async fn download(
    bucket: &Bucket,
    id: Ulid,
    folder: &Path,
    concurrency: usize,
) -> Result<Meta, DownloadError> {
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| DownloadError::Write { path, source }
    };
    let bytes = bucket.get(&format!("{id}/{META}"), MAX_META).await?;
    let meta = Meta::parse(&bytes).map_err(|source| DownloadError::Meta { block: id, source })?;
    let chunks = folder.join("chunks");
    tokio::fs::create_dir_all(&chunks)
        .await
        .map_err(written(&chunks))?;
    let objects: Vec<Object> = bucket.iter_recursive(&id.to_string()).try_collect().await?;
    let wanted = objects.iter().filter_map(|object| {
        let name = object.name.strip_prefix(&format!("{id}/"))?;
        let is_mark = [
            tsdb::meta::DeletionMark::FILE,
            tsdb::meta::NoCompactMark::FILE,
            tsdb::meta::NoDownsampleMark::FILE,
        ]
        .contains(&name);
        (!name.is_empty() && name != META && !is_mark).then(|| name.to_owned())
    });
    let files = meta.thanos.as_ref().map_or(&[][..], |thanos| &thanos.files);
    let sized: Vec<(String, u64)> = wanted
        .map(|name| {
            let size = objects
                .iter()
                .find(|object| object.name.ends_with(&format!("/{name}")));
            let size = size.map_or(0, |object| object.attributes.size);
            (name, size)
        })
        .collect();
    remove_others(folder, &sized)
        .await
        .map_err(written(folder))?;
    let fetches: Vec<_> = sized
        .iter()
        .map(|(name, size)| async move {
            let path = folder.join(name);
            let listed = files.iter().find(|file| file.rel_path == *name);
            if is_kept(&path, *size, listed).await {
                return Ok(());
            }
            fetch(bucket, &format!("{id}/{name}"), &path).await
        })
        .collect();
    futures::stream::iter(fetches)
        .buffer_unordered(concurrency.max(1))
        .try_collect::<()>()
        .await?;
    let path = folder.join(META);
    tokio::fs::write(&path, &bytes)
        .await
        .map_err(written(&path))?;
    Ok(meta)
}

/// Files of an earlier try that are no part of the block.
async fn remove_others(folder: &Path, wanted: &[(String, u64)]) -> io::Result<()> {
    for sub in ["", "chunks"] {
        let mut entries = tokio::fs::read_dir(folder.join(sub)).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if sub.is_empty() {
                name
            } else {
                format!("{sub}/{name}")
            };
            let is_wanted = wanted.iter().any(|(wanted, _)| *wanted == name);
            if !is_wanted && name != META && entry.file_type().await?.is_file() {
                tokio::fs::remove_file(entry.path()).await?;
            }
        }
    }
    Ok(())
}

/// A file that is there has its name by a rename, so it is whole; a hash is compared where there is one.
async fn is_kept(path: &Path, size: u64, listed: Option<&File>) -> bool {
    let there = tokio::fs::metadata(path).await;
    if !there.is_ok_and(|there| there.len() == size) {
        return false;
    }
    let Some(hash) = listed.and_then(|file| file.hash.clone()) else {
        return true;
    };
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || crate::shipper::sha256(&path)).await;
    hash.function == "SHA256" && matches!(hashed, Ok(Ok(value)) if value == hash.value)
}

pub(crate) async fn fetch(bucket: &Bucket, object: &str, path: &Path) -> Result<(), DownloadError> {
    let temporary = path.with_added_extension("part");
    let written = |source| DownloadError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(written)?;
    }
    let (_, mut pieces) = bucket.get_stream(object).await?;
    let file = tokio::fs::File::create(&temporary).await.map_err(written)?;
    let mut file = tokio::io::BufWriter::with_capacity(1 << 20, file);
    while let Some(piece) = pieces.try_next().await? {
        file.write_all(&piece).await.map_err(written)?;
    }
    file.flush().await.map_err(written)?;
    drop(file);
    tokio::fs::rename(&temporary, path).await.map_err(written)
}
