//! One bucket and what can be done with it.

mod local;
mod near;

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use net::metrics::Registry;
use object_store::limit::LimitStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::config::{Kind, S3Config};
use crate::metrics::{Metrics, Operation};
use crate::upload::Uploads;
use crate::{Config, ConfigError, Error};
use near::Near;

/// Range requests of one [`Bucket::get_ranges`] at a time.
const PARALLEL_RANGES: usize = 8;

type Result<T> = std::result::Result<T, Error>;

/// A handle on one bucket. Cloning shares it. Names of objects are relative to the bucket's prefix, and
/// `/` separates folders.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    name: String,
    prefix: Path,
    /// The folder, when that is what the bucket is.
    folder: Option<PathBuf>,
    /// Where ranges are read without a round trip.
    near: Option<Near>,
    uploads: Uploads,
    metrics: Metrics,
}

/// What [`Bucket::iter`] finds in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Its full name, without a slash at the end.
    Folder(String),
    Object(Object),
}

impl Entry {
    /// The full name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Folder(name) => name,
            Self::Object(object) => &object.name,
        }
    }
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The full name.
    pub name: String,
    pub attributes: Attributes,
}

/// What a bucket knows of an object without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub size: u64,
    pub last_modified: Timestamp,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.0.name)
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// Opens what a configuration says, with its metrics in `registry`. A folder is made when it is not
    /// there; an S3 bucket is not asked anything yet.
    ///
    /// # Errors
    /// [`ConfigError`], when a file that the configuration names cannot be used.
    pub fn open(config: &Config, registry: &Registry) -> std::result::Result<Self, ConfigError> {
        let prefix = Path::parse(&config.prefix).map_err(|error| ConfigError::Key {
            key: "prefix",
            reason: error.to_string(),
        })?;
        let (store, folder, uploads): (Arc<dyn ObjectStore>, _, _) = match &config.kind {
            Kind::Filesystem { directory } => {
                let store = Arc::new(local::open(directory)?);
                (store, Some(directory.clone()), Uploads::default())
            }
            Kind::S3(s3) => (open_s3(s3)?, None, Uploads::of(s3)),
        };
        let name = config.name();
        Ok(Self(Arc::new(Inner {
            store,
            metrics: Metrics::new(&name, Some(registry)),
            name,
            prefix,
            near: folder.clone().map(Near::new),
            folder,
            uploads,
        })))
    }

    /// A bucket that lives as long as its last handle.
    #[must_use]
    pub fn in_memory(name: &str) -> Self {
        Self::over(name, Arc::new(InMemory::new()))
    }

    /// A bucket on any store, without metrics.
    #[must_use]
    pub fn over(name: &str, store: Arc<dyn ObjectStore>) -> Self {
        Self(Arc::new(Inner {
            store,
            name: name.to_owned(),
            prefix: Path::default(),
            folder: None,
            near: None,
            uploads: Uploads::default(),
            metrics: Metrics::new(name, None),
        }))
    }

    /// The same bucket with another store in place of its own.
    pub(crate) fn replaced(
        &self,
        store: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Self {
        let Inner {
            name,
            prefix,
            folder,
            uploads,
            metrics,
            ..
        } = &*self.0;
        Self(Arc::new(Inner {
            store: store(self.0.store.clone()),
            name: name.clone(),
            prefix: prefix.clone(),
            folder: folder.clone(),
            // Every read goes through the other store.
            near: None,
            uploads: uploads.clone(),
            metrics: metrics.clone(),
        }))
    }

    /// What errors and metrics call it: the bucket's name, or `fs: ` and the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What is directly in a folder (`""` is the top), by name.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn iter(&self, folder: &str) -> Result<Vec<Entry>> {
        let path = self.path(folder)?;
        let listed = async { self.0.store.list_with_delimiter(Some(&path)).await };
        let listed = self.measured(Operation::Iter, folder, listed).await?;
        let folders = listed.common_prefixes;
        let folders = match self.0.folder.clone() {
            None => folders,
            Some(root) => {
                let filtered = local::without_empty(root, folders).await;
                filtered.map_err(|error| self.error(Operation::Iter, folder, error.into()))?
            }
        };
        let folders = folders.iter().map(|path| self.relative(path));
        let mut entries: Vec<Entry> = folders.map(Entry::Folder).collect();
        let objects = listed.objects.into_iter();
        // Consoles make an empty object for a folder.
        let objects = objects.filter(|object| object.location != path);
        entries.extend(objects.map(|object| Entry::Object(self.object(&object))));
        entries.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(entries)
    }

    /// All objects under a folder (`""` is the top), in no promised order, as they are listed.
    #[must_use]
    pub fn iter_recursive(&self, folder: &str) -> BoxStream<'static, Result<Object>> {
        let path = match self.path(folder) {
            Ok(path) => path,
            Err(error) => return futures::stream::iter([Err(error)]).boxed(),
        };
        let (bucket, folder) = (self.clone(), folder.to_owned());
        self.0.metrics.begin(Operation::Iter).succeeded();
        let listed = self.0.store.list(Some(&path));
        listed
            .map(move |object| match object {
                Ok(object) => Ok(bucket.object(&object)),
                Err(error) => Err(bucket.error(Operation::Iter, &folder, error)),
            })
            .boxed()
    }

    /// A whole object, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooLarge`] before any of its bytes are read.
    pub async fn get(&self, object: &str, limit: u64) -> Result<Bytes> {
        let path = self.path(object)?;
        let running = self.0.metrics.begin(Operation::Get);
        let done = async {
            let found = self.0.store.get(&path).await;
            let found = found.map_err(|error| self.error(Operation::Get, object, error))?;
            if found.meta.size > limit {
                return Err(Error::TooLarge {
                    bucket: self.0.name.clone(),
                    object: object.to_owned(),
                    size: found.meta.size,
                    limit,
                });
            }
            self.whole(Operation::Get, object, found).await
        };
        finish_fetch(running, done.await)
    }

    /// An object piece by piece, and what is known of it. The stream ends in [`Error::Short`] when fewer
    /// bytes came than were announced.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_stream(
        &self,
        object: &str,
    ) -> Result<(Attributes, BoxStream<'static, Result<Bytes>>)> {
        let path = self.path(object)?;
        let found = async { self.0.store.get(&path).await };
        let found = self.measured(Operation::Get, object, found).await?;
        let attributes = attributes(&found.meta);
        let (bucket, object) = (self.clone(), object.to_owned());
        let pieces = found.into_stream().map_err({
            let (bucket, object) = (bucket.clone(), object.clone());
            move |error| bucket.error(Operation::Get, &object, error)
        });
        // The count is checked after the last piece: one end mark follows the pieces.
        let whole = pieces
            .map(Some)
            .chain(futures::stream::once(async { None }))
            .scan(0_u64, move |got, piece| {
                let item = match piece {
                    Some(Ok(piece)) => {
                        *got += piece.len() as u64;
                        Some(Ok(piece))
                    }
                    Some(error) => Some(error),
                    None if *got == attributes.size => None,
                    None => Some(Err(bucket.short(&object, attributes.size, *got))),
                };
                futures::future::ready(item)
            });
        Ok((attributes, whole.boxed()))
    }

    /// The bytes of a range; fewer when the object ends before the range does.
    ///
    /// # Errors
    /// [`Error`]; a range that begins behind the object's end is [`Error::Failed`].
    pub async fn get_range(&self, object: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(near) = &self.0.near {
            let read = self.read_near(near, object, &[range]).await?;
            return Ok(read.into_iter().next().unwrap_or_default());
        }
        let path = self.path(object)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let running = self.0.metrics.begin(Operation::GetRange);
        let done = async {
            let found = self.0.store.get_opts(&path, options).await;
            let found = found.map_err(|error| self.error(Operation::GetRange, object, error))?;
            self.whole(Operation::GetRange, object, found).await
        };
        finish_fetch(running, done.await)
    }

    /// The last `length` bytes of an object, or all that it has, and its size.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_tail(&self, object: &str, length: u64) -> Result<(Bytes, u64)> {
        let path = self.path(object)?;
        let options = GetOptions {
            range: Some(GetRange::Suffix(length)),
            ..GetOptions::default()
        };
        let running = self.0.metrics.begin(Operation::GetRange);
        let mut size = 0;
        let done = async {
            let found = self.0.store.get_opts(&path, options).await;
            let found = found.map_err(|error| self.error(Operation::GetRange, object, error))?;
            size = found.meta.size;
            self.whole(Operation::GetRange, object, found).await
        };
        let bytes = finish_fetch(running, done.await)?;
        Ok((bytes, size))
    }

    /// Several ranges, in their order, some at a time. Ranges that lie close together are the caller's to
    /// join: it knows what a gap costs.
    ///
    /// # Errors
    /// The first [`Error`].
    pub async fn get_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(near) = &self.0.near {
            return self.read_near(near, object, ranges).await;
        }
        let reads = ranges.iter().cloned();
        let reads: Vec<_> = reads.map(|range| self.get_range(object, range)).collect();
        futures::stream::iter(reads)
            .buffered(PARALLEL_RANGES)
            .try_collect()
            .await
    }

    /// Whether a read costs no round trip: then many small ones cost less than what lies between.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.0.near.is_some()
    }

    async fn read_near(
        &self,
        near: &Near,
        object: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let path = self.path(object)?;
        let read = async {
            let read = near.read(&path, ranges).await;
            read.map_err(|error| self.error(Operation::GetRange, object, error))
        };
        let running = self.0.metrics.begin(Operation::GetRange);
        match read.await {
            Ok(read) => {
                running.fetched(read.iter().map(Bytes::len).sum());
                running.succeeded();
                Ok(read)
            }
            Err(error) => {
                if !error.is_not_found() {
                    running.failed();
                }
                Err(error)
            }
        }
    }

    /// # Errors
    /// [`Error`], when the bucket does not tell.
    pub async fn exists(&self, object: &str) -> Result<bool> {
        let path = self.path(object)?;
        let found = async {
            match self.0.store.head(&path).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.measured(Operation::Exists, object, found).await
    }

    /// # Errors
    /// [`Error`]
    pub async fn attributes(&self, object: &str) -> Result<Attributes> {
        let path = self.path(object)?;
        let found = async { self.0.store.head(&path).await };
        let found = self.measured(Operation::Attributes, object, found).await?;
        Ok(attributes(&found))
    }

    /// Writes an object, or replaces it, in one step: readers see the old one or the new one.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn upload(&self, object: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(object)?;
        let running = self.0.metrics.begin(Operation::Upload);
        let size = bytes.len() as u64;
        let sent = self.0.uploads.bytes(&*self.0.store, &path, bytes).await;
        let sent = sent.map(|()| size);
        finish_upload(
            running,
            sent.map_err(|error| self.error(Operation::Upload, object, error)),
        )
    }

    /// [`Self::upload`] of a file, which is read piece by piece.
    ///
    /// # Errors
    /// [`Error`]; [`Error::File`] when the file is at fault.
    pub async fn upload_file(&self, object: &str, file: &FilePath) -> Result<()> {
        let path = self.path(object)?;
        if let Some(root) = &self.0.folder {
            local::remove_left_over(root.join(path.as_ref()), local::SURELY_LEFT).await;
        }
        let running = self.0.metrics.begin(Operation::Upload);
        let sent = self.0.uploads.file(&*self.0.store, &path, file).await;
        let sent = sent.map_err(|error| match error {
            crate::upload::UploadError::Store(error) => {
                self.error(Operation::Upload, object, error)
            }
            crate::upload::UploadError::File(source) => Error::File {
                bucket: self.0.name.clone(),
                object: object.to_owned(),
                operation: Operation::Upload.name(),
                path: file.to_owned(),
                source,
            },
        });
        finish_upload(running, sent)
    }

    /// Removes an object. S3 does not tell whether it was there; a folder does.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn delete(&self, object: &str) -> Result<()> {
        let path = self.path(object)?;
        if let Some(root) = &self.0.folder {
            local::remove_left_over(root.join(path.as_ref()), Duration::ZERO).await;
        }
        let deleted = async { self.0.store.delete(&path).await };
        self.measured(Operation::Delete, object, deleted).await
    }

    async fn measured<T>(
        &self,
        operation: Operation,
        object: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let running = self.0.metrics.begin(operation);
        match work.await {
            Ok(value) => {
                running.succeeded();
                Ok(value)
            }
            Err(error) => {
                let error = self.error(operation, object, error);
                // What is not there was asked for on purpose: a marker, a meta of a partial upload.
                if !error.is_not_found() {
                    running.failed();
                }
                Err(error)
            }
        }
    }

    /// All announced bytes of an answer.
    async fn whole(&self, operation: Operation, object: &str, found: GetResult) -> Result<Bytes> {
        let wanted = found.range.end - found.range.start;
        let bytes = found.bytes().await;
        let bytes = bytes.map_err(|error| self.error(operation, object, error))?;
        if bytes.len() as u64 == wanted {
            Ok(bytes)
        } else {
            Err(self.short(object, wanted, bytes.len() as u64))
        }
    }

    fn short(&self, object: &str, wanted: u64, got: u64) -> Error {
        Error::Short {
            bucket: self.0.name.clone(),
            object: object.to_owned(),
            wanted,
            got,
        }
    }

    fn error(&self, operation: Operation, object: &str, error: object_store::Error) -> Error {
        Error::new(&self.0.name, object, operation.name(), error)
    }

    fn path(&self, object: &str) -> Result<Path> {
        let relative = Path::parse(object).map_err(|_| Error::Name {
            bucket: self.0.name.clone(),
            object: object.to_owned(),
        })?;
        Ok(self.0.prefix.parts().chain(relative.parts()).collect())
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.as_ref();
        let inside = path.strip_prefix(self.0.prefix.as_ref()).unwrap_or(path);
        inside.trim_start_matches('/').to_owned()
    }

    fn object(&self, meta: &ObjectMeta) -> Object {
        Object {
            name: self.relative(&meta.location),
            attributes: attributes(meta),
        }
    }
}

fn finish_fetch(running: crate::metrics::Running<'_>, fetched: Result<Bytes>) -> Result<Bytes> {
    match &fetched {
        Ok(bytes) => {
            running.fetched(bytes.len());
            running.succeeded();
        }
        Err(error) if error.is_not_found() => {}
        Err(_) => running.failed(),
    }
    fetched
}

fn finish_upload(running: crate::metrics::Running<'_>, sent: Result<u64>) -> Result<()> {
    match sent {
        Ok(size) => {
            running.transferred(size);
            running.succeeded();
            Ok(())
        }
        Err(error) => {
            running.failed();
            Err(error)
        }
    }
}

fn attributes(meta: &ObjectMeta) -> Attributes {
    let seconds = meta.last_modified.timestamp();
    let nanos = i32::try_from(meta.last_modified.timestamp_subsec_nanos()).unwrap_or(0);
    Attributes {
        size: meta.size,
        last_modified: Timestamp::new(seconds, nanos).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

fn open_s3(config: &S3Config) -> std::result::Result<Arc<dyn ObjectStore>, ConfigError> {
    let store = crate::s3::open(config)?;
    Ok(match config.http_config.max_conns_per_host {
        0 => Arc::new(store),
        limit => Arc::new(LimitStore::new(store, limit)),
    })
}

#[cfg(test)]
pub(crate) mod tests;
