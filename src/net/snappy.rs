//! The compression `snappy` of gRPC, which Go's Thanos registers and tonic does not have: messages as framed snappy streams
//! (`framing_format.txt` of snappy). Messages are recoded on their way in and out, tonic sees plain ones.
//!
//! ```text
//! u8                  1: compressed, 0: not
//! u32 big endian      length
//! message
//! ```

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;

/// The header that names the compression of messages.
const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";
const SNAPPY: HeaderValue = HeaderValue::from_static("snappy");
/// Flag and length.
const PREFIX: usize = 5;
/// The largest message, compressed or not; Go's limit is as high.
const MAX_MESSAGE: usize = i32::MAX as usize;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether these headers say that the messages are compressed so; if so, they do not from now on.
pub(crate) fn take(headers: &mut HeaderMap) -> bool {
    let is = headers.get(ENCODING).is_some_and(|name| *name == SNAPPY);
    if is {
        headers.remove(ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    is
}

/// Says that the messages are compressed so, and that those of the answer may be.
pub(crate) fn tell(headers: &mut HeaderMap) {
    headers.insert(ENCODING, SNAPPY);
    headers.insert(ACCEPTED, SNAPPY);
    headers.remove(header::CONTENT_LENGTH);
}

/// Answers as it was asked, as servers in Go do: compressed, if the request is.
pub(crate) async fn serve(mut request: Request, next: Next) -> Response {
    if !take(request.headers_mut()) {
        return next.run(request).await;
    }
    let expanded = |body| Body::new(Recoded::new(body, Direction::Expand));
    let mut response = next.run(request.map(expanded)).await;
    tell(response.headers_mut());
    response.map(|body| Body::new(Recoded::new(body, Direction::Compress)))
}

/// What is done with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Compress,
    /// Of those that are compressed.
    Expand,
}

/// A body whose messages are compressed or expanded.
#[derive(Debug)]
pub(crate) struct Recoded<B> {
    inner: B,
    direction: Direction,
    /// The beginning of a message.
    begun: BytesMut,
}

impl<B> Recoded<B> {
    pub(crate) fn new(inner: B, direction: Direction) -> Self {
        Self {
            inner,
            direction,
            begun: BytesMut::new(),
        }
    }

    /// The messages that are whole with `data`.
    fn recode(&mut self, data: &[u8]) -> io::Result<Bytes> {
        self.begun.extend_from_slice(data);
        let mut out = BytesMut::new();
        while let Some(head) = self.begun.first_chunk::<PREFIX>() {
            let [flag, length @ ..] = *head;
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_MESSAGE {
                return Err(invalid(format!("a message of {length} bytes")));
            }
            // A length that lies reserves nothing.
            let Some(message) = self.begun.get(PREFIX..PREFIX + length) else {
                break;
            };
            match (self.direction, flag) {
                (Direction::Compress, 0) => put(&mut out, 1, |to| compress(message, to))?,
                (Direction::Expand, 1) => put(&mut out, 0, |to| expand(message, to))?,
                _ => out.extend_from_slice(&self.begun[..PREFIX + length]),
            }
            self.begun.advance(PREFIX + length);
        }
        Ok(out.freeze())
    }
}

/// Appends a message that `write` appends, with its prefix.
fn put(
    out: &mut BytesMut,
    flag: u8,
    write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
) -> io::Result<()> {
    let start = out.len();
    out.put_u8(flag);
    out.put_u32(0);
    write(out)?;
    let length = out.len() - start - PREFIX;
    let length =
        u32::try_from(length).map_err(|_| invalid(format!("a message of {length} bytes")))?;
    out[start + 1..start + PREFIX].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn compress(message: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let mut encoder = snap::write::FrameEncoder::new(out.writer());
    encoder.write_all(message)?;
    encoder.flush()
}

/// Never more than [`MAX_MESSAGE`], whatever the bytes promise.
fn expand(message: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let limited = &mut snap::read::FrameDecoder::new(message).take(MAX_MESSAGE as u64 + 1);
    let expanded = io::copy(limited, &mut out.writer())?;
    match expanded > MAX_MESSAGE as u64 {
        true => Err(invalid(
            "a message that expands to more than 2 GiB".to_owned(),
        )),
        false => Ok(()),
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<B> http_body::Body for Recoded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None if self.begun.is_empty() => return Poll::Ready(None),
                None => {
                    self.begun.clear();
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Some(Err(error.into())));
                }
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            match self.recode(&data) {
                Ok(whole) if whole.is_empty() => {}
                Ok(whole) => return Poll::Ready(Some(Ok(Frame::data(whole)))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, content].concat()
    }

    /// Recodes `data` in pieces of `size`.
    fn recoded(direction: Direction, data: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut body = Recoded::new((), direction);
        let pieces = data.chunks(size).map(|piece| body.recode(piece));
        let pieces = pieces.collect::<io::Result<Vec<_>>>()?;
        Ok(pieces.concat())
    }

    #[test]
    fn messages_come_back_however_they_are_cut() {
        let long = b"one after the other ".repeat(20_000);
        let plain = [message(0, b""), message(0, b"a"), message(0, &long)].concat();
        for size in [1, 4, 7, 4096, usize::MAX] {
            let compressed = recoded(Direction::Compress, &plain, size).unwrap();
            assert!(compressed.len() < plain.len() / 4);
            assert_eq!(
                recoded(Direction::Expand, &compressed, size).unwrap(),
                plain
            );
        }
        // What is not compressed is left as it is.
        assert_eq!(recoded(Direction::Expand, &plain, 9).unwrap(), plain);
    }

    #[test]
    fn what_is_no_snappy_is_an_error() {
        let error = recoded(Direction::Expand, &message(1, b"no snappy at all"), 8).unwrap_err();
        assert!(!error.to_string().is_empty());
        let endless = [&[1][..], &u32::MAX.to_be_bytes()].concat();
        let error = recoded(Direction::Expand, &endless, 8).unwrap_err();
        assert_eq!(error.to_string(), "a message of 4294967295 bytes");
    }
}
