//! Which blocks of one label set answer a time range: the coarsest resolution that is allowed, and finer
//! ones where that has gaps (Thanos's `bucketBlockSet`).

use std::sync::Arc;

use crate::block::BlockInfo;

/// What stands for a block in a set.
pub(crate) trait HasInfo: Clone {
    fn info(&self) -> &BlockInfo;
}

impl HasInfo for Arc<BlockInfo> {
    fn info(&self) -> &BlockInfo {
        self
    }
}

/// Milliseconds of a window, coarsest first.
pub(crate) const RESOLUTIONS: [i64; 3] = [3_600_000, 300_000, 0];

/// The blocks of one label set, each with whatever belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct BlockSet<B> {
    /// By resolution, as in [`RESOLUTIONS`]; each sorted by time.
    blocks: [Vec<B>; 3],
}

impl<B> Default for BlockSet<B> {
    fn default() -> Self {
        Self {
            blocks: [const { Vec::new() }; 3],
        }
    }
}

impl<B: HasInfo> BlockSet<B> {
    /// Adds a block; `false` when its resolution is none that is known.
    pub(crate) fn add(&mut self, block: B) -> bool {
        let resolution = block.info().resolution;
        let Some(level) = RESOLUTIONS.iter().position(|known| *known == resolution) else {
            return false;
        };
        self.blocks[level].push(block);
        self.blocks[level].sort_by_key(|block| (block.info().min_time, block.info().max_time));
        true
    }

    /// The blocks that answer `min_time` to `max_time` (inclusive), in time order.
    pub(crate) fn choose(&self, min_time: i64, max_time: i64, max_resolution: i64) -> Vec<B> {
        let mut chosen = Vec::new();
        self.fill(min_time, max_time, max_resolution, &mut chosen);
        chosen
    }

    fn fill(&self, min_time: i64, max_time: i64, max_resolution: i64, chosen: &mut Vec<B>) {
        if min_time > max_time {
            return;
        }
        let raw = RESOLUTIONS.len() - 1;
        let level = RESOLUTIONS
            .iter()
            .position(|known| *known <= max_resolution);
        let level = level.unwrap_or(raw);
        let finer = RESOLUTIONS.get(level + 1).copied();
        let mut start = min_time;
        for block in &self.blocks[level] {
            let info = block.info();
            if info.max_time <= min_time {
                continue;
            }
            if info.min_time > max_time {
                break;
            }
            if let Some(finer) = finer {
                self.fill(start, info.min_time - 1, finer, chosen);
            }
            chosen.push(block.clone());
            start = info.max_time;
        }
        if let Some(finer) = finer {
            self.fill(start, max_time, finer, chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(blocks: &[(i64, i64, i64)]) -> BlockSet<Arc<BlockInfo>> {
        let mut set = BlockSet::default();
        for (min_time, max_time, resolution) in blocks {
            let block = BlockInfo {
                min_time: *min_time,
                max_time: *max_time,
                resolution: *resolution,
                ..BlockInfo::default()
            };
            assert!(set.add(Arc::new(block)));
        }
        set
    }

    fn chosen(
        set: &BlockSet<Arc<BlockInfo>>,
        range: (i64, i64),
        resolution: i64,
    ) -> Vec<(i64, i64)> {
        let blocks = set.choose(range.0, range.1, resolution);
        blocks.iter().map(|b| (b.min_time, b.resolution)).collect()
    }

    #[test]
    fn the_coarsest_resolution_that_is_allowed_answers() {
        let set = set(&[(0, 100, 0), (0, 100, 300_000), (0, 100, 3_600_000)]);
        assert_eq!(chosen(&set, (0, 99), 0), [(0, 0)]);
        assert_eq!(chosen(&set, (0, 99), 299_999), [(0, 0)]);
        assert_eq!(chosen(&set, (0, 99), 300_000), [(0, 300_000)]);
        assert_eq!(chosen(&set, (0, 99), i64::MAX), [(0, 3_600_000)]);
    }

    #[test]
    fn gaps_are_filled_before_between_and_after() {
        let raw = (0..6).map(|n| (n * 100, n * 100 + 100, 0));
        let mut blocks: Vec<_> = raw.collect();
        blocks.extend([
            (100, 200, 300_000),
            (300, 400, 300_000),
            (300, 400, 3_600_000),
        ]);
        let set = set(&blocks);
        let hour = [
            (0, 0),
            (100, 300_000),
            (200, 0),
            (300, 3_600_000),
            (400, 0),
            (500, 0),
        ];
        assert_eq!(chosen(&set, (0, 599), 3_600_000), hour);
        assert_eq!(
            chosen(&set, (350, 420), 300_000),
            [(300, 300_000), (400, 0)]
        );
    }

    #[test]
    fn a_block_ends_before_its_last_time() {
        let set = set(&[(0, 100, 0), (100, 200, 0)]);
        assert_eq!(chosen(&set, (100, 100), 0), [(100, 0)]);
        assert_eq!(chosen(&set, (99, 100), 0), [(0, 0), (100, 0)]);
        assert_eq!(chosen(&set, (200, 300), 0), []);
        assert_eq!(chosen(&set, (5, 4), 0), []);
    }

    #[test]
    fn an_unknown_resolution_is_refused() {
        let odd = BlockInfo {
            resolution: 7,
            ..BlockInfo::default()
        };
        assert!(!BlockSet::default().add(Arc::new(odd)));
    }
}
