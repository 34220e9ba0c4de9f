//! Blocks to measure on: those that `tsdbgen` makes look like what the Prometheus of a Kubernetes cluster ships, 48 hours of
//! them, each two hours long. They are made once and kept in `$TKS_PEERS/data`. `TKS_TSDBGEN` names the program, else it is
//! looked for beside the peers (`tests/peers tsdbgen`).

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use super::{Size, peers};

/// When all data begins, seconds since 1970: 2026-01-01.
pub(crate) const START: i64 = 1_767_225_600;
pub(crate) const HOURS: i64 = 48;

/// How samples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scrapes {
    /// Every 30 seconds to the millisecond.
    Regular,
    /// Up to ten milliseconds late, and one of 500 is missing.
    Jitter,
}

impl Scrapes {
    pub(crate) const ALL: [Self; 2] = [Self::Regular, Self::Jitter];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Jitter => "jitter",
        }
    }
}

/// The folder of the blocks: 165 million samples of 40 nodes, or of four for CI. They are made if they are not there;
/// `None`, with a line that says so, where that cannot be.
pub(crate) fn blocks(scrapes: Scrapes, size: Size) -> Option<PathBuf> {
    let (suffix, nodes) = match size {
        Size::Ci => ("-small", "4"),
        Size::Full => ("", "40"),
    };
    let data = peers().join("data");
    let folder = data.join(format!("tsdb-{HOURS}h-{}{suffix}", scrapes.name()));
    if folder.is_dir() {
        return Some(folder);
    }
    fs::create_dir_all(&data).expect("a folder for the data");
    let lock = File::create(data.join(".lock")).expect("a lock");
    lock.lock().expect("nobody else makes the data now");
    if folder.is_dir() {
        return Some(folder);
    }
    let tsdbgen = tsdbgen()?;
    println!("making {} (once)", folder.display());
    let unfinished = data.join(".unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let mut command = Command::new(tsdbgen);
    command.arg("-out").arg(&unfinished).current_dir(&data);
    command.args(["-nodes", nodes, "-pods", "20", "-interval", "30s"]);
    command.args(["-hours", &HOURS.to_string()]);
    if scrapes == Scrapes::Jitter {
        command.args(["-jitter", "10", "-gaps", "0.002"]);
    }
    let made = command.output().expect("tsdbgen runs");
    let log = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "tsdbgen failed: {log}");
    fs::rename(&unfinished, &folder).expect("the data is in place");
    Some(folder)
}

fn tsdbgen() -> Option<PathBuf> {
    let named = std::env::var_os("TKS_TSDBGEN").map(PathBuf::from);
    let programs = named.into_iter().chain([peers().join("bin/tsdbgen")]);
    let found = programs.into_iter().find(|file| file.is_file());
    if found.is_none() {
        println!("left out: there is no data, and no tsdbgen to make it with (TKS_TSDBGEN)");
    }
    found
}
