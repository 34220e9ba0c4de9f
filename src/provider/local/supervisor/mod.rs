//! The process that keeps a fleet's processes running: one per data folder, started by the first apply, gone with the last process.
//!
//! * [`protocol`]: what is said over its socket, a JSON document per line;
//! * [`socket`]: where that is, however long the path;
//! * [`client`]: asks, and starts a supervisor where there is none;
//! * [`server`], [`process`], [`child`]: serve, keep running, start and end;
//! * [`probe`], [`logfile`]: readiness, and logs of bounded size.
//!
//! Idle, it wakes for each process every 10 s to probe it and every 30 s to look at its log.

mod child;
mod client;
mod logfile;
mod probe;
mod process;
mod protocol;
mod server;
mod socket;

use std::io;
use std::path::{Path, PathBuf};

pub use child::exec_child;
pub(crate) use client::{Client, ClientError, processes};
pub(crate) use logfile::{previous, tail};
pub(crate) use protocol::{Id, Phase, ProcessStatus, Ready, Spec};

use child::Launcher;

/// Why the supervisor ended, or could not start.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the supervisor's runtime failed")]
    Runtime(#[source] io::Error),
}

/// Why a child could not become its command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("usage: exec-child <parent pid> <command> [<argument>...]")]
    Usage,
    #[error("the supervisor is gone")]
    Orphan,
    #[error("cannot ask to be ended with the supervisor")]
    DeathSignal(#[source] io::Error),
    #[error("cannot run {}", command.display())]
    Exec {
        command: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Serves the fleet of `data_dir` until its last process is removed or it is told to stop: what the hidden command
/// `supervise --data-dir DIR` does. `executable` is run as `executable exec-child <pid> <command>…` for each child.
///
/// Leaves the terminal (setsid) and brings its own runtime: to be called from the main thread, outside of any runtime, because
/// children die with the thread that started them. Succeeds at once when another supervisor serves the folder.
///
/// # Errors
/// [`SupervisorError`] when the folder cannot be locked or the socket cannot be made.
pub fn serve(data_dir: &Path, executable: &Path) -> Result<(), SupervisorError> {
    // Fails for who leads a group already: then somebody runs it in a terminal, by hand.
    let _ = nix::unistd::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SupervisorError::Runtime)?;
    let launcher = Launcher::Bound(executable.to_owned());
    runtime.block_on(server::run(data_dir, launcher))?;
    Ok(())
}

/// Stops every process of the fleet and the supervisor itself. `false` when none was running. Blocks for up to 30 s.
///
/// # Errors
/// When there is a supervisor and it does not obey.
pub fn shutdown(data_dir: &Path) -> io::Result<bool> {
    client::shutdown(data_dir)
}

/// Where logs are.
pub(crate) fn logs_of(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

/// The supervisor's own log.
fn log_of(data_dir: &Path) -> PathBuf {
    logs_of(data_dir).join("supervisor.log")
}

#[cfg(test)]
mod tests;
