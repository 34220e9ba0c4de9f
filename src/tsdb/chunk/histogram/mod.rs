//! Chunks of native histograms, with whole and with float counts (Prometheus `tsdb/docs/format/chunks.md`, "Histogram
//! chunk data" and "Float histogram chunk data").
//!
//! ```text
//! u16 big endian      number of samples
//! u8                  what is known of a counter reset before the chunk, in the two top bits
//! layout              zero threshold, schema, positive spans, negative spans, custom bounds
//! sample 0            t, count, zero count, sum, one number a bucket: raw
//! sample n            the same as changes: t as delta of delta, sum as xor;
//!                     whole counts as delta of delta, float counts as xor; no buckets if the sum is the stale marker
//!
//! zero threshold      byte 0 for 0, 1 ..= 254 for 2^(byte - 244), or 255 + 64 bit
//! spans               number, then length and offset of each
//! custom bounds       number, then each in thousandths plus one, or a zero bit + 64 bit
//! ```
//!
//! All numbers without a width are varbits. Whole buckets are stored as the difference to the bucket before.

mod append;
mod cell;
mod decode;
mod expand;
mod layout;

pub use append::{Appended, FloatHistogramAppender, HistogramAppender};
pub(super) use decode::{decode_float, decode_integer};

use super::ChunkError;
use model::CounterReset;

/// Sample count and flags.
const HEADER: usize = 3;

/// What the flags say of a counter reset before the chunk.
fn reset_of_flags(flags: u8) -> CounterReset {
    match flags >> 6 {
        0b10 => CounterReset::Reset,
        0b01 => CounterReset::NotReset,
        0b11 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

fn flags_of_reset(reset: CounterReset) -> u8 {
    match reset {
        CounterReset::Unknown => 0,
        CounterReset::NotReset => 0b01 << 6,
        CounterReset::Reset => 0b10 << 6,
        CounterReset::Gauge => 0b11 << 6,
    }
}

/// What a chunk of histograms tells of a counter reset between it and the chunk before.
///
/// # Errors
/// [`ChunkError::Truncated`].
pub fn counter_reset(data: &[u8]) -> Result<CounterReset, ChunkError> {
    match data.get(HEADER - 1) {
        Some(flags) => Ok(reset_of_flags(*flags)),
        None => Err(ChunkError::Truncated {
            sample: 0,
            samples: 0,
        }),
    }
}

/// All samples of a chunk of whole counts, as they are stored.
///
/// # Errors
/// [`ChunkError`]; never a panic, whatever the bytes.
pub fn integer_samples(data: &[u8]) -> Result<Vec<(i64, model::Histogram)>, ChunkError> {
    decode::samples(data)
}

/// All samples of a chunk of float counts.
///
/// # Errors
/// [`ChunkError`]; never a panic, whatever the bytes.
pub fn float_samples(data: &[u8]) -> Result<Vec<(i64, model::FloatHistogram)>, ChunkError> {
    decode::samples(data)
}

#[cfg(test)]
mod tests;
