//! The series of a block that matchers choose, as references into its index.

use std::ops::Range;

use model::Matcher;
use tsdb::header::IndexHeader;
use tsdb::postings::{Plan, Postings};

use super::block::Block;
use super::call::{Call, Reading, signed};
use super::error::ReadError;
use super::partition::{Part, counted, partition};

/// References of all series that pass `matchers`, ascending. No matchers choose nothing.
pub(crate) async fn expand(
    block: &Block,
    header: &IndexHeader,
    matchers: &[Matcher],
    call: &Call,
) -> Result<Vec<u32>, ReadError> {
    if matchers.is_empty() {
        return Ok(Vec::new());
    }
    let plan = Plan::new(header, matchers).map_err(|e| block.corrupt_header(e))?;
    let mut wanted: Vec<(usize, Range<u64>)> = plan.ranges().iter().cloned().enumerate().collect();
    wanted.sort_by_key(|(_, range)| range.start);
    let ranges = || wanted.iter().map(|(_, range)| range.clone());
    let (bytes, reads) = counted(ranges());
    call.reserve_bytes(Reading::Postings, bytes)?;
    count(call, &wanted, reads, bytes);
    let parts = partition(ranges(), block.reach.gap);
    let bytes: u64 = parts.iter().map(Part::len).sum();
    // References take what their bytes take; both are there for a moment.
    let _lease = block.budget.take(2 * bytes).await?;
    let reads: Vec<_> = parts.iter().map(|part| part.bytes.clone()).collect();
    let read = block.read_index("read postings range", &reads).await?;
    let mut lists = vec![Postings::default(); wanted.len()];
    for (part, data) in parts.iter().zip(&read) {
        for (place, range) in &wanted[part.items.clone()] {
            let list = Postings::parse(&part.slice(data, range), range.start);
            lists[*place] = list.map_err(|error| block.corrupt_index(error))?;
        }
    }
    Ok(plan.evaluate(&lists))
}

fn count(call: &Call, wanted: &[(usize, Range<u64>)], reads: usize, bytes: u64) {
    let touched: u64 = wanted
        .iter()
        .map(|(_, range)| range.end - range.start)
        .sum();
    call.count(|stats| {
        stats.postings_to_fetch += signed(wanted.len());
        stats.postings_fetched += signed(wanted.len());
        stats.postings_fetched_size_sum += signed(bytes);
        stats.postings_fetch_count += signed(reads);
        stats.postings_touched += signed(wanted.len());
        stats.postings_touched_size_sum += signed(touched);
    });
}
