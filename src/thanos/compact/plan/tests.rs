use super::*;

const RANGES: [i64; 4] = [20, 60, 180, 540];

fn block(id: u128, min_time: i64, max_time: i64) -> Block {
    Arc::new(Meta::new(Ulid::from(id), min_time, max_time))
}

/// Blocks of these times, called 1, 2, and so on.
fn blocks(times: &[(i64, i64)]) -> Vec<Block> {
    let numbered = (1..).zip(times);
    numbered
        .map(|(id, (min, max))| block(id, *min, *max))
        .collect()
}

fn planned_without(times: &[(i64, i64)], excluded: &[u128]) -> Vec<u128> {
    let excluded = excluded.iter().map(|id| Ulid::from(*id)).collect();
    let plan = plan(&RANGES, &excluded, &blocks(times));
    plan.iter().map(|block| u128::from(block.ulid)).collect()
}

fn planned(times: &[(i64, i64)]) -> Vec<u128> {
    planned_without(times, &[])
}

#[test]
fn a_full_range_is_compacted_once_there_is_a_newer_block() {
    assert_eq!(planned(&[(0, 20)]), []);
    assert_eq!(planned(&[(0, 20), (20, 40), (40, 60)]), []);
    assert_eq!(planned(&[(0, 20), (20, 40), (40, 60), (60, 80)]), [1, 2, 3]);
    assert_eq!(
        planned(&[(0, 60), (60, 120), (120, 180), (180, 200)]),
        [1, 2, 3]
    );
}

#[test]
fn a_range_with_a_gap_is_compacted_when_nothing_can_fill_it() {
    assert_eq!(planned(&[(0, 20), (40, 60), (60, 80)]), [1, 2]);
    assert_eq!(planned(&[(0, 20), (20, 40), (60, 80), (80, 100)]), [1, 2]);
    // Its end is not before the newest block but one.
    assert_eq!(planned(&[(0, 20), (20, 40), (60, 80)]), []);
}

#[test]
fn blocks_beside_the_ranges_are_left_alone() {
    let beside = [(100, 200), (500, 600), (600, 620), (620, 640)];
    assert_eq!(planned(&beside), []);
    // Beside the ranges of 60, but within one of 180.
    let within = [(10, 70), (70, 130), (180, 200), (200, 220)];
    assert_eq!(planned(&within), [1, 2]);
    assert_eq!(
        planned(&[(-20, 0), (0, 20), (20, 40), (40, 60), (60, 80)]),
        [2, 3, 4]
    );
    assert_eq!(
        planned(&[(-60, -40), (-40, -20), (-20, 0), (0, 20)]),
        [1, 2, 3]
    );
}

#[test]
fn what_overlaps_comes_first() {
    let times = [(0, 20), (20, 40), (40, 60), (60, 80), (65, 85), (90, 100)];
    assert_eq!(planned(&times), [4, 5]);
    let chained = [(0, 40), (10, 20), (30, 60), (70, 90), (75, 80)];
    assert_eq!(planned(&chained), [1, 2, 3]);
}

#[test]
fn marked_blocks_split_a_range_and_keep_it() {
    let times = [(0, 20), (20, 40), (40, 60), (60, 80)];
    assert_eq!(planned_without(&times, &[2]), []);
    assert_eq!(planned_without(&times, &[1]), [2, 3]);
    assert_eq!(planned_without(&times, &[3]), [1, 2]);
    assert_eq!(planned_without(&times, &[4]), [1, 2, 3]);
    let overlapping = [(0, 20), (10, 30), (40, 60)];
    assert_eq!(planned_without(&overlapping, &[2]), []);
}

#[test]
fn a_failed_block_keeps_its_range_back() {
    let mut all = blocks(&[(0, 20), (20, 40), (40, 60), (60, 80)]);
    Arc::make_mut(&mut all[1]).compaction.failed = true;
    assert!(plan(&RANGES, &Excluded::new(), &all).is_empty());
}

#[test]
fn a_long_block_with_many_deletions_is_written_anew() {
    let mut all = blocks(&[(0, 180), (180, 360), (360, 380)]);
    let stats = &mut Arc::make_mut(&mut all[1]).stats;
    (stats.num_series, stats.num_tombstones) = (99, 6);
    let plan = plan(&RANGES, &Excluded::new(), &all);
    assert_eq!(plan.len(), 1);
    assert_eq!(u128::from(plan[0].ulid), 2);
}
