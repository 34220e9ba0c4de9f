//! Writing objects: small ones in one request, large ones in parts, of which few are in memory.

use std::io;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload,
};
use tokio::io::AsyncReadExt;

use crate::config::S3Config;

/// Parts on their way at a time; one more is being read.
const PARTS_AT_A_TIME: usize = 2;
/// S3 takes no more parts than this.
const MOST_PARTS: u64 = 10_000;

/// Which side failed.
#[derive(Debug)]
pub(crate) enum UploadError {
    Store(object_store::Error),
    File(io::Error),
}

impl From<object_store::Error> for UploadError {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// How objects are written.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    part: u64,
    multipart: bool,
    attributes: Attributes,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            part: 1 << 20,
            multipart: true,
            attributes: Attributes::new(),
        }
    }
}

impl Uploads {
    pub(crate) fn of(config: &S3Config) -> Self {
        let metadata = config.put_user_metadata.iter();
        Self {
            part: config.part_size,
            multipart: !config.disable_multipart,
            attributes: metadata
                .map(|(key, value)| (Attribute::Metadata(key.clone().into()), value.clone()))
                .collect(),
        }
    }

    pub(crate) async fn bytes(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        bytes: Bytes,
    ) -> object_store::Result<()> {
        let size = bytes.len() as u64;
        if !self.in_parts(size) {
            return self.whole(store, path, bytes).await;
        }
        let part = usize::try_from(self.part_of(size)).unwrap_or(usize::MAX);
        let slices = (0..bytes.len()).step_by(part);
        let parts = slices.map(|at| Ok(bytes.slice(at..bytes.len().min(at + part))));
        match self.parts(store, path, futures::stream::iter(parts)).await {
            Ok(()) => Ok(()),
            Err(UploadError::Store(error)) => Err(error),
            Err(UploadError::File(never)) => Err(object_store::Error::Generic {
                store: "memory",
                source: Box::new(never),
            }),
        }
    }

    /// Returns the file's size.
    pub(crate) async fn file(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        file: &FilePath,
    ) -> Result<u64, UploadError> {
        let mut opened = tokio::fs::File::open(file)
            .await
            .map_err(UploadError::File)?;
        let size = opened.metadata().await.map_err(UploadError::File)?.len();
        if self.in_parts(size) {
            let pieces = pieces(opened, size, self.part_of(size));
            self.parts(store, path, std::pin::pin!(pieces)).await?;
            return Ok(size);
        }
        let bytes = read(&mut opened, size).await.map_err(UploadError::File)?;
        self.whole(store, path, bytes).await?;
        Ok(size)
    }

    fn in_parts(&self, size: u64) -> bool {
        self.multipart && size > self.part
    }

    /// Larger than configured only where the parts would be too many.
    fn part_of(&self, size: u64) -> u64 {
        self.part.max(size.div_ceil(MOST_PARTS))
    }

    async fn whole(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        bytes: Bytes,
    ) -> object_store::Result<()> {
        let options = PutOptions {
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        store
            .put_opts(path, bytes.into(), options)
            .await
            .map(|_| ())
    }

    async fn parts(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        mut parts: impl Stream<Item = io::Result<Bytes>> + Unpin,
    ) -> Result<(), UploadError> {
        let options = PutMultipartOptions {
            attributes: self.attributes.clone(),
            ..PutMultipartOptions::default()
        };
        let mut upload = Unfinished(Some(store.put_multipart_opts(path, options).await?));
        let mut sending = FuturesUnordered::new();
        while let Some(part) = parts.try_next().await.map_err(UploadError::File)? {
            if sending.len() >= PARTS_AT_A_TIME {
                sending.next().await.transpose()?;
            }
            sending.push(upload.get().put_part(PutPayload::from(part)));
        }
        while sending.next().await.transpose()?.is_some() {}
        upload.get().complete().await?;
        upload.0 = None;
        Ok(())
    }
}

/// A multipart upload that is given up when it is dropped: its parts would be paid for forever.
struct Unfinished(Option<Box<dyn MultipartUpload>>);

impl Unfinished {
    #[expect(
        clippy::expect_used,
        reason = "emptied only where the upload is complete"
    )]
    fn get(&mut self) -> &mut dyn MultipartUpload {
        &mut **self.0.as_mut().expect("not complete")
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(mut upload), Ok(runtime)) = (self.0.take(), runtime) {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(
                        err = &error as &dyn std::error::Error,
                        "cannot abort a multipart upload"
                    );
                }
            });
        }
    }
}

/// A file in pieces of `piece` bytes, the last one smaller.
fn pieces(file: tokio::fs::File, size: u64, piece: u64) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold((file, size), move |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let bytes = read(&mut file, left.min(piece)).await?;
        let left = left - bytes.len() as u64;
        Ok(Some((bytes, (file, left))))
    })
}

/// Exactly `size` bytes: a file that got shorter is an error.
async fn read(file: &mut tokio::fs::File, size: u64) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
