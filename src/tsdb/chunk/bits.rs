//! Bits, most significant first, as `tsdb/docs/bstream.md` of Prometheus lays them out.

/// Reads bits. Past the end it reads zeros and remembers: ask [`Self::overrun`] after each value, instead of
/// testing every read.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// In bits, from the start of `data`.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// What [`Self::peek`] shows at least.
    pub(super) const PEEKED: u32 = 57;

    /// The next [`Self::PEEKED`] bits or more, at the top of the word.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        let byte = self.position / 8;
        let word = match self.data.get(byte..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => self.last_word(byte),
        };
        word << (self.position % 8)
    }

    #[cold]
    fn last_word(&self, byte: usize) -> u64 {
        let mut bytes = [0; 8];
        let rest = self.data.get(byte..).unwrap_or_default();
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_be_bytes(bytes)
    }

    #[inline]
    pub(super) fn skip(&mut self, bits: u32) {
        self.position += bits as usize;
    }

    /// `bits` from 1 to 64.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> u64 {
        if bits > Self::PEEKED {
            let high = self.read(32);
            return (high << (bits - 32)) | self.read(bits - 32);
        }
        let value = self.peek() >> (64 - bits);
        self.skip(bits);
        value
    }

    /// LEB128 as Go's `encoding/binary`; `None` if it does not fit 64 bits.
    pub(super) fn read_uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.read(8);
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Zigzag over [`Self::read_uvarint`].
    pub(super) fn read_varint(&mut self) -> Option<i64> {
        self.read_uvarint()
            .map(|z| (z >> 1).cast_signed() ^ -(z & 1).cast_signed())
    }

    /// How many bits are left.
    pub(super) fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.position)
    }

    /// Whether more bits were read than there are.
    #[inline]
    pub(super) fn overrun(&self) -> bool {
        self.position > self.data.len() * 8
    }
}

/// Writes bits, a word at a time.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are not in `bytes` yet, at the top.
    word: u64,
    /// How many those are; fewer than 64.
    filled: u32,
}

impl BitWriter {
    /// Continues `bytes` at a whole byte.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            word: 0,
            filled: 0,
        }
    }

    /// Writes the `bits` low bits of `value`; `bits` from 1 to 64.
    #[inline]
    pub(super) fn write(&mut self, value: u64, bits: u32) {
        let value = value & (u64::MAX >> (64 - bits));
        let room = 64 - self.filled;
        if bits < room {
            self.word |= value << (room - bits);
            self.filled += bits;
            return;
        }
        let left = bits - room;
        self.word |= value >> left;
        self.bytes.extend_from_slice(&self.word.to_be_bytes());
        self.word = if left == 0 { 0 } else { value << (64 - left) };
        self.filled = left;
    }

    pub(super) fn write_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    pub(super) fn write_varint(&mut self, value: i64) {
        self.write_uvarint((value << 1 ^ value >> 63).cast_unsigned());
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let last = self.filled.div_ceil(8) as usize;
        self.bytes
            .extend_from_slice(&self.word.to_be_bytes()[..last]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec((any::<u64>(), 1u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            for (value, bits) in &values {
                writer.write(*value, *bits);
            }
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            for (value, bits) in values {
                prop_assert_eq!(reader.read(bits), value & (u64::MAX >> (64 - bits)));
            }
            prop_assert!(!reader.overrun());
            reader.read(8);
            prop_assert!(reader.overrun());
        }

        #[test]
        fn varints_round_trip(lead in 1u32..8, signed: i64, unsigned: u64) {
            let mut writer = BitWriter::default();
            writer.write(1, lead);
            writer.write_varint(signed);
            writer.write_uvarint(unsigned);
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            reader.read(lead);
            prop_assert_eq!(reader.read_varint(), Some(signed));
            prop_assert_eq!(reader.read_uvarint(), Some(unsigned));
        }
    }

    #[test]
    fn a_varint_over_64_bits_is_refused() {
        assert_eq!(BitReader::new(&[0xff; 11]).read_uvarint(), None);
        let mut top = [0xff; 10];
        top[9] = 1;
        assert_eq!(BitReader::new(&top).read_uvarint(), Some(u64::MAX));
        top[9] = 2;
        assert_eq!(BitReader::new(&top).read_uvarint(), None);
    }
}
