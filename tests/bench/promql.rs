//! What PromQL costs over 48 hours of blocks, ours in-process in a process of its own and a real Prometheus 3.15 over the same
//! blocks in the same run: `cargo bench --bench promql -- --size ci|full`.
//!
//! Each side answers the queries one after the other, each once (the first run counts, over files that were read before), and
//! the answers are compared before anything is said about their cost. CPU is user and system time of the whole process from
//! one query to the next; memory is the highest RssAnon + RssShmem, sampled every 50 ms. Then our stages are told apart, in ns
//! for each sample read, with the bare loop over the same chunks in memory beside.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "promql/answers.rs"]
mod answers;
#[path = "promql/ours.rs"]
mod ours;
#[path = "promql/queries.rs"]
mod queries;
#[path = "promql/stages.rs"]
mod stages;
mod support;
#[path = "promql/theirs.rs"]
mod theirs;

use std::path::Path;
use std::time::Duration;

use ours::Ours;
use queries::Query;
use serde_json::Value as Json;
use support::data::{Scrapes, blocks};
use support::process::Peak;
use support::{Size, peer};
use theirs::Prometheus;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What we may take of what Prometheus takes: in total, and for each query over [`LARGE`].
const SHARE_OF_ALL: f64 = 0.25;
const SHARE_OF_EACH: f64 = 1.0 / 3.0;
const LARGE: Duration = Duration::from_millis(50);
/// MiB of anonymous memory.
const MEMORY: f64 = 100.0;

/// What answers queries.
trait Side {
    /// The answer as JSON, and the CPU time since the answer before.
    fn ask(&mut self, place: usize, query: &Query) -> (Json, Duration);
    fn stop(self) -> Peak;
}

/// All queries, answered by one side.
struct Run {
    answers: Vec<Json>,
    spent: Vec<Duration>,
    peak: Peak,
}

impl Run {
    fn of(mut side: impl Side, queries: &[Query]) -> Self {
        let asked = queries.iter().enumerate();
        let asked = asked.map(|(place, query)| side.ask(place, query));
        let (answers, spent) = asked.unzip();
        Self {
            answers,
            spent,
            peak: side.stop(),
        }
    }
}

fn main() {
    if ours::is_asked() {
        return ours::answer_from_stdin();
    }
    let size = Size::of_command_line();
    let Some(prometheus) = peer("prometheus", "PromQL beside Prometheus") else {
        return;
    };
    let mut over = Vec::new();
    for scrapes in Scrapes::ALL {
        let Some(folder) = blocks(scrapes, size) else {
            return;
        };
        over.extend(compare(&folder, &prometheus));
        over.extend(stages::print(&folder));
    }
    for line in &over {
        println!("over its limit: {line}");
    }
}

/// Reads all files once, so that neither side pays for the disk: the first one to come would pay for both.
fn warm(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            warm(&path);
        } else {
            let mut file = std::fs::File::open(&path).expect("readable");
            std::io::copy(&mut file, &mut std::io::sink()).expect("readable");
        }
    }
}

/// Both sides over one set of blocks. Returns what is over its limit.
fn compare(folder: &Path, prometheus: &Path) -> Vec<String> {
    let queries = queries::all();
    warm(folder);
    let ours = Run::of(Ours::start(folder), &queries);
    let theirs = Run::of(Prometheus::start(prometheus, folder), &queries);
    for (query, (ours, theirs)) in queries.iter().zip(ours.answers.iter().zip(&theirs.answers)) {
        if let Some(difference) = answers::difference(ours, theirs) {
            panic!("{}: {difference}", query.name);
        }
    }
    println!("\n{}: {} equal answers", folder.display(), queries.len());
    println!(
        "{:<28} {:>9} {:>12} {:>7}",
        "CPU ms", "tks", "Prometheus", "share"
    );
    let mut over = Vec::new();
    let rows = queries.iter().zip(ours.spent.iter().zip(&theirs.spent));
    for (query, (ours, theirs)) in rows {
        let share = print_row(query.name, *ours, *theirs);
        if *theirs > LARGE && share > SHARE_OF_EACH {
            over.push(format!("{}, {share:.2} of Prometheus", query.name));
        }
    }
    let (all_ours, all_theirs) = (ours.spent.iter().sum(), theirs.spent.iter().sum());
    let share = print_row("all", all_ours, all_theirs);
    if share > SHARE_OF_ALL {
        over.push(format!("all, {share:.2} of Prometheus"));
    }
    let rows = [
        (
            "MiB, anonymous peak",
            ours.peak.anonymous,
            theirs.peak.anonymous,
        ),
        ("MiB, VmHWM", ours.peak.high, theirs.peak.high),
    ];
    for (name, ours, theirs) in rows {
        println!(
            "{name:<28} {ours:>9.1} {theirs:>12.1} {:>7.2}",
            ours / theirs
        );
    }
    if ours.peak.anonymous > MEMORY {
        over.push(format!("memory, {:.1} MiB", ours.peak.anonymous));
    }
    over
}

fn print_row(name: &str, ours: Duration, theirs: Duration) -> f64 {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let share = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "{name:<28} {:>9.1} {:>12.1} {share:>7.2}",
        ms(ours),
        ms(theirs)
    );
    share
}
