//! The supervisor's side of the socket, and its own life.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::child::Launcher;
use super::process::Process;
use super::protocol::{Id, Request, Response, Spec};
use super::{SupervisorError, log_of, logs_of, socket};

/// How long a new supervisor waits for its first process.
const PATIENCE: Duration = Duration::from_secs(30);

/// The processes of a fleet.
struct Supervisor {
    launcher: Launcher,
    processes: Mutex<BTreeMap<Id, Process>>,
    /// Set once: nothing is started any more.
    refusing: AtomicBool,
    /// Everything ends now.
    closing: CancellationToken,
}

/// How a supervisor ended without failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another one serves the folder.
    Elsewhere,
    /// Its last process was removed.
    Idle,
    /// It was told to.
    Told,
}

/// Serves a folder until there is nothing left to supervise. Answers at once when another supervisor has the folder.
pub(super) async fn run(data_dir: &Path, launcher: Launcher) -> Result<Ended, SupervisorError> {
    let failed = |action: &'static str, path: PathBuf| {
        move |source: io::Error| SupervisorError::File {
            action,
            path,
            source,
        }
    };
    let Some(_claim) = Claim::take(data_dir).map_err(failed("claim", data_dir.to_owned()))? else {
        return Ok(Ended::Elsewhere);
    };
    let path = socket::path(data_dir);
    let listener = socket::bind(data_dir).map_err(failed("listen on", path.clone()))?;
    listener
        .set_nonblocking(true)
        .map_err(failed("listen on", path.clone()))?;
    let listener = UnixListener::from_std(listener).map_err(failed("listen on", path.clone()))?;
    info!(data_dir = %data_dir.display(), pid = std::process::id(), "supervisor started");
    let supervisor = Arc::new(Supervisor {
        launcher,
        processes: Mutex::default(),
        refusing: AtomicBool::new(false),
        closing: CancellationToken::new(),
    });
    let served = supervisor.clone().serve(listener).await;
    // Still claimed: no other supervisor can have bound the path.
    let _ = fs::remove_file(&path);
    supervisor.stop_all().await;
    info!("supervisor ended");
    served.map_err(SupervisorError::Runtime)?;
    if !supervisor.processes.lock().is_empty() {
        return Ok(Ended::Told);
    }
    // Nothing is left that its log could explain.
    let _ = fs::remove_file(log_of(data_dir));
    let _ = fs::remove_dir(logs_of(data_dir));
    Ok(Ended::Idle)
}

/// The right to serve a folder: a locked file, which is removed before it is let go.
struct Claim {
    path: PathBuf,
    _file: File,
}

impl Claim {
    /// `None` when another supervisor serves the folder.
    fn take(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = data_dir.join("supervisor.lock");
        loop {
            let file = File::options().create(true).append(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Its last holder may have removed it after it was opened here: then nobody else sees this lock.
            let same =
                |there: fs::Metadata| file.metadata().is_ok_and(|ours| there.ino() == ours.ino());
            if fs::metadata(&path).is_ok_and(same) {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Supervisor {
    async fn serve(self: Arc<Self>, listener: UnixListener) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        let mut patient = true;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => { tokio::spawn(self.clone().converse(stream)); }
                    // Out of file descriptors, most likely: others will be closed.
                    Err(error) => {
                        warn!(%error, "cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = &mut patience, if patient => {
                    patient = false;
                    if self.processes.lock().is_empty() { self.closing.cancel(); }
                }
                () = self.closing.cancelled() => return Ok(()),
                _ = terminate.recv() => self.closing.cancel(),
                _ = interrupt.recv() => self.closing.cancel(),
            }
        }
    }

    /// One connection: requests and their responses, until either side closes it.
    async fn converse(self: Arc<Self>, mut stream: UnixStream) {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(request) = serde_json::from_str::<Request>(&line) else {
                warn!("a request was not understood");
                return;
            };
            let Some(response) = self.answer(request).await else {
                return;
            };
            let last = matches!(response, Response::Done { last: true });
            let Ok(mut text) = serde_json::to_string(&response) else {
                return;
            };
            text.push('\n');
            let sent = writer.write_all(text.as_bytes()).await;
            if last {
                self.closing.cancel();
                // The client waits for the end of this connection, which is that of this process.
                return std::future::pending().await;
            }
            if sent.is_err() {
                return;
            }
        }
    }

    fn refuses(&self) -> bool {
        self.refusing.load(Ordering::Relaxed) || self.closing.is_cancelled()
    }

    /// `None` to a request that comes too late: the client finds nobody then, and starts another supervisor.
    async fn answer(&self, request: Request) -> Option<Response> {
        if self.refuses() {
            return None;
        }
        match request {
            Request::Status => {
                let processes = self
                    .processes
                    .lock()
                    .values()
                    .map(Process::status)
                    .collect();
                Some(Response::Status {
                    pid: std::process::id(),
                    processes,
                })
            }
            Request::Start { spec, owner } => self.start(spec, owner).await,
            Request::Stop { id, owner } => Some(self.stop(&id, &owner).await),
            Request::Shutdown => {
                self.refusing.store(true, Ordering::Relaxed);
                self.stop_all().await;
                Some(Response::Done { last: true })
            }
        }
    }

    async fn start(&self, spec: Spec, owner: String) -> Option<Response> {
        loop {
            let ended = {
                let mut processes = self.processes.lock();
                // Checked and started without a pause in between: a supervisor that goes leaves no child behind.
                if self.refuses() {
                    return None;
                }
                match processes.get(&spec.id) {
                    Some(there) if there.owner != owner => {
                        let owner = there.owner.clone();
                        return Some(Response::NotYours { owner });
                    }
                    Some(there) if there.is(&spec) => return Some(Response::Done { last: false }),
                    Some(there) if !there.has_ended() => there.stop(),
                    _ => {
                        let id = spec.id.clone();
                        processes.insert(id, Process::start(spec, owner, &self.launcher));
                        return Some(Response::Done { last: false });
                    }
                }
            };
            ended.cancelled().await;
        }
    }

    async fn stop(&self, id: &Id, owner: &str) -> Response {
        let (spec, ended) = match self.processes.lock().get(id) {
            Some(there) if there.owner == owner => (Arc::clone(&there.spec), there.stop()),
            // Gone already, or somebody else's by now.
            _ => return Response::Done { last: false },
        };
        ended.cancelled().await;
        let mut processes = self.processes.lock();
        // It may have been started again meanwhile.
        if processes
            .get(id)
            .is_some_and(|there| Arc::ptr_eq(&there.spec, &spec))
        {
            processes.remove(id);
        }
        if processes.is_empty() {
            self.refusing.store(true, Ordering::Relaxed);
        }
        Response::Done {
            last: processes.is_empty(),
        }
    }

    async fn stop_all(&self) {
        let endings: Vec<_> = self.processes.lock().values().map(Process::stop).collect();
        for ended in endings {
            ended.cancelled().await;
        }
    }
}
