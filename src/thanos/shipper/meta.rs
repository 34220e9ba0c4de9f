//! The meta of a shipped block: the block's own with the `thanos` section that the shipper adds.

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use tsdb::Ulid;
use tsdb::meta::{File, Meta};

use super::stage::segment;
use super::{ExternalLabels, Options, ShipError};

/// The meta in a block's folder.
pub(super) fn read(dir: &Path, id: Ulid) -> Result<Meta, ShipError> {
    let meta = Meta::read(dir).map_err(|source| ShipError::Block {
        path: dir.to_owned(),
        source,
    })?;
    if meta.ulid == id {
        Ok(meta)
    } else {
        Err(ShipError::OfAnother {
            path: dir.to_owned(),
            other: meta.ulid,
        })
    }
}

/// The meta as it is uploaded, now.
pub(super) fn shipped(
    meta: &Meta,
    options: &Options,
    labels: &ExternalLabels,
    files: &[File],
) -> Bytes {
    let mut meta = meta.clone();
    let section = meta.thanos.get_or_insert_default();
    section.labels.extend(labels.clone());
    options.source.clone_into(&mut section.source);
    section.segment_files = files
        .iter()
        .filter_map(segment)
        .map(str::to_owned)
        .collect();
    section.files = files.to_vec();
    section.upload_time = Some(Timestamp::now());
    meta.to_json().into()
}
