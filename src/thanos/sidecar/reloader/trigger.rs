//! Telling Prometheus to load its configuration anew.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Method;
use crate::sidecar::prometheus::{Prometheus, PrometheusError};

const PATH: &str = "/-/reload";
/// Linux keeps so much of a process's name.
const NAME_BYTES: usize = 15;
/// After a signal, between two looks whether Prometheus has taken it.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// For how long a success is waited for where a new failure would look like the one before.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);

/// Why Prometheus did not load its configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum TriggerError {
    #[error("Prometheus refuses to reload over HTTP; start it with --web.enable-lifecycle")]
    NoLifecycle(#[source] PrometheusError),
    #[error("reload")]
    Request(#[source] PrometheusError),
    #[error("cannot look for the process {name:?}; where there is no /proc, reload over HTTP")]
    Processes {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to find process matching {0:?}")]
    NoProcess(String),
    #[error("cannot signal process {pid}")]
    Signal {
        pid: i32,
        #[source]
        source: Errno,
    },
    #[error("cannot tell whether Prometheus took the signal")]
    Unconfirmed(#[source] PrometheusError),
    #[error("configuration reload has failed, Prometheus's log says why")]
    Rejected,
}

pub(super) enum Trigger {
    Http(Prometheus),
    Signal {
        process_name: String,
        prometheus: Prometheus,
    },
}

impl Trigger {
    pub(super) fn new(method: &Method, prometheus: Prometheus) -> Self {
        match method {
            Method::Http => Self::Http(prometheus),
            Method::Signal { process_name } => Self::Signal {
                process_name: process_name.clone(),
                prometheus,
            },
        }
    }

    /// Returns when Prometheus runs with the configuration as it was on disk.
    pub(super) async fn pull(&self) -> Result<(), TriggerError> {
        match self {
            Self::Http(prometheus) => post(prometheus).await,
            Self::Signal {
                process_name,
                prometheus,
            } => signal(process_name, prometheus).await,
        }
    }
}

async fn post(prometheus: &Prometheus) -> Result<(), TriggerError> {
    match prometheus.send(prometheus.post(PATH), PATH).await {
        Ok(_) => Ok(()),
        Err(error @ PrometheusError::Status { status: 403, .. }) => {
            Err(TriggerError::NoLifecycle(error))
        }
        Err(error) => Err(TriggerError::Request(error)),
    }
}

/// A signal has no answer: what Prometheus says of its last reload is compared with before.
async fn signal(process_name: &str, prometheus: &Prometheus) -> Result<(), TriggerError> {
    let pid = process(process_name)?;
    let info = async || {
        prometheus
            .runtime_info()
            .await
            .map_err(TriggerError::Unconfirmed)
    };
    let before = info().await?;
    // Prometheus tells whole seconds: what it loads now must not be taken for what it loaded a moment ago.
    while Timestamp::now().as_second() <= before.last_config_time.as_second() {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .map_err(|source| TriggerError::Signal { pid, source })?;
    let until = Instant::now() + CHECK_PATIENCE;
    loop {
        let now = info().await?;
        if now.reload_config_success && now.last_config_time > before.last_config_time {
            return Ok(());
        }
        let is_new = before.reload_config_success || Instant::now() > until;
        if is_new && !now.reload_config_success {
            return Err(TriggerError::Rejected);
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// The first process of a name.
fn process(name: &str) -> Result<i32, TriggerError> {
    let unlisted = |source| TriggerError::Processes {
        name: name.to_owned(),
        source,
    };
    let wanted = &name[..name.floor_char_boundary(NAME_BYTES)];
    let entries = fs::read_dir("/proc").map_err(unlisted)?;
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_wanted = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == wanted)
    };
    pids.filter(is_wanted)
        .min()
        .ok_or_else(|| TriggerError::NoProcess(name.to_owned()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_name() {
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(process(comm.trim_end()).is_ok());
        let error = process("there is no such process").unwrap_err().to_string();
        assert!(error.contains("\"there is no such process\""), "{error}");
    }
}
