//! The Store and Info services of a gateway.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prost_types::Any;
use proto::hintspb::{self, SeriesRequestHints, SeriesResponseHints};
use proto::info::info_server::Info;
use proto::info::{InfoRequest, InfoResponse};
use proto::thanos::series_response::Result as Message;
use proto::thanos::store_server::Store;
use proto::thanos::{
    Aggr, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    SeriesRequest, SeriesResponse,
};
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::metadata::MetadataMap;
use tonic::server::ServerStreamingService;
use tonic::{Code, Request, Response, Status};

use super::budget::Lease;
use super::call::{Call, signed};
use super::hints;
use super::merge::Merge;
use super::store::BucketStore;
use super::stream::{Ask, Chosen};
use super::wire::{Frame, FrameCodec, Sent, Series};
use crate::MAX_MESSAGE;
use crate::matchers;
use crate::proxy::DEFAULT_TENANT;
use crate::served::{AnswersSeries, Served};

/// Series in one frame at most, whatever is asked for.
const MOST_IN_FRAME: usize = 4096;
/// Bytes of chunks after which a frame is sent even if more series would fit by count.
const FRAME_BYTES: usize = 1 << 20;
/// Blocks that look for their series at a time.
pub(crate) const PARALLEL_BLOCKS: usize = 16;

/// The Store service.
#[derive(Clone, Debug)]
pub struct GatewayStore(pub Arc<BucketStore>);

/// The Info service; refuses until `ready` says so.
#[derive(Clone, Debug)]
pub struct GatewayInfo {
    pub store: Arc<BucketStore>,
    pub ready: net::probe::Probe,
}

pub(crate) fn tenant(metadata: &MetadataMap) -> String {
    let tenant = metadata
        .get("thanos-tenant")
        .and_then(|value| value.to_str().ok());
    tenant.unwrap_or(DEFAULT_TENANT).to_owned()
}

/// The Store service of a gateway as it is served.
pub type GatewayServer = Served<GatewayStore>;

impl GatewayServer {
    /// The services over a store.
    #[must_use]
    pub fn new(store: Arc<BucketStore>) -> Self {
        Self::over(GatewayStore(store))
    }
}

impl AnswersSeries for GatewayStore {
    fn answer_series(
        self,
        request: http::Request<Body>,
    ) -> BoxFuture<http::Response<Body>, Infallible> {
        let call = SeriesCall(self);
        Box::pin(async move {
            let most = Some(MAX_MESSAGE);
            let mut grpc =
                tonic::server::Grpc::new(FrameCodec).apply_max_message_size_config(most, most);
            Ok(grpc.server_streaming(call, request).await)
        })
    }
}

struct SeriesCall(GatewayStore);

impl ServerStreamingService<SeriesRequest> for SeriesCall {
    type Response = Sent;
    type ResponseStream = BoxStream<'static, Result<Sent, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<SeriesRequest>) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move { Ok(Response::new(store.answer(request).await?)) })
    }
}

#[tonic::async_trait]
impl Store for GatewayStore {
    type SeriesStream = BoxStream<'static, Result<SeriesResponse, Status>>;

    /// The frames of [`GatewayServer`], read again: for callers in this process.
    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let frames = self.answer(request).await?;
        let decoded = frames.map(|sent| sent.and_then(|(symbols, frame)| frame.decoded(&symbols)));
        Ok(Response::new(decoded.boxed()))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let tenant = tenant(request.metadata());
        let answer = self.0.label_names(request.into_inner(), &tenant).await?;
        Ok(Response::new(answer))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let tenant = tenant(request.metadata());
        let answer = self.0.label_values(request.into_inner(), &tenant).await?;
        Ok(Response::new(answer))
    }
}

/// One of the calls that may run at a time.
struct Turn {
    _permit: OwnedSemaphorePermit,
    in_flight: Gauge,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

impl GatewayStore {
    /// The frames of an answer, made as they are taken.
    async fn answer(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<BoxStream<'static, Result<Sent, Status>>, Status> {
        let turn = self.turn().await?;
        let tenant = tenant(request.metadata());
        let answer = self.prepare(request.into_inner(), &tenant, turn).await?;
        let symbols = answer.call.symbols.clone();
        let frames = futures::stream::try_unfold(Box::new(answer), |mut answer| async move {
            Ok(answer.next().await?.map(|frame| (frame, answer)))
        });
        Ok(frames.map_ok(move |frame| (symbols.clone(), frame)).boxed())
    }

    async fn turn(&self) -> Result<Turn, Status> {
        let start = Instant::now();
        let permit = self.0.gate.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Status::unavailable("shutting down"))?;
        let metrics = &self.0.metrics;
        metrics.gate_seconds.observe(start.elapsed().as_secs_f64());
        metrics.gate_queries.inc();
        metrics.gate_in_flight.inc();
        Ok(Turn {
            _permit: permit,
            in_flight: metrics.gate_in_flight.clone(),
        })
    }

    /// Everything that can fail before the first frame.
    async fn prepare(
        &self,
        request: SeriesRequest,
        tenant: &str,
        turn: Turn,
    ) -> Result<Answer, Status> {
        let store = &self.0;
        let asked = matchers::from_wire(&request.matchers)?;
        let request_hints: SeriesRequestHints =
            hints::read(request.hints.as_ref(), "SeriesRequestHints")?;
        let block_matchers = hints::block_matchers(&request_hints.block_matchers)?;
        let limits = store.limits();
        let times = (
            request.min_time.max(limits.0),
            request.max_time.min(limits.1),
        );
        let blocks = store.choose_blocks(
            &asked,
            times,
            request.max_resolution_window,
            &block_matchers,
        );
        let queried = blocks.iter().map(|(block, _)| block.info.id.clone());
        let answer_hints = request.hints.is_some().then(|| AnswerHints {
            queried: queried.collect(),
            with_stats: request_hints.enable_query_stats,
        });
        let call = Arc::new(Call::new(&store.config.limits, store.metrics.of(tenant)));
        let ask = Arc::new(ask(&request, times, store.config.series_batch));
        let start = Instant::now();
        let finds: Vec<_> = blocks
            .into_iter()
            .map(|(block, matchers)| find(block, matchers, ask.clone(), call.clone()))
            .collect();
        let finds = futures::stream::iter(finds).buffered(PARALLEL_BLOCKS);
        let chosen: Vec<Chosen> = finds.try_collect().await?;
        call.metrics.got_all(chosen.len(), start.elapsed());
        call.count(|stats| {
            stats.blocks_queried = signed(chosen.len());
            stats.get_all_duration = duration(start);
        });
        let chosen: Vec<Chosen> = chosen
            .into_iter()
            .filter(|chosen| chosen.bytes() > 0)
            .collect();
        let postings = chosen.iter().map(Chosen::bytes).sum();
        let ahead = chosen.iter().map(|chosen| chosen.block.most_ahead()).max();
        let ahead = ahead.unwrap_or_default();
        let share = store.budget.share(chosen.len(), ahead, postings).await;
        let (window, lease) =
            share.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        store.metrics.budget(&store.budget);
        Ok(Answer {
            merge: Merge::start(chosen, &ask, &call, window),
            batch: usize::try_from(request.response_batch_size)
                .unwrap_or(0)
                .clamp(1, MOST_IN_FRAME),
            left: u64::try_from(request.limit)
                .ok()
                .filter(|limit| *limit > 0)
                .unwrap_or(u64::MAX),
            begun: Instant::now(),
            sent: (0, 0),
            ended: false,
            pending: Vec::new(),
            pending_bytes: 0,
            sent_bytes: (!request.skip_chunks).then(|| call.metrics.sent_chunk_bytes()),
            hints: answer_hints,
            store: store.clone(),
            call,
            lease: Some(lease),
            _turn: turn,
        })
    }
}

fn ask(request: &SeriesRequest, times: (i64, i64), batch: usize) -> Ask {
    let aggregates = request
        .aggregates
        .iter()
        .filter_map(|aggregate| Aggr::try_from(*aggregate).ok());
    Ask {
        times,
        skip_chunks: request.skip_chunks,
        aggregates: aggregates.collect(),
        without: request.without_replica_labels.clone(),
        shard: request
            .shard_info
            .clone()
            .filter(|shard| shard.total_shards >= 1),
        limit: usize::try_from(request.limit).unwrap_or_default(),
        batch,
    }
}

async fn find(
    block: Arc<super::block::Block>,
    matchers: Arc<[model::Matcher]>,
    ask: Arc<Ask>,
    call: Arc<Call>,
) -> Result<Chosen, Status> {
    let found = Chosen::find(block.clone(), &matchers, &ask, &call).await;
    found.map_err(|error| error.status("fetch postings for block", &block.info.id, Code::Aborted))
}

struct AnswerHints {
    queried: Vec<String>,
    with_stats: bool,
}

/// An answer on its way.
struct Answer {
    merge: Merge,
    /// Series in one frame at most.
    batch: usize,
    pending: Vec<Series>,
    pending_bytes: usize,
    /// Series that may still be sent.
    left: u64,
    begun: Instant,
    /// Series and chunks so far.
    sent: (usize, usize),
    ended: bool,
    sent_bytes: Option<Histogram>,
    hints: Option<AnswerHints>,
    store: Arc<BucketStore>,
    call: Arc<Call>,
    lease: Option<Lease>,
    _turn: Turn,
}

impl Answer {
    /// The next frame; `None` after the last.
    async fn next(&mut self) -> Result<Option<Frame>, Status> {
        while !self.ended {
            let next = if self.left == 0 {
                None
            } else {
                self.merge.next().await?
            };
            let Some(series) = next else {
                self.ended = true;
                self.merged();
                break;
            };
            self.left -= 1;
            if let Some(frame) = self.push(series) {
                return Ok(Some(frame));
            }
        }
        if !self.pending.is_empty() {
            return Ok(Some(Frame::Batch(std::mem::take(&mut self.pending))));
        }
        Ok(self.hints().map(Frame::Other))
    }

    /// Adds a series; gives the frame that is full now. Frames of a single series have the form that every client
    /// understands.
    fn push(&mut self, series: Series) -> Option<Frame> {
        self.sent.0 += 1;
        self.sent.1 += series.chunk_count();
        let bytes = series.chunk_bytes();
        if let Some(histogram) = &self.sent_bytes {
            histogram.observe(bytes as f64);
        }
        if self.batch == 1 {
            return Some(Frame::Series(series));
        }
        self.pending.push(series);
        self.pending_bytes += bytes;
        let full = self.pending.len() >= self.batch || self.pending_bytes >= FRAME_BYTES;
        full.then(|| {
            self.pending_bytes = 0;
            Frame::Batch(std::mem::take(&mut self.pending))
        })
    }

    fn merged(&self) {
        self.call.metrics.merged(self.begun.elapsed());
        self.call.count(|stats| {
            stats.merged_series_count += signed(self.sent.0);
            stats.merged_chunks_count += signed(self.sent.1);
            stats.merge_duration = duration(self.begun);
        });
    }

    /// The hints, once.
    fn hints(&mut self) -> Option<SeriesResponse> {
        let hints = self.hints.take()?;
        let block = |id: &String| hintspb::Block { id: id.clone() };
        let message = SeriesResponseHints {
            queried_blocks: hints.queried.iter().map(block).collect(),
            query_stats: hints.with_stats.then(|| self.call.stats()),
        };
        let any: Any = hints::write(&message, "SeriesResponseHints");
        Some(SeriesResponse {
            result: Some(Message::Hints(any)),
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.call.metrics.finished(&self.call.stats());
        self.lease.take();
        self.store.metrics.budget(&self.store.budget);
    }
}

fn duration(since: Instant) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(since.elapsed()).ok()
}

#[tonic::async_trait]
impl Info for GatewayInfo {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if !self.ready.is_ready() {
            return Err(Status::unknown("Not ready"));
        }
        let (label_sets, store) = self.store.info();
        Ok(Response::new(InfoResponse {
            label_sets,
            component_type: "store".to_owned(),
            store: Some(store),
            ..InfoResponse::default()
        }))
    }
}
