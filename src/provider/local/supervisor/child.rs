//! Starting and ending one child: a process group of its own, bound to the supervisor's life.
//!
//! On Linux a process can ask to be killed when its parent ends (`PR_SET_PDEATHSIG`, prctl(2)). It must ask itself, between fork and
//! exec, so children start as this tks, ask, and become their command. The parent is in truth the parent's *thread*: whoever spawns
//! must do so from a thread that lives as long as the supervisor.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use tokio::process::Child;

use super::protocol::Spec;
use super::{ExecError, logfile};

/// How long a process may take to end when asked.
const GRACE: Duration = Duration::from_secs(10);

/// How children are started.
#[derive(Clone, Debug)]
pub(super) enum Launcher {
    /// By `executable exec-child <pid> <command>…`.
    Bound(PathBuf),
    /// As they are: they outlive a killed supervisor.
    #[cfg(test)]
    Plain,
}

impl Launcher {
    pub(super) fn spawn(&self, spec: &Spec) -> io::Result<Child> {
        let (program, arguments) = spec.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let log = logfile::open(&spec.log)?;
        let mut command = match self {
            Self::Bound(executable) => {
                let mut command = Command::new(executable);
                command
                    .arg("exec-child")
                    .arg(std::process::id().to_string())
                    .arg(program);
                command
            }
            #[cfg(test)]
            Self::Plain => Command::new(program),
        };
        command
            .args(arguments)
            .envs(&spec.env)
            .current_dir(&spec.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        tokio::process::Command::from(command).spawn()
    }
}

/// Asks the child's group to end, and makes it end after a grace period.
pub(super) async fn stop(child: &mut Child) {
    let Some(group) = group(child) else { return };
    signal(group, Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        signal(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }
    signal(group, Signal::SIGKILL);
}

/// Waits for the child, and takes along what it left of its group: nothing may go on holding its ports.
pub(super) async fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let group = group(child);
    let status = child.wait().await;
    if let Some(group) = group {
        signal(group, Signal::SIGKILL);
    }
    status
}

fn group(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw)
}

/// An empty group is what is wanted in the end.
fn signal(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
}

/// `exit status 1`, `killed by SIGKILL`.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

/// Becomes a child's command, bound to end with its parent: what the hidden command
/// `exec-child <parent pid> <command> [<argument>…]` does; `arguments` are those behind `exec-child`. Returns only on failure.
///
/// # Errors
/// [`ExecError`].
pub fn exec_child(arguments: Vec<OsString>) -> Result<Infallible, ExecError> {
    let mut arguments = arguments.into_iter();
    let parent = arguments.next().ok_or(ExecError::Usage)?;
    let parent: i32 = parent
        .to_str()
        .and_then(|pid| pid.parse().ok())
        .ok_or(ExecError::Usage)?;
    let command = arguments.next().ok_or(ExecError::Usage)?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| ExecError::DeathSignal(errno.into()))?;
    // The parent may have ended before the signal was asked for.
    if getppid() != Pid::from_raw(parent) {
        return Err(ExecError::Orphan);
    }
    let source = Command::new(&command).args(arguments).exec();
    Err(ExecError::Exec {
        command: command.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_needs_its_parent_and_a_command() {
        let arguments = |texts: &[&str]| texts.iter().map(OsString::from).collect();
        assert!(matches!(
            exec_child(arguments(&["1"])),
            Err(ExecError::Usage)
        ));
        assert!(matches!(
            exec_child(arguments(&["x", "true"])),
            Err(ExecError::Usage)
        ));
    }

    #[test]
    fn exits_are_described_in_the_shells_words() {
        assert_eq!(describe(ExitStatus::from_raw(9)), "killed by SIGKILL");
        assert_eq!(describe(ExitStatus::from_raw(0x100)), "exit status 1");
    }
}
