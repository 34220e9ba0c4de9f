//! One store's answer to a Series call, as batches of whole, ordered series in a bounded channel.
//!
//! A task of its own receives, so decoding runs beside the merge. The channel is bounded in bytes: a store
//! that is ahead of the merge waits, by HTTP/2 flow control. A store that cannot strip replica labels
//! itself is read to its end first, stripped and sorted here, up to a limit.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use proto::thanos::series_response::Result as Frame;
use proto::thanos::{Series, SeriesRequest, SeriesResponse, ShardInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use crate::endpoint::Endpoint;
use crate::{labels, shard};

/// Bytes of one store that wait for the merge.
const AHEAD: u32 = 4 << 20;
/// Events of one store that wait for the merge.
const EVENTS: usize = 20;
/// Series in one event where this side makes the batches.
const BATCH: usize = 64;
/// Warnings that are taken from one store.
const WARNINGS: usize = 100;

/// A Series call on one store.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) request: SeriesRequest,
    pub(crate) metadata: MetadataMap,
    /// Longest wait for a frame.
    pub(crate) response_timeout: Option<Duration>,
    /// Labels that are stripped here, because the store cannot.
    pub(crate) strip: Vec<String>,
    /// The shard that is chosen here, because the store cannot.
    pub(crate) shard: Option<ShardInfo>,
    /// Bytes that stripping may hold.
    pub(crate) resort_limit: usize,
    /// Bytes that the answer may make the reader hold.
    pub(crate) held_limit: usize,
}

#[derive(Debug)]
enum Event {
    Series(Vec<Series>),
    Warning(String),
}

#[derive(Debug)]
struct Sent {
    event: Event,
    _room: OwnedSemaphorePermit,
}

/// The merge's end of a [`Call`]. Dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct Feed {
    /// The address of the store.
    pub(crate) store: String,
    events: mpsc::Receiver<Sent>,
    batch: std::vec::IntoIter<Series>,
    room: Option<OwnedSemaphorePermit>,
    head: Option<Series>,
    _task: AbortOnDropHandle<()>,
}

impl Feed {
    pub(crate) fn open(call: Call) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let out = Out {
            sender,
            room: Arc::new(Semaphore::new(AHEAD as usize)),
        };
        let store = call.endpoint.spec.address.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(call.run(out)));
        Self {
            store,
            events,
            batch: Vec::new().into_iter(),
            room: None,
            head: None,
            _task: task,
        }
    }

    /// A feed that has everything already.
    #[cfg(test)]
    pub(crate) fn of(batches: Vec<Vec<Series>>) -> Self {
        let (sender, events) = mpsc::channel(batches.len().max(1));
        let room = Arc::new(Semaphore::new(batches.len()));
        for batch in batches {
            let Ok(permit) = room.clone().try_acquire_owned() else {
                break;
            };
            let _ = sender.try_send(Sent {
                event: Event::Series(batch),
                _room: permit,
            });
        }
        let task = AbortOnDropHandle::new(tokio::spawn(async {}));
        Self {
            store: String::new(),
            events,
            batch: Vec::new().into_iter(),
            room: None,
            head: None,
            _task: task,
        }
    }

    /// The first series that was not taken yet.
    pub(crate) fn head(&self) -> Option<&Series> {
        self.head.as_ref()
    }

    pub(crate) fn take(&mut self) -> Option<Series> {
        self.head.take()
    }

    /// Waits for the next head. What went wrong meanwhile goes to `warnings`.
    pub(crate) async fn advance(&mut self, warnings: &mut impl Extend<String>) {
        loop {
            self.head = self.batch.next();
            if self.head.is_some() {
                return;
            }
            self.room = None;
            let Some(sent) = self.events.recv().await else {
                return;
            };
            match sent.event {
                Event::Warning(text) => warnings.extend([text]),
                Event::Series(batch) => {
                    self.batch = batch.into_iter();
                    self.room = Some(sent._room);
                }
            }
        }
    }
}

struct Out {
    sender: mpsc::Sender<Sent>,
    room: Arc<Semaphore>,
}

/// The merge does not listen any more.
struct Gone;

impl Out {
    async fn send(&self, event: Event) -> Result<(), Gone> {
        let bytes = match &event {
            Event::Series(batch) => batch.iter().map(size).sum::<usize>(),
            Event::Warning(text) => text.len(),
        };
        let permits = u32::try_from(bytes).unwrap_or(AHEAD).min(AHEAD);
        let room = self
            .room
            .clone()
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Gone)?;
        self.sender
            .send(Sent { event, _room: room })
            .await
            .map_err(|_| Gone)
    }
}

/// About how many bytes a series holds.
pub(crate) fn size(series: &Series) -> usize {
    let labels: usize = series
        .labels
        .iter()
        .map(|l| 48 + l.name.len() + l.value.len())
        .sum();
    let chunk = |chunk: &proto::thanos::AggrChunk| -> usize {
        let parts = [
            &chunk.raw,
            &chunk.count,
            &chunk.sum,
            &chunk.min,
            &chunk.max,
            &chunk.counter,
        ];
        size_of_val(chunk)
            + parts
                .into_iter()
                .flatten()
                .map(|part| part.data.len())
                .sum::<usize>()
    };
    labels + series.chunks.iter().map(chunk).sum::<usize>()
}

/// The bytes of a series' labels.
fn text(series: &Series) -> usize {
    let labels = series.labels.iter();
    labels.map(|l| 8 + l.name.len() + l.value.len()).sum()
}

/// Why a call ended early.
enum Stop {
    Gone,
    /// For people; names the store.
    Failed(String),
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl Call {
    async fn run(self, out: Out) {
        if let Err(Stop::Failed(text)) = self.receive(&out).await {
            let _ = out.send(Event::Warning(text)).await;
        }
    }

    async fn receive(&self, out: &Out) -> Result<(), Stop> {
        let mut stream = self.start().await?;
        let mut series = InOrder {
            call: self,
            out,
            held: Vec::new(),
            bytes: 0,
            last: None,
            held_there: 0,
        };
        let mut warnings = 0;
        while let Some(response) = self.frame(&mut stream).await? {
            match response.result {
                Some(Frame::Series(one)) => series.take(vec![one]).await?,
                Some(Frame::Batch(batch)) => series.take(batch.series).await?,
                Some(Frame::Warning(text)) => {
                    warnings += 1;
                    self.allow(warnings, WARNINGS, "warnings")?;
                    out.send(Event::Warning(text)).await?;
                }
                Some(Frame::Hints(_)) | None => {}
            }
        }
        series.finish().await
    }

    async fn start(&self) -> Result<Streaming<SeriesResponse>, Stop> {
        let mut request = Request::new(self.request.clone());
        *request.metadata_mut() = self.metadata.clone();
        let mut client = self.endpoint.client();
        let answer = self.in_time(client.series(request)).await?;
        answer.map(tonic::Response::into_inner).map_err(|status| {
            let metadata = self.endpoint.metadata();
            let sets: Vec<_> = metadata
                .label_sets
                .iter()
                .map(|set| labels::display(set))
                .collect();
            let (sets, store, status) = (sets.join(","), self.store(), describe(&status));
            Stop::Failed(format!("fetch series for {sets} {store}: {status}"))
        })
    }

    async fn frame(
        &self,
        stream: &mut Streaming<SeriesResponse>,
    ) -> Result<Option<SeriesResponse>, Stop> {
        self.in_time(stream.message()).await?.map_err(|status| {
            Stop::Failed(format!(
                "receive series from {}: {}",
                self.store(),
                describe(&status)
            ))
        })
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let Some(limit) = self.response_timeout else {
            return Ok(work.await);
        };
        tokio::time::timeout(limit, work).await.map_err(|_| {
            Stop::Failed(format!(
                "failed to receive any data in {limit:?} from {}",
                self.store()
            ))
        })
    }

    fn allow(&self, count: usize, limit: usize, what: &str) -> Result<(), Stop> {
        if count <= limit {
            return Ok(());
        }
        let store = self.store();
        Err(Stop::Failed(format!(
            "{store} sent more than {limit} {what} for one request: the rest of its answer is left out"
        )))
    }

    fn store(&self) -> String {
        format!("Addr: {}", self.endpoint.spec.address)
    }
}

/// A status as Go's clients print it.
pub(crate) fn describe(status: &Status) -> String {
    format!(
        "rpc error: code = {:?} desc = {}",
        status.code(),
        status.message()
    )
}

/// Holds a store to the order that the merge relies on, or makes that order.
struct InOrder<'c> {
    call: &'c Call,
    out: &'c Out,
    /// Only when labels are stripped here.
    held: Vec<Series>,
    bytes: usize,
    last: Option<Vec<proto::thanos::Label>>,
    /// Bytes of all labels so far, and of chunks of one series that came in several parts: the reader holds them to the end, the
    /// others it lets go.
    held_there: usize,
}

impl InOrder<'_> {
    async fn take(&mut self, mut batch: Vec<Series>) -> Result<(), Stop> {
        for series in &mut batch {
            labels::normalise(&mut series.labels);
        }
        if self.call.strip.is_empty() {
            return self.pass(batch).await;
        }
        for mut series in batch {
            labels::remove(&mut series.labels, &self.call.strip);
            self.bytes += size(&series);
            self.held.push(series);
        }
        if self.bytes > self.call.resort_limit {
            let (store, limit) = (self.call.store(), self.call.resort_limit);
            return Err(Stop::Failed(format!(
                "{store} cannot strip replica labels, and its series exceed the {limit} bytes that may be sorted here"
            )));
        }
        Ok(())
    }

    async fn pass(&mut self, mut batch: Vec<Series>) -> Result<(), Stop> {
        let mut last = self.last.as_deref();
        for series in &batch {
            let order = last.map(|last| labels::compare(last, &series.labels));
            if order == Some(Ordering::Greater) {
                let (store, at) = (self.call.store(), labels::display(&series.labels));
                return Err(Stop::Failed(format!(
                    "{store} sent series out of order at {at}"
                )));
            }
            let held = match order {
                Some(Ordering::Equal) => size(series),
                _ => text(series),
            };
            self.held_there = self.held_there.saturating_add(held);
            last = Some(&series.labels);
        }
        let limit = self.call.held_limit;
        self.call
            .allow(self.held_there, limit, "bytes that stay in memory")?;
        if let Some(series) = batch.last() {
            self.last = Some(series.labels.clone());
        }
        if let Some(shard) = &self.call.shard {
            batch.retain(|series| shard::contains(Some(shard), &series.labels));
        }
        Ok(self.out.send(Event::Series(batch)).await?)
    }

    async fn finish(mut self) -> Result<(), Stop> {
        let mut held = std::mem::take(&mut self.held);
        labels::sort_series(&mut held);
        let mut held = held.into_iter();
        loop {
            let batch: Vec<Series> = held.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.pass(batch).await?;
        }
    }
}
