//! Which blocks of a group become one: Thanos's planner (`pkg/compact/planner.go`), over metas alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb::Ulid;
use tsdb::meta::Meta;

/// A block's meta.
pub(super) type Block = Arc<Meta>;

/// Blocks that are left out.
pub(super) type Excluded = BTreeSet<Ulid>;

/// The blocks to compact next, `blocks` being those of one group in the order of their beginnings. Empty if there is nothing to do.
pub(super) fn plan(ranges: &[i64], excluded: &Excluded, blocks: &[Block]) -> Vec<Block> {
    let included: Vec<Block> = blocks
        .iter()
        .filter(|block| !excluded.contains(&block.ulid))
        .cloned()
        .collect();
    let overlapping = first_overlapping(&included);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest block stays: it may have been uploaded just now, and a person has the time of a block to intervene.
    let Some((newest, older)) = blocks.split_last() else {
        return Vec::new();
    };
    let selected = in_range(ranges, excluded, older);
    if !selected.is_empty() {
        return selected;
    }
    let included = if excluded.contains(&newest.ulid) {
        included.as_slice()
    } else {
        included.split_last().map_or(&[][..], |(_, older)| older)
    };
    let long = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for block in included.iter().rev() {
        if block.max_time - block.min_time < long {
            break;
        }
        let (deleted, series) = (block.stats.num_tombstones, block.stats.num_series);
        if deleted as f64 / (series + 1) as f64 > 0.05 {
            return vec![block.clone()];
        }
    }
    Vec::new()
}

/// The first blocks that overlap, directly or through each other.
pub(super) fn first_overlapping(blocks: &[Block]) -> Vec<Block> {
    let Some(first) = blocks.first() else {
        return Vec::new();
    };
    let (mut found, mut end) = (Vec::new(), first.max_time);
    for pair in blocks.windows(2) {
        let (before, block) = (&pair[0], &pair[1]);
        if block.min_time < end {
            if found.is_empty() {
                found.push(before.clone());
            }
            found.push(block.clone());
        } else if !found.is_empty() {
            break;
        }
        end = end.max(block.max_time);
    }
    found
}

/// The first blocks that fill a range, or lie in one that can no longer be filled.
fn in_range(ranges: &[i64], excluded: &Excluded, blocks: &[Block]) -> Vec<Block> {
    let Some(newest) = blocks.last() else {
        return Vec::new();
    };
    for range in ranges.iter().skip(1) {
        for part in split_by_range(blocks, *range) {
            let [first, .., last] = part else {
                continue;
            };
            if part.iter().any(|block| block.compaction.failed) {
                continue;
            }
            let whole = last.max_time - first.min_time == *range;
            if !whole && last.max_time > newest.min_time {
                continue;
            }
            // Blocks that are left out make no gap: what lies on both sides of one stays apart.
            let runs = part.split(|block| excluded.contains(&block.ulid));
            if let Some(run) = runs.into_iter().find(|run| run.len() > 1) {
                return run.to_vec();
            }
        }
    }
    Vec::new()
}

/// The blocks of each range, which begin at multiples of it. Blocks that fit into none are left out.
fn split_by_range(blocks: &[Block], range: i64) -> Vec<&[Block]> {
    let mut parts = Vec::new();
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let end = first.min_time.div_euclid(range) * range + range;
        let inside = rest
            .iter()
            .take_while(|block| block.max_time <= end)
            .count();
        if inside > 0 {
            parts.push(&rest[..inside]);
        }
        rest = &rest[inside.max(1)..];
    }
    parts
}

#[cfg(test)]
mod tests;
