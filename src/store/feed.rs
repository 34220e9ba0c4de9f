//! One store's answer to a Series call, as batches of whole, ordered series in a bounded channel.
//!
//! A task of its own receives, so decoding runs beside the merge. The channel is bounded in bytes: a store
//! that is ahead of the merge waits, by HTTP/2 flow control. A store that cannot strip replica labels
//! itself is read to its end first, stripped and sorted here, up to a limit.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use proto::thanos::{SeriesRequest, ShardInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use crate::endpoint::{Endpoint, MAX_MESSAGE};
use crate::wire::{AskCodec, Batch, Builder, Frame, Labels, Series};
use crate::{labels, shard};

/// The method that is called.
const SERIES: &str = "/thanos.Store/Series";

/// Bytes of one store that were looked at and wait for the merge. The link is kept busy by the window of HTTP/2.
const AHEAD: u32 = 64 << 10;
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
    Series(Batch),
    Warning(String),
}

#[derive(Debug)]
struct Sent {
    event: Event,
    room: OwnedSemaphorePermit,
}

/// The merge's end of a [`Call`]. Dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct Feed {
    /// The address of the store.
    pub(crate) store: String,
    events: mpsc::Receiver<Sent>,
    batch: Batch,
    /// The place of the head in the batch.
    at: usize,
    /// What the batch takes of the room ahead.
    room: Option<OwnedSemaphorePermit>,
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
        Self::of_task(store, events, tokio::spawn(call.run(out)))
    }

    fn of_task(store: String, events: mpsc::Receiver<Sent>, task: JoinHandle<()>) -> Self {
        Self {
            store,
            events,
            batch: Batch::default(),
            at: 0,
            room: None,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A feed that has everything already.
    #[cfg(test)]
    pub(crate) fn of(batches: Vec<Batch>) -> Self {
        let (sender, events) = mpsc::channel(batches.len().max(1));
        let permits = Arc::new(Semaphore::new(batches.len()));
        for batch in batches {
            let Ok(room) = permits.clone().try_acquire_owned() else {
                break;
            };
            let event = Event::Series(batch);
            let _ = sender.try_send(Sent { event, room });
        }
        Self::of_task(String::new(), events, tokio::spawn(async {}))
    }

    /// The labels of the first series that was not taken yet.
    pub(crate) fn head(&self) -> Option<Labels<'_>> {
        self.batch.labels(self.at)
    }

    pub(crate) fn take(&mut self) -> Option<Series> {
        let series = self.batch.get(self.at);
        self.at += 1;
        series
    }

    /// Waits for more series. What went wrong meanwhile goes to `warnings`.
    pub(crate) async fn receive(&mut self, warnings: &mut impl Extend<String>) {
        (self.batch, self.at, self.room) = (Batch::default(), 0, None);
        while self.batch.is_empty() {
            let Some(Sent { event, room }) = self.events.recv().await else {
                return;
            };
            match event {
                Event::Warning(text) => warnings.extend([text]),
                Event::Series(batch) => (self.batch, self.room) = (batch, Some(room)),
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
            Event::Series(batch) => batch.size(),
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
            .send(Sent { event, room })
            .await
            .map_err(|_| Gone)
    }
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
            last: Vec::new(),
            held_there: 0,
        };
        let mut warnings = 0;
        while let Some(frame) = self.frame(&mut stream).await? {
            match frame {
                Frame::Series(batch) => series.take(batch).await?,
                Frame::Warning(text) => {
                    warnings += 1;
                    self.allow(warnings, WARNINGS, "warnings")?;
                    out.send(Event::Warning(text)).await?;
                }
                Frame::Other => {}
            }
        }
        series.finish().await
    }

    async fn start(&self) -> Result<Streaming<Frame>, Stop> {
        let mut request = Request::new(self.request.clone());
        *request.metadata_mut() = self.metadata.clone();
        let mut grpc = tonic::client::Grpc::new(self.endpoint.channel())
            .max_decoding_message_size(MAX_MESSAGE);
        let call = async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unknown(format!("Service was not ready: {error}")))?;
            let path = PathAndQuery::from_static(SERIES);
            grpc.server_streaming(request, path, AskCodec).await
        };
        let answer = self.in_time(call).await?;
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

    async fn frame(&self, stream: &mut Streaming<Frame>) -> Result<Option<Frame>, Stop> {
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
    held: Vec<Batch>,
    bytes: usize,
    /// The labels of the series before, encoded.
    last: Vec<u8>,
    /// Bytes of all labels so far, and of series that came in several parts: the reader holds them to the end, the others it lets
    /// go.
    held_there: usize,
}

impl InOrder<'_> {
    async fn take(&mut self, batch: Batch) -> Result<(), Stop> {
        if self.call.strip.is_empty() {
            return self.pass(batch).await;
        }
        let stripped = stripped(&batch, &self.call.strip);
        self.bytes += stripped.size();
        self.held.push(stripped);
        if self.bytes > self.call.resort_limit {
            let (store, limit) = (self.call.store(), self.call.resort_limit);
            return Err(Stop::Failed(format!(
                "{store} cannot strip replica labels, and its series exceed the {limit} bytes that may be sorted here"
            )));
        }
        Ok(())
    }

    async fn pass(&mut self, mut batch: Batch) -> Result<(), Stop> {
        let mut last = Labels::of(&self.last);
        for at in 0..batch.len() {
            let labels = batch.labels(at).unwrap_or_default();
            let order = last.compare(labels);
            if order.is_gt() {
                let (store, at) = (self.call.store(), labels.display());
                return Err(Stop::Failed(format!(
                    "{store} sent series out of order at {at}"
                )));
            }
            let held = match order {
                Ordering::Equal => batch.get(at).map_or(0, |series| series.size()),
                _ => labels.encoded().len(),
            };
            self.held_there = self.held_there.saturating_add(held);
            last = labels;
        }
        let limit = self.call.held_limit;
        self.call
            .allow(self.held_there, limit, "bytes that stay in memory")?;
        self.last = last.encoded().to_vec();
        if let Some(shard) = &self.call.shard {
            batch = of_shard(&batch, shard);
        }
        Ok(self.out.send(Event::Series(batch)).await?)
    }

    async fn finish(mut self) -> Result<(), Stop> {
        let held = std::mem::take(&mut self.held);
        let mut held: Vec<Series> = held.iter().flat_map(Batch::iter).collect();
        held.sort_by(|a, b| a.labels().compare(b.labels()));
        for some in held.chunks(BATCH) {
            let mut batch = Builder::default();
            for series in some {
                batch.push(series.labels(), std::iter::once(series.fields()));
            }
            self.pass(batch.finish()).await?;
        }
        Ok(())
    }
}

/// The same series without these labels.
fn stripped(batch: &Batch, names: &[String]) -> Batch {
    let mut stripped = Builder::default();
    let mut kept = Vec::new();
    for series in batch.iter() {
        kept.clear();
        series.labels().without(names, &mut kept);
        stripped.push(Labels::of(&kept), std::iter::once(series.fields()));
    }
    stripped.finish()
}

/// The series that belong to a shard.
fn of_shard(batch: &Batch, shard: &ShardInfo) -> Batch {
    let mut chosen = Builder::default();
    for series in batch.iter() {
        if shard::contains_pairs(Some(shard), series.labels().texts()) {
            chosen.push(series.labels(), std::iter::once(series.fields()));
        }
    }
    chosen.finish()
}
