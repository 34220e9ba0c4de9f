//! Prometheus's own tests of PromQL, all of them, read from the Go module cache (`go mod download`): nothing is copied.
//! Without Go or the module they are left out and say so; with `TKS_REQUIRE_PEERS` set they fail then.
//!
//! `conformance.txt` holds how many evaluations of each file have to pass: no file gets worse unseen.
//! `TKS_PROMQL_FAILURES=FILE` writes down what failed and why.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are the point"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use promql::testlang::{Outcome, Script, engine};

const MODULE: &str = "github.com/prometheus/prometheus@v0.315.0";
const FLOOR: &str = include_str!("conformance.txt");

/// Where the module lies, or why it is not there.
fn module() -> Result<PathBuf, String> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(std::env::temp_dir())
        .env("GOFLAGS", "-mod=mod")
        .output()
        .map_err(|error| format!("go: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let dir = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"Dir\": \""));
    match dir.and_then(|dir| dir.split('"').next()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Err(format!("go mod download: {}", text.trim())),
    }
}

/// The corpus by file name; `None` if it is to be left out.
fn corpus() -> Option<BTreeMap<String, String>> {
    let dir = match module() {
        Ok(dir) => dir.join("promql/promqltest/testdata"),
        Err(why) if std::env::var_os("TKS_REQUIRE_PEERS").is_some() => panic!("{MODULE}: {why}"),
        Err(why) => {
            eprintln!("left out: {MODULE}: {why}");
            return None;
        }
    };
    let files = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let files = files.filter_map(Result::ok).map(|entry| entry.path());
    let tests = files.filter(|path| path.extension().is_some_and(|end| end == "test"));
    Some(tests.map(|path| (name(&path), read(&path))).collect())
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Counted without the parser under test.
fn directives(text: &str) -> usize {
    text.lines()
        .filter(|line| line.trim_start().starts_with("eval"))
        .count()
}

fn floor() -> BTreeMap<&'static str, usize> {
    let lines = FLOOR.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(file, passes)| (file, passes.trim().parse().expect("a number")))
        .collect()
}

struct Report {
    table: String,
    failures: String,
    worse: Vec<String>,
    passed: usize,
    total: usize,
}

impl Report {
    fn add(&mut self, file: &str, text: &str, floor: usize) {
        let outcomes: Vec<Outcome> = match Script::parse(text) {
            Ok(script) => script.run(&engine()),
            Err(error) => {
                let _ = writeln!(self.failures, "{file}: {error}");
                Vec::new()
            }
        };
        let total = directives(text);
        if !outcomes.is_empty() {
            assert_eq!(
                outcomes.len(),
                total,
                "{file}: not every evaluation was run"
            );
        }
        let passed = outcomes
            .iter()
            .filter(|outcome| outcome.result.is_ok())
            .count();
        for Outcome {
            line,
            query,
            result,
        } in &outcomes
        {
            if let Err(why) = result {
                let _ = writeln!(self.failures, "{file}:{line}: {query}\n    {why}");
            }
        }
        let _ = writeln!(self.table, "{file:<28} {passed:>4} of {total:>4}");
        if passed < floor {
            self.worse
                .push(format!("{file}: {passed} of {total} pass, {floor} have to"));
        }
        self.passed += passed;
        self.total += total;
    }
}

#[test]
fn the_corpus_of_prometheus_passes_as_far_as_it_did() {
    let Some(corpus) = corpus() else { return };
    let floor = floor();
    let mut report = Report {
        table: String::new(),
        failures: String::new(),
        worse: Vec::new(),
        passed: 0,
        total: 0,
    };
    for (file, text) in &corpus {
        report.add(
            file,
            text,
            floor.get(file.as_str()).copied().unwrap_or(usize::MAX),
        );
    }
    println!(
        "{}all files {:>23} of {:>4}",
        report.table, report.passed, report.total
    );
    if let Some(path) = std::env::var_os("TKS_PROMQL_FAILURES") {
        let text = format!("{}\n{}", report.table, report.failures);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    assert_eq!(
        (corpus.len(), report.total),
        (21, 2243),
        "the corpus is not that of v0.315.0"
    );
    assert!(report.worse.is_empty(), "{}", report.worse.join("\n"));
}
