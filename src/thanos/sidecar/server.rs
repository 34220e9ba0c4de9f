//! The Store and Info services of a sidecar.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use model::Matcher;
use net::metrics::Registry;
use proto::info::info_server::Info;
use proto::info::{
    ExemplarsInfo, InfoRequest, InfoResponse, MetricMetadataInfo, RulesInfo, StatusInfo, StoreInfo,
    TargetsInfo, TsdbInfo,
};
use proto::thanos::store_server::Store;
use proto::thanos::{
    AggrChunk, Label, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelSet,
    LabelValuesRequest, LabelValuesResponse, Series, SeriesRequest, SeriesResponse,
};
use store::{Frames, labels, matchers, shard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::config::Limits;
use super::limits::Allowances;
use super::read;
use super::state::State;

/// Bytes of chunks after which a series goes on in another frame.
const FRAME_BYTES: usize = 1 << 20;

/// Both services, and those of [`super::services`].
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    pub(super) state: Arc<State>,
    limits: Allowances,
    turns: Arc<Semaphore>,
}

impl Sidecar {
    pub(crate) fn new(state: Arc<State>, limits: Limits, registry: &Registry) -> Self {
        let turns = Arc::new(Semaphore::new(limits.concurrent_requests.max(1)));
        Self {
            state,
            limits: Allowances::new(limits, registry),
            turns,
        }
    }

    /// What is left to ask Prometheus: `None` when the external labels contradict.
    fn matchers(&self, asked: &[LabelMatcher]) -> Result<Option<Vec<Matcher>>, Status> {
        let asked = matchers::from_wire(asked)?;
        Ok(matchers::without_external(
            &self.state.external_labels(),
            &asked,
        ))
    }

    /// All series of a request, sorted. The last step is needed: Prometheus sorts without external labels,
    /// and labels that are taken away or laid over change the order.
    async fn select(
        &self,
        request: SeriesRequest,
        matchers: Vec<Matcher>,
    ) -> Result<Vec<Series>, Status> {
        let range = (
            request.min_time.max(self.state.min_time()),
            request.max_time,
        );
        if range.0 > range.1 {
            return Ok(Vec::new());
        }
        let without = &request.without_replica_labels;
        let mut external = self.state.external_labels();
        labels::remove(&mut external, without);
        let change = |set: &mut Vec<Label>| {
            labels::normalise(set);
            labels::remove(set, without);
            labels::overlay(set, &external);
            shard::contains(request.shard_info.as_ref(), set)
        };
        let mut series = if request.skip_chunks {
            self.label_sets(&matchers, range, request.limit, change)
                .await?
        } else {
            let asked = matchers::to_wire(&matchers);
            read::read(
                &self.state.prometheus,
                range,
                asked,
                &self.limits.one(),
                change,
            )
            .await?
        };
        labels::sort_series(&mut series);
        Ok(series)
    }

    async fn label_sets(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        limit: i64,
        mut change: impl FnMut(&mut Vec<Label>) -> bool,
    ) -> Result<Vec<Series>, Status> {
        let sets = self.state.prometheus.series(matchers, range, limit).await?;
        self.limits.one().series(sets.len())?;
        let mut unique = BTreeSet::new();
        for set in sets {
            let mut set = set
                .into_iter()
                .map(|(name, value)| Label { name, value })
                .collect();
            if change(&mut set) {
                unique.insert(
                    set.into_iter()
                        .map(|l| (l.name, l.value))
                        .collect::<Vec<_>>(),
                );
            }
        }
        let series = |set: Vec<(String, String)>| {
            let labels = set
                .into_iter()
                .map(|(name, value)| Label { name, value })
                .collect();
            Series {
                labels,
                chunks: Vec::new(),
            }
        };
        Ok(unique.into_iter().map(series).collect())
    }
}

type Answer = Pin<Box<dyn Stream<Item = Result<SeriesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Store for Sidecar {
    type SeriesStream = Answer;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let request = request.into_inner();
        let Some(left) = self.matchers(&request.matchers)? else {
            return Ok(Response::new(Box::pin(futures::stream::empty())));
        };
        if left.is_empty() {
            return Err(Status::invalid_argument(
                "no matchers specified (excluding external labels)",
            ));
        }
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Status::unavailable("shutting down"))?;
        let (size, limit) = (request.response_batch_size, request.limit);
        let mut series = self.select(request, left).await?;
        if let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) {
            series.truncate(limit);
        }
        let answer = Framed {
            series: series.into_iter(),
            frames: Frames::new(size),
            ready: VecDeque::new(),
            _turn: turn,
        };
        Ok(Response::new(Box::pin(futures::stream::iter(
            answer.map(Ok),
        ))))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let request = request.into_inner();
        let Some(left) = self.matchers(&request.matchers)? else {
            return Ok(Response::new(LabelNamesResponse::default()));
        };
        let range = (request.start.max(self.state.min_time()), request.end);
        let found = self
            .state
            .prometheus
            .label_names(&left, range, request.limit)
            .await?;
        let mut names: BTreeSet<String> = found.into_iter().collect();
        if !names.is_empty() {
            names.extend(
                self.state
                    .external_labels()
                    .into_iter()
                    .map(|label| label.name),
            );
        }
        names.retain(|name| !request.without_replica_labels.contains(name));
        let names = cut(names, request.limit);
        Ok(Response::new(LabelNamesResponse {
            names,
            ..LabelNamesResponse::default()
        }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let request = request.into_inner();
        if request.label.is_empty() {
            return Err(Status::invalid_argument(
                "label name parameter cannot be empty",
            ));
        }
        let mut values = BTreeSet::new();
        if !request.without_replica_labels.contains(&request.label)
            && let Some(left) = self.matchers(&request.matchers)?
        {
            values = self.values(&request, left).await?;
        }
        let values = cut(values, request.limit);
        Ok(Response::new(LabelValuesResponse {
            values,
            ..LabelValuesResponse::default()
        }))
    }
}

impl Sidecar {
    async fn values(
        &self,
        request: &LabelValuesRequest,
        left: Vec<Matcher>,
    ) -> Result<BTreeSet<String>, Status> {
        let range = (request.start.max(self.state.min_time()), request.end);
        let (prometheus, limit) = (&self.state.prometheus, request.limit);
        let external = self.state.external_labels();
        let value = labels::value(&external, &request.label);
        if value.is_empty() {
            let found = prometheus
                .label_values(&request.label, &left, range, limit)
                .await?;
            return Ok(found.into_iter().collect());
        }
        // Every series has the external label, so one series is enough to have its value.
        let exists = left.is_empty() || !prometheus.series(&left, range, 1).await?.is_empty();
        Ok(exists.then(|| value.to_owned()).into_iter().collect())
    }
}

fn cut(strings: BTreeSet<String>, limit: i64) -> Vec<String> {
    let limit = usize::try_from(limit)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    strings.into_iter().take(limit).collect()
}

/// Sorted series as frames, made one at a time.
struct Framed {
    series: std::vec::IntoIter<Series>,
    frames: Frames,
    ready: VecDeque<SeriesResponse>,
    /// The request counts as one until its answer is sent.
    _turn: OwnedSemaphorePermit,
}

impl Iterator for Framed {
    type Item = SeriesResponse;

    fn next(&mut self) -> Option<SeriesResponse> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let Some(series) = self.series.next() else {
                return self.frames.flush();
            };
            for part in split(series) {
                self.ready.extend(self.frames.push(part));
            }
        }
    }
}

/// A series as parts of about one frame each.
fn split(series: Series) -> Vec<Series> {
    let data = |chunk: &AggrChunk| chunk.raw.as_ref().map_or(0, |raw| raw.data.len());
    if series.chunks.iter().map(data).sum::<usize>() < FRAME_BYTES {
        return vec![series];
    }
    let (mut parts, mut bytes) = (Vec::new(), FRAME_BYTES);
    for chunk in series.chunks {
        if bytes >= FRAME_BYTES {
            parts.push(Series {
                labels: series.labels.clone(),
                chunks: Vec::new(),
            });
            bytes = 0;
        }
        bytes += data(&chunk);
        if let Some(part) = parts.last_mut() {
            part.chunks.push(chunk);
        }
    }
    parts
}

#[tonic::async_trait]
impl Info for Sidecar {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if !self.state.is_ready() {
            return Err(Status::unavailable("Not ready"));
        }
        let labels = LabelSet {
            labels: self.state.external_labels(),
        };
        let (min_time, max_time) = (self.state.min_time(), i64::MAX);
        let tsdb = TsdbInfo {
            labels: Some(labels.clone()),
            min_time,
            max_time,
        };
        Ok(Response::new(InfoResponse {
            label_sets: vec![labels],
            component_type: "sidecar".to_owned(),
            store: Some(StoreInfo {
                min_time,
                max_time,
                supports_sharding: true,
                supports_without_replica_labels: true,
                tsdb_infos: vec![tsdb],
                supports_projections: false,
            }),
            rules: Some(RulesInfo {}),
            targets: Some(TargetsInfo {}),
            metric_metadata: Some(MetricMetadataInfo {}),
            exemplars: Some(ExemplarsInfo {
                min_time: i64::MIN,
                max_time: i64::MAX,
            }),
            status: Some(StatusInfo {}),
            query: None,
        }))
    }
}
