//! Blocks that an old bug of Prometheus (tsdb issue 347) left chunks in that begin where the block ends. The next block has them
//! too, so they are left out of a copy, which takes the block's place.

use tsdb::Ulid;

use super::Failure;
use super::work::Worker;

impl Worker {
    /// Replaces a block by a copy without those chunks.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) async fn repair_347(&self, id: Ulid, why: &str) -> Result<(), Failure> {
        tracing::info!(%id, err = why, "repairing block broken by https://github.com/prometheus/tsdb/issues/347");
        let parent = self
            .config
            .data_dir
            .join(format!("repair-issue-347-id-{id}"));
        let outcome = self.repair_in(id, &parent).await;
        let _ = tokio::fs::remove_dir_all(&parent).await;
        outcome.map_err(|failure| failure.during(format!("repair of block {id} failed")))
    }

    async fn repair_in(&self, id: Ulid, parent: &std::path::Path) -> Result<(), Failure> {
        let source = parent.join(id.to_string());
        let concurrency = self.config.block_files_concurrency;
        let fetched = crate::bucket::download(&self.bucket, id, &source, concurrency).await;
        let broken = fetched.map_err(|e| Failure::retry(format!("download block {id}"), &e))?;
        let repaired = Ulid::generate();
        let (options, cancel, folder) = (self.options(), self.cancel.clone(), parent.to_owned());
        let made = tokio::task::spawn_blocking(move || {
            tsdb::compact::compact(&[source], &folder, repaired, &options, &cancel)
        });
        let made = match made.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Err(Failure::fatal("write it anew", &error)),
            Err(error) => return Err(Failure::fatal("write it anew", &error)),
        };
        if let Some(mut meta) = made {
            // Neither a source nor a level more: it is the same block.
            meta.compaction = broken.compaction;
            let made = meta.thanos.take().unwrap_or_default();
            meta.thanos = broken.thanos;
            let thanos = meta.thanos.get_or_insert_default();
            thanos.segment_files = made.segment_files;
            thanos.index_stats = made.index_stats;
            "compactor.repair".clone_into(&mut thanos.source);
            self.upload(&parent.join(repaired.to_string()), &meta)
                .await?;
        }
        let marked = self.mark_deleted(id, "source of repaired block").await;
        marked.map_err(|e| Failure::retry("mark old block for deletion", &e))
    }
}
