//! A tick when one of some files changes.
//!
//! Folders are watched, not files: editors and Kubernetes replace files by rename or by swapping a link,
//! and a watch on the old file would stay silent. What counts in the end is the files' stamps (time,
//! length, inode), also compared every two seconds: that covers folders that do not exist yet or are
//! made anew, and file systems that report nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver as StdReceiver, RecvTimeoutError, Sender, channel as std_channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::tls::Stamp;

/// A change is reported when the files have been quiet for so long.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often stamps are compared without any event.
const POLL: Duration = Duration::from_secs(2);

/// A channel that gets a tick after one or several of these files were changed, made, replaced or
/// removed since this call; several changes at once may be one tick. Dropping the receiver ends the
/// watch.
#[must_use]
pub fn files(paths: Vec<PathBuf>) -> mpsc::Receiver<()> {
    let (ticks, receiver) = mpsc::channel(1);
    // Stamped before this returns: what the caller reads next is not older than the stamps.
    let seen = stamps(&paths);
    let watch = move || watch(&paths, seen, &ticks);
    if let Err(error) = std::thread::Builder::new()
        .name("file-watch".into())
        .spawn(watch)
    {
        tracing::error!(err = &error as &dyn std::error::Error, "cannot watch files");
    }
    receiver
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

fn watch(paths: &[PathBuf], mut seen: Vec<Stamp>, ticks: &mpsc::Sender<()>) {
    let (events, arrived) = std_channel();
    let mut folders = Folders::new(paths, events);
    while !ticks.is_closed() {
        folders.watch();
        match arrived.recv_timeout(POLL) {
            Ok(()) => settle(&arrived),
            Err(RecvTimeoutError::Timeout) => {}
            // No watcher: polling is all there is.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
        let now = stamps(paths);
        if now != seen {
            seen = now;
            // A full channel holds a tick that nobody took yet: it stands for this change too.
            let _ = ticks.try_send(());
        }
    }
}

/// Waits for a pause in the events; not for ever, as something else may write in the same folder.
fn settle(events: &StdReceiver<()>) {
    let end = Instant::now() + POLL;
    while events.recv_timeout(DEBOUNCE).is_ok() && Instant::now() < end {}
}

/// The folders of the watched files, with the identity they had when their watch began.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    watched: BTreeMap<PathBuf, Stamp>,
}

impl Folders {
    fn new(paths: &[PathBuf], events: Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
            // The receiver goes away with the watch.
            let _ = events.send(());
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no file events, files are polled only"))
            .ok();
        let folders = paths.iter().map(|path| folder_of(path)).collect();
        Self {
            watcher,
            folders,
            watched: BTreeMap::new(),
        }
    }

    /// Watches each folder that exists and is not the one that is watched already.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in &self.folders {
            let identity = Stamp::of_folder(folder);
            if self.watched.get(folder) == Some(&identity) {
                continue;
            }
            if self.watched.remove(folder).is_some() {
                // The old folder's watch ended with the folder.
                let _ = watcher.unwatch(folder);
            }
            if watcher.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder.clone(), identity);
            }
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tick(changes: &mut mpsc::Receiver<()>) {
        tokio::time::timeout(Duration::from_secs(10), changes.recv())
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn a_rename_over_a_file_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("a"), folder.path().join("a.new"));
        std::fs::write(&file, "1").unwrap();
        let mut changes = files(vec![file.clone()]);
        std::fs::write(&new, "2").unwrap();
        std::fs::rename(&new, &file).unwrap();
        tick(&mut changes).await;
        std::fs::remove_file(&file).unwrap();
        tick(&mut changes).await;
    }

    #[tokio::test]
    async fn a_file_in_a_folder_that_does_not_exist_yet_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("later/a");
        let mut changes = files(vec![file.clone()]);
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "1").unwrap();
        tick(&mut changes).await;
    }

    #[tokio::test]
    async fn a_swapped_link_is_a_change_of_the_file_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("cert"), version).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("data")).unwrap();
        std::os::unix::fs::symlink("data/cert", at("cert")).unwrap();
        let mut changes = files(vec![at("cert")]);
        std::os::unix::fs::symlink("v2", at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        tick(&mut changes).await;
    }

    #[tokio::test]
    async fn another_file_of_the_folder_is_not_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "1").unwrap();
        let mut changes = files(vec![file]);
        std::fs::write(folder.path().join("b"), "1").unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(700), changes.recv()).await;
        assert!(waited.is_err());
    }
}
