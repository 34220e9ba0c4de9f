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
const fn prefix(class: u32) -> u32 {
    if class < 8 { class + 1 } else { 8 }
}

/// The most bits that a number of the first three classes has, with its prefix.
const SMALL: u32 = 9;

/// By the next [`SMALL`] bits: the number that they begin with and how many bits it has; none if it may have more.
const SMALL_NUMBERS: [(i8, u8); 1 << SMALL] = {
    let mut numbers = [(0, 0); 1 << SMALL];
    let mut bits = 0;
    while bits < numbers.len() {
        let head = (bits as u64) << (64 - SMALL);
        let class = (!head).leading_zeros();
        if class < 3 {
            let size = SIZES[class as usize];
            let number = signed(((head << prefix(class)) >> 1) >> (63 - size), size);
            numbers[bits] = (number as i8, (prefix(class) + size) as u8);
        }
        bits += 1;
    }
    numbers
};

/// The number of a class whose bits are these, fewer than 64 of them. The ranges are not two's complement: the top one of each class
/// is positive.
const fn signed(bits: u64, size: u32) -> i64 {
    let half = (1 << size) >> 1;
    let over = if bits > half { 1 << size } else { 0 };
    bits.wrapping_sub(over).cast_signed()
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
        match size {
            64 => bits.cast_signed(),
            _ => signed(bits, size),
        }
    }

    /// Visits one number after the other, with each of `places`: as [`Self::read_varbit_int`] for each, and several from one
    /// look ahead without a branch for each class (which of them comes is hard to foresee).
    #[inline]
    pub(super) fn read_varbit_ints<T>(
        &mut self,
        places: &mut [T],
        mut visit: impl FnMut(&mut T, i64),
    ) {
        let (mut head, mut shown) = (self.peek(), Self::PEEKED);
        for place in places {
            if shown < SMALL {
                self.skip(Self::PEEKED - shown);
                (head, shown) = (self.peek(), Self::PEEKED);
            }
            let (number, read) = SMALL_NUMBERS[(head >> (64 - SMALL)) as usize];
            if read == 0 {
                self.skip(Self::PEEKED - shown);
                visit(place, self.read_varbit_int());
                (head, shown) = (self.peek(), Self::PEEKED);
                continue;
            }
            visit(place, i64::from(number));
            head <<= read;
            shown -= u32::from(read);
        }
        self.skip(Self::PEEKED - shown);
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

        #[test]
        fn many_at_once_are_as_one_by_one(
            lead in 1u32..8,
            values in prop::collection::vec(prop_oneof![of_any_size(), -9i64..9], 0..200),
            cut in 0usize..40,
        ) {
            let mut writer = BitWriter::default();
            writer.write(0, lead);
            values.iter().for_each(|value| writer.write_varbit_int(*value));
            let mut bytes = writer.into_bytes();
            bytes.truncate(bytes.len().saturating_sub(cut));
            let (mut one, mut all) = (BitReader::new(&bytes), BitReader::new(&bytes));
            one.skip(lead);
            all.skip(lead);
            let mut read = vec![0; values.len()];
            all.read_varbit_ints(&mut read, |place, value| *place = value);
            let wanted: Vec<i64> = values.iter().map(|_| one.read_varbit_int()).collect();
            prop_assert_eq!(&read, &wanted);
            prop_assert_eq!(all.left(), one.left());
            prop_assert!(cut > 0 || read == values);
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
