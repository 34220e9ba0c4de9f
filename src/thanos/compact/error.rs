//! What becomes of a failure: Thanos distinguishes what is tried again, what ends the process, and what must wait for a person.

use tsdb::Ulid;

/// Why an iteration was not finished.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Going on could destroy data: nothing more is done until a person has looked.
    #[error("{0}")]
    Halt(String),
    /// The bucket, the network: the next iteration tries again.
    #[error("{0}")]
    Retry(String),
    /// Chunks out of order: the block can be left out of compaction.
    #[error("blocks with out-of-order chunks are dropped from compaction: block {id}: {why}")]
    OutOfOrderChunks { id: Ulid, why: String },
    /// Chunks that an old bug of Prometheus put outside of the block: the block can be repaired.
    #[error("invalid, but repairable block {id}: {why}")]
    Issue347 { id: Ulid, why: String },
    /// Anything else ends the process.
    #[error("{0}")]
    Fatal(String),
}

impl Failure {
    /// The next iteration tries again.
    pub(super) fn retry(
        doing: impl std::fmt::Display,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::Retry(format!("{doing}: {}", net::log::chain(error)))
    }

    pub(super) fn halt(
        doing: impl std::fmt::Display,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::Halt(format!("{doing}: {}", net::log::chain(error)))
    }

    pub(super) fn fatal(
        doing: impl std::fmt::Display,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::Fatal(format!("{doing}: {}", net::log::chain(error)))
    }

    /// The same, with what was done.
    #[must_use]
    pub(super) fn during(self, doing: impl std::fmt::Display) -> Self {
        match self {
            Self::Halt(why) => Self::Halt(format!("{doing}: {why}")),
            Self::Retry(why) => Self::Retry(format!("{doing}: {why}")),
            Self::Fatal(why) => Self::Fatal(format!("{doing}: {why}")),
            other => other,
        }
    }

    /// The worst of several: one that halts outweighs all, and only what all may be tried again is tried again.
    pub(super) fn worst(failures: Vec<Self>) -> Option<Self> {
        let weight = |failure: &Self| match failure {
            Self::Halt(_) => 2,
            Self::Retry(_) => 0,
            _ => 1,
        };
        let count = failures.len();
        let mut failures = failures;
        failures.sort_by_key(|failure| std::cmp::Reverse(weight(failure)));
        let mut all = failures.into_iter();
        let first = all.next()?;
        if count == 1 {
            return Some(first);
        }
        let others: Vec<String> = all.map(|failure| failure.to_string()).collect();
        let text = format!("{first}; {}", others.join("; "));
        Some(match first {
            Self::Halt(_) => Self::Halt(text),
            Self::Retry(_) => Self::Retry(text),
            _ => Self::Fatal(text),
        })
    }
}

/// Why the compactor ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bucket cannot be opened")]
    Bucket(#[from] objstore::ConfigError),
    #[error("{0}")]
    Config(&'static str),
    #[error("cannot make the working folder {}", path.display())]
    Folder {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("critical error detected: {0}\n{HALTED}")]
    Halted(String),
    #[error("error executing compaction: {0}")]
    Failed(String),
    #[error(transparent)]
    Net(#[from] net::NetError),
}

/// What to do when the compactor has halted.
pub(super) const HALTED: &str = "Nothing was deleted. Look at the blocks that are named (tks thanos tools bucket inspect, bucket verify): \
     delete the one that is wrong (bucket mark --marker deletion-mark.json), take it out of compaction (bucket mark --marker \
     no-compact-mark.json), or allow overlaps on purpose (--deduplication.replica-label). Then restart the compactor.";
