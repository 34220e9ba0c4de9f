//! The other side of the supervisor's socket: asking it, and starting it when there is none.
//!
//! Blocking, because one exchange over a local socket is short and planning is synchronous; what waits for processes to end runs on
//! a thread of its own.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::protocol::{Id, ProcessStatus, Request, Response, Spec};
use super::{log_of, logfile, socket};

/// For an answer that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(5);

/// For an answer that waits for processes to end, which have 10 s each and end side by side.
const AFTER_STOPPING: Duration = Duration::from_secs(30);

/// For a supervisor to come up.
const STARTUP: Duration = Duration::from_secs(15);

/// Why the supervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("the supervisor of {} does not answer", .0.display())]
    Silent(PathBuf, #[source] io::Error),
    #[error("the supervisor of {} cannot be started", .0.display())]
    Start(PathBuf, #[source] io::Error),
    #[error("the supervisor of {} ended at once: {log}", data_dir.display())]
    Ended { data_dir: PathBuf, log: String },
    #[error("{id} is run for {owner} already")]
    NotYours { id: Id, owner: String },
}

/// Reaches the supervisor of one fleet.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    data_dir: PathBuf,
    executable: PathBuf,
}

impl Client {
    pub(crate) fn new(data_dir: &Path, executable: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            executable: executable.to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What runs; nothing when there is no supervisor.
    pub(crate) fn processes(&self) -> Result<Vec<ProcessStatus>, ClientError> {
        processes(&self.data_dir)
    }

    /// Starts a process (or replaces another of its name), and the supervisor if there is none.
    pub(crate) fn start(&self, spec: &Spec, owner: &str) -> Result<(), ClientError> {
        let deadline = Instant::now() + STARTUP;
        let mut starting = None;
        loop {
            let request = Request::Start {
                spec: spec.clone(),
                owner: owner.to_owned(),
            };
            match exchange(&self.data_dir, &request, AFTER_STOPPING) {
                Ok(Response::NotYours { owner }) => {
                    return Err(ClientError::NotYours {
                        id: spec.id.clone(),
                        owner,
                    });
                }
                Ok(_) => return Ok(()),
                Err(error) if nobody(&error) && Instant::now() < deadline => {
                    self.keep_starting(&mut starting)?;
                }
                Err(error) => return Err(ClientError::Silent(self.data_dir.clone(), error)),
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Removes a process, when it has ended. Nothing to do without a supervisor.
    pub(crate) fn stop(&self, id: &Id, owner: &str) -> Result<(), ClientError> {
        let request = Request::Stop {
            id: id.clone(),
            owner: owner.to_owned(),
        };
        match exchange(&self.data_dir, &request, AFTER_STOPPING) {
            Ok(_) => Ok(()),
            Err(error) if nobody(&error) => Ok(()),
            Err(error) => Err(ClientError::Silent(self.data_dir.clone(), error)),
        }
    }

    /// Starts a supervisor unless one that we started is still coming up.
    fn keep_starting(&self, starting: &mut Option<Child>) -> Result<(), ClientError> {
        let failed = |error| ClientError::Start(self.data_dir.clone(), error);
        if let Some(child) = starting {
            match child.try_wait().map_err(failed)? {
                None => return Ok(()),
                // Another one had the folder and may just be leaving.
                Some(status) if status.success() => {}
                Some(_) => {
                    let log = logfile::tail(&log_of(&self.data_dir), 0, 5);
                    return Err(ClientError::Ended {
                        data_dir: self.data_dir.clone(),
                        log,
                    });
                }
            }
        }
        *starting = Some(self.spawn().map_err(failed)?);
        Ok(())
    }

    /// A supervisor that outlives this process: it makes a session of its own.
    fn spawn(&self) -> io::Result<Child> {
        fs::create_dir_all(&self.data_dir)?;
        let log = logfile::open(&log_of(&self.data_dir))?;
        let mut command = Command::new(&self.executable);
        command
            .arg("supervise")
            .arg("--data-dir")
            .arg(&self.data_dir);
        // Keys and settings of this run are none of the processes' business.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TKS_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }
}

/// What runs in the fleet of a data folder.
pub(crate) fn processes(data_dir: &Path) -> Result<Vec<ProcessStatus>, ClientError> {
    match exchange(data_dir, &Request::Status, AT_ONCE) {
        Ok(Response::Status { processes, .. }) => Ok(processes),
        Ok(_) => Ok(Vec::new()),
        Err(error) if nobody(&error) => Ok(Vec::new()),
        Err(error) => Err(ClientError::Silent(data_dir.to_owned(), error)),
    }
}

/// Ends everything. `false` when there is no supervisor.
pub(super) fn shutdown(data_dir: &Path) -> io::Result<bool> {
    match exchange(data_dir, &Request::Shutdown, AFTER_STOPPING) {
        Ok(_) => Ok(true),
        Err(error) if nobody(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// There is no supervisor, or it was just leaving and did not take the request.
fn nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(
        error.kind(),
        NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof
    )
}

/// One request, its response, and the supervisor's end if that follows.
fn exchange(data_dir: &Path, request: &Request, patience: Duration) -> io::Result<Response> {
    let mut stream = socket::connect(data_dir)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(AT_ONCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let response = receive(&stream)?;
    if matches!(response, Response::Done { last: true }) {
        let _ = stream.read(&mut [0]);
    }
    Ok(response)
}

fn receive(stream: &UnixStream) -> io::Result<Response> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.ends_with('\n') {
        return Ok(serde_json::from_str(&line)?);
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
