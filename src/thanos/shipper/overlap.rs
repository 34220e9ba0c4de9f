//! Whether a compacted block would overlap with what is in the bucket under the same labels.

use futures::stream::{StreamExt, TryStreamExt};
use objstore::{Bucket, Entry};
use tsdb::Ulid;
use tsdb::meta::Meta;

use super::{ExternalLabels, META, ShipError};

/// Metas that are read at a time.
const PARALLEL: usize = 16;
/// A larger meta is none.
const MOST_BYTES: u64 = 64 << 20;

/// The bucket's blocks of these labels: read once in a pass, when the first compacted block asks.
#[derive(Default)]
pub(super) struct Overlaps(Option<Vec<Meta>>);

impl Overlaps {
    pub(super) async fn check(
        &mut self,
        bucket: &Bucket,
        labels: &ExternalLabels,
        meta: &Meta,
    ) -> Result<(), ShipError> {
        let known = match &mut self.0 {
            Some(known) => known,
            none => none.insert(metas(bucket, labels).await?),
        };
        // maxTime is exclusive.
        let overlapping = known
            .iter()
            .find(|other| other.min_time < meta.max_time && meta.min_time < other.max_time);
        match overlapping {
            None => {
                // The next of this pass must not overlap with this one either.
                known.push(meta.clone());
                Ok(())
            }
            Some(other) => Err(ShipError::Overlap {
                block: meta.ulid,
                other: other.ulid,
            }),
        }
    }
}

async fn metas(bucket: &Bucket, labels: &ExternalLabels) -> Result<Vec<Meta>, ShipError> {
    let entries = bucket.iter("").await.map_err(ShipError::Metas)?;
    let blocks = entries.into_iter().filter_map(|entry| match entry {
        Entry::Folder(name) if Ulid::from_string(&name).is_ok() => Some(name),
        _ => None,
    });
    let reads: Vec<_> = blocks.map(|block| read(bucket, block)).collect();
    let read: Vec<Option<Meta>> = futures::stream::iter(reads)
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    let read = read.into_iter().flatten();
    let same = |meta: &Meta| meta.thanos.as_ref().is_some_and(|t| t.labels == *labels);
    Ok(read.filter(same).collect())
}

/// Nothing for a block that is still being uploaded, or deleted.
async fn read(bucket: &Bucket, block: String) -> Result<Option<Meta>, ShipError> {
    let object = format!("{block}/{META}");
    match bucket.get(&object, MOST_BYTES).await {
        Ok(bytes) => match Meta::parse(&bytes) {
            Ok(meta) => Ok(Some(meta)),
            Err(source) => Err(ShipError::Meta { object, source }),
        },
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(ShipError::Metas(error)),
    }
}
