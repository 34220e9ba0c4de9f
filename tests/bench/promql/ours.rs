//! Our side: this program once more, which reads the places of queries from stdin and answers each in a line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use model::Cancel;
use promql::{Answer, Engine, Options};
use serde_json::{Value as Json, json};
use tsdb::block::Blocks;

use crate::Side;
use crate::queries::{self, Ask, Query};
use crate::support::process::{Cpu, Memory, Peak};

/// Names the blocks for the process that answers.
const BLOCKS: &str = "TKS_BENCH_BLOCKS";

pub(crate) struct Ours {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    cpu: Cpu,
    so_far: Duration,
    memory: Memory,
}

impl Ours {
    pub(crate) fn start(folder: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(&program);
        command.env(BLOCKS, folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let requests = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        answers.read_line(&mut ready).expect("it opens its blocks");
        let (cpu, memory) = (Cpu::of(child.id()), Memory::watch(child.id()));
        let so_far = cpu.spent();
        println!(
            "{BLOCKS}={} {} (blocks opened in {:.0} CPU ms, not counted)",
            folder.display(),
            program.display(),
            so_far.as_secs_f64() * 1e3
        );
        Self {
            child,
            requests,
            answers,
            cpu,
            so_far,
            memory,
        }
    }
}

impl Side for Ours {
    fn ask(&mut self, place: usize, _: &Query) -> (Json, Duration) {
        writeln!(self.requests, "{place}").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let before = std::mem::replace(&mut self.so_far, self.cpu.spent());
        let answer = serde_json::from_str(&line).expect("an answer in JSON");
        (answer, self.so_far - before)
    }

    fn stop(mut self) -> Peak {
        let peak = self.memory.peak();
        drop(self.requests);
        self.child.wait().expect("it ends");
        peak
    }
}

fn folder() -> Option<OsString> {
    std::env::var_os(BLOCKS)
}

/// Whether this is the process that answers.
pub(crate) fn is_asked() -> bool {
    folder().is_some()
}

/// Answers until nothing more is asked.
pub(crate) fn answer_from_stdin() {
    let folder = PathBuf::from(folder().expect("blocks"));
    let blocks = Blocks::open(&folder).expect("blocks that can be read");
    let queries = queries::all();
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready").expect("somebody reads");
    for line in std::io::stdin().lines() {
        let place: usize = line.expect("a line").parse().expect("a place");
        match &queries[place].ask {
            Ask::Values { label, start, end } => {
                let values = label_values(&blocks, label, (start * 1000, end * 1000));
                writeln!(out, "{}", json!({ "data": values })).expect("somebody reads");
            }
            ask => {
                for piece in thanos::api::answer_json(evaluate(&blocks, ask)) {
                    out.write_all(&piece).expect("somebody reads");
                }
                out.flush().expect("somebody reads");
            }
        }
    }
}

fn evaluate(blocks: &Blocks, ask: &Ask) -> Answer {
    let (engine, cancel) = (Engine::new(Options::default()), Cancel::new());
    let answer = match *ask {
        Ask::Instant { query, time } => {
            let expr = promql::parse(query).expect("PromQL");
            engine.instant(blocks, &expr, time * 1000, &cancel)
        }
        Ask::Range {
            query,
            start,
            end,
            step,
        } => {
            let expr = promql::parse(query).expect("PromQL");
            let (start, end, step) = (start * 1000, end * 1000, step * 1000);
            engine.range(blocks, &expr, start, end, step, &cancel)
        }
        Ask::Values { .. } => unreachable!("no PromQL"),
    };
    answer.expect("an answer")
}

fn label_values(blocks: &Blocks, label: &str, (start, end): (i64, i64)) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for block in blocks.iter() {
        let meta = block.meta();
        if meta.min_time > end || start >= meta.max_time {
            continue;
        }
        for value in block.header().label_values(label) {
            let (value, _) = value.expect("a value");
            if !values.contains(value) {
                values.insert(value.to_owned());
            }
        }
    }
    values
}
