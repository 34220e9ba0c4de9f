//! The shipper: finished blocks of a TSDB folder go to a bucket, the oldest first.
//!
//! A block is a folder named by a ULID with a `meta.json`. It is hard-linked to `thanos/upload/<ULID>` (so
//! that Prometheus may delete it meanwhile), then its chunks, its index, and last its `meta.json` with a
//! `thanos` section are uploaded: a block whose meta is in the bucket is whole. `thanos.shipper.json` in the
//! TSDB folder names what is uploaded; Prometheus reads it too (`--storage.tsdb.delay-compact-file.path`).
//! Nothing else is remembered, so a shipper that was killed starts the block in hand anew.

mod blocks;
mod meta;
mod metrics;
mod overlap;
mod record;
mod stage;
mod upload;

pub(crate) use stage::{listed, sha256};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use net::metrics::Registry;
use objstore::Bucket;
use tsdb::Ulid;
use tsdb::meta::{Meta, MetaError};

use blocks::Found;
use metrics::Metrics;
use overlap::Overlaps;
use record::Record;

/// The name of the object that makes a block whole.
const META: &str = "meta.json";
const CHUNKS: &str = "chunks";
const INDEX: &str = "index";

/// External labels: what tells this Prometheus's blocks from others in the bucket.
pub type ExternalLabels = BTreeMap<String, String>;

/// What is shipped, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The TSDB's folder.
    pub dir: PathBuf,
    /// The name of the record in it.
    pub meta_file_name: String,
    /// Says who uploaded: `sidecar`.
    pub source: &'static str,
    /// Blocks above compaction level 1 too, unless they overlap with what is in the bucket.
    pub upload_compacted: bool,
    /// After a failure go on with the next block, and do not look for overlaps.
    pub allow_out_of_order: bool,
    /// Leave blocks with unreadable metas out instead of stopping at them.
    pub skip_corrupted: bool,
    /// Chunk files on their way at a time; 0 is one.
    pub concurrency: usize,
    pub hash: Hash,
}

impl Options {
    /// Thanos's defaults for a folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            meta_file_name: "thanos.shipper.json".to_owned(),
            source: "sidecar",
            upload_compacted: false,
            allow_out_of_order: false,
            skip_corrupted: false,
            concurrency: 0,
            hash: Hash::None,
        }
    }
}

/// The hash that a block's meta lists of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    #[default]
    None,
    Sha256,
}

/// Why a sync did not get to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    #[error("cannot list TSDB folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("block {}", path.display())]
    Block {
        path: PathBuf,
        #[source]
        source: MetaError,
    },
    #[error("block {}: its meta is of block {other}", path.display())]
    OfAnother { path: PathBuf, other: Ulid },
    #[error("stage block {block} in {}", path.display())]
    Stage {
        block: Ulid,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("upload block {block}: empty external labels are not allowed for Thanos block")]
    NoLabels { block: Ulid },
    #[error("upload block {block}")]
    Upload {
        block: Ulid,
        #[source]
        source: objstore::Error,
    },
    #[error("cannot tell whether block {block} is in the bucket")]
    Exists {
        block: Ulid,
        #[source]
        source: objstore::Error,
    },
    #[error("cannot read the metas of the bucket to find overlaps")]
    Metas(#[source] objstore::Error),
    #[error("cannot read the metas of the bucket to find overlaps: {object}")]
    Meta {
        object: String,
        #[source]
        source: MetaError,
    },
    #[error(
        "shipping compacted block {block} is blocked: it overlaps with block {other} of the bucket"
    )]
    Overlap { block: Ulid, other: Ulid },
    #[error("failed to sync {failed} blocks")]
    Some { failed: usize },
    #[error("a task ended by itself")]
    Task(#[from] tokio::task::JoinError),
}

/// Ships the blocks of one folder to one bucket.
#[derive(Debug)]
pub struct Shipper {
    options: Options,
    bucket: Bucket,
    metrics: Metrics,
}

impl Shipper {
    #[must_use]
    pub fn new(options: Options, bucket: Bucket, registry: &Registry) -> Self {
        let metrics = Metrics::new(registry);
        Self {
            options,
            bucket,
            metrics,
        }
    }

    /// Uploads what is finished and not yet in the bucket, with `labels`; returns how many blocks.
    ///
    /// # Errors
    /// The first [`ShipError`]; blocks before it are uploaded and recorded.
    pub async fn sync(&self, labels: &ExternalLabels) -> Result<usize, ShipError> {
        let result = self.sync_all(labels).await;
        // As Thanos counts: a pass that ended early is a failure only.
        if matches!(&result, Ok(_) | Err(ShipError::Some { .. })) {
            self.metrics.dir_syncs.inc();
        }
        match &result {
            Ok(_) => {
                let done = i64::from(self.options.upload_compacted);
                self.metrics.upload_compacted_done.set(done);
            }
            Err(_) => {
                self.metrics.dir_sync_failures.inc();
            }
        }
        result
    }

    async fn sync_all(&self, labels: &ExternalLabels) -> Result<usize, ShipError> {
        let found = self.scan().await?;
        let record = Record::in_folder(&self.options);
        let before = record.read();
        let mut pass = Pass {
            shipper: self,
            labels,
            overlaps: Overlaps::default(),
            uploaded: Vec::new(),
            failed: found.corrupted,
            shipped: 0,
        };
        let result = pass.ship(&found.metas, &before).await;
        // Also after an error: what is uploaded by now need not be asked for again.
        let uploaded = pass.uploaded_of(&found.metas, &before);
        if let Err(error) = record.write(&uploaded) {
            tracing::warn!(
                err = &error as &dyn std::error::Error,
                path = %record.path().display(),
                "updating meta file failed"
            );
        }
        result?;
        match pass.failed {
            0 => Ok(pass.shipped),
            failed => Err(ShipError::Some { failed }),
        }
    }

    async fn scan(&self) -> Result<Found, ShipError> {
        let (dir, skip) = (self.options.dir.clone(), self.options.skip_corrupted);
        let found = tokio::task::spawn_blocking(move || blocks::scan(&dir, skip)).await?;
        match &found {
            Ok(found) => {
                self.metrics.corrupted_blocks.inc_by(found.corrupted as u64);
            }
            Err(ShipError::Block { .. } | ShipError::OfAnother { .. }) => {
                self.metrics.corrupted_blocks.inc();
            }
            Err(_) => {}
        }
        found
    }

    async fn upload(&self, meta: &Meta, labels: &ExternalLabels) -> Result<(), ShipError> {
        tracing::info!(id = %meta.ulid, "upload new block");
        let staged = self.stage(meta).await?;
        let meta_json = meta::shipped(meta, &self.options, labels, staged.files());
        let result = upload::block(&self.bucket, &staged, meta_json, self.options.concurrency);
        let result = result.await;
        drop(staged);
        result.map_err(|source| ShipError::Upload {
            block: meta.ulid,
            source,
        })
    }

    async fn stage(&self, meta: &Meta) -> Result<stage::Staged, ShipError> {
        let (dir, id, hash) = (self.options.dir.clone(), meta.ulid, self.options.hash);
        tokio::task::spawn_blocking(move || stage::Staged::link(&dir, id, hash)).await?
    }
}

/// One pass over the folder.
struct Pass<'s> {
    shipper: &'s Shipper,
    labels: &'s ExternalLabels,
    overlaps: Overlaps,
    /// Blocks of this pass that are in the bucket.
    uploaded: Vec<Ulid>,
    failed: usize,
    shipped: usize,
}

impl Pass<'_> {
    async fn ship(&mut self, metas: &[Meta], before: &BTreeSet<Ulid>) -> Result<(), ShipError> {
        let options = &self.shipper.options;
        for meta in metas {
            // Gone from the bucket since, it was most likely compacted there.
            if before.contains(&meta.ulid) {
                continue;
            }
            if meta.stats.num_samples == 0 {
                tracing::debug!(block = %meta.ulid, "ignoring empty block");
                continue;
            }
            if meta.compaction.level > 1 && !options.upload_compacted {
                continue;
            }
            match self.ship_one(meta).await {
                Ok(()) => self.uploaded.push(meta.ulid),
                Err(error @ ShipError::Upload { .. }) | Err(error @ ShipError::Stage { .. })
                    if options.allow_out_of_order =>
                {
                    tracing::error!(block = %meta.ulid, err = &error as &dyn std::error::Error, "shipping failed");
                    self.failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn ship_one(&mut self, meta: &Meta) -> Result<(), ShipError> {
        let shipper = self.shipper;
        let exists = shipper
            .bucket
            .exists(&format!("{}/{META}", meta.ulid))
            .await;
        let exists = exists.map_err(|source| ShipError::Exists {
            block: meta.ulid,
            source,
        })?;
        if exists {
            return Ok(());
        }
        if self.labels.is_empty() {
            return Err(ShipError::NoLabels { block: meta.ulid });
        }
        if meta.compaction.level > 1 && !shipper.options.allow_out_of_order {
            let overlaps = &mut self.overlaps;
            overlaps.check(&shipper.bucket, self.labels, meta).await?;
        }
        if let Err(error) = shipper.upload(meta, self.labels).await {
            shipper.metrics.upload_failures.inc();
            return Err(error);
        }
        shipper.metrics.uploads.inc();
        self.shipped += 1;
        Ok(())
    }

    /// What the record says next: blocks that are still here and were uploaded, before or now.
    fn uploaded_of(&self, metas: &[Meta], before: &BTreeSet<Ulid>) -> Vec<Ulid> {
        let ids = metas.iter().map(|meta| meta.ulid);
        ids.filter(|id| before.contains(id) || self.uploaded.contains(id))
            .collect()
    }
}

/// `<dir>/<ULID>`
fn block_dir(dir: &Path, id: Ulid) -> PathBuf {
    dir.join(id.to_string())
}

#[cfg(test)]
mod tests;
