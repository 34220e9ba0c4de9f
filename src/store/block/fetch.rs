//! Which blocks a bucket has, and their `meta.json`: from memory, from the disk, else from the bucket.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use objstore::{Bucket, Entry};
use parking_lot::Mutex;
use tsdb::meta::{DeletionMark, Mark, MetaError};

use super::filter::Blocks;
use super::info::BlockInfo;

/// What is kept of a `meta.json`.
pub trait FromMeta: Clone + Send + Sync + 'static {
    /// Reads a `meta.json`, and says which block it is of.
    ///
    /// # Errors
    /// [`MetaError`], when it is none, or of an unknown version.
    fn from_meta(bytes: &[u8]) -> Result<(String, Self), MetaError>;
}

impl FromMeta for BlockInfo {
    fn from_meta(bytes: &[u8]) -> Result<(String, Self), MetaError> {
        let info = Self::parse(bytes)?;
        Ok((info.id.clone(), info))
    }
}

impl FromMeta for Arc<tsdb::meta::Meta> {
    fn from_meta(bytes: &[u8]) -> Result<(String, Self), MetaError> {
        let meta = tsdb::meta::Meta::parse(bytes)?;
        Ok((meta.ulid.to_string(), Self::new(meta)))
    }
}

/// No `meta.json` is larger.
const MAX_META: u64 = 64 << 20;
/// No marker is larger.
const MAX_MARK: u64 = 1 << 20;
/// Blocks that are looked for at a time.
const DISCOVERY: usize = 64;
/// Objects of a bucket that are rather listed, a thousand a call, than asked for one by one.
const SHORT: usize = 20_000;

/// How blocks are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// One listing of everything while that is short; else a listing of the top, then calls for each block.
    #[default]
    Concurrent,
    /// One listing of everything.
    Recursive,
}

/// Why the blocks of a bucket are not known.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("iter bucket: {}", net::log::chain(.0))]
    List(objstore::Error),
    #[error("get meta file: {}", net::log::chain(.0))]
    Meta(objstore::Error),
    #[error("get file of deletion mark: {}", net::log::chain(.0))]
    Mark(objstore::Error),
    #[error("{object}: {source}")]
    Version { object: String, source: MetaError },
}

/// What a look at the bucket found.
#[derive(Debug)]
pub struct Found<T = BlockInfo> {
    pub blocks: BTreeMap<String, T>,
    /// Folders of blocks without `meta.json`: uploads that are not finished.
    pub partial: Vec<String>,
    /// Blocks whose `meta.json` cannot be read.
    pub corrupted: Vec<String>,
    /// Metas that could not be read: the view is incomplete.
    pub failed: Vec<FetchError>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            partial: Vec::new(),
            corrupted: Vec::new(),
            failed: Vec::new(),
        }
    }
}

/// Looks at a bucket again and again, and remembers what it saw.
#[derive(Debug)]
pub struct Fetcher<T = BlockInfo> {
    bucket: Bucket,
    cache: Option<PathBuf>,
    concurrency: usize,
    discovery: Discovery,
    known: Mutex<HashMap<String, (T, Option<Timestamp>)>>,
    /// Blocks that the last listing of everything showed without a deletion mark.
    unmarked: Mutex<HashSet<String>>,
    /// The bucket has more than [`SHORT`] objects.
    long: AtomicBool,
}

/// What a listing shows of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    meta: bool,
    /// Of the meta, if that is known.
    modified: Option<Timestamp>,
    marked: bool,
}

type Listing = BTreeMap<String, Listed>;

enum Meta<T> {
    Block(T),
    Missing,
    Corrupted,
}

impl<T: FromMeta> Fetcher<T> {
    /// Metas are kept under `data_dir`, if there is one.
    #[must_use]
    pub fn new(
        bucket: Bucket,
        data_dir: Option<&Path>,
        concurrency: usize,
        discovery: Discovery,
    ) -> Self {
        Self {
            bucket,
            cache: data_dir.map(|folder| folder.join("meta-syncer")),
            concurrency: concurrency.max(1),
            discovery,
            known: Mutex::default(),
            unmarked: Mutex::default(),
            long: AtomicBool::new(false),
        }
    }

    /// All blocks of the bucket.
    ///
    /// # Errors
    /// [`FetchError::List`] when the bucket cannot be listed; single metas that fail are in the answer.
    pub async fn fetch(&self) -> Result<Found<T>, FetchError> {
        let listed = match self.discovery {
            Discovery::Concurrent => self.list_concurrently().await,
            Discovery::Recursive => self
                .list_recursively(usize::MAX)
                .await
                .map(Option::unwrap_or_default),
        };
        let listed = listed.map_err(FetchError::List)?;
        let partial = listed.iter().filter(|(_, listed)| !listed.meta);
        let mut found = Found {
            partial: partial.map(|(id, _)| id.clone()).collect(),
            ..Found::default()
        };
        let loads: Vec<_> = listed
            .into_iter()
            .filter(|(_, listed)| listed.meta)
            .map(|(id, listed)| self.load(id, listed.modified))
            .collect();
        let mut loads = futures::stream::iter(loads).buffer_unordered(self.concurrency);
        let mut known = HashMap::new();
        while let Some((id, modified, meta)) = loads.next().await {
            match meta {
                Ok(Meta::Block(info)) => {
                    known.insert(id.clone(), (info.clone(), modified));
                    found.blocks.insert(id, info);
                }
                Ok(Meta::Missing) => found.partial.push(id),
                Ok(Meta::Corrupted) => found.corrupted.push(id),
                Err(error) => found.failed.push(error),
            }
        }
        if found.failed.is_empty() {
            self.forget(&known);
            *self.known.lock() = known;
        }
        Ok(found)
    }

    /// Deletion marks of these blocks: id to milliseconds since 1970.
    ///
    /// # Errors
    /// [`FetchError::Mark`]; a mark that cannot be understood is none.
    pub async fn marks(&self, blocks: &Blocks) -> Result<HashMap<String, i64>, FetchError> {
        // What the last listing showed without a mark is not asked for one.
        let unmarked = self.unmarked.lock().clone();
        let asked = blocks.keys().filter(|id| !unmarked.contains(*id));
        let marks = self.marked::<DeletionMark>(asked).await?;
        let time = |mark: DeletionMark| mark.deletion_time.saturating_mul(1000);
        Ok(marks
            .into_iter()
            .map(|(id, mark)| (id, time(mark)))
            .collect())
    }

    /// The marks of one kind on these blocks, as they are now.
    ///
    /// # Errors
    /// [`FetchError::Mark`]; a mark that cannot be understood is none.
    pub async fn marked<M: Mark>(
        &self,
        blocks: impl Iterator<Item = &String>,
    ) -> Result<HashMap<String, M>, FetchError> {
        let marks: Vec<_> = blocks.map(|id| self.mark(id.clone())).collect();
        let marks: Vec<_> = futures::stream::iter(marks)
            .buffer_unordered(self.concurrency)
            .try_collect()
            .await?;
        Ok(marks.into_iter().flatten().collect())
    }

    async fn mark<M: Mark>(&self, id: String) -> Result<Option<(String, M)>, FetchError> {
        let object = format!("{id}/{}", M::FILE);
        let data = match self.bucket.get(&object, MAX_MARK).await {
            Ok(data) => data,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(FetchError::Mark(error)),
        };
        match M::parse(&data) {
            Ok(mark) => Ok(Some((id, mark))),
            Err(error) => {
                let err = net::log::chain(&error);
                tracing::warn!(object, %err, "mark that cannot be read is ignored");
                Ok(None)
            }
        }
    }

    async fn list_concurrently(&self) -> Result<Listing, objstore::Error> {
        // In a folder a call costs nothing that listing would save.
        if !self.bucket.is_near() && !self.long.load(Ordering::Relaxed) {
            match self.list_recursively(SHORT).await? {
                Some(listing) => return Ok(listing),
                None => self.long.store(true, Ordering::Relaxed),
            }
        }
        let top = self.bucket.iter("").await?;
        let ids = top.into_iter().filter_map(|entry| match entry {
            Entry::Folder(name) => is_id(&name).then_some(name),
            Entry::Object(_) => None,
        });
        let look = |id: String| async move {
            let listed = Listed {
                meta: self.bucket.exists(&format!("{id}/meta.json")).await?,
                ..Listed::default()
            };
            Ok((id, listed))
        };
        let looks: Vec<_> = ids.map(look).collect();
        let looks = futures::stream::iter(looks).buffer_unordered(DISCOVERY);
        self.unmarked.lock().clear();
        looks.try_collect().await
    }

    /// `None` when the bucket has more objects than `most`.
    async fn list_recursively(&self, most: usize) -> Result<Option<Listing>, objstore::Error> {
        let mut found = Listing::new();
        let mut objects = self.bucket.iter_recursive("");
        let mut seen = 0;
        while let Some(object) = objects.try_next().await? {
            seen += 1;
            if seen > most {
                return Ok(None);
            }
            let Some((id, rest)) = object.name.split_once('/').filter(|(id, _)| is_id(id)) else {
                continue;
            };
            let listed = found.entry(id.to_owned()).or_default();
            if rest == "meta.json" {
                listed.meta = true;
                listed.modified = Some(object.attributes.last_modified);
            }
            listed.marked |= rest == "deletion-mark.json";
        }
        let unmarked = found.iter().filter(|(_, listed)| !listed.marked);
        *self.unmarked.lock() = unmarked.map(|(id, _)| id.clone()).collect();
        Ok(Some(found))
    }

    async fn load(
        &self,
        id: String,
        modified: Option<Timestamp>,
    ) -> (String, Option<Timestamp>, Result<Meta<T>, FetchError>) {
        let known = self.known.lock().get(&id).cloned();
        let changed = |before: Option<Timestamp>| before.is_some() && before != modified;
        let meta = match known {
            Some((info, before)) if !changed(before) => Ok(Meta::Block(info)),
            Some(_) => self.get(&id).await,
            None => match self.cached(&id) {
                Some(info) => Ok(Meta::Block(info)),
                None => self.get(&id).await,
            },
        };
        (id, modified, meta)
    }

    fn cached(&self, id: &str) -> Option<T> {
        let folder = self.cache.as_ref()?.join(id);
        let data = std::fs::read(folder.join("meta.json")).ok()?;
        match T::from_meta(&data) {
            Ok((of, info)) if of == id => Some(info),
            _ => {
                let _ = std::fs::remove_dir_all(&folder);
                None
            }
        }
    }

    async fn get(&self, id: &str) -> Result<Meta<T>, FetchError> {
        let object = format!("{id}/meta.json");
        let data = match self.bucket.get(&object, MAX_META).await {
            Ok(data) => data,
            // It was deleted since it was listed.
            Err(error) if error.is_not_found() => return Ok(Meta::Missing),
            Err(error) => return Err(FetchError::Meta(error)),
        };
        match T::from_meta(&data) {
            Ok((of, info)) if of == id => {
                self.keep(id, &data);
                Ok(Meta::Block(info))
            }
            Ok((of, _)) => {
                tracing::warn!(object, id = of, "meta.json is of another block");
                Ok(Meta::Corrupted)
            }
            Err(source @ MetaError::Version { .. }) => Err(FetchError::Version { object, source }),
            Err(error) => {
                let err = net::log::chain(&error);
                tracing::warn!(object, %err, "meta.json is corrupted");
                Ok(Meta::Corrupted)
            }
        }
    }

    /// Best effort: without the cache, the next start reads the bucket.
    fn keep(&self, id: &str, data: &Bytes) {
        let Some(folder) = self.cache.as_ref().map(|cache| cache.join(id)) else {
            return;
        };
        let temporary = folder.join("meta.json.tmp");
        let kept = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&temporary, data))
            .and_then(|()| std::fs::rename(&temporary, folder.join("meta.json")));
        if let Err(error) = kept {
            tracing::warn!(err = %error, folder = %folder.display(), "meta.json cannot be cached");
        }
    }

    /// Removes what the disk holds of blocks that are gone.
    fn forget(&self, known: &HashMap<String, (T, Option<Timestamp>)>) {
        let Some(cache) = &self.cache else { return };
        let Ok(entries) = std::fs::read_dir(cache) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let gone = |name: &str| is_id(name) && !known.contains_key(name);
            if name.to_str().is_some_and(gone) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether a folder's name is a block's id.
#[must_use]
pub fn is_id(name: &str) -> bool {
    name.len() == 26 && tsdb::Ulid::from_string(name).is_ok()
}
