//! Reads chunks of histograms.

use model::{Columns, CounterReset, FloatHistogram};

use super::cell::{Cell, Dod, Kind, Numbers};
use super::layout::{Layout, LayoutError, buckets};
use super::{HEADER, reset_of_flags};
use crate::chunk::ChunkError;
use crate::chunk::bits::BitReader;
use crate::chunk::xor::Value;

/// The samples of a chunk, one after the other.
struct Decoder<'a, C: Cell, B: Cell> {
    reader: BitReader<'a>,
    samples: usize,
    read: usize,
    reset: CounterReset,
    layout: Layout,
    t: Dod,
    count: C::Read,
    zero_count: C::Read,
    sum: Value,
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
            count,
            zero_count,
            sum,
            positive,
            negative,
        }))
    }

    /// Moves to the next sample; `false` after the last.
    fn next(&mut self) -> Result<bool, ChunkError> {
        if self.read == self.samples {
            return Ok(false);
        }
        let (sample, samples) = (self.read, self.samples);
        let corrupt = self.next_numbers().is_none();
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample, samples });
        }
        if corrupt {
            return Err(ChunkError::Corrupt { sample, samples });
        }
        self.read += 1;
        Ok(true)
    }

    fn next_numbers(&mut self) -> Option<()> {
        let reader = &mut self.reader;
        self.t.read(reader);
        C::read_next(&mut self.count, reader)?;
        C::read_next(&mut self.zero_count, reader)?;
        f64::read_next(&mut self.sum, reader)?;
        if self.is_stale() {
            return Some(());
        }
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            B::read_next(bucket, &mut self.reader)?;
        }
        Some(())
    }

    fn is_stale(&self) -> bool {
        model::is_stale(self.sum.get())
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
            count: C::get(&self.count),
            zero_count: C::get(&self.zero_count),
            sum: self.sum.get(),
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
            count: u64::get(&decoder.count) as f64,
            zero_count: u64::get(&decoder.zero_count) as f64,
            sum: decoder.sum.get(),
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
            count: decoder.count.get(),
            zero_count: decoder.zero_count.get(),
            sum: decoder.sum.get(),
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
    let (before_t, before_h) = (out.t.len(), out.h.len());
    loop {
        let mut h = match decoder.is_stale() {
            true => FloatHistogram::stale(),
            false => Kind::build(&decoder.layout, decoder.reset(), numbers(&decoder)),
        };
        if decoder.layout.is_too_fine() {
            h = h.reduced_to(model::histogram::FINEST_SCHEMA);
        }
        out.t.push(decoder.t.last());
        out.h.push(h);
        match decoder.next() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                out.t.truncate(before_t);
                out.h.truncate(before_h);
                return Err(error);
            }
        }
    }
    out.extend_run(model::Kind::Histogram, decoder.samples);
    Ok(decoder.samples)
}
