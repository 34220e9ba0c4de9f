//! The blocks of a TSDB folder.

use std::path::Path;

use tsdb::Ulid;
use tsdb::meta::Meta;

use super::{ShipError, block_dir, meta};

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By their lowest time.
    pub(super) metas: Vec<Meta>,
    /// Blocks that were left out because their metas cannot be read.
    pub(super) corrupted: usize,
}

/// Reads the meta of every folder whose name is a ULID.
pub(super) fn scan(dir: &Path, skip_corrupted: bool) -> Result<Found, ShipError> {
    let unlisted = |source| ShipError::Folder {
        path: dir.to_owned(),
        source,
    };
    let mut found = Found::default();
    for entry in std::fs::read_dir(dir).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let Some(id) = entry.file_name().to_str().and_then(id) else {
            continue;
        };
        let path = block_dir(dir, id);
        if !path.is_dir() {
            continue;
        }
        match meta::read(&path, id) {
            Ok(meta) => found.metas.push(meta),
            Err(error) => {
                if !skip_corrupted {
                    return Err(error);
                }
                tracing::error!(block = %id, err = &error as &dyn std::error::Error, "skipping corrupted block");
                found.corrupted += 1;
            }
        }
    }
    found.metas.sort_by_key(|meta| (meta.min_time, meta.ulid));
    Ok(found)
}

/// A ULID as blocks are named: 26 characters, upper case.
fn id(name: &str) -> Option<Ulid> {
    let id = Ulid::from_string(name).ok()?;
    (id.to_string() == name).then_some(id)
}
