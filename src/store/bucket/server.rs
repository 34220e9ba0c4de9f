//! The Store and Info services of a gateway.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prost_types::Any;
use proto::hintspb::{self, SeriesRequestHints, SeriesResponseHints};
use proto::info::info_server::Info;
use proto::info::{InfoRequest, InfoResponse};
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_server::Store;
use proto::thanos::{
    Aggr, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, Series,
    SeriesRequest, SeriesResponse,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::budget::Lease;
use super::call::{Call, signed};
use super::hints;
use super::merge::Merge;
use super::store::BucketStore;
use super::stream::{Ask, Chosen};
use crate::Frames;
use crate::matchers;
use crate::proxy::DEFAULT_TENANT;

/// Frames that wait for the client.
const FRAMES: usize = 2;
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

#[tonic::async_trait]
impl Store for GatewayStore {
    type SeriesStream = ReceiverStream<Result<SeriesResponse, Status>>;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let turn = self.turn().await?;
        let tenant = tenant(request.metadata());
        let answer = self.prepare(request.into_inner(), &tenant, turn).await?;
        let (sender, receiver) = mpsc::channel(FRAMES);
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = answer.send(&sender) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
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
        let share = store.budget.share(chosen.len(), postings).await;
        let (window, lease) =
            share.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        store.metrics.budget(&store.budget);
        Ok(Answer {
            merge: Merge::start(chosen, &ask, &call, window),
            frames: Frames::new(request.response_batch_size),
            limit: u64::try_from(request.limit).ok().filter(|limit| *limit > 0),
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
    frames: Frames,
    limit: Option<u64>,
    sent_bytes: Option<Histogram>,
    hints: Option<AnswerHints>,
    store: Arc<BucketStore>,
    call: Arc<Call>,
    lease: Option<Lease>,
    _turn: Turn,
}

/// Nobody reads the answer any more.
struct Gone;

type Sender = mpsc::Sender<Result<SeriesResponse, Status>>;

impl Answer {
    async fn send(mut self, out: &Sender) {
        if let Err(status) = self.send_all(out).await {
            let _ = out.send(Err(status)).await;
        }
    }

    async fn send_all(&mut self, out: &Sender) -> Result<(), Status> {
        let start = Instant::now();
        let mut sent = 0;
        while self.limit.is_none_or(|limit| sent < limit) {
            let Some(series) = self.merge.next().await? else {
                break;
            };
            sent += 1;
            self.observe(&series);
            if let Some(frame) = self.frames.push(series)
                && give(out, frame).await.is_err()
            {
                return Ok(());
            }
        }
        self.call.metrics.merged(start.elapsed());
        self.call
            .count(|stats| stats.merge_duration = duration(start));
        let last = [self.frames.flush(), self.hints()];
        for frame in last.into_iter().flatten() {
            if give(out, frame).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn observe(&self, series: &Series) {
        self.call.count(|stats| {
            stats.merged_series_count += 1;
            stats.merged_chunks_count += signed(series.chunks.len());
        });
        if let Some(histogram) = &self.sent_bytes {
            let bytes: usize = series.chunks.iter().map(prost::Message::encoded_len).sum();
            histogram.observe(bytes as f64);
        }
    }

    fn hints(&self) -> Option<SeriesResponse> {
        let hints = self.hints.as_ref()?;
        let block = |id: &String| hintspb::Block { id: id.clone() };
        let message = SeriesResponseHints {
            queried_blocks: hints.queried.iter().map(block).collect(),
            query_stats: hints.with_stats.then(|| self.call.stats()),
        };
        let any: Any = hints::write(&message, "SeriesResponseHints");
        Some(SeriesResponse {
            result: Some(Frame::Hints(any)),
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

async fn give(out: &Sender, frame: SeriesResponse) -> Result<(), Gone> {
    out.send(Ok(frame)).await.map_err(|_| Gone)
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
