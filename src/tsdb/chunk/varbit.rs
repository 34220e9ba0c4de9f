//! Whole numbers in classes of bits, small ones short (`tsdb/chunkenc/varbit.go` of Prometheus names the classes):
//!
//! ```text
//! 0                       0
//! 10       + 3 bit        -3 ..= 4            (unsigned: up to 7)
//! 110      + 6 bit        -31 ..= 32
//! 1110     + 9 bit        -255 ..= 256
//! 11110    + 12 bit       -2047 ..= 2048
//! 111110   + 18 bit       -131071 ..= 131072
//! 1111110  + 25 bit       -16777215 ..= 16777216
//! 11111110 + 56 bit       -2^55 + 1 ..= 2^55
//! 11111111 + 64 bit       anything
//! ```

use super::bits::{BitReader, BitWriter};

/// Bits of the number by how many ones stand before it.
const SIZES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// The first class that is longer than what [`BitReader::peek`] shows.
const LONG: u32 = 7;

/// How many bits the prefix of a class has, with its ending zero.
fn prefix(class: u32) -> u32 {
    (class + 1).min(8)
}

impl BitReader<'_> {
    /// The number's bits and how many those are.
    #[inline(always)]
    fn read_class(&mut self) -> (u64, u32) {
        let head = self.peek();
        let class = (!head).leading_zeros();
        match class {
            0 => {
                self.skip(1);
                (0, 0)
            }
            1..LONG => {
                let size = SIZES[class as usize];
                self.skip(prefix(class) + size);
                ((head << prefix(class)) >> (64 - size), size)
            }
            _ => self.read_long(class.min(8)),
        }
    }

    /// What a look ahead may not show whole.
    #[cold]
    fn read_long(&mut self, class: u32) -> (u64, u32) {
        let size = SIZES[class as usize];
        self.skip(prefix(class));
        (self.read(size), size)
    }

    pub(super) fn read_varbit_uint(&mut self) -> u64 {
        self.read_class().0
    }

    #[inline]
    pub(super) fn read_varbit_int(&mut self) -> i64 {
        let (bits, size) = self.read_class();
        // The ranges are not two's complement: the top one of each class is positive.
        if size > 0 && size < 64 && bits > 1 << (size - 1) {
            return bits.wrapping_sub(1 << size).cast_signed();
        }
        bits.cast_signed()
    }
}

impl BitWriter {
    fn write_class(&mut self, class: u32, value: u64) {
        let ones = (1u64 << prefix(class)) - if class < 8 { 2 } else { 1 };
        self.write(ones, prefix(class));
        let size = SIZES[class as usize];
        if size > 0 {
            self.write(value, size);
        }
    }

    pub(super) fn write_varbit_uint(&mut self, value: u64) {
        let fits = |size: u32| size == 64 || value >> size == 0;
        let class = (0..).zip(SIZES).find(|(_, size)| fits(*size));
        self.write_class(class.map_or(8, |(class, _)| class), value);
    }

    pub(super) fn write_varbit_int(&mut self, value: i64) {
        let fits = |size: u32| match size {
            0 => value == 0,
            64 => true,
            _ => (-(1i64 << (size - 1)) + 1..=1 << (size - 1)).contains(&value),
        };
        let class = (0..).zip(SIZES).find(|(_, size)| fits(*size));
        self.write_class(class.map_or(8, |(class, _)| class), value.cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_any_size() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn numbers_of_all_sizes_come_back(values in prop::collection::vec(of_any_size(), 0..100)) {
            let mut writer = BitWriter::default();
            for value in &values {
                writer.write_varbit_int(*value);
                writer.write_varbit_uint(value.cast_unsigned());
            }
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            for value in values {
                prop_assert_eq!(reader.read_varbit_int(), value);
                prop_assert_eq!(reader.read_varbit_uint(), value.cast_unsigned());
            }
            prop_assert!(!reader.overrun());
        }
    }

    #[test]
    fn the_edges_of_classes_take_the_bits_of_the_format() {
        let bits = |write: &dyn Fn(&mut BitWriter)| {
            let mut writer = BitWriter::default();
            write(&mut writer);
            writer.write(u64::MAX, 64);
            // The ones that follow end the last byte.
            writer.into_bytes().len() * 8 - 64
        };
        for (value, size) in [
            (0, 1),
            (4, 5),
            (-3, 5),
            (-4, 9),
            (32, 9),
            (33, 13),
            (2048, 17),
            (131_072, 24),
        ] {
            assert_eq!(
                bits(&|w| w.write_varbit_int(value)).div_ceil(8),
                (size as usize).div_ceil(8),
                "{value}"
            );
        }
    }
}
