//! One of ten stores is slow: when the first frame of the merged answer is there.

use std::time::Duration;

use crate::ask::{Ask, Asked};
use crate::data::Scrapes;
use crate::fake::Stores;
use crate::querier::{Programs, Querier, Whose};

/// What the slow store takes from its first frame to its last.
const TAKES: Duration = Duration::from_secs(2);
/// Of that, the first byte may take such a part.
const GOAL: f64 = 0.25;

/// Returns what missed its goal.
pub(crate) fn measure(programs: &Programs) -> Vec<String> {
    let scrapes = Scrapes {
        step: 15_000,
        count: 120,
        jitter: 0,
        gaps: 0,
    };
    let stores = Stores::start(10, 20_000, scrapes, TAKES);
    println!("\n== Ten stores, one of which takes {TAKES:?} for its series");
    let ask = Ask::Series { merged: true };
    let run = |whose, flags: &[&str]| {
        let querier = Querier::start(programs, whose, &stores, flags);
        // The connections are there then.
        ask.of(&querier, scrapes, false);
        ask.of(&querier, scrapes, true)
    };
    let ours = run(Whose::Ours, &[]);
    let lazy = run(Whose::Theirs, &["--grpc.proxy-strategy=lazy"]);
    let eager = run(Whose::Theirs, &[]);
    for (name, asked) in [("tks", &ours), ("Thanos, lazy", &lazy), ("Thanos", &eager)] {
        print(name, asked);
        if let Some(difference) = ask.difference(&ours.answer, &asked.answer) {
            panic!("{name}: {difference}");
        }
    }
    let late = ours.first > TAKES.mul_f64(GOAL);
    let line = || format!("the first byte after {:?}", ours.first);
    late.then(line).into_iter().collect()
}

fn print(name: &str, asked: &Asked) {
    println!(
        "{name:<14} first frame after {:>7.1} ms, the last after {:>7.1} ms",
        asked.first.as_secs_f64() * 1e3,
        asked.whole.as_secs_f64() * 1e3
    );
}
