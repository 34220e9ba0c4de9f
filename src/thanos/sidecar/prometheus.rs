//! What a sidecar asks Prometheus over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Matcher;
use proto::thanos::{
    ExemplarData, Label, MetricMetadata, RuleGroup, TargetDiscovery, TsdbStatisticsEntry,
    rules_request, targets_request,
};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answers;
use super::client::{ClientError, HttpClient};
use super::frames::FrameError;
use super::select::selector;

const LOWEST_TIME: &str = "prometheus_tsdb_lowest_timestamp_seconds";
/// The years 1 to 9999, in milliseconds: what Prometheus's HTTP API takes for times.
const API_TIMES: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
/// The part of an answer that an error quotes.
const QUOTED: usize = 300;

/// Why Prometheus gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    #[error("request {url}")]
    Request {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}: {body}")]
    Status {
        url: String,
        status: u16,
        body: String,
    },
    #[error("{url} answered what cannot be read: {reason}")]
    Answer { url: String, reason: String },
    #[error("{url} streamed what cannot be read")]
    Frame {
        url: String,
        #[source]
        source: FrameError,
    },
    #[error("no answer of {url} within {limit:?}")]
    Late { url: String, limit: Duration },
    #[error("no external labels configured")]
    NoExternalLabels,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Limit(String),
}

impl PrometheusError {
    /// A call that takes too much of something.
    pub(super) fn over(what: &str, error: &store::bucket::LimitError) -> Self {
        Self::Limit(format!("failed to send {what}: {error}"))
    }
}

impl From<PrometheusError> for tonic::Status {
    fn from(error: PrometheusError) -> Self {
        let text = net::log::chain(&error);
        match error {
            PrometheusError::Limit(_) => Self::resource_exhausted(text),
            PrometheusError::Status {
                status: 400 | 422, ..
            } => Self::invalid_argument(text),
            PrometheusError::Request { .. } | PrometheusError::Late { .. } => {
                Self::unavailable(text)
            }
            _ => Self::internal(text),
        }
    }
}

type Result<T> = std::result::Result<T, PrometheusError>;

/// Of `/api/v1/status/runtimeinfo`, what concerns the configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeInfo {
    pub(crate) reload_config_success: bool,
    /// Of the last success, in whole seconds.
    pub(crate) last_config_time: jiff::Timestamp,
}

/// A client of one Prometheus.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    base: String,
    client: Client,
    config: HttpClient,
}

impl Prometheus {
    pub(crate) fn new(url: &str, config: &HttpClient) -> std::result::Result<Self, ClientError> {
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            client: config.build(url)?,
            config: config.clone(),
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Sends, and takes nothing but success for an answer.
    pub(crate) async fn send(&self, request: RequestBuilder, path: &str) -> Result<Response> {
        let url = || self.url(path);
        let response = self
            .config
            .authorise(request)?
            .send()
            .await
            .map_err(|source| PrometheusError::Request {
                url: url(),
                source: source.without_url(),
            })?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let mut body = response.text().await.unwrap_or_default();
        body.truncate(body.floor_char_boundary(QUOTED));
        Err(PrometheusError::Status {
            url: url(),
            status,
            body: body.trim().to_owned(),
        })
    }

    /// The flags that Prometheus runs with; `None` when it is too old to tell.
    pub(crate) async fn flags(&self) -> Result<Option<BTreeMap<String, String>>> {
        let path = "/api/v1/status/flags";
        match self.api(self.client.get(self.url(path)), path).await {
            Ok(flags) => Ok(Some(flags)),
            Err(PrometheusError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What Prometheus says of its last reload.
    pub(crate) async fn runtime_info(&self) -> Result<RuntimeInfo> {
        self.ask("/api/v1/status/runtimeinfo", &[]).await
    }

    /// The external labels that Prometheus runs with, sorted.
    pub(crate) async fn external_labels(&self) -> Result<Vec<Label>> {
        #[derive(Deserialize)]
        struct Data {
            yaml: String,
        }
        let path = "/api/v1/status/config";
        let data: Data = self.api(self.client.get(self.url(path)), path).await?;
        let labels = external_labels(&data.yaml).map_err(|reason| PrometheusError::Answer {
            url: self.url(path),
            reason,
        })?;
        if labels.is_empty() {
            Err(PrometheusError::NoExternalLabels)
        } else {
            Ok(labels)
        }
    }

    /// The lowest time that Prometheus has samples of, in milliseconds.
    pub(crate) async fn lowest_time(&self) -> Result<i64> {
        let path = "/metrics";
        let request = self
            .client
            .get(self.url(path))
            .header("accept", "text/plain;version=0.0.4");
        let response = self.send(request, path).await?;
        let text = response
            .text()
            .await
            .map_err(|source| PrometheusError::Request {
                url: self.url(path),
                source: source.without_url(),
            })?;
        lowest_time(&text).ok_or_else(|| PrometheusError::Answer {
            url: self.url(path),
            reason: format!("no metric {LOWEST_TIME}"),
        })
    }

    /// Label sets of the series that `matchers` match.
    pub(crate) async fn series(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        limit: i64,
    ) -> Result<Vec<BTreeMap<String, String>>> {
        let path = "/api/v1/series";
        let form = form(matchers, range, limit);
        self.api(self.post(path).form(&form), path).await
    }

    pub(crate) async fn label_names(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        limit: i64,
    ) -> Result<Vec<String>> {
        let path = "/api/v1/labels";
        let form = form(matchers, range, limit);
        self.api(self.post(path).form(&form), path).await
    }

    pub(crate) async fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: (i64, i64),
        limit: i64,
    ) -> Result<Vec<String>> {
        let path = format!("/api/v1/label/{name}/values");
        let bad = |reason: String| PrometheusError::Answer {
            url: self.url(&path),
            reason,
        };
        let mut url = Url::parse(&self.url("")).map_err(|error| bad(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| bad("not an HTTP address".into()))?
            .pop_if_empty()
            .extend(["api", "v1", "label", name, "values"]);
        let request = self.client.get(url).query(&form(matchers, range, limit));
        self.api(request, &path).await
    }

    /// The groups of rules of a type.
    pub(crate) async fn rules(&self, kind: rules_request::Type) -> Result<Vec<RuleGroup>> {
        let kind = match kind {
            rules_request::Type::All => None,
            rules_request::Type::Alert => Some(("type", "alert")),
            rules_request::Type::Record => Some(("type", "record")),
        };
        let query: Vec<_> = kind.into_iter().collect();
        let groups: answers::Groups = self.ask("/api/v1/rules", &query).await?;
        Ok(groups.into())
    }

    /// The targets in a state.
    pub(crate) async fn targets(&self, state: targets_request::State) -> Result<TargetDiscovery> {
        let state = match state {
            targets_request::State::Any => None,
            targets_request::State::Active => Some(("state", "active")),
            targets_request::State::Dropped => Some(("state", "dropped")),
        };
        let query: Vec<_> = state.into_iter().collect();
        let targets: answers::Targets = self.ask("/api/v1/targets", &query).await?;
        Ok(targets.into())
    }

    /// The metadata of a metric, of all when it is empty; `limit` metrics at most unless it is negative.
    pub(crate) async fn metadata(&self, metric: &str, limit: i32) -> Result<MetricMetadata> {
        let limit = limit.to_string();
        let mut query = Vec::new();
        if !metric.is_empty() {
            query.push(("metric", metric));
        }
        if !limit.starts_with('-') {
            query.push(("limit", &limit));
        }
        let metadata: answers::Metadata = self.ask("/api/v1/metadata", &query).await?;
        Ok(metadata.into())
    }

    /// The exemplars of the selectors in a query.
    pub(crate) async fn exemplars(
        &self,
        query: &str,
        range: (i64, i64),
    ) -> Result<Vec<ExemplarData>> {
        let path = "/api/v1/query_exemplars";
        let mut form = form(&[], range, 0);
        form.push(("query", query.to_owned()));
        let exemplars: Vec<answers::Exemplars> =
            self.api(self.post(path).form(&form), path).await?;
        Ok(exemplars.into_iter().map(Into::into).collect())
    }

    /// The cardinality of the head, `limit` entries of each list.
    pub(crate) async fn statistics(&self, limit: i32) -> Result<TsdbStatisticsEntry> {
        let limit = limit.to_string();
        let query: &[(&str, &str)] = &[("limit", &limit)];
        let query = if limit.starts_with(['-', '0']) {
            &[]
        } else {
            query
        };
        let status: answers::TsdbStatus = self.ask("/api/v1/status/tsdb", query).await?;
        Ok(status.into())
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let request = self.client.get(self.url(path)).query(query);
        self.api(request, path).await
    }

    /// The `data` of an answer of the HTTP API.
    async fn api<T: DeserializeOwned>(&self, request: RequestBuilder, path: &str) -> Result<T> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: Option<T>,
            error: Option<String>,
        }
        let response = self.send(request, path).await?;
        let body = response
            .bytes()
            .await
            .map_err(|source| PrometheusError::Request {
                url: self.url(path),
                source: source.without_url(),
            })?;
        let bad = |reason: String| PrometheusError::Answer {
            url: self.url(path),
            reason,
        };
        let envelope: Envelope<T> =
            serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        envelope
            .data
            .ok_or_else(|| bad(envelope.error.unwrap_or_else(|| "no data".into())))
    }
}

fn form(matchers: &[Matcher], range: (i64, i64), limit: i64) -> Vec<(&'static str, String)> {
    let seconds = |ms: i64| {
        let ms = ms.clamp(API_TIMES.0, API_TIMES.1);
        format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
    };
    let mut form = vec![("start", seconds(range.0)), ("end", seconds(range.1))];
    if !matchers.is_empty() {
        form.push(("match[]", selector(matchers)));
    }
    if limit > 0 {
        form.push(("limit", limit.to_string()));
    }
    form
}

/// `global.external_labels` of a configuration. Only the block of `global` is parsed: the rest can be
/// megabytes, and none of it matters here.
fn external_labels(yaml: &str) -> std::result::Result<Vec<Label>, String> {
    #[derive(Deserialize)]
    struct Top {
        #[serde(default)]
        global: Option<Global>,
    }
    #[derive(Deserialize)]
    struct Global {
        #[serde(default)]
        external_labels: Option<BTreeMap<String, String>>,
    }
    let block: Vec<&str> = yaml
        .lines()
        .skip_while(|line| !line.starts_with("global:"))
        .enumerate()
        .take_while(|(at, line)| *at == 0 || line.starts_with([' ', '\t', '#']) || line.is_empty())
        .map(|(_, line)| line)
        .collect();
    if block.is_empty() {
        return Ok(Vec::new());
    }
    let top: Top = serde_yaml::from_str(&block.join("\n")).map_err(|error| error.to_string())?;
    let labels = top
        .global
        .and_then(|global| global.external_labels)
        .unwrap_or_default();
    Ok(labels
        .into_iter()
        .map(|(name, value)| Label { name, value })
        .collect())
}

fn lowest_time(metrics: &str) -> Option<i64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(LOWEST_TIME))?;
    let value = line
        .strip_prefix(' ')
        .or_else(|| Some(line.split_once("} ")?.1))?;
    let seconds: f64 = value.split_whitespace().next()?.parse().ok()?;
    // An empty database says the largest time there is; the cast saturates.
    #[allow(clippy::cast_possible_truncation, reason = "saturates as wanted")]
    let ms = (seconds * 1000.0) as i64;
    (!seconds.is_nan()).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_are_found_between_other_sections() {
        let yaml = "global:\n  scrape_interval: 1m\n  external_labels:\n    replica: \"0\"\n    cluster: eu\nrule_files:\n- '*.yaml'\n";
        let labels = external_labels(yaml).expect("valid");
        let pairs: Vec<_> = labels
            .iter()
            .map(|l| (l.name.as_str(), l.value.as_str()))
            .collect();
        assert_eq!(pairs, [("cluster", "eu"), ("replica", "0")]);
        assert_eq!(
            external_labels("global:\n  scrape_interval: 1m\n"),
            Ok(vec![])
        );
        assert_eq!(external_labels("scrape_configs: []\n"), Ok(vec![]));
        assert!(external_labels("global: [\n").is_err());
    }

    #[test]
    fn the_lowest_time_is_read_off_the_metrics() {
        let text = "# HELP prometheus_tsdb_lowest_timestamp_seconds x\n# TYPE prometheus_tsdb_lowest_timestamp_seconds gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.7e+09\n";
        assert_eq!(lowest_time(text), Some(1_700_000_000_000));
        assert_eq!(
            lowest_time("prometheus_tsdb_lowest_timestamp_seconds{a=\"b\"} 2.5"),
            Some(2500)
        );
        assert_eq!(
            lowest_time("prometheus_tsdb_lowest_timestamp_seconds 9.223372036854776e+15"),
            Some(i64::MAX)
        );
        assert_eq!(lowest_time("up 1"), None);
    }

    #[test]
    fn times_beyond_the_calendar_are_drawn_in() {
        let form = form(&[], (i64::MIN, 1500), 0);
        assert_eq!(
            form,
            [
                ("start", "-62135596800.000".into()),
                ("end", "1.500".to_owned())
            ]
        );
    }
}
