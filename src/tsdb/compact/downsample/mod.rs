//! Thinning out: raw samples to windows of five minutes, those to windows of an hour, byte for byte as Thanos
//! (`pkg/compact/downsample/downsample.go`). Of each window stay the number of samples, their sum, the least, the greatest,
//! and where a counter stood; of histograms the number, the sum, and the counter.

mod float;
mod histogram;

use model::Columns;

use crate::chunk::aggr::{self, Aggregate, Part, Parts};
use crate::chunk::histogram::{float_samples, integer_samples};
use crate::chunk::{self, Encoding};

use super::error::MergeError;
use super::piece::Piece;
use float::Floats;
use histogram::Histograms;

/// Milliseconds of a window of the first step.
pub const FIVE_MINUTES: i64 = 5 * 60 * 1000;
/// Milliseconds of a window of the second step.
pub const ONE_HOUR: i64 = 60 * 60 * 1000;

/// How often raw samples are taken to be scraped; it only decides how many chunks are made.
const RAW: i64 = 60 * 1000;
/// The most samples of a chunk, on average.
const MOST: i64 = 140;

/// The end of the window that `t` falls into. Blocks are half open, so it ends a millisecond before the next.
fn window_end(t: i64, resolution: i64) -> i64 {
    t - t % resolution + resolution - 1
}

/// How many chunks `count` samples from `mint` to `maxt` become.
fn target_chunks(mint: i64, maxt: i64, (from, to): (i64, i64), count: usize) -> usize {
    let windows = ((maxt - mint) / to) as f64;
    let fullness = count as f64 / ((maxt - mint) as f64 / from as f64);
    let expected = (windows * fullness.min(1.0)) as i64 + 1;
    let mut chunks = 1;
    while expected / chunks > MOST {
        chunks += 1;
    }
    chunks as usize
}

/// Cuts samples at `times` into batches for one chunk each, which end where a window ends.
fn batches(times: &[i64], chunks: usize, resolution: i64) -> Vec<std::ops::Range<usize>> {
    let size = times.len() / chunks + 1;
    let (mut out, mut start) = (Vec::with_capacity(chunks), 0);
    while start < times.len() {
        let mut end = (start + size).min(times.len());
        let window = window_end(times[end - 1], resolution);
        while times.get(end).is_some_and(|t| *t <= window) {
            end += 1;
        }
        out.push(start..end);
        start = end;
    }
    out
}

/// Calls `end` with every window's end and the samples in it. No window goes beyond the last sample: the next batch may begin
/// there. Returns the last window's end.
fn windows(
    times: &[i64],
    resolution: i64,
    mut end: impl FnMut(i64, std::ops::Range<usize>),
) -> i64 {
    let last = times.last().copied().unwrap_or_default();
    let (mut next, mut start) = (-1, 0);
    for (at, t) in times.iter().enumerate() {
        if *t > next {
            if next != -1 {
                end(next, start..at);
            }
            start = at;
            next = window_end(*t, resolution).min(last);
        }
    }
    if !times.is_empty() {
        end(next, start..times.len());
    }
    next
}

/// The chunk of one aggregate: its encoding and its data.
type Encoded = Option<(Encoding, Vec<u8>)>;

/// Thins out the series of one block.
#[derive(Debug)]
pub(super) struct Downsampler {
    from: i64,
    to: i64,
    columns: Columns,
    floats: Floats,
    histograms: Histograms,
}

impl Downsampler {
    pub(super) fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            columns: Columns::default(),
            floats: Floats::default(),
            histograms: Histograms::default(),
        }
    }

    /// The chunks of one series.
    pub(super) fn series<'a>(
        &mut self,
        chunks: impl Iterator<Item = Piece<'a>>,
    ) -> Result<Vec<Piece<'a>>, MergeError> {
        let chunks: Vec<Piece<'a>> = chunks.collect();
        if let Some([a, b]) = chunks.array_windows().find(|[a, b]| a.maxt >= b.mint) {
            let (before, begins) = (a.maxt, b.mint);
            return Err(MergeError::Overlap { before, begins });
        }
        if self.from == 0 {
            self.raw(&chunks, self.to)
        } else {
            self.aggregated(chunks)
        }
    }

    fn raw<'a>(&mut self, chunks: &[Piece<'_>], to: i64) -> Result<Vec<Piece<'a>>, MergeError> {
        let mut out = Vec::new();
        self.floats.clear();
        self.histograms.clear();
        for chunk in chunks {
            match chunk.encoding()? {
                Encoding::Histogram => {
                    self.floats.raw((RAW, to), &mut out)?;
                    let samples = integer_samples(&chunk.data)?.into_iter();
                    self.histograms
                        .extend(samples.map(|(t, h)| (t, h.to_float())));
                }
                Encoding::FloatHistogram => {
                    self.floats.raw((RAW, to), &mut out)?;
                    self.histograms
                        .extend(float_samples(&chunk.data)?.into_iter());
                }
                encoding => {
                    self.histograms.raw((RAW, to), &mut out)?;
                    self.columns.clear();
                    chunk::decode(encoding, &chunk.data, &mut self.columns)?;
                    self.floats.extend(&self.columns);
                }
            }
        }
        self.floats.raw((RAW, to), &mut out)?;
        self.histograms.raw((RAW, to), &mut out)?;
        Ok(out)
    }

    /// Chunks with aggregates; raw ones among them, which an old bug left, are thinned out first.
    fn aggregated<'a>(&mut self, chunks: Vec<Piece<'a>>) -> Result<Vec<Piece<'a>>, MergeError> {
        let mut fixed = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            if chunk.encoding == aggr::ENCODING {
                fixed.push(chunk);
            } else if chunk.samples()? > 0 {
                fixed.extend(self.raw(&[chunk], FIVE_MINUTES)?);
            }
        }
        let mut out = Vec::new();
        let mut rest = fixed.as_slice();
        while let Some(first) = rest.first() {
            let kind = has_histograms(first)?;
            let mut together = 1;
            while let Some(next) = rest.get(together)
                && has_histograms(next)? == kind
            {
                together += 1;
            }
            self.aggregated_of_one_kind(&rest[..together], kind, &mut out)?;
            rest = &rest[together..];
        }
        Ok(out)
    }

    fn aggregated_of_one_kind(
        &mut self,
        chunks: &[Piece<'_>],
        histograms: bool,
        out: &mut Vec<Piece<'_>>,
    ) -> Result<(), MergeError> {
        let mut samples = 0;
        for chunk in chunks {
            samples += chunk.samples()? as usize;
        }
        let (mint, maxt) = (chunks[0].mint, chunks[chunks.len() - 1].maxt);
        let steps = (self.from, self.to);
        let target = target_chunks(mint, maxt, steps, samples);
        // Only along chunks: each begins and ends with the counter's true values.
        let size = (chunks.len() / target).max(1);
        for batch in chunks.chunks(size) {
            let mut parts = Vec::with_capacity(batch.len());
            for chunk in batch {
                parts.push(Parts::split(&chunk.data)?);
            }
            let chunk = if histograms {
                self.histograms.aggregated(&parts, steps)?
            } else {
                self.floats.aggregated(&parts, steps, &mut self.columns)?
            };
            out.push(chunk);
        }
        Ok(())
    }
}

fn has_histograms(chunk: &Piece<'_>) -> Result<bool, MergeError> {
    let counter = Parts::find(&chunk.data, Aggregate::Counter)?;
    Ok(counter.is_some_and(|part| {
        matches!(
            Encoding::from_byte(part.encoding),
            Ok(Encoding::Histogram | Encoding::FloatHistogram)
        )
    }))
}

/// A chunk of these aggregates, in their order. Each is read back.
fn encoded<'a>(
    mint: i64,
    maxt: i64,
    aggregates: &[Encoded; 5],
    columns: &mut Columns,
) -> Result<Piece<'a>, MergeError> {
    if mint > maxt {
        return Err(MergeError::NoSamples);
    }
    let mut parts = Parts::default();
    for (aggregate, part) in Aggregate::ALL.into_iter().zip(aggregates) {
        let Some((encoding, data)) = part else {
            continue;
        };
        columns.clear();
        let samples = chunk::decode(*encoding, data, columns)?;
        let count = data.first_chunk().map(|count| u16::from_be_bytes(*count));
        if count.map(usize::from) != Some(samples) {
            return Err(MergeError::Verification);
        }
        let encoding = encoding.as_byte();
        parts.set(aggregate, Part { encoding, data });
    }
    Ok(Piece {
        mint,
        maxt,
        encoding: aggr::ENCODING,
        data: parts.join().into(),
        frame: None,
    })
}
