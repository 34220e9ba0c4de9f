//! One series in the index:
//!
//! ```text
//! uvarint length | content | u32 crc
//! content         uvarint labels, each: uvarint name symbol, uvarint value symbol
//!                 uvarint chunks
//!                 chunk 0: varint mint, uvarint maxt - mint, uvarint chunk reference
//!                 chunk n: uvarint mint - maxt before, uvarint maxt - mint, varint reference - reference before
//! ```

use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::{CRC, Cursor, put_uvarint, put_varint};

/// Where a chunk lies: the number of its segment (from zero) in the high half, the byte in it in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The chunk at byte `offset` of segment `segment`, counted from zero.
    #[must_use]
    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The segment, counted from zero: its file is called one more.
    #[must_use]
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte in the segment.
    #[must_use]
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// What the index knows of a chunk. Both times are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    pub mint: i64,
    pub maxt: i64,
    pub chunk: ChunkRef,
}

impl ChunkMeta {
    /// Whether it may have samples from `mint` to `maxt`, both inclusive.
    #[must_use]
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        self.mint <= maxt && mint <= self.maxt
    }
}

/// A decoded series, to be reused from series to series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Symbols of names and values, in label order.
    pub labels: Vec<(u32, u32)>,
    /// In time order.
    pub chunks: Vec<ChunkMeta>,
}

const PART: &str = "series";

/// How many bytes the series at the beginning of `data` takes: tells the bytes that were fetched by a guess from those
/// that are needed. `at` is its place in the index.
///
/// # Errors
/// [`Corrupt`] when not even the length can be read.
pub fn entry_length(data: &[u8], at: u64) -> Result<u64, Corrupt> {
    let mut cursor = Cursor::new(PART, at, data);
    let length = cursor.uvarint()?;
    let around = (cursor.position() + CRC) as u64;
    Ok(length.saturating_add(around))
}

impl SeriesEntry {
    /// Decodes the series at the beginning of `data`, which may be longer; checks its checksum. `at` is its place in
    /// the index.
    ///
    /// # Errors
    /// [`Corrupt`]; its [`Corrupt::needs`] tells how many bytes the series has when `data` is too short.
    pub fn read(&mut self, data: &[u8], at: u64) -> Result<(), Corrupt> {
        self.labels.clear();
        self.chunks.clear();
        let needs = entry_length(data, at)?;
        if needs > data.len() as u64 {
            return Err(Corrupt::new(PART, at, Flaw::Truncated { needs }));
        }
        let mut cursor = Cursor::new(PART, at, data);
        let content = cursor.slice()?;
        cursor.check_crc(content)?;
        let mut content = Cursor::new(PART, at, content);
        let outcome = self
            .read_labels(&mut content)
            .and_then(|()| self.read_chunks(&mut content));
        // The content is whole: what does not fit into it is a lie, not a short read.
        outcome.map_err(|error| match error.flaw {
            Flaw::Truncated { .. } => {
                Corrupt::invalid(PART, at, "more labels or chunks than its length allows")
            }
            _ => error,
        })
    }

    fn read_labels(&mut self, content: &mut Cursor<'_>) -> Result<(), Corrupt> {
        let count = content.length()?;
        if count > content.remaining() / 2 {
            return Err(content.invalid("more labels than its length allows"));
        }
        self.labels.reserve(count);
        for _ in 0..count {
            let name = content.uvarint32()?;
            let value = content.uvarint32()?;
            self.labels.push((name, value));
        }
        Ok(())
    }

    fn read_chunks(&mut self, content: &mut Cursor<'_>) -> Result<(), Corrupt> {
        let count = content.length()?;
        if count > content.remaining() / 3 {
            return Err(content.invalid("more chunks than its length allows"));
        }
        self.chunks.reserve(count);
        let mut before: Option<ChunkMeta> = None;
        for _ in 0..count {
            let mint = match before {
                None => Some(content.varint()?),
                Some(last) => last.maxt.checked_add_unsigned(content.uvarint()?),
            };
            let length = content.uvarint()?;
            let chunk = match before {
                None => Some(content.uvarint()?),
                Some(last) => last.chunk.0.checked_add_signed(content.varint()?),
            };
            let maxt = mint.and_then(|mint| mint.checked_add_unsigned(length));
            let (Some(mint), Some(maxt), Some(chunk)) = (mint, maxt, chunk) else {
                return Err(content.invalid("a chunk's time or place overflows"));
            };
            let meta = ChunkMeta {
                mint,
                maxt,
                chunk: ChunkRef(chunk),
            };
            self.chunks.push(meta);
            before = Some(meta);
        }
        Ok(())
    }

    /// Appends the series as it is written, with length and checksum. Chunks are in time order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut content = Vec::with_capacity(16 + self.labels.len() * 6 + self.chunks.len() * 10);
        put_uvarint(&mut content, self.labels.len() as u64);
        for (name, value) in &self.labels {
            put_uvarint(&mut content, u64::from(*name));
            put_uvarint(&mut content, u64::from(*value));
        }
        put_uvarint(&mut content, self.chunks.len() as u64);
        let mut before: Option<&ChunkMeta> = None;
        for chunk in &self.chunks {
            let length = chunk.maxt.wrapping_sub(chunk.mint).cast_unsigned();
            match before {
                None => {
                    put_varint(&mut content, chunk.mint);
                    put_uvarint(&mut content, length);
                    put_uvarint(&mut content, chunk.chunk.0);
                }
                Some(last) => {
                    put_uvarint(
                        &mut content,
                        chunk.mint.wrapping_sub(last.maxt).cast_unsigned(),
                    );
                    put_uvarint(&mut content, length);
                    put_varint(
                        &mut content,
                        chunk.chunk.0.wrapping_sub(last.chunk.0).cast_signed(),
                    );
                }
            }
            before = Some(chunk);
        }
        put_uvarint(out, content.len() as u64);
        let crc = crc32c::crc32c(&content);
        out.append(&mut content);
        out.extend_from_slice(&crc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = SeriesEntry> {
        let labels = prop::collection::vec(any::<(u32, u32)>(), 0..20);
        let steps = prop::collection::vec((0u32.., 0u32.., -1000i32..100_000), 0..20);
        (labels, -1_000_000i64..2_000_000_000_000, steps).prop_map(|(labels, start, steps)| {
            let (mut t, mut place) = (start, 100_000u64);
            let chunks = steps.into_iter().map(|(gap, length, step)| {
                let mint = t + i64::from(gap);
                t = mint + i64::from(length);
                place = place.wrapping_add_signed(i64::from(step));
                ChunkMeta {
                    mint,
                    maxt: t,
                    chunk: ChunkRef(place),
                }
            });
            SeriesEntry {
                labels,
                chunks: chunks.collect(),
            }
        })
    }

    fn encoded(entry: &SeriesEntry) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in entry(), behind in 0usize..40) {
            let mut bytes = encoded(&entry);
            let length = bytes.len();
            bytes.resize(length + behind, 0xaa);
            let mut read = SeriesEntry::default();
            prop_assert_eq!(read.read(&bytes, 16), Ok(()));
            prop_assert_eq!(&read, &entry);
            prop_assert_eq!(entry_length(&bytes, 16), Ok(length as u64));
        }

        #[test]
        fn a_short_read_says_how_long_the_series_is(entry in entry(), part in 0.0f64..1.0) {
            let bytes = encoded(&entry);
            let cut = (bytes.len() as f64 * part) as usize;
            let mut read = SeriesEntry::default();
            let needs = read.read(&bytes[..cut], 0).expect_err("cut").needs();
            // Where the cut is inside of the length itself, more is asked for step by step.
            prop_assert!(needs == Some(bytes.len() as u64) || (cut < 3 && needs.is_some()));
        }

        #[test]
        fn random_bytes_are_no_series(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut read = SeriesEntry::default();
            let _ = read.read(&bytes, 0);
            // With a right checksum, the decoder itself sees them.
            let crc = crc32c::crc32c(&bytes);
            let mut framed = Vec::new();
            put_uvarint(&mut framed, bytes.len() as u64);
            framed.append(&mut bytes);
            framed.extend_from_slice(&crc.to_be_bytes());
            let _ = read.read(&framed, 0);
            prop_assert!(read.labels.capacity() + read.chunks.capacity() < 200);
        }
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let entry = SeriesEntry {
            labels: vec![(1, 2), (3, 4)],
            chunks: vec![ChunkMeta {
                mint: 5,
                maxt: 9,
                chunk: ChunkRef::new(1, 8),
            }],
        };
        let bytes = encoded(&entry);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SeriesEntry::default().read(&bad, 0).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_reference_names_segment_and_place() {
        let chunk = ChunkRef::new(2, 77);
        assert_eq!((chunk.segment(), chunk.offset()), (2, 77));
        assert_eq!(chunk.0, (2 << 32) + 77);
    }
}
