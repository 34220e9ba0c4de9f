//! Queries at the endpoints that evaluate PromQL themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Matcher;
use proto::prometheus::TimeSeries;
use proto::thanos::query_client::QueryClient;
use proto::thanos::{
    QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, query_range_response,
    query_response,
};

use super::{Frame, Gathered, Service};
use crate::endpoint::{Endpoint, MAX_MESSAGE};
use crate::proxy::{CallOptions, Proxy};

/// What is asked of an endpoint; times in whole seconds, as the protocol has them.
#[derive(Clone, Debug)]
pub struct QueryCall {
    pub query: String,
    pub when: QueryWhen,
    pub timeout: i64,
    pub max_resolution: i64,
    pub lookback: i64,
    pub replica_labels: Vec<String>,
    pub partial_response: bool,
}

/// When it is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryWhen {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// An endpoint that evaluates queries.
#[derive(Clone, Debug)]
pub struct Place(Arc<Endpoint>);

impl Place {
    /// The names of the labels that its series have besides their own.
    #[must_use]
    pub fn label_names(&self) -> BTreeSet<String> {
        let sets = self.0.metadata().label_sets.into_iter().flatten();
        sets.map(|label| label.name).collect()
    }

    /// Whether it may have series for `matchers`.
    #[must_use]
    pub fn may_have(&self, matchers: &[Matcher]) -> bool {
        self.0.may_have(matchers)
    }
}

const INSTANT: Service<QueryResponse, Vec<TimeSeries>> = Service {
    name: "remote query",
    offered: |offers| offers.queries,
    read: |frame| match frame.result {
        Some(query_response::Result::Timeseries(series)) => Frame::Item(vec![series]),
        Some(query_response::Result::TimeseriesBatch(batch)) => Frame::Item(batch.series),
        Some(query_response::Result::Warnings(text)) => Frame::Warning(text),
        Some(query_response::Result::Stats(_)) | None => Frame::Empty,
    },
};

const RANGE: Service<QueryRangeResponse, Vec<TimeSeries>> = Service {
    name: "remote query",
    offered: |offers| offers.queries,
    read: |frame| match frame.result {
        Some(query_range_response::Result::Timeseries(series)) => Frame::Item(vec![series]),
        Some(query_range_response::Result::TimeseriesBatch(batch)) => Frame::Item(batch.series),
        Some(query_range_response::Result::Warnings(text)) => Frame::Warning(text),
        Some(query_range_response::Result::Stats(_)) | None => Frame::Empty,
    },
};

/// Series in one frame, as it is asked for.
const BATCH: i64 = 64;

impl Proxy {
    /// The endpoints that evaluate queries; `None` when others have series too, which they would not see.
    #[must_use]
    pub fn places(&self) -> Option<Vec<Place>> {
        let places = self.stores.offering(|offers| offers.queries);
        let stores = self.stores.queryable();
        let is_place = |store: &Arc<Endpoint>| places.iter().any(|place| Arc::ptr_eq(place, store));
        let nothing_else = !places.is_empty() && stores.iter().all(is_place);
        nothing_else.then(|| places.into_iter().map(Place).collect())
    }

    /// The series that a query gives at a place, batch by batch.
    ///
    /// # Errors
    /// What went wrong, with the place.
    pub async fn query_at(
        &self,
        place: &Place,
        call: QueryCall,
        options: &CallOptions,
    ) -> Result<Gathered<Vec<TimeSeries>>, String> {
        let endpoint = &place.0;
        let mut client = QueryClient::new(endpoint.channel())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        match call.when {
            QueryWhen::Instant(time) => {
                let request = self.unary(call.instant(time), options);
                self.frames(&INSTANT, endpoint, client.query(request)).await
            }
            QueryWhen::Range { start, end, step } => {
                let request = self.unary(call.range(start, end, step), options);
                let asked = client.query_range(request);
                self.frames(&RANGE, endpoint, asked).await
            }
        }
    }
}

impl QueryCall {
    fn instant(self, time_seconds: i64) -> QueryRequest {
        QueryRequest {
            query: self.query,
            time_seconds,
            timeout_seconds: self.timeout,
            max_resolution_seconds: self.max_resolution,
            enable_dedup: !self.replica_labels.is_empty(),
            replica_labels: self.replica_labels,
            enable_partial_response: self.partial_response,
            lookback_delta_seconds: self.lookback,
            response_batch_size: BATCH,
            ..QueryRequest::default()
        }
    }

    fn range(self, start: i64, end: i64, step: i64) -> QueryRangeRequest {
        QueryRangeRequest {
            query: self.query,
            start_time_seconds: start,
            end_time_seconds: end,
            interval_seconds: step,
            timeout_seconds: self.timeout,
            max_resolution_seconds: self.max_resolution,
            enable_dedup: !self.replica_labels.is_empty(),
            replica_labels: self.replica_labels,
            enable_partial_response: self.partial_response,
            lookback_delta_seconds: self.lookback,
            response_batch_size: BATCH,
            ..QueryRangeRequest::default()
        }
    }
}
