//! `query` and `query_range`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use model::{Cancel, Shard, Timestamp};
use net::metrics::Registry;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use promql::{Answer, AnswerValue, Engine, Expr, Options};
use serde::Deserialize;
use store::CallOptions;

use super::error::ApiError;
use super::json;
pub use super::json::Stats;
use super::params::{Params, Steps};
use super::tenancy::Caller;
use super::{Api, Plan, Scope, explain};

/// What the answer to a truncated request says.
pub(super) const TRUNCATED: &str = "results truncated due to limit";
/// What the querier says to `analyze` where its engine cannot.
const NOT_ANALYZABLE: &str = "Query not analyzable; change engine to 'thanos'.";

/// `GET|POST /api/v1/query`.
pub(super) async fn instant(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let time = params.time_or("time", now())?;
    let auto = millis(api.settings.instant_resolution);
    api.evaluate(&params, When::Instant(time), auto).await
}

/// `GET|POST /api/v1/query_range`.
pub(super) async fn range(
    State(api): State<Arc<Api>>,
    params: Params,
    spans: Histogram,
) -> Result<Response, ApiError> {
    let Steps { start, end, step } = params.steps(millis(api.settings.default_step))?;
    // At least five samples between two steps.
    let auto = step / 5;
    spans.observe((end - start) as f64 / 1e3);
    api.evaluate(&params, When::Range { start, end, step }, auto)
        .await
}

/// Exports how long the ranges are that are asked for.
pub(super) fn requested_spans(registry: &Registry) -> Histogram {
    registry.register(
        "thanos_query_range_requested_timespan_duration_seconds",
        "A histogram of the query range window in seconds",
        Histogram::new(exponential_buckets(15.0 * 60.0, 2.0, 12)),
    )
}

/// The most threads of one query: beyond, series do not come fast enough for more.
const MOST_THREADS: usize = 4;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS))
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Instant(Timestamp),
    /// All milliseconds.
    Range {
        start: Timestamp,
        end: Timestamp,
        step: i64,
    },
}

/// A query that was understood.
#[derive(Clone, Debug)]
pub struct Asked {
    pub expr: Expr,
    pub when: When,
    pub scope: Scope,
    /// Milliseconds; `None`: what goes with the scope's resolution.
    pub lookback: Option<i64>,
    pub timeout: Duration,
}

impl Asked {
    pub(super) fn parse(
        api: &Api,
        params: &Params,
        when: When,
        auto_resolution: i64,
    ) -> Result<Self, ApiError> {
        let timeout = params.timeout(api.settings.timeout)?;
        let caller = api.caller(params)?;
        let mut scope = api.scope(params, &caller)?;
        scope.max_resolution = api.resolution(params, auto_resolution)?;
        scope.shard = shard(params)?;
        check_engine(params)?;
        let lookback = params.duration("lookback_delta")?.filter(|ms| *ms > 0);
        let mut expr = api.parse(params.query()?)?;
        caller.restrict_all(&mut expr);
        Ok(Self {
            expr,
            when,
            scope,
            lookback,
            timeout,
        })
    }
}

impl Api {
    /// The parameters that every request for series or labels has.
    pub(super) fn scope(&self, params: &Params, caller: &Caller) -> Result<Scope, ApiError> {
        let scope = self.scope_as_it_is(params, caller)?;
        let asked: Vec<String> = params.all("replicaLabels[]").map(str::to_owned).collect();
        let replica_labels = match params.boolean("dedup", true)? {
            false => Vec::new(),
            true if asked.is_empty() => self.settings.replica_labels.clone(),
            true => asked,
        };
        Ok(Scope {
            replica_labels,
            ..scope
        })
    }

    /// The same without deduplication.
    pub(super) fn scope_as_it_is(
        &self,
        params: &Params,
        caller: &Caller,
    ) -> Result<Scope, ApiError> {
        Ok(Scope {
            replica_labels: Vec::new(),
            call: CallOptions {
                store_matchers: params.selectors("storeMatch[]")?,
                ..caller.options.clone()
            },
            partial_response: params.boolean("partial_response", self.settings.partial_response)?,
            max_resolution: 0,
            shard: None,
        })
    }

    fn resolution(&self, params: &Params, auto: i64) -> Result<i64, ApiError> {
        const NAME: &str = "max_source_resolution";
        let resolution = match params.get(NAME) {
            "auto" => auto,
            "" if self.settings.auto_downsampling => auto,
            _ => params.duration(NAME)?.unwrap_or(0),
        };
        if resolution < 0 {
            let message = format!("negative '{NAME}' is not accepted. Try a positive integer");
            return Err(ApiError::bad_data(message));
        }
        Ok(resolution)
    }

    /// Samples of downsampled data lie further apart than raw ones: the lookback must reach the next.
    fn lookback(&self, resolution: i64) -> i64 {
        const FIVE_MINUTES: i64 = 300_000;
        const HOUR: i64 = 3_600_000;
        let lookback = millis(self.settings.lookback);
        match resolution {
            _ if !self.settings.dynamic_lookback => lookback,
            r if r > lookback.max(FIVE_MINUTES) => lookback.max(HOUR),
            r if r > lookback => lookback.max(FIVE_MINUTES),
            _ => lookback,
        }
    }

    /// Reads a query with the features that are enabled.
    ///
    /// # Errors
    /// `bad_data`, with where and what.
    pub fn parse(&self, query: &str) -> Result<Expr, ApiError> {
        Ok(promql::parse_with(query, self.settings.features)?)
    }

    /// The answer as JSON, with what the request wants to know of it.
    async fn evaluate(
        &self,
        params: &Params,
        when: When,
        auto_resolution: i64,
    ) -> Result<Response, ApiError> {
        let limit = params.limit()?;
        let asked = Asked::parse(self, params, when, auto_resolution)?;
        let analyze = matches!(params.get("analyze"), "1" | "true");
        let told = analyze && params.get("engine") == "thanos";
        let (when, timeout, lookback) = (asked.when, asked.timeout, self.lookback_of(&asked));
        let plan = self.plan(asked);
        let explained = told.then(|| explain::node(&plan.expr, &plan.parts));
        let (mut answer, stats) = self.run(plan, when, lookback, timeout).await?;
        if analyze && !told {
            answer.warnings.push(NOT_ANALYZABLE.to_owned());
        }
        truncate(&mut answer, limit);
        let wants_stats = !params.get("stats").is_empty();
        let analysis = explained.map(|plan| explain::analysis(plan, &stats));
        let stats = wants_stats.then_some(stats);
        Ok(json::answer(answer, stats, analysis.as_ref()))
    }

    fn lookback_of(&self, asked: &Asked) -> i64 {
        let of_resolution = || self.lookback(asked.scope.max_resolution);
        asked.lookback.unwrap_or_else(of_resolution)
    }

    pub(super) fn plan(&self, asked: Asked) -> Plan {
        let lookback = self.lookback_of(&asked);
        let Asked {
            expr,
            when,
            scope,
            timeout,
            ..
        } = asked;
        self.source.plan(expr, when, lookback, timeout, scope)
    }

    /// Evaluates a query as soon as there is a place for it. Dropping the future ends the work.
    ///
    /// # Errors
    /// [`ApiError`] for whatever goes wrong.
    pub async fn ask(&self, asked: Asked) -> Result<(Answer, Stats), ApiError> {
        let (when, timeout, lookback) = (asked.when, asked.timeout, self.lookback_of(&asked));
        let plan = self.plan(asked);
        self.run(plan, when, lookback, timeout).await
    }

    async fn run(
        &self,
        plan: Plan,
        when: When,
        lookback: i64,
        timeout: Duration,
    ) -> Result<(Answer, Stats), ApiError> {
        let engine = Engine::new(Options {
            lookback,
            max_samples: self.settings.max_samples,
            subquery_step: millis(self.settings.subquery_step),
            threads: threads(),
            ..Options::default()
        });
        let Plan { expr, source, .. } = plan;
        let arrived = Instant::now();
        let work = move |cancel: &Cancel| {
            let started = Instant::now();
            let answer = match when {
                When::Instant(time) => engine.instant(&*source, &expr, time, cancel)?,
                When::Range { start, end, step } => {
                    engine.range(&*source, &expr, start, end, step, cancel)?
                }
            };
            let stats = Stats {
                queue_time: (started - arrived).as_secs_f64(),
                eval_time: started.elapsed().as_secs_f64(),
                total_samples: answer.stats.samples,
                peak_samples: answer.stats.peak_samples as u64,
            };
            Ok((answer, stats))
        };
        self.queries.run(timeout, work).await
    }
}

fn truncate(answer: &mut Answer, limit: usize) {
    let len = match &answer.value {
        AnswerValue::Vector(samples) => samples.len(),
        AnswerValue::Matrix(series) => series.len(),
        AnswerValue::Scalar(..) | AnswerValue::String(..) => return,
    };
    if limit == 0 || len <= limit {
        return;
    }
    match &mut answer.value {
        AnswerValue::Vector(samples) => samples.truncate(limit),
        AnswerValue::Matrix(series) => series.truncate(limit),
        AnswerValue::Scalar(..) | AnswerValue::String(..) => {}
    }
    answer.warnings.push(TRUNCATED.to_owned());
}

/// Both names are taken; there is one engine.
fn check_engine(params: &Params) -> Result<(), ApiError> {
    match params.get("engine") {
        "" | "prometheus" | "thanos" => Ok(()),
        other => Err(ApiError::bad_data(format!("'{other}' bad engine"))),
    }
}

/// `shard_info`, as a query-frontend sends it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ShardInfo {
    shard_index: u64,
    total_shards: u64,
    by: bool,
    labels: Vec<String>,
}

fn shard(params: &Params) -> Result<Option<Shard>, ApiError> {
    let text = params.get("shard_info");
    if text.is_empty() {
        return Ok(None);
    }
    // A list would be taken for the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(ApiError::bad_data(
            "could not unmarshal parameter shard_info: it is no JSON object",
        ));
    }
    let ShardInfo {
        shard_index,
        total_shards,
        by,
        labels,
    } = serde_json::from_str(text).map_err(|error| {
        ApiError::bad_data(format!("could not unmarshal parameter shard_info: {error}"))
    })?;
    let shard = Shard {
        index: shard_index,
        total: total_shards,
        by,
        labels,
    };
    Ok((total_shards > 0).then_some(shard))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970.
pub(super) fn now() -> Timestamp {
    jiff::Timestamp::now().as_millisecond()
}
