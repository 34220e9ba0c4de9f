//! What the benchmarks of the metrics side share: data, and what a process costs.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod data;
pub(crate) mod process;

use std::path::PathBuf;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A tenth of the series, for every run of CI.
    Ci,
    Full,
}

impl Size {
    /// What `--size` says; `ci` without it.
    pub(crate) fn of_command_line() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let Some(at) = words.iter().position(|word| word == "--size") else {
            return Self::Ci;
        };
        match words.get(at + 1).map(String::as_str) {
            Some("ci") => Self::Ci,
            Some("full") => Self::Full,
            other => panic!("--size is ci or full, not {other:?}"),
        }
    }
}

/// Where the real peers and the data lie.
pub(crate) fn peers() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    PathBuf::from(peers)
}

/// A peer's program as `tests/peers` builds it, of the version that we are held against. Without it: a line that says what is
/// left out, and a failure with `TKS_REQUIRE_PEERS`.
pub(crate) fn peer(program: &str, suite: &str) -> Option<PathBuf> {
    let found = Some(peers().join("bin").join(program)).filter(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("TKS_REQUIRE_PEERS").is_some();
        assert!(!required, "{program} is not installed");
        println!("left out: {suite}, because `tests/peers {program}` was not run");
    }
    found
}
