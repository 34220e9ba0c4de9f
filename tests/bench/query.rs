//! What the querier costs beside the real one, over the same fake stores: `cargo bench --bench query -- --size ci|full`.
//!
//! The stores are gRPC servers of this process that answer with frames that were encoded beforehand; what they cost is not counted.
//! Both queriers are asked the same in the same run, and their answers are compared before anything is measured. CPU is user
//! and system time of the querier while it is asked; memory is the highest RssAnon + RssShmem of its whole life, which is one
//! kind of question over one set of stores. A word (`fanout`, `first`, `replicas`) after the size chooses one part.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "promql/answers.rs"]
mod answers;
#[path = "query/ask.rs"]
mod ask;
#[path = "query/data.rs"]
mod data;
#[path = "query/fake.rs"]
mod fake;
#[path = "query/fanout.rs"]
mod fanout;
#[path = "query/first.rs"]
mod first;
#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "query/loopback.rs"]
mod loopback;
#[path = "query/querier.rs"]
mod querier;
#[path = "query/replicas.rs"]
mod replicas;
mod support;

use querier::Programs;
use support::Size;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let size = Size::of_command_line();
    let Some(thanos) = support::peer("thanos", "bench query") else {
        return;
    };
    let programs = Programs {
        tks: fleet::tks(),
        thanos,
    };
    // One part alone, when a word names it.
    let word = |part: &str| std::env::args().any(|word| word == part);
    let parts = ["fanout", "first", "replicas"];
    let chosen = |part| word(part) || !parts.iter().any(|part| word(part));
    let mut missed = Vec::new();
    if chosen("fanout") {
        missed.extend(fanout::measure(&programs, size));
    }
    if chosen("replicas") {
        missed.extend(replicas::measure(&programs, size));
    }
    if chosen("first") {
        missed.extend(first::measure(&programs));
    }
    for line in missed {
        println!("goal missed: {line}");
    }
}
