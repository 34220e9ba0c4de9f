//! What a bucket costs: bytes per cluster, resolution and age, and what will be freed and when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Block;
use crate::compact::{Retention, now};

/// What decides over cost and over what is freed.
#[derive(Clone, Debug)]
pub struct Prices {
    /// The external label whose values are told apart.
    pub by: String,
    /// Of a GiB and month.
    pub per_gib: f64,
    pub retention: Retention,
    /// How long marked blocks stay.
    pub delete_delay: Duration,
}

/// Blocks of one cluster and resolution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub cluster: String,
    /// Milliseconds.
    pub resolution: i64,
    pub blocks: u64,
    pub samples: u64,
    pub bytes: u64,
    /// Of blocks that ended less than a day, a week, a month, a year ago, and longer.
    pub by_age: [u64; 5],
    /// Of what is marked for deletion already.
    pub marked: u64,
    /// A month.
    pub price: f64,
}

/// Bytes that go.
#[derive(Clone, Debug, PartialEq)]
pub struct Freed {
    /// Milliseconds since 1970.
    pub at: i64,
    pub bytes: u64,
    pub block: String,
    pub why: &'static str,
}

/// What a bucket costs.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub rows: Vec<Row>,
    /// By time.
    pub freed: Vec<Freed>,
}

const DAY: i64 = 24 * 3_600_000;
/// Where one age ends and the next begins, in days.
pub const AGES: [i64; 4] = [1, 7, 30, 365];

/// Adds up blocks and their `sizes`, which are in the same order.
#[must_use]
pub fn cost(blocks: &[Block], sizes: &[u64], prices: &Prices) -> Cost {
    let mut rows: BTreeMap<(String, i64), Row> = BTreeMap::new();
    let mut freed = Vec::new();
    let now = now();
    for (block, bytes) in blocks.iter().zip(sizes.iter().copied()) {
        let key = (block.label(&prices.by).to_owned(), block.resolution());
        let row = rows.entry(key.clone()).or_insert_with(|| Row {
            cluster: key.0,
            resolution: key.1,
            ..Row::default()
        });
        row.blocks += 1;
        row.samples += block.meta.stats.num_samples;
        row.bytes += bytes;
        let days = now.saturating_sub(block.meta.max_time) / DAY;
        row.by_age[AGES.partition_point(|age| *age <= days)] += bytes;
        if block.deletion.is_some() {
            row.marked += bytes;
        }
        freed.extend(freed_by(block, bytes, prices, now));
    }
    for row in rows.values_mut() {
        row.price = row.bytes as f64 / f64::from(1 << 30) * prices.per_gib;
    }
    freed.sort_by_key(|freed| freed.at);
    Cost {
        rows: rows.into_values().collect(),
        freed,
    }
}

/// When a block goes, as far as it is known.
fn freed_by(block: &Block, bytes: u64, prices: &Prices, now: i64) -> Option<Freed> {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let delay = millis(prices.delete_delay);
    let block_id = block.meta.ulid.to_string();
    if let Some(mark) = &block.deletion {
        let marked = mark.deletion_time.saturating_mul(1000);
        return Some(Freed {
            at: marked.saturating_add(delay).max(now),
            bytes,
            block: block_id,
            why: "marked for deletion",
        });
    }
    let kept = millis(prices.retention.of(block.resolution()));
    (kept > 0).then(|| Freed {
        at: block
            .meta
            .max_time
            .saturating_add(kept)
            .max(now)
            .saturating_add(delay),
        bytes,
        block: block_id,
        why: "retention",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tsdb::Ulid;
    use tsdb::meta::{DeletionMark, Meta, ThanosMeta};

    fn block(id: u128, ended_days_ago: i64, marked: bool) -> Block {
        let end = now() - ended_days_ago * DAY;
        let mut meta = Meta::new(Ulid::from(id), end - DAY, end);
        meta.thanos = Some(ThanosMeta {
            labels: [("cluster".to_owned(), "eu".to_owned())].into(),
            ..ThanosMeta::default()
        });
        let mark = DeletionMark::new(Ulid::from(id), "", now() / 1000);
        Block {
            meta: Arc::new(meta),
            deletion: marked.then_some(mark),
            no_compact: None,
            no_downsample: None,
        }
    }

    #[test]
    fn bytes_are_counted_by_age_and_freed_by_mark_and_retention() {
        let blocks = [block(1, 0, false), block(2, 10, false), block(3, 40, true)];
        let prices = Prices {
            by: "cluster".to_owned(),
            per_gib: 2.0,
            retention: Retention {
                raw: Duration::from_secs(20 * 86_400),
                ..Retention::default()
            },
            delete_delay: Duration::from_secs(86_400),
        };
        let cost = cost(&blocks, &[1 << 30, 10, 100], &prices);
        let [row] = cost.rows.as_slice() else {
            panic!("{:?}", cost.rows)
        };
        assert_eq!(row.by_age, [1 << 30, 0, 10, 100, 0]);
        assert_eq!((row.blocks, row.marked), (3, 100));
        assert!((row.price - 2.0).abs() < 1e-6);
        let order: Vec<(u64, &str)> = cost.freed.iter().map(|f| (f.bytes, f.why)).collect();
        assert_eq!(
            order,
            [
                (100, "marked for deletion"),
                (10, "retention"),
                (1 << 30, "retention")
            ]
        );
    }
}
