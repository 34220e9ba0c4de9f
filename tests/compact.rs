//! `tks thanos compact` beside `thanos compact`: the same blocks out of the same bucket, compared byte for byte, on golden and on
//! random data; each goes on where the other stopped; real tools accept what ours made.
//!
//! `TKS_GOLDEN` names the folder with the archives of blocks.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

#[path = "compact/bucket.rs"]
mod bucket;
mod fleet;
#[path = "compact/random.rs"]
mod random;

use std::path::{Path, PathBuf};
use std::process::Command;

use bucket::{Bucket, Summary};
use fleet::{peer, run, tks};

/// No delays, so that one run does everything; the page of metrics where nobody is in the way.
const AT_ONCE: [&str; 4] = [
    "--consistency-delay=0s",
    "--delete-delay=0s",
    "--http-address=127.0.0.1:0",
    "--log.level=warn",
];
const REPLICAS: [&str; 2] = [
    "--deduplication.replica-label=prometheus_replica",
    "--deduplication.func=penalty",
];

/// Runs a compactor to its end.
#[track_caller]
fn compact(program: &Path, bucket: &Bucket, flags: &[&str]) -> String {
    let data = tempfile::tempdir().expect("a folder");
    let config = bucket.config();
    let fixed = [
        format!("--objstore.config-file={}", config.display()),
        format!("--data-dir={}", data.path().display()),
    ];
    let mut args: Vec<&str> = Vec::new();
    if program == tks() {
        args.push("thanos");
    }
    args.push("compact");
    args.extend(AT_ONCE);
    args.extend(fixed.iter().map(String::as_str));
    args.extend(flags);
    run(program, &args, data.path()).expect(0).text()
}

fn golden() -> Option<PathBuf> {
    let golden = std::env::var_os("TKS_GOLDEN").map(PathBuf::from);
    if golden.is_none() {
        println!("left out: golden blocks, because TKS_GOLDEN names no folder with them");
    }
    golden
}

#[track_caller]
fn assert_same(ours: &[Summary], theirs: &[Summary]) {
    let short = |all: &[Summary]| all.iter().map(Summary::short).collect::<Vec<_>>();
    assert_eq!(short(ours), short(theirs));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn golden_blocks_become_the_blocks_that_thanos_made() {
    let Some(golden) = golden() else { return };
    let wanted = Bucket::unpacked(&golden, &["thanos-compacted"]).blocks();
    let bucket = Bucket::unpacked(&golden, &["raw-replica0"]);
    compact(&tks(), &bucket, &[]);
    let ours = bucket.blocks();
    assert_same(&ours, &wanted);
    println!("{} blocks out of 180 are those of Thanos", ours.len());
}

#[test]
fn golden_replicas_become_the_blocks_that_thanos_made() {
    let Some(golden) = golden() else { return };
    let wanted = Bucket::unpacked(&golden, &["thanos-deduplicated"]).blocks();
    let bucket = Bucket::unpacked(&golden, &["raw-replica0", "raw-replica1"]);
    compact(&tks(), &bucket, &REPLICAS);
    let ours = bucket.blocks();
    assert_same(&ours, &wanted);
    println!("{} blocks out of 360 are those of Thanos", ours.len());
}

#[test]
fn each_goes_on_where_the_other_stopped() {
    let (Some(golden), Some(thanos)) = (golden(), peer("thanos", "compact")) else {
        return;
    };
    let wanted = Bucket::unpacked(&golden, &["thanos-compacted"]).blocks();
    let half = "--debug.max-compaction-level=2";
    for (first, second) in [(tks(), thanos.clone()), (thanos, tks())] {
        let bucket = Bucket::unpacked(&golden, &["raw-replica0"]);
        compact(&first, &bucket, &[half]);
        let between = bucket.blocks();
        compact(&second, &bucket, &[]);
        assert_same(&bucket.blocks(), &wanted);
        println!(
            "{} left {} blocks, {} made the same {} of them",
            first.display(),
            between.len(),
            second.display(),
            wanted.len()
        );
    }
}

#[test]
fn random_blocks_become_the_same_as_with_thanos() {
    let Some(thanos) = peer("thanos", "compact") else {
        return;
    };
    for (seed, flags) in [(1, &[][..]), (2, &REPLICAS[..]), (3, &REPLICAS[..1])] {
        let ours = random::bucket(seed, !flags.is_empty());
        let theirs = ours.copy();
        compact(&tks(), &ours, flags);
        compact(&thanos, &theirs, flags);
        let (ours, theirs) = (ours.blocks(), theirs.blocks());
        assert_same(&ours, &theirs);
        assert!(
            ours.iter().any(|block| block.resolution > 0),
            "nothing was downsampled"
        );
        println!("seed {seed}, {flags:?}: {} blocks are the same", ours.len());
    }
}

#[test]
fn real_tools_accept_our_blocks() {
    let (Some(thanos), Some(promtool)) = (peer("thanos", "compact"), peer("promtool", "compact"))
    else {
        return;
    };
    let bucket = random::bucket(4, false);
    compact(&tks(), &bucket, &[]);
    let config = bucket.config().display().to_string();
    let verify = [
        "tools",
        "bucket",
        "verify",
        "--objstore.config-file",
        &config,
    ];
    let verified = run(&thanos, &verify, bucket.path()).expect(0).text();
    assert!(!verified.contains("level=error"), "{verified}");
    assert!(!verified.contains("level=warn"), "{verified}");
    for block in bucket.blocks().iter().filter(|block| block.resolution == 0) {
        let folder = bucket.path().display().to_string();
        let analyze = ["tsdb", "analyze", folder.as_str(), block.id.as_str()];
        let told = run(&promtool, &analyze, bucket.path()).expect(0);
        let series = format!("Series: {}", block.meta.stats.num_series);
        assert!(told.text().contains(&series), "{}", told.text());
    }
    let mut listed = Command::new(&thanos);
    listed.args(["tools", "bucket", "ls", "--exclude-delete"]);
    listed.args(["--objstore.config-file", &config]);
    let listed = listed.output().expect("thanos runs");
    let ids = String::from_utf8_lossy(&listed.stdout);
    assert_eq!(ids.lines().count(), bucket.blocks().len(), "{ids}");
}
