//! What the API asks: a querier's stores, or anything that answers as they do.

use async_trait::async_trait;
use std::fmt;
use std::time::Duration;

use model::{Matcher, Queryable, SelectError, Shard, Timestamp};
use promql::Expr;
use proto::thanos::{
    ExemplarData, MetricMetadata, MetricMetadataRequest, RuleGroup, RulesRequest, TargetDiscovery,
    TargetsRequest, TsdbStatistics, TsdbStatisticsRequest,
};
use store::services::{ExemplarSelect, Gathered};
use store::{CallOptions, EndpointStatus};
use tonic::Status;

use super::query::When;

/// Which series are seen, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Removed from series, whose samples are then deduplicated; empty: as they are.
    pub replica_labels: Vec<String>,
    /// Who asks, and which stores.
    pub call: CallOptions,
    /// Whether a store that fails is a warning.
    pub partial_response: bool,
    /// The coarsest resolution that may answer, in milliseconds; 0 is raw data.
    pub max_resolution: i64,
    /// Only this part of the series.
    pub shard: Option<Shard>,
}

/// Which series' labels are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelect {
    pub matchers: Vec<Matcher>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// At most this many; 0 is no limit.
    pub limit: usize,
}

/// Sorted names or values, and what went wrong on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub values: Vec<String>,
    pub warnings: Vec<String>,
}

/// How a query is evaluated.
pub struct Plan {
    /// What is evaluated here.
    pub expr: Expr,
    /// Over these series.
    pub source: Box<dyn Queryable>,
    /// What is evaluated elsewhere, for selectors of [`promql::distribute::PART`].
    pub parts: Vec<Expr>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        write!(f, "{} with {parts:?}", self.expr)
    }
}

/// Has series, labels and a list of stores.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The series in this scope; to be read on a compute thread.
    fn series(&self, scope: Scope) -> Box<dyn Queryable>;

    /// What is evaluated for a query, and over which series. `lookback` and `timeout` are those of the query.
    fn plan(
        &self,
        expr: Expr,
        _when: When,
        _lookback: i64,
        _timeout: Duration,
        scope: Scope,
    ) -> Plan {
        Plan {
            expr,
            source: self.series(scope),
            parts: Vec::new(),
        }
    }

    /// Label names of the selected series.
    async fn label_names(&self, scope: Scope, select: LabelSelect) -> Result<Listing, SelectError>;

    /// Values of one label of the selected series.
    async fn label_values(
        &self,
        name: &str,
        scope: Scope,
        select: LabelSelect,
    ) -> Result<Listing, SelectError>;

    /// The stores, as they are now.
    fn stores(&self) -> Vec<EndpointStatus>;

    /// Groups of rules.
    async fn rules(
        &self,
        request: RulesRequest,
        call: &CallOptions,
    ) -> Result<Gathered<RuleGroup>, Status>;

    /// Targets of scrapes.
    async fn targets(
        &self,
        request: TargetsRequest,
        call: &CallOptions,
    ) -> Result<Gathered<TargetDiscovery>, Status>;

    /// Metadata of metrics.
    async fn metadata(
        &self,
        request: MetricMetadataRequest,
        call: &CallOptions,
    ) -> Result<Gathered<MetricMetadata>, Status>;

    /// Exemplars of selected series.
    async fn exemplars(
        &self,
        select: ExemplarSelect,
        call: &CallOptions,
    ) -> Result<Gathered<ExemplarData>, Status>;

    /// Cardinality of what is in memory.
    async fn statistics(
        &self,
        request: TsdbStatisticsRequest,
        call: &CallOptions,
    ) -> Result<Gathered<TsdbStatistics>, Status>;
}
