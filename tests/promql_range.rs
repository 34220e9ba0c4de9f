//! Random range queries over random series, ours against a real Prometheus 3.15 over the same block, which is written here. It is
//! looked for beside the peers and in `PATH`; without it the test is left out and says so, with `TKS_REQUIRE_PEERS` it fails.
//! What Prometheus leaves to chance is not asked for (`queries`), and no difference is allowed.
//!
//! `TKS_FUZZ_SEED` and `TKS_FUZZ_QUERIES` choose others, and more of them.

#![allow(clippy::print_stdout, reason = "the figures are the point")]

#[path = "bench/promql/answers.rs"]
mod answers;
mod fleet;
#[path = "../src/promql/tests/queries/mod.rs"]
mod queries;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Running, eventually, free_address};
use model::{Cancel, FloatHistogram};
use promql::testlang::{Value, parse_series};
use promql::{Engine, Features, Options};
use queries::Random;
use serde_json::Value as Json;
use thanos::api::Places;
use tsdb::Ulid;
use tsdb::block::{BlockWriter, Blocks, EncodedChunk};
use tsdb::chunk::histogram::{Appended, FloatHistogramAppender};
use tsdb::chunk::{Encoding, XorAppender};

/// Milliseconds.
const INTERVAL: i64 = 30_000;
/// Start, end and step in seconds; the samples lie from 0 to 1770.
const RANGES: [(i64, i64, i64); 6] = [
    (0, 1770, 30),
    (0, 1800, 60),
    (15, 2100, 47),
    (600, 1200, 600),
    (-60, 1770, 13),
    (900, 900, 1),
];
/// What promises the same as ours.
const FEATURES: &str = "promql-experimental-functions,promql-delayed-name-removal,\
    promql-extended-range-selectors,promql-binop-fill-modifiers";

fn prometheus() -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    let path = std::env::var("PATH").unwrap_or_default();
    let beside = std::iter::once(Path::new(&peers).join("bin"));
    let folders = beside.chain(path.split(':').map(PathBuf::from));
    let mut found = folders.map(|folder| folder.join("prometheus"));
    let found = found.find(|program| {
        let help = Command::new(program).arg("--help").output();
        // Older ones answer other things: delayed name removal came with the third.
        help.is_ok_and(|help| {
            let text = [help.stdout, help.stderr].concat();
            String::from_utf8_lossy(&text).contains("promql-extended-range-selectors")
        })
    });
    if found.is_none() {
        let required = std::env::var_os("TKS_REQUIRE_PEERS").is_some();
        assert!(!required, "no Prometheus 3.15");
        println!("left out: random range queries, because Prometheus 3.15 is not installed");
    }
    found
}

fn number(name: &str, default: usize) -> usize {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().expect("a number"))
}

// ---- the block

/// Samples of one kind in a row.
enum Part {
    Floats(Vec<(i64, f64)>),
    Histograms(Vec<(i64, FloatHistogram)>),
}

fn parts(values: &[Value]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (t, value) in (0..).map(|at| at * INTERVAL).zip(values) {
        match (value, parts.last_mut()) {
            (Value::Omitted, _) => {}
            (Value::Float(v), Some(Part::Floats(part))) => part.push((t, *v)),
            (Value::Float(v), _) => parts.push(Part::Floats(vec![(t, *v)])),
            (Value::Histogram { histogram, .. }, Some(Part::Histograms(part))) => {
                part.push((t, FloatHistogram::clone(histogram)));
            }
            (Value::Histogram { histogram, .. }, _) => {
                let first = FloatHistogram::clone(histogram);
                parts.push(Part::Histograms(vec![(t, first)]));
            }
        }
    }
    parts
}

/// A chunk: first and last time, samples, encoding, data.
type Chunk = (i64, i64, u64, Encoding, Vec<u8>);

fn chunks(part: &Part) -> Vec<Chunk> {
    match part {
        Part::Floats(samples) => {
            let mut appender = XorAppender::new();
            samples.iter().for_each(|(t, v)| appender.push(*t, *v));
            let ends = (samples[0].0, samples[samples.len() - 1].0);
            let count = samples.len() as u64;
            vec![(ends.0, ends.1, count, Encoding::Xor, appender.finish())]
        }
        Part::Histograms(samples) => histogram_chunks(samples),
    }
}

fn histogram_chunks(samples: &[(i64, FloatHistogram)]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut open, mut mint, mut maxt): (Option<FloatHistogramAppender>, i64, i64) = (None, 0, 0);
    let mut close = |appender: FloatHistogramAppender, mint, maxt| {
        let count = appender.samples() as u64;
        let data = appender.finish();
        chunks.push((mint, maxt, count, Encoding::FloatHistogram, data));
    };
    for (t, h) in samples {
        match &mut open {
            None => {
                open = Some(FloatHistogramAppender::begin(*t, h, None));
                mint = *t;
            }
            Some(appender) => {
                if let Appended::Next(next) = appender.append(*t, h) {
                    close(std::mem::replace(appender, *next), mint, maxt);
                    mint = *t;
                }
            }
        }
        maxt = *t;
    }
    open.into_iter().for_each(|last| close(last, mint, maxt));
    chunks
}

fn write_block(folder: &Path, series: &[(String, String)]) {
    let mut lines: Vec<_> = series
        .iter()
        .map(|(metric, values)| parse_series(&format!("{metric} {values}")).expect("a series"))
        .collect();
    lines.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut block = BlockWriter::create(folder, Ulid::from_parts(1, 1)).expect("a block");
    for line in &lines {
        let labels = line.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let chunks: Vec<Chunk> = parts(&line.values).iter().flat_map(chunks).collect();
        let encoded = chunks
            .iter()
            .map(|(mint, maxt, samples, encoding, data)| EncodedChunk {
                mint: *mint,
                maxt: *maxt,
                samples: *samples,
                encoding: encoding.as_byte(),
                data,
            });
        block.add(labels, encoded).expect("added");
    }
    block.finish().expect("written");
}

// ---- both sides

fn theirs(address: &str, query: &str, (start, end, step): (i64, i64, i64)) -> Option<Json> {
    let range = format!("&start={start}&end={end}&step={step}");
    ask(address, "query_range", query, &range)
}

/// The answer's JSON, or none for an error, also that of a connection while it starts.
fn ask(address: &str, endpoint: &str, query: &str, more: &str) -> Option<Json> {
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let target = format!("/api/v1/{endpoint}?query={query}{more}");
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: Json = serde_json::from_str(body).ok()?;
    (body["status"] == "success").then_some(body)
}

fn ours(
    engine: &Engine,
    blocks: &Blocks,
    query: &str,
    (start, end, step): (i64, i64, i64),
) -> Option<Json> {
    let expr = promql::parse_with(query, Features::all()).ok()?;
    let (start, end, step) = (start * 1000, end * 1000, step * 1000);
    let answer = engine.range(blocks, &expr, start, end, step, &Cancel::new());
    let pieces: Vec<_> = thanos::api::answer_json(answer.ok()?).collect();
    Some(serde_json::from_slice(&pieces.concat()).expect("JSON"))
}

/// What random queries have not.
const DURATIONS: [&str; 4] = [
    "a[5m + 2 * step()] offset -range()",
    "rate(a[(1h - 30s)])[min_of(step(), 10m):max_of(step(), 5s)] offset (step() + 1)",
    "a[1h:] smoothed",
    "rate(a[5m] smoothed @ start()) + on () group_left fill_right (3) rate(b[1h] anchored @ 12.5)",
];

/// What is different in the trees that `parse_query` gives.
fn other_tree(address: &str, query: &str) -> Option<String> {
    let wanted = ask(address, "parse_query", query, "").map(|it| it["data"].clone());
    let got = promql::parse_with(query, Features::all()).ok();
    let got = got.map(|expr| thanos::api::tree(&expr, Places::Left));
    (got != wanted).then(|| format!("the tree of {query}: {got:#?} is not {wanted:#?}"))
}

#[test]
fn random_range_queries_are_answered_as_prometheus_answers_them() {
    let Some(prometheus) = prometheus() else {
        return;
    };
    let seed = number("TKS_FUZZ_SEED", 1) as u64;
    let count = number("TKS_FUZZ_QUERIES", 2000);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    write_block(&data, &random.series());
    let configuration = folder.path().join("prometheus.yml");
    std::fs::write(&configuration, "global: {}\n").expect("written");
    let address = free_address();
    let flags = [
        format!("--config.file={}", configuration.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address={address}"),
        format!("--enable-feature={FEATURES}"),
        "--storage.tsdb.retention.time=100y".to_owned(),
    ];
    let _running = Running::start(&prometheus, &flags, folder.path().join("log"));
    eventually("an answer of Prometheus", || {
        theirs(&address, "vector(1)", (0, 1, 1))
    });
    let blocks = Blocks::open(&data).expect("the block");
    let engines = [1, 2].map(|threads| {
        Engine::new(Options {
            threads,
            delayed_name_removal: true,
            ..Options::default()
        })
    });
    let (mut different, mut errors) = (Vec::new(), 0);
    for _ in 0..count {
        let (query, range) = (random.query(), RANGES[random.below(RANGES.len())]);
        let wanted = theirs(&address, &query, range);
        errors += usize::from(wanted.is_none());
        let got = engines
            .each_ref()
            .map(|engine| ours(engine, &blocks, &query, range));
        if got[0] != got[1] {
            different.push(format!("{query} over {range:?}: one thread is not two"));
        }
        let [got, _] = got;
        let difference = match (got, wanted) {
            (None, None) => None,
            (Some(got), Some(wanted)) => answers::difference(&got, &wanted),
            (got, _) => Some(format!("an answer: {}", got.is_some())),
        };
        different.extend(difference.map(|why| format!("{query} over {range:?}: {why}")));
        different.extend(other_tree(&address, &query));
    }
    different.extend(
        DURATIONS
            .iter()
            .filter_map(|query| other_tree(&address, query)),
    );
    let found = different.len();
    println!("seed {seed}: {count} range queries, {errors} errors, {found} different");
    assert!(different.is_empty(), "{}", different.join("\n"));
}
