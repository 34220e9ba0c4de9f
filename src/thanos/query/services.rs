//! The services of a querier beside StoreAPI, so that queriers can be stacked: what its endpoints say, handed on.

use std::sync::Arc;

use proto::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use proto::thanos::metadata_server::{Metadata, MetadataServer};
use proto::thanos::rules_server::{Rules, RulesServer};
use proto::thanos::status_server::{Status as StatusService, StatusServer};
use proto::thanos::targets_server::{Targets, TargetsServer};
use proto::thanos::{
    ExemplarsRequest, ExemplarsResponse, MetricMetadataRequest, MetricMetadataResponse,
    RulesRequest, RulesResponse, TargetsRequest, TargetsResponse, TsdbStatisticsRequest,
    TsdbStatisticsResponse, exemplars_response, metric_metadata_response, rules_response,
    targets_response, tsdb_statistics_response,
};
use store::services::{ExemplarSelect, Gathered};
use store::{CallOptions, Proxy};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::frames::{Frames, frames};

/// All of them, over one proxy.
#[derive(Clone, Debug)]
struct Services(Arc<Proxy>);

/// Adds the services to those of a server.
pub(super) fn add(routes: Routes, proxy: &Arc<Proxy>) -> Routes {
    let services = Services(proxy.clone());
    routes
        .add_service(RulesServer::new(services.clone()))
        .add_service(TargetsServer::new(services.clone()))
        .add_service(MetadataServer::new(services.clone()))
        .add_service(ExemplarsServer::new(services.clone()))
        .add_service(StatusServer::new(services))
}

/// Warnings first, as the proxy of Thanos sends them.
fn hand_on<T, F>(
    gathered: Gathered<T>,
    warning: impl Fn(String) -> F + Send + 'static,
    item: impl Fn(T) -> F + Send + 'static,
) -> Response<Frames<F>>
where
    T: Send + 'static,
    F: Send + 'static,
{
    let warnings = gathered.warnings.into_iter().map(warning);
    frames(warnings.chain(gathered.items.into_iter().map(item)))
}

#[tonic::async_trait]
impl Rules for Services {
    type RulesStream = Frames<RulesResponse>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let gathered = self.0.rules(request.into_inner(), &options).await?;
        let frame = |result| RulesResponse {
            result: Some(result),
        };
        Ok(hand_on(
            gathered,
            move |text| frame(rules_response::Result::Warning(text)),
            move |group| frame(rules_response::Result::Group(group)),
        ))
    }
}

#[tonic::async_trait]
impl Targets for Services {
    type TargetsStream = Frames<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let gathered = self.0.targets(request.into_inner(), &options).await?;
        let frame = |result| TargetsResponse {
            result: Some(result),
        };
        Ok(hand_on(
            gathered,
            move |text| frame(targets_response::Result::Warning(text)),
            move |targets| frame(targets_response::Result::Targets(targets)),
        ))
    }
}

#[tonic::async_trait]
impl Metadata for Services {
    type MetricMetadataStream = Frames<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let request = request.into_inner();
        let gathered = self.0.metric_metadata(request, &options).await?;
        let frame = |result| MetricMetadataResponse {
            result: Some(result),
        };
        Ok(hand_on(
            gathered,
            move |text| frame(metric_metadata_response::Result::Warning(text)),
            move |metadata| frame(metric_metadata_response::Result::Metadata(metadata)),
        ))
    }
}

#[tonic::async_trait]
impl Exemplars for Services {
    type ExemplarsStream = Frames<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let request = request.into_inner();
        let expr = promql::parse(&request.query);
        let expr = expr.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let select = ExemplarSelect {
            selectors: expr.selectors(),
            start: request.start,
            end: request.end,
            strategy: request.partial_response_strategy,
        };
        let gathered = self.0.exemplars(&select, &options).await?;
        let frame = |result| ExemplarsResponse {
            result: Some(result),
        };
        Ok(hand_on(
            gathered,
            move |text| frame(exemplars_response::Result::Warning(text)),
            move |data| frame(exemplars_response::Result::Data(data)),
        ))
    }
}

#[tonic::async_trait]
impl StatusService for Services {
    type TSDBStatisticsStream = Frames<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let options = CallOptions::from_metadata(request.metadata());
        let gathered = self.0.statistics(request.into_inner(), &options).await?;
        let frame = |result| TsdbStatisticsResponse {
            result: Some(result),
        };
        Ok(hand_on(
            gathered,
            move |text| frame(tsdb_statistics_response::Result::Warning(text)),
            move |statistics| frame(tsdb_statistics_response::Result::Statistics(statistics)),
        ))
    }
}
