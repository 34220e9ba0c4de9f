//! A process whose clock is wrong by years: a library that is loaded before the C library adds to what that says.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library, built.
pub(crate) struct Clock {
    dir: tempfile::TempDir,
}

/// By how many seconds a process is ahead.
#[derive(Clone, Debug)]
pub(crate) struct OffBy {
    library: PathBuf,
    seconds: i64,
}

impl Clock {
    /// `None` where no C compiler is, which is told.
    pub(crate) fn build() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/clock.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library(dir.path()), Path::new(source)])
            .arg("-ldl")
            .status();
        if cfg!(target_os = "linux") && built.is_ok_and(|status| status.success()) {
            return Some(Self { dir });
        }
        let required = std::env::var_os("TKS_REQUIRE_PEERS").is_some();
        assert!(!required, "cc cannot build clock.c");
        println!("  left out, because cc is not installed");
        None
    }

    pub(crate) fn off_by(&self, seconds: i64) -> OffBy {
        OffBy {
            library: library(self.dir.path()),
            seconds,
        }
    }
}

impl OffBy {
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let library = self.library.display().to_string();
        [
            ("LD_PRELOAD", library),
            ("CLOCK_OFF_BY", self.seconds.to_string()),
        ]
    }
}

fn library(dir: &Path) -> PathBuf {
    dir.join("clock.so")
}
