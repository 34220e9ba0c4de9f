//! A querier is a StoreAPI too: its Store and Info services, over a [`Proxy`].

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use proto::info::info_server::{Info, InfoServer};
use proto::info::{
    ExemplarsInfo, InfoRequest, InfoResponse, MetricMetadataInfo, QueryApiInfo, RulesInfo,
    StatusInfo, StoreInfo, TargetsInfo, TsdbInfo,
};
use proto::thanos::store_server::{Store, StoreServer};
use proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelSet, LabelValuesRequest, LabelValuesResponse,
    Series, SeriesRequest, SeriesResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::bucket::{LimitError, Limiter, Limits, SAMPLES_PER_CHUNK};
use crate::endpoint::MAX_MESSAGE;
use crate::frames::Frames;
use crate::labels::{self, label};
use crate::merge::{Item, Merged};
use crate::proxy::{CallOptions, Proxy};

/// Frames that wait for the client.
const FRAMES: usize = 4;

/// Series, LabelNames and LabelValues of everything behind `proxy`, each Series call within `limits`.
#[must_use]
pub fn store_server(proxy: Arc<Proxy>, limits: Limits) -> StoreServer<ProxyStore> {
    StoreServer::new(ProxyStore { proxy, limits })
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

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
    samples: Limiter,
}

impl Left {
    fn new(limits: &Limits) -> Self {
        Self {
            series: Limiter::new(limits.request_series, Counter::default()),
            samples: Limiter::new(limits.request_samples, Counter::default()),
        }
    }

    fn take(&self, series: &Series) -> Result<(), Status> {
        let over = |what: &'static str| {
            move |error: LimitError| {
                Status::resource_exhausted(format!("failed to send {what}: {error}"))
            }
        };
        let samples = series.chunks.len() as u64 * SAMPLES_PER_CHUNK;
        self.series.reserve(1).map_err(over("series"))?;
        self.samples.reserve(samples).map_err(over("samples"))
    }
}

#[tonic::async_trait]
impl Store for ProxyStore {
    type SeriesStream = ReceiverStream<Result<SeriesResponse, Status>>;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let request = request.into_inner();
        let frames = Frames::new(request.response_batch_size);
        let merged = self.proxy.series(request, &options)?;
        let left = Left::new(&self.limits);
        let (sender, receiver) = mpsc::channel(FRAMES);
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = forward(merged, left, frames, &sender) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
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

type Frame = Result<SeriesResponse, Status>;

async fn forward(mut merged: Merged, left: Left, mut frames: Frames, out: &mpsc::Sender<Frame>) {
    loop {
        let (ready, over) = match merged.next().await {
            Ok(Some(Item::Series(series))) => match left.take(&series) {
                Ok(()) => ([frames.push(series).map(Ok), None], false),
                Err(status) => ([None, Some(Err(status))], true),
            },
            Ok(Some(Item::Warning(text))) => (
                [frames.flush().map(Ok), Some(Ok(Frames::warning(text)))],
                false,
            ),
            Ok(None) => ([frames.flush().map(Ok), None], true),
            Err(status) => ([None, Some(Err(status))], true),
        };
        for frame in ready.into_iter().flatten() {
            if out.send(frame).await.is_err() {
                return;
            }
        }
        if over {
            return;
        }
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
