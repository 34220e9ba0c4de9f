//! The services of a sidecar beside StoreAPI: Rules, Targets, Metadata, Exemplars and Status, each one question to
//! Prometheus. Prometheus adds no external labels to what it says of itself, so they are added here.

use proto::thanos::exemplars_server::Exemplars;
use proto::thanos::metadata_server::Metadata;
use proto::thanos::rules_server::Rules;
use proto::thanos::status_server::Status as StatusService;
use proto::thanos::targets_server::Targets;
use proto::thanos::{
    ExemplarsRequest, ExemplarsResponse, LabelSet, MetricMetadataRequest, MetricMetadataResponse,
    RulesRequest, RulesResponse, TargetsRequest, TargetsResponse, TsdbStatistics,
    TsdbStatisticsRequest, TsdbStatisticsResponse, exemplars_response, metric_metadata_response,
    rule, rules_response, targets_response, tsdb_statistics_response,
};
use store::{labels, matchers};
use tonic::{Request, Response, Status};

use super::server::Sidecar;
use crate::frames::{Frames, frames};

impl Sidecar {
    /// Lays the external labels over a set.
    fn overlay(&self, set: &mut Option<LabelSet>) {
        let set = &mut set.get_or_insert_default().labels;
        labels::normalise(set);
        labels::overlay(set, &self.state.external_labels());
    }
}

#[tonic::async_trait]
impl Rules for Sidecar {
    type RulesStream = Frames<RulesResponse>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        let mut groups = self
            .state
            .prometheus
            .rules(request.get_ref().r#type())
            .await?;
        for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
            match &mut rule.result {
                Some(rule::Result::Alert(rule)) => self.overlay(&mut rule.labels),
                Some(rule::Result::Recording(rule)) => self.overlay(&mut rule.labels),
                None => {}
            }
        }
        Ok(frames(groups.into_iter().map(|group| RulesResponse {
            result: Some(rules_response::Result::Group(group)),
        })))
    }
}

#[tonic::async_trait]
impl Targets for Sidecar {
    type TargetsStream = Frames<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let state = request.get_ref().state();
        let mut targets = self.state.prometheus.targets(state).await?;
        for target in &mut targets.active_targets {
            self.overlay(&mut target.discovered_labels);
            self.overlay(&mut target.labels);
        }
        for target in &mut targets.dropped_targets {
            self.overlay(&mut target.discovered_labels);
        }
        Ok(frames([TargetsResponse {
            result: Some(targets_response::Result::Targets(targets)),
        }]))
    }
}

#[tonic::async_trait]
impl Metadata for Sidecar {
    type MetricMetadataStream = Frames<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let request = request.into_inner();
        let prometheus = &self.state.prometheus;
        let metadata = prometheus.metadata(&request.metric, request.limit).await?;
        Ok(frames([MetricMetadataResponse {
            result: Some(metric_metadata_response::Result::Metadata(metadata)),
        }]))
    }
}

#[tonic::async_trait]
impl Exemplars for Sidecar {
    type ExemplarsStream = Frames<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let request = request.into_inner();
        let range = (request.start, request.end);
        let mut all = self
            .state
            .prometheus
            .exemplars(&request.query, range)
            .await?;
        for data in &mut all {
            self.overlay(&mut data.series_labels);
        }
        Ok(frames(all.into_iter().map(|data| ExemplarsResponse {
            result: Some(exemplars_response::Result::Data(data)),
        })))
    }
}

#[tonic::async_trait]
impl StatusService for Sidecar {
    type TSDBStatisticsStream = Frames<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        if !self.state.is_ready() {
            return Err(Status::unavailable("not ready"));
        }
        let request = request.into_inner();
        let external = self.state.external_labels();
        let asked = matchers::from_wire(&request.matchers)?;
        let mine = asked
            .iter()
            .all(|m| m.matches(labels::value(&external, &m.name)));
        let mut statistics = TsdbStatistics::default();
        if mine {
            let entry = self.state.prometheus.statistics(request.limit).await?;
            // One Prometheus has one tenant, without a name.
            statistics.statistics.insert(String::new(), entry);
        }
        Ok(frames([TsdbStatisticsResponse {
            result: Some(tsdb_statistics_response::Result::Statistics(statistics)),
        }]))
    }
}
