//! Asks blocks on disk or in a bucket, with the engine of this binary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Cancel, Cancelled, FloatHistogram, Labels, Queryable, Symbols};
use promql::{Answer, AnswerValue, Engine, Options, QueryError, RangeSeries};
use serde_json::{Map, Value as Json, json};
use thanos::store_gateway::{Config, Local};
use tokio::runtime::Runtime;
use tsdb::block::{Block, Blocks};

use super::answer::{point_json, time_json};
use super::time::When;
use super::{at, mistake};
use crate::args::{PromqlQueryArgs, SourceArgs};
use crate::diagnostic::{Failure, Result};

/// The answer in the shape of the HTTP API.
pub(super) fn ask(args: &PromqlQueryArgs, expr: &str, when: When) -> Result<Json> {
    let parsed = promql::parse_with(expr, args.features.features());
    let parsed = parsed.map_err(|error| mistake(expr, &error))?;
    let source = Source::open(args)?;
    let engine = Engine::new(Options {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        lookback: i64::try_from(args.lookback_delta.as_millis()).unwrap_or(i64::MAX),
        max_samples: args.max_samples,
        ..Options::default()
    });
    let cancel = Cancel::new();
    let timer = alarm(&cancel, args.timeout);
    let source = &*source.series;
    let answer = match when {
        When::At(time) => engine.instant(source, &parsed, time, &cancel),
        When::Range { start, end, step } => {
            engine.range(source, &parsed, start, end, step, &cancel)
        }
    };
    drop(timer);
    match answer {
        Ok(answer) => Ok(success(&answer)),
        Err(error) => Err(failure(expr, &error)),
    }
}

/// Raises the flag when time is up, unless what is given back is dropped before.
fn alarm(cancel: &Cancel, timeout: Duration) -> std::sync::mpsc::Sender<()> {
    let (done, is_done) = std::sync::mpsc::channel();
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        if is_done.recv_timeout(timeout) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            cancel.cancel(Cancelled::TimedOut);
        }
    });
    done
}

/// Who has the series.
struct Source {
    series: Box<dyn Queryable>,
    /// What its tasks run on.
    _runtime: Option<Runtime>,
}

impl Source {
    fn open(args: &PromqlQueryArgs) -> Result<Self> {
        if let Some(file) = &args.source.objstore {
            return Self::open_bucket(file, args.max_source_resolution);
        }
        Ok(Self {
            series: Box::new(blocks(&args.source)?),
            _runtime: None,
        })
    }

    fn open_bucket(file: &Path, max_resolution: Duration) -> Result<Self> {
        let config = objstore::Config::load(&objstore::Source::File(file.to_owned()));
        let config = config.map_err(|error| {
            Failure::from_error(&error).help(format!("it was read from {}", file.display()))
        })?;
        let config = config
            .ok_or_else(|| Failure::new(format!("{} configures no bucket", file.display())))?;
        let config = Config {
            cache_index_header: false,
            ..Config::new(config)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Failure::io("cannot start", &error))?;
        let max_resolution = i64::try_from(max_resolution.as_millis()).unwrap_or(i64::MAX);
        let bucket = runtime.block_on(Local::open(&config, max_resolution));
        Ok(Self {
            series: Box::new(bucket.map_err(|error| Failure::from_error(&error))?),
            _runtime: Some(runtime),
        })
    }
}

fn blocks(source: &SourceArgs) -> Result<Blocks> {
    let blocks = match &source.tsdb {
        Some(folder) => Blocks::open(folder).map_err(|error| Failure::from_error(&error))?,
        None => {
            let open = |folder: &PathBuf| Block::open(folder);
            let blocks = source
                .block
                .iter()
                .map(open)
                .collect::<std::result::Result<Vec<_>, _>>();
            Blocks::new(blocks.map_err(|error| Failure::from_error(&error))?)
        }
    };
    let count = blocks.iter().len();
    match (&source.tsdb, count) {
        (Some(folder), 0) => Err(Failure::new(format!("{} holds no block", folder.display()))
            .help("--tsdb takes a folder of blocks, --block a block")),
        _ => Ok(blocks),
    }
}

fn failure(expr: &str, error: &QueryError) -> Failure {
    match error {
        QueryError::Parse(error) => mistake(expr, error),
        QueryError::Unsupported { span, construct } => at(
            expr,
            *span,
            &format!("{construct} is not supported yet"),
            "unsupported query",
        ),
        other => Failure::from_error(other),
    }
}

fn success(answer: &Answer) -> Json {
    let metric = |labels: &Labels| metric(labels, &answer.symbols);
    let result = match &answer.value {
        AnswerValue::Scalar(t, v) => point_json(*t, *v),
        AnswerValue::String(t, text) => json!([time_json(*t), text]),
        AnswerValue::Vector(samples) => samples
            .iter()
            .map(|sample| match &sample.histogram {
                Some(h) => json!({
                    "metric": metric(&sample.labels),
                    "histogram": [time_json(sample.t), histogram(h)],
                }),
                None => json!({ "metric": metric(&sample.labels), "value": point_json(sample.t, sample.v) }),
            })
            .collect(),
        AnswerValue::Matrix(all) => all.iter().map(|one| series(one, metric(&one.labels))).collect(),
    };
    let kind = answer.value.value_type().as_str();
    let mut body = json!({ "status": "success", "data": { "resultType": kind, "result": result } });
    for (name, notes) in [("warnings", &answer.warnings), ("infos", &answer.infos)] {
        if !notes.is_empty() {
            body[name] = json!(notes);
        }
    }
    body
}

fn series(series: &RangeSeries, metric: Json) -> Json {
    let mut object = Map::new();
    object.insert("metric".to_owned(), metric);
    if !series.points.is_empty() {
        let points = series.points.iter().map(|(t, v)| point_json(*t, *v));
        object.insert("values".to_owned(), points.collect());
    }
    if !series.histograms.is_empty() {
        let points = series.histograms.iter();
        let points = points.map(|(t, h)| json!([time_json(*t), histogram(h)]));
        object.insert("histograms".to_owned(), points.collect());
    }
    Json::Object(object)
}

fn metric(labels: &Labels, symbols: &Symbols) -> Json {
    let pairs = labels
        .iter(symbols)
        .map(|(name, value)| (name.to_owned(), Json::from(value)));
    Json::Object(pairs.collect())
}

/// `count`, `sum`, and the buckets that hold something, with the rule of their boundaries.
fn histogram(h: &FloatHistogram) -> Json {
    let text = promql::format_float;
    let buckets: Vec<Json> = h
        .all()
        .filter(|bucket| bucket.count != 0.0)
        .map(|bucket| {
            let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            json!([
                rule,
                text(bucket.lower),
                text(bucket.upper),
                text(bucket.count)
            ])
        })
        .collect();
    let mut object = json!({ "count": text(h.count), "sum": text(h.sum) });
    if !buckets.is_empty() {
        object["buckets"] = Json::Array(buckets);
    }
    object
}
