//! What is said over the supervisor's socket: one JSON document per line, a request and its response.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One process that shall run. Two equal specs are the same process: it is left alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) id: Id,
    /// The command and its arguments.
    pub(crate) argv: Vec<String>,
    /// Added to the supervisor's own environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) dir: PathBuf,
    /// What it writes to stdout and stderr is appended here.
    pub(crate) log: PathBuf,
    /// Port name to `127.0.0.1:P`.
    pub(crate) addresses: BTreeMap<String, String>,
    /// How to tell that it is ready; without, running is ready.
    pub(crate) ready: Option<Ready>,
    /// Stands for whatever else must restart it when it changes.
    pub(crate) revision: String,
}

/// What a process is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Id {
    /// `<account>/<region>/<cluster>`.
    pub(crate) cluster: String,
    pub(crate) pod: String,
    pub(crate) container: String,
}

/// An HTTP GET that must be answered with a status of 200 to 399.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: String,
    pub(crate) path: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Tell what runs.
    Status,
    /// Run this for the resource `owner`: leave it when the same runs already, replace it when it is another or does not run.
    Start { spec: Spec, owner: String },
    /// Stop it and forget it, if it is `owner`'s. Answered when it is gone.
    Stop { id: Id, owner: String },
    /// Stop everything, then go. The connection ends with the supervisor.
    Shutdown,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    Status {
        pid: u32,
        processes: Vec<ProcessStatus>,
    },
    Done {
        /// The supervisor goes now, and the connection with it.
        last: bool,
    },
    /// It belongs to another resource.
    NotYours { owner: String },
}

/// One process as it is now. Command line and environment stay out: they may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessStatus {
    pub(crate) id: Id,
    pub(crate) owner: String,
    /// [`Spec::fingerprint`] of what runs.
    pub(crate) fingerprint: String,
    pub(crate) phase: Phase,
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
    pub(crate) pid: Option<u32>,
    /// Milliseconds since 1970: when an apply started it, and when its phase began.
    pub(crate) created: i64,
    pub(crate) since: i64,
    pub(crate) last_exit: Option<String>,
    pub(crate) log: PathBuf,
    pub(crate) addresses: BTreeMap<String, String>,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Starting,
    Running,
    /// It died, and waits for its next start.
    Backoff,
    Stopping,
}

impl Spec {
    /// Equal for equal specs; tells nothing of their content.
    pub(crate) fn fingerprint(&self) -> String {
        crate::properties::sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("id", &self.id)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.pod, self.container)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Backoff => "CrashLoopBackOff",
            Self::Stopping => "Terminating",
        })
    }
}
