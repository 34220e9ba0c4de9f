//! What runs, as a table of pods: for `tks status` and `tks logs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::supervisor::{ProcessStatus, logs_of, processes};

/// The containers of one pod name in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStatus {
    /// `<account>/<region>/<cluster>`.
    pub cluster: String,
    pub pod: String,
    /// By name; never empty.
    pub containers: Vec<ContainerStatus>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    pub name: String,
    pub ready: bool,
    /// `Starting`, `Running`, `CrashLoopBackOff`, `Terminating`.
    pub state: String,
    /// Since an apply last started or replaced it.
    pub restarts: u32,
    /// When an apply last started or replaced it: its age counts from here.
    pub created: Timestamp,
    /// When its present state began.
    pub since: Timestamp,
    pub pid: Option<u32>,
    /// How the run before this one ended: `exit status 1`, `killed by SIGKILL`.
    pub last_exit: Option<String>,
    pub log: PathBuf,
    /// Port name to `127.0.0.1:P`.
    pub addresses: BTreeMap<String, String>,
    /// The resource that wants it.
    pub owner: String,
}

/// Where a container writes, or wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// The cluster's path with dashes: `local-eu-west-1-observer`.
    pub cluster: String,
    pub pod: String,
    /// Where the module names one.
    pub container: Option<String>,
    pub path: PathBuf,
}

/// Why the supervisor of a fleet could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor of {} cannot be asked", data_dir.display())]
pub struct StatusError {
    pub data_dir: PathBuf,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Every pod of the fleet that keeps its data in `data_dir`, in order of cluster and name; empty when no supervisor runs. Blocks for
/// one exchange over a local socket.
///
/// # Errors
/// [`StatusError`] when there is a supervisor and it does not answer.
pub fn status(data_dir: &Path) -> Result<Vec<PodStatus>, StatusError> {
    let failed = |source| StatusError {
        data_dir: data_dir.to_owned(),
        source,
    };
    let processes = processes(data_dir).map_err(|error| failed(error.into()))?;
    let mut pods: Vec<PodStatus> = Vec::new();
    // They come in order of cluster, pod, container.
    for process in processes {
        let (cluster, pod) = (process.id.cluster.clone(), process.id.pod.clone());
        match pods.last_mut() {
            Some(last) if last.cluster == cluster && last.pod == pod => {
                last.containers.push(process.into());
            }
            _ => pods.push(PodStatus {
                cluster,
                pod,
                containers: vec![process.into()],
            }),
        }
    }
    Ok(pods)
}

impl From<ProcessStatus> for ContainerStatus {
    fn from(process: ProcessStatus) -> Self {
        let time = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
        Self {
            state: process.phase.to_string(),
            name: process.id.container,
            ready: process.ready,
            restarts: process.restarts,
            created: time(process.created),
            since: time(process.since),
            pid: process.pid,
            last_exit: process.last_exit,
            log: process.log,
            addresses: process.addresses,
            owner: process.owner,
        }
    }
}

/// The logs of pods called `name` (or `<pod>/<container>`), in order of cluster and container; also of what does not run now.
#[must_use]
pub fn logs(data_dir: &Path, name: &str) -> Vec<LogFile> {
    let (pod, container) = match name.split_once('/') {
        Some((pod, container)) => (pod, Some(container)),
        None => (name, None),
    };
    let fits = |log: &LogFile| {
        log.pod == pod && (container.is_none() || log.container.as_deref() == container)
    };
    all_logs(data_dir).into_iter().filter(fits).collect()
}

fn all_logs(data_dir: &Path) -> Vec<LogFile> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<LogFile> = entries(&logs_of(data_dir))
        .flat_map(|cluster| {
            let name = cluster.file_name().to_string_lossy().into_owned();
            entries(&cluster.path()).filter_map(move |log| log_file(&name, log.path()))
        })
        .collect();
    logs.sort();
    logs
}

/// `<pod>[.<container>].log`; a pod's name has no dot.
fn log_file(cluster: &str, path: PathBuf) -> Option<LogFile> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    let (pod, container) = match name.split_once('.') {
        Some((pod, container)) => (pod.to_owned(), Some(container.to_owned())),
        None => (name.to_owned(), None),
    };
    Some(LogFile {
        cluster: cluster.to_owned(),
        pod,
        container,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_found_by_pod_and_container() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "a-b-c/p-0.log",
            "a-b-c/p-0.sidecar.log",
            "a-b-d/p-0.log",
            "a-b-d/q.log",
            "a-b-c/p-0.log.1",
            "supervisor.log",
        ] {
            let path = dir.path().join("logs").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<_> = logs(dir.path(), "p-0")
            .into_iter()
            .map(|log| (log.cluster, log.container.unwrap_or_default()))
            .collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found,
            [
                pair("a-b-c", ""),
                pair("a-b-c", "sidecar"),
                pair("a-b-d", "")
            ]
        );
        assert_eq!(logs(dir.path(), "p-0/sidecar").len(), 1);
        assert!(logs(dir.path(), "p-0/none").is_empty());
        assert!(status(dir.path()).unwrap().is_empty());
    }
}
