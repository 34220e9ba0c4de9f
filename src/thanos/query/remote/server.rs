//! The service: queries of other queriers, evaluated here.

use std::sync::Arc;
use std::time::Duration;

use model::Shard;
use promql::Answer;
use proto::prometheus::TimeSeries;
use proto::thanos::query_server::{Query, QueryServer};
use proto::thanos::{
    QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats,
    SeriesOfSamples, ShardInfo, StoreMatchers, query_range_response, query_response,
};
use store::{CallOptions, MAX_MESSAGE, matchers};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::wire;
use crate::api::{Api, ApiError, Asked, Scope, When, millis};
use crate::frames::{Frames, frames};

/// The service over `api`, whose gate its queries pass too.
pub(in crate::query) fn server(api: Arc<Api>) -> QueryServer<Queries> {
    QueryServer::new(Queries(api))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

/// The service.
#[derive(Clone, Debug)]
pub(in crate::query) struct Queries(Arc<Api>);

/// What both kinds of requests have; times in seconds, 0 is the default.
struct Common {
    query: String,
    timeout: i64,
    max_resolution: i64,
    replica_labels: Vec<String>,
    store_matchers: Vec<StoreMatchers>,
    deduplicate: bool,
    partial_response: bool,
    shard: Option<ShardInfo>,
    lookback: i64,
}

impl Common {
    fn asked(self, api: &Api, when: When, metadata: &MetadataMap) -> Result<Asked, Status> {
        let settings = api.settings();
        let sets = self.store_matchers.iter();
        let store_matchers = sets.map(|set| matchers::from_wire(&set.label_matchers));
        let positive = |seconds: i64| Some(seconds.saturating_mul(1000)).filter(|ms| *ms > 0);
        let timeout = u64::try_from(self.timeout)
            .ok()
            .filter(|seconds| *seconds > 0);
        let shard = self.shard.filter(|shard| shard.total_shards > 0);
        let scope = Scope {
            replica_labels: if self.deduplicate {
                self.replica_labels
            } else {
                Vec::new()
            },
            call: CallOptions {
                store_matchers: store_matchers.collect::<Result<_, _>>()?,
                ..CallOptions::from_metadata(metadata)
            },
            partial_response: self.partial_response,
            max_resolution: positive(self.max_resolution)
                .unwrap_or_else(|| millis(settings.instant_resolution)),
            shard: shard.map(|shard| Shard {
                index: u64::try_from(shard.shard_index).unwrap_or_default(),
                total: u64::try_from(shard.total_shards).unwrap_or_default(),
                by: shard.by,
                labels: shard.labels,
            }),
        };
        Ok(Asked {
            expr: api.parse(&self.query).map_err(refused)?,
            when,
            scope,
            lookback: positive(self.lookback),
            timeout: timeout.map_or(settings.timeout, |seconds| {
                settings.timeout.min(Duration::from_secs(seconds))
            }),
        })
    }
}

fn refused(error: ApiError) -> Status {
    Status::aborted(error.message)
}

/// What one of several frames of an answer says.
enum Frame {
    Warnings(String),
    Series(TimeSeries),
    Batch(SeriesOfSamples),
    Stats(QueryStats),
}

/// Warnings first, all in one frame; statistics last.
fn said(answer: &Answer, batch: i64) -> Vec<Frame> {
    let warnings: Vec<&str> = [&answer.warnings, &answer.infos]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let series = wire::series(&answer.value, &answer.symbols);
    let mut said = Vec::with_capacity(series.len() + 2);
    if !warnings.is_empty() {
        said.push(Frame::Warnings(warnings.join(", ")));
    }
    match usize::try_from(batch) {
        Ok(size) if size > 1 => {
            let mut series = series.into_iter().peekable();
            while series.peek().is_some() {
                let series = series.by_ref().take(size).collect();
                said.push(Frame::Batch(SeriesOfSamples { series }));
            }
        }
        _ => said.extend(series.into_iter().map(Frame::Series)),
    }
    said.push(Frame::Stats(QueryStats {
        samples_total: i64::try_from(answer.stats.samples).unwrap_or(i64::MAX),
        peak_samples: i64::try_from(answer.stats.peak_samples).unwrap_or(i64::MAX),
    }));
    said
}

#[tonic::async_trait]
impl Query for Queries {
    type QueryStream = Frames<QueryResponse>;
    type QueryRangeStream = Frames<QueryRangeResponse>;

    async fn query(
        &self,
        request: Request<QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let batch = request.response_batch_size;
        let partial_response = request.enable_partial_response;
        let when = When::Instant(request.time_seconds.saturating_mul(1000));
        let common = Common {
            query: request.query,
            timeout: request.timeout_seconds,
            max_resolution: request.max_resolution_seconds,
            replica_labels: request.replica_labels,
            store_matchers: request.store_matchers,
            deduplicate: request.enable_dedup,
            partial_response,
            shard: request.shard_info,
            lookback: request.lookback_delta_seconds,
        };
        let asked = common.asked(&self.0, when, &metadata)?;
        let said = match self.0.ask(asked).await {
            Ok((answer, _)) => said(&answer, batch),
            // As Thanos does; over a range it fails.
            Err(error) if partial_response => vec![Frame::Warnings(error.message)],
            Err(error) => return Err(refused(error)),
        };
        let frame = |frame| QueryResponse {
            result: Some(match frame {
                Frame::Warnings(text) => query_response::Result::Warnings(text),
                Frame::Series(series) => query_response::Result::Timeseries(series),
                Frame::Batch(batch) => query_response::Result::TimeseriesBatch(batch),
                Frame::Stats(stats) => query_response::Result::Stats(stats),
            }),
        };
        Ok(frames(said.into_iter().map(frame)))
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let batch = request.response_batch_size;
        let when = When::Range {
            start: request.start_time_seconds.saturating_mul(1000),
            end: request.end_time_seconds.saturating_mul(1000),
            step: request.interval_seconds.saturating_mul(1000),
        };
        let common = Common {
            query: request.query,
            timeout: request.timeout_seconds,
            max_resolution: request.max_resolution_seconds,
            replica_labels: request.replica_labels,
            store_matchers: request.store_matchers,
            deduplicate: request.enable_dedup,
            partial_response: request.enable_partial_response,
            shard: request.shard_info,
            lookback: request.lookback_delta_seconds,
        };
        let asked = common.asked(&self.0, when, &metadata)?;
        let (answer, _) = self.0.ask(asked).await.map_err(refused)?;
        let frame = |frame| QueryRangeResponse {
            result: Some(match frame {
                Frame::Warnings(text) => query_range_response::Result::Warnings(text),
                Frame::Series(series) => query_range_response::Result::Timeseries(series),
                Frame::Batch(batch) => query_range_response::Result::TimeseriesBatch(batch),
                Frame::Stats(stats) => query_range_response::Result::Stats(stats),
            }),
        };
        Ok(frames(said(&answer, batch).into_iter().map(frame)))
    }
}
