//! Frames of a streamed remote read: length (uvarint), CRC-32C of the message (4 bytes, big-endian), message.

use bytes::{Buf, Bytes, BytesMut};

/// The largest message that is taken, as Prometheus's own clients do.
pub(crate) const LIMIT: usize = 50_000_000;

const CRC_LEN: usize = 4;
const MAX_UVARINT: usize = 10;

/// Bytes that are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame length is no number")]
    Length,
    #[error("frame of {0} bytes exceeds the limit of {LIMIT} bytes")]
    TooLarge(u64),
    #[error("frame has checksum {found:08x}, expected {expected:08x}")]
    Checksum { expected: u32, found: u32 },
    #[error("stream ends inside a frame, {0} bytes into it")]
    Truncated(usize),
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub(crate) struct Frames(BytesMut);

impl Frames {
    /// Adds what was received.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole message, if its bytes are there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((length, header)) = uvarint(&self.0)? else {
            return Ok(None);
        };
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LIMIT)
            .ok_or(FrameError::TooLarge(length))?;
        let whole = header + CRC_LEN + length;
        if self.0.len() < whole {
            self.0.reserve(whole - self.0.len());
            return Ok(None);
        }
        self.0.advance(header);
        let expected = self.0.get_u32();
        let message = self.0.split_to(length).freeze();
        let found = crc32c::crc32c(&message);
        if found == expected {
            Ok(Some(message))
        } else {
            Err(FrameError::Checksum { expected, found })
        }
    }

    /// Whether the stream may end here.
    pub(crate) fn end(&self) -> Result<(), FrameError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated(self.0.len()))
        }
    }
}

/// A number and its length in bytes; `None` when bytes are missing.
fn uvarint(bytes: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(MAX_UVARINT).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == MAX_UVARINT - 1 && bits > 1 {
            return Err(FrameError::Length);
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() >= MAX_UVARINT {
        Err(FrameError::Length)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut length = message.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).expect("seven bits"));
        out.extend(crc32c::crc32c(message).to_be_bytes());
        out.extend(message);
        out
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting_of_the_stream(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6), cut in 1usize..50) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let (mut frames, mut read) = (Frames::default(), Vec::new());
            for part in stream.chunks(cut) {
                frames.extend(part);
                while let Some(message) = frames.next().expect("whole") {
                    read.push(message.to_vec());
                }
            }
            prop_assert_eq!(read, messages);
            prop_assert_eq!(frames.end(), Ok(()));
        }

        #[test]
        fn hostile_bytes_end_in_an_error_or_in_waiting(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.extend(&bytes);
            for _ in 0..=bytes.len() {
                match frames.next() {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn each_damage_has_its_name() {
        let parse = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.extend(bytes);
            frames.next()
        };
        assert_eq!(parse(&[0xff; 10]), Err(FrameError::Length));
        assert_eq!(
            parse(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(FrameError::TooLarge(u32::MAX.into()))
        );
        let mut damaged = frame(b"hello");
        damaged[7] ^= 1;
        assert!(matches!(parse(&damaged), Err(FrameError::Checksum { .. })));
        let mut short = Frames::default();
        short.extend(&frame(b"hello")[..6]);
        assert_eq!(short.next(), Ok(None));
        assert_eq!(short.end(), Err(FrameError::Truncated(6)));
    }
}
