//! What fake stores have: series in label order, encoded into frames once for each form in which they are asked for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message as _;
use proto::thanos::series_response::Result as Frame;
use proto::thanos::{AggrChunk, Chunk, Label, Series, SeriesBatch, SeriesRequest, SeriesResponse};
use tsdb::chunk::XorAppender;
use xxhash_rust::xxh64::xxh64;

/// The label that tells replicas apart.
pub(crate) const REPLICA: &str = "prometheus_replica";
/// The metric that stores have.
pub(crate) const METRIC: &str = "http_requests_total";
/// The time of the first scrape.
pub(crate) const START: i64 = 1_700_000_000_000;
/// Different runs of samples; series take them in turn.
const RUNS: usize = 128;
/// Samples of a full chunk.
const CHUNK: usize = 120;
/// What the querier asks for, and what a frame holds then.
const BATCH: usize = 64;

/// When a series is scraped: `count` times, every `step` milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scrapes {
    pub(crate) step: i64,
    pub(crate) count: usize,
    /// Milliseconds by which a scrape may be late.
    pub(crate) jitter: u64,
    /// One of so many scrapes fails; 0 is none.
    pub(crate) gaps: u64,
}

impl Scrapes {
    /// The time of the last scrape.
    pub(crate) fn end(&self) -> i64 {
        START + self.step * self.count as i64
    }
}

/// A form in which series are asked for.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Without the replica label.
    stripped: bool,
    batched: bool,
    labels_only: bool,
}

impl Form {
    const COUNT: usize = 8;

    fn of(request: &SeriesRequest) -> Self {
        Self {
            stripped: request.without_replica_labels.iter().any(|l| l == REPLICA),
            batched: request.response_batch_size > 1,
            labels_only: request.skip_chunks,
        }
    }

    fn place(self) -> usize {
        usize::from(self.stripped)
            + 2 * usize::from(self.batched)
            + 4 * usize::from(self.labels_only)
    }
}

/// What one store has.
#[derive(Debug)]
pub(crate) struct Stock {
    cluster: String,
    replica: &'static str,
    series: usize,
    runs: Vec<Vec<AggrChunk>>,
    frames: [OnceLock<Arc<Vec<Bytes>>>; Form::COUNT],
}

impl Stock {
    /// Store `place` of many: two of them are the replicas of a cluster.
    pub(crate) fn new(place: usize, series: usize, scrapes: Scrapes) -> Self {
        let replica = place % 2;
        Self {
            cluster: format!("cluster-{:03}", place / 2),
            replica: ["a", "b"][replica],
            series,
            runs: (0..RUNS.min(series))
                .map(|run| chunks(run as u64, replica as u64, scrapes))
                .collect(),
            frames: Default::default(),
        }
    }

    /// The external labels.
    pub(crate) fn external(&self) -> Vec<Label> {
        vec![
            label("cluster", &self.cluster),
            label(REPLICA, self.replica),
        ]
    }

    /// The frames of an answer, as gRPC sends them.
    pub(crate) fn frames(&self, request: &SeriesRequest) -> Arc<Vec<Bytes>> {
        let form = Form::of(request);
        let encoded = self.frames[form.place()].get_or_init(|| Arc::new(self.encode(form)));
        Arc::clone(encoded)
    }

    fn encode(&self, form: Form) -> Vec<Bytes> {
        let all: Vec<usize> = (0..self.series).collect();
        let frame = |places: &[usize]| {
            let mut series: Vec<Series> = places.iter().map(|at| self.one(*at, form)).collect();
            let result = match form.batched {
                true => Frame::Batch(SeriesBatch { series }),
                false => Frame::Series(series.pop().unwrap_or_default()),
            };
            framed(&SeriesResponse {
                result: Some(result),
            })
        };
        all.chunks(if form.batched { BATCH } else { 1 })
            .map(frame)
            .collect()
    }

    /// Numbers have leading zeros and the labels that tell series apart stand in the order of their digits: so the
    /// series are in label order.
    fn one(&self, at: usize, form: Form) -> Series {
        let mut labels = vec![
            label("__name__", METRIC),
            label("cluster", &self.cluster),
            label("container", "server"),
            label("endpoint", "http-metrics"),
            label("instance", &format!("node-{:06}.internal:9100", at / 10)),
            label("job", "api"),
            label("namespace", &format!("team-{:04}", at / 1000)),
            label("pod", &format!("api-7c9fd5b6c-{:06}", at / 10)),
            label("route", &format!("/v1/items/{}", at % 10)),
        ];
        if !form.stripped {
            labels.insert(8, label(REPLICA, self.replica));
        }
        let chunks = match form.labels_only {
            true => Vec::new(),
            false => self.runs[at % self.runs.len()].clone(),
        };
        Series { labels, chunks }
    }
}

fn label(name: &str, value: &str) -> Label {
    Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// A message behind its length, not compressed.
fn framed(message: &SeriesResponse) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(5 + length);
    bytes.push(0);
    bytes.extend(u32::try_from(length).expect("a small frame").to_be_bytes());
    message.encode(&mut bytes).expect("a vector grows");
    bytes.into()
}

/// A counter, scraped by one of its replicas. The second one scrapes later and has other borders of chunks.
fn chunks(run: u64, replica: u64, scrapes: Scrapes) -> Vec<AggrChunk> {
    let mut values = Random(run + 1);
    let mut luck = Random((run + 1) * 7 + replica);
    let (mut value, mut samples) = (0, Vec::new());
    for at in 0..scrapes.count {
        value += values.below(50);
        let missed = scrapes.gaps > 0 && luck.below(scrapes.gaps) == 0;
        let late = luck.below(scrapes.jitter + 1) + replica * (scrapes.step as u64 / 3);
        if !missed || at + 1 == scrapes.count {
            let t = START + scrapes.step * at as i64 + late as i64;
            samples.push((t, value as f64));
        }
    }
    let (first, rest) = samples.split_at(samples.len().min(CHUNK - replica as usize * 37));
    let first = [first].into_iter().filter(|samples| !samples.is_empty());
    first.chain(rest.chunks(CHUNK)).map(chunk).collect()
}

fn chunk(samples: &[(i64, f64)]) -> AggrChunk {
    let mut appender = XorAppender::new();
    for (t, v) in samples {
        appender.push(*t, *v);
    }
    let data: Bytes = appender.finish().into();
    let hash = xxh64(&data, 0);
    AggrChunk {
        min_time: samples[0].0,
        max_time: samples[samples.len() - 1].0,
        raw: Some(Chunk {
            r#type: 0,
            data,
            hash,
        }),
        ..AggrChunk::default()
    }
}

/// The same numbers in every run (a linear congruential generator, Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
