//! How much there is to do, counted without doing it.

use super::clean::is_past;
use super::downsample;
use super::group::groups;
use super::plan::{Excluded, plan};
use super::sync::View;
use super::work::Worker;

/// Puts what is to do into the metrics.
pub(super) fn count(worker: &Worker, view: &View) {
    let excluded: Excluded = view.no_compact.keys().copied().collect();
    let ranges = &super::RANGES[..=worker.config.max_compaction_level];
    let (runs, blocks) = compactions(ranges, &excluded, view);
    let set = |gauge: &prometheus_client::metrics::gauge::Gauge, count: usize| {
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    };
    set(&worker.metrics.todo_compactions, runs);
    set(&worker.metrics.todo_compaction_blocks, blocks);
    if worker.config.downsampling {
        let tasks = downsample::tasks(view).map_or(0, |tasks| tasks.len());
        set(&worker.metrics.todo_downsample_blocks, tasks);
    }
    let past = view.blocks.values().filter(|block| {
        let thanos = block.thanos.as_ref();
        let resolution = thanos.map_or(0, |thanos| thanos.downsample.resolution);
        is_past(block.max_time, worker.config.retention.of(resolution))
    });
    set(&worker.metrics.todo_deletion_blocks, past.count());
}

/// Compactions that are to come, and how many blocks they take in.
fn compactions(ranges: &[i64], excluded: &Excluded, view: &View) -> (usize, usize) {
    let (mut runs, mut blocks) = (0, 0);
    for mut group in groups(view.blocks.values()) {
        while group.blocks.len() > 1 {
            let planned = plan(ranges, excluded, &group.blocks);
            if planned.is_empty() {
                break;
            }
            runs += 1;
            blocks += planned.len();
            group.simulate(&planned);
        }
    }
    (runs, blocks)
}
