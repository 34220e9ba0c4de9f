//! A process whose clock is wrong by years: a library that is preloaded adds to what the C library says.

use std::path::PathBuf;

use crate::preload;

/// The library, built.
pub(crate) struct Clock {
    library: PathBuf,
    _dir: tempfile::TempDir,
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
        let library = preload::build("crash/clock.c", dir.path(), "a clock that jumps")?;
        Some(Self { library, _dir: dir })
    }

    pub(crate) fn off_by(&self, seconds: i64) -> OffBy {
        OffBy {
            library: self.library.clone(),
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
