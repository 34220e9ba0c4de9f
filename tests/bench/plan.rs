//! What plan, apply and list cost, on trees made here, with what Terragrunt and Terraform were measured to cost on trees of
//! the same shape beside: `cargo bench --bench plan -- --size ci|full`.
//!
//! A tree is `<account>/<region>/<cluster>`, four regions an account, five clusters a region; a cluster is three units that need
//! each other in a row (network, cluster, addons) of three resources each. A flat one is one unit. Resources are files of a
//! few bytes. CPU is user and system time of the one process, from `/proc` before it is reaped; memory is the highest
//! RssAnon + RssShmem, sampled every 2 ms, and VmHWM beside it.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "cost.rs"]
mod cost;

use std::fs;
use std::path::{Path, PathBuf};

use cost::{Cost, Sampling};

const RUNS: usize = 3;
/// When somebody who waits sees the first line, seconds.
const FIRST_LINE: f64 = 0.2;

/// What is measured, what it may cost, and what another tool was measured to cost.
struct Case {
    name: &'static str,
    /// In units of three resources, or 0 for a flat tree.
    units: usize,
    resources: usize,
    full: bool,
    limits: Limits,
    peers: Peers,
}

/// CPU seconds (and MiB) that a release build stays within on two cores.
#[derive(Default)]
struct Limits {
    plan: Option<(f64, Option<f64>)>,
    apply: Option<f64>,
    list: Option<f64>,
}

/// As recorded: Terragrunt 1.1 with Terraform 1.11.4, built-in resources, local state, on a machine of two cores.
#[derive(Default)]
struct Peers {
    plan: &'static str,
    apply: &'static str,
    list: &'static str,
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "30 units",
            units: 30,
            resources: 90,
            full: false,
            limits: Limits::default(),
            peers: Peers {
                plan: "Terragrunt 5.6 s, 556 MB in 11 processes",
                apply: "Terragrunt 7.2 s",
                list: "Terragrunt list --dag 0.24 s",
            },
        },
        Case {
            name: "300 units",
            units: 300,
            resources: 900,
            full: false,
            limits: Limits {
                plan: Some((0.5, Some(80.0))),
                ..Limits::default()
            },
            peers: Peers {
                plan: "Terragrunt 64.1 s, 4,465 MB in 98 processes",
                apply: "Terragrunt 59.4 s",
                list: "Terragrunt list --dag 1.0 s",
            },
        },
        Case {
            name: "900 units",
            units: 900,
            resources: 2700,
            full: true,
            limits: Limits {
                plan: Some((1.5, None)),
                list: Some(0.2),
                ..Limits::default()
            },
            peers: Peers {
                plan: "Terragrunt 180 s, 1,411 MB in 25 processes",
                apply: "Terragrunt 182 s",
                list: "Terragrunt list --dag 2.3 s",
            },
        },
        Case {
            name: "3,000 units",
            units: 3000,
            resources: 9000,
            full: true,
            limits: Limits::default(),
            peers: Peers::default(),
        },
        Case {
            name: "one unit of 300",
            units: 0,
            resources: 300,
            full: false,
            limits: Limits::default(),
            peers: Peers {
                plan: "Terraform 0.57 s, 95 MB",
                apply: "Terraform 3.8 s",
                list: "Terraform state list 0.07 s",
            },
        },
        Case {
            name: "one unit of 3,000",
            units: 0,
            resources: 3000,
            full: true,
            limits: Limits {
                plan: Some((0.5, None)),
                apply: Some(5.0),
                ..Limits::default()
            },
            peers: Peers {
                plan: "Terraform 9.3 s, 253 MB",
                apply: "Terraform over 107 s (1,853 of 3,000 when it was stopped)",
                list: "Terraform state list 0.45 s",
            },
        },
    ]
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let full = match words.iter().position(|word| word == "--size") {
        None => false,
        Some(at) => match words.get(at + 1).map(String::as_str) {
            Some("ci") => false,
            Some("full") => true,
            other => panic!("--size is ci or full, not {other:?}"),
        },
    };
    let built = PathBuf::from(env!("CARGO_BIN_EXE_tks"));
    let tks = std::env::var_os("TKS_BIN").map_or(built, PathBuf::from);
    println!(
        "{} (least of {RUNS} runs; peers as recorded, not of this run)\n",
        tks.display()
    );
    println!(
        "{:<19} {:<16} {:>7} {:>8} {:>8}  limit",
        "tree", "command", "CPU s", "peak MiB", "VmHWM"
    );
    let mut over = Vec::new();
    for case in cases().iter().filter(|case| full || !case.full) {
        over.extend(measure(&tks, case));
    }
    for line in &over {
        println!("over its limit: {line}");
    }
}

fn measure(tks: &Path, case: &Case) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let fleet = dir.path().join("bench");
    generate(&fleet, case);
    let fleet = fleet.display().to_string();
    let once = |args: &[&str]| cost::run(tks, args, Sampling::Fine);
    let applied = once(&["apply", &fleet, "--auto-approve"]);
    let planned = least(|| once(&["plan", &fleet, "--detailed-exitcode"]));
    let listed = least(|| once(&["list", "--dag", &fleet]));
    let (cpu, memory) = case
        .limits
        .plan
        .map_or((None, None), |(cpu, memory)| (Some(cpu), memory));
    let rows = [
        (
            "apply, all new",
            &applied,
            case.limits.apply,
            None,
            case.peers.apply,
        ),
        ("plan, no change", &planned, cpu, memory, case.peers.plan),
        ("list", &listed, case.limits.list, None, case.peers.list),
    ];
    let mut over = Vec::new();
    let first = (0..RUNS).map(|_| cost::first_line(tks, &["plan", "--json", &fleet]));
    let first = first.fold(f64::INFINITY, f64::min);
    println!(
        "{:<19} {:<16} {first:>7.3} s to its first line, by the clock; limit {FIRST_LINE} s",
        case.name, "plan --json"
    );
    if first > FIRST_LINE {
        over.push(format!("{}, the first line", case.name));
    }
    for (command, cost, cpu, memory, peer) in rows {
        let limit = cpu.map_or(String::new(), |cpu| format!("{cpu} s"));
        let limit = memory.map_or(limit.clone(), |memory| format!("{limit}, {memory} MiB"));
        println!(
            "{:<19} {command:<16} {:>7.2} {:>8.1} {:>8.1}  {limit:<15} {peer}",
            case.name, cost.cpu, cost.peak, cost.high
        );
        let beyond = |limit: Option<f64>, found: f64| limit.is_some_and(|limit| found > limit);
        if beyond(cpu, cost.cpu) || beyond(memory, cost.peak) {
            over.push(format!("{}, {command}", case.name));
        }
    }
    over
}

fn least(run: impl Fn() -> Cost) -> Cost {
    let costs = (0..RUNS).map(|_| run());
    let least = costs.min_by(|a, b| a.cpu.total_cmp(&b.cpu));
    least.expect("at least one run")
}

const MODULE: &str = "inputs:
  items: { type: list(string), required: true }
  from: { type: string, default: \"\" }
outputs: { id: { type: string } }
";

fn generate(fleet: &Path, case: &Case) {
    let write = |path: &str, text: &str| {
        let file = fleet.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    };
    write("fleet.yaml", "platform: local\n");
    let names: &[&str] = if case.units == 0 {
        &["flat"]
    } else {
        &["net", "main", "addons"]
    };
    let mut role = "units:\n".to_owned();
    for (at, name) in names.iter().enumerate() {
        write(&format!("modules/{name}/module.yaml"), MODULE);
        let local = format!(
            "resources:\n  item:\n    type: local.file\n    for_each: \"${{input.items}}\"\n    properties: {{ path: \"${{cluster.id}}/{name}-${{each}}\", content: \"${{input.from}} ${{each}}\" }}\noutputs: {{ id: \"{name} of ${{cluster.id}}\" }}\n"
        );
        write(&format!("modules/{name}/local.yaml"), &local);
        let before = at.checked_sub(1).and_then(|at| names.get(at));
        let from = before.map_or(String::new(), |it| format!(", from: \"${{unit.{it}.id}}\""));
        let items: Vec<String> = (0..case.resources / case.units.max(1))
            .map(|item| format!("r{item}"))
            .collect();
        let items = items.join(", ");
        role.push_str(&format!(
            "  {name}: {{ module: {name}, inputs: {{ items: [{items}]{from} }} }}\n"
        ));
    }
    write("modules/roles/bench.yaml", &role);
    for cluster in 0..(case.units / 3).max(1) {
        let (account, region) = (cluster / 20, cluster / 5 % 4);
        let path = format!("acc{account:03}/reg{region}/c{cluster:04}/cluster.yaml");
        write(&path, "role: bench\n");
    }
}
