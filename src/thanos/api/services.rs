//! `rules`, `alerts`, `targets`, `metadata`, `query_exemplars`, `status/tsdb`: what the endpoints say of themselves,
//! put together, in the JSON of Prometheus with the keys that Thanos adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use model::Matcher;
use promql::number::format_plain;
use proto::thanos::{
    ActiveTarget, Alert, AlertInstance, AlertState, DroppedTarget, Exemplar, ExemplarData,
    LabelSet, Meta, MetricMetadataRequest, PartialResponseStrategy, RecordingRule, Rule, RuleGroup,
    RulesRequest, Statistic, TargetHealth, TargetsRequest, TsdbStatisticsEntry,
    TsdbStatisticsRequest, rule, rules_request, targets_request,
};
use serde::{Serialize, Serializer};
use store::services::{
    ExemplarSelect, RuleFilter, merge_exemplars, merge_metadata, merge_rules, merge_statistics,
    merge_targets,
};
use tonic::Status;

use super::error::{ApiError, ErrorType};
use super::metadata::FOREVER;
use super::params::Params;
use super::tree::{Places, tree};
use super::{Api, json, stores};

/// Entries of each list of `status/tsdb` when the request does not say.
const STATISTICS: i32 = 10;

/// `GET /api/v1/rules`.
pub(super) async fn rules(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let kind = match params.get("type").to_ascii_lowercase().as_str() {
        "" | "all" => rules_request::Type::All,
        "alert" => rules_request::Type::Alert,
        "record" => rules_request::Type::Record,
        _ => {
            let kind = params.get("type");
            let message = format!("invalid rules parameter type='{kind}'");
            return Err(ApiError::bad_data(message));
        }
    };
    let (groups, warnings) = api.rules(kind, &params).await?;
    let groups: Vec<_> = groups.iter().map(GroupJson).collect();
    Ok(json::success(
        &BTreeMap::from([("groups", groups)]),
        warnings,
    ))
}

/// `GET /api/v1/alerts`.
pub(super) async fn alerts(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let (groups, warnings) = api.rules(rules_request::Type::Alert, &params).await?;
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts: Vec<_> = rules
        .filter_map(|rule| match &rule.result {
            Some(rule::Result::Alert(alert)) => Some(alert.alerts.iter().map(InstanceJson)),
            _ => None,
        })
        .flatten()
        .collect();
    // As Thanos says it: none is null.
    let alerts = (!alerts.is_empty()).then_some(alerts);
    Ok(json::success(
        &BTreeMap::from([("alerts", alerts)]),
        warnings,
    ))
}

/// `GET /api/v1/targets`.
pub(super) async fn targets(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let state = match params.get("state").to_ascii_lowercase().as_str() {
        "" | "any" => targets_request::State::Any,
        "active" => targets_request::State::Active,
        "dropped" => targets_request::State::Dropped,
        _ => {
            let state = params.get("state");
            let message = format!("invalid targets parameter state='{state}'");
            return Err(ApiError::bad_data(message));
        }
    };
    let request = TargetsRequest {
        state: state.into(),
        partial_response_strategy: api.strategy(),
    };
    let caller = api.caller(&params)?;
    let gathered = api.source.targets(request, &caller.options).await;
    let gathered = gathered.map_err(failed("retrieving targets: proxy Targets"))?;
    let mut targets = merge_targets(gathered.items, &api.settings.replica_labels);
    let (active, dropped) = (&mut targets.active_targets, &mut targets.dropped_targets);
    active.retain(|target| caller.sees(pairs(target.labels.as_ref())));
    dropped.retain(|target| caller.sees(pairs(target.discovered_labels.as_ref())));
    let data = TargetsJson {
        active_targets: targets.active_targets.iter().map(ActiveJson).collect(),
        dropped_targets: targets.dropped_targets.iter().map(DroppedJson).collect(),
    };
    Ok(json::success(&data, gathered.warnings))
}

/// `GET /api/v1/metadata`.
pub(super) async fn metric_metadata(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.get("limit") {
        "" => -1,
        text => text
            .parse()
            .map_err(|_| ApiError::bad_data(format!("invalid metric metadata limit='{text}'")))?,
    };
    let request = MetricMetadataRequest {
        metric: params.get("metric").to_owned(),
        limit,
        partial_response_strategy: api.strategy(),
    };
    let caller = api.caller(&params)?;
    let gathered = api.source.metadata(request, &caller.options).await;
    let gathered = gathered.map_err(failed("retrieving metadata: proxy MetricMetadata"))?;
    let merged = merge_metadata(gathered.items, limit);
    let mut data: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, metas) in &merged {
        data.insert(name, metas.iter().map(MetaJson::from).collect());
    }
    Ok(json::success(&data, gathered.warnings))
}

/// `GET|POST /api/v1/query_exemplars`.
pub(super) async fn exemplars(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let (start, end) = params.metadata_range(FOREVER)?;
    let caller = api.caller(&params)?;
    let mut expr = api.parse(params.query()?)?;
    caller.restrict_all(&mut expr);
    let select = ExemplarSelect {
        selectors: expr.selectors(),
        start,
        end,
        strategy: api.strategy(),
    };
    if select.selectors.is_empty() {
        return Ok(json::success(&[(); 0], Vec::new()));
    }
    let gathered = api.source.exemplars(select, &caller.options).await;
    let gathered = gathered.map_err(failed("retrieving exemplars: proxy Exemplars"))?;
    let data = merge_exemplars(gathered.items, &api.settings.replica_labels);
    let data: Vec<_> = data.iter().map(SeriesExemplarsJson).collect();
    Ok(json::success(&data, gathered.warnings))
}

/// `GET /api/v1/status/tsdb`.
pub(super) async fn tsdb(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.limit()? {
        0 => STATISTICS,
        limit => i32::try_from(limit)
            .map_err(|_| ApiError::bad_data(format!("limit {limit} overflows int32")))?,
    };
    let caller = api.caller(&params)?;
    let matchers = caller.selectors(&params)?.concat();
    let request = TsdbStatisticsRequest {
        limit,
        partial_response_strategy: api.strategy(),
        matchers: store::matchers::to_wire(&matchers),
        ..TsdbStatisticsRequest::default()
    };
    let gathered = api.source.statistics(request, &caller.options).await;
    let gathered = gathered.map_err(failed("retrieving tsdb statistics: proxy TSDBStatistics"))?;
    let merged = merge_statistics(gathered.items);
    let data = TsdbJson::new(&merged, usize::try_from(limit).unwrap_or_default());
    Ok(json::success(&data, gathered.warnings))
}

/// `GET|POST /api/v1/format_query`.
pub(super) async fn format_query(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let expr = api.parse(params.query()?)?;
    Ok(json::success(&promql::parser::prettify(&expr), Vec::new()))
}

/// `GET|POST /api/v1/parse_query`.
pub(super) async fn parse_query(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let expr = api.parse(params.query()?)?;
    Ok(json::success(&tree(&expr, Places::Left), Vec::new()))
}

/// A failure as the querier words it.
fn failed(doing: &'static str) -> impl Fn(Status) -> ApiError {
    move |status| {
        let message = format!("{doing}: {}", status.message());
        ApiError::new(ErrorType::Internal, message)
    }
}

impl Api {
    fn strategy(&self) -> i32 {
        let strategy = if self.settings.partial_response {
            PartialResponseStrategy::Warn
        } else {
            PartialResponseStrategy::Abort
        };
        strategy.into()
    }

    async fn rules(
        &self,
        kind: rules_request::Type,
        params: &Params,
    ) -> Result<(Vec<RuleGroup>, Vec<String>), ApiError> {
        let all = |name| params.all(name).map(str::to_owned).collect::<Vec<_>>();
        let caller = self.caller(params)?;
        let filter = RuleFilter {
            matchers: caller.selectors(params)?,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
        };
        let request = RulesRequest {
            r#type: kind.into(),
            partial_response_strategy: self.strategy(),
            matcher_string: filter.matchers.iter().map(|set| selector(set)).collect(),
            rule_name: filter.names.clone(),
            rule_group: filter.groups.clone(),
            file: filter.files.clone(),
        };
        let gathered = self.source.rules(request, &caller.options).await;
        let gathered = gathered.map_err(failed("error retrieving rules: proxy Rules"))?;
        let groups = merge_rules(gathered.items, &filter, &self.settings.replica_labels);
        Ok((groups, gathered.warnings))
    }
}

fn labels(set: Option<&LabelSet>) -> BTreeMap<&str, &str> {
    pairs(set).collect()
}

fn pairs(set: Option<&LabelSet>) -> impl Iterator<Item = (&str, &str)> {
    let labels = set.into_iter().flat_map(|set| &set.labels);
    labels.map(|label| (&*label.name, &*label.value))
}

/// A set of matchers as a selector.
fn selector(matchers: &[Matcher]) -> String {
    let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", matchers.join(","))
}

/// RFC 3339; a time that is not known is Go's zero.
fn time(time: Option<prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    time.map_or_else(|| stores::NEVER.to_owned(), |time| time.to_string())
}

/// A number as Go writes it: whole ones without a fraction.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

fn strategy(value: i32) -> &'static str {
    PartialResponseStrategy::try_from(value)
        .unwrap_or_default()
        .as_str_name()
}

fn state(value: i32) -> String {
    let state = AlertState::try_from(value).unwrap_or_default();
    state.as_str_name().to_ascii_lowercase()
}

struct GroupJson<'a>(&'a RuleGroup);

impl Serialize for GroupJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            name: &'a str,
            file: &'a str,
            rules: Vec<RuleJson<'a>>,
            interval: Number,
            evaluation_time: Number,
            last_evaluation: String,
            limit: i64,
            partial_response_strategy: &'static str,
        }
        let group = self.0;
        Fields {
            name: &group.name,
            file: &group.file,
            rules: group.rules.iter().map(RuleJson).collect(),
            interval: Number(group.interval),
            evaluation_time: Number(group.evaluation_duration_seconds),
            last_evaluation: time(group.last_evaluation),
            limit: group.limit,
            partial_response_strategy: strategy(group.partial_response_strategy),
        }
        .serialize(serializer)
    }
}

struct RuleJson<'a>(&'a Rule);

impl Serialize for RuleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.result {
            Some(rule::Result::Recording(rule)) => RecordingJson::from(rule).serialize(serializer),
            Some(rule::Result::Alert(rule)) => AlertJson::from(rule).serialize(serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordingJson<'a> {
    name: &'a str,
    query: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    health: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    evaluation_time: Number,
    last_evaluation: String,
    r#type: &'static str,
}

impl<'a> From<&'a RecordingRule> for RecordingJson<'a> {
    fn from(rule: &'a RecordingRule) -> Self {
        Self {
            name: &rule.name,
            query: &rule.query,
            labels: labels(rule.labels.as_ref()),
            health: &rule.health,
            last_error: &rule.last_error,
            evaluation_time: Number(rule.evaluation_duration_seconds),
            last_evaluation: time(rule.last_evaluation),
            r#type: "recording",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    state: String,
    name: &'a str,
    query: &'a str,
    duration: Number,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    alerts: Vec<InstanceJson<'a>>,
    health: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    evaluation_time: Number,
    last_evaluation: String,
    keep_firing_for: Number,
    r#type: &'static str,
}

impl<'a> From<&'a Alert> for AlertJson<'a> {
    fn from(rule: &'a Alert) -> Self {
        Self {
            state: state(rule.state),
            name: &rule.name,
            query: &rule.query,
            duration: Number(rule.duration_seconds),
            labels: labels(rule.labels.as_ref()),
            annotations: labels(rule.annotations.as_ref()),
            alerts: rule.alerts.iter().map(InstanceJson).collect(),
            health: &rule.health,
            last_error: &rule.last_error,
            evaluation_time: Number(rule.evaluation_duration_seconds),
            last_evaluation: time(rule.last_evaluation),
            keep_firing_for: Number(rule.keep_firing_for_seconds),
            r#type: "alerting",
        }
    }
}

struct InstanceJson<'a>(&'a AlertInstance);

impl Serialize for InstanceJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            labels: BTreeMap<&'a str, &'a str>,
            annotations: BTreeMap<&'a str, &'a str>,
            state: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            active_at: Option<String>,
            value: &'a str,
            partial_response_strategy: &'static str,
        }
        let instance = self.0;
        Fields {
            labels: labels(instance.labels.as_ref()),
            annotations: labels(instance.annotations.as_ref()),
            state: state(instance.state),
            active_at: instance.active_at.map(|at| time(Some(at))),
            value: &instance.value,
            partial_response_strategy: strategy(instance.partial_response_strategy),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetsJson<'a> {
    active_targets: Vec<ActiveJson<'a>>,
    dropped_targets: Vec<DroppedJson<'a>>,
}

struct ActiveJson<'a>(&'a ActiveTarget);

impl Serialize for ActiveJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            discovered_labels: BTreeMap<&'a str, &'a str>,
            labels: BTreeMap<&'a str, &'a str>,
            scrape_pool: &'a str,
            scrape_url: &'a str,
            global_url: &'a str,
            last_error: &'a str,
            last_scrape: String,
            last_scrape_duration: Number,
            health: &'static str,
        }
        let target = self.0;
        Fields {
            discovered_labels: labels(target.discovered_labels.as_ref()),
            labels: labels(target.labels.as_ref()),
            scrape_pool: &target.scrape_pool,
            scrape_url: &target.scrape_url,
            global_url: &target.global_url,
            last_error: &target.last_error,
            last_scrape: time(target.last_scrape),
            last_scrape_duration: Number(target.last_scrape_duration),
            health: match target.health() {
                TargetHealth::Up => "up",
                TargetHealth::Down => "down",
                TargetHealth::HealthUnknown => "unknown",
            },
        }
        .serialize(serializer)
    }
}

struct DroppedJson<'a>(&'a DroppedTarget);

impl Serialize for DroppedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let labels = labels(self.0.discovered_labels.as_ref());
        BTreeMap::from([("discoveredLabels", labels)]).serialize(serializer)
    }
}

#[derive(Serialize)]
struct MetaJson<'a> {
    r#type: &'a str,
    help: &'a str,
    unit: &'a str,
}

impl<'a> From<&'a Meta> for MetaJson<'a> {
    fn from(meta: &'a Meta) -> Self {
        Self {
            r#type: &meta.r#type,
            help: &meta.help,
            unit: &meta.unit,
        }
    }
}

struct SeriesExemplarsJson<'a>(&'a ExemplarData);

impl Serialize for SeriesExemplarsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            series_labels: BTreeMap<&'a str, &'a str>,
            exemplars: Vec<ExemplarJson<'a>>,
        }
        Fields {
            series_labels: labels(self.0.series_labels.as_ref()),
            exemplars: self.0.exemplars.iter().map(ExemplarJson::from).collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct ExemplarJson<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    /// Seconds.
    timestamp: Number,
    value: String,
}

impl<'a> From<&'a Exemplar> for ExemplarJson<'a> {
    fn from(exemplar: &'a Exemplar) -> Self {
        Self {
            labels: labels(exemplar.labels.as_ref()),
            timestamp: Number(exemplar.ts as f64 / 1e3),
            value: format_plain(exemplar.value),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbJson<'a> {
    head_stats: HeadJson,
    series_count_by_metric_name: Vec<StatisticJson<'a>>,
    label_value_count_by_label_name: Vec<StatisticJson<'a>>,
    memory_in_bytes_by_label_name: Vec<StatisticJson<'a>>,
    series_count_by_label_value_pair: Vec<StatisticJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadJson {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
struct StatisticJson<'a> {
    name: &'a str,
    value: u64,
}

impl<'a> TsdbJson<'a> {
    fn new(entry: &'a TsdbStatisticsEntry, limit: usize) -> Self {
        let head = entry.head_statistics.unwrap_or_default();
        let list = |list: &'a [Statistic]| {
            let json = |one: &'a Statistic| StatisticJson {
                name: &one.name,
                value: one.value,
            };
            list.iter().take(limit).map(json).collect()
        };
        Self {
            head_stats: HeadJson {
                num_series: head.num_series,
                num_label_pairs: head.num_label_pairs,
                chunk_count: head.chunk_count,
                min_time: head.min_time,
                max_time: head.max_time,
            },
            series_count_by_metric_name: list(&entry.series_count_by_metric_name),
            label_value_count_by_label_name: list(&entry.label_value_count_by_label_name),
            memory_in_bytes_by_label_name: list(&entry.memory_in_bytes_by_label_name),
            series_count_by_label_value_pair: list(&entry.series_count_by_label_value_pair),
        }
    }
}
