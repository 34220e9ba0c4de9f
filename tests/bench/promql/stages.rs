//! What a sample costs, stage by stage: all of `rate` over the classic histograms of 24 hours.
//!
//! Stages are told apart by leaving one out after the other: the series without their samples, the samples without a
//! function over them, windows without an aggregation, the whole query. The bare loop decodes the same samples from
//! chunks in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{Cancel, Columns, Queryable as _, Select, Symbols};
use promql::{AnswerValue, Engine, Options};
use tsdb::block::Blocks;
use tsdb::chunk::{Encoding, XorAppender};

use crate::support::data::{HOURS, START};
use crate::support::process::Cpu;

const METRIC: &str = "http_request_duration_seconds_bucket";
const RUNS: usize = 3;
/// What decoding may take of the bare loop.
const DECODE: f64 = 1.5;
/// As Prometheus cuts chunks.
const CHUNK: usize = 120;

const END: i64 = (START + HOURS * 3600 - 60) * 1000;
const FIRST: i64 = (START + (HOURS - 24) * 3600) * 1000;
const STEP: i64 = 300_000;

/// Prints the figures. Returns what is over its limit.
pub(crate) fn print(folder: &Path) -> Option<String> {
    let blocks = Blocks::open(folder).expect("blocks that can be read");
    let (bare, samples) = bare_loop(&blocks);
    let names = least(|| read(&blocks, Samples::Left));
    let decoded = least(|| read(&blocks, Samples::Decoded));
    let windows = least(|| ask(&blocks, &format!("absent(rate({METRIC}[5m]))")).0);
    let summed = format!("sum by (le, namespace) (rate({METRIC}[5m]))");
    let (whole, points, encoded) = (0..RUNS)
        .map(|_| ask(&blocks, &summed))
        .min_by_key(|(whole, ..)| *whole)
        .expect("runs");
    let each = |spent: Duration, of: usize| spent.as_secs_f64() * 1e9 / of as f64;
    println!("\nns a sample, {samples} samples, one thread, least of {RUNS} runs:");
    println!("  series   {:6.2}", each(names, samples));
    let decode = each(decoded.saturating_sub(names), samples);
    let bare = each(bare, samples);
    let share = decode / bare;
    println!("  decode   {decode:6.2} ({share:.2} of the bare loop's {bare:.2})");
    println!(
        "  window   {:6.2}",
        each(windows.saturating_sub(decoded), samples)
    );
    println!(
        "  aggregate{:6.2}",
        each(whole.saturating_sub(windows), samples)
    );
    println!(
        "  encode   {:6.2} a point of {points}",
        each(encoded, points)
    );
    (share > DECODE).then(|| format!("decode, {share:.2} of the bare loop"))
}

fn least(run: impl Fn() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().expect("runs")
}

fn select() -> Select {
    let matchers = promql::parse_selector(METRIC).expect("a selector");
    Select::new(Arc::new(Symbols::new()), matchers, FIRST - STEP, END)
}

/// The chunks of the series as Prometheus cuts them, and a loop over them that keeps nothing.
fn bare_loop(blocks: &Blocks) -> (Duration, usize) {
    let (mut spent, mut samples) = (Duration::ZERO, 0);
    let mut columns = Columns::default();
    each_batch(blocks, &select(), |batch| {
        let mut chunks = Vec::new();
        for series in &batch {
            columns.clear();
            series.samples.read(&mut columns).expect("samples");
            samples += columns.len();
            chunks.push(encoded(&columns));
        }
        let before = Cpu::of_myself().spent();
        for chunks in &chunks {
            columns.clear();
            for chunk in chunks {
                tsdb::chunk::decode(Encoding::Xor, chunk, &mut columns).expect("samples");
            }
        }
        spent += Cpu::of_myself().spent() - before;
    });
    (spent, samples)
}

fn encoded(columns: &Columns) -> Vec<Vec<u8>> {
    let pairs = columns.t.chunks(CHUNK).zip(columns.v.chunks(CHUNK));
    let chunk = |(t, v): (&[i64], &[f64])| {
        let mut chunk = XorAppender::new();
        t.iter().zip(v).for_each(|(t, v)| chunk.push(*t, *v));
        chunk.finish()
    };
    pairs.map(chunk).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Samples {
    Left,
    Decoded,
}

fn read(blocks: &Blocks, samples: Samples) -> Duration {
    let before = Cpu::of_myself().spent();
    let mut select = select();
    select.skip_samples = samples == Samples::Left;
    let mut columns = Columns::default();
    each_batch(blocks, &select, |batch| {
        for series in batch {
            columns.clear();
            series.samples.read(&mut columns).expect("samples");
        }
    });
    Cpu::of_myself().spent() - before
}

fn each_batch(blocks: &Blocks, select: &Select, mut visit: impl FnMut(model::Batch)) {
    let mut stream = blocks.select(select, &Cancel::new()).expect("series");
    while let Some(batch) = stream.next().expect("series") {
        visit(batch);
    }
}

/// CPU time of the evaluation, and how many points were then encoded in what time.
fn ask(blocks: &Blocks, query: &str) -> (Duration, usize, Duration) {
    let expr = promql::parse(query).expect("PromQL");
    let engine = Engine::new(Options::default());
    let before = Cpu::of_myself().spent();
    let answer = engine.range(blocks, &expr, FIRST, END, STEP, &Cancel::new());
    let evaluated = Cpu::of_myself().spent();
    let answer = answer.expect("an answer");
    let points = match &answer.value {
        AnswerValue::Matrix(series) => series.iter().map(|series| series.points.len()).sum(),
        _ => 0,
    };
    let begun = Cpu::of_myself().spent();
    thanos::api::answer_json(answer).for_each(drop);
    (evaluated - before, points, Cpu::of_myself().spent() - begun)
}
