//! What is special about a bucket that is a folder.
//!
//! An object is written beside its name, as `name#1`, and renamed. A writer that is killed between leaves
//! that file; listings do not show it.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use tokio::task::JoinError;

use crate::ConfigError;

/// No writer needs so long from one piece of an object to the next.
pub(super) const SURELY_LEFT: Duration = Duration::from_secs(60);

pub(super) fn open(directory: &FilePath) -> Result<LocalFileSystem, ConfigError> {
    std::fs::create_dir_all(directory).map_err(|source| ConfigError::Folder {
        path: directory.to_owned(),
        source,
    })?;
    let folder =
        LocalFileSystem::new_with_prefix(directory).map_err(|source| ConfigError::Open {
            bucket: directory.display().to_string(),
            source,
        })?;
    Ok(folder.with_automatic_cleanup(true))
}

/// Buckets have no empty folders: those of this one are not shown, as in Thanos.
pub(super) async fn without_empty(
    root: PathBuf,
    folders: Vec<Path>,
) -> Result<Vec<Path>, JoinError> {
    let is_empty = move |folder: &Path| {
        let entries = std::fs::read_dir(root.join(folder.as_ref()));
        entries.is_ok_and(|mut entries| entries.next().is_none())
    };
    let filter = move || folders.into_iter().filter(|f| !is_empty(f)).collect();
    tokio::task::spawn_blocking(filter).await
}

/// Removes what killed writers of an object left and nobody has written to for `age`.
pub(super) async fn remove_left_over(object: PathBuf, age: Duration) {
    // Best effort: what stays costs space, nothing else.
    let _ = tokio::task::spawn_blocking(move || remove(&object, age)).await;
}

fn remove(object: &FilePath, age: Duration) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (object.parent(), object.file_name()) else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let number = file.strip_prefix(&*name).and_then(|f| f.strip_prefix('#'));
        let is_staged = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        if !number.is_some_and(is_staged) {
            continue;
        }
        let written = entry.metadata()?.modified()?;
        if written.elapsed().unwrap_or_default() >= age {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
