//! The compactor where things go wrong: a bucket that fails, `kill -9` at random moments, two at once, blocks that must not be
//! touched. Whatever happens, it ends with the blocks of an undisturbed run.

#![allow(clippy::print_stdout, reason = "figures are for whoever reads the log")]

#[path = "compact/bucket.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod bucket;
mod fleet;
#[path = "compact/random.rs"]
mod random;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bucket::{Bucket, Summary};
use fleet::tks;
use net::metrics::Registry;
use objstore::faulty::{Effect, Fault, On};
use thanos::compact::{Compactor, Config, Failure, Metrics};
use tsdb::meta::{Mark as _, Meta, NoCompactMark};

fn command(bucket: &Bucket, data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(tks());
    command
        .args(["thanos", "compact", "--consistency-delay=0s"])
        .args(["--http-address=127.0.0.1:0", "--log.level=warn"])
        .arg(format!(
            "--objstore.config-file={}",
            bucket.config().display()
        ))
        .arg(format!("--data-dir={}", data.display()))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end; code and stderr.
fn run(bucket: &Bucket, flags: &[&str]) -> (i32, String) {
    let data = tempfile::tempdir().expect("a folder");
    let output = command(bucket, data.path(), flags).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

#[track_caller]
fn undisturbed(bucket: &Bucket) -> Vec<Summary> {
    let copy = bucket.copy();
    let (code, text) = run(&copy, &[]);
    assert_eq!(code, 0, "{text}");
    copy.blocks()
}

#[track_caller]
fn assert_same(ours: &[Summary], wanted: &[Summary]) {
    let short = |all: &[Summary]| all.iter().map(Summary::short).collect::<Vec<_>>();
    assert_eq!(short(ours), short(wanted));
    assert!(ours == wanted);
}

#[tokio::test]
async fn a_bucket_that_fails_now_and_then_ends_as_one_that_does_not() {
    let bucket = random::bucket(11, false);
    let wanted = undisturbed(&bucket);
    let data = tempfile::tempdir().expect("a folder");
    let folder = objstore::Config::filesystem(bucket.path());
    let config = Config {
        data_dir: data.path().to_owned(),
        consistency_delay: Duration::ZERO,
        ..Config::new(folder.clone())
    };
    let registry = Registry::new();
    let open = objstore::Bucket::open(&folder, &registry).expect("opened");
    let (faulty, faults) = open.with_faults();
    let metrics = Metrics::new(&registry, Duration::ZERO, Duration::ZERO);
    let compactor = Compactor::new(config, faulty, metrics);
    let mut retries = 0;
    for round in 0..24 {
        // Later and later, so that every step is struck: the look at the bucket, downloads, uploads, marks.
        for on in [On::Get, On::Put, On::Delete, On::List] {
            faults.add(Fault::new(on, Effect::Fail).nth(1 + round * 23));
            faults.add(Fault::new(on, Effect::LoseAnswer).nth(5 + round * 17));
        }
        match compactor.iterate().await {
            Ok(()) => {}
            Err(Failure::Retry(_)) => retries += 1,
            Err(other) => panic!("not to be retried: {other}"),
        }
        faults.clear();
    }
    faults.clear();
    compactor.iterate().await.expect("undisturbed at last");
    assert!(retries > 0);
    assert_same(&bucket.blocks(), &wanted);
    println!("{retries} iterations failed and were tried again");
}

#[test]
fn killed_at_any_moment_it_goes_on_and_ends_the_same() {
    let bucket = random::bucket(12, false);
    let wanted = undisturbed(&bucket);
    let data = tempfile::tempdir().expect("a folder");
    let rounds: u64 = std::env::var("TKS_KILLS").map_or(20, |n| n.parse().expect("a number"));
    let mut killed = 0;
    for round in 0..rounds {
        // Moments are spread by the golden ratio: none is tried twice.
        let moment = (round as f64 * 0.618_033_988_75).fract() * 2500.0;
        let copy = bucket.copy();
        let mut child = command(&copy, data.path(), &[]).spawn().expect("runs");
        std::thread::sleep(Duration::from_millis(moment as u64));
        let _ = child.kill();
        let ended = child.wait().expect("ended");
        killed += u32::from(!ended.success());
        let (code, text) = {
            let output = command(&copy, data.path(), &[]).output().expect("runs");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), text)
        };
        assert_eq!(code, Some(0), "round {round}, after {moment} ms: {text}");
        assert_same(&copy.blocks(), &wanted);
    }
    println!("{killed} of {rounds} rounds were killed in the midst of work");
}

#[test]
fn two_at_once_end_the_same() {
    let bucket = random::bucket(13, false);
    let wanted = undisturbed(&bucket);
    let folders = [tempfile::tempdir(), tempfile::tempdir()].map(|f| f.expect("a folder"));
    let start = |folder: &tempfile::TempDir| command(&bucket, folder.path(), &[]).spawn();
    let both: Vec<Child> = folders.iter().map(|f| start(f).expect("runs")).collect();
    for mut child in both {
        let _ = child.wait();
    }
    let (code, text) = run(&bucket, &[]);
    assert_eq!(code, 0, "{text}");
    assert_same(&bucket.blocks(), &wanted);
}

/// Ids of the blocks that have a mark.
fn marked(bucket: &Bucket, file: &str) -> usize {
    let folders = fs::read_dir(bucket.path()).expect("listed").flatten();
    folders
        .filter(|folder| folder.path().join(file).is_file())
        .count()
}

#[test]
fn what_overlaps_halts_and_nothing_is_deleted() {
    let bucket = random::bucket(14, true);
    // Without replica labels, the replicas' blocks are those of one Prometheus.
    for entry in fs::read_dir(bucket.path()).expect("listed").flatten() {
        if let Ok(mut meta) = Meta::read(&entry.path()) {
            let thanos = meta.thanos.as_mut().expect("a section of Thanos");
            thanos.labels.remove("prometheus_replica");
            meta.write(&entry.path()).expect("written");
        }
    }
    let before = bucket.blocks();
    let (code, text) = run(&bucket, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("overlaps found while gathering blocks"),
        "{text}"
    );
    assert!(text.contains(&*before[0].id), "no block is named: {text}");
    assert!(
        text.contains("no-compact-mark.json"),
        "no way out is told: {text}"
    );
    assert_same(&bucket.blocks(), &before);
    // A mark on all of one side is a way out.
    for block in before
        .iter()
        .filter(|block| block.id.as_str() > before[0].id.as_str())
    {
        let mark = NoCompactMark::new(block.meta.ulid, "", 1, "manual");
        mark.write(&bucket.path().join(&*block.id)).expect("marked");
    }
    assert!(marked(&bucket, NoCompactMark::FILE) > 0);
}

#[test]
fn damage_is_named_and_nothing_is_deleted() {
    let bucket = random::bucket(15, false);
    let before = bucket.blocks();
    let victim = bucket.path().join(&*before[1].id);
    for (file, at) in [("index", 60usize), ("chunks/000001", 40)] {
        let copy = bucket.copy();
        let path = copy.path().join(&*before[1].id).join(file);
        let mut bytes = fs::read(&path).expect("read");
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).expect("written");
        let (code, text) = run(&copy, &[]);
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains(&*before[1].id) && text.contains(file),
            "{text}"
        );
        assert_eq!(marked(&copy, "deletion-mark.json"), 0, "{text}");
    }
    fs::write(victim.join(Meta::FILE), "{").expect("written");
    let begun = Instant::now();
    let (code, text) = run(&bucket, &["--downsampling.disable"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        victim.join("index").is_file(),
        "a young partial upload is left alone"
    );
    println!(
        "a block without a readable meta is left alone ({:?})",
        begun.elapsed()
    );
}
