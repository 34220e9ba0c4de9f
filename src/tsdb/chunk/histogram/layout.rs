//! The layout that all samples of a chunk share.

use std::sync::Arc;

use model::Span;
use model::histogram::CUSTOM_BUCKETS;

use crate::chunk::bits::{BitReader, BitWriter};

/// Schemas that Prometheus keeps for later. Finer ones than those that are calculated with are reduced when read.
const KNOWN_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// Schema, zero threshold, spans and custom bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Arc<[Span]>,
    pub(super) negative: Arc<[Span]>,
    pub(super) custom: Arc<[f64]>,
}

/// Why bits are no layout.
pub(super) enum LayoutError {
    Truncated,
    UnknownSchema(i32),
}

impl Layout {
    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, LayoutError> {
        let zero_threshold = read_zero_threshold(reader);
        // Prometheus, too, looks at the low half only.
        let schema = reader.read_varbit_int() as i32;
        let positive = read_spans(reader)?;
        let negative = read_spans(reader)?;
        let custom = match schema {
            CUSTOM_BUCKETS => read_custom_bounds(reader)?,
            _ => Arc::default(),
        };
        if schema != CUSTOM_BUCKETS && !KNOWN_SCHEMAS.contains(&schema) {
            return Err(LayoutError::UnknownSchema(schema));
        }
        Ok(Self {
            schema,
            zero_threshold,
            positive,
            negative,
            custom,
        })
    }

    pub(super) fn write(&self, out: &mut BitWriter) {
        write_zero_threshold(out, self.zero_threshold);
        out.write_varbit_int(i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            out.write_varbit_uint(spans.len() as u64);
            for span in spans.iter() {
                out.write_varbit_uint(u64::from(span.length));
                out.write_varbit_int(i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS {
            out.write_varbit_uint(self.custom.len() as u64);
            for bound in self.custom.iter() {
                write_custom_bound(out, *bound);
            }
        }
    }

    /// Whether the engine calculates with this schema as it is.
    pub(super) fn is_too_fine(&self) -> bool {
        self.schema > model::histogram::FINEST_SCHEMA
    }
}

/// How many buckets spans promise.
pub(super) fn buckets(spans: &[Span]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

/// Reads a number and that many of something. What is promised and not there ends at the end of the bits.
fn read_many<T>(
    reader: &mut BitReader<'_>,
    mut read: impl FnMut(&mut BitReader<'_>) -> T,
) -> Result<Arc<[T]>, LayoutError> {
    let promised = reader.read_varbit_uint();
    let mut read_so_far = Vec::new();
    for _ in 0..promised {
        let next = read(reader);
        if reader.overrun() {
            return Err(LayoutError::Truncated);
        }
        read_so_far.push(next);
    }
    Ok(read_so_far.into())
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<Arc<[Span]>, LayoutError> {
    read_many(reader, |reader| Span {
        length: reader.read_varbit_uint() as u32,
        offset: reader.read_varbit_int() as i32,
    })
}

fn read_custom_bounds(reader: &mut BitReader<'_>) -> Result<Arc<[f64]>, LayoutError> {
    read_many(reader, |reader| match reader.read_varbit_uint() {
        0 => f64::from_bits(reader.read(64)),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    })
}

fn write_custom_bound(out: &mut BitWriter, bound: f64) {
    // More thousandths than four bytes hold.
    const LIMIT: f64 = 33_554_430.0;
    let thousandths = (bound * 1000.0).round();
    let whole = thousandths / 1000.0 == bound;
    if whole && (0.0..=LIMIT).contains(&(bound * 1000.0)) {
        out.write_varbit_uint(thousandths as u64 + 1);
    } else {
        out.write(0, 1);
        out.write(bound.to_bits(), 64);
    }
}

/// What is added to a power's exponent to make a byte of it.
const EXPONENT_BIAS: i32 = 244;

fn read_zero_threshold(reader: &mut BitReader<'_>) -> f64 {
    match reader.read(8) {
        0 => 0.0,
        255 => f64::from_bits(reader.read(64)),
        byte => 2f64.powi(byte as i32 - EXPONENT_BIAS),
    }
}

fn write_zero_threshold(out: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return out.write(0, 8);
    }
    let bits = threshold.to_bits();
    let is_power = bits & ((1 << 52) - 1) == 0;
    let exponent = (bits >> 52) as i32 - 1023;
    match u64::try_from(exponent + EXPONENT_BIAS) {
        Ok(byte @ 1..=254) if is_power => out.write(byte, 8),
        _ => {
            out.write(255, 8);
            out.write(bits, 64);
        }
    }
}
