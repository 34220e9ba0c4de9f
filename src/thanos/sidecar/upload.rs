//! The uploading side of a sidecar: whether Prometheus is fit for it, and the loop over its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use net::metrics::Registry;
use objstore::Bucket;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::config::{Config, Uploads};
use super::state::State;
use crate::shipper::{ExternalLabels, Shipper};

/// Between two looks for external labels.
const LABELS_INTERVAL: Duration = Duration::from_secs(2);
const RECOMMENDED_BLOCK: i64 = 2 * 3_600_000;

/// A shipper, opened before anything is served: a bucket that cannot be used is known at once.
pub(super) struct Upload {
    shipper: Shipper,
    interval: Duration,
    flush: Duration,
}

impl Upload {
    /// `None` when nothing is to be uploaded.
    pub(super) fn open(config: &Config, registry: &Registry) -> Result<Option<Self>, Error> {
        let Some(uploads) = &config.uploads else {
            tracing::info!("no supported bucket was configured, uploads will be disabled");
            return Ok(None);
        };
        let bucket = Bucket::open(&uploads.bucket, registry)?;
        tracing::info!(bucket = bucket.name(), dir = %uploads.shipper.dir.display(), "uploads are enabled");
        Ok(Some(Self {
            shipper: Shipper::new(uploads.shipper.clone(), bucket, registry),
            interval: uploads.interval,
            flush: uploads.flush,
        }))
    }

    /// Ships at every interval until `shutdown`, and once more then.
    pub(super) async fn run(
        &self,
        config: &Config,
        state: &State,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        if !labels_known(config, state, shutdown).await? {
            return Ok(());
        }
        loop {
            let sync = self.sync(state);
            tokio::pin!(sync);
            tokio::select! {
                () = shutdown.cancelled() => {
                    self.finish(sync).await;
                    return Ok(());
                }
                () = &mut sync => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
        self.finish(self.sync(state)).await;
        Ok(())
    }

    async fn sync(&self, state: &State) {
        match self.shipper.sync(&labels(state)).await {
            Ok(0) => {}
            Ok(uploaded) => tracing::info!(uploaded, "uploaded blocks"),
            Err(error) => tracing::warn!(err = %net::log::chain(&error), "failed to sync blocks"),
        }
    }

    /// The last look, which must not hold up the end for long.
    async fn finish(&self, sync: impl Future<Output = ()>) {
        if tokio::time::timeout(self.flush, sync).await.is_err() {
            tracing::warn!(
                limit = ?self.flush,
                "uploads were not finished in time and are left to the next start"
            );
        }
    }
}

fn labels(state: &State) -> ExternalLabels {
    let labels = state.external_labels().into_iter();
    labels.map(|label| (label.name, label.value)).collect()
}

/// Waits for external labels; `false` when asked to stop before.
async fn labels_known(
    config: &Config,
    state: &State,
    shutdown: &CancellationToken,
) -> Result<bool, Error> {
    let waited = async {
        while state.external_labels().is_empty() {
            tokio::time::sleep(LABELS_INTERVAL.min(config.get_config_interval)).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(false),
        waited = tokio::time::timeout(config.ready_timeout, waited) => match waited {
            Ok(()) => Ok(true),
            Err(_) => Err(Error::NoLabelsInTime(config.ready_timeout)),
        },
    }
}

/// Prometheus must leave blocks alone until they are uploaded: by not compacting at all, or by waiting for
/// the record that the shipper writes.
pub(super) fn check(
    uploads: &Uploads,
    flags: Option<BTreeMap<String, String>>,
) -> Result<(), Error> {
    let Some(flags) = flags else {
        tracing::info!("cannot check Prometheus flags, its API has no such endpoint");
        return Ok(());
    };
    let flag = |name: &str| flags.get(name).map_or("", String::as_str);
    let shortest = flag("storage.tsdb.min-block-duration");
    let delay = flag("storage.tsdb.delay-compact-file.path");
    if delay.is_empty() {
        check_equal(uploads, shortest, flag("storage.tsdb.max-block-duration"))?;
    } else {
        check_delay(uploads, Path::new(delay))?;
    }
    if milliseconds(shortest)? != RECOMMENDED_BLOCK {
        tracing::warn!(
            "block-time" = shortest,
            "found that TSDB block time is not 2h. Only 2h block time is recommended."
        );
    }
    Ok(())
}

fn check_equal(uploads: &Uploads, shortest: &str, longest: &str) -> Result<(), Error> {
    if milliseconds(shortest)? == milliseconds(longest)? {
        return Ok(());
    }
    if !uploads.ignore_unequal_block_size {
        return Err(Error::Unfit(format!(
            "found that TSDB Max time is {longest} and Min time is {shortest}. Compaction needs to be disabled (storage.tsdb.min-block-duration = storage.tsdb.max-block-duration)"
        )));
    }
    tracing::warn!(
        "Prometheus min and max block durations differ and this is ignored: a block whose upload fails before Prometheus compacts it will be missing in the bucket"
    );
    Ok(())
}

fn check_delay(uploads: &Uploads, delay: &Path) -> Result<(), Error> {
    let shipper = &uploads.shipper;
    let record = shipper.dir.join(&shipper.meta_file_name);
    let absolute = |path: &Path| -> PathBuf {
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        full.components().collect()
    };
    if absolute(delay) == absolute(&record) {
        return Ok(());
    }
    Err(Error::Unfit(format!(
        "found that Prometheus delays compaction by {} (storage.tsdb.delay-compact-file.path), but the shipper's meta file is {}",
        delay.display(),
        record.display()
    )))
}

fn milliseconds(duration: &str) -> Result<i64, Error> {
    model::parse_duration(duration).map_err(|error| {
        Error::Unfit(format!(
            "Prometheus runs with a block duration of {duration:?}: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        let pairs = pairs.iter();
        let owned = pairs.map(|(name, value)| {
            let name = format!("storage.tsdb.{name}");
            (name, (*value).to_owned())
        });
        Some(owned.collect())
    }

    fn uploads() -> Uploads {
        Uploads::new(objstore::Config::filesystem("/bucket"), "/prometheus")
    }

    #[test]
    fn a_prometheus_that_compacts_is_refused_unless_that_is_ignored() {
        let differ = [("min-block-duration", "2h"), ("max-block-duration", "36h")];
        let error = check(&uploads(), flags(&differ)).unwrap_err().to_string();
        assert!(
            error.contains("Max time is 36h and Min time is 2h"),
            "{error}"
        );
        let mut ignoring = uploads();
        ignoring.ignore_unequal_block_size = true;
        assert!(check(&ignoring, flags(&differ)).is_ok());
        let equal = [("min-block-duration", "2h"), ("max-block-duration", "120m")];
        assert!(check(&uploads(), flags(&equal)).is_ok());
        assert!(check(&uploads(), None).is_ok());
    }

    #[test]
    fn a_prometheus_that_waits_for_the_record_may_compact() {
        let flags_with = |file| {
            flags(&[
                ("min-block-duration", "2h"),
                ("max-block-duration", "36h"),
                ("delay-compact-file.path", file),
            ])
        };
        assert!(check(&uploads(), flags_with("/prometheus/./thanos.shipper.json")).is_ok());
        let error = check(&uploads(), flags_with("/elsewhere.json")).unwrap_err();
        assert!(error.to_string().contains("/elsewhere.json"), "{error}");
    }
}
