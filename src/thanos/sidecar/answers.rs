//! Answers of Prometheus's HTTP API as the messages of the services beside StoreAPI.

use std::collections::{BTreeMap, HashMap};

use prost_types::Timestamp;
use proto::thanos::{
    ActiveTarget, Alert, AlertInstance, AlertState, DroppedTarget, Exemplar, ExemplarData,
    HeadStatistics, LabelSet, Meta, MetricMetadata, MetricMetadataEntry, PartialResponseStrategy,
    RecordingRule, Rule, RuleGroup, Statistic, TargetDiscovery, TargetHealth, TsdbStatisticsEntry,
    rule,
};
use serde::Deserialize;
use store::labels::label;

type Pairs = BTreeMap<String, String>;

fn set(pairs: Pairs) -> Option<LabelSet> {
    let labels = pairs.into_iter().map(|(name, value)| label(name, value));
    Some(LabelSet {
        labels: labels.collect(),
    })
}

/// RFC 3339; what cannot be read is left out, as a time that is not known.
fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    // Nanoseconds of the wire count forwards from the second, also before 1970.
    let nanos = time.as_nanosecond();
    Some(Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
    })
}

/// `/api/v1/rules`.
#[derive(Deserialize)]
pub(super) struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Group {
    name: String,
    file: String,
    rules: Vec<AnyRule>,
    interval: f64,
    limit: i64,
    evaluation_time: f64,
    last_evaluation: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum AnyRule {
    Alerting(AlertingRule),
    Recording(Recording),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AlertingRule {
    state: String,
    name: String,
    query: String,
    duration: f64,
    keep_firing_for: f64,
    labels: Pairs,
    annotations: Pairs,
    alerts: Vec<Instance>,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    labels: Pairs,
    annotations: Pairs,
    state: String,
    active_at: Option<String>,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Recording {
    name: String,
    query: String,
    labels: Pairs,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
}

/// Prometheus knows no partial answers: its rules are evaluated on everything or fail.
const STRATEGY: PartialResponseStrategy = PartialResponseStrategy::Abort;

fn state(text: &str) -> i32 {
    AlertState::from_str_name(&text.to_uppercase())
        .unwrap_or_default()
        .into()
}

impl From<Groups> for Vec<RuleGroup> {
    fn from(answer: Groups) -> Self {
        let group = |group: Group| RuleGroup {
            name: group.name,
            file: group.file,
            rules: group.rules.into_iter().map(Rule::from).collect(),
            interval: group.interval,
            evaluation_duration_seconds: group.evaluation_time,
            last_evaluation: time(&group.last_evaluation),
            partial_response_strategy: STRATEGY.into(),
            limit: group.limit,
        };
        answer.groups.into_iter().map(group).collect()
    }
}

impl From<AnyRule> for Rule {
    fn from(any: AnyRule) -> Self {
        let result = match any {
            AnyRule::Alerting(rule) => rule::Result::Alert(rule.into()),
            AnyRule::Recording(rule) => rule::Result::Recording(RecordingRule {
                name: rule.name,
                query: rule.query,
                labels: set(rule.labels),
                health: rule.health,
                last_error: rule.last_error,
                evaluation_duration_seconds: rule.evaluation_time,
                last_evaluation: time(&rule.last_evaluation),
            }),
        };
        Self {
            result: Some(result),
        }
    }
}

impl From<AlertingRule> for Alert {
    fn from(rule: AlertingRule) -> Self {
        let instance = |instance: Instance| AlertInstance {
            labels: set(instance.labels),
            annotations: set(instance.annotations),
            state: state(&instance.state),
            active_at: instance.active_at.as_deref().and_then(time),
            value: instance.value,
            partial_response_strategy: PartialResponseStrategy::Warn.into(),
        };
        Self {
            state: state(&rule.state),
            name: rule.name,
            query: rule.query,
            duration_seconds: rule.duration,
            labels: set(rule.labels),
            annotations: set(rule.annotations),
            alerts: rule.alerts.into_iter().map(instance).collect(),
            health: rule.health,
            last_error: rule.last_error,
            evaluation_duration_seconds: rule.evaluation_time,
            last_evaluation: time(&rule.last_evaluation),
            keep_firing_for_seconds: rule.keep_firing_for,
        }
    }
}

/// `/api/v1/targets`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Targets {
    #[serde(default)]
    active_targets: Vec<Active>,
    #[serde(default)]
    dropped_targets: Vec<Dropped>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Active {
    discovered_labels: Pairs,
    labels: Pairs,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    #[serde(default)]
    discovered_labels: Pairs,
}

impl From<Targets> for TargetDiscovery {
    fn from(answer: Targets) -> Self {
        let active = |target: Active| ActiveTarget {
            discovered_labels: set(target.discovered_labels),
            labels: set(target.labels),
            scrape_pool: target.scrape_pool,
            scrape_url: target.scrape_url,
            global_url: target.global_url,
            last_error: target.last_error,
            last_scrape: time(&target.last_scrape),
            last_scrape_duration: target.last_scrape_duration,
            health: health(&target.health).into(),
        };
        let dropped = |target: Dropped| DroppedTarget {
            discovered_labels: set(target.discovered_labels),
        };
        Self {
            active_targets: answer.active_targets.into_iter().map(active).collect(),
            dropped_targets: answer.dropped_targets.into_iter().map(dropped).collect(),
        }
    }
}

fn health(text: &str) -> TargetHealth {
    match text {
        "up" => TargetHealth::Up,
        "down" => TargetHealth::Down,
        _ => TargetHealth::HealthUnknown,
    }
}

/// `/api/v1/metadata`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Metadata(HashMap<String, Vec<OneMeta>>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct OneMeta {
    r#type: String,
    help: String,
    unit: String,
}

impl From<Metadata> for MetricMetadata {
    fn from(answer: Metadata) -> Self {
        let meta = |meta: OneMeta| Meta {
            r#type: meta.r#type,
            help: meta.help,
            unit: meta.unit,
        };
        let entry = |metas: Vec<OneMeta>| MetricMetadataEntry {
            metas: metas.into_iter().map(meta).collect(),
        };
        let metadata = answer.0.into_iter();
        Self {
            metadata: metadata.map(|(name, metas)| (name, entry(metas))).collect(),
        }
    }
}

/// An element of `/api/v1/query_exemplars`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exemplars {
    #[serde(default)]
    series_labels: Pairs,
    #[serde(default)]
    exemplars: Vec<OneExemplar>,
}

#[derive(Deserialize)]
struct OneExemplar {
    #[serde(default)]
    labels: Pairs,
    value: String,
    /// Seconds.
    timestamp: f64,
}

impl From<Exemplars> for ExemplarData {
    fn from(answer: Exemplars) -> Self {
        let exemplar = |exemplar: OneExemplar| Exemplar {
            labels: set(exemplar.labels),
            value: exemplar.value.parse().unwrap_or(f64::NAN),
            ts: (exemplar.timestamp * 1e3).round() as i64,
        };
        Self {
            series_labels: set(answer.series_labels),
            exemplars: answer.exemplars.into_iter().map(exemplar).collect(),
        }
    }
}

/// `/api/v1/status/tsdb`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TsdbStatus {
    head_stats: Head,
    series_count_by_metric_name: Vec<OneStatistic>,
    label_value_count_by_label_name: Vec<OneStatistic>,
    memory_in_bytes_by_label_name: Vec<OneStatistic>,
    series_count_by_label_value_pair: Vec<OneStatistic>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Deserialize)]
struct OneStatistic {
    name: String,
    value: u64,
}

impl From<TsdbStatus> for TsdbStatisticsEntry {
    fn from(answer: TsdbStatus) -> Self {
        let list = |list: Vec<OneStatistic>| {
            let statistic = |one: OneStatistic| Statistic {
                name: one.name,
                value: one.value,
            };
            list.into_iter().map(statistic).collect()
        };
        Self {
            head_statistics: Some(HeadStatistics {
                num_series: answer.head_stats.num_series,
                num_label_pairs: answer.head_stats.num_label_pairs,
                chunk_count: answer.head_stats.chunk_count,
                min_time: answer.head_stats.min_time,
                max_time: answer.head_stats.max_time,
            }),
            series_count_by_metric_name: list(answer.series_count_by_metric_name),
            label_value_count_by_label_name: list(answer.label_value_count_by_label_name),
            memory_in_bytes_by_label_name: list(answer.memory_in_bytes_by_label_name),
            series_count_by_label_value_pair: list(answer.series_count_by_label_value_pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_both_kinds_are_read() {
        let text = r#"{"groups":[{"name":"g","file":"f.yaml","interval":15,"limit":3,"evaluationTime":0.5,
            "lastEvaluation":"1970-01-01T00:00:02.5Z","rules":[
            {"type":"recording","name":"r","query":"up","health":"ok","evaluationTime":1,"lastEvaluation":"0001-01-01T00:00:00Z"},
            {"type":"alerting","state":"firing","name":"a","query":"up","duration":60,"keepFiringFor":5,"labels":{"severity":"page"},
             "annotations":{},"health":"ok","alerts":[{"labels":{"x":"y"},"annotations":{},"state":"firing","activeAt":"1970-01-01T00:00:01Z","value":"1e+00"}]}]}]}"#;
        let groups: Groups = serde_json::from_str(text).expect("valid");
        let groups = Vec::<RuleGroup>::from(groups);
        let group = &groups[0];
        assert_eq!((group.limit, group.interval), (3, 15.0));
        let evaluated = Timestamp {
            seconds: 2,
            nanos: 500_000_000,
        };
        assert_eq!(group.last_evaluation, Some(evaluated));
        let Some(rule::Result::Recording(recording)) = &group.rules[0].result else {
            panic!("a recording rule");
        };
        let never = recording.last_evaluation.expect("a time");
        assert_eq!(never.seconds, -62_135_596_800, "Go's zero time");
        let Some(rule::Result::Alert(alert)) = &group.rules[1].result else {
            panic!("an alert");
        };
        assert_eq!(alert.state(), AlertState::Firing);
        assert_eq!(alert.keep_firing_for_seconds, 5.0);
        assert_eq!(alert.alerts[0].active_at.map(|t| t.seconds), Some(1));
    }

    #[test]
    fn a_rule_of_an_unknown_type_is_an_error_not_a_gap() {
        let text = r#"{"groups":[{"name":"g","rules":[{"type":"dream","name":"r"}]}]}"#;
        assert!(serde_json::from_str::<Groups>(text).is_err());
    }

    #[test]
    fn exemplars_have_values_as_text_and_times_in_seconds() {
        let text = r#"[{"seriesLabels":{"__name__":"x"},"exemplars":[
            {"labels":{"trace":"t"},"value":"+Inf","timestamp":1600096945.479}]}]"#;
        let answer: Vec<Exemplars> = serde_json::from_str(text).expect("valid");
        let data: Vec<ExemplarData> = answer.into_iter().map(Into::into).collect();
        assert_eq!(data[0].exemplars[0].ts, 1_600_096_945_479);
        assert_eq!(data[0].exemplars[0].value, f64::INFINITY);
    }
}
