//! How one number of a histogram travels through a chunk, and the two kinds of histograms made of such numbers.

use model::{CounterReset, FloatHistogram, Histogram};

use super::layout::Layout;
use crate::chunk::bits::{BitReader, BitWriter};
use crate::chunk::xor::{Value, write_xor};

/// A number's bits from one sample to the next.
pub trait Cell: Copy + std::fmt::Debug {
    /// What a reader keeps of it.
    type Read: Clone + std::fmt::Debug;
    /// What a writer keeps of it.
    type Written: Clone + std::fmt::Debug;

    fn read_first(reader: &mut BitReader<'_>) -> Self::Read;
    /// `None` for bits that no writer produces.
    fn read_next(read: &mut Self::Read, reader: &mut BitReader<'_>) -> Option<()>;
    fn get(read: &Self::Read) -> Self;
    /// [`Self::read_next`] for one number after the other.
    fn read_all_next(all: &mut [Self::Read], reader: &mut BitReader<'_>) -> Option<()> {
        all.iter_mut()
            .try_for_each(|it| Self::read_next(it, reader))
    }

    fn write_first(self, out: &mut BitWriter) -> Self::Written;
    fn write_next(self, written: &mut Self::Written, out: &mut BitWriter);
    /// At a stale marker, after which nothing but more of those can come.
    fn write_stale(written: &mut Self::Written, out: &mut BitWriter);

    /// At least as many bits as the first one takes.
    const LEAST_BITS: usize;
}

/// A number that is written as delta of delta.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dod {
    last: i64,
    delta: i64,
}

impl Dod {
    pub(super) fn of(last: i64) -> Self {
        Self { last, delta: 0 }
    }

    pub(super) fn last(&self) -> i64 {
        self.last
    }

    #[inline]
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>) {
        self.change(reader.read_varbit_int());
    }

    #[inline]
    fn change(&mut self, dod: i64) {
        self.delta = self.delta.wrapping_add(dod);
        self.last = self.last.wrapping_add(self.delta);
    }

    pub(super) fn write(&mut self, value: i64, out: &mut BitWriter) {
        let delta = value.wrapping_sub(self.last);
        out.write_varbit_int(delta.wrapping_sub(self.delta));
        (self.last, self.delta) = (value, delta);
    }
}

/// Counts of all observations.
impl Cell for u64 {
    type Read = Dod;
    type Written = Dod;
    const LEAST_BITS: usize = 1;

    fn read_first(reader: &mut BitReader<'_>) -> Dod {
        Dod::of(reader.read_varbit_uint().cast_signed())
    }

    fn read_next(read: &mut Dod, reader: &mut BitReader<'_>) -> Option<()> {
        read.read(reader);
        Some(())
    }

    fn get(read: &Dod) -> Self {
        read.last.cast_unsigned()
    }

    fn write_first(self, out: &mut BitWriter) -> Dod {
        out.write_varbit_uint(self);
        Dod::of(self.cast_signed())
    }

    fn write_next(self, written: &mut Dod, out: &mut BitWriter) {
        written.write(self.cast_signed(), out);
    }

    fn write_stale(_: &mut Dod, out: &mut BitWriter) {
        out.write_varbit_int(0);
    }
}

/// Differences of buckets.
impl Cell for i64 {
    type Read = Dod;
    type Written = Dod;
    const LEAST_BITS: usize = 1;

    fn read_first(reader: &mut BitReader<'_>) -> Dod {
        Dod::of(reader.read_varbit_int())
    }

    fn read_next(read: &mut Dod, reader: &mut BitReader<'_>) -> Option<()> {
        read.read(reader);
        Some(())
    }

    fn read_all_next(all: &mut [Dod], reader: &mut BitReader<'_>) -> Option<()> {
        reader.read_varbit_ints(all, Dod::change);
        Some(())
    }

    fn get(read: &Dod) -> Self {
        read.last
    }

    fn write_first(self, out: &mut BitWriter) -> Dod {
        out.write_varbit_int(self);
        Dod::of(self)
    }

    fn write_next(self, written: &mut Dod, out: &mut BitWriter) {
        written.write(self, out);
    }

    fn write_stale(_: &mut Dod, _: &mut BitWriter) {}
}

/// A float's bits, and the window of its significant ones.
#[derive(Clone, Debug)]
pub struct Xor {
    bits: u64,
    window: Option<(u32, u32)>,
}

impl Xor {
    pub(super) fn of(v: f64) -> Self {
        Self {
            bits: v.to_bits(),
            window: None,
        }
    }

    pub(super) fn last(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    pub(super) fn write(&mut self, v: f64, out: &mut BitWriter) {
        write_xor(out, v.to_bits() ^ self.bits, &mut self.window);
        self.bits = v.to_bits();
    }
}

/// Sums, and counts of any kind where they are floats.
impl Cell for f64 {
    type Read = Value;
    type Written = Xor;
    const LEAST_BITS: usize = 64;

    fn read_first(reader: &mut BitReader<'_>) -> Value {
        Value::new(reader.read(64))
    }

    #[inline]
    fn read_next(read: &mut Value, reader: &mut BitReader<'_>) -> Option<()> {
        let head = reader.peek();
        read.read(reader, head, 0).map(|_| ())
    }

    fn get(read: &Value) -> Self {
        read.get()
    }

    fn write_first(self, out: &mut BitWriter) -> Xor {
        out.write(self.to_bits(), 64);
        Xor::of(self)
    }

    fn write_next(self, written: &mut Xor, out: &mut BitWriter) {
        written.write(self, out);
    }

    fn write_stale(written: &mut Xor, out: &mut BitWriter) {
        written.write(0.0, out);
    }
}

/// The numbers of one sample.
#[derive(Clone, Debug)]
pub struct Numbers<C, B> {
    pub(super) count: C,
    pub(super) zero_count: C,
    pub(super) sum: f64,
    pub(super) positive: Vec<B>,
    pub(super) negative: Vec<B>,
}

/// A kind of histogram.
pub trait Kind: Clone + std::fmt::Debug {
    type Count: Cell + PartialOrd;
    type Bucket: Cell;
    /// Absolute counts, which tell a reset.
    type Absolute: Copy + PartialOrd + Default;

    /// Whether a chunk that is begun because its sample does not fit the one before says what that meant. (Chunks of
    /// floats tell a reset from anything else only.)
    const TELLS_WHY: bool;

    fn stale() -> Self;
    fn build(
        layout: &Layout,
        reset: CounterReset,
        numbers: Numbers<Self::Count, Self::Bucket>,
    ) -> Self;
    fn layout(&self) -> Layout;
    fn reset(&self) -> CounterReset;
    fn numbers(&self) -> Numbers<Self::Count, Self::Bucket>;
    fn sum(&self) -> f64;
    fn absolute(buckets: &[Self::Bucket]) -> Vec<Self::Absolute>;
    fn relative(counts: Vec<Self::Absolute>) -> Vec<Self::Bucket>;
}

impl Kind for Histogram {
    type Count = u64;
    type Bucket = i64;
    type Absolute = i64;
    const TELLS_WHY: bool = true;

    fn stale() -> Self {
        Self::stale()
    }

    fn build(layout: &Layout, reset: CounterReset, numbers: Numbers<u64, i64>) -> Self {
        Self {
            counter_reset: reset,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive_deltas: numbers.positive,
            negative_deltas: numbers.negative,
            custom_values: layout.custom.clone(),
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive: self.positive_spans.clone(),
            negative: self.negative_spans.clone(),
            custom: self.custom_values.clone(),
        }
    }

    fn reset(&self) -> CounterReset {
        self.counter_reset
    }

    fn numbers(&self) -> Numbers<u64, i64> {
        Numbers {
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            positive: self.positive_deltas.clone(),
            negative: self.negative_deltas.clone(),
        }
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn absolute(deltas: &[i64]) -> Vec<i64> {
        let mut count = 0i64;
        let add = |delta: &i64| {
            count = count.wrapping_add(*delta);
            count
        };
        deltas.iter().map(add).collect()
    }

    fn relative(counts: Vec<i64>) -> Vec<i64> {
        let mut before = 0i64;
        let differ = |count: i64| count.wrapping_sub(std::mem::replace(&mut before, count));
        counts.into_iter().map(differ).collect()
    }
}

impl Kind for FloatHistogram {
    type Count = f64;
    type Bucket = f64;
    type Absolute = f64;
    const TELLS_WHY: bool = false;

    fn stale() -> Self {
        Self::stale()
    }

    fn build(layout: &Layout, reset: CounterReset, numbers: Numbers<f64, f64>) -> Self {
        Self {
            counter_reset: reset,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive_buckets: numbers.positive,
            negative_buckets: numbers.negative,
            custom_values: layout.custom.clone(),
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive: self.positive_spans.clone(),
            negative: self.negative_spans.clone(),
            custom: self.custom_values.clone(),
        }
    }

    fn reset(&self) -> CounterReset {
        self.counter_reset
    }

    fn numbers(&self) -> Numbers<f64, f64> {
        Numbers {
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            positive: self.positive_buckets.clone(),
            negative: self.negative_buckets.clone(),
        }
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn absolute(counts: &[f64]) -> Vec<f64> {
        counts.to_vec()
    }

    fn relative(counts: Vec<f64>) -> Vec<f64> {
        counts
    }
}
