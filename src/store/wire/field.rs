//! Fields of messages in plain form, cut off the front of their bytes. `None` is bytes of another form.

/// Cuts a varint off.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    if *first < 0x80 {
        return Some(u64::from(*first));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            // The tenth byte has room for one bit, and a last byte of zero says nothing.
            let fits = shift < 63 || *byte == 1;
            return (fits && *byte != 0).then_some(value);
        }
    }
    None
}

/// Cuts off a number that belongs to `key`; `None` inside is a field that is not there.
#[inline]
pub(super) fn number(bytes: &mut &[u8], key: u8) -> Option<Option<u64>> {
    if bytes.first() != Some(&key) {
        return Some(None);
    }
    *bytes = &bytes[1..];
    varint(bytes).map(Some)
}

/// Cuts off bytes that belong to `key`; `None` inside is a field that is not there.
#[inline]
pub(super) fn bytes<'b>(bytes: &mut &'b [u8], key: u8) -> Option<Option<&'b [u8]>> {
    if bytes.first() != Some(&key) {
        return Some(None);
    }
    *bytes = &bytes[1..];
    length_delimited(bytes).map(Some)
}

/// Cuts off a length and as many bytes.
#[inline]
pub(super) fn length_delimited<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(field)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_are_read_as_they_are_written(value in prop_oneof![any::<u64>(), 0u64..300], more: u8) {
            let mut written = Vec::new();
            prost::encoding::encode_varint(value, &mut written);
            written.push(more);
            let mut rest = written.as_slice();
            prop_assert_eq!(varint(&mut rest), Some(value));
            prop_assert_eq!(rest, [more]);
        }
    }

    #[test]
    fn what_is_longer_than_it_needs_to_be_is_of_another_form() {
        for odd in [&[0x80, 0][..], &[0xff; 10], &[0x80], &[]] {
            let mut rest = odd;
            assert_eq!(varint(&mut rest), None, "{odd:?}");
        }
        let mut short = &[0x0a, 3, b'a', b'b'][..];
        assert_eq!(bytes(&mut short, 0x0a), None);
    }
}
