//! Any expression over some series is an answer or an error within the limits, the same on one thread and on two. The first
//! bytes of the input choose the steps, the rest is the expression; its names are best among `f`, `c_total`, `h`, `b_bucket`.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use model::Cancel;
use promql::testlang::{Memory, parse_series};
use promql::{Engine, Features, Options, parse_with};

/// Milliseconds.
const INTERVAL: i64 = 30_000;
const SERIES: [&str; 8] = [
    "f{a=\"x\",b=\"1\"} 1 -2 stale NaN 3e300 -Inf _x3 5+1x20",
    "f{a=\"y\",b=\"1\"} 0x30",
    "f{a=\"y\",b=\"2\"} -1.5+0.25x30",
    "c_total{a=\"x\"} 0+10x10 3+7x19",
    "c_total{a=\"y\"} 5+1x8 _x4 1+1x17",
    "b_bucket{le=\"1\"} 0+1x30",
    "b_bucket{le=\"+Inf\"} 0+3x30",
    "h{a=\"x\"} {{schema:1 count:4 sum:6 z_bucket:1 buckets:[1 2]}}+{{schema:1 count:2 sum:1 buckets:[1 1]}}x30",
];

static MEMORY: LazyLock<Memory> = LazyLock::new(|| {
    let mut memory = Memory::default();
    for line in SERIES {
        let line = parse_series(line).expect("a series");
        for (at, value) in (0..).zip(&line.values) {
            memory.push(&line.labels, at * INTERVAL, value, None);
        }
    }
    memory
});

fuzz_target!(|input: (i32, u16, u16, &str)| {
    let (start, span, step, text) = input;
    let Ok(expr) = parse_with(text, Features::all()) else {
        return;
    };
    let evaluate = |threads| {
        let engine = Engine::new(Options {
            threads,
            max_samples: 20_000,
            ..Options::default()
        });
        let cancel = Cancel::new();
        let begun = Instant::now();
        let (start, span, step) = (i64::from(start), i64::from(span) * 100, i64::from(step));
        let range = engine.range(&*MEMORY, &expr, start, start + span, step, &cancel);
        let instant = engine.instant(&*MEMORY, &expr, start, &cancel);
        assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
        let value = |answer: Result<promql::Answer, _>| format!("{:?}", answer.map(|a| a.value));
        (value(range), value(instant))
    };
    assert_eq!(evaluate(1), evaluate(2));
});
