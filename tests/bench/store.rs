//! What the store gateway costs beside the real one, over the same bucket: `cargo bench --bench store -- --size ci|full`.
//!
//! The buckets are made by `tsdbgen` (`TKS_TSDBGEN` names the program; else it lies beside the peers) and are kept beside the
//! peers; what cannot be made is said to be left out. Answers are compared before anything is measured.
//!
//! *Cold* is a new process with an empty data folder, *warm* the same process again. CPU is user and system time of the server
//! while the calls run. Memory is the highest RssAnon + RssShmem of the process's whole life, sampled every 50 ms; VmHWM
//! stands beside it. Ratios are of one run; wall time is not measured but for the start over a slow network.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "store/calls.rs"]
mod calls;
#[path = "store/cgroup.rs"]
mod cgroup;
#[path = "store/data.rs"]
mod data;
#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "process.rs"]
mod process;
#[path = "store/server.rs"]
mod server;
#[path = "store/start.rs"]
mod start;

use std::path::PathBuf;

use data::Data;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Ci,
    Full,
}

impl Size {
    fn from_arguments() -> Self {
        let words: Vec<String> = std::env::args().collect();
        match words.iter().position(|word| word == "--size") {
            None => Self::Ci,
            Some(at) => match words.get(at + 1).map(String::as_str) {
                Some("ci") => Self::Ci,
                Some("full") => Self::Full,
                other => panic!("--size is ci or full, not {other:?}"),
            },
        }
    }
}

/// Ours and the peer.
#[derive(Clone, Debug)]
struct Programs {
    tks: PathBuf,
    thanos: PathBuf,
}

fn main() {
    let size = Size::from_arguments();
    let Some(thanos) = fleet::peer("thanos", "bench store") else {
        return;
    };
    let programs = Programs {
        tks: fleet::tks(),
        thanos,
    };
    // One part alone, when a word names it.
    let word = |part: &str| std::env::args().any(|word| word == part);
    let parts = ["calls", "cgroup", "start"];
    let chosen = |part| word(part) || !parts.iter().any(|part| word(part));
    let kinds: &[Data] = match size {
        Size::Ci => &[data::CI],
        Size::Full => &[data::REGULAR, data::JITTER],
    };
    for kind in kinds {
        let Some(bucket) = data::bucket(kind) else {
            continue;
        };
        if chosen("calls") {
            calls::measure(&programs, kind, &bucket, size);
        }
        if chosen("cgroup") {
            cgroup::measure(&programs, kind, &bucket);
        }
    }
    if chosen("start") {
        let many = match size {
            Size::Ci => &data::SOME_BLOCKS,
            Size::Full => &data::MANY_BLOCKS,
        };
        if let Some(bucket) = data::bucket(many) {
            start::measure(&programs, many, &bucket);
        }
    }
}
