//! Whether an index is sound, counted as Thanos counts it (`pkg/block/index.go`, `GatherIndexHealthStats`): it decides which
//! blocks are compacted, which are repaired, and where a compactor halts.

use std::path::Path;

use crate::index::{ChunkMeta, SeriesEntry, Version};
use crate::meta::IndexStats;

use super::CompactError;
use super::scan::{SeriesScan, SymbolScan};

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub series: u64,
    pub chunks: u64,
    /// Series that have chunks out of order.
    pub out_of_order_series: u64,
    /// Chunks that begin before the one before ends, twins apart.
    pub out_of_order_chunks: u64,
    /// Chunks with the same times as the one before.
    pub duplicated_chunks: u64,
    /// Chunks that are not wholly within the time of the block.
    pub outside_chunks: u64,
    /// Of these, the ones that are wholly without.
    pub complete_outside_chunks: u64,
    /// Of these, the ones that begin where the block ends: an old bug of Prometheus (tsdb issue 347).
    pub issue_347_chunks: u64,
    /// Label names that come after a greater one: an old bug of Prometheus.
    pub out_of_order_labels: u64,
    series_max_size: u64,
    chunk_max_size: u64,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Issue {
    #[error("found {0} chunks non-completely outside the block time range")]
    Outside(u64),
    #[error("found {0} chunks completely outside the block time range")]
    CompletelyOutside(u64),
    #[error(
        "found {0} chunks outside the block time range introduced by https://github.com/prometheus/tsdb/issues/347"
    )]
    Issue347(u64),
    #[error("index contains {0} postings with out of order labels")]
    Labels(u64),
    #[error(
        "{series}/{all} series have an average of {:.3} out-of-order chunks: {:.3} of these are exact duplicates (in terms of data and time range)",
        *.chunks as f64 / *.series as f64,
        *.duplicates as f64 / *.chunks as f64
    )]
    Chunks {
        series: u64,
        all: u64,
        chunks: u64,
        duplicates: u64,
    },
}

impl Health {
    /// Walks the index of the block in `folder`, whose time is `mint` to `maxt`.
    ///
    /// # Errors
    /// [`CompactError`] for an index that cannot be walked, a series without labels or chunks, and series out of order.
    pub fn of_index(folder: &Path, mint: i64, maxt: i64) -> Result<Self, CompactError> {
        check_symbols(folder)?;
        let mut scan = SeriesScan::open(folder)?;
        let multiplier = match scan.version() {
            Version::V1 => 1,
            Version::V2 => 16,
        };
        let mut health = Self::default();
        let mut entry = SeriesEntry::default();
        let mut last: Option<(u32, Vec<(u32, u32)>)> = None;
        while let Some(series) = scan.next(&mut entry)? {
            let unsound = |what: String| CompactError::Unsound {
                path: scan.path().to_owned(),
                what,
            };
            if entry.labels.is_empty() {
                return Err(unsound(format!(
                    "empty label set detected for series {series}"
                )));
            }
            if entry.chunks.is_empty() {
                return Err(unsound(format!("empty chunks for series {series}")));
            }
            let mut labels = Vec::new();
            if let Some((before, before_labels)) = last.take() {
                if before_labels >= entry.labels {
                    return Err(unsound(format!(
                        "series {series} out of order, or twice; previous {before}"
                    )));
                }
                let size = u64::from(series.saturating_sub(before)) * multiplier;
                health.series_max_size = health.series_max_size.max(size);
                labels = before_labels;
            }
            health.series += 1;
            let pairs = entry.labels.windows(2);
            health.out_of_order_labels += pairs.filter(|pair| pair[1].0 < pair[0].0).count() as u64;
            health.count_chunks(&entry.chunks, mint, maxt);
            labels.clone_from(&entry.labels);
            last = Some((series, labels));
        }
        Ok(health)
    }

    fn count_chunks(&mut self, chunks: &[ChunkMeta], mint: i64, maxt: i64) {
        self.chunks += chunks.len() as u64;
        let mut out_of_order = 0;
        for (at, chunk) in chunks.iter().enumerate() {
            // Not the last two, as Thanos has it: the sizes are in metas that are compared.
            if at + 2 < chunks.len() {
                let next = chunks[at + 1].chunk;
                if next.segment() == chunk.chunk.segment() {
                    let size = next.0.saturating_sub(chunk.chunk.0);
                    self.chunk_max_size = self.chunk_max_size.max(size);
                }
            }
            if chunk.mint < mint || chunk.maxt > maxt {
                self.outside_chunks += 1;
                if chunk.mint > maxt || chunk.maxt < mint {
                    self.complete_outside_chunks += 1;
                } else if chunk.mint == maxt {
                    self.issue_347_chunks += 1;
                }
            }
            let Some(before) = at.checked_sub(1).and_then(|at| chunks.get(at)) else {
                continue;
            };
            if chunk.mint > before.maxt {
                continue;
            }
            if (chunk.mint, chunk.maxt) == (before.mint, before.maxt) {
                self.duplicated_chunks += 1;
            } else {
                out_of_order += 1;
            }
        }
        self.out_of_order_chunks += out_of_order;
        self.out_of_order_series += u64::from(out_of_order > 0);
    }

    /// What only a person can repair.
    #[must_use]
    pub fn critical(&self) -> Option<Issue> {
        let within = self.complete_outside_chunks + self.issue_347_chunks;
        match self.outside_chunks.saturating_sub(within) {
            0 if self.complete_outside_chunks > 0 => {
                Some(Issue::CompletelyOutside(self.complete_outside_chunks))
            }
            0 => None,
            outside => Some(Issue::Outside(outside)),
        }
    }

    #[must_use]
    pub fn issue_347(&self) -> Option<Issue> {
        (self.issue_347_chunks > 0).then_some(Issue::Issue347(self.issue_347_chunks))
    }

    #[must_use]
    pub fn labels_out_of_order(&self) -> Option<Issue> {
        (self.out_of_order_labels > 0).then_some(Issue::Labels(self.out_of_order_labels))
    }

    #[must_use]
    pub fn chunks_out_of_order(&self) -> Option<Issue> {
        (self.out_of_order_chunks > 0).then_some(Issue::Chunks {
            series: self.out_of_order_series,
            all: self.series,
            chunks: self.out_of_order_chunks,
            duplicates: self.duplicated_chunks,
        })
    }

    /// Anything.
    #[must_use]
    pub fn first_issue(&self) -> Option<Issue> {
        self.critical()
            .or_else(|| self.issue_347())
            .or_else(|| self.labels_out_of_order())
            .or_else(|| self.chunks_out_of_order())
    }

    /// The largest pieces, as Thanos estimates them.
    #[must_use]
    pub fn index_stats(&self) -> IndexStats {
        IndexStats {
            series_max_size: self.series_max_size,
            chunk_max_size: self.chunk_max_size,
        }
    }
}

/// Labels are compared by their symbols: those must be sorted.
fn check_symbols(folder: &Path) -> Result<(), CompactError> {
    let mut scan = SymbolScan::open(folder)?;
    let (mut text, mut last, mut any) = (Vec::new(), Vec::new(), false);
    while scan.next(&mut text)?.is_some() {
        if any && text <= last {
            return Err(CompactError::Unsound {
                path: folder.join("index"),
                what: format!(
                    "symbol {:?} is not after the one before",
                    String::from_utf8_lossy(&text)
                ),
            });
        }
        std::mem::swap(&mut text, &mut last);
        any = true;
    }
    Ok(())
}
