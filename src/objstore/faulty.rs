//! A store that fails, waits or cuts where a test says so.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::Bucket;

/// What a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Reads, of whole objects, ranges and attributes.
    Get,
    Put,
    Delete,
    List,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// 404
    NotFound,
    /// 403
    Denied,
    /// 500, after all retries.
    Fail,
    /// Done, but the answer is lost: the caller sees a failure.
    LoseAnswer,
    Delay(Duration),
    /// A read that ends after so many bytes, without an error.
    Truncate(usize),
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    on: On,
    object: String,
    skip: usize,
    times: usize,
    effect: Effect,
}

impl Fault {
    /// `effect` at every such operation.
    #[must_use]
    pub fn new(on: On, effect: Effect) -> Self {
        Self {
            on,
            object: String::new(),
            skip: 0,
            times: usize::MAX,
            effect,
        }
    }

    /// Only where the object's name ends so.
    #[must_use]
    pub fn of(mut self, object: &str) -> Self {
        object.clone_into(&mut self.object);
        self
    }

    /// Only at the `n`-th (from 1) of the operations that it would strike.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self.times = 1;
        self
    }
}

/// The faults of one bucket, which can change while it is used. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    faults: Arc<Mutex<Vec<Fault>>>,
    log: Arc<Mutex<Vec<(On, String)>>>,
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.faults.lock().push(fault);
    }

    pub fn clear(&self) {
        self.faults.lock().clear();
    }

    /// What was asked of the bucket so far, in order.
    #[must_use]
    pub fn log(&self) -> Vec<(On, String)> {
        self.log.lock().clone()
    }

    fn strike(&self, on: On, object: &str) -> Option<Effect> {
        self.log.lock().push((on, object.to_owned()));
        let mut faults = self.faults.lock();
        let fault = faults
            .iter_mut()
            .find(|f| f.on == on && f.times > 0 && object.ends_with(&f.object))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.effect)
    }

    /// Waits or fails; what is left is for the operation itself.
    async fn before(&self, on: On, object: &Path) -> Result<Option<Effect>> {
        let path = || object.to_string();
        match self.strike(on, object.as_ref()) {
            Some(Effect::NotFound) => Err(Error::NotFound {
                path: path(),
                source: "injected".into(),
            }),
            Some(Effect::Denied) => Err(Error::PermissionDenied {
                path: path(),
                source: "injected".into(),
            }),
            Some(Effect::Fail) => Err(injected()),
            Some(Effect::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            rest => Ok(rest),
        }
    }
}

fn injected() -> Error {
    Error::Generic {
        store: "faulty",
        source: "injected".into(),
    }
}

impl Bucket {
    /// The same bucket behind faults, of which there are none yet.
    #[must_use]
    pub fn with_faults(&self) -> (Self, Faults) {
        let faults = Faults::default();
        let shared = faults.clone();
        let bucket = self.replaced(|inner| {
            Arc::new(Faulty {
                inner,
                faults: shared,
            })
        });
        (bucket, faults)
    }
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

fn answer<T>(effect: Option<Effect>, done: Result<T>) -> Result<T> {
    match effect {
        Some(Effect::LoseAnswer) => done.and(Err(injected())),
        _ => done,
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let effect = self.faults.before(On::Put, location).await?;
        answer(effect, self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.faults.before(On::Put, location).await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let effect = self.faults.before(On::Get, location).await?;
        let found = answer(effect, self.inner.get_opts(location, options).await)?;
        Ok(match effect {
            Some(Effect::Truncate(bytes)) => truncated(found, bytes),
            _ => found,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults.before(On::Get, location).await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        let delete = move |location: Result<Path>| {
            let (inner, faults) = (inner.clone(), faults.clone());
            async move {
                let location = location?;
                let effect = faults.before(On::Delete, &location).await?;
                let done = object_store::ObjectStoreExt::delete(&inner, &location).await;
                answer(effect, done).map(|()| location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        let listed = async move {
            match faults.before(On::List, &prefix).await {
                Ok(_) => inner.list(Some(&prefix)),
                Err(error) => futures::stream::iter([Err(error)]).boxed(),
            }
        };
        futures::stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.faults.before(On::List, &path).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The same answer, whose body ends early.
fn truncated(found: GetResult, bytes: usize) -> GetResult {
    let (meta, range) = (found.meta.clone(), found.range.clone());
    let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
    let cut = found
        .into_stream()
        .scan(bytes, |left, piece| {
            let piece = piece.map(|mut piece: Bytes| {
                piece.truncate(*left);
                *left -= piece.len();
                piece
            });
            let goes_on = !piece.as_ref().is_ok_and(Bytes::is_empty);
            futures::future::ready(goes_on.then_some(piece))
        })
        .boxed();
    GetResult {
        payload: GetResultPayload::Stream(cut),
        meta,
        range,
        attributes,
        extensions,
    }
}
