//! One writer per cluster: an advisory lock on `locks/<account>/<region>/<cluster>.lock`, which ends with its process.
//! While it is held the file tells by whom.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stack::ClusterPath;

use crate::store::file_of;
use crate::{Event, Progress, Stop, disk, state};

/// How often a held lock is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub user: String,
    pub host: String,
    /// `apply`, `destroy`.
    pub operation: String,
    /// RFC 3339, UTC.
    pub since: String,
}

/// No lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Exit code 3.
    #[error("{cluster} is locked by {}", named(.holder.as_ref()))]
    Held {
        cluster: ClusterPath,
        holder: Option<Holder>,
    },
    #[error("interrupted while waiting for the lock of {0}")]
    Interrupted(ClusterPath),
    #[error("cannot lock {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn named(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder {
            pid,
            user,
            host,
            operation,
            since,
        }) => {
            format!("{user}@{host} (process {pid}), {operation} since {since}")
        }
        None => "another process".to_owned(),
    }
}

impl Holder {
    /// This process.
    pub(crate) fn this(operation: &str) -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::current())
            .ok()
            .flatten();
        Self {
            pid: std::process::id(),
            user: user.map_or_else(|| nix::unistd::Uid::current().to_string(), |user| user.name),
            host: nix::sys::utsname::uname().map_or_else(
                |_| String::new(),
                |name| name.nodename().to_string_lossy().into_owned(),
            ),
            operation: operation.to_owned(),
            since: state::now(),
        }
    }
}

/// Held locks, released (and their files removed) when dropped.
#[derive(Debug)]
pub(crate) struct Locks {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    // Closed, and so released, only after the file is gone: whoever opened it before sees that and opens it anew.
    _file: File,
    path: PathBuf,
    top: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // A file that stays is no harm: the lock is the kernel's.
        let _ = disk::remove(&self.path);
        disk::prune(self.path.parent().unwrap_or(&self.top), &self.top);
    }
}

/// How to wait for locks.
pub(crate) struct Waiting<'a> {
    pub(crate) timeout: Duration,
    pub(crate) operation: &'a str,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a Stop,
}

impl Locks {
    /// Takes the locks of all `clusters` (in path order, so that two runs never wait for each other), or none.
    pub(crate) async fn take(
        data_dir: &Path,
        clusters: &[ClusterPath],
        waiting: &Waiting<'_>,
    ) -> Result<Self, LockError> {
        let holder = Holder::this(waiting.operation);
        let until = Instant::now() + waiting.timeout;
        let mut locks = Self { held: Vec::new() };
        for cluster in clusters {
            locks
                .held
                .push(one(data_dir, cluster, &holder, until, waiting).await?);
        }
        Ok(locks)
    }
}

async fn one(
    data_dir: &Path,
    cluster: &ClusterPath,
    holder: &Holder,
    until: Instant,
    waiting: &Waiting<'_>,
) -> Result<Held, LockError> {
    let path = file_of(&data_dir.join("locks"), cluster, "lock");
    let mut said = false;
    loop {
        match attempt(&path, holder).map_err(|source| LockError::Io {
            path: path.clone(),
            source,
        })? {
            Attempt::Taken(file) => {
                return Ok(Held {
                    _file: file,
                    path,
                    top: data_dir.to_owned(),
                });
            }
            Attempt::Again => continue,
            Attempt::Held(holder) if Instant::now() >= until => {
                return Err(LockError::Held {
                    cluster: cluster.clone(),
                    holder,
                });
            }
            Attempt::Held(holder) if !said => {
                said = true;
                let cluster = cluster.clone();
                waiting
                    .progress
                    .event(Event::WaitingForLock { cluster, holder });
            }
            Attempt::Held(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = waiting.stop.stopped() => return Err(LockError::Interrupted(cluster.clone())),
        }
    }
}

/// A cluster that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    pub cluster: ClusterPath,
    /// `None`: it does not say.
    pub holder: Option<Holder>,
}

/// Whether a cluster is locked. What is left of a killed process is no lock.
pub(crate) fn locked(data_dir: &Path, cluster: &ClusterPath) -> Result<Option<Locked>, LockError> {
    let path = file_of(&data_dir.join("locks"), cluster, "lock");
    let looked = look(&path).map_err(|source| LockError::Io { path, source })?;
    Ok(looked.map(|holder| Locked {
        cluster: cluster.clone(),
        holder,
    }))
}

fn look(path: &Path) -> io::Result<Option<Option<Holder>>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let holder: Option<Holder> = serde_json::from_str(&text).ok();
    // Looking must not get in the way of somebody who takes the lock: only where its process lives is it tried.
    if holder.as_ref().is_some_and(|holder| !lives(holder.pid)) {
        return Ok(None);
    }
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(nix::unistd::Pid::from_raw);
    pid.is_ok_and(|pid| nix::sys::signal::kill(pid, None) != Err(nix::errno::Errno::ESRCH))
}

/// Removes what a killed process left of a lock. One that is held ends with its process only.
pub(crate) fn release(data_dir: &Path, cluster: &ClusterPath) -> Result<bool, LockError> {
    let path = file_of(&data_dir.join("locks"), cluster, "lock");
    let io = |source| LockError::Io {
        path: path.clone(),
        source,
    };
    if !path.exists() {
        return Ok(false);
    }
    let attempt = attempt(&path, &Holder::this("lock release")).map_err(io)?;
    match attempt {
        Attempt::Held(holder) => Err(LockError::Held {
            cluster: cluster.clone(),
            holder,
        }),
        Attempt::Again => Ok(false),
        Attempt::Taken(file) => {
            drop(Held {
                _file: file,
                path: path.clone(),
                top: data_dir.to_owned(),
            });
            Ok(true)
        }
    }
}

enum Attempt {
    Taken(File),
    Held(Option<Holder>),
    /// The file was removed by its last holder after it was opened here.
    Again,
}

fn attempt(path: &Path, holder: &Holder) -> io::Result<Attempt> {
    disk::make_folder(path.parent().unwrap_or(path))?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut file = match options.open(path) {
        // Somebody pruned the folder meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Attempt::Again),
        opened => opened?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            return Ok(Attempt::Held(
                read.ok().and_then(|_| serde_json::from_str(&text).ok()),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    let ours = file.metadata()?;
    let current = path.metadata();
    if !current.is_ok_and(|current| (current.dev(), current.ino()) == (ours.dev(), ours.ino())) {
        return Ok(Attempt::Again);
    }
    file.set_len(0)?;
    file.write_all(serde_json::to_string(holder)?.as_bytes())?;
    Ok(Attempt::Taken(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn clusters(names: &[&str]) -> Vec<ClusterPath> {
        names
            .iter()
            .map(|name| state::cluster(&format!("a/r/{name}")).unwrap())
            .collect()
    }

    async fn take(dir: &Path, names: &[&str], timeout: Duration) -> Result<Locks, LockError> {
        let stop = Stop::default();
        let waiting = Waiting {
            timeout,
            operation: "test",
            progress: &Silent,
            stop: &stop,
        };
        Locks::take(dir, &clusters(names), &waiting).await
    }

    #[tokio::test]
    async fn a_held_lock_names_its_holder_and_is_free_after_release() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), &["x", "y"], Duration::ZERO).await.unwrap();
        let refused = take(dir.path(), &["w", "y"], Duration::ZERO)
            .await
            .unwrap_err();
        let LockError::Held { cluster, holder } = refused else {
            panic!("{refused}")
        };
        assert_eq!(cluster.cluster, "y");
        assert_eq!(holder.unwrap().pid, std::process::id());
        // What was taken before the refusal is free again.
        take(dir.path(), &["w"], Duration::ZERO).await.unwrap();
        drop(first);
        take(dir.path(), &["x", "y"], Duration::ZERO).await.unwrap();
        assert!(
            !dir.path().join("locks").exists(),
            "released locks leave no files"
        );
    }

    #[tokio::test]
    async fn waiting_for_a_lock_ends_with_its_release() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), &["x"], Duration::ZERO).await.unwrap();
        let second = take(dir.path(), &["x"], Duration::from_secs(30));
        let release = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        tokio::join!(second, release).0.unwrap();
    }
}
