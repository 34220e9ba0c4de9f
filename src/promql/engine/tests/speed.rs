//! What a sample costs, stage by stage. `cargo test --release -p tks-promql speed -- --ignored --nocapture`.

use std::time::Instant;

use model::Cancel;

use super::memory::Memory;
use crate::{Engine, parse};

const SERIES: usize = 300;
const SAMPLES: i64 = 11_520;
const INTERVAL: i64 = 15_000;

fn source() -> Memory {
    let mut memory = Memory::load(INTERVAL, "");
    for series in 0..SERIES {
        let instance = series.to_string();
        let job = (series % 10).to_string();
        let labels = [
            ("__name__", "c_total"),
            ("instance", instance.as_str()),
            ("job", job.as_str()),
        ];
        let value = |at: i64| (at % 2000) as f64 * 1.5 + series as f64;
        let samples: Vec<_> = (0..SAMPLES).map(|at| (at * INTERVAL, value(at))).collect();
        memory.push(&labels, &samples);
    }
    memory
}

#[test]
#[ignore = "a measurement, for release builds"]
fn speed() {
    let source = source();
    let (end, step) = (SAMPLES * INTERVAL, 300_000);
    let samples = (SERIES as i64 * SAMPLES) as f64;
    let cancel = Cancel::new();
    for query in [
        "c_total",
        "sum(c_total)",
        "rate(c_total[5m])",
        "sum by (job) (rate(c_total[5m]))",
        "avg_over_time(c_total[5m])",
        "max_over_time(c_total[1h])",
        "quantile_over_time(0.9, c_total[5m])",
        "c_total / on(instance) c_total",
        "topk(5, c_total)",
        "max_over_time(rate(c_total[5m])[30m:5m])",
    ] {
        let expr = parse(query).expect("a query");
        let start = Instant::now();
        let answer = Engine::default().range(&source, &expr, 0, end, step, &cancel);
        let spent = start.elapsed().as_nanos() as f64;
        assert!(answer.is_ok(), "{query}");
        eprintln!(
            "{:6.2} ns a sample, {:7.1} ms: {query}",
            spent / samples,
            spent / 1e6
        );
    }
}
