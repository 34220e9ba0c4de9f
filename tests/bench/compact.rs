//! `tks thanos compact` beside `thanos compact`, each on its own copy of the same bucket, blocks compared byte for byte before
//! anything is printed: `cargo bench --bench compact -- --size ci|full`.
//!
//! Data comes from `tsdbgen` (`TKS_TSDBGEN` names its program or its folder; else the one beside the peers, else
//! `../shared/tools/tsdbgen`) and is kept in `$TKS_PEERS/data`. CPU is user and system time of the whole process, fetching and
//! storing included; memory is the highest RssAnon + RssShmem, sampled every 50 ms.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../compact/bucket.rs"]
#[allow(dead_code, reason = "the suite uses the rest")]
mod bucket;
#[path = "cost.rs"]
mod cost;

use std::path::{Path, PathBuf};
use std::process::Command;

use bucket::{Bucket, Summary};
use cost::{Cost, Sampling};

/// What is generated.
struct Size {
    name: &'static str,
    nodes: u32,
    hours: u32,
    /// Of each of two replicas.
    replica_hours: u32,
}

const CI: Size = Size {
    name: "ci",
    nodes: 2,
    // Blocks of two days are made once there are two newer ones.
    hours: 54,
    replica_hours: 12,
};
const FULL: Size = Size {
    name: "full",
    nodes: 40,
    hours: 58,
    replica_hours: 12,
};

/// How much less than the peer ours may cost.
const GOALS: [(&str, f64); 3] = [
    ("compaction", 0.25),
    ("downsampling", 0.2),
    ("deduplication", 0.25),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let size = match words.iter().position(|word| word == "--size") {
        None => CI,
        Some(at) => match words.get(at + 1).map(String::as_str) {
            Some("ci") => CI,
            Some("full") => FULL,
            other => panic!("--size is ci or full, not {other:?}"),
        },
    };
    let Some(generator) = generator() else {
        println!("left out: there is no tsdbgen (TKS_TSDBGEN)");
        return;
    };
    let built = PathBuf::from(env!("CARGO_BIN_EXE_tks"));
    let lab = Lab {
        generator,
        tks: std::env::var_os("TKS_BIN").map_or(built, PathBuf::from),
        thanos: Some(peers().join("bin/thanos")).filter(|thanos| thanos.is_file()),
    };
    println!(
        "ours: {}\ntheirs: {}\n",
        lab.tks.display(),
        lab.thanos
            .as_ref()
            .map_or("left out, no thanos".into(), |t| t.display().to_string())
    );
    println!(
        "{:<34} {:>7} {:>7} {:>6} {:>6}   {:>8} {:>8}   {:>7} {:>7}",
        "", "CPU s", "theirs", "ratio", "goal", "peak MiB", "theirs", "wall s", "theirs"
    );
    for jitter in [false, true] {
        lab.one(&size, jitter);
    }
    lab.replicas(&size);
}

fn peers() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let folder = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    PathBuf::from(folder)
}

/// The program that generates blocks, built if only its source is there.
fn generator() -> Option<PathBuf> {
    let named = std::env::var_os("TKS_TSDBGEN").map(PathBuf::from);
    if let Some(program) = named.iter().find(|path| path.is_file()) {
        return Some(program.clone());
    }
    let built = peers().join("bin/tsdbgen");
    if named.is_none() && built.is_file() {
        return Some(built);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/tsdbgen");
    let source = named.unwrap_or(beside);
    if !source.is_dir() {
        return None;
    }
    let go = Command::new("go")
        .args(["build", "-mod=mod", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(source)
        .status();
    go.ok()?.success().then_some(built)
}

struct Lab {
    generator: PathBuf,
    tks: PathBuf,
    thanos: Option<PathBuf>,
}

impl Lab {
    /// A bucket of generated blocks, which is made once.
    fn data(&self, name: &str, nodes: u32, hours: u32, flags: &[&str]) -> PathBuf {
        let folder = peers().join("data").join(format!("compact-{name}"));
        if folder.is_dir() {
            return folder;
        }
        let temporary = folder.with_extension("tmp");
        let _ = std::fs::remove_dir_all(&temporary);
        let (nodes, hours) = (nodes.to_string(), hours.to_string());
        let made = Command::new(&self.generator)
            .args([
                "-pods",
                "20",
                "-interval",
                "30s",
                "-nodes",
                &nodes,
                "-hours",
                &hours,
            ])
            .args(flags)
            .arg("-out")
            .arg(&temporary)
            .status();
        assert!(made.expect("tsdbgen runs").success());
        std::fs::rename(&temporary, &folder).expect("renamed");
        folder
    }

    /// Compaction, then downsampling of what it made.
    fn one(&self, size: &Size, jitter: bool) {
        let (kind, flags) = match jitter {
            false => ("regular", &[][..]),
            true => ("jitter", &["-jitter", "10", "-gaps", "0.002"][..]),
        };
        let name = format!("{}-{}h-{kind}", size.name, size.hours);
        let data = self.data(&name, size.nodes, size.hours, flags);
        let raw = copy_of(&[&data]);
        let (title, no_downsampling) = (
            format!("compaction, {} h, {kind}", size.hours),
            ["--downsampling.disable"],
        );
        let compacted = self.compare(&title, GOALS[0], &raw, &no_downsampling);
        let long = |block: &Summary| block.times.1 - block.times.0 >= 40 * 3_600_000;
        assert!(compacted.blocks().iter().any(long), "nothing to downsample");
        let title = format!("downsampling, {kind}");
        self.compare(&title, GOALS[1], &compacted, &[]);
    }

    fn replicas(&self, size: &Size) {
        let folders: Vec<PathBuf> = ["1", "2"]
            .iter()
            .map(|seed| {
                let labels = format!("cluster=a,prometheus_replica=prometheus-{seed}");
                let flags = [
                    "-jitter", "10", "-gaps", "0.002", "-seed", seed, "-ext", &labels,
                ];
                let name = format!("{}-{}h-replica{seed}", size.name, size.replica_hours);
                self.data(&name, size.nodes, size.replica_hours, &flags)
            })
            .collect();
        let both = copy_of(&folders.iter().collect::<Vec<_>>());
        let flags = [
            "--downsampling.disable",
            "--deduplication.replica-label=prometheus_replica",
            "--deduplication.func=penalty",
        ];
        let title = format!("deduplication, 2 x {} h", size.replica_hours);
        self.compare(&title, GOALS[2], &both, &flags);
    }

    /// Both sides on a copy each; what ours made.
    fn compare(&self, title: &str, goal: (&str, f64), bucket: &Bucket, flags: &[&str]) -> Bucket {
        let mine = bucket.copy();
        let ours = compact(&self.tks, &["thanos", "compact"], &mine, flags);
        let theirs = self.thanos.as_ref().map(|thanos| {
            let theirs = bucket.copy();
            let cost = compact(thanos, &["compact"], &theirs, flags);
            assert_same(&mine.blocks(), &theirs.blocks());
            cost
        });
        let or = |value: Option<String>| value.unwrap_or("-".to_owned());
        let their =
            |value: fn(&Cost) -> f64| or(theirs.as_ref().map(|c| format!("{:.2}", value(c))));
        println!(
            "{title:<34} {:>7.2} {:>7} {:>6} {:>6}   {:>8.1} {:>8}   {:>7.2} {:>7}",
            ours.cpu,
            their(|c| c.cpu),
            or(theirs.as_ref().map(|c| format!("{:.3}", ours.cpu / c.cpu))),
            goal.1,
            ours.peak,
            or(theirs.as_ref().map(|c| format!("{:.1}", c.peak))),
            ours.wall,
            their(|c| c.wall),
        );
        mine
    }
}

fn copy_of(folders: &[&PathBuf]) -> Bucket {
    let bucket = Bucket::empty();
    for folder in folders {
        for block in std::fs::read_dir(folder).expect("listed").flatten() {
            if block.path().join("meta.json").is_file() {
                let cp = Command::new("cp")
                    .arg("-r")
                    .arg(block.path())
                    .arg(bucket.path())
                    .status();
                assert!(cp.expect("cp is there").success());
            }
        }
    }
    bucket
}

fn compact(program: &Path, words: &[&str], bucket: &Bucket, flags: &[&str]) -> Cost {
    let data = tempfile::tempdir().expect("a folder");
    let fixed = [
        format!("--objstore.config-file={}", bucket.config().display()),
        format!("--data-dir={}", data.path().display()),
        "--consistency-delay=0s".to_owned(),
        "--http-address=127.0.0.1:0".to_owned(),
        "--log.level=warn".to_owned(),
    ];
    let mut args = words.to_vec();
    args.extend(fixed.iter().map(String::as_str));
    args.extend(flags);
    cost::run(program, &args, Sampling::Coarse)
}

fn assert_same(ours: &[Summary], theirs: &[Summary]) {
    let short = |all: &[Summary]| all.iter().map(Summary::short).collect::<Vec<_>>();
    assert_eq!(short(ours), short(theirs));
    assert!(ours == theirs, "blocks differ from those of the peer");
}
