//! A querier is a StoreAPI too: its Store and Info services, over a [`Proxy`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use prometheus_client::metrics::counter::Counter;
use proto::info::info_server::{Info, InfoServer};
use proto::info::{
    ExemplarsInfo, InfoRequest, InfoResponse, MetricMetadataInfo, QueryApiInfo, RulesInfo,
    StatusInfo, StoreInfo, TargetsInfo, TsdbInfo,
};
use proto::thanos::store_server::Store;
use proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelSet, LabelValuesRequest, LabelValuesResponse,
    SeriesRequest, SeriesResponse,
};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::bucket::{LimitError, Limiter, Limits, SAMPLES_PER_CHUNK};
use crate::labels::{self, label};
use crate::merge::{Item, Merged};
use crate::proxy::{CallOptions, Proxy};
use crate::served::{AnswersSeries, Served};
use crate::wire::{self, Answer};

const GRPC: http::HeaderValue = http::HeaderValue::from_static("application/grpc");
/// Bytes of a request.
const MOST_IN_REQUEST: usize = 16 << 20;
/// Series in one frame at most, whatever is asked for.
const MOST_IN_FRAME: usize = 4096;
/// Series that are merged together where each has a frame of its own.
const SINGLES: usize = 64;
/// Bytes after which a frame is sent even if more series would fit by count.
const FRAME_BYTES: usize = 1 << 20;

/// Series, LabelNames and LabelValues of everything behind a proxy: Series goes to the wire as it came.
pub type ProxyServer = Served<ProxyStore>;

impl ProxyServer {
    /// The service over `proxy`, each Series call within `limits`.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, limits: Limits) -> Self {
        Self::over(ProxyStore { proxy, limits })
    }
}

impl AnswersSeries for ProxyStore {
    fn answer_series(
        self,
        request: http::Request<Body>,
    ) -> BoxFuture<http::Response<Body>, Infallible> {
        Box::pin(async move {
            let answers = self.ask(request).await;
            Ok(answers.map_or_else(Status::into_http, respond))
        })
    }
}

/// The answer as it is sent: what came of the stores is not copied again.
fn respond(answers: Answers) -> http::Response<Body> {
    let frames = answers.map_ok(|answer| {
        let pieces = answer.framed().map(|piece| Ok(Frame::data(piece)));
        stream::iter(pieces)
    });
    let ended = async { Ok(Frame::trailers(trailers(&Status::ok("")))) };
    let frames = frames.try_flatten().chain(stream::once(ended));
    let mut failed = false;
    // A status ends the stream.
    let frames = frames
        .map(|frame| frame.unwrap_or_else(|status| Frame::trailers(trailers(&status))))
        .take_while(move |frame| {
            let goes_on = !std::mem::replace(&mut failed, frame.is_trailers());
            std::future::ready(goes_on)
        });
    let frames = frames.map(Ok::<_, Status>);
    let mut response = http::Response::new(Body::new(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, GRPC);
    response
}

fn trailers(status: &Status) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    // A message that is no header is left out.
    if status.add_header(&mut trailers).is_err() {
        let bare = Status::new(status.code(), "");
        let _ = bare.add_header(&mut trailers);
    }
    trailers
}

type Answers = BoxStream<'static, Result<Answer, Status>>;

/// Info of everything behind `proxy`: the label sets and the time range of its stores. Whoever serves it serves the
/// services that it announces too ([`crate::services`]).
#[must_use]
pub fn info_server(proxy: Arc<Proxy>) -> InfoServer<ProxyInfo> {
    InfoServer::new(ProxyInfo(proxy))
}

/// The Store service of a proxy.
#[derive(Clone, Debug)]
pub struct ProxyStore {
    proxy: Arc<Proxy>,
    limits: Limits,
}

/// What one Series call may still send.
struct Left {
    series: Limiter,
    /// `None`: chunks need not be counted.
    samples: Option<Limiter>,
}

impl Left {
    fn new(limits: &Limits) -> Self {
        Self {
            series: Limiter::new(limits.request_series, Counter::default()),
            samples: (limits.request_samples > 0)
                .then(|| Limiter::new(limits.request_samples, Counter::default())),
        }
    }

    fn take(&self, item: &Item) -> Result<(), Status> {
        let Item::Batch(batch) = item else {
            return Ok(());
        };
        let over = |what: &'static str| {
            move |error: LimitError| {
                Status::resource_exhausted(format!("failed to send {what}: {error}"))
            }
        };
        let series = self.series.reserve(batch.len() as u64);
        series.map_err(over("series"))?;
        let Some(samples) = &self.samples else {
            return Ok(());
        };
        let chunks: usize = batch.iter().map(|series| series.chunks().count()).sum();
        let samples = samples.reserve(chunks as u64 * SAMPLES_PER_CHUNK);
        samples.map_err(over("samples"))
    }
}

#[tonic::async_trait]
impl Store for ProxyStore {
    type SeriesStream = BoxStream<'static, Result<SeriesResponse, Status>>;

    /// The frames of [`ProxyServer`], read again: for callers in this process.
    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let frames = self.answer(request)?;
        let decoded = frames.map(|frame| frame.map(Answer::decoded));
        Ok(Response::new(decoded.boxed()))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let (names, warnings) = self
            .proxy
            .label_names(request.into_inner(), &options)
            .await?;
        Ok(Response::new(LabelNamesResponse {
            names,
            warnings,
            hints: None,
        }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let (values, warnings) = self
            .proxy
            .label_values(request.into_inner(), &options)
            .await?;
        Ok(Response::new(LabelValuesResponse {
            values,
            warnings,
            hints: None,
        }))
    }
}

impl ProxyStore {
    /// Reads a call of gRPC.
    async fn ask(&self, request: http::Request<Body>) -> Result<Answers, Status> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MOST_IN_REQUEST).collect().await;
        let body = body.map_err(|error| Status::out_of_range(error.to_string()))?;
        let request = wire::request(&body.to_bytes())?;
        let metadata = MetadataMap::from_headers(head.headers);
        self.answer(Request::from_parts(metadata, head.extensions, request))
    }

    fn answer(&self, request: Request<SeriesRequest>) -> Result<Answers, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let request = request.into_inner();
        let size = usize::try_from(request.response_batch_size).unwrap_or(0);
        let merged = self.proxy.series(request, &options)?;
        let left = Left::new(&self.limits);
        let items = stream::try_unfold((merged, left), move |(mut merged, left)| async move {
            let Some(item) = next(&mut merged, size).await? else {
                return Ok(None);
            };
            left.take(&item)?;
            Ok(Some((item, (merged, left))))
        });
        if size > 1 {
            return Ok(items.map_ok(Answer::from).boxed());
        }
        let singles = items.map_ok(|item| stream::iter(singles(item).into_iter().map(Ok)));
        Ok(singles.try_flatten().boxed())
    }
}

async fn next(merged: &mut Merged, size: usize) -> Result<Option<Item>, Status> {
    let most = match size {
        0 | 1 => SINGLES,
        size => size.min(MOST_IN_FRAME),
    };
    merged.next(most, FRAME_BYTES).await
}

impl From<Item> for Answer {
    fn from(item: Item) -> Self {
        match item {
            Item::Batch(batch) => Self::Batch(batch),
            Item::Warning(text) => Self::Warning(text),
        }
    }
}

/// Frames of a single series, in the form that every client understands.
fn singles(item: Item) -> Vec<Answer> {
    match item {
        Item::Batch(batch) => batch.fields().map(Answer::Series).collect(),
        Item::Warning(text) => vec![Answer::Warning(text)],
    }
}

/// The Info service of a proxy.
#[derive(Clone, Debug)]
pub struct ProxyInfo(Arc<Proxy>);

#[tonic::async_trait]
impl Info for ProxyInfo {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.0.store_info();
        Ok(Response::new(InfoResponse {
            label_sets: store
                .tsdb_infos
                .iter()
                .filter_map(|info| info.labels.clone())
                .collect(),
            component_type: self.0.config.component.clone(),
            store: Some(store),
            rules: Some(RulesInfo {}),
            targets: Some(TargetsInfo {}),
            metric_metadata: Some(MetricMetadataInfo {}),
            exemplars: Some(ExemplarsInfo {
                min_time: i64::MIN,
                max_time: i64::MAX,
            }),
            status: Some(StatusInfo {}),
            query: Some(QueryApiInfo {}),
        }))
    }
}

impl Proxy {
    /// One entry per label set behind the proxy, with the time that its stores cover together. A store
    /// without label sets counts in the whole range only.
    fn store_info(&self) -> StoreInfo {
        let stores: Vec<_> = self
            .stores
            .queryable()
            .iter()
            .map(|e| e.metadata())
            .collect();
        let mut sets: BTreeMap<Vec<(String, String)>, (i64, i64)> = BTreeMap::new();
        for store in &stores {
            for set in &store.label_sets {
                let mut set = set.clone();
                labels::overlay(&mut set, self.selector_labels());
                let key = set
                    .into_iter()
                    .map(|label| (label.name, label.value))
                    .collect();
                let range = sets.entry(key).or_insert((i64::MAX, i64::MIN));
                *range = (range.0.min(store.min_time), range.1.max(store.max_time));
            }
        }
        StoreInfo {
            min_time: stores
                .iter()
                .map(|store| store.min_time)
                .min()
                .unwrap_or(i64::MIN),
            max_time: stores
                .iter()
                .map(|store| store.max_time)
                .max()
                .unwrap_or(i64::MAX),
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: sets.into_iter().map(tsdb_info).collect(),
            supports_projections: false,
        }
    }
}

fn tsdb_info((set, range): (Vec<(String, String)>, (i64, i64))) -> TsdbInfo {
    let labels = set
        .into_iter()
        .map(|(name, value)| label(name, value))
        .collect();
    TsdbInfo {
        labels: Some(LabelSet { labels }),
        min_time: range.0,
        max_time: range.1,
    }
}
