//! The API's source in a querier: everything behind its proxy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Cancel, Queryable, Select, SelectError, SeriesStream, Shard};
use promql::Expr;
use proto::thanos::{
    ExemplarData, LabelNamesRequest, LabelValuesRequest, MetricMetadata, MetricMetadataRequest,
    PartialResponseStrategy, RuleGroup, RulesRequest, TargetDiscovery, TargetsRequest,
    TsdbStatistics, TsdbStatisticsRequest,
};
use store::services::{ExemplarSelect, Gathered, QueryCall, QueryWhen};
use store::{CallOptions, Deduplication, EndpointStatus, FanOut, FanOutOptions, Proxy, StoreSet};
use tokio::runtime::Handle;
use tonic::{Code, Status};

use super::remote;
use crate::api::{LabelSelect, Listing, Plan, Scope, Source, When, millis};

/// Everything behind a proxy.
#[derive(Debug)]
pub(super) struct Stores {
    pub(super) set: Arc<StoreSet>,
    pub(super) proxy: Arc<Proxy>,
    /// The most time that one request gets.
    pub(super) timeout: Duration,
    /// How replicas become one.
    pub(super) deduplication: Deduplication,
    /// How queries are divided among queriers; `None`: they are evaluated here.
    pub(super) distributed: Option<remote::Mode>,
}

#[async_trait]
impl Source for Stores {
    fn series(&self, mut scope: Scope) -> Box<dyn Queryable> {
        let shard = scope.shard.take();
        let all = self.all(scope);
        match shard {
            Some(shard) => Box::new(Sharded { all, shard }),
            None => Box::new(all),
        }
    }

    fn plan(&self, expr: Expr, when: When, lookback: i64, timeout: Duration, scope: Scope) -> Plan {
        let here = |expr, source| Plan {
            expr,
            source,
            parts: Vec::new(),
        };
        // The protocol knows whole seconds only.
        let can_be_said = scope.shard.is_none() && lookback % 1000 == 0;
        let Some(mode) = self.distributed.as_ref().filter(|_| can_be_said) else {
            return here(expr, self.series(scope));
        };
        let call = QueryCall {
            query: String::new(),
            when: QueryWhen::Instant(0),
            timeout: millis(timeout) / 1000 + 1,
            max_resolution: scope.max_resolution / 1000,
            lookback: lookback / 1000,
            replica_labels: scope.replica_labels.clone(),
            partial_response: scope.partial_response,
        };
        let all = self.all(scope);
        match mode.divide(&self.proxy, &expr, when, call, &all) {
            Some((expr, places)) => Plan {
                expr,
                parts: places.parts.clone(),
                source: Box::new(places),
            },
            None => here(expr, Box::new(all)),
        }
    }

    async fn label_names(&self, scope: Scope, select: LabelSelect) -> Result<Listing, SelectError> {
        let request = LabelNamesRequest {
            partial_response_disabled: !scope.partial_response,
            partial_response_strategy: strategy(&scope),
            start: select.start,
            end: select.end,
            matchers: store::matchers::to_wire(&select.matchers),
            limit: limit(select.limit),
            ..LabelNamesRequest::default()
        };
        let answer = self.proxy.label_names(request, &scope.call).await;
        listing("LabelNames", answer)
    }

    async fn label_values(
        &self,
        name: &str,
        scope: Scope,
        select: LabelSelect,
    ) -> Result<Listing, SelectError> {
        let request = LabelValuesRequest {
            label: name.to_owned(),
            partial_response_disabled: !scope.partial_response,
            partial_response_strategy: strategy(&scope),
            start: select.start,
            end: select.end,
            matchers: store::matchers::to_wire(&select.matchers),
            limit: limit(select.limit),
            ..LabelValuesRequest::default()
        };
        let answer = self.proxy.label_values(request, &scope.call).await;
        listing("LabelValues", answer)
    }

    fn stores(&self) -> Vec<EndpointStatus> {
        self.set.statuses()
    }

    async fn rules(
        &self,
        request: RulesRequest,
        call: &CallOptions,
    ) -> Result<Gathered<RuleGroup>, Status> {
        self.proxy.rules(request, call).await
    }

    async fn targets(
        &self,
        request: TargetsRequest,
        call: &CallOptions,
    ) -> Result<Gathered<TargetDiscovery>, Status> {
        self.proxy.targets(request, call).await
    }

    async fn metadata(
        &self,
        request: MetricMetadataRequest,
        call: &CallOptions,
    ) -> Result<Gathered<MetricMetadata>, Status> {
        self.proxy.metric_metadata(request, call).await
    }

    async fn exemplars(
        &self,
        select: ExemplarSelect,
        call: &CallOptions,
    ) -> Result<Gathered<ExemplarData>, Status> {
        self.proxy.exemplars(&select, call).await
    }

    async fn statistics(
        &self,
        request: TsdbStatisticsRequest,
        call: &CallOptions,
    ) -> Result<Gathered<TsdbStatistics>, Status> {
        self.proxy.statistics(request, call).await
    }
}

impl Stores {
    /// Everything, whatever the shard.
    fn all(&self, scope: Scope) -> FanOut {
        let options = FanOutOptions {
            partial_response: scope.partial_response,
            replica_labels: scope.replica_labels,
            max_resolution: scope.max_resolution,
            timeout: Some(self.timeout),
            deduplication: self.deduplication,
            call: scope.call,
        };
        FanOut::new(self.proxy.clone(), Handle::current(), options)
    }
}

/// The part of all series that a query-frontend asks one of its queriers for.
struct Sharded {
    all: FanOut,
    shard: Shard,
}

impl Queryable for Sharded {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        let select = Select {
            shard: Some(self.shard.clone()),
            ..select.clone()
        };
        self.all.select(&select, cancel)
    }

    fn start_matters(&self) -> bool {
        self.all.start_matters()
    }
}

fn strategy(scope: &Scope) -> i32 {
    let strategy = if scope.partial_response {
        PartialResponseStrategy::Warn
    } else {
        PartialResponseStrategy::Abort
    };
    strategy.into()
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

type Answer = Result<(Vec<String>, Vec<String>), Status>;

fn listing(call: &str, answer: Answer) -> Result<Listing, SelectError> {
    match answer {
        Ok((values, warnings)) => Ok(Listing { values, warnings }),
        Err(status) if status.code() == Code::InvalidArgument => Err(SelectError::Rejected(
            format!("proxy {call}(): {}", status.message()),
        )),
        Err(status) => Err(SelectError::Source(format!(
            "proxy {call}(): {}",
            status.message()
        ))),
    }
}
