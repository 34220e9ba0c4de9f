//! What a process costs: CPU is its user and system time, from `/proc` before it is reaped; memory is the highest RssAnon + RssShmem,
//! and VmHWM beside it.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Linux tells CPU time in these.
const TICKS_A_SECOND: f64 = 100.0;

/// How often memory is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampling {
    /// Every 2 ms, for what ends soon.
    Fine,
    /// Every 50 ms.
    Coarse,
}

/// What one process cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds.
    pub(crate) cpu: f64,
    /// MiB.
    pub(crate) peak: f64,
    pub(crate) high: f64,
    /// Seconds, which other processes stretch.
    pub(crate) wall: f64,
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn run(program: &Path, args: &[&str], sampling: Sampling) -> Cost {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_remove("TKS_DATA_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let folder = PathBuf::from(format!("/proc/{}", child.id()));
    let (mut peak, mut high) = (0.0_f64, 0.0_f64);
    let begun = Instant::now();
    let cpu = loop {
        let status = fs::read_to_string(folder.join("status")).expect("not reaped yet");
        peak = peak.max(mebibytes(&status, "RssAnon:") + mebibytes(&status, "RssShmem:"));
        high = high.max(mebibytes(&status, "VmHWM:"));
        let mut lines = status.lines();
        if lines.any(|line| line.starts_with("State:") && line.contains('Z')) {
            break cpu(&fs::read_to_string(folder.join("stat")).expect("not reaped yet"));
        }
        assert!(
            begun.elapsed() < Duration::from_secs(1800),
            "{args:?} hangs"
        );
        sleep(match sampling {
            Sampling::Fine => Duration::from_millis(2),
            Sampling::Coarse => Duration::from_millis(50),
        });
    };
    let wall = begun.elapsed().as_secs_f64();
    let ended = child.wait().expect("ended");
    assert!(ended.success(), "{} {args:?}: {ended}", program.display());
    Cost {
        cpu,
        peak,
        high,
        wall,
    }
}

/// Seconds until a program says its first line; what it says then is not waited for.
pub(crate) fn first_line(program: &Path, args: &[&str]) -> f64 {
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.args(args).env_remove("TKS_DATA_DIR");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let read = stdout.read_line(&mut String::new()).expect("a line");
    let first = begun.elapsed().as_secs_f64();
    assert!(read > 0, "{args:?} says nothing");
    let _ = child.kill();
    let _ = child.wait();
    first
}

fn mebibytes(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}

/// User and system time; they stand 12th and 13th behind the name, which ends with the last parenthesis.
fn cpu(stat: &str) -> f64 {
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_A_SECOND
}
