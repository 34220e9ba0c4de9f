//! XOR chunks of floats, after the Gorilla paper (Pelkonen et al., VLDB 2015) with Prometheus's classes for
//! timestamps in milliseconds (`tsdb/docs/format/chunks.md`, "XOR chunk data").
//!
//! ```text
//! u16 big endian      number of samples
//! sample 0            varint t, 64 bit v
//! sample 1            uvarint delta of t, xor of v
//! sample n            delta of delta of t, xor of v
//!
//! delta of delta      0                   0
//!                     10   + 14 bit       -8191 ..= 8192
//!                     110  + 17 bit       -65535 ..= 65536
//!                     1110 + 20 bit       -524287 ..= 524288
//!                     1111 + 64 bit       anything
//! xor with v before   0                                            equal
//!                     10 + significant bits                        in the window of the value before
//!                     11 + 5 bit leading zeros + 6 bit length      a new window; length 0 means 64
//!                        + significant bits
//! ```

use model::{Columns, Kind};

use super::ChunkError;
use super::bits::{BitReader, BitWriter};

/// The sample count.
const HEADER: usize = 2;

pub(super) fn decode(data: &[u8], out: &mut Columns) -> Result<usize, ChunkError> {
    let Some((header, body)) = data.split_first_chunk::<HEADER>() else {
        return Err(ChunkError::Truncated {
            sample: 0,
            samples: 0,
        });
    };
    let samples = usize::from(u16::from_be_bytes(*header));
    if samples == 0 {
        return Ok(0);
    }
    // A sample takes two bits at least: a count that lies reserves nothing.
    let most = body.len() * 4;
    if samples > most {
        return Err(ChunkError::Truncated {
            sample: most,
            samples,
        });
    }
    let (before_t, before_v) = (out.t.len(), out.v.len());
    out.t.resize(before_t + samples, 0);
    out.v.resize(before_v + samples, 0.0);
    let until = out.need.until;
    match decode_body(body, until, &mut out.t[before_t..], &mut out.v[before_v..]) {
        Ok(read) => {
            out.t.truncate(before_t + read);
            out.v.truncate(before_v + read);
            out.extend_run(Kind::Float, read);
            Ok(read)
        }
        Err(error) => {
            out.t.truncate(before_t);
            out.v.truncate(before_v);
            Err(error)
        }
    }
}

/// The value decoder's memory: the last value and the window of its significant bits.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    bits: u64,
    significant: u32,
    trailing: u32,
}

impl Value {
    /// Before any window.
    pub(super) fn new(bits: u64) -> Self {
        Self {
            bits,
            significant: 64,
            trailing: 0,
        }
    }

    /// The last value.
    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Reads the xor against the value before. `head` are the bits ahead after `used` ones that were looked at and
    /// not skipped yet, [`BitReader::PEEKED`] in all. `None` for a window wider than 64 bits.
    #[inline(always)]
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>, head: u64, used: u32) -> Option<f64> {
        if head >> 63 == 0 {
            reader.skip(used + 1);
            return Some(f64::from_bits(self.bits));
        }
        if head >> 62 == 0b11 {
            let leading = (head >> 57) as u32 & 0x1f;
            let length = (head >> 51) as u32 & 0x3f;
            self.significant = if length == 0 { 64 } else { length };
            reader.skip(used + 2 + 5 + 6);
            self.trailing = 64u32.checked_sub(leading + self.significant)?;
            self.bits ^= reader.read(self.significant) << self.trailing;
        } else if used + 2 + self.significant <= BitReader::PEEKED {
            let xor = (head << 2) >> (64 - self.significant);
            reader.skip(used + 2 + self.significant);
            self.bits ^= xor << self.trailing;
        } else {
            reader.skip(used + 2);
            self.bits ^= reader.read(self.significant) << self.trailing;
        }
        Some(f64::from_bits(self.bits))
    }
}

/// Reads a delta of delta. Returns it with the bits ahead of what it took, and how many those were, not skipped yet.
#[inline]
fn read_delta_of_delta(reader: &mut BitReader<'_>) -> (i64, u64, u32) {
    let head = reader.peek();
    let (class, bits) = match (!head).leading_zeros() {
        0 => return (0, head << 1, 1),
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => {
            reader.skip(4);
            let dod = reader.read(64).cast_signed();
            return (dod, reader.peek(), 0);
        }
    };
    let raw = ((head << class) >> (64 - bits)).cast_signed();
    // The ranges are not two's complement: the top one of each class is positive.
    let dod = if raw > 1 << (bits - 1) {
        raw - (1 << bits)
    } else {
        raw
    };
    (dod, head << (class + bits), class + bits)
}

/// Fills `ts` and `vs`, which are as long as the header says, to the first sample after `until`; returns how far.
fn decode_body(
    body: &[u8],
    until: i64,
    ts: &mut [i64],
    vs: &mut [f64],
) -> Result<usize, ChunkError> {
    let samples = ts.len();
    let mut reader = BitReader::new(body);
    let check = |reader: &BitReader<'_>, sample| match reader.overrun() {
        true => Err(ChunkError::Truncated { sample, samples }),
        false => Ok(()),
    };
    let corrupt = |reader: &BitReader<'_>, sample| {
        // What looks corrupt may be the zeros past the end.
        check(reader, sample)
            .err()
            .unwrap_or(ChunkError::Corrupt { sample, samples })
    };
    let mut out = ts.iter_mut().zip(vs).enumerate();

    let mut t = reader.read_varint().ok_or_else(|| corrupt(&reader, 0))?;
    let mut value = Value::new(reader.read(64));
    check(&reader, 0)?;
    if let Some((_, (t_out, v_out))) = out.next() {
        (*t_out, *v_out) = (t, f64::from_bits(value.bits));
    }

    let mut delta = 0;
    if let Some((sample, (t_out, v_out))) = out.next() {
        let first = reader
            .read_uvarint()
            .ok_or_else(|| corrupt(&reader, sample))?;
        delta = first.cast_signed();
        t = t.wrapping_add(delta);
        let head = reader.peek();
        let v = value
            .read(&mut reader, head, 0)
            .ok_or_else(|| corrupt(&reader, sample))?;
        check(&reader, sample)?;
        (*t_out, *v_out) = (t, v);
    }

    for (sample, (t_out, v_out)) in out {
        let (dod, head, used) = read_delta_of_delta(&mut reader);
        delta = delta.wrapping_add(dod);
        t = t.wrapping_add(delta);
        let v = value
            .read(&mut reader, head, used)
            .ok_or_else(|| corrupt(&reader, sample))?;
        check(&reader, sample)?;
        (*t_out, *v_out) = (t, v);
        if t > until {
            return Ok(sample + 1);
        }
    }
    Ok(samples)
}

/// Writes the xor of a value with the one before.
pub(super) fn write_xor(out: &mut BitWriter, xor: u64, window: &mut Option<(u32, u32)>) {
    if xor == 0 {
        out.write(0, 1);
        return;
    }
    // Five bits hold the leading zeros.
    let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
    match *window {
        Some((l, t)) if leading >= l && trailing >= t => {
            out.write(0b10, 2);
            out.write(xor >> t, 64 - l - t);
        }
        _ => {
            let significant = 64 - leading - trailing;
            out.write(0b11, 2);
            out.write(u64::from(leading), 5);
            // 64 does not fit six bits and is written as 0, which a window cannot have otherwise.
            out.write(u64::from(significant), 6);
            out.write(xor >> trailing, significant);
            *window = Some((leading, trailing));
        }
    }
}

/// Writes an XOR chunk, byte for byte as Prometheus does.
#[derive(Debug)]
pub struct XorAppender {
    out: BitWriter,
    samples: u16,
    t: i64,
    delta: i64,
    bits: u64,
    /// Leading and trailing zeros of the current window, once there is one.
    window: Option<(u32, u32)>,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// An empty chunk.
    #[must_use]
    pub fn new() -> Self {
        let out = BitWriter::after(vec![0; HEADER]);
        Self {
            out,
            samples: 0,
            t: 0,
            delta: 0,
            bits: 0,
            window: None,
        }
    }

    /// Appends a sample; `t` in milliseconds, ascending. A chunk holds [`u16::MAX`] samples at most: further
    /// ones are dropped (Prometheus cuts a chunk after 120).
    pub fn push(&mut self, t: i64, v: f64) {
        let Some(samples) = self.samples.checked_add(1) else {
            return;
        };
        let delta = t.wrapping_sub(self.t);
        match self.samples {
            0 => {
                self.out.write_varint(t);
                self.out.write(v.to_bits(), 64);
            }
            1 => {
                self.out.write_uvarint(delta.cast_unsigned());
                self.write_value(v);
            }
            _ => {
                self.write_delta_of_delta(delta.wrapping_sub(self.delta));
                self.write_value(v);
            }
        }
        // The first sample has no delta; the second reads its own as such.
        self.delta = delta;
        self.t = t;
        self.bits = v.to_bits();
        self.samples = samples;
    }

    fn write_delta_of_delta(&mut self, dod: i64) {
        let raw = dod.cast_unsigned();
        match dod {
            0 => self.out.write(0, 1),
            -8_191..=8_192 => self.write_class(0b10, 2, raw, 14),
            -65_535..=65_536 => self.write_class(0b110, 3, raw, 17),
            -524_287..=524_288 => self.write_class(0b1110, 4, raw, 20),
            _ => self.write_class(0b1111, 4, raw, 64),
        }
    }

    fn write_class(&mut self, class: u64, class_bits: u32, value: u64, bits: u32) {
        self.out.write(class, class_bits);
        self.out.write(value, bits);
    }

    fn write_value(&mut self, v: f64) {
        let xor = v.to_bits() ^ self.bits;
        write_xor(&mut self.out, xor, &mut self.window);
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.samples)
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The chunk's data.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.out.into_bytes();
        if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
            *header = self.samples.to_be_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
