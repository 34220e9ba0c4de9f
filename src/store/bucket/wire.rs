//! Frames of a Series answer, written from what was read: every chunk is copied once, from the buffer that it was read
//! into to the buffer that is sent.
//!
//! `proto/defs` has the messages; the fields that are written by hand here are compared with the generated code by a test.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use model::{Labels, Symbols};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::thanos::{SeriesRequest, SeriesResponse};
use smallvec::SmallVec;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};

use crate::chunks::Field;

/// Samples, in a buffer of a [`Group`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) field: Field,
    /// As the wire counts encodings: from zero.
    pub(crate) encoding: u8,
    pub(crate) buffer: u32,
    pub(crate) start: u32,
    pub(crate) length: u32,
    /// xxhash64 of the samples.
    pub(crate) hash: u64,
}

/// A chunk: its times, and its parts in the [`Group`].
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) parts: Range<u32>,
    /// Bytes of its message.
    length: u32,
}

/// The chunks of series that were read together, and the buffers that hold their samples.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) buffers: Vec<Bytes>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) parts: Vec<Part>,
}

impl Group {
    /// A chunk of these times and parts.
    pub(crate) fn chunk(&self, (min_time, max_time): (i64, i64), parts: Range<u32>) -> Chunk {
        let of = |part: &Part| {
            let length = part.message_length();
            1 + encoded_len_varint(length as u64) + length
        };
        let times = signed_length(min_time) + signed_length(max_time);
        let length = times + self.parts_of(&parts).iter().map(of).sum::<usize>();
        Chunk {
            min_time,
            max_time,
            parts,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }
    }

    fn parts_of(&self, parts: &Range<u32>) -> &[Part] {
        self.parts
            .get(parts.start as usize..parts.end as usize)
            .unwrap_or_default()
    }

    /// The parts of a chunk, in the order of their fields.
    pub(crate) fn parts(&self, chunk: &Chunk) -> &[Part] {
        self.parts_of(&chunk.parts)
    }

    pub(crate) fn samples(&self, part: &Part) -> &[u8] {
        let (start, length) = (part.start as usize, part.length as usize);
        let buffer = self.buffers.get(part.buffer as usize);
        buffer
            .and_then(|buffer| buffer.get(start..start + length))
            .unwrap_or_default()
    }

    fn encode(&self, chunk: &Chunk, out: &mut impl BufMut) {
        // Small numbers are gathered: a buffer that grows takes each for itself slowly.
        let mut small = Small::default();
        small.signed(1, chunk.min_time);
        small.signed(2, chunk.max_time);
        for part in self.parts(chunk) {
            if small.length > MOST_SMALL / 2 {
                small.flush(out);
            }
            small.length(part.field as u32, part.message_length());
            if part.encoding != 0 {
                small.number(1, u64::from(part.encoding));
            }
            if part.length > 0 {
                small.length(2, part.length as usize);
                small.flush(out);
                out.put_slice(self.samples(part));
            }
            if part.hash != 0 {
                small.number(3, part.hash);
            }
        }
        small.flush(out);
    }
}

/// The most that stands between two parts of a chunk: two times, a part's key and length, its encoding, the key and
/// length of its data, and the hash of the part before.
const MOST_SMALL: usize = 64;

/// Small fields, before they go to the buffer.
struct Small {
    bytes: [u8; MOST_SMALL],
    length: usize,
}

impl Default for Small {
    fn default() -> Self {
        Self {
            bytes: [0; MOST_SMALL],
            length: 0,
        }
    }
}

impl Small {
    fn put(&mut self, field: u32, kind: WireType, value: u64) {
        let room = &mut self.bytes[self.length..];
        let before = room.len();
        let mut left = room;
        encode_key(field, kind, &mut left);
        encode_varint(value, &mut left);
        self.length += before - left.len();
    }

    fn number(&mut self, field: u32, value: u64) {
        self.put(field, WireType::Varint, value);
    }

    fn length(&mut self, field: u32, length: usize) {
        self.put(field, WireType::LengthDelimited, length as u64);
    }

    fn signed(&mut self, field: u32, value: i64) {
        if value != 0 {
            self.number(field, value.cast_unsigned());
        }
    }

    fn flush(&mut self, out: &mut impl BufMut) {
        out.put_slice(&self.bytes[..self.length]);
        self.length = 0;
    }
}

impl Part {
    fn message_length(&self) -> usize {
        let encoding = if self.encoding == 0 { 0 } else { 2 };
        let data = match self.length as usize {
            0 => 0,
            length => bytes_length(length),
        };
        let hash = match self.hash {
            0 => 0,
            hash => 1 + encoded_len_varint(hash),
        };
        encoding + data + hash
    }
}

/// Some chunks of a group.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) group: Arc<Group>,
    pub(crate) chunks: Range<u32>,
}

impl Piece {
    pub(crate) fn chunks(&self) -> &[Chunk] {
        self.group
            .chunks
            .get(self.chunks.start as usize..self.chunks.end as usize)
            .unwrap_or_default()
    }
}

/// A series as a client gets it.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) pieces: SmallVec<[Piece; 2]>,
}

impl Series {
    pub(crate) fn chunk_count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.chunks.len()).sum()
    }

    /// Bytes of the messages of its chunks.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let chunks = self.pieces.iter().flat_map(Piece::chunks);
        chunks.map(|chunk| chunk.length as usize).sum()
    }

    fn message_length(&self, symbols: &Symbols) -> usize {
        let labels = self.labels.iter(symbols);
        let labels = labels.map(|(name, value)| bytes_length(label_length(name, value)));
        let chunks = self.pieces.iter().flat_map(Piece::chunks);
        let chunks = chunks.map(|chunk| bytes_length(chunk.length as usize));
        labels.sum::<usize>() + chunks.sum::<usize>()
    }

    fn encode(&self, symbols: &Symbols, out: &mut impl BufMut) {
        for (name, value) in self.labels.iter(symbols) {
            encode_key(1, WireType::LengthDelimited, out);
            encode_varint(label_length(name, value) as u64, out);
            put_text(1, name, out);
            put_text(2, value, out);
        }
        for piece in &self.pieces {
            for chunk in piece.chunks() {
                encode_key(2, WireType::LengthDelimited, out);
                encode_varint(u64::from(chunk.length), out);
                piece.group.encode(chunk, out);
            }
        }
    }
}

/// A frame of the answer.
#[derive(Debug)]
pub(crate) enum Frame {
    Series(Series),
    Batch(Vec<Series>),
    /// Everything else.
    Other(SeriesResponse),
}

impl Frame {
    /// Writes the message `SeriesResponse`.
    pub(crate) fn encode(&self, symbols: &Symbols, out: &mut impl BufMut) {
        match self {
            Self::Series(series) => put_series(1, series, symbols, out),
            Self::Batch(batch) => {
                let each = |series: &Series| bytes_length(series.message_length(symbols));
                encode_key(4, WireType::LengthDelimited, out);
                encode_varint(batch.iter().map(each).sum::<usize>() as u64, out);
                for series in batch {
                    put_series(1, series, symbols, out);
                }
            }
            Self::Other(message) => {
                let _ = message.encode(out);
            }
        }
    }

    /// The frame as the generated code has it.
    pub(crate) fn decoded(&self, symbols: &Symbols) -> Result<SeriesResponse, Status> {
        let mut bytes = Vec::new();
        self.encode(symbols, &mut bytes);
        SeriesResponse::decode(bytes.as_slice())
            .map_err(|error| Status::internal(error.to_string()))
    }
}

fn put_series(field: u32, series: &Series, symbols: &Symbols, out: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(series.message_length(symbols) as u64, out);
    series.encode(symbols, out);
}

fn label_length(name: &str, value: &str) -> usize {
    let text = |text: &str| match text.len() {
        0 => 0,
        length => bytes_length(length),
    };
    text(name) + text(value)
}

/// Bytes of a field of so many bytes; all fields here have small numbers.
fn bytes_length(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn signed_length(value: i64) -> usize {
    match value {
        0 => 0,
        value => 1 + encoded_len_varint(value.cast_unsigned()),
    }
}

fn put_text(field: u32, text: &str, out: &mut impl BufMut) {
    if !text.is_empty() {
        put_bytes(field, text.as_bytes(), out);
    }
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

/// Reads requests as the generated code does, and writes [`Frame`]s.
#[derive(Clone, Debug)]
pub(crate) struct FrameCodec;

/// A frame with the strings that it names.
pub(crate) type Sent = (Arc<Symbols>, Frame);

/// Bytes that are gathered before they are sent. Larger frames are sent alone.
const BUFFER: usize = 64 << 10;

impl Codec for FrameCodec {
    type Encode = Sent;
    type Decode = SeriesRequest;
    type Encoder = FrameEncoder;
    type Decoder = tonic_prost::ProstDecoder<SeriesRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        tonic_prost::ProstDecoder::default()
    }
}

#[derive(Debug)]
pub(crate) struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Sent;
    type Error = Status;

    fn encode(&mut self, (symbols, frame): Sent, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.encode(&symbols, out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER / 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::thanos;

    use super::*;

    const FIELDS: [Field; 6] = [
        Field::Raw,
        Field::Count,
        Field::Sum,
        Field::Min,
        Field::Max,
        Field::Counter,
    ];

    type Parts = Vec<(u8, Vec<u8>, u64)>;

    fn chunks() -> impl Strategy<Value = Vec<(i64, i64, Parts)>> {
        let data = prop::collection::vec(any::<u8>(), 0..300);
        let part = (0u8..3, data, prop_oneof![Just(0), any::<u64>()]);
        let times = prop_oneof![Just(0), any::<i64>()];
        let parts = prop::collection::vec(part, 0..6);
        prop::collection::vec((times.clone(), times, parts), 0..6)
    }

    /// The same series twice: as pieces, and as the generated code has it.
    fn series(
        labels: &[(String, String)],
        chunks: &[(i64, i64, Parts)],
        symbols: &Symbols,
    ) -> (Series, thanos::Series) {
        let mut group = Group::default();
        let mut wire = thanos::Series::default();
        for (min_time, max_time, parts) in chunks {
            let first = group.parts.len() as u32;
            let mut message = thanos::AggrChunk {
                min_time: *min_time,
                max_time: *max_time,
                ..thanos::AggrChunk::default()
            };
            let fields = [
                &mut message.raw,
                &mut message.count,
                &mut message.sum,
                &mut message.min,
                &mut message.max,
                &mut message.counter,
            ];
            for (((encoding, data, hash), field), out) in parts.iter().zip(FIELDS).zip(fields) {
                group.parts.push(Part {
                    field,
                    encoding: *encoding,
                    buffer: group.buffers.len() as u32,
                    start: 1,
                    length: data.len() as u32,
                    hash: *hash,
                });
                let mut buffer = vec![0xaa];
                buffer.extend_from_slice(data);
                group.buffers.push(buffer.into());
                *out = Some(thanos::Chunk {
                    r#type: i32::from(*encoding),
                    data: data.clone().into(),
                    hash: *hash,
                });
            }
            let parts = first..group.parts.len() as u32;
            let chunk = group.chunk((*min_time, *max_time), parts);
            group.chunks.push(chunk);
            wire.chunks.push(message);
        }
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let labels = Labels::from_pairs(pairs, symbols);
        wire.labels = labels
            .iter(symbols)
            .map(|(name, value)| crate::labels::label(name, value))
            .collect();
        let count = group.chunks.len() as u32;
        let piece = |chunks| Piece {
            group: Arc::new(Group::default()),
            chunks,
        };
        let mut pieces: SmallVec<[Piece; 2]> = [piece(0..0)].into_iter().collect();
        pieces.push(Piece {
            group: Arc::new(group),
            chunks: 0..count,
        });
        (Series { labels, pieces }, wire)
    }

    proptest! {
        #[test]
        fn frames_are_the_bytes_of_the_generated_code(
            labels in prop::collection::vec(("[a-e]{0,3}", "[a-z]{0,200}"), 0..5),
            first in chunks(),
            second in chunks(),
        ) {
            use thanos::series_response::Result as Response;
            let symbols = Symbols::new();
            let (a, wire_a) = series(&labels, &first, &symbols);
            let (b, wire_b) = series(&labels, &second, &symbols);
            let batch = thanos::SeriesBatch { series: vec![wire_a.clone(), wire_b] };
            for (frame, expected) in [
                (Frame::Series(a.clone()), Response::Series(wire_a)),
                (Frame::Batch(vec![a, b]), Response::Batch(batch)),
            ] {
                let mut bytes = Vec::new();
                frame.encode(&symbols, &mut bytes);
                let expected = SeriesResponse { result: Some(expected) };
                prop_assert_eq!(bytes, expected.encode_to_vec());
            }
        }
    }
}
