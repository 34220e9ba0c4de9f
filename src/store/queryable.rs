//! All stores as one [`Queryable`]: fetched by a task, read on the thread that asked.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Batch, Cancel, Cancelled, MAX_BATCH, Queryable, Select, SelectError, Series, SeriesStream,
};
use proto::thanos::{PartialResponseStrategy, SeriesRequest};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::aggregate::{Aggregate, clamp_resolution, is_counter_function};
use crate::dedup::Deduplication;
use crate::interner::Interner;
use crate::merge::{Item, Merged, Origin};
use crate::proxy::{CallOptions, Proxy};
use crate::samples::{ChunkSamples, Reading};
use crate::{matchers, shard, wire};

/// The most series in one frame of a store, as every querier asks for.
const MOST_IN_FRAME: i64 = 64;
/// A frame should have about so many bytes, for it is received in one buffer.
const FRAME_BYTES: i64 = 64 << 10;
/// About what a series has: its labels, and samples every 15 seconds.
const LABELS: i64 = 400;
const BYTES_AN_HOUR: i64 = 400;
const HOUR: i64 = 3_600_000;
/// Batches that wait for the reader.
const AHEAD: usize = 4;
/// Bytes after which a batch is passed on even if it could hold more series.
const BATCH_BYTES: usize = 64 << 10;
/// How often the flag of a request is looked at while stores are silent.
const CANCEL_CHECK: Duration = Duration::from_millis(20);

/// How a query reads.
#[derive(Clone, Debug, Default)]
pub struct FanOutOptions {
    /// Whether an answer without some of the stores is an answer.
    pub partial_response: bool,
    /// Labels that tell replicas apart: they are removed, and replicas become one series. Empty: no deduplication.
    pub replica_labels: Vec<String>,
    /// The coarsest downsampling that is taken, in milliseconds; 0 is raw samples only.
    pub max_resolution: i64,
    pub call: CallOptions,
    /// For one select, from its start to its last series.
    pub timeout: Option<Duration>,
    /// How replicas become one.
    pub deduplication: Deduplication,
}

/// The series of all stores.
#[derive(Clone, Debug)]
pub struct FanOut {
    proxy: Arc<Proxy>,
    runtime: Handle,
    options: FanOutOptions,
}

impl FanOut {
    /// Series of `proxy`, fetched on `runtime`.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, runtime: Handle, options: FanOutOptions) -> Self {
        Self {
            proxy,
            runtime,
            options,
        }
    }

    /// Who asks, and which stores.
    #[must_use]
    pub fn call(&self) -> &CallOptions {
        &self.options.call
    }

    fn request(&self, select: &Select) -> SeriesRequest {
        let hints = &select.hints;
        let strategy = if self.options.partial_response {
            PartialResponseStrategy::Warn
        } else {
            PartialResponseStrategy::Abort
        };
        SeriesRequest {
            min_time: select.mint,
            max_time: select.maxt,
            matchers: matchers::to_wire(&select.matchers),
            max_resolution_window: clamp_resolution(
                self.options.max_resolution,
                &hints.function,
                hints.range,
            ),
            aggregates: Aggregate::of_function(&hints.function).to_wire(),
            partial_response_disabled: !self.options.partial_response,
            partial_response_strategy: strategy.into(),
            skip_chunks: select.skip_samples,
            shard_info: select.shard.as_ref().map(shard::to_wire),
            without_replica_labels: self.options.replica_labels.clone(),
            limit: i64::try_from(select.limit).unwrap_or(i64::MAX),
            response_batch_size: batch_size(select),
            ..SeriesRequest::default()
        }
    }
}

impl Queryable for FanOut {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        cancel.check()?;
        let merged = {
            let _inside = self.runtime.enter();
            self.proxy
                .series(self.request(select), &self.options.call)
                .map_err(refused)?
        };
        let function = &select.hints.function;
        let stores = merged.stores();
        let reading = Arc::new(Reading {
            mint: select.mint,
            maxt: select.maxt,
            aggregate: Aggregate::of_function(function),
            dedup: (!self.options.replica_labels.is_empty()).then_some(self.options.deduplication),
            counter: is_counter_function(function),
            stores,
        });
        let (out, messages) = mpsc::channel(AHEAD);
        let fetch = Fetch { merged, out };
        let work = fetch.run(self.options.timeout, cancel.clone());
        let task = AbortOnDropHandle::new(self.runtime.spawn(work));
        let projection = select.hints.projection.clone();
        Ok(Box::new(Stream {
            messages,
            interner: Interner::new(select.symbols.clone(), projection),
            reading,
            warnings: Vec::new(),
            over: false,
            cancel: cancel.clone(),
            _task: task,
        }))
    }

    fn start_matters(&self) -> bool {
        !self.options.replica_labels.is_empty()
    }
}

/// How many series to a frame.
fn batch_size(select: &Select) -> i64 {
    let hours = match select.skip_samples {
        true => 0,
        false => select.maxt.saturating_sub(select.mint) / HOUR,
    };
    let series = hours.saturating_mul(BYTES_AN_HOUR).saturating_add(LABELS);
    (FRAME_BYTES / series).clamp(2, MOST_IN_FRAME)
}

fn refused(status: Status) -> SelectError {
    let text = status.message().to_owned();
    match status.code() {
        tonic::Code::InvalidArgument => SelectError::Rejected(text),
        tonic::Code::ResourceExhausted => SelectError::Limit(text),
        _ => SelectError::Source(text),
    }
}

enum Message {
    Batch(wire::Batch, Vec<Origin>),
    Warning(String),
    /// Everything was sent.
    End,
    Failed(SelectError),
}

/// The task behind a stream.
struct Fetch {
    merged: Merged,
    out: mpsc::Sender<Message>,
}

impl Fetch {
    async fn run(self, timeout: Option<Duration>, cancel: Cancel) {
        let out = self.out.clone();
        let late = async {
            match timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let over = tokio::select! {
            () = out.closed() => return,
            over = self.forward() => over,
            why = raised(&cancel) => Message::Failed(why.into()),
            () = late => Message::Failed(Cancelled::TimedOut.into()),
        };
        let _ = out.send(over).await;
    }

    async fn forward(mut self) -> Message {
        loop {
            let message = match self.merged.next(MAX_BATCH, BATCH_BYTES).await {
                Ok(Some(Item::Batch(batch))) => Message::Batch(batch, self.merged.origins()),
                Ok(Some(Item::Warning(text))) => Message::Warning(text),
                Ok(None) => return Message::End,
                Err(status) => return Message::Failed(refused(status)),
            };
            let _ = self.out.send(message).await;
        }
    }
}

/// Resolves when the flag goes up: why.
pub async fn raised(cancel: &Cancel) -> Cancelled {
    loop {
        if let Err(why) = cancel.check() {
            return why;
        }
        tokio::time::sleep(CANCEL_CHECK).await;
    }
}

/// The reader's end. Dropping it cancels the calls.
struct Stream {
    messages: mpsc::Receiver<Message>,
    interner: Interner,
    reading: Arc<Reading>,
    warnings: Vec<String>,
    over: bool,
    cancel: Cancel,
    _task: AbortOnDropHandle<()>,
}

impl Stream {
    /// Here and not in the task: so what belongs to a series is made and dropped on the reader's thread.
    fn read_later(&mut self, batch: &wire::Batch, origins: &[Origin]) -> Batch {
        let series = batch.iter().zip(origins).map(|(series, origin)| Series {
            labels: self.interner.intern(series.labels()),
            samples: Box::new(ChunkSamples {
                series,
                reading: self.reading.clone(),
                origin: *origin,
            }),
        });
        series.collect()
    }
}

impl SeriesStream for Stream {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        loop {
            self.cancel.check()?;
            match self.messages.blocking_recv() {
                Some(Message::Batch(batch, origins)) => {
                    return Ok(Some(self.read_later(&batch, &origins)));
                }
                Some(Message::Warning(text)) => self.warnings.push(text),
                Some(Message::Failed(error)) => return Err(error),
                Some(Message::End) => self.over = true,
                None if self.over => return Ok(None),
                None => return Err(SelectError::Source("the fetching task ended early".into())),
            }
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}
