//! The buckets: folders of blocks that `tsdbgen` made once, beside the peers.

#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "each binary uses its part, and says what it leaves out"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// 2026-01-01T00:00:00Z, where all data begins.
pub(crate) const START: i64 = 1_767_225_600_000;
pub(crate) const HOUR: i64 = 3_600_000;

/// A bucket that can be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub(crate) name: &'static str,
    pub(crate) nodes: usize,
    pub(crate) hours: i64,
    flags: &'static [&'static str],
}

pub(crate) const CI: Data = Data {
    name: "tsdb-48h-jitter-small",
    nodes: 4,
    hours: 48,
    flags: &["-pods=20", "-interval=30s", "-jitter=10", "-gaps=0.002"],
};
pub(crate) const REGULAR: Data = Data {
    name: "tsdb-48h-regular",
    nodes: 40,
    hours: 48,
    flags: &["-pods=20", "-interval=30s"],
};
pub(crate) const JITTER: Data = Data {
    name: "tsdb-48h-jitter",
    nodes: 40,
    hours: 48,
    flags: &["-pods=20", "-interval=30s", "-jitter=10", "-gaps=0.002"],
};
pub(crate) const MANY_BLOCKS: Data = Data {
    name: "tsdb-1000-blocks",
    nodes: 1,
    hours: 2000,
    flags: &["-pods=10", "-interval=5m"],
};
pub(crate) const SOME_BLOCKS: Data = Data {
    name: "tsdb-100-blocks",
    nodes: 1,
    hours: 200,
    flags: &["-pods=10", "-interval=5m"],
};

/// One block of some 30,000 series: more than a store gateway reads in one batch.
pub(crate) const LARGE_BLOCK: Data = Data {
    name: "tsdb-2h-large-block",
    nodes: 40,
    hours: 2,
    flags: &["-pods=20", "-interval=30s", "-jitter=10", "-gaps=0.002"],
};

impl Data {
    /// Both ends of its time, inclusive.
    pub(crate) fn times(&self) -> (i64, i64) {
        (START, START + self.hours * HOUR - 1)
    }
}

/// The folder with the blocks of `data`, made if it is not there; `None`, with a line that says so, where it cannot be made.
pub(crate) fn bucket(data: &Data) -> Option<PathBuf> {
    // Tests of one binary run at once.
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let bucket = peers().join("data").join(data.name);
    if bucket.is_dir() {
        return Some(bucket);
    }
    let Some(tsdbgen) = tsdbgen() else {
        println!(
            "left out: the data `{}`, because TKS_TSDBGEN names no tsdbgen and none lies beside the peers",
            data.name
        );
        return None;
    };
    println!("making the data `{}`, once", data.name);
    let unfinished = bucket.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).expect("a folder for data");
    let status = Command::new(tsdbgen)
        .arg(format!("-out={}", unfinished.display()))
        .arg(format!("-nodes={}", data.nodes))
        .arg(format!("-hours={}", data.hours))
        .args(data.flags)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("tsdbgen starts").success(), "tsdbgen failed");
    fs::rename(&unfinished, &bucket).expect("renamed");
    Some(bucket)
}

fn tsdbgen() -> Option<PathBuf> {
    let named = std::env::var_os("TKS_TSDBGEN").map(PathBuf::from);
    let beside = peers().join("bin/tsdbgen");
    [named, Some(beside)]
        .into_iter()
        .flatten()
        .find(|file| file.is_file())
}

fn peers() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    std::env::var("TKS_PEERS").map_or(Path::new(&home).join(".cache/tks-peers"), PathBuf::from)
}

/// The configuration of a bucket that is a folder.
pub(crate) fn write_config(file: &Path, bucket: &Path) {
    let directory = bucket.display();
    let text = format!("type: FILESYSTEM\nconfig: {{ directory: {directory} }}\n");
    fs::write(file, text).expect("written");
}
