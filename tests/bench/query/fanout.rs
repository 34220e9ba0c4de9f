//! Fan-out and merge: CPU and memory of both queriers over the same stores.

use std::time::Duration;

use crate::ask::{Ask, Asked};
use crate::data::Scrapes;
use crate::fake::Stores;
use crate::loopback::Loopback;
use crate::querier::{Programs, Querier, Whose, print_commands};
use crate::support::Size;

/// What ours may take of the peer's, CPU and memory.
pub(crate) const GOAL: f64 = 0.25;
/// Series that are asked for together, in as many rounds as that takes.
const SERIES: usize = 100_000;
const MOST_ROUNDS: usize = 20;

/// Half an hour, as a store answers for an instant: the chunk that holds it.
const SCRAPES: Scrapes = Scrapes {
    step: 15_000,
    count: 120,
    jitter: 0,
    gaps: 0,
};

const ASKS: [Ask; 5] = [
    Ask::Series { merged: false },
    Ask::Series { merged: true },
    Ask::Labels,
    Ask::Instant("count(http_requests_total)"),
    Ask::Instant("sum by (namespace) (http_requests_total)"),
];

/// Stores, and their series together.
fn shapes(size: Size) -> Vec<(usize, usize)> {
    let stores = [2, 10, 100];
    match size {
        Size::Ci => vec![(2, 20_000), (10, 20_000), (100, 20_000)],
        Size::Full => [1_000, 100_000, 1_000_000]
            .into_iter()
            .flat_map(|series| stores.map(|stores| (stores, series)))
            .collect(),
    }
}

/// Returns what missed its goal.
pub(crate) fn measure(programs: &Programs, size: Size) -> Vec<String> {
    let loopback = Loopback::measure();
    println!("\n== Fan-out and merge, one chunk of 120 samples a series");
    print_commands(programs);
    println!(
        "loopback: {:.2} CPU s a GB received, {:.2} a GB sent\n",
        loopback.read * 1e9,
        loopback.write * 1e9
    );
    println!(
        "{:>6} {:>9} {:<30} | {:>9} {:>9} {:>6} | {:>8} {:>8} {:>6} | {:>9} {:>8}",
        "stores",
        "series",
        "",
        "CPU ms",
        "Thanos",
        "ratio",
        "MiB",
        "Thanos",
        "ratio",
        "ns/series",
        "bare TCP"
    );
    let mut missed = Vec::new();
    for (count, series) in shapes(size) {
        let stores = Stores::start(count, series, SCRAPES, Duration::ZERO);
        for ask in ASKS {
            let costs = compare(programs, &stores, ask, &[]);
            missed.extend(report(count, &stores, ask, &costs, loopback));
        }
    }
    missed
}

/// What an answer cost a querier.
pub(crate) struct Cost {
    /// Seconds for each round.
    pub(crate) cpu: f64,
    /// MiB.
    pub(crate) peak: f64,
    pub(crate) high: f64,
    /// Bytes of each round.
    pub(crate) received: u64,
    pub(crate) sent: usize,
}

/// Ours and theirs, of answers that are the same.
pub(crate) fn compare(programs: &Programs, stores: &Stores, ask: Ask, flags: &[&str]) -> [Cost; 2] {
    let runs = Whose::BOTH.map(|whose| run(programs, whose, stores, ask, flags));
    let [(ours, first), (theirs, second)] = runs;
    if let Some(difference) = ask.difference(&first.answer, &second.answer) {
        panic!("{}: {difference}", ask.name());
    }
    [ours, theirs]
}

fn run(
    programs: &Programs,
    whose: Whose,
    stores: &Stores,
    ask: Ask,
    flags: &[&str],
) -> (Cost, Asked) {
    let querier = Querier::start(programs, whose, stores, flags);
    let compared = ask.of(&querier, stores.scrapes, true);
    querier.cpu.wait_until_idle();
    stores.sent();
    let before = querier.cpu.spent();
    let rounds = (SERIES / stores.series).clamp(1, MOST_ROUNDS);
    for _ in 0..rounds {
        ask.of(&querier, stores.scrapes, false);
    }
    let spent = querier.cpu.spent() - before;
    let peak = querier.stop();
    let cost = Cost {
        cpu: spent.as_secs_f64() / rounds as f64,
        peak: peak.anonymous,
        high: peak.high,
        received: stores.sent() / rounds as u64,
        sent: compared.bytes,
    };
    (cost, compared)
}

/// One line; what missed its goal.
fn report(
    count: usize,
    stores: &Stores,
    ask: Ask,
    [ours, theirs]: &[Cost; 2],
    loopback: Loopback,
) -> Vec<String> {
    let (cpu, memory) = (ours.cpu / theirs.cpu, ours.peak / theirs.peak);
    let (name, series) = (ask.name(), stores.series);
    let floor = loopback.floor(ours.received, ours.sent);
    println!(
        "{count:>6} {series:>9} {name:<30} | {:>9.2} {:>9.2} {cpu:>6.3} | {:>8.1} {:>8.1} {memory:>6.3} | {:>9.0} {:>8.0}",
        ours.cpu * 1e3,
        theirs.cpu * 1e3,
        ours.peak,
        theirs.peak,
        ours.cpu * 1e9 / series as f64,
        floor * 1e9 / series as f64,
    );
    let what = format!("{count} stores, {series} series, {name}");
    let ratios = [
        ("CPU", cpu, GOAL),
        ("memory", memory, GOAL),
        ("VmHWM", ours.high / theirs.high, 1.0),
    ];
    let over = ratios.iter().filter(|(_, found, goal)| found > goal);
    over.map(|(kind, found, goal)| format!("{what}: {kind} {found:.3}, not {goal:.2}"))
        .collect()
}
