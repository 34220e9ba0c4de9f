//! Chunks: the samples of one series over some hours, encoded (Prometheus `tsdb/docs/format/chunks.md` and
//! `tsdb/chunkenc`). What is handled here is a chunk's *data*: without the length, encoding byte and checksum
//! that a segment file or the StoreAPI put around it.

pub mod aggr;
mod bits;
pub mod histogram;
mod varbit;
mod xor;

use std::fmt;

pub use xor::XorAppender;

/// How a chunk's data is to be read: the encoding byte of a segment file. (The StoreAPI counts from zero:
/// its number is this one less one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    /// XOR with start timestamps, which newer versions of Prometheus write when asked to.
    Xor2 = 4,
    /// Histograms with start timestamps.
    HistogramSt = 5,
    /// Float histograms with start timestamps.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// The encoding of a segment file's encoding byte.
    ///
    /// # Errors
    /// [`ChunkError::UnknownEncoding`].
    pub fn from_byte(byte: u8) -> Result<Self, ChunkError> {
        Ok(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            _ => return Err(ChunkError::UnknownEncoding(byte)),
        })
    }

    /// The encoding byte.
    #[must_use]
    pub fn as_byte(self) -> u8 {
        self as u8
    }

    /// As Prometheus prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xor => "XOR",
            Self::Histogram => "histogram",
            Self::FloatHistogram => "floathistogram",
            Self::Xor2 => "XOR2",
            Self::HistogramSt => "histogramST",
            Self::FloatHistogramSt => "floathistogramST",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are no chunk, or none that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("unknown chunk encoding {0}")]
    UnknownEncoding(u8),
    #[error("chunks encoded as {} are not supported yet", .0.name())]
    Unsupported(Encoding),
    /// The data ends before the count of its header is reached.
    #[error("chunk is truncated at sample {sample} of {samples}")]
    Truncated { sample: usize, samples: usize },
    /// Buckets of a schema that nobody knows.
    #[error("chunk has histograms of the unknown schema {0}")]
    UnknownSchema(i32),
    /// Bits that no writer produces.
    #[error("chunk is corrupt at sample {sample} of {samples}")]
    Corrupt { sample: usize, samples: usize },
}

/// Decodes the samples of a chunk that `out` needs and appends them; returns how many. On an error `out` is as it was.
///
/// # Errors
/// [`ChunkError`]; never a panic, whatever the bytes.
pub fn decode(
    encoding: Encoding,
    data: &[u8],
    out: &mut model::Columns,
) -> Result<usize, ChunkError> {
    match encoding {
        Encoding::Xor => xor::decode(data, out),
        Encoding::Histogram => histogram::decode_integer(data, out),
        Encoding::FloatHistogram => histogram::decode_float(data, out),
        other => Err(ChunkError::Unsupported(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_keep_their_byte() {
        for byte in 1..=6 {
            assert_eq!(Encoding::from_byte(byte).map(Encoding::as_byte), Ok(byte));
        }
        assert_eq!(Encoding::from_byte(0), Err(ChunkError::UnknownEncoding(0)));
        assert_eq!(
            Encoding::from_byte(0xff),
            Err(ChunkError::UnknownEncoding(0xff))
        );
    }

    #[test]
    fn what_cannot_be_read_yet_is_named() {
        let error = decode(
            Encoding::FloatHistogramSt,
            &[0, 1],
            &mut model::Columns::default(),
        );
        assert_eq!(
            error.map_err(|e| e.to_string()),
            Err("chunks encoded as floathistogramST are not supported yet".to_owned())
        );
    }
}
