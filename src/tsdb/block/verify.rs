//! Verification: reads everything that a block holds, and compares it with what the block says of itself.

use std::collections::BTreeMap;

use model::Columns;

use crate::chunk::aggr::{self, Aggregate, Parts};
use crate::chunk::{self, Encoding};
use crate::index::SeriesEntry;
use crate::meta::Stats;
use crate::segment::Frame;

use super::read::{Ahead, SeriesReader};
use super::{Block, BlockError};

/// Findings that are told one by one; further ones are counted only.
const MOST_TOLD: usize = 100;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("series {series} is not after the one before")]
    SeriesOrder { series: u32 },
    #[error("labels of series {series} are not in order")]
    LabelOrder { series: u32 },
    #[error("series {series} has no chunks")]
    NoChunks { series: u32 },
    #[error("chunk {chunk} of series {series} overlaps the one before")]
    ChunkOrder { series: u32, chunk: usize },
    #[error("chunk {chunk} of series {series} is outside of the block's time")]
    OutsideOfBlock { series: u32, chunk: usize },
    #[error("chunk {chunk} of series {series} has other times than the index says")]
    ChunkTime { series: u32, chunk: usize },
    #[error("samples of chunk {chunk} of series {series} are not in time order")]
    SampleOrder { series: u32, chunk: usize },
    #[error("the postings of {name}={value:?} are not the series that have it")]
    Postings { name: String, value: String },
    #[error("{stat} is {said} in meta.json, and {counted} in the block")]
    Stat {
        stat: &'static str,
        said: u64,
        counted: u64,
    },
    /// What cannot be read at all.
    #[error("{0}")]
    Unreadable(String),
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// As counted.
    pub stats: Stats,
    pub findings: Vec<Finding>,
    /// Findings that are not among [`Self::findings`], which end at a hundred.
    pub untold: u64,
}

impl Verified {
    fn tell(&mut self, finding: Finding) {
        if self.findings.len() < MOST_TOLD {
            self.findings.push(finding);
        } else {
            self.untold += 1;
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies a block: the order of series, labels and chunks, every checksum, every sample, postings against series, and the
/// statistics of `meta.json`.
///
/// # Errors
/// [`BlockError`], when not even the list of all series can be read.
pub fn verify(block: &Block) -> Result<Verified, BlockError> {
    let files = &block.0;
    let mut found = Verified::default();
    let all = match files
        .header
        .all_postings()
        .map_err(|e| files.damaged_index(e))?
    {
        Some(range) => files.postings(range)?,
        None => crate::postings::Postings::default(),
    };
    let mut walk = Walk {
        block,
        reader: SeriesReader::new(files.clone()),
        last: Vec::new(),
        postings: BTreeMap::new(),
        scratch: Columns::default(),
    };
    let mut entry = SeriesEntry::default();
    for series in all.iter() {
        if let Err(error) = walk.visit(series, &mut entry, &mut found) {
            let model::SelectError::Source(text) = error.into() else {
                continue;
            };
            found.tell(Finding::Unreadable(text));
        }
    }
    let postings = walk.postings;
    compare_postings(block, postings, &mut found)?;
    compare_stats(block, &mut found);
    Ok(found)
}

struct Walk<'a> {
    block: &'a Block,
    reader: SeriesReader,
    /// Labels of the series before.
    last: Vec<(String, String)>,
    postings: BTreeMap<(String, String), Vec<u32>>,
    scratch: Columns,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        series: u32,
        entry: &mut SeriesEntry,
        found: &mut Verified,
    ) -> Result<(), BlockError> {
        self.reader.read(series, entry)?;
        found.stats.num_series += 1;
        let files = &self.block.0;
        let mut labels = Vec::with_capacity(entry.labels.len());
        for (name, value) in &entry.labels {
            let text = |symbol| {
                files
                    .header
                    .symbol(symbol)
                    .map_err(|e| files.damaged_index(e))
            };
            labels.push((text(*name)?.to_owned(), text(*value)?.to_owned()));
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            found.tell(Finding::LabelOrder { series });
        }
        if found.stats.num_series > 1 && labels <= self.last {
            found.tell(Finding::SeriesOrder { series });
        }
        for pair in &labels {
            self.postings.entry(pair.clone()).or_default().push(series);
        }
        self.last = labels;
        self.visit_chunks(series, entry, found)
    }

    fn visit_chunks(
        &mut self,
        series: u32,
        entry: &SeriesEntry,
        found: &mut Verified,
    ) -> Result<(), BlockError> {
        if entry.chunks.is_empty() {
            found.tell(Finding::NoChunks { series });
        }
        let meta = self.block.meta();
        let mut last = None;
        for (at, chunk) in entry.chunks.iter().enumerate() {
            if last.is_some_and(|last| chunk.mint <= last) {
                found.tell(Finding::ChunkOrder { series, chunk: at });
            }
            last = Some(chunk.maxt);
            if chunk.mint < meta.min_time || chunk.maxt >= meta.max_time {
                found.tell(Finding::OutsideOfBlock { series, chunk: at });
            }
        }
        let scratch = &mut self.scratch;
        let mut at = 0;
        self.block
            .0
            .read_chunks(&entry.chunks, &Ahead::default(), |meta, frame| {
                found.stats.num_chunks += 1;
                scratch.clear();
                let aggregated = frame.encoding == aggr::ENCODING;
                if let Err(text) = decode(frame, scratch) {
                    let offset = meta.chunk.offset();
                    let text = format!("chunk {at} of series {series}, at byte {offset}: {text}");
                    found.tell(Finding::Unreadable(text));
                } else {
                    count(scratch, aggregated, &mut found.stats);
                    if !scratch.t.is_sorted_by(|a, b| a < b) {
                        found.tell(Finding::SampleOrder { series, chunk: at });
                    }
                    let times = (scratch.t.first().copied(), scratch.t.last().copied());
                    if times != (Some(meta.mint), Some(meta.maxt)) {
                        found.tell(Finding::ChunkTime { series, chunk: at });
                    }
                }
                at += 1;
                Ok(())
            })
    }
}

/// Decodes a chunk; of one with aggregates, that of the counts, which has a sample for each window.
fn decode(frame: Frame<'_>, out: &mut Columns) -> Result<(), String> {
    let (encoding, data) = if frame.encoding == aggr::ENCODING {
        let parts = Parts::split(frame.data).map_err(|e| e.to_string())?;
        let count = parts.get(Aggregate::Count).ok_or("it has no counts")?;
        (count.encoding, count.data)
    } else {
        (frame.encoding, frame.data)
    };
    Encoding::from_byte(encoding)
        .and_then(|encoding| chunk::decode(encoding, data, out))
        .map(|_| ())
        .map_err(|e| e.to_string())
}

fn count(columns: &Columns, aggregated: bool, stats: &mut Stats) {
    stats.num_samples += columns.len() as u64;
    if !aggregated {
        stats.num_float_samples += columns.v.len() as u64;
        stats.num_histogram_samples += columns.h.len() as u64;
    }
}

fn compare_postings(
    block: &Block,
    mut counted: BTreeMap<(String, String), Vec<u32>>,
    found: &mut Verified,
) -> Result<(), BlockError> {
    let files = &block.0;
    let names: Vec<&str> = files.header.label_names().collect();
    for name in names {
        for value in files.header.label_values(name) {
            let (value, range) = value.map_err(|e| files.damaged_index(e))?;
            let wanted = counted.remove(&(name.to_owned(), value.to_owned()));
            let same = match files.postings(range) {
                Ok(list) => list.iter().eq(wanted.unwrap_or_default()),
                Err(_) => false,
            };
            if !same {
                let (name, value) = (name.to_owned(), value.to_owned());
                found.tell(Finding::Postings { name, value });
            }
        }
    }
    for (name, value) in counted.into_keys() {
        found.tell(Finding::Postings { name, value });
    }
    Ok(())
}

fn compare_stats(block: &Block, found: &mut Verified) {
    let said = &block.meta().stats;
    let counted = found.stats.clone();
    let mut compare = |stat, said: u64, counted: u64| {
        if said != counted {
            found.tell(Finding::Stat {
                stat,
                said,
                counted,
            });
        }
    };
    compare("numSeries", said.num_series, counted.num_series);
    compare("numChunks", said.num_chunks, counted.num_chunks);
    compare("numSamples", said.num_samples, counted.num_samples);
    // Older versions did not tell floats from histograms, and downsampling leaves the numbers of the block before.
    let thanos = block.meta().thanos.as_ref();
    let downsampled = thanos.is_some_and(|thanos| thanos.downsample.resolution > 0);
    if !downsampled && said.num_float_samples + said.num_histogram_samples > 0 {
        compare(
            "numFloatSamples",
            said.num_float_samples,
            counted.num_float_samples,
        );
        compare(
            "numHistogramSamples",
            said.num_histogram_samples,
            counted.num_histogram_samples,
        );
    }
}
