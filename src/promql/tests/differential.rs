//! Random queries over random series, ours against the real `promtool` of Prometheus 3.15 (`test rules` evaluates with
//! Prometheus's engine and prints what it got). It is looked for in `PATH` and `~/.cache/tks-peers/bin` (`TKS_PEERS`);
//! without it the test is left out and says so, with `TKS_REQUIRE_PEERS` set it fails. No difference is allowed; what
//! Prometheus leaves to chance is not asked for (`queries`).
//!
//! `TKS_FUZZ_SEED` and `TKS_FUZZ_QUERIES` choose others, and more of them.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are the point"
)]

mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::Cancel;
use promql::testlang::{Memory, parse_series};
use promql::{Answer, AnswerValue, Engine, Features, Options, parse_with};
use queries::Random;

/// Seconds of the evaluations. The last one is behind all samples, so that all are loaded.
const TIMES: [i64; 4] = [0, 600, 1047, 1860];
const INTERVAL: i64 = 30;
/// Relative difference that the order of a sum may make.
const TOLERANCE: f64 = 1e-10;

fn promtool() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let peers = std::env::var_os("TKS_PEERS").map(PathBuf::from);
    let peers = peers.or(home.map(|home| home.join(".cache/tks-peers")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(peers.map(|peers| peers.join("bin")));
    let mut found = folders.map(|folder| folder.join("promtool"));
    found.find(|tool| {
        // Older ones answer other things: delayed name removal came with the third.
        let help = Command::new(tool).arg("--help").output();
        help.is_ok_and(|help| {
            let text = [help.stdout, help.stderr].concat();
            String::from_utf8_lossy(&text).contains("promql-extended-range-selectors")
        })
    })
}

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().expect("a number"))
}

/// What promtool says to each query that gives anything: `{labels} value, …` or `err: …`.
fn theirs(
    tool: &Path,
    series: &[(String, String)],
    cases: &BTreeSet<(String, i64)>,
) -> BTreeMap<(String, String), String> {
    let mut file =
        String::from("evaluation_interval: 1m\ntests:\n- interval: 30s\n  input_series:\n");
    for (metric, values) in series {
        let _ = writeln!(file, "  - series: '{metric}'\n    values: '{values}'");
    }
    file.push_str("  promql_expr_test:\n");
    for (query, time) in cases {
        let _ = writeln!(
            file,
            "  - expr: |-\n      {query}\n    eval_time: {time}s\n    exp_samples: []"
        );
    }
    let folder = std::env::temp_dir().join(format!("tks-promql-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("test.yaml");
    std::fs::write(&path, file).expect("a file");
    let output = Command::new(tool)
        .args([
            "test",
            "rules",
            "--enable-feature=promql-experimental-functions,promql-delayed-name-removal",
        ])
        .arg(&path)
        .output()
        .expect("promtool runs");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    answers(&String::from_utf8_lossy(&output.stderr))
}

fn answers(text: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    let mut key = None;
    for line in text.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("expr: \"") {
            let (query, rest) = rest.split_once("\", time: ").expect("a time");
            let (time, rest) = rest.split_once(',').expect("an error or a comma");
            let place = (query.replace("\\\\", "\\"), time.to_owned());
            if rest.starts_with(" err: ") {
                found.insert(place, rest.trim().to_owned());
            } else {
                key = Some(place);
            }
        } else if let Some(got) = line.trim_start().strip_prefix("got: ") {
            found.extend(key.take().map(|key| (key, got.to_owned())));
        }
    }
    found
}

/// Our answer in the same form, or `err: …`.
fn ours(engine: &Engine, memory: &Memory, query: &str, time: i64) -> Option<String> {
    let features = Features {
        experimental_functions: true,
        ..Features::default()
    };
    let expr = match parse_with(query, features) {
        Ok(expr) => expr,
        Err(error) => return Some(format!("err: {error}")),
    };
    match engine.instant(memory, &expr, time * 1000, &Cancel::new()) {
        Ok(answer) => text(&answer),
        Err(error) => Some(format!("err: {error}")),
    }
}

fn text(answer: &Answer) -> Option<String> {
    let samples = match &answer.value {
        AnswerValue::Scalar(_, v) => vec![format!("{{}} {v:e}")],
        AnswerValue::Vector(samples) => {
            let mut samples: Vec<_> = samples.iter().collect();
            samples.sort_by(|a, b| a.labels.compare(&b.labels, &answer.symbols));
            let samples = samples.iter().map(|sample| {
                let labels = sample.labels.display(&answer.symbols);
                match &sample.histogram {
                    Some(histogram) => format!("{labels} {}", histogram.test_expression()),
                    None => format!("{labels} {:e}", sample.v),
                }
            });
            samples.collect()
        }
        AnswerValue::String(..) | AnswerValue::Matrix(_) => vec!["no vector".to_owned()],
    };
    (!samples.is_empty()).then(|| samples.join(", "))
}

/// Whether two answers are the same but for rounding. Of a query with several mistakes either may be told first.
fn same(ours: &str, theirs: &str) -> bool {
    if ours.starts_with("err: ") || theirs.starts_with("err: ") {
        return ours.starts_with("err: ") && theirs.starts_with("err: ");
    }
    let words = |text: &str| -> Vec<String> {
        let separators = [' ', ',', '[', ']', ':', '}'];
        text.split(separators).map(str::to_owned).collect()
    };
    let (ours, theirs) = (words(ours), words(theirs));
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a == b || close(a, b))
}

fn close(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else {
        return false;
    };
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// Go's text of a Prometheus duration.
fn duration(seconds: i64) -> String {
    model::format_duration(seconds * 1000)
}

#[test]
fn random_queries_are_answered_as_prometheus_answers_them() {
    let Some(tool) = promtool() else {
        assert!(
            std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
            "no promtool of Prometheus 3.15"
        );
        eprintln!("left out: no promtool of Prometheus 3.15");
        return;
    };
    let (seed, count) = (number("TKS_FUZZ_SEED", 1), number("TKS_FUZZ_QUERIES", 5000));
    let mut random = Random::new(seed);
    let series = random.series();
    let mut cases = BTreeSet::new();
    while cases.len() < usize::try_from(count).expect("a count") {
        let time = TIMES[random.below(TIMES.len())];
        cases.insert((random.query(), time));
    }
    let mut memory = Memory::default();
    for (metric, values) in &series {
        let line = parse_series(&format!("{metric} {values}")).expect("a series");
        for (at, value) in (0..).zip(&line.values) {
            memory.push(&line.labels, at * INTERVAL * 1000, value, None);
        }
    }
    let engine = Engine::new(Options {
        delayed_name_removal: true,
        ..Options::default()
    });
    let theirs = theirs(&tool, &series, &cases);
    assert!(
        theirs.len() * 3 > cases.len(),
        "only {} queries gave anything",
        theirs.len()
    );
    let (mut different, mut errors) = (Vec::new(), 0);
    for (query, time) in &cases {
        let got = ours(&engine, &memory, query, *time);
        let wanted = theirs.get(&(query.clone(), duration(*time)));
        errors += usize::from(wanted.is_some_and(|text| text.starts_with("err")));
        let agree = match (&got, wanted) {
            (None, None) => true,
            (Some(got), Some(wanted)) => same(got, wanted),
            _ => false,
        };
        if !agree {
            let (got, wanted) = (got.unwrap_or_default(), wanted.cloned().unwrap_or_default());
            different.push(format!(
                "{query} at {time} s\n  ours   {got}\n  theirs {wanted}"
            ));
        }
    }
    println!(
        "seed {seed}: {} queries, {} with an answer, {errors} errors, {} different",
        cases.len(),
        theirs.len() - errors,
        different.len()
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
}
