//! Parts of an iteration by themselves, as `tools bucket` does them; what would be done is told before, so that it can be looked at.

use objstore::Bucket;
use tsdb::Ulid;

use super::clean::{PARTIAL_AGE, is_past};
use super::downsample::tasks;
use super::{Compactor, Config, Error, Failure, Metrics, now, seconds};

/// A part of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Delete what was marked long enough ago, mark what others replace, delete partial uploads.
    Cleanup,
    /// Mark what is past its retention.
    Retention,
    /// Downsample, twice.
    Downsample,
}

/// Something that is done to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub block: Ulid,
    pub what: String,
}

impl Compactor {
    /// A compactor that does parts of an iteration on request.
    ///
    /// # Errors
    /// [`Error`] for settings that cannot be meant.
    pub fn once(config: Config) -> Result<Self, Error> {
        config.check()?;
        let registry = net::metrics::Registry::new();
        let bucket = Bucket::open(&config.bucket, &registry)?;
        let metrics = Metrics::new(&registry, config.delete_delay, config.consistency_delay);
        Ok(Self::new(config, bucket, metrics))
    }

    /// What a part would do now.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn planned(&self, part: Part) -> Result<Vec<Planned>, Failure> {
        let view = self.syncer.sync().await?;
        let config = &self.worker.config;
        let planned = |block: Ulid, what: String| Planned { block, what };
        Ok(match part {
            Part::Cleanup => {
                let delay = i64::try_from(config.delete_delay.as_secs()).unwrap_or(i64::MAX);
                let due = view
                    .deletions
                    .values()
                    .filter(|mark| seconds().saturating_sub(mark.deletion_time) > delay);
                let due = due.map(|mark| planned(mark.id, "delete".to_owned()));
                let outdated = view.duplicates.iter();
                let outdated = outdated.filter(|id| !view.deletions.contains_key(id));
                let outdated =
                    outdated.map(|id| planned(*id, "mark for deletion: outdated block".to_owned()));
                let old = |id: &&Ulid| {
                    let made = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
                    now().saturating_sub(made) > PARTIAL_AGE
                };
                let partial = view.partial.iter().filter(old);
                let partial = partial.map(|id| {
                    planned(
                        *id,
                        "delete if nothing of it changed for 2 days: partial upload".to_owned(),
                    )
                });
                due.chain(outdated).chain(partial).collect()
            }
            Part::Retention => {
                let past = view.blocks.values().filter(|block| {
                    let thanos = block.thanos.as_ref();
                    let resolution = thanos.map_or(0, |thanos| thanos.downsample.resolution);
                    is_past(block.max_time, config.retention.of(resolution))
                        && !view.deletions.contains_key(&block.ulid)
                });
                past.map(|block| {
                    planned(
                        block.ulid,
                        "mark for deletion: past its retention".to_owned(),
                    )
                })
                .collect()
            }
            Part::Downsample => tasks(&view)?
                .into_iter()
                .map(|(block, to)| {
                    planned(block.ulid, format!("downsample to {} min", to / 60_000))
                })
                .collect(),
        })
    }

    /// Does a part.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn perform(&self, part: Part) -> Result<(), Failure> {
        match part {
            Part::Cleanup => {
                let view = self.syncer.sync().await?;
                let deleted = self.worker.delete_marked(&view).await?;
                self.worker.collect_garbage(&view, &deleted).await?;
                self.clean_partial(&view).await;
            }
            Part::Retention => {
                let view = self.syncer.sync().await?;
                self.worker.apply_retention(&view).await?;
            }
            Part::Downsample => {
                for _ in 0..2 {
                    let view = self.syncer.sync().await?;
                    self.worker.downsample(&view).await?;
                }
            }
        }
        Ok(())
    }
}
