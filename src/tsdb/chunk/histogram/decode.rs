//! Reads chunks of histograms.

use std::sync::Arc;

use model::{Columns, CounterReset, FloatHistogram};

use super::cell::{Cell, Dod, Kind, Numbers};
use super::layout::{Layout, LayoutError, buckets};
use super::{HEADER, reset_of_flags};
use crate::chunk::ChunkError;
use crate::chunk::bits::BitReader;
use crate::chunk::xor::Value;

/// What a sample has beside its buckets.
#[derive(Clone)]
struct Totals<C: Cell> {
    count: C::Read,
    zero_count: C::Read,
    sum: Value,
}

/// The samples of a chunk, one after the other.
struct Decoder<'a, C: Cell, B: Cell> {
    reader: BitReader<'a>,
    samples: usize,
    read: usize,
    reset: CounterReset,
    layout: Layout,
    t: Dod,
    totals: Totals<C>,
    positive: Vec<B::Read>,
    negative: Vec<B::Read>,
}

impl<'a, C: Cell, B: Cell> Decoder<'a, C, B> {
    /// Reads the layout and the first sample. `None` for a chunk without samples.
    fn new(data: &'a [u8]) -> Result<Option<Self>, ChunkError> {
        let Some(([high, low, flags], body)) = data.split_first_chunk::<HEADER>() else {
            return Err(ChunkError::Truncated {
                sample: 0,
                samples: 0,
            });
        };
        let samples = usize::from(u16::from_be_bytes([*high, *low]));
        if samples == 0 {
            return Ok(None);
        }
        let truncated = |sample| ChunkError::Truncated { sample, samples };
        // A sample takes four bits at least: a count that lies reserves nothing.
        let most = body.len() * 2;
        if samples > most {
            return Err(truncated(most));
        }
        let mut reader = BitReader::new(body);
        let layout = Layout::read(&mut reader).map_err(|error| match error {
            LayoutError::Truncated => truncated(0),
            LayoutError::UnknownSchema(schema) => ChunkError::UnknownSchema(schema),
        })?;
        let t = Dod::of(reader.read_varbit_int());
        let (count, zero_count) = (C::read_first(&mut reader), C::read_first(&mut reader));
        let sum = f64::read_first(&mut reader);
        let bits = reader.left() as u64;
        let promised = buckets(&layout.positive) + buckets(&layout.negative);
        if reader.overrun() || promised.saturating_mul(B::LEAST_BITS as u64) > bits {
            return Err(truncated(0));
        }
        let mut read_buckets = |spans: &[model::Span]| {
            let one = |_| B::read_first(&mut reader);
            (0..buckets(spans)).map(one).collect::<Vec<_>>()
        };
        let positive = read_buckets(&layout.positive);
        let negative = read_buckets(&layout.negative);
        if reader.overrun() {
            return Err(truncated(0));
        }
        Ok(Some(Self {
            reader,
            samples,
            read: 1,
            reset: reset_of_flags(*flags),
            layout,
            t,
            totals: Totals {
                count,
                zero_count,
                sum,
            },
            positive,
            negative,
        }))
    }

    /// Moves to the next sample; `false` after the last.
    fn next(&mut self) -> Result<bool, ChunkError> {
        if !self.next_time() {
            return Ok(false);
        }
        self.next_numbers()?;
        Ok(true)
    }

    /// Reads the time of the next sample; its numbers are still those of the one before. `false` after the last.
    fn next_time(&mut self) -> bool {
        let more = self.read < self.samples;
        if more {
            self.t.read(&mut self.reader);
        }
        more
    }

    /// Reads the numbers that belong to a time.
    fn next_numbers(&mut self) -> Result<(), ChunkError> {
        let (sample, samples) = (self.read, self.samples);
        let corrupt = self.change_numbers().is_none();
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample, samples });
        }
        if corrupt {
            return Err(ChunkError::Corrupt { sample, samples });
        }
        self.read += 1;
        Ok(())
    }

    fn change_numbers(&mut self) -> Option<()> {
        let reader = &mut self.reader;
        C::read_next(&mut self.totals.count, reader)?;
        C::read_next(&mut self.totals.zero_count, reader)?;
        f64::read_next(&mut self.totals.sum, reader)?;
        if self.is_stale() {
            return Some(());
        }
        B::read_all_next(&mut self.positive, &mut self.reader)?;
        B::read_all_next(&mut self.negative, &mut self.reader)
    }

    fn is_stale(&self) -> bool {
        model::is_stale(self.totals.sum.get())
    }

    /// Inside of a chunk there is no reset. Before it there may be one whatever its header says, since the chunk before
    /// may not be the one it was written after.
    fn reset(&self) -> CounterReset {
        match (self.reset, self.read) {
            (CounterReset::Gauge, _) => CounterReset::Gauge,
            (_, 1) => CounterReset::Unknown,
            _ => CounterReset::NotReset,
        }
    }

    fn sample<K: Kind<Count = C, Bucket = B>>(&self) -> K {
        if self.is_stale() {
            return K::stale();
        }
        let numbers = Numbers {
            count: C::get(&self.totals.count),
            zero_count: C::get(&self.totals.zero_count),
            sum: self.totals.sum.get(),
            positive: self.positive.iter().map(B::get).collect(),
            negative: self.negative.iter().map(B::get).collect(),
        };
        K::build(&self.layout, self.reset(), numbers)
    }
}

/// All samples as they are stored.
pub(super) fn samples<K: Kind>(data: &[u8]) -> Result<Vec<(i64, K)>, ChunkError> {
    let mut samples = Vec::new();
    if let Some(mut decoder) = Decoder::<K::Count, K::Bucket>::new(data)? {
        loop {
            samples.push((decoder.t.last(), decoder.sample()));
            if !decoder.next()? {
                break;
            }
        }
    }
    Ok(samples)
}

/// Appends the samples of a chunk of whole counts to `out`.
pub(in crate::chunk) fn decode_integer(
    data: &[u8],
    out: &mut Columns,
) -> Result<usize, ChunkError> {
    decode::<u64, i64>(data, out, |decoder| {
        let buckets = |side: &[Dod]| model::histogram::absolute(side.iter().map(Dod::last));
        Numbers {
            count: u64::get(&decoder.totals.count) as f64,
            zero_count: u64::get(&decoder.totals.zero_count) as f64,
            sum: decoder.totals.sum.get(),
            positive: buckets(&decoder.positive),
            negative: buckets(&decoder.negative),
        }
    })
}

/// Appends the samples of a chunk of float counts to `out`.
pub(in crate::chunk) fn decode_float(data: &[u8], out: &mut Columns) -> Result<usize, ChunkError> {
    decode::<f64, f64>(data, out, |decoder| {
        let buckets = |side: &[Value]| side.iter().map(Value::get).collect();
        Numbers {
            count: decoder.totals.count.get(),
            zero_count: decoder.totals.zero_count.get(),
            sum: decoder.totals.sum.get(),
            positive: buckets(&decoder.positive),
            negative: buckets(&decoder.negative),
        }
    })
}

fn decode<C: Cell, B: Cell>(
    data: &[u8],
    out: &mut Columns,
    numbers: impl Fn(&Decoder<'_, C, B>) -> Numbers<f64, f64>,
) -> Result<usize, ChunkError> {
    let Some(mut decoder) = Decoder::<C, B>::new(data)? else {
        return Ok(0);
    };
    let (before, before_h) = (out.t.len(), out.h.len());
    if let Err(error) = append(&mut decoder, out, numbers) {
        out.t.truncate(before);
        out.h.truncate(before_h);
        return Err(error);
    }
    let read = out.t.len() - before;
    out.extend_run(model::Kind::Histogram, read);
    Ok(read)
}

/// Appends times and histograms; of those that nobody needs the one before once more, which is much less work.
fn append<C: Cell, B: Cell>(
    decoder: &mut Decoder<'_, C, B>,
    out: &mut Columns,
    numbers: impl Fn(&Decoder<'_, C, B>) -> Numbers<f64, f64>,
) -> Result<(), ChunkError> {
    // Every sample of a gauge may be a reset.
    let need = out.need;
    let edges = need.edges.filter(|_| decoder.reset != CounterReset::Gauge);
    // The time of the sample before, if this one may be left out.
    let (mut before, mut edge) = (None, i64::MIN);
    loop {
        let (t, stale) = (decoder.t.last(), decoder.is_stale());
        let more = decoder.next_time();
        let between = match (edges, before) {
            (Some(edges), Some(before)) if more && !stale => {
                if edge < before {
                    edge = edges.at_or_after(before);
                }
                decoder.t.last() <= edge
            }
            _ => false,
        };
        let h = match out.h.last() {
            Some(last) if between => Arc::clone(last),
            _ => Arc::new(histogram(decoder, &numbers)),
        };
        out.t.push(t);
        out.h.push(h);
        if !more || t > need.until {
            return Ok(());
        }
        let totals = decoder.totals.clone();
        decoder.next_numbers()?;
        if let (true, true, Some(last)) = (between, decoder.is_stale(), out.h.last_mut()) {
            // Readers do not see the marker: what is before it may be the end of a window. It leaves the buckets as they are.
            let marker = std::mem::replace(&mut decoder.totals, totals);
            *last = Arc::new(histogram(decoder, &numbers));
            decoder.totals = marker;
        }
        before = Some(t).filter(|_| !stale);
    }
}

fn histogram<C: Cell, B: Cell>(
    decoder: &Decoder<'_, C, B>,
    numbers: impl Fn(&Decoder<'_, C, B>) -> Numbers<f64, f64>,
) -> FloatHistogram {
    if decoder.is_stale() {
        return FloatHistogram::stale();
    }
    let h = FloatHistogram::build(&decoder.layout, decoder.reset(), numbers(decoder));
    match decoder.layout.is_too_fine() {
        true => h.reduced_to(model::histogram::FINEST_SCHEMA),
        false => h,
    }
}
