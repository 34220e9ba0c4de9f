//! Frames of a Series call, on both of its ends.

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use prost::encoding::encode_varint;
use proto::thanos::series_response::Result as Response;
use proto::thanos::{SeriesRequest, SeriesResponse};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::batch::{Batch, SERIES};
use super::field;

/// The key of a batch in a frame.
const BATCH: u8 = 0x22;
/// Bytes of a buffer that receives. Few frames are larger: those that are make it grow, and are copied.
const BUFFER: usize = 64 << 10;
/// What stands before each message of a call: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A frame that came.
#[derive(Debug)]
pub(crate) enum Frame {
    Series(Batch),
    Warning(String),
    /// What only concerns the store itself.
    Other,
}

impl Frame {
    /// Reads a message `SeriesResponse`.
    pub(crate) fn decode(message: Bytes) -> Result<Self, Status> {
        if let Some(batch) = plain(&message) {
            return Ok(Self::Series(batch));
        }
        let response = SeriesResponse::decode(message);
        let response = response.map_err(|error| Status::internal(error.to_string()))?;
        let series = match response.result {
            Some(Response::Series(series)) => vec![series],
            Some(Response::Batch(batch)) => batch.series,
            Some(Response::Warning(text)) => return Ok(Self::Warning(text)),
            Some(Response::Hints(_)) | None => return Ok(Self::Other),
        };
        let batch = Batch::of(series);
        batch
            .map(Self::Series)
            .ok_or_else(|| Status::internal("a series that cannot be put in order"))
    }
}

/// The series of a frame in plain form.
fn plain(message: &Bytes) -> Option<Batch> {
    let mut rest = &message[..];
    match *rest.first()? {
        // A single series is a field like those of a batch.
        SERIES => Batch::plain(message.clone()).filter(|batch| batch.len() == 1),
        BATCH => {
            let batch = field::bytes(&mut rest, BATCH)??;
            let alone = rest.is_empty();
            alone.then(|| Batch::plain(message.slice_ref(batch)))?
        }
        _ => None,
    }
}

/// The asking end of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskCodec;

impl Codec for AskCodec {
    type Encode = SeriesRequest;
    type Decode = Frame;
    type Encoder = ProstEncoder<SeriesRequest>;
    type Decoder = FrameDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        FrameDecoder
    }
}

#[derive(Debug)]
pub(crate) struct FrameDecoder;

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Frame>, Status> {
        let length = message.remaining();
        Frame::decode(message.copy_to_bytes(length)).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER / 2)
    }
}

/// A frame that is sent.
#[derive(Debug)]
pub(crate) enum Answer {
    Batch(Batch),
    /// A single series, in the form that every client understands.
    Series(Bytes),
    Warning(String),
}

impl Answer {
    /// The message `SeriesResponse` as gRPC sends it, in pieces; the series themselves are not copied.
    pub(crate) fn framed(self) -> [Bytes; 2] {
        match self {
            Self::Batch(batch) => {
                let mut key = Vec::with_capacity(HEAD + 1 + 5);
                key.push(BATCH);
                encode_varint(batch.bytes.len() as u64, &mut key);
                let length = key.len() + batch.bytes.len();
                key.splice(..0, head(length));
                [key.into(), batch.bytes]
            }
            Self::Series(field) => [head(field.len()).to_vec().into(), field],
            Self::Warning(text) => {
                let result = Some(Response::Warning(text));
                let message = SeriesResponse { result }.encode_to_vec();
                [head(message.len()).to_vec().into(), message.into()]
            }
        }
    }

    /// The frame as the generated code has it.
    pub(crate) fn decoded(self) -> SeriesResponse {
        let result = match self {
            Self::Batch(batch) => {
                let series = batch.decoded();
                Some(Response::Batch(proto::thanos::SeriesBatch { series }))
            }
            Self::Series(field) => return SeriesResponse::decode(field).unwrap_or_default(),
            Self::Warning(text) => Some(Response::Warning(text)),
        };
        SeriesResponse { result }
    }
}

/// No message is as long as 4 GiB.
fn head(length: usize) -> [u8; HEAD] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, a, b, c, d]
}

/// The request of a call, as gRPC sends it.
pub(crate) fn request(framed: &[u8]) -> Result<SeriesRequest, Status> {
    let bad = || Status::internal("a request that is compressed, or cut short");
    let (start, message) = framed.split_first_chunk::<HEAD>().ok_or_else(bad)?;
    if *start != head(message.len()) {
        return Err(bad());
    }
    SeriesRequest::decode(message).map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::thanos::{AggrChunk, Chunk, Series, SeriesBatch};

    use super::*;
    use crate::labels;

    fn series() -> impl Strategy<Value = Series> {
        let label = ("[a-c]{0,2}", "[x-z]{0,2}");
        let label = label.prop_map(|(name, value)| labels::label(name, value));
        let chunk = (any::<i64>(), prop::collection::vec(any::<u8>(), 0..9));
        let chunk = chunk.prop_map(|(min_time, data)| AggrChunk {
            min_time,
            raw: Some(Chunk {
                data: data.into(),
                ..Chunk::default()
            }),
            ..AggrChunk::default()
        });
        let labels = prop::collection::vec(label, 0..4);
        let chunks = prop::collection::vec(chunk, 0..3);
        (labels, chunks).prop_map(|(labels, chunks)| Series { labels, chunks })
    }

    fn read(response: &SeriesResponse) -> Batch {
        match Frame::decode(response.encode_to_vec().into()) {
            Ok(Frame::Series(batch)) => batch,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn frames_have_the_series_that_were_sent_in_order(sent in prop::collection::vec(series(), 0..5)) {
            let mut expected = sent.clone();
            expected.iter_mut().for_each(|series| labels::normalise(&mut series.labels));
            let batch = SeriesBatch { series: sent.clone() };
            let batch = read(&SeriesResponse { result: Some(Response::Batch(batch)) });
            prop_assert_eq!(batch.decoded(), expected.clone());
            let framed = Answer::Batch(batch.clone()).framed().concat();
            let (start, message) = framed.split_at(HEAD);
            prop_assert_eq!(start, head(message.len()));
            prop_assert_eq!(SeriesResponse::decode(message), Ok(Answer::Batch(batch).decoded()));
            for (sent, expected) in sent.into_iter().zip(expected) {
                let single = read(&SeriesResponse { result: Some(Response::Series(sent)) });
                prop_assert_eq!(single.decoded(), [expected]);
                let field = single.fields().next().expect("one");
                let again = Answer::Series(field).decoded();
                prop_assert!(matches!(again.result, Some(Response::Series(_))));
            }
        }

        #[test]
        fn hostile_frames_are_what_the_generated_code_makes_of_them(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let expected = SeriesResponse::decode(bytes.clone());
            prop_assert_eq!(Frame::decode(bytes).is_ok(), expected.is_ok());
        }
    }

    #[test]
    fn unknown_fields_and_fields_in_another_order_are_understood() {
        let series = Series {
            labels: vec![labels::label("a", "1")],
            chunks: vec![AggrChunk::default()],
        };
        let chunks_first = [0x12, 0, 0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'1', 0x78, 1];
        let mut frame = vec![SERIES, u8::try_from(chunks_first.len()).expect("short")];
        frame.extend(chunks_first);
        match Frame::decode(frame.into()) {
            Ok(Frame::Series(batch)) => assert_eq!(batch.decoded(), [series]),
            other => panic!("{other:?}"),
        }
    }
}
