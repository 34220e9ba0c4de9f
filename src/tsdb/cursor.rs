//! Reading the primitives of Prometheus's formats, bounds-checked: big-endian numbers, LEB128 as Go's
//! `encoding/binary`, and the frame `u32 length | content | u32 CRC32C of the content`.

use crate::corrupt::{Corrupt, Flaw};

/// The width of a checksum.
pub(crate) const CRC: usize = 4;

/// Reads forward through one part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    data: &'a [u8],
    position: usize,
    part: &'static str,
    at: u64,
}

impl<'a> Cursor<'a> {
    /// Reads `data`, which is `part` and begins at byte `at` of its file.
    pub(crate) fn new(part: &'static str, at: u64, data: &'a [u8]) -> Self {
        Self {
            data,
            position: 0,
            part,
            at,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position >= self.data.len()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.data.len().saturating_sub(self.position)
    }

    pub(crate) fn invalid(&self, why: &'static str) -> Corrupt {
        Corrupt::invalid(self.part, self.at, why)
    }

    fn truncated(&self, count: usize) -> Corrupt {
        let needs = (self.position as u64).saturating_add(count as u64);
        Corrupt::new(self.part, self.at, Flaw::Truncated { needs })
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Corrupt> {
        let end = self.position.checked_add(count);
        let slice = end
            .and_then(|end| self.data.get(self.position..end))
            .ok_or_else(|| self.truncated(count))?;
        self.position += count;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let rest = self.data.get(self.position..).unwrap_or_default();
        let array = *rest.first_chunk::<N>().ok_or_else(|| self.truncated(N))?;
        self.position += N;
        Ok(array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Corrupt> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Corrupt> {
        let rest = self.data.get(self.position..).unwrap_or_default();
        let mut value = 0u64;
        for (at, byte) in rest.iter().take(10).enumerate() {
            if at == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.position += at + 1;
                return Ok(value);
            }
        }
        if rest.len() < 10 {
            Err(self.truncated(rest.len() + 1))
        } else {
            Err(self.invalid("a number does not fit 64 bits"))
        }
    }

    pub(crate) fn uvarint32(&mut self) -> Result<u32, Corrupt> {
        let value = self.uvarint()?;
        u32::try_from(value).map_err(|_| self.invalid("a number does not fit 32 bits"))
    }

    /// A length or count in memory.
    pub(crate) fn length(&mut self) -> Result<usize, Corrupt> {
        let value = self.uvarint()?;
        usize::try_from(value).map_err(|_| self.invalid("a length does not fit memory"))
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Corrupt> {
        let z = self.uvarint()?;
        Ok((z >> 1).cast_signed() ^ -(z & 1).cast_signed())
    }

    /// Bytes after their length.
    pub(crate) fn slice(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.length()?;
        self.bytes(length)
    }

    /// Text after its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Corrupt> {
        let bytes = self.slice()?;
        std::str::from_utf8(bytes).map_err(|_| self.invalid("text is not UTF-8"))
    }

    /// Reads the checksum that follows, and compares it with that of `content`.
    pub(crate) fn check_crc(&mut self, content: &[u8]) -> Result<(), Corrupt> {
        let stored = self.u32()?;
        let computed = crc32c::crc32c(content);
        if stored == computed {
            Ok(())
        } else {
            let flaw = Flaw::Checksum { stored, computed };
            Err(Corrupt::new(self.part, self.at, flaw))
        }
    }
}

/// The content of `u32 length | content | crc` at the beginning of `data`, its checksum checked.
pub(crate) fn section<'a>(
    part: &'static str,
    at: u64,
    data: &'a [u8],
) -> Result<&'a [u8], Corrupt> {
    let mut cursor = Cursor::new(part, at, data);
    let length = cursor.u32()? as usize;
    let needs = length as u64 + 8;
    if needs > data.len() as u64 {
        return Err(Corrupt::new(part, at, Flaw::Truncated { needs }));
    }
    let content = cursor.bytes(length)?;
    cursor.check_crc(content)?;
    Ok(content)
}

/// Appends `value` as LEB128.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` zigzagged, as LEB128.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Appends `bytes` after their length.
pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_all_numbers_is_truncated() {
        let mut cursor = Cursor::new("numbers", 0, &[1, 2]);
        assert_eq!(cursor.byte(), Ok(1));
        let flaw = Flaw::Truncated { needs: u64::MAX };
        assert_eq!(
            cursor.bytes(usize::MAX),
            Err(Corrupt::new("numbers", 0, flaw))
        );
    }

    proptest! {
        #[test]
        fn numbers_round_trip(signed: i64, unsigned: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, signed);
            put_uvarint(&mut out, unsigned);
            put_slice(&mut out, b"text");
            let mut cursor = Cursor::new("numbers", 0, &out);
            prop_assert_eq!(cursor.varint(), Ok(signed));
            prop_assert_eq!(cursor.uvarint(), Ok(unsigned));
            prop_assert_eq!(cursor.text(), Ok("text"));
            prop_assert!(cursor.is_empty());
        }
    }

    #[test]
    fn what_ends_early_says_how_much_is_needed() {
        let mut cursor = Cursor::new("series", 7, &[3, b'a', b'b']);
        let error = cursor.slice().expect_err("a byte is missing");
        assert_eq!(error.needs(), Some(4));
        assert_eq!(
            error.to_string(),
            "series at byte 7: ends early, 4 bytes are needed"
        );
        let lie = [0xff, 0xff, 0xff, 0xff, 1, 2];
        assert_eq!(
            section("symbols", 5, &lie).expect_err("a lie").needs(),
            Some(0xffff_ffff + 8)
        );
    }

    #[test]
    fn a_number_over_64_bits_is_refused() {
        let mut cursor = Cursor::new("series", 0, &[0xff; 10]);
        assert_eq!(
            cursor.uvarint(),
            Err(cursor.invalid("a number does not fit 64 bits"))
        );
    }
}
