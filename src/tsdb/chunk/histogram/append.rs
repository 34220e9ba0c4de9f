//! Writes chunks of histograms, byte for byte as Prometheus does: what fits the chunk is appended, what brings new
//! buckets makes it be written anew, and what does not fit (a reset, another schema) begins the next chunk.

use model::histogram::CUSTOM_BUCKETS;
use model::{CounterReset, FloatHistogram, Histogram, is_stale};

use super::cell::{Cell, Dod, Kind, Numbers, Xor};
use super::expand::Expansion;
use super::layout::Layout;
use super::{HEADER, flags_of_reset, reset_of_flags};
use crate::chunk::bits::BitWriter;

/// Writes a chunk of whole counts.
pub type HistogramAppender = Appender<Histogram>;

/// Writes a chunk of float counts.
pub type FloatHistogramAppender = Appender<FloatHistogram>;

/// What became of a sample.
#[derive(Debug)]
pub enum Appended<A> {
    /// It is in the chunk.
    Here,
    /// It is in the chunk, which was written anew with more buckets.
    Recoded,
    /// It begins the next chunk; this one is complete.
    Next(Box<A>),
}

/// A chunk being written. It has one sample at least.
#[derive(Clone, Debug)]
pub struct Appender<K: Kind> {
    out: BitWriter,
    samples: u16,
    reset: CounterReset,
    layout: Layout,
    t: Dod,
    count: <K::Count as Cell>::Written,
    zero_count: <K::Count as Cell>::Written,
    sum: Xor,
    positive: Vec<<K::Bucket as Cell>::Written>,
    negative: Vec<<K::Bucket as Cell>::Written>,
    /// The last sample that was no stale marker.
    last: Numbers<K::Count, K::Bucket>,
}

/// Whether a sample can follow.
enum Fit {
    Yes(Box<[Expansion; 2]>),
    No(CounterReset),
}

impl<K: Kind> Appender<K> {
    /// Begins a chunk with `h`. `previous` is the chunk of the same series before, if that is known: it tells whether
    /// there was a reset in between.
    #[must_use]
    pub fn begin(t: i64, h: &K, previous: Option<&Self>) -> Self {
        let reset = match (h.reset(), previous) {
            (known @ (CounterReset::Gauge | CounterReset::Reset), _) => known,
            (_, None) => CounterReset::Unknown,
            (_, Some(previous)) => match previous.fit(h) {
                Fit::No(reset) if K::TELLS_WHY || reset == CounterReset::Reset => reset,
                _ => CounterReset::NotReset,
            },
        };
        Self::with_reset(t, h, reset)
    }

    fn with_reset(t: i64, h: &K, reset: CounterReset) -> Self {
        let stale;
        let h = if is_stale(h.sum()) {
            stale = K::stale();
            &stale
        } else {
            h
        };
        let (layout, last) = (h.layout(), h.numbers());
        let mut out = BitWriter::after(vec![0, 0, flags_of_reset(reset)]);
        layout.write(&mut out);
        out.write_varbit_int(t);
        let count = last.count.write_first(&mut out);
        let zero_count = last.zero_count.write_first(&mut out);
        let sum = last.sum.write_first(&mut out);
        let mut write = |buckets: &[K::Bucket]| {
            let one = |bucket: &K::Bucket| bucket.write_first(&mut out);
            buckets.iter().map(one).collect::<Vec<_>>()
        };
        let (positive, negative) = (write(&last.positive), write(&last.negative));
        Self {
            out,
            samples: 1,
            reset,
            layout,
            t: Dod::of(t),
            count,
            zero_count,
            sum,
            positive,
            negative,
            last,
        }
    }

    /// Appends `h`; `t` in milliseconds, ascending.
    pub fn append(&mut self, t: i64, h: &K) -> Appended<Self> {
        if self.samples == u16::MAX {
            return Appended::Next(Box::new(Self::begin(t, h, Some(self))));
        }
        let sides = match self.fit(h) {
            Fit::Yes(sides) => sides,
            Fit::No(reset) => {
                let gauge = h.reset() == CounterReset::Gauge;
                let reset = match reset {
                    _ if gauge => CounterReset::Gauge,
                    reset if K::TELLS_WHY || reset == CounterReset::Reset => reset,
                    _ => CounterReset::Unknown,
                };
                return Appended::Next(Box::new(Self::with_reset(t, h, reset)));
            }
        };
        if is_stale(h.sum()) {
            self.write_stale(t, h.sum());
            return Appended::Here;
        }
        let mut numbers = h.numbers();
        let grown = self.common_layout(h, &sides);
        let [positive, negative] = &*sides;
        for (side, buckets) in [
            (positive, &mut numbers.positive),
            (negative, &mut numbers.negative),
        ] {
            if side.sample_grows {
                *buckets = K::relative(side.of_sample(&K::absolute(buckets)));
            }
        }
        let recodes = positive.chunk_grows || negative.chunk_grows;
        if recodes {
            self.recode(grown, &sides);
        }
        self.write_next(t, numbers);
        if recodes {
            Appended::Recoded
        } else {
            Appended::Here
        }
    }

    /// Whether `h` can be appended, and in which layout.
    fn fit(&self, h: &K) -> Fit {
        use CounterReset::{Gauge, NotReset, Reset, Unknown};
        let gauge = h.reset() == Gauge;
        if gauge != (self.reset == Gauge) {
            return Fit::No(NotReset);
        }
        if h.reset() == Reset {
            return Fit::No(Reset);
        }
        let (layout, numbers) = (h.layout(), h.numbers());
        let side = |own, other| Expansion::new(own, other);
        if is_stale(h.sum()) {
            return Fit::Yes(Box::new([side(&[], &[]), side(&[], &[])]));
        }
        if is_stale(self.sum.last()) {
            return Fit::No(Unknown);
        }
        if !gauge && numbers.count < self.last.count {
            return Fit::No(Reset);
        }
        if layout.schema != self.layout.schema
            || layout.zero_threshold != self.layout.zero_threshold
        {
            return Fit::No(Unknown);
        }
        if layout.schema == CUSTOM_BUCKETS && layout.custom != self.layout.custom {
            return Fit::No(Reset);
        }
        let positive = side(&self.layout.positive, &layout.positive);
        let negative = side(&self.layout.negative, &layout.negative);
        let falls = |side: &Expansion, own: &[K::Bucket], other: &[K::Bucket]| {
            side.falls(&K::absolute(own), &K::absolute(other))
        };
        if !gauge
            && (numbers.zero_count < self.last.zero_count
                || falls(&positive, &self.last.positive, &numbers.positive)
                || falls(&negative, &self.last.negative, &numbers.negative))
        {
            return Fit::No(Reset);
        }
        Fit::Yes(Box::new([positive, negative]))
    }

    /// The layout that the chunk is written anew with, if it grows. Where it stays what the sample has, the sample's
    /// own spans are taken, however they are cut.
    fn common_layout(&self, h: &K, sides: &[Expansion; 2]) -> Layout {
        let gauge = h.reset() == CounterReset::Gauge;
        let merges = gauge && sides.iter().any(|side| side.sample_grows);
        let mut layout = h.layout();
        for (spans, side) in [&mut layout.positive, &mut layout.negative]
            .into_iter()
            .zip(sides)
        {
            if merges || side.sample_grows {
                *spans = side.merged.clone();
            }
        }
        layout
    }

    /// Writes all samples anew in `layout`.
    fn recode(&mut self, layout: Layout, sides: &[Expansion; 2]) {
        let Ok(samples) = super::decode::samples::<K>(&self.clone().finish()) else {
            // What this appender wrote can be read.
            return;
        };
        let [positive, negative] = sides;
        let mut grown: Option<Self> = None;
        for (t, h) in samples {
            let mut numbers = h.numbers();
            for (side, buckets) in [
                (positive, &mut numbers.positive),
                (negative, &mut numbers.negative),
            ] {
                if side.chunk_grows {
                    *buckets = K::relative(side.of_chunk(&K::absolute(buckets)));
                }
            }
            match &mut grown {
                Some(grown) => grown.write_next(t, numbers),
                None => {
                    let first = K::build(&layout, h.reset(), numbers);
                    grown = Some(Self::with_reset(t, &first, self.reset));
                }
            }
        }
        if let Some(grown) = grown {
            *self = grown;
        }
    }

    fn write_next(&mut self, t: i64, numbers: Numbers<K::Count, K::Bucket>) {
        let out = &mut self.out;
        self.t.write(t, out);
        numbers.count.write_next(&mut self.count, out);
        numbers.zero_count.write_next(&mut self.zero_count, out);
        self.sum.write(numbers.sum, out);
        let written = self.positive.iter_mut().chain(&mut self.negative);
        let buckets = numbers.positive.iter().chain(&numbers.negative);
        for (bucket, written) in buckets.zip(written) {
            bucket.write_next(written, out);
        }
        self.last = numbers;
        self.samples += 1;
    }

    fn write_stale(&mut self, t: i64, marker: f64) {
        let out = &mut self.out;
        self.t.write(t, out);
        <K::Count as Cell>::write_stale(&mut self.count, out);
        <K::Count as Cell>::write_stale(&mut self.zero_count, out);
        self.sum.write(marker, out);
        self.samples += 1;
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        usize::from(self.samples)
    }

    /// The chunk's data.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.out.into_bytes();
        if let Some(count) = bytes.first_chunk_mut::<2>() {
            *count = self.samples.to_be_bytes();
        }
        debug_assert_eq!(
            bytes.get(HEADER - 1).map(|f| reset_of_flags(*f)),
            Some(self.reset)
        );
        bytes
    }
}
